//! What cloudflared asks of the edge on a connection's control stream: to be registered, to be unregistered, and to take
//! note of its configuration.

use super::message::{Call, Exception};
use super::value::{Malformed, Struct, Value};
use std::time::Duration;

/// The interface that the edge presents.
pub const INTERFACE: u64 = 0xf716_95ec_7fe8_5497;
/// The method's number of [`Request::Register`].
pub const REGISTER: u16 = 0;
/// The method's number of [`Request::Unregister`].
pub const UNREGISTER: u16 = 1;
/// The method's number of [`Request::LocalConfiguration`].
pub const LOCAL_CONFIGURATION: u16 = 2;
/// The cause that means that this connection is registered already.
pub const DUPLICATE: &str = "EDUPCONN";

/// A call on the control stream. It has no `Debug`: it can hold a secret.
pub enum Request {
    /// Register this connection.
    Register(Box<Registration>),
    /// No new streams; those in flight go on. The answer is empty.
    Unregister,
    /// The configuration of a tunnel that is not remotely managed, as JSON. The answer is empty.
    LocalConfiguration(Vec<u8>),
}

/// What is registered. It has no `Debug`: it holds a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Registration {
    /// The account's tag.
    pub account: String,
    /// The tunnel's secret: `TunnelSecret` of the credentials, which is base64 there.
    pub secret: Vec<u8>,
    /// The tunnel's UUID.
    pub tunnel: [u8; 16],
    /// Which of the connector's connections, from 0.
    pub index: u8,
    /// Whether a connection that is registered with the same index is to be replaced.
    pub replace_existing: bool,
    /// How much is compressed.
    pub compression: u8,
    /// How often it was tried before.
    pub earlier_attempts: u8,
    /// The connector's local address, as its 4 or 16 bytes.
    pub local_ip: Vec<u8>,
    /// The program that connects.
    pub client: Client,
}

/// The program that connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The connector's UUID, new for each process.
    pub connector: [u8; 16],
    /// What it can do.
    pub features: Vec<String>,
    /// Its version, such as `2026.8.2`.
    pub version: String,
    /// What it runs on, such as `linux_amd64`.
    pub arch: String,
}

/// What a registration is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is refused.
    Refused(Refusal),
    /// It is registered.
    Registered(Details),
}

/// Why a registration is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// For people; [`DUPLICATE`] for a program too.
    pub cause: String,
    /// When it may be tried again. cloudflared reads it and waits as it would have waited.
    pub retry_after: Duration,
    /// Whether it may be tried again.
    pub should_retry: bool,
}

/// A registered connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Its UUID.
    pub connection: [u8; 16],
    /// The data centre, such as `iad08`.
    pub location: String,
    /// Whether the tunnel's configuration is Cloudflare's.
    pub remotely_managed: bool,
}

impl Request {
    /// The method's number, and its parameters.
    pub fn encode(&self) -> (u16, Struct) {
        match self {
            Request::Register(registration) => (REGISTER, registration.encode()),
            Request::Unregister => (UNREGISTER, Struct::default()),
            Request::LocalConfiguration(json) => {
                (LOCAL_CONFIGURATION, Struct::new(0, 1).with_pointer(0, json.as_slice()))
            }
        }
    }

    /// Of a call.
    ///
    /// # Errors
    /// What it is answered with: there is no such method, or its parameters are not as they should be.
    pub fn decode(call: &Call) -> Result<Self, Exception> {
        let malformed = |error: Malformed| Exception::failed(format!("bad parameters: {error}"));
        let parameters = &call.parameters;
        match (call.interface, call.method) {
            (INTERFACE, REGISTER) => {
                Registration::decode(parameters).map(|found| Request::Register(Box::new(found))).map_err(malformed)
            }
            (INTERFACE, UNREGISTER) => Ok(Request::Unregister),
            (INTERFACE, LOCAL_CONFIGURATION) => {
                let json = parameters.pointer(0).data().map_err(malformed)?;
                Ok(Request::LocalConfiguration(json.to_vec()))
            }
            (interface, method) => Err(Exception::unimplemented(format!("no method {method} in {interface:#x}"))),
        }
    }
}

