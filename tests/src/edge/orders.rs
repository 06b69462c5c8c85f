//! What the edge orders a connector's process to do, so that tests can have it misbehave.
//!
//! A crash, a freeze and a thaw are signals to the process that holds the connection, and work on every program. The
//! other orders only the stand-in for cloudflared knows. It says so by [`FEATURE`] when it registers, and gets them
//! through its own connection: over HTTP/2 as a request with [`UPGRADE`] and the order as JSON in its body; over QUIC as a
//! call on a stream of calls, to method [`ORDER`] of [`INTERFACE`], whose one parameter is the same JSON as bytes. Both
//! are answered by nothing (an empty 200, empty results) once the order is carried out.

use crate::tunnelrpc::{Call, Exception, Struct};
use serde::{Deserialize, Serialize};

/// Among the features of a connector that takes orders.
pub const FEATURE: &str = "standin_orders";
/// The value of [`headers::UPGRADE`](crate::tunnelrpc::headers::UPGRADE) of an order.
pub const UPGRADE: &str = "standin-order";
/// The interface of orders. It is made up.
pub const INTERFACE: u64 = 0xd0a5_7a9d_0c0f_fee5;
/// The one method of it.
pub const ORDER: u16 = 0;

/// What a connector can be told to do to itself, through its own connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Order {
    /// End at once with this exit status, without unregistering.
    Exit {
        /// 0 to 255.
        status: u8,
    },
    /// SIGKILL: what a crash looks like from outside, without a core.
    Crash,
    /// SIGSTOP: the process lives, and answers nothing. [`Edge::thaw`](super::Edge::thaw) ends it.
    Freeze,
    /// Close standard output and standard error; keep working.
    CloseOutput,
    /// Write this many bytes without a newline to standard error.
    Flood {
        /// How many.
        bytes: usize,
    },
    /// Write one line, as it is, to standard error.
    Print {
        /// The line, without its newline.
        line: String,
    },
    /// Never answer `/ready` again, and go on with all else: a part of it hangs, and its runtime does not.
    HangReady,
    /// Answer `/ready` and `/diag/tunnel` with another connector's id.
    ForeignId {
        /// The id to show.
        connector: String,
    },
}

impl Order {
    /// The body of the request over HTTP/2.
    pub fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an order is JSON")
    }

    /// The parameters of the call over QUIC.
    pub fn encode(&self) -> Struct {
        Struct::new(0, 1).with_pointer(0, self.json())
    }

    /// Of a call.
    ///
    /// # Errors
    /// What it is answered with: there is no such method, or its parameter is no order.
    pub fn decode(call: &Call) -> Result<Self, Exception> {
        if (call.interface, call.method) != (INTERFACE, ORDER) {
            let reason = format!("no method {} in {:#x}", call.method, call.interface);
            return Err(Exception::unimplemented(reason));
        }
        let json = call.parameters.pointer(0).data().map_err(|error| Exception::failed(error.to_string()))?;
        serde_json::from_slice(json).map_err(|error| Exception::failed(format!("no order: {error}")))
    }
}
