//! The whole way of a payload into the store: checked, staged, held against cloudflared's own rules, published.

use super::Service;
use super::equivalence;
use super::{Bundle, Error, Found, Made, Policy, RuleBroken, Writer};
use crate::Payload;
use cflared_verdict::{Failure, FailureKind, Installed};
use cloudflared::ValidateError;
use dns::Resolver;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::task::JoinSet;

/// How long cloudflared's own check may take; it takes some 50 ms.
const VALIDATE: Duration = Duration::from_secs(10);

/// What a payload is taken in with.
#[derive(Debug, Clone)]
pub struct Intake {
    /// Where it goes.
    pub store: Arc<Writer>,
    /// The id of this instance.
    pub instance: String,
    /// Its environment.
    pub environment: String,
    /// The time, for people.
    pub now: SystemTime,
    /// cloudflared, which is asked about the ingress rules.
    pub binary: PathBuf,
    /// What the host forbids.
    pub policy: Policy,
    /// Looks up the hosts of the rules.
    pub resolver: Resolver,
}

/// What came of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The generation that it is now. `current` does not name it yet.
    pub installed: Installed,
    /// Whether it means the same to a connector as the generation that `current` names.
    pub equivalent: bool,
}

/// Why a payload was not taken in. The bundle that was there still is.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// It breaks a rule.
    #[error(transparent)]
    Rule(#[from] RuleBroken),
    /// The file system is in the way.
    #[error(transparent)]
    Store(#[from] Error),
    /// cloudflared refuses it, or could not be asked.
    #[error(transparent)]
    Cloudflared(#[from] ValidateError),
    /// The work on the disk ended in the middle.
    #[error("failed to install the bundle: {0}; the agent will try again")]
    Cut(#[from] tokio::task::JoinError),
}

impl From<NotTaken> for Failure {
    fn from(error: NotTaken) -> Self {
        let kind = match &error {
            NotTaken::Rule(_) | NotTaken::Cloudflared(ValidateError::Refused { .. }) => FailureKind::Invalid,
            NotTaken::Store(_) | NotTaken::Cloudflared(_) | NotTaken::Cut(_) => FailureKind::Host,
        };
        Failure::new(kind, error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::new(FailureKind::Host, error.to_string())
    }
}

impl Intake {
    /// Takes the payload in.
    ///
    /// # Errors
    /// It breaks a rule, the file system refused, or cloudflared did.
    pub async fn take(self, payload: Payload) -> Result<Taken, NotTaken> {
        let Self { store, instance, environment, now, binary, policy, resolver } = self;
        let staging = store.clone();
        let bundle = Bundle::check(payload, &policy)?;
        check_names(bundle.services(), &policy, &resolver).await?;
        let (staged, equivalent) = tokio::task::spawn_blocking(move || {
            let made = Made { instance: &instance, environment: &environment, now };
            let serves = match staging.store().installed(&instance, Some(&environment)) {
                Found::Whole(installed) => staging.store().parts(&installed).ok(),
                Found::Nothing | Found::Unusable { .. } => None,
            };
            let equivalent = serves.is_some_and(|serves| equivalence::same(&serves, &bundle));
            staging.with(|store| Ok::<_, NotTaken>((store.stage(&bundle, made)?, equivalent)))
        })
        .await??;
        cloudflared::validate_ingress(&binary, &staged.config_path(), VALIDATE).await?;
        let installed = tokio::task::spawn_blocking(move || store.with(|store| store.publish(staged))).await??;
        Ok(Taken { installed, equivalent })
    }
}

/// How long one name may take. A name that is not known now is no reason to refuse a bundle.
const NAME: Duration = Duration::from_secs(2);
/// How many names are looked up.
const NAMES: usize = 100;

/// Looks the hosts of the rules up, side by side, and holds what they resolve to against the policy.
///
/// # Errors
/// One of them leads to where the policy forbids.
pub async fn check_names(services: &[Service], policy: &Policy, resolver: &Resolver) -> Result<(), RuleBroken> {
    let resolver = resolver.afresh(NAME);
    let mut looking = JoinSet::new();
    let origins = services.iter().filter_map(|service| match service {
        Service::Network(origin) if origin.address().is_none() => Some(origin.clone()),
        Service::Network(_) | Service::Socket { .. } | Service::Answer(_) | Service::Proxy(_) => None,
    });
    for origin in origins.take(NAMES) {
        let resolver = resolver.clone();
        looking.spawn(async move { (resolver.lookup(&origin.host).await.unwrap_or_default(), origin) });
    }
    while let Some(looked) = looking.join_next().await {
        // A look-up that was cut has found nothing.
        let Ok((addresses, origin)) = looked else { continue };
        if let Some((address, why)) = policy.forbidden_among(&addresses, origin.port) {
            return Err(RuleBroken::NameForbidden { service: origin.to_string(), address, why });
        }
    }
    Ok(())
}
