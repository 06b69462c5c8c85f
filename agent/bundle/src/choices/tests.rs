use super::*;

#[test]
fn the_way_is_read_as_it_is_given() {
    let config = "tunnel: x\nprotocol: http2\nregion: us\nedge-ip-version: \"6\"\nedge-bind-address: 10.0.0.1\nedge: [a:1, b:2]\n";
    let expected = Choices {
        edges: vec!["a:1".into(), "b:2".into()],
        region: Some("us".into()),
        protocol: Some("http2".into()),
        ip_version: Some("6".into()),
        bind_address: Some("10.0.0.1".into()),
        endpoint: Some("fed".into()),
    };
    assert_eq!(Choices::read(config, r#"{"TunnelSecret":"c2VjcmV0","Endpoint":"fed"}"#), expected);
    assert_eq!(Choices::read("edge-ip-version: 6", "{}").ip_version.as_deref(), Some("6"));
}

#[test]
fn go_takes_a_key_in_any_case_and_the_last_of_two() {
    for (json, endpoint) in [
        (r#"{"endpoint":"fed"}"#, Some("fed")),
        (r#"{"ENDPOINT":"us","Endpoint":"fed","x":{"y":[1]}}"#, Some("fed")),
        (r#"{"Endpoint":""}"#, Some("")),
        (r#"{"Endpoint":7}"#, None),
        (r#"{"TunnelSecret":"x"}"#, None),
        (r#"["Endpoint"]"#, None),
        ("{", None),
    ] {
        assert_eq!(Choices::read("", json).endpoint.as_deref(), endpoint, "{json}");
    }
}

#[test]
fn what_cannot_be_read_chooses_nothing() {
    for config in ["", "a: [", "- a", "protocol: [quic]\nregion: {a: b}\nedge: x"] {
        assert_eq!(Choices::read(config, "{}"), Choices::default(), "{config}");
    }
}
