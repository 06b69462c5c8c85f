//! The time at AWS, from the `Date` of its answers: AWS's dates are compared with AWS's own clock, so that a wrong
//! clock of this host changes no age.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;
use cflared_verdict::{Failure, FailureKind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How far this host's clock may be off. AWS refuses signatures that are off by more
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html>, "request expired").
pub const MOST_SKEW: Duration = Duration::from_secs(5 * 60);

/// Listens to the answers of the calls that it is given to as an interceptor. Clones share what they heard.
#[derive(Debug, Clone, Default)]
pub struct ServiceClock(Arc<Mutex<Option<SystemTime>>>);

impl ServiceClock {
    /// The time at AWS when it answered last, to the second; `local` if no answer had a date.
    pub fn now(&self, local: SystemTime) -> SystemTime {
        self.told().unwrap_or(local)
    }

    /// Whether this host's clock, which said `local` a few seconds ago at most, agrees with AWS's.
    ///
    /// # Errors
    /// They differ by more than [`MOST_SKEW`].
    pub fn check(&self, local: SystemTime) -> Result<(), Failure> {
        let Some(told) = self.told() else { return Ok(()) };
        let (off, side) = match told.duration_since(local) {
            Ok(behind) => (behind, "behind"),
            Err(error) => (error.duration(), "ahead of"),
        };
        if off <= MOST_SKEW {
            return Ok(());
        }
        let off = humantime::format_duration(Duration::from_secs(off.as_secs()));
        let text = format!(
            "failed to tell the age of what AWS answered: this host's clock is {off} {side} AWS's; check that chrony \
             runs and is synchronised (`chronyc tracking`)"
        );
        Err(Failure::new(FailureKind::Host, text))
    }

    /// The time that the last answer was dated with, to the second.
    pub fn told(&self) -> Option<SystemTime> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[dyn_dispatch_hint]
impl Intercept for ServiceClock {
    fn name(&self) -> &'static str {
        "ServiceClock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response().headers();
        // Without a date that can be read there is the local clock. One with an age is from a cache (RFC 9111 §5.1), and the
        // date is of long ago.
        let date = headers.get("date").filter(|_| headers.get("age").is_none());
        let date = date.and_then(|text| DateTime::from_str(text, Format::HttpDate).ok());
        if let Some(date) = date.and_then(|date| SystemTime::try_from(date).ok()) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(date);
        }
        Ok(())
    }
}
