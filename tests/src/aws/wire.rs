//! The wire formats. Inside, inputs and outputs are JSON values with the member names of the services' API models.

use super::{cbor, xml};
use crate::http::{Answer, Asked, answer, text};
use flate2::read::GzDecoder;
use hyper::StatusCode;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value, json};
use std::io::Read;

const CLOUDWATCH_PATH: &str = "/service/GraniteServiceVersion20100801/operation/";
const SMITHY_PROTOCOL: &str = "smithy-protocol";
const RPC_V2_CBOR: &str = "rpc-v2-cbor";

/// A service, by its wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// JSON 1.1, action in `X-Amz-Target`.
    SecretsManager,
    /// rpc-v2-cbor, action in the path.
    CloudWatch,
    /// Form in, XML out, action in the form.
    AutoScaling,
    /// JSON 1.1, action in `X-Amz-Target`.
    Logs,
}

impl Service {
    /// The name that requests to it are signed for, and its faults go by.
    pub fn signing_name(self) -> &'static str {
        match self {
            Self::SecretsManager => "secretsmanager",
            Self::CloudWatch => "monitoring",
            Self::AutoScaling => "autoscaling",
            Self::Logs => "logs",
        }
    }

    /// The name of an action in IAM policies, which for CloudWatch is not made from the signing name.
    pub fn permission(self, action: &str) -> String {
        let prefix = if self == Self::CloudWatch { "cloudwatch" } else { self.signing_name() };
        format!("{prefix}:{action}")
    }
}

/// A request, told apart and decoded.
#[derive(Debug)]
pub struct Call {
    /// Which service.
    pub service: Service,
    /// Which action, as `GetSecretValue`.
    pub action: String,
    /// Its input. Of Auto Scaling: the flat form (`InstanceIds.member.1`), all values text.
    pub input: Value,
}

/// An error of a service.
#[derive(Debug, PartialEq)]
pub struct ServiceError {
    /// HTTP status.
    pub status: StatusCode,
    /// Error code.
    pub code: String,
    /// Text for people.
    pub message: String,
}

impl ServiceError {
    /// An error the caller is to blame for, status 400.
    pub fn sender(code: &str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: code.to_owned(), message: message.into() }
    }

    /// The same error with another status.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

/// Why a request could not be decoded, and which service says so; none: it is for none of them.
#[derive(Debug)]
pub struct Unreadable {
    service: Option<Service>,
    message: String,
}

impl Unreadable {
    /// The answer to such a request.
    pub fn answer(self) -> Answer {
        match self.service {
            Some(service) => error(service, &ServiceError::sender("SerializationException", self.message)),
            None => text(StatusCode::NOT_FOUND, self.message),
        }
    }
}

/// Decodes a request.
///
/// # Errors
/// It is for none of the services, or cannot be decoded.
pub fn read(request: &Asked) -> Result<Call, Unreadable> {
    if let Some(target) = request.headers().get("x-amz-target") {
        return read_json(target, request.body());
    }
    if let Some(action) = request.uri().path().strip_prefix(CLOUDWATCH_PATH) {
        return read_cbor(action, request);
    }
    read_form(request.body())
}

fn read_json(target: &HeaderValue, body: &[u8]) -> Result<Call, Unreadable> {
    let target = target.to_str().unwrap_or_default();
    let named = |prefix: &str, service| Some((service, target.strip_prefix(prefix)?));
    let (service, action) = named("secretsmanager.", Service::SecretsManager)
        .or_else(|| named("Logs_20140328.", Service::Logs))
        .ok_or_else(|| unreadable(Service::SecretsManager, "the target is no action that is stood in for"))?;
    let input = serde_json::from_slice(body).map_err(|error| unreadable(service, error))?;
    Ok(Call { service, action: action.to_owned(), input })
}

