use super::*;
use testing::fake::Dir;
use testing::missing;

#[test]
fn versions_are_ordered_as_numbers() {
    let parsed: Vec<Version> =
        ["2024.12.2", "2025.1.0", "2025.10.1", "2026.8.2"].iter().map(|text| text.parse().unwrap()).collect();
    assert!(parsed.is_sorted());
    assert_eq!(parsed[3].to_string(), "2026.8.2");
    for text in ["", "2026", "2026.8", "2026.8.2.1", "2026.8.x", "DEV", "2026.8.-2", "2026.8.99999999999"] {
        assert_eq!(text.parse::<Version>(), Err(NotAVersion), "{text}");
    }
}

#[tokio::test]
async fn a_program_is_asked() {
    let dir = Dir::new();
    let script = dir.script("echo $# $1 >> $D/argv; echo 'cloudflared version 2026.8.2 (built 2026-08-14-1122 UTC)'");
    assert_eq!(version(&script).await.unwrap(), "2026.8.2".parse().unwrap());
    assert_eq!(dir.read("argv"), "1 --version\n");
}

#[test]
fn the_time_of_the_build_is_read_in_every_form() {
    let at = |text: &str| humantime::parse_rfc3339(text).unwrap();
    let built = |form: &str| parse(&format!("cloudflared version 2026.8.2{form}\n")).unwrap().built;
    for form in [
        // Releases since 2025-09, before, other builds, and builds that add what they are.
        " (built 2026-08-20-09:54 UTC)",
        " (built 2026-08-20-0954 UTC)",
        " (built 2026-08-20T09:54 UTC)",
        " (built 2026-08-20-09:54 UTC with FIPS)",
        " (built 2026-08-20-0954 UTC with FIPS, unstable)",
        " (built 2026-08-20T09:54 UTC with MSI)",
        " (built 2026-08-20T09:54:31Z)",
        " (built 2026-08-20 09:54:31 UTC)",
        " (built 2026-08-20T09:54:31.123+00:00)",
        " (built 2026-08-20-09:54 UTC; go1.26.6)",
        " (built 2026-08-20-09:54 UTC)\r",
    ] {
        assert_eq!(built(form), Some(at("2026-08-20T09:54:00Z")), "{form}");
    }
    for form in [
        "",
        " (built unknown)",
        " (built )",
        " (built 2026-08-14 UTC)",
        " (built 2026-13-14-1122 UTC)",
        " (built 2026-08-14-25:61 UTC)",
        " (built 2026-08-14-11:22 CEST)",
        " (built 2026-08-14-11:22 UTCX)",
        " (built 2026-08-14-11:2é UTC)",
        " (built é-1é UTC)",
        " (built Thu Aug 20 09:54:00 UTC 2026)",
        " (built 1787219640)",
        " built in a form that is new",
    ] {
        assert_eq!(built(form), None, "{form}");
    }
    let release = parse("cloudflared version 2026.8.2 (built 2026-08-20-09:54 UTC)\n").unwrap();
    assert_eq!(release.version.unwrap().month(), Some(at("2026-08-01T00:00:00Z")));
    // Whoever builds it from its source gets neither, unless he sets them.
    let dev = |built: &str| parse(&format!("cloudflared version DEV (built {built})\n")).unwrap();
    assert_eq!(dev("unknown"), Release { version: None, built: None });
    assert_eq!(dev("2026-08-20T09:54 UTC").built, Some(at("2026-08-20T09:54:00Z")));
    assert_eq!(parse("x cloudflared version 2026.8.2 (built 2026-08-20-09:54 UTC)\n"), None);
}

#[tokio::test]
async fn another_answer_is_quoted_and_bounded() {
    for (body, quoted) in [
        ("echo 'cloudflared version DEV (built unknown)'", "DEV"),
        ("echo 'curl 8.5.0'", "curl 8.5.0"),
        ("exit 3", "\"\""),
        ("head -c 3000000 /dev/zero", "\\0"),
    ] {
        let error = version(&Dir::new().script(body)).await.unwrap_err();
        assert!(error.to_string().contains("check that it is a released cloudflared"), "{body}: {error}");
        assert!(error.to_string().contains(quoted), "{body}: {error}");
        assert!(error.to_string().len() < 400, "{body}: {error}");
    }
    let error = version(&missing("cloudflared")).await.unwrap_err();
    assert!(matches!(error, VersionError::NotSpawned(SpawnError::Missing { .. })));
}
