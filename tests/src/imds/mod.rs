#![doc = include_str!("CONTROL.md")]
//!
//! Status codes and paths are those of the EC2 user guide ("Use the Instance Metadata Service to access instance
//! metadata", "Instance metadata categories").

mod control;
mod instance;
mod paths;
#[cfg(test)]
mod tests;
mod tokens;

pub use instance::{Instance, SpotAction};

use crate::http::faults::{Fault, Faults, Refusal};
use crate::http::requests::Requests;
use crate::http::{Answer, Asked, control as http_control, serve, text};
use hyper::{Method, StatusCode};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;
use tokens::Tokens;
use tokio::net::TcpListener;

/// What can be faked and how, for `--help`.
pub const HELP: &str = include_str!("CONTROL.md");

/// The metadata service of one instance. Clones share its state.
#[derive(Clone, Debug)]
pub struct Imds {
    state: Arc<Mutex<State>>,
    requests: Requests,
}

#[derive(Debug)]
struct State {
    instance: Instance,
    tokens: Tokens,
    faults: Faults,
}

impl Imds {
    /// The metadata service of `instance`, with nothing planted.
    pub fn new(instance: Instance) -> Self {
        let state = State { instance, tokens: Tokens::default(), faults: Faults::default() };
        Self { state: Arc::new(Mutex::new(state)), requests: Requests::default() }
    }

    /// Serves the connections of `listener`, for ever.
    ///
    /// # Errors
    /// Accepting failed.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        serve(listener, move |request| self.clone().handle(request)).await
    }

    /// What the service says about the instance now.
    pub fn instance(&self) -> Instance {
        self.lock().instance.clone()
    }

    /// Changes what it says; seen by the next request.
    pub fn edit(&self, change: impl FnOnce(&mut Instance)) {
        change(&mut self.lock().instance);
    }

    /// Plants a fault; its scope is the start of a path.
    pub fn plant(&self, fault: Fault) {
        self.lock().faults.plant(fault);
    }

    /// Takes all faults away.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// Takes those faults away that were planted with exactly this scope.
    pub fn clear_faults_on(&self, scope: &str) {
        self.lock().faults.clear_scope(scope);
    }

    /// Ends all session tokens before their time: requests with them get 401 until a new one is asked for.
    pub fn expire_tokens(&self) {
        self.lock().tokens.expire();
    }

    /// The record of requests: `GET /latest/meta-data/instance-id`.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    async fn handle(self, request: Asked) -> Answer {
        if let Some(command) = http_control::command(&request) {
            return control::answer(&self, command, &request);
        }
        let path = request.uri().path();
        let in_flight = self.requests.begin(format!("{} {path}", request.method()), None, None);
        let plan = self.lock().faults.take(&[path]);
        let answer = plan.play(|| self.lock().answer(&request), refuse).await;
        in_flight.answered(answer)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the state")
    }
}

impl State {
    fn answer(&mut self, request: &Asked) -> Answer {
        let now = Instant::now();
        match *request.method() {
            Method::PUT if request.uri().path() == tokens::PATH => self.tokens.answer_put(request.headers(), now),
            Method::GET if !self.tokens.allow(request.headers(), now) => error_page(StatusCode::UNAUTHORIZED),
            Method::GET => match paths::document(&self.instance, request.uri().path()) {
                Some(document) => text(StatusCode::OK, document),
                None => error_page(StatusCode::NOT_FOUND),
            },
            _ => error_page(StatusCode::METHOD_NOT_ALLOWED),
        }
    }
}

fn refuse(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::Denied => error_page(StatusCode::FORBIDDEN),
        // The user guide lists 503 as "could not be completed, retry"; it names no status for throttling.
        Refusal::Throttled => error_page(StatusCode::SERVICE_UNAVAILABLE),
        Refusal::Error { status, message, .. } => text(status, message),
    }
}

/// Errors come as pages, which a careless client takes for a value.
fn error_page(status: StatusCode) -> Answer {
    let page = format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\n");
    crate::http::answer(status, "text/html", page)
}
