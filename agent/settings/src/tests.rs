use super::*;
use testing::fuzz::{from_the_field, fuzz};

#[test]
fn an_empty_file_gives_the_documented_defaults() {
    let settings = Settings::parse("").unwrap();
    assert_eq!(settings, Settings::default());
    assert_eq!(settings.secret.name_for("dev"), "/adventive/cloudflared/dev");
    assert_eq!(settings.secret.poll_interval, Duration::from_secs(300));
    assert_eq!(settings.connector.metrics[1], "127.0.0.1:2001".parse().unwrap());
    assert_eq!(settings.verdict.condemn_after, Duration::from_secs(120));
}

#[test]
fn every_key_of_the_contract_is_accepted() {
    let text = include_str!("contract.yml");
    let settings = Settings::parse(text).unwrap();
    assert_eq!(settings, Settings::default(), "the contract file holds the defaults");
}

#[test]
fn a_wrong_setting_names_its_key_and_what_is_allowed() {
    for (text, mentions) in [
        ("observe: { intervall: 5s }", &["intervall", "interval", "timeout"][..]),
        ("obsrve: {}", &["obsrve", "observe"]),
        ("observe: { interval: 5 }", &["observe.interval", "5"]),
        ("observe: { interval: 5 parsecs }", &["observe.interval", "parsecs", "30s"]),
        ("observe: { interval: 0s }", &["observe.interval", "100ms to 1m"]),
        ("connector: { metrics: ['0.0.0.0:2000', '127.0.0.1:2001'] }", &["connector.metrics", "loopback"]),
        ("connector: { metrics: ['127.0.0.1:2000'] }", &["connector.metrics", "two different"]),
        ("connector: { metrics: ['127.0.0.1:2000', '127.0.0.1:2000'] }", &["connector.metrics", "two different"]),
        ("connector: { min_connections: 5 }", &["connector.min_connections", "1 to 4"]),
        ("connector: { grace_period: 4m }", &["connector.grace_period", "3m"]),
        ("connector: { binary: cloudflared }", &["connector.binary", "absolute"]),
        ("identity: { env_tag: 'adv env' }", &["identity.env_tag", "0-9 a-z"]),
        ("identity: { env_tag: '..' }", &["identity.env_tag", "not `.`"]),
        ("identity: { allowed_environments: [Dev] }", &["identity.allowed_environments", "lower-case letter"]),
        ("secret: { name: '/x y/{env}' }", &["secret.name", "{env}"]),
        ("cloudwatch: { interval: 15s }", &["cloudwatch.interval", "30s or 60s"]),
        ("cloudwatch: { namespace: AWS/EC2 }", &["cloudwatch.namespace", "AWS/"]),
        ("verdict: { condemn_after: 30s }", &["verdict.condemn_after", "restart_after"]),
        ("autoscaling: { replacements_per_hour: -1 }", &["autoscaling.replacements_per_hour", "-1"]),
        ("identity: { hold_tag: 'adv hold' }", &["identity.hold_tag", "0-9 a-z"]),
        ("lifecycle: { launch_hook: 'a b' }", &["lifecycle.launch_hook", "`a b`", "1 to 255"]),
        ("lifecycle: { terminate_hook: 'byeé' }", &["lifecycle.terminate_hook", "1 to 255"]),
        ("lifecycle: { launch_hook: x, terminate_hook: x }", &["lifecycle.terminate_hook", "`x`", "one transition"]),
        ("lifecycle: { launch_hok: x }", &["lifecycle.launch_hok", "launch_hook", "terminate_hook"]),
        ("aws: { proxy: 'proxy:3128x' }", &["aws.proxy", "http://"]),
        ("validate: { min_cloudflared: '2025.1' }", &["validate.min_cloudflared", "2025.1", "2025.1.0"]),
        ("validate: { min_cloudflared: newest }", &["validate.min_cloudflared", "newest", "2025.1.0"]),
        ("metrics: { listen: '0.0.0.0:2010' }", &["metrics.listen", "0.0.0.0:2010", "a loopback address"]),
        ("metrics: { listen: '10.0.0.1:2010' }", &["metrics.listen", "a loopback address"]),
        ("metrics: { listen: '127.0.0.1:0' }", &["metrics.listen", "such as 127.0.0.1:2010"]),
        ("metrics: { listen: '127.0.0.1:2001' }", &["metrics.listen", "none of connector.metrics"]),
        ("metrics: { listen: 'localhost:2010' }", &["metrics.listen", "such as 127.0.0.1:2010"]),
        ("metrics: { listen: 2010 }", &["metrics.listen", "2010"]),
        ("log: { format: xml }", &["log.format", "xml", "json"]),
        ("\n\tlog: {}", &["failed to parse", ": line 2: "]),
        ("- 1", &["failed to parse", "line 1: ", "sequence, expected keys with values"]),
        ("log: 5", &["line 1: log: invalid type: integer `5`, expected keys with values; correct"]),
        ("\nlog:\n  formt: xml", &["line 3: log.formt: unknown field `formt`, expected `format`; correct"]),
    ] {
        let error = Settings::parse(text).expect_err(text).to_string();
        for part in mentions {
            assert!(error.contains(part), "{text}: `{error}` does not mention `{part}`");
        }
    }
}

