use super::*;
use proptest::prelude::*;

/// The example of a HandshakeV10 in MySQL's internals manual (a 5.5.2 server), byte by byte.
const DOCUMENTED: &[u8] =
    b"\x36\x00\x00\x00\x0a5.5.2-m2\x00\x0b\x00\x00\x00\x64\x76\x48\x40\x49\x2d\x43\x4a\x00\xff\xf7\
    \x08\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x2a\x34\x64\x7c\x63\x5a\x77\x6b\x34\x5e\x5d\x3a\x00";
/// What a MariaDB 10.11.19 of Debian 12 said first, up to its salt.
const MARIADB: &[u8] = b"d\x00\x00\x00\n5.5.5-10.11.19-MariaDB-0+deb12u1\x00\x08\x00\x00\x00";
/// What the same said with all of its connections taken.
const FULL: &[u8] = b"\x17\x00\x00\x00\xff\x10\x04Too many connections";
/// A refusal as a server of 4.1 sent it.
const BLOCKED: &[u8] = b"\x1a\x00\x00\x00\xff\x69\x04Host 'x' is blocked ...";

fn packet(body: &[u8]) -> Vec<u8> {
    [&[body.len() as u8, 0, 0, 0], body].concat()
}

fn version(text: &str) -> Option<Greeting> {
    Greeting::parse(&packet(&[b"\x0a", text.as_bytes(), b"\x00rest"].concat()))
}

fn error(code: u16, text: &str) -> Option<Greeting> {
    Some(Greeting::Error { code, text: text.into() })
}

#[test]
fn a_greeting_tells_the_version() {
    assert_eq!(Greeting::parse(DOCUMENTED), Some(Greeting::Version("5.5.2-m2".into())));
    assert_eq!(version("8.0.39"), Some(Greeting::Version("8.0.39".into())));
    assert_eq!(Greeting::parse(MARIADB), Some(Greeting::Version("10.11.19-MariaDB-0+deb12u1".into())));
    for bad in ["", "mysql", "8.0\u{1b}[2J", "8.0 39"] {
        assert_eq!(version(bad), None, "{bad:?}");
    }
}

#[test]
fn a_refusal_tells_its_text() {
    assert_eq!(Greeting::parse(BLOCKED), error(1129, "Host 'x' is blocked ..."));
    assert_eq!(Greeting::parse(FULL), error(1040, "Too many connections"));
    let with_state = packet(b"\xff\x10\x04#08004Too many connections");
    assert_eq!(Greeting::parse(&with_state), error(1040, "Too many connections"));
    assert_eq!(Greeting::parse(&packet(b"\xff\x10\x04")), None);
    assert_eq!(Greeting::parse(&packet(b"\xff\x10\x04#080")), None);
}

#[test]
fn what_is_not_whole_or_not_mysql_is_neither() {
    // Up to the end of the version.
    for length in 0..14 {
        assert_eq!(Greeting::parse(&DOCUMENTED[..length]), None, "{length}");
    }
    for other in ["SSH-2.0-OpenSSH_9.6\r\n", "220 mail ESMTP\r\n", "\0\0\0\0\0\0", "\u{1}\0\0\0\n"] {
        assert_eq!(Greeting::parse(other.as_bytes()), None, "{other:?}");
    }
    // The second packet of a conversation.
    assert_eq!(Greeting::parse(&[&[16, 0, 0, 1], &DOCUMENTED[4..]].concat()), None);
}

proptest! {
    #[test]
    fn no_first_packet_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..MOST)) {
        Greeting::parse(&bytes);
        Greeting::parse(&packet(&bytes));
    }
}
