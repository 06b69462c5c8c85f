use crate::{Environment, ImageId, InstanceId, Malformed, Region, Zone};
use proptest::prelude::*;

fn all<T>(parse: fn(&str) -> Result<T, Malformed>, good: &[&str], bad: &[&str]) {
    for text in good {
        assert!(parse(text).is_ok(), "{text}");
    }
    for text in bad {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn each_type_takes_what_it_should_and_nothing_else() {
    all(
        InstanceId::parse,
        &["i-0123456789abcdef0", "i-01234567"],
        &["", "i-", "i-0123456789abcdef", "i-0123456789ABCDEF0", "i-0123456789abcdefg", "x-01234567", "i-01234567\n"],
    );
    all(ImageId::parse, &["ami-0123456789abcdef0", "ami-01234567"], &["", "i-01234567", "ami-01234567 "]);
    all(
        Region::parse,
        &["eu-central-1", "us-gov-west-1", "us-iso-east-1", "ap-southeast-12", "eusc-de-east-1"],
        &[
            "",
            "eu",
            "eu-central",
            "eu-1",
            "EU-central-1",
            "eu--1",
            "e-central-1",
            "eu-central-1.evil.example",
            "eu-central-1/",
        ],
    );
    all(
        Zone::parse,
        &["eu-central-1a", "us-west-2-lax-1a", "us-east-1-wl1-bos-wlz-1"],
        &["", "eu", "eu-", "-a", "eu-central-1A", "eu-central-1a\n", "eu central"],
    );
    all(Environment::parse, &["dev", "prd-2"], &["", "Dev", "2dev", "../x", "dev\n", "dev/prd", "-dev"]);
}

#[test]
fn an_error_shows_hostile_text_escaped_and_cut() {
    let error = Environment::parse("dev\n\u{1b}[2J").unwrap_err();
    assert_eq!(error.shown, r"dev\n\u{1b}[2J");
    let long = Environment::parse(&"x".repeat(300)).unwrap_err();
    assert_eq!(long.shown.chars().count(), 41);
    assert!(long.to_string().contains("is not an environment (a lower-case letter"), "{long}");
}

proptest! {
    #[test]
    fn what_is_shown_is_short_and_printable(text in any::<String>()) {
        if let Err(error) = InstanceId::parse(&text) {
            prop_assert!(error.shown.chars().count() <= 41);
            prop_assert!(error.shown.trim_end_matches('…').chars().all(|c| c.is_ascii_graphic() || c == ' '));
        }
    }
}
