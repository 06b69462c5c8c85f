#![doc = include_str!("CONTROL.md")]

pub mod autoscaling;
mod cbor;
mod cloudwatch;
mod control;
mod credentials;
pub mod logs;
mod policy;
mod secrets;
mod sigv4;
#[cfg(test)]
mod tests;
pub mod time;
pub mod tls;
mod wire;
mod xml;

pub use autoscaling::{Group, GroupInstance, Health, Mark};
pub use cloudwatch::{Datapoint, MinuteSum, Visibility};
pub use credentials::Credentials;
pub use policy::Policy;
pub use secrets::{Secret, SecretValue, Version};

use crate::http::faults::{Fault, Faults, Refusal};
use crate::http::requests::Requests;
use crate::http::{Answer, Asked, accept, control as http_control, serve, serve_connection};
use cloudwatch::Metrics;
use hyper::StatusCode;
use hyper::header::{DATE, HeaderValue};
use secrets::Secrets;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use wire::{Call, Service, ServiceError};

/// What can be faked and how, for `--help`.
pub const HELP: &str = include_str!("CONTROL.md");
/// The region both stand-ins are in unless told otherwise.
pub const DEFAULT_REGION: &str = "us-east-1";

const ACCOUNT: &str = "123456789012";

/// The services in one region of one account. Clones share their state.
#[derive(Clone, Debug)]
pub struct Aws {
    state: Arc<Mutex<State>>,
    requests: Requests,
}

#[derive(Debug)]
struct State {
    region: String,
    callers: BTreeMap<String, Credentials>,
    clock_ahead_s: i64,
    policy: Option<Policy>,
    /// What callers may do that are of a role of their own, by their access key.
    roles: BTreeMap<String, Vec<Policy>>,
    logs: logs::Logs,
    faults: Faults,
    secrets: Secrets,
    metrics: Metrics,
    scaling: autoscaling::Scaling,
}

impl Default for Aws {
    fn default() -> Self {
        Self::new(DEFAULT_REGION)
    }
}

impl Aws {
    /// The services in `region`, empty, with nothing planted. They know the default [`Credentials`].
    pub fn new(region: &str) -> Self {
        let state = State {
            region: region.to_owned(),
            callers: BTreeMap::new(),
            clock_ahead_s: 0,
            policy: None,
            roles: BTreeMap::new(),
            logs: logs::Logs::default(),
            faults: Faults::default(),
            secrets: Secrets::new(region, ACCOUNT),
            metrics: Metrics::default(),
            scaling: autoscaling::Scaling::default(),
        };
        let aws = Self { state: Arc::new(Mutex::new(state)), requests: Requests::default() };
        aws.trust(Credentials::default());
        aws
    }

