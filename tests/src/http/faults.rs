//! Troubles that a person or a test plants in a stand-in, and how a request is made to suffer them.

use super::{Answer, answer, text};
use hyper::StatusCode;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::Duration;

/// A trouble, whom it meets, and how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The start of what it meets: of the path at the IMDS stand-in, of the action (`GetSecretValue`) or of the service
    /// (`secretsmanager`, `monitoring`, `autoscaling`) at the AWS stand-in. Empty: every request.
    #[serde(default)]
    pub scope: String,
    /// What goes wrong.
    pub trouble: Trouble,
    /// For how many requests; none: until cleared.
    #[serde(default)]
    pub times: Option<u32>,
}

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// It takes this many milliseconds longer. Adds up with any other trouble.
    DelayMs(u64),
    /// It is not done; the answer has this HTTP status, and a body in no service's format (as from a load balancer).
    Status(u16),
    /// It is not done; the answer is the service's own error, in its wire format.
    Error {
        /// HTTP status.
        status: u16,
        /// Error code, as `ResourceContention`.
        code: String,
        /// Text for people.
        message: String,
    },
    /// It is not done: the caller has no permission (IMDS: 403).
    Denied,
    /// It is not done: there were too many (IMDS: 503).
    Throttled,
    /// It is not done; status 200 with this body.
    BadBody(Body),
    /// It is not done, and never answered.
    BlackHole,
    /// It is done, and never answered.
    SwallowAnswer,
}

/// Bytes that need not be text; in JSON they are written as text.
#[derive(Clone, Debug, PartialEq)]
pub struct Body(pub Vec<u8>);

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(&self.0))
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into_bytes()))
    }
}

impl Trouble {
    /// It takes `delay` longer; counted in whole milliseconds.
    pub fn delay(delay: Duration) -> Self {
        Self::DelayMs(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))
    }

    /// The answer is status 200 with `body`.
    pub fn bad_body(body: impl Into<Vec<u8>>) -> Self {
        Self::BadBody(Body(body.into()))
    }

    /// The answer is the service's error `code`, in its wire format.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::Error { status, code: code.to_owned(), message: message.to_owned() }
    }

    /// Trouble that meets what starts with `scope`, until cleared.
    pub fn on(self, scope: &str) -> Fault {
        Fault { scope: scope.to_owned(), trouble: self, times: None }
    }

    /// Trouble that meets every request, until cleared.
    pub fn everywhere(self) -> Fault {
        self.on("")
    }
}

impl Fault {
    /// Meets only the next `times` requests in its scope.
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }
}

/// The faults that wait for requests, in the order they were planted.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Plants one more. Of several in one scope the first is used up before the next has its turn; delays add up.
    pub fn plant(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Takes all of them away. Requests already in a black hole stay there.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes those away that were planted with exactly this scope.
    pub fn clear_scope(&mut self, scope: &str) {
        self.0.retain(|fault| fault.scope != scope);
    }

    /// What a request that goes by `names` has to suffer, which is used up by it.
    pub fn take(&mut self, names: &[&str]) -> Plan {
        let mut plan = Plan::default();
        for fault in &mut self.0 {
            let met = names.iter().any(|name| name.starts_with(&fault.scope));
            let free = matches!(fault.trouble, Trouble::DelayMs(_)) || plan.trouble.is_none();
            if !met || !free {
                continue;
            }
            if let Some(times) = &mut fault.times {
                *times = times.saturating_sub(1);
            }
            match fault.trouble {
                Trouble::DelayMs(delay) => plan.delay += Duration::from_millis(delay),
                _ => plan.trouble = Some(fault.trouble.clone()),
            }
        }
        self.0.retain(|fault| fault.times != Some(0));
        plan
    }
}

/// What one request has to suffer.
#[derive(Debug, Default)]
pub struct Plan {
    delay: Duration,
    trouble: Option<Trouble>,
}

/// A refusal that each stand-in words in its service's own format.
#[derive(Debug)]
pub enum Refusal {
    /// No permission.
    Denied,
    /// Too many requests.
    Throttled,
    /// This error.
    Error {
        /// HTTP status.
        status: StatusCode,
        /// Error code.
        code: String,
        /// Text for people.
        message: String,
    },
}

impl Plan {
    /// Lets the request suffer: `apply` does it and gives the true answer, `refuse` words a refusal. May never return.
    pub async fn play(self, apply: impl FnOnce() -> Answer, refuse: impl FnOnce(Refusal) -> Answer) -> Answer {
        pause(self.delay).await;
        match self.trouble {
            None | Some(Trouble::DelayMs(_)) => apply(),
            Some(Trouble::Status(status)) => text(status_of(status), "a planted fault\n"),
            Some(Trouble::BadBody(Body(body))) => answer(StatusCode::OK, "application/octet-stream", body),
            Some(Trouble::Denied) => refuse(Refusal::Denied),
            Some(Trouble::Throttled) => refuse(Refusal::Throttled),
            Some(Trouble::Error { status, code, message }) => {
                refuse(Refusal::Error { status: status_of(status), code, message })
            }
            Some(Trouble::BlackHole) => std::future::pending().await,
            Some(Trouble::SwallowAnswer) => {
                apply();
                std::future::pending().await
            }
        }
    }
}

/// A delay. One of milliseconds is exact to less than a tenth of one: tokio's timer counts whole ones, and rounds up.
async fn pause(delay: Duration) {
    const SHORT: Duration = Duration::from_millis(20);
    if delay > SHORT {
        return tokio::time::sleep(delay).await;
    }
    if !delay.is_zero() {
        // It fails only when the runtime ends, and this with it.
        let _ = tokio::task::spawn_blocking(move || std::thread::sleep(delay)).await;
    }
}

fn status_of(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
