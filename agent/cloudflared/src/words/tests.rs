use super::*;

#[test]
fn what_may_be_a_key_is_left_out() {
    for (text, expected) in [
        ("tcp://db.cluster-c0ffee.us-east-1.rds.amazonaws.com:3306 is an invalid address", None),
        ("open /etc/cloudflared/generations/12/config.yml: no such file or directory", None),
        ("6ff42ae2-765d-4adf-8112-31c55c1551ef", None),
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", Some("[redacted]")),
        ("a/bcdEFGHIJKLMNOP/QRST012345", Some("[redacted]")),
    ] {
        assert_eq!(redacted(text), expected.unwrap_or(text));
    }
}

#[test]
fn a_line_is_shown_by_its_error_in_few_printable_words() {
    let line = |text: &str| shown(&Line::parse(text.as_bytes()));
    let unauthorized = r#"{"level":"error","error":"Unauthorized: Invalid tunnel secret","message":"Register tunnel error from server side"}"#;
    assert_eq!(line(unauthorized), "Unauthorized: Invalid tunnel secret");
    assert_eq!(line(r#"{"level":"error","error":"","message":"Lost it"}"#), "Lost it");
    assert_eq!(line("plain \u{1b}[31mwords\t"), "plain  [31mwords");
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    assert_eq!(line(&format!("cannot use '{key}'")), "cannot use '[redacted]'");
    let long = line(&"\u{e9} ".repeat(10_000));
    assert_eq!(long.chars().count(), 200);
    // A key that the cut goes through is none that is shown in part.
    let cut = line(&format!("{}{}", "a ".repeat(195), key.repeat(9)));
    assert!(!cut.contains("MDEy"), "{cut}");
}