#[test]
fn what_the_verdict_judges_by_is_acted_on() {
    let settings = Settings::parse(
        "{ identity: { hold_tag: hands-off }, verdict: { probe_after: 50s },
           autoscaling: { replacements_per_hour: 0, replacements_per_day: 9 } }",
    )
    .unwrap();
    assert_eq!((settings.identity.hold_tag.as_str(), settings.verdict.probe_after.as_secs()), ("hands-off", 50));
    let budget = (settings.autoscaling.replacements_per_hour, settings.autoscaling.replacements_per_day);
    assert_eq!(budget, (0, 9));
}

#[test]
fn the_hooks_that_are_completed_are_named() {
    assert_eq!(Settings::default().lifecycle, Lifecycle::default());
    let longest = "h".repeat(255);
    let text = format!("lifecycle: {{ launch_hook: Team-1/arrive_2, terminate_hook: {longest} }}");
    let settings = Settings::parse(&text).unwrap();
    assert_eq!(settings.lifecycle.launch_hook.as_deref(), Some("Team-1/arrive_2"));
    assert_eq!(settings.lifecycle.terminate_hook, Some(longest.clone()));
    let error = Settings::parse(&format!("lifecycle: {{ launch_hook: {longest}h }}")).unwrap_err().to_string();
    assert!(error.contains("lifecycle.launch_hook") && error.contains("1 to 255"), "{error}");
}

#[test]
fn what_a_hand_over_goes_by_is_acted_on() {
    let settings = Settings::parse("handover: { probation: 90s, on_new_binary: true }").unwrap();
    assert_eq!((settings.handover.probation.as_secs(), settings.handover.on_new_binary), (90, true));
}

#[test]
fn the_own_metrics_are_off_until_they_are_given_an_address() {
    assert_eq!(Settings::default().metrics.listen, None);
    for address in ["127.0.0.1:2010", "[::1]:2010", "127.8.0.1:1"] {
        let settings = Settings::parse(&format!("metrics: {{ listen: '{address}' }}")).unwrap();
        assert_eq!(settings.metrics.listen, Some(address.parse().unwrap()));
    }
}

#[test]
fn a_named_file_must_exist_and_the_default_one_need_not() {
    let missing = testing::missing("agent.yml");
    let error = Settings::load(Some(&missing)).unwrap_err().to_string();
    assert!(error.contains(&missing.display().to_string()), "{error}");
}

#[test]
fn every_error_names_its_file() {
    for text in ["a: [", "observe: { interval: 0s }", "connector: { metrics: [] }"] {
        let error = Settings::parse(text).unwrap_err().of_file(Path::new("/etc/some.yml")).to_string();
        assert!(error.contains(" the settings /etc/some.yml: "), "{error}");
    }
}

#[test]
fn environments() {
    for name in ["a", "dev", "prd-2", &"a".repeat(32)] {
        assert!(is_environment(name), "{name}");
    }
    for name in ["", "Dev", "2dev", "-a", "../x", "dev\n", "dev/x", "d\u{e9}v", &"a".repeat(33)] {
        assert!(!is_environment(name), "{name:?}");
    }
}

