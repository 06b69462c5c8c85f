use super::*;
use crate::checks::Outcome;

fn at(day: &str) -> SystemTime {
    humantime::parse_rfc3339(&format!("{day}T00:00:00Z")).unwrap()
}

fn known(version: Option<&str>, built: Option<&str>) -> Known {
    let release = Release { version: version.map(|version| version.parse().unwrap()), built: built.map(at) };
    Known::told_by(Path::new("/usr/bin/cloudflared"), release)
}

#[test]
fn what_is_not_said_fails_nothing() {
    let (min, now) = (Version::from([2025, 1, 0]), at("2026-11-27"));
    let cases = [
        (Some("2026.8.2"), Some("2026-08-20"), Outcome::Pass, Outcome::Pass),
        // Its version names its month.
        (Some("2026.8.2"), None, Outcome::Pass, Outcome::Pass),
        (Some("2025.2.0"), None, Outcome::Pass, Outcome::Fail),
        (Some("2024.12.2"), Some("2024-12-19"), Outcome::Fail, Outcome::Fail),
        (Some("2024.12.2"), None, Outcome::Fail, Outcome::Fail),
        (None, Some("2026-08-20"), Outcome::Warn, Outcome::Pass),
        (None, Some("2025-08-20"), Outcome::Warn, Outcome::Fail),
        (None, None, Outcome::Warn, Outcome::Warn),
        // A month that there is not.
        (Some("2026.13.0"), None, Outcome::Pass, Outcome::Warn),
    ];
    for (version, built, new, young) in cases {
        let known = known(version, built);
        assert_eq!(new_enough(&known, min).outcome, new, "{known:?}");
        assert_eq!(young_enough(Some(&known), now).outcome, young, "{known:?}");
    }
}
