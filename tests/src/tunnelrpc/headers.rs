//! Headers that only cloudflared and the edge see, over HTTP/2.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// In a request: what is not for an origin. The values are the constants below.
pub const UPGRADE: &str = "cf-cloudflared-proxy-connection-upgrade";
/// In a request: it is for an address, which is its authority, and its bodies are bytes both ways.
pub const TCP_SOURCE: &str = "cf-cloudflared-proxy-src";
/// In an answer: its own headers, packed.
pub const PACKED: &str = "cf-cloudflared-response-headers";
/// In an answer: whose it is.
pub const META: &str = "cf-cloudflared-response-meta";

/// [`UPGRADE`] of the control stream.
pub const CONTROL_STREAM: &str = "control-stream";
/// [`UPGRADE`] of a WebSocket.
pub const WEBSOCKET: &str = "websocket";
/// [`UPGRADE`] of a pushed configuration.
pub const CONFIGURATION: &str = "update-configuration";

/// [`META`] of an origin's answer.
pub const FROM_ORIGIN: &str = r#"{"src":"origin"}"#;
/// [`META`] of cloudflared's own answer.
pub const FROM_CLOUDFLARED: &str = r#"{"src":"cloudflared"}"#;

/// Packs headers into one value.
pub fn pack<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> String {
    let pair =
        |(name, value): (&str, &[u8])| format!("{}:{}", STANDARD_NO_PAD.encode(name), STANDARD_NO_PAD.encode(value));
    headers.into_iter().map(pair).collect::<Vec<_>>().join(";")
}

/// Unpacks headers; `None` if they are not packed.
pub fn unpack(packed: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once(':')?;
        let name = String::from_utf8(STANDARD_NO_PAD.decode(name).ok()?).ok()?;
        Some((name, STANDARD_NO_PAD.decode(value).ok()?))
    };
    packed.split(';').filter(|pair| !pair.is_empty()).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_packed_as_cloudflared_packs_them() {
        // base64 of the words by coreutils.
        let packed = "Q29udGVudC1UeXBl:dGV4dC9wbGFpbg;WA:YTpiO2M";
        let headers: [(&str, &[u8]); 2] = [("Content-Type", b"text/plain"), ("X", b"a:b;c")];
        assert_eq!(pack(headers), packed);
        let expected: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        assert_eq!(unpack(packed), Some(expected));
        assert_eq!(unpack(""), Some(vec![]));
    }

    #[test]
    fn what_is_not_packed_is_refused() {
        for bad in ["WA", "WA:!", "!:WA", "WA:WA=", "/w:WA", "a:b:c"] {
            assert_eq!(unpack(bad), None, "{bad}");
        }
    }
}
