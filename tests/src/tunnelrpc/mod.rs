//! What cloudflared and Cloudflare's edge speak with each other, for both ends: the edge's stand-in and cloudflared's.
//!
//! Nothing of it is documented by Cloudflare. The facts were read in cloudflared 2026.8.2, whose source is public, and
//! proven by that program, which registers to an edge that speaks this. The encoding is Cap'n Proto's, and the calls are
//! its RPC protocol at level 1 (<https://capnproto.org/encoding.html>, <https://capnproto.org/rpc.html>); both are here
//! as far as they are used: one segment, not packed, no promise but the first one.
//!
//! Whatever comes from the other end is bounded before it is believed: the length of a frame, the depth and the number of
//! the objects in it, and the number of calls that are open.

pub mod calls;
pub mod configuration;
pub mod duplex;
pub mod frames;
pub mod headers;
pub mod message;
pub mod registration;
pub mod streams;
pub mod value;
pub mod websocket;

pub use calls::{Callee, Caller, Failure};
pub use message::{Call, Exception};
pub use value::{List, Malformed, Struct, Value};

#[cfg(test)]
mod tests {
    use super::message::Message;
    use super::registration::Request;
    use super::{configuration, frames, headers, streams, websocket};
    use testing::fuzz::fuzz;
    use tokio::runtime::Builder;

    /// What either end may be sent: frames of calls, the beginnings of streams, WebSockets, packed headers.
    #[test]
    fn fuzz_edge_frames() {
        let push = configuration::Push { version: 3, config: r#"{"ingress":[{"service":"http_status:404"}]}"#.into() };
        let call = |interface, method, parameters| {
            let call = super::Call {
                question: 1,
                target: super::message::Target::Capability(0),
                interface,
                method,
                parameters,
            };
            frames::frame(&Message::Call(call).encode())
        };
        let (method, unregister) = Request::Unregister.encode();
        let (told, local) = Request::LocalConfiguration(push.config.clone().into_bytes()).encode();
        let interface = super::registration::INTERFACE;
        let seeds = vec![
            call(interface, method, unregister),
            call(interface, told, local),
            call(configuration::INTERFACE, configuration::UPDATE, push.encode()),
            headers::pack([("host", &b"a.example"[..]), ("x", &b"\0\xff"[..])]).into_bytes(),
            vec![0x81, 5, b'h', b'e', b'l', b'l', b'o', 0x88, 0x80, 1, 2, 3, 4],
            b"\x0a\x36\xcd\x12\xa1\x3e01".to_vec(),
        ];
        let runtime = Builder::new_current_thread().build().unwrap();
        fuzz("edge-frames", seeds, |input| {
            runtime.block_on(async {
                let mut calls = frames::Frames::new(input, tokio::io::sink());
                let (mut kinds, mut known) = (0, 0);
                while let Ok(Some(value)) = calls.next().await {
                    let Ok(message) = Message::decode(value) else { break };
                    kinds = (kinds * 3 + 1) % 1000;
                    if let Message::Call(call) = &message {
                        known |= u8::from(Request::decode(call).is_ok());
                        known |= 2 * u8::from(configuration::Push::decode(call).is_ok());
                    }
                    // What was understood can be said again.
                    let again = super::Value::decode(&message.encode().encode()).map(Message::decode);
                    assert!(matches!(again, Ok(Ok(_))), "{message:?}");
                }
                let mut stream = input;
                let kind = streams::read_kind(&mut stream).await.is_ok();
                let request = kind && streams::Request::read(&mut stream).await.is_ok();
                let mut stream = input;
                let mut pieces = 0;
                while let Ok((_, payload)) = websocket::read(&mut stream).await {
                    assert!(payload.len() <= websocket::MOST);
                    pieces += 1;
                }
                let packed =
                    std::str::from_utf8(input).ok().and_then(headers::unpack).map(|headers| headers.len().min(4));
                (kinds, known, kind, request, pieces.min(4), packed)
            })
        });
    }
}
