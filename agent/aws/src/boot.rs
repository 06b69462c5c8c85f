//! Identifies this instance, however long that takes.

use super::error::Error;
use super::metadata::Metadata;
use super::types::{Environment, Instance};
use backon::{BackoffBuilder, ExponentialBuilder};
use std::ops::ControlFlow;
use std::time::Duration;

/// Between two tries; jitter adds up to as much again. The first twenty or so tries take about a minute, in which the
/// network of a booting instance comes up; later a person has to mend something.
const FIRST_DELAY: Duration = Duration::from_millis(200);
const BOOT_DELAY: Duration = Duration::from_millis(2500);
const BOOT_TRIES: usize = 20;
const LATER_DELAY: Duration = Duration::from_secs(10);

/// What is known once the metadata service has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// Who this instance is.
    pub instance: Instance,
    /// What its tag says it is for.
    pub environment: Environment,
}

/// Asks until it is known, for ever if need be: tags and metadata options get repaired live. `report` sees every
/// failure, and may end it.
///
/// # Errors
/// The failure at which `report` broke off.
pub async fn until_known<T, F: Future<Output = Result<T, Error>>>(
    mut ask: impl FnMut() -> F,
    mut report: impl FnMut(&Error) -> ControlFlow<()>,
) -> Result<T, Error> {
    let mut delays = delays();
    loop {
        let error = match ask().await {
            Ok(known) => return Ok(known),
            Err(error) => error,
        };
        if report(&error).is_break() {
            return Err(error);
        }
        tokio::time::sleep(delays.next().unwrap_or(LATER_DELAY)).await;
    }
}

/// Asks once for all of it.
///
/// # Errors
/// The metadata service gave no usable answer, or the tag is missing or does not name an environment that is allowed.
pub async fn identify(metadata: &Metadata, settings: &settings::Identity) -> Result<Discovered, Error> {
    let (instance, environment) = tokio::try_join!(metadata.instance(), environment(metadata, settings))?;
    Ok(Discovered { instance, environment })
}

/// Reads the tag that names the environment. It can be changed live.
///
/// # Errors
/// The metadata service gave no usable answer, or the tag is missing or does not name an environment that is allowed.
pub async fn environment(metadata: &Metadata, settings: &settings::Identity) -> Result<Environment, Error> {
    let key = || settings.env_tag.clone();
    let tag = metadata.tag(&settings.env_tag).await?.ok_or_else(|| Error::TagMissing { key: key() })?;
    let environment = Environment::parse(&tag).map_err(|source| Error::TagMalformed { key: key(), source })?;
    let allowed = &settings.allowed_environments;
    if allowed.is_empty() || allowed.iter().any(|name| name == environment.as_str()) {
        Ok(environment)
    } else {
        Err(Error::TagNotAllowed { key: key(), environment: environment.to_string(), allowed: allowed.join(", ") })
    }
}

fn delays() -> impl Iterator<Item = Duration> {
    let boot = ExponentialBuilder::new()
        .with_min_delay(FIRST_DELAY)
        .with_max_delay(BOOT_DELAY)
        .with_max_times(BOOT_TRIES)
        .with_jitter();
    let later = ExponentialBuilder::new().with_min_delay(LATER_DELAY).with_max_delay(LATER_DELAY);
    boot.build().chain(later.without_max_times().with_jitter().build())
}
