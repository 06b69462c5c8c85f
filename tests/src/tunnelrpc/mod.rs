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
