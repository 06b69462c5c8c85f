//! Session tokens of IMDSv2.

use super::error_page;
use crate::http::{Answer, text};
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Where a token is asked for, with PUT.
pub const PATH: &str = "/latest/api/token";

const TTL_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";
const LONGEST_TTL_S: u64 = 21_600;

/// The tokens given out, with their ends.
#[derive(Debug, Default)]
pub struct Tokens(HashMap<String, Instant>);

impl Tokens {
    /// Gives out a token. The TTL is given back in a header, which SDKs rely on.
    pub fn answer_put(&mut self, headers: &HeaderMap, now: Instant) -> Answer {
        // The service gives no token to what came through a proxy.
        if headers.contains_key("x-forwarded-for") {
            return error_page(StatusCode::FORBIDDEN);
        }
        let ttl = headers.get(TTL_HEADER).and_then(|ttl| ttl.to_str().ok()?.parse().ok());
        let Some(ttl) = ttl.filter(|ttl| (1..=LONGEST_TTL_S).contains(ttl)) else {
            return error_page(StatusCode::BAD_REQUEST);
        };
        let token = uuid::Uuid::new_v4().simple().to_string();
        self.0.insert(token.clone(), now + Duration::from_secs(ttl));
        let mut answer = text(StatusCode::OK, token);
        answer.headers_mut().insert(TTL_HEADER, HeaderValue::from(ttl));
        answer
    }

    /// Whether the request carries a token that is still good.
    pub fn allow(&self, headers: &HeaderMap, now: Instant) -> bool {
        let token = headers.get(TOKEN_HEADER).and_then(|token| token.to_str().ok());
        token.and_then(|token| self.0.get(token)).is_some_and(|end| now < *end)
    }

    /// Ends all of them.
    pub fn expire(&mut self) {
        self.0.clear();
    }
}
