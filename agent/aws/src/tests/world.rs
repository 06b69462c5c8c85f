//! A metadata service and an AWS of one instance, as far as this room and the next need them.

use super::server::{Hold, Reply, Request, Server};
use crate::{Aws, Endpoints, Metadata, Network, Region};
use dns::Resolver;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

pub const ENV_TAG: &str = "adv:env";

pub struct State {
    /// None: tags are off.
    pub tags: Option<BTreeMap<String, String>>,
    /// What is answered to the next requests, whatever they are.
    pub faults: VecDeque<Reply>,
    /// What is answered to a path instead.
    pub instead: BTreeMap<String, (u16, Vec<u8>)>,
    /// The only token that is taken, and how many were given.
    pub token: String,
    pub tokens: usize,
    pub role: Option<String>,
    /// How long credentials are good for, and how many were given.
    pub good_for: Duration,
    pub credentials: usize,
}

pub struct Imds {
    pub server: Server,
    pub state: Arc<Mutex<State>>,
}

impl Imds {
    pub async fn start() -> Self {
        Self::holding(&Hold::Nothing).await
    }

    pub async fn holding(hold: &Hold) -> Self {
        let state = Arc::new(Mutex::new(State {
            tags: Some([(ENV_TAG.to_owned(), "dev".to_owned())].into()),
            faults: VecDeque::new(),
            instead: BTreeMap::new(),
            token: String::new(),
            tokens: 0,
            role: Some("made-up-role".into()),
            good_for: Duration::from_secs(6 * 3600),
            credentials: 0,
        }));
        let shared = state.clone();
        let server = Server::holding(hold, move |request| shared.lock().unwrap().answer(request)).await;
        Self { server, state }
    }

    pub fn metadata(&self) -> Metadata {
        Metadata::new(&self.server.url(), &Resolver::system()).unwrap()
    }

    pub fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    pub fn tag(&self, value: &str) {
        self.with(|state| state.tags = Some([(ENV_TAG.to_owned(), value.to_owned())].into()));
    }

    pub fn instead(&self, path: &str, status: u16, body: impl Into<Vec<u8>>) {
        self.with(|state| state.instead.insert(path.into(), (status, body.into())));
    }
}

impl State {
    pub fn answer(&mut self, request: &Request) -> Reply {
        if let Some(fault) = self.faults.pop_front() {
            return fault;
        }
        if let Some((status, body)) = self.instead.get(&request.path) {
            return Reply::new(*status, body.clone());
        }
        if (request.method.as_str(), request.path.as_str()) == ("PUT", "/latest/api/token") {
            assert_eq!(request.header("x-aws-ec2-metadata-token-ttl-seconds"), Some("21600"));
            self.tokens += 1;
            self.token = format!("token-{}", self.tokens);
            return Reply::new(200, self.token.clone()).with("x-aws-ec2-metadata-token-ttl-seconds", "21600");
        }
        if request.header("x-aws-ec2-metadata-token") != Some(&self.token) {
            return Reply::new(401, "");
        }
        match self.value(request.path.trim_start_matches("/latest/meta-data/")) {
            Some(value) => Reply::new(200, value),
            None => Reply::new(404, "<html>404 - Not Found</html>"),
        }
    }

    fn value(&mut self, path: &str) -> Option<String> {
        let role_path = "iam/security-credentials/";
        match path {
            "instance-id" => Some("i-0123456789abcdef0".into()),
            "placement/region" => Some("eu-central-1".into()),
            "placement/availability-zone" => Some("eu-central-1b".into()),
            "ami-id" => Some("ami-0123456789abcdef0".into()),
            "tags/instance/" => Some(self.tags.as_ref()?.keys().cloned().collect::<Vec<_>>().join("\n")),
            _ if path == role_path => self.role.clone(),
            _ if path.strip_prefix(role_path).is_some_and(|role| Some(role) == self.role.as_deref()) => {
                self.credentials += 1;
                Some(credentials(self.good_for, self.credentials))
            }
            _ => self.tags.as_ref()?.get(path.strip_prefix("tags/instance/")?).cloned(),
        }
    }
}

fn credentials(good_for: Duration, number: usize) -> String {
    let expiration = humantime::format_rfc3339_seconds(SystemTime::now() + good_for);
    serde_json::json!({
        "Code": "Success", "LastUpdated": "2026-01-01T00:00:00Z", "Type": "AWS-HMAC",
        "AccessKeyId": format!("ASIAMADEUP{number}"), "SecretAccessKey": "made-up-key", "Token": "made-up-session",
        "Expiration": expiration.to_string(),
    })
    .to_string()
}

/// An AWS that answers every call; `secret` says what to the one for the secret.
pub async fn aws_server(secret: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |request| {
        assert!(request.header("authorization").is_some_and(|value| value.starts_with("AWS4-HMAC-SHA256 ")));
        if request.header("x-amz-target") == Some("secretsmanager.GetSecretValue") {
            secret(request)
        } else if request.path.contains("GraniteServiceVersion20100801") {
            Reply::new(200, [0xa0]).with("smithy-protocol", "rpc-v2-cbor").with("content-type", "application/cbor")
        } else {
            let name = "DescribeAutoScalingInstances";
            let body = format!("<{name}Response><{name}Result><AutoScalingInstances/></{name}Result></{name}Response>");
            Reply::new(200, body).with("content-type", "text/xml")
        }
    })
    .await
}

pub fn secret_of(version: &str) -> Reply {
    let body = serde_json::json!({"ARN": "arn:made-up", "Name": "n", "VersionId": version, "SecretString": r#"{"config_yaml": "tunnel: t", "credentials_json": "{}"}"#});
    Reply::new(200, body.to_string()).with("content-type", "application/x-amz-json-1.1")
}

pub fn region() -> Region {
    Region::parse("eu-central-1").unwrap()
}

pub fn network(endpoint: &str) -> Network {
    let endpoints = Endpoints::read(|name| (name == "AWS_ENDPOINT_URL").then(|| endpoint.to_owned())).unwrap();
    Network { endpoints, resolver: Resolver::system(), roots: Vec::new() }
}

pub fn aws(imds: &Imds, endpoint: &str) -> Aws {
    Aws::new(&settings::Aws { proxy: String::new() }, &imds.metadata(), network(endpoint)).unwrap()
}