/// The settings as the package installs them, each setting's line uncommented: those are `#key` and `#  key`, while what
/// is said about them begins with `# ` and a word.
fn uncommented(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with("  ") || rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_installed_settings_show_every_key_with_its_default() {
    let installed = include_str!("../../../packaging/files/agent.yml");
    assert!(installed.lines().all(|line| line.is_empty() || line.starts_with('#')), "it sets nothing");
    assert_eq!(Settings::parse(installed).unwrap(), Settings::default());

    let shown = uncommented(installed);
    assert_eq!(Settings::parse(&shown).unwrap(), Settings::default());
    let value = |text: &str| serde_yaml::from_str::<serde_yaml::Value>(text).unwrap();
    assert_eq!(value(&shown), value(include_str!("contract.yml")), "the same keys and values as the contract");
}

/// Settings in a directory of their own: `agent.yml`, and drop-ins by their names.
fn dropped_in(file: &str, drop_ins: &[(&str, &str)]) -> (testing::Directory, PathBuf) {
    let directory = testing::Directory::new();
    let path = directory.join("agent.yml");
    std::fs::write(&path, file).unwrap();
    std::fs::create_dir(directory.join("agent.d")).unwrap();
    for (name, text) in drop_ins {
        std::fs::write(directory.join("agent.d").join(name), text).unwrap();
    }
    (directory, path)
}

#[test]
fn drop_ins_come_over_the_file_and_over_each_other_key_by_key() {
    let (_directory, path) = dropped_in(
        "{ observe: { interval: 7s, timeout: 3s }, mode: observe, secret: { allow: [bastion, warp-routing] } }",
        &[
            ("50-environment.yml", "{ observe: { interval: 9s }, mode: act, secret: { allow: [] } }"),
            ("10-image.yml", "{ observe: { interval: 8s }, lifecycle: { launch_hook: arrive } }"),
            ("60-empty.yml", "# nothing\n"),
            (".70-hidden.yml", "observe: { interval: 1s }"),
            ("80-other.yml.bak", "observe: { interval: 1s }"),
        ],
    );
    let settings = Settings::load(Some(&path)).unwrap();
    assert_eq!((settings.observe.interval.as_secs(), settings.observe.timeout.as_secs()), (9, 3));
    assert_eq!((settings.mode, settings.lifecycle.launch_hook.as_deref()), (Mode::Act, Some("arrive")));
    assert_eq!(settings.secret.allow, Vec::<String>::new(), "a list is replaced");
    assert_eq!(settings.handover, Settings::default().handover);
}

#[test]
fn an_error_names_the_file_that_it_is_in() {
    for (file, image, environment, wrong, mentions) in [
        ("", "", "observe: { intervall: 5s }", "50-environment.yml", "intervall"),
        ("", "mode: 5", "", "10-image.yml", "mode"),
        ("observe: { interval: 0s }", "observe: { timeout: 1s }", "", "agent.yml", "observe.interval"),
        ("observe: { interval: 5s }", "observe: { interval: 0s }", "mode: act", "10-image.yml", "observe.interval"),
        ("observe: { interval: 0s }", "", "observe: { interval: 0s }", "50-environment.yml", "observe.interval"),
        // What it is held against is the other's default.
        ("", "verdict: { restart_after: 10m }", "mode: act", "10-image.yml", "verdict.condemn_after"),
        ("verdict: { condemn_after: 2m }", "verdict: { restart_after: 10m }", "", "agent.yml", "verdict.condemn_after"),
        ("", "a: [", "", "10-image.yml", "cannot be read as YAML"),
        ("", "", "- 1", "50-environment.yml", "sequence"),
    ] {
        let (_directory, path) = dropped_in(file, &[("10-image.yml", image), ("50-environment.yml", environment)]);
        let error = Settings::load(Some(&path)).unwrap_err().to_string();
        assert!(error.contains(&format!("/{wrong}: ")) && error.contains(mentions), "{wrong} {mentions}: {error}");
    }
}

#[test]
fn a_value_that_is_put_right_above_is_right() {
    let (_directory, path) =
        dropped_in("observe: { interval: 0s }", &[("50-environment.yml", "observe: { interval: 5s }")]);
    assert_eq!(Settings::load(Some(&path)).unwrap(), Settings::default());
}

#[test]
fn drop_ins_that_cannot_be_read_are_an_error_and_too_many_are() {
    let (directory, path) = dropped_in("", &[]);
    let fifo = directory.join("agent.d/50-environment.yml");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let error = Settings::load(Some(&path)).unwrap_err().to_string();
    assert!(error.contains("50-environment.yml") && error.contains("not a plain file"), "{error}");
    let many: Vec<_> = (0..65).map(|n| format!("{n}.yml")).collect();
    let (_directory, path) = dropped_in("", &many.iter().map(|name| (name.as_str(), "")).collect::<Vec<_>>());
    let error = Settings::load(Some(&path)).unwrap_err().to_string();
    assert!(error.contains("agent.d") && error.contains("more than 64"), "{error}");
    let (directory, path) = dropped_in("", &[]);
    std::fs::remove_dir(directory.join("agent.d")).unwrap();
    std::fs::write(directory.join("agent.d"), "").unwrap();
    let error = Settings::load(Some(&path)).unwrap_err().to_string();
    assert!(error.contains("agent.d"), "{error}");
}

#[test]
fn namespaces_are_by_environment() {
    let settings = Settings::default();
    assert_eq!(settings.cloudwatch.namespace.of("prd"), "Cflared/prd");
    let fixed = Settings::parse("cloudwatch: { namespace: Tunnels }").unwrap();
    assert_eq!(fixed.cloudwatch.namespace.of("prd"), "Tunnels");
    let long = format!("cloudwatch: {{ namespace: '{}/{{env}}' }}", "n".repeat(240));
    assert!(Settings::parse(&long).unwrap_err().to_string().contains("1 to 255"));
    assert!(Settings::parse("cloudwatch: { namespace: 'C/{environment}' }").is_err());
}

#[test]
fn what_is_no_plain_file_neither_holds_nor_feeds_the_reader() {
    let directory = testing::Directory::new();
    let fifo = directory.join("agent.yml");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in [fifo.as_path(), Path::new("/dev/zero")] {
        let error = Settings::load(Some(path)).unwrap_err().to_string();
        assert!(error.contains("it is not a plain file"), "{error}");
    }
    let long = directory.join("long.yml");
    std::fs::write(&long, "#".repeat(300_000)).unwrap();
    let error = Settings::load(Some(&long)).unwrap_err().to_string();
    assert!(error.contains("too large"), "{error}");
}

/// Settings of an image that nobody trusts are read within the bounds of the secret's YAML.
#[test]
fn settings_that_expand_without_end_are_refused() {
    let level = |n: usize| format!("l{n}: &l{n} [{}]\n", vec![format!("*l{}", n - 1); 10].join(", "));
    let bomb: String = std::iter::once("l0: &l0 [x, x, x]\n".to_owned()).chain((1..9).map(level)).collect();
    let deep = format!("log: {}{}", "[".repeat(200), "]".repeat(200));
    let many = format!("identity: {{ allowed_environments: [{}] }}", "a, ".repeat(30_000));
    for text in [&*bomb, &*deep, &*many, "log: !!binary aGk=", "log: \u{1b}", "log: {}\nlog: {}"] {
        let error = Settings::parse(text).unwrap_err().to_string();
        assert!(error.len() < 300 && !error.contains('\u{1b}'), "{error}");
    }
}

#[test]
fn fuzz_settings() {
    let contract = include_str!("contract.yml");
    let shown = uncommented(include_str!("../../../packaging/files/agent.yml"));
    let lines = contract.lines().filter(|line| !line.starts_with('#')).map(String::from);
    let seeds = lines.chain([contract.to_owned(), shown]).map(String::into_bytes).chain(from_the_field("agent.yml"));
    fuzz("settings", seeds, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return "not UTF-8".into() };
        match Settings::parse(text) {
            Ok(_) => "taken".into(),
            Err(Error::Value { key, .. }) => key.to_owned(),
            Err(error) => error
                .to_string()
                .split(": ")
                .last()
                .unwrap_or_default()
                .chars()
                .filter(|c| c.is_alphabetic())
                .take(24)
                .collect(),
        }
    });
}
