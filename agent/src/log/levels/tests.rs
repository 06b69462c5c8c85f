use super::*;

#[test]
fn other_crates_never_say_more_than_warnings() {
    for (setting, target, level, logged) in [
        ("info", "cflared_connector", Level::INFO, true),
        ("info", "cflared_connector", Level::DEBUG, false),
        ("info", "cloudflared", Level::INFO, true),
        ("trace", "cflared_verdict", Level::TRACE, true),
        ("trace", "cloudflared", Level::TRACE, true),
        ("trace", "aws_smithy_runtime::client", Level::WARN, true),
        ("trace", "aws_smithy_runtime::client", Level::INFO, false),
        ("trace", "hyper_util::client", Level::TRACE, false),
        ("trace", "cloudflared_of_others", Level::INFO, false),
        ("error", "hyper", Level::WARN, false),
        ("error", "cflared_agent", Level::ERROR, true),
    ] {
        let levels: Levels = setting.parse().unwrap();
        assert_eq!(levels.allow(target, level), logged, "{setting} {target} {level}");
    }
    assert_eq!(Levels::default(), "info".parse().unwrap());
}

#[test]
fn only_the_five_names_are_levels() {
    for name in ["", "INFO", "off", "cflared_agent=debug", "verbose"] {
        assert_eq!(name.parse::<Levels>(), Err(NotALevel), "{name}");
    }
}
