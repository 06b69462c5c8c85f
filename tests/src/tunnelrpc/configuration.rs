//! What the edge asks of a connector, on a stream of its own: to apply a configuration.
//!
//! Over QUIC it is a call ([`Push::encode`]), over HTTP/2 a request with the same as JSON ([`Push::json`]).

use super::message::{Call, Exception};
use super::value::{Malformed, Struct};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The interface that a connector presents.
pub const INTERFACE: u64 = 0xb48e_dfbd_aa25_db04;
/// The one method.
pub const UPDATE: u16 = 0;

/// A configuration for a connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// It is applied if this is above the last, which begins at −1.
    pub version: i32,
    /// As JSON.
    pub config: String,
}

/// What a connector made of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The version that is applied now.
    #[serde(rename = "lastAppliedVersion")]
    pub version: i32,
    /// Why it is not the one that was pushed.
    #[serde(rename = "err")]
    pub error: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct AsJson {
    version: i32,
    config: Box<RawValue>,
}

impl Push {
    /// The parameters of the call.
    pub fn encode(&self) -> Struct {
        Struct::new(1, 1).with(0, self.version.to_le_bytes()).with_pointer(0, self.config.as_bytes())
    }

    /// Of a call.
    ///
    /// # Errors
    /// What it is answered with: there is no such method, or its parameters are not as they should be.
    pub fn decode(call: &Call) -> Result<Self, Exception> {
        if (call.interface, call.method) != (INTERFACE, UPDATE) {
            let reason = format!("no method {} in {:#x}", call.method, call.interface);
            return Err(Exception::unimplemented(reason));
        }
        let bytes = call.parameters.pointer(0).data().map_err(|error| Exception::failed(error.to_string()))?;
        let config = String::from_utf8(bytes.to_vec()).map_err(|error| Exception::failed(error.to_string()))?;
        Ok(Push { version: call.parameters.u32(0).cast_signed(), config })
    }

    /// The body of the request over HTTP/2.
    ///
    /// # Errors
    /// The configuration is no JSON.
    pub fn json(&self) -> serde_json::Result<Vec<u8>> {
        let config = RawValue::from_string(self.config.clone())?;
        serde_json::to_vec(&AsJson { version: self.version, config })
    }

    /// Of the body of the request over HTTP/2.
    ///
    /// # Errors
    /// It is none.
    pub fn from_json(body: &[u8]) -> serde_json::Result<Self> {
        let AsJson { version, config } = serde_json::from_slice(body)?;
        Ok(Push { version, config: config.get().to_owned() })
    }
}

impl Applied {
    /// The results of the call.
    pub fn encode(&self) -> Struct {
        let results = Struct::new(1, 1)
            .with(0, self.version.to_le_bytes())
            .with_pointer(0, self.error.as_deref().unwrap_or_default());
        Struct::new(0, 1).with_pointer(0, results)
    }

    /// Of the results of the call.
    ///
    /// # Errors
    /// They are none of it.
    pub fn decode(from: &Struct) -> Result<Self, Malformed> {
        let results = from.pointer(0).clone().into_struct()?;
        let error = results.pointer(0).text()?;
        let error = (!error.is_empty()).then(|| error.to_owned());
        Ok(Applied { version: results.u32(0).cast_signed(), error })
    }
}