impl Registration {
    fn encode(&self) -> Struct {
        let auth = Struct::new(0, 2).with_pointer(0, &self.account).with_pointer(1, self.secret.as_slice());
        let client = Struct::new(0, 4)
            .with_pointer(0, self.client.connector.as_slice())
            .with_pointer(1, self.client.features.as_slice())
            .with_pointer(2, &self.client.version)
            .with_pointer(3, &self.client.arch);
        let options = Struct::new(1, 2)
            .with_bit(0, self.replace_existing)
            .with(1, [self.compression, self.earlier_attempts])
            .with_pointer(0, client)
            .with_pointer(1, self.local_ip.as_slice());
        Struct::new(1, 3)
            .with(0, [self.index])
            .with_pointer(0, auth)
            .with_pointer(1, self.tunnel.as_slice())
            .with_pointer(2, options)
    }

    fn decode(from: &Struct) -> Result<Self, Malformed> {
        let auth = structure(from.pointer(0))?;
        let options = structure(from.pointer(2))?;
        let client = structure(options.pointer(0))?;
        Ok(Registration {
            account: auth.pointer(0).text()?.to_owned(),
            secret: auth.pointer(1).data()?.to_vec(),
            tunnel: uuid(from.pointer(1))?,
            index: from.u8(0),
            replace_existing: options.bit(0),
            compression: options.u8(1),
            earlier_attempts: options.u8(2),
            local_ip: options.pointer(1).data()?.to_vec(),
            client: Client {
                connector: uuid(client.pointer(0))?,
                features: client.pointer(1).texts()?,
                version: client.pointer(2).text()?.to_owned(),
                arch: client.pointer(3).text()?.to_owned(),
            },
        })
    }
}

impl Answer {
    /// The results of the call.
    pub fn encode(&self) -> Struct {
        let (tag, body) = match self {
            Answer::Refused(refusal) => {
                let nanoseconds = i64::try_from(refusal.retry_after.as_nanos()).unwrap_or(i64::MAX);
                let body = Struct::new(2, 1)
                    .with(0, nanoseconds.to_le_bytes())
                    .with_bit(64, refusal.should_retry)
                    .with_pointer(0, &refusal.cause);
                (0u16, body)
            }
            Answer::Registered(details) => {
                let body = Struct::new(1, 2)
                    .with_bit(0, details.remotely_managed)
                    .with_pointer(0, details.connection.as_slice())
                    .with_pointer(1, &details.location);
                (1, body)
            }
        };
        let answer = Struct::new(1, 1).with(0, tag.to_le_bytes()).with_pointer(0, body);
        Struct::new(0, 1).with_pointer(0, answer)
    }

    /// Of the results of the call.
    ///
    /// # Errors
    /// They are none of a registration.
    pub fn decode(from: &Struct) -> Result<Self, Malformed> {
        let answer = structure(from.pointer(0))?;
        let body = structure(answer.pointer(0))?;
        match answer.u16(0) {
            0 => {
                let nanoseconds = body.u64(0).cast_signed().max(0).cast_unsigned();
                Ok(Answer::Refused(Refusal {
                    cause: body.pointer(0).text()?.to_owned(),
                    retry_after: Duration::from_nanos(nanoseconds),
                    should_retry: body.bit(64),
                }))
            }
            1 => Ok(Answer::Registered(Details {
                connection: uuid(body.pointer(0))?,
                location: body.pointer(1).text()?.to_owned(),
                remotely_managed: body.bit(0),
            })),
            _ => Err(Malformed::Misplaced("answer to a registration")),
        }
    }
}

fn structure(value: &Value) -> Result<Struct, Malformed> {
    value.clone().into_struct()
}

fn uuid(value: &Value) -> Result<[u8; 16], Malformed> {
    value.data()?.try_into().map_err(|_| Malformed::Misplaced("UUID"))
}

#[cfg(test)]
mod tests;