    /// Serves the connections of `listener` without TLS, for ever.
    ///
    /// # Errors
    /// Accepting failed.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        serve(listener, move |request| self.clone().handle(request)).await
    }

    /// Serves the connections of `listener` with TLS, for ever.
    ///
    /// # Errors
    /// Accepting failed.
    pub async fn serve_tls(self, listener: TcpListener, tls: TlsAcceptor) -> std::io::Result<()> {
        loop {
            let stream = accept(&listener).await?;
            let (aws, tls) = (self.clone(), tls.clone());
            tokio::spawn(async move {
                // A client that does not like the certificate goes away, and says so itself.
                if let Ok(stream) = tls.accept(stream).await {
                    serve_connection(stream, move |request| aws.clone().handle(request)).await;
                }
            });
        }
    }

    /// Knows one more caller: requests signed with its keys are taken.
    pub fn trust(&self, caller: Credentials) {
        self.lock().callers.insert(caller.access_key_id.clone(), caller);
    }

    /// From now on callers may do what `policy` allows, and nothing else; none: anything.
    pub fn enforce(&self, policy: Option<Policy>) {
        self.lock().policy = policy;
    }

    /// Knows one more caller, of a role of its own: it may do what these policies allow, and nothing else, whatever others may.
    pub fn trust_role(&self, caller: Credentials, policies: Vec<Policy>) {
        self.lock().roles.insert(caller.access_key_id.clone(), policies);
        self.trust(caller);
    }

    /// Makes a log group; callers cannot.
    pub fn make_log_group(&self, name: &str) {
        self.lock().logs.make_group(name);
    }

    /// What was put into log groups: the group, the stream and the message.
    pub fn log_events(&self) -> Vec<logs::Event> {
        self.lock().logs.events().to_vec()
    }

    /// Sets the server's clock against that of the host, in seconds ahead.
    pub fn set_clock_ahead(&self, seconds: i64) {
        self.lock().clock_ahead_s = seconds;
    }

    /// The server's clock, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.lock().now_ms()
    }

    /// Plants a fault; its scope is the start of an action's name or of a service's (`secretsmanager`, `monitoring`,
    /// `autoscaling`). A request that is not signed well, or not allowed by the policy, is refused for that first, and uses up
    /// no fault.
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

    /// The record of requests: `secretsmanager.GetSecretValue`.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Makes `text` the current version of a secret, which is created or taken back from deletion as needed. Gives the
    /// `VersionId`.
    pub fn put_secret(&self, name: &str, text: &str) -> String {
        self.lock().secrets.put(name, SecretValue::Text(text.to_owned()))
    }

    /// The same with bytes, served as `SecretBinary`.
    pub fn put_binary_secret(&self, name: &str, bytes: &[u8]) -> String {
        self.lock().secrets.put(name, SecretValue::binary(bytes))
    }

    /// Makes a version that is there already the current one again, as `UpdateSecretVersionStage` does. Gives false if
    /// there is none of that id.
    pub fn make_current(&self, name: &str, version: &str) -> bool {
        self.lock().secrets.make_current(name, version)
    }

    /// Schedules a secret for deletion. Gives false if there is none.
    pub fn delete_secret(&self, name: &str) -> bool {
        self.lock().secrets.schedule_deletion(name)
    }

    /// Takes a secret back from deletion. Gives false if there is none.
    pub fn restore_secret(&self, name: &str) -> bool {
        self.lock().secrets.restore(name)
    }

    /// A secret with its versions.
    pub fn secret(&self, name: &str) -> Option<Secret> {
        self.lock().secrets.all().get(name).cloned()
    }

    /// Starts the records of requests, datapoints and marks anew.
    pub fn forget(&self) {
        self.requests.forget();
        let mut state = self.lock();
        state.metrics.forget();
        state.scaling.forget();
    }

    async fn handle(self, request: Asked) -> Answer {
        if let Some(command) = http_control::command(&request) {
            return control::answer(&self, command, &request);
        }
        let call = match wire::read(&request) {
            Ok(call) => call,
            Err(unreadable) => {
                let what = format!("unreadable {} {}", request.method(), request.uri().path());
                return self.requests.begin(what, None, None).answered(unreadable.answer());
            }
        };
        let service = call.service.signing_name();
        let by = sigv4::claimed_key(&request).map(str::to_owned);
        // Secrets and datapoints are kept elsewhere.
        let input = (call.service == Service::AutoScaling).then(|| call.input.clone());
        let in_flight = self.requests.begin(format!("{service}.{}", call.action), by.clone(), input);
        let allowed = self.lock().admit(&request, &call, by.as_deref());
        if let Err(refused) = allowed {
            let mut answer = wire::error(call.service, &refused);
            self.lock().stamp(&mut answer);
            return in_flight.answered(answer);
        }
        let plan = self.lock().faults.take(&[&call.action, service]);
        let apply = || wire::write(call.service, &call.action, self.lock().apply(&call, by.as_deref()));
        let refuse = |refusal| wire::error(call.service, &self.lock().refusal(refusal, &call));
        let mut answer = plan.play(apply, refuse).await;
        self.lock().stamp(&mut answer);
        in_flight.answered(answer)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the state")
    }
}

impl State {
    fn now_ms(&self) -> u64 {
        time::now_ms().saturating_add_signed(self.clock_ahead_s.saturating_mul(1000))
    }

    fn verify(&self, request: &Asked, service: Service) -> Result<(), ServiceError> {
        let expected = sigv4::Expected { service, region: &self.region, now_ms: self.now_ms() };
        sigv4::verify(request, &expected, self.callers.values())
    }

    /// Who asks, and whether they may.
    fn admit(&mut self, request: &Asked, call: &Call, by: Option<&str>) -> Result<(), ServiceError> {
        self.verify(request, call.service)?;
        if self.permits(call, by) { Ok(()) } else { Err(self.refusal(Refusal::Denied, call)) }
    }

    fn apply(&mut self, call: &Call, by: Option<&str>) -> Result<serde_json::Value, ServiceError> {
        let now_ms = self.now_ms();
        let Call { action, input, .. } = call;
        match call.service {
            Service::SecretsManager => self.secrets.call(action, input),
            Service::CloudWatch => self.metrics.call(action, input, now_ms, by.unwrap_or_default()),
            Service::AutoScaling => self.scaling.call(action, input, now_ms),
            Service::Logs => self.logs.call(action, input),
        }
    }

    fn refusal(&self, refusal: Refusal, call: &Call) -> ServiceError {
        let json = matches!(call.service, Service::SecretsManager | Service::Logs);
        match refusal {
            Refusal::Error { status, code, message } => ServiceError { status, code, message },
            Refusal::Throttled if json => ServiceError::sender("ThrottlingException", "Rate exceeded"),
            Refusal::Throttled => ServiceError::sender("Throttling", "Rate exceeded"),
            Refusal::Denied => {
                let permission = call.service.permission(&call.action);
                let message = format!(
                    "User: arn:aws:sts::{ACCOUNT}:assumed-role/cflared/stand-in is not authorized to perform: {permission} \
                     because no identity-based policy allows the {permission} action"
                );
                if json {
                    ServiceError::sender("AccessDeniedException", message)
                } else {
                    ServiceError::sender("AccessDenied", message).with_status(StatusCode::FORBIDDEN)
                }
            }
        }
    }

    /// The server's own clock goes into the answer: SDKs learn from it how far theirs is off.
    fn stamp(&self, answer: &mut Answer) {
        if let Ok(date) = HeaderValue::from_str(&time::http_date(self.now_ms())) {
            answer.headers_mut().insert(DATE, date);
        }
    }
}
