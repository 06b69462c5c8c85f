use super::*;
use std::os::unix::fs::PermissionsExt;
use testing::fake::Dir;

fn pinned_by(arguments: &str, config: Option<&str>) -> Option<Transport> {
    let dir = Dir::new();
    let path = dir.join("config.yml");
    if let Some(config) = config {
        std::fs::write(&path, config).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    pinned(&arguments.split_whitespace().map(String::from).collect::<Vec<_>>(), &path)
}

#[test]
fn arguments_win_over_the_file_and_the_last_over_the_first() {
    use Transport::{Http2, Quic};
    for (arguments, config, expected) in [
        ("", None, None),
        ("", Some("tunnel: x"), None),
        ("", Some("protocol: quic"), Some(Quic)),
        ("", Some("protocol: http2"), Some(Http2)),
        ("", Some("protocol: auto"), None),
        ("", Some("protocol: [quic]"), None),
        ("", Some("protocol: 3"), None),
        ("", Some("protocol: \tquic: {"), None),
        ("--protocol http2", Some("protocol: quic"), Some(Http2)),
        ("--protocol auto", Some("protocol: quic"), None),
        ("-protocol=quic", None, Some(Quic)),
        ("--p http2", None, Some(Http2)),
        ("--edge 127.0.0.1:7844 -p h2mux", None, Some(Http2)),
        ("--protocol quic --protocol=http2", None, Some(Http2)),
        ("--protocol", Some("protocol: quic"), Some(Quic)),
    ] {
        assert_eq!(pinned_by(arguments, config), expected, "{arguments}; {config:?}");
    }
}