fn read_cbor(action: &str, request: &Asked) -> Result<Call, Unreadable> {
    let service = Service::CloudWatch;
    if request.headers().get(SMITHY_PROTOCOL).is_none_or(|protocol| protocol != RPC_V2_CBOR) {
        return Err(unreadable(service, "the header smithy-protocol: rpc-v2-cbor is missing"));
    }
    let unpacked = match request.headers().get(CONTENT_ENCODING) {
        None => Ok(request.body().to_vec()),
        Some(encoding) if encoding == "gzip" => gunzip(request.body()),
        Some(_) => return Err(unreadable(service, "the content encoding is not gzip")),
    };
    let input = unpacked.map_err(|error| unreadable(service, error))?;
    let input = cbor::decode(&input).map_err(|error| unreadable(service, error))?;
    Ok(Call { service, action: action.to_owned(), input })
}

fn gunzip(packed: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

fn read_form(body: &[u8]) -> Result<Call, Unreadable> {
    let mut input: Map<String, Value> = form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    let version = input.remove("Version");
    match (input.remove("Action"), version) {
        (Some(Value::String(action)), Some(Value::String(version))) if version == "2011-01-01" => {
            Ok(Call { service: Service::AutoScaling, action, input: Value::Object(input) })
        }
        _ => Err(Unreadable {
            service: None,
            message: "no service that is stood in for is asked like this\n".to_owned(),
        }),
    }
}

fn unreadable(service: Service, cause: impl ToString) -> Unreadable {
    Unreadable { service: Some(service), message: cause.to_string() }
}

/// The answer with the outcome of an action.
pub fn write(service: Service, action: &str, outcome: Result<Value, ServiceError>) -> Answer {
    let output = match outcome {
        Ok(output) => output,
        Err(refused) => return error(service, &refused),
    };
    match service {
        Service::SecretsManager | Service::Logs => with_request_id(answer(StatusCode::OK, JSON, output.to_string())),
        Service::CloudWatch => mark_cbor(answer(StatusCode::OK, CBOR, cbor::encode(&output))),
        Service::AutoScaling => with_request_id(answer(StatusCode::OK, XML, xml::response(action, &output))),
    }
}

/// The answer with an error of a service.
pub fn error(service: Service, error: &ServiceError) -> Answer {
    let ServiceError { status, code, message } = error;
    match service {
        Service::SecretsManager | Service::Logs => {
            // The service itself is of two minds about the case of "message".
            let key = if code == "AccessDeniedException" { "Message" } else { "message" };
            with_request_id(answer(*status, JSON, json!({"__type": code, key: message}).to_string()))
        }
        Service::CloudWatch => {
            let body = cbor::encode(&json!({"__type": code, "message": message}));
            let mut answer = mark_cbor(answer(*status, CBOR, body));
            // The model is awsQueryCompatible: clients that grew up with the query protocol look here for the code.
            let query_error = HeaderValue::from_str(&format!("{code};{}", fault_of(*status)));
            if let Ok(query_error) = query_error {
                answer.headers_mut().insert("x-amzn-query-error", query_error);
            }
            answer
        }
        Service::AutoScaling => {
            with_request_id(answer(*status, XML, xml::error_response(fault_of(*status), code, message)))
        }
    }
}

const JSON: &str = "application/x-amz-json-1.1";
const CBOR: &str = "application/cbor";
const XML: &str = "text/xml";

fn fault_of(status: StatusCode) -> &'static str {
    if status.is_server_error() { "Receiver" } else { "Sender" }
}

fn mark_cbor(answer: Answer) -> Answer {
    let mut answer = with_request_id(answer);
    answer.headers_mut().insert(SMITHY_PROTOCOL, HeaderValue::from_static(RPC_V2_CBOR));
    if http_body_is_empty(&answer) {
        answer.headers_mut().remove(CONTENT_TYPE);
    }
    answer
}

fn http_body_is_empty(answer: &Answer) -> bool {
    hyper::body::Body::size_hint(answer.body()).exact() == Some(0)
}

fn with_request_id(mut answer: Answer) -> Answer {
    let id = uuid::Uuid::new_v4().to_string();
    let id = HeaderValue::from_str(&id).expect("a UUID is ASCII");
    answer.headers_mut().insert("x-amzn-requestid", id);
    answer
}
