//! How the edge answered the registrations, as `/metrics` counts them. Over QUIC nothing else tells a refusal from silence
//! (observed, 2026.8.2: all refused tries were in the bucket, none of those that hung; in the public source since 2024.6).

use super::sample::Sample;
use cflared_verdict::Tries;

/// The bound of the bucket of answers, in seconds: the greatest below the program's own time-out of 5 s.
const ANSWERED: f64 = 4.05;
/// What a bound may be printed off by: it is computed, and reads `4.050000000000001`.
const OFF: f64 = 0.01;

/// The sums of a page.
#[derive(Debug, Default)]
pub(super) struct Registrations {
    /// `tunnel_register_success`.
    accepted: u64,
    /// `tunnel_register_fail`, but for the next.
    failed: u64,
    /// `tunnel_register_fail{error="dup_edge_conn"}`: the edge has this connection already.
    duplicate: u64,
    /// The registrations that were answered, whatever the answer; `None`: there is no such bucket.
    answered: Option<u64>,
    /// The connections that QUIC was asked for; `None`: it was not.
    dialled: Option<u64>,
}

impl Registrations {
    pub fn take(&mut self, sample: &Sample<'_>, value: u64) {
        let add = |total: u64| total.saturating_add(value);
        match sample.name {
            "cloudflared_tunnel_tunnel_register_success" => self.accepted = add(self.accepted),
            "cloudflared_tunnel_tunnel_register_fail" if sample.label("error") == Some("dup_edge_conn") => {
                self.duplicate = add(self.duplicate);
            }
            "cloudflared_tunnel_tunnel_register_fail" => self.failed = add(self.failed),
            "cloudflared_rpc_client_latency_secs_bucket" if is_answered(sample) => {
                self.answered = Some(add(self.answered.unwrap_or(0)));
            }
            "quic_client_total_connections" => self.dialled = Some(add(self.dialled.unwrap_or(0))),
            _ => {}
        }
    }

    /// What was tried; `None` if registrations are counted and their times are not, as in versions before 2024.6.
    pub fn tries(&self) -> Option<Tries> {
        let Self { accepted, failed, duplicate, answered, dialled } = *self;
        let none_yet = accepted == 0 && failed == 0 && duplicate == 0;
        let answered = answered.or(none_yet.then_some(0))?;
        // The counters of a page are not of one moment: a try may be in one and not yet in the other.
        let refused = answered.saturating_sub(accepted).saturating_sub(duplicate).min(failed);
        Some(Tries { accepted, refused, unanswered: failed - refused, dialled })
    }
}

fn is_answered(sample: &Sample<'_>) -> bool {
    let bound = sample.label("le").and_then(|bound| bound.parse::<f64>().ok());
    sample.label("method") == Some("register_connection") && bound.is_some_and(|bound| (bound - ANSWERED).abs() < OFF)
}

#[cfg(test)]
mod tests;
