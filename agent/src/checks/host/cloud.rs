//! The identity of this instance, and the answers of AWS.

use super::Facts;
use super::seen::{Seen, within};
use crate::checks::catalogue::host as checks;
use crate::checks::{Found, Report};
use aws::secret::{self, Read};
use aws::service_clock::{MOST_SKEW, ServiceClock};
use aws::{Aws, Environment, Error, Instance, Metadata, Network, Region, environment};
use bundle::{Bundle, Payload, Policy};
use cflared_verdict::{FailureKind, VersionId};
use dns::Resolver;
use settings::Settings;
use std::time::{Duration, SystemTime};

/// How long the metadata service is asked: it answers within milliseconds.
const METADATA: Duration = Duration::from_secs(5);
/// How long AWS is asked, after that.
const CALL: Duration = Duration::from_secs(6);
/// How often it is asked: twice, so that a blink does not count.
const ATTEMPTS: u32 = 2;
/// From here on a clock is worth a look: nothing refuses it yet.
const DRIFT: Duration = Duration::from_secs(30);

/// What was seen.
#[derive(Debug)]
pub struct Cloud {
    /// Who this instance is.
    pub instance: Seen<Result<Instance, Error>>,
    /// Whether the metadata service answers without a token.
    pub tokenless: Seen<Result<bool, Error>>,
    /// What its tag says it is for.
    pub environment: Seen<Result<Environment, Error>>,
    /// The value of its hold tag.
    pub hold_tag: Seen<Result<Option<String>, Error>>,
    /// The role, and until when its credentials are good.
    pub role: Seen<Result<(String, Option<SystemTime>), Error>>,
    /// Whether the name of Secrets Manager's endpoint resolves; none: it was not asked for.
    pub name: Option<Result<(), String>>,
    /// The secret; none: it was not asked for, as its name is not known.
    pub secret: Option<Seen<Result<Current, secret::Error>>>,
    /// The time at AWS when it answered, and here.
    pub clocks: Option<(SystemTime, SystemTime)>,
}

/// The current version of the secret.
#[derive(Debug)]
pub struct Current {
    /// Its id.
    pub version: VersionId,
    /// Which rule it breaks, if it does.
    pub rules: Result<(), String>,
}

impl Cloud {
    /// Looks, within 11 s. `clock` tells the time of day.
    ///
    /// # Errors
    /// The environment or the settings name an endpoint that cannot be used.
    pub async fn look(settings: &Settings, resolver: &Resolver, clock: fn() -> SystemTime) -> Result<Self, String> {
        let metadata = Metadata::from_env(resolver).map_err(|error| error.to_string())?;
        let network = Network::from_env().map_err(|error| error.to_string())?;
        let aws = Aws::new(&settings.aws, &metadata, network).map_err(|error| error.to_string())?;
        let what = "the metadata service";
        let (instance, tokenless, environment, hold_tag, role) = tokio::join!(
            within(what, METADATA, metadata.instance()),
            within(what, METADATA, metadata.answers_without_token()),
            within(what, METADATA, environment(&metadata, &settings.identity)),
            within(what, METADATA, metadata.tag(&settings.identity.hold_tag)),
            within(what, METADATA, aws.role()),
        );
        let mut cloud =
            Self { instance, tokenless, environment, hold_tag, role, name: None, secret: None, clocks: None };
        if let (Ok(Ok(instance)), Ok(Ok(environment)), Ok(Ok(_))) = (&cloud.instance, &cloud.environment, &cloud.role) {
            let region = instance.region.clone();
            let name = settings.secret.name_for(environment.as_str());
            let heard = ServiceClock::default();
            let read = read(&aws, &region, &name, settings, &heard);
            let (secret, resolved) = tokio::join!(within(&name, CALL, read), resolves(&aws, &region, resolver));
            cloud.name = resolved;
            cloud.secret = Some(secret);
            // The call ended a moment ago at most.
            cloud.clocks = heard.told().map(|told| (told, clock()));
        }
        Ok(cloud)
    }
}

async fn resolves(aws: &Aws, region: &Region, resolver: &Resolver) -> Option<Result<(), String>> {
    let host = aws.secrets_manager_host(region)?;
    Some(resolver.lookup(&host).await.map(drop).map_err(|unknown| unknown.to_string()))
}

async fn read(
    aws: &Aws,
    region: &Region,
    name: &str,
    settings: &Settings,
    heard: &ServiceClock,
) -> Result<Current, secret::Error> {
    let client = aws.secrets_manager_heard_by(region, heard, ATTEMPTS);
    match secret::read(&client, name, None, Payload::parse).await? {
        Read::New(payload) => {
            let version = payload.version.clone();
            let checked = Bundle::check(payload, &Policy::of(settings, aws::metadata_address()));
            Ok(Current { version, rules: checked.map(drop).map_err(|rule| rule.to_string()) })
        }
        Read::Unchanged => Err(secret::Error::Incomplete { name: name.into(), part: "payload" }),
    }
}

/// What is found where nothing could be asked.
fn cloud(facts: &Facts) -> Result<&Cloud, Found> {
    facts.cloud.as_ref().map_err(Found::fail)
}

/// One answer of the metadata service, as a finding.
fn told<T>(seen: &Seen<Result<T, Error>>, fine: impl FnOnce(&T) -> Found) -> Found {
    match seen {
        Ok(Ok(value)) => fine(value),
        Ok(Err(error)) => Found::fail(error.to_string()),
        Err(why) => Found::fail(why).and("it should answer within milliseconds"),
    }
}

/// The metadata service tells who this is.
pub fn metadata(facts: &Facts) -> Found {
    let cloud = match cloud(facts) {
        Ok(cloud) => cloud,
        Err(found) => return found,
    };
    let found = told(&cloud.instance, |instance| {
        let Instance { id, zone, image, .. } = instance;
        Found::pass(format!("{id} in {zone}, of {image}"))
    });
    // The hop limit is that of the token's answer alone (EC2 user guide, "configure the hop limit").
    let answers = matches!(&cloud.tokenless, Ok(Ok(_)));
    match &cloud.instance {
        Err(_) | Ok(Err(Error::NoAnswer { .. })) if answers => Found::fail(
            "the metadata service answers, but gives no token: HttpPutResponseHopLimit is too low for this place",
        )
        .and(found.evidence.join("; ")),
        _ => found,
    }
}

/// Nothing without a token.
pub fn version_2_only(facts: &Facts) -> Found {
    match cloud(facts).map(|cloud| &cloud.tokenless) {
        Ok(Ok(Ok(true))) => Found::warn("it answers requests without a token (HttpTokens=optional)"),
        Ok(Ok(Ok(false))) => Found::pass("it refuses requests without a token"),
        Ok(Ok(Err(error))) => Found::not_known(error.to_string()),
        Ok(Err(why)) => Found::not_known(why),
        Err(found) => found,
    }
}

/// Tags are shown.
pub fn tags(facts: &Facts) -> Found {
    match cloud(facts).map(|cloud| &cloud.environment) {
        Ok(Ok(Err(error @ Error::TagsOff { .. }))) => Found::fail(error.to_string()),
        Ok(Ok(Err(error))) if !is_of_the_tag(error) => Found::fail(error.to_string()),
        Ok(Ok(_)) => Found::pass("the metadata service shows tags"),
        Ok(Err(why)) => Found::fail(why),
        Err(found) => found,
    }
}

fn is_of_the_tag(error: &Error) -> bool {
    matches!(error, Error::TagMissing { .. } | Error::TagMalformed { .. } | Error::TagNotAllowed { .. })
}

/// The tag names an environment.
pub fn environment_tag(facts: &Facts) -> Found {
    match cloud(facts) {
        Ok(cloud) => {
            told(&cloud.environment, |name| Found::pass(format!("{} is {name}", facts.settings.identity.env_tag)))
        }
        Err(found) => found,
    }
}

/// The role gives credentials.
pub fn role(facts: &Facts) -> Found {
    match cloud(facts) {
        Ok(cloud) => told(&cloud.role, |(name, until)| {
            let until = until.map(|until| format!(", good until {}", humantime::format_rfc3339_seconds(until)));
            Found::pass(format!("the role {name}{}", until.unwrap_or_default()))
        }),
        Err(found) => found,
    }
}

/// What came of reading the secret, or what is found without.
fn secret(facts: &Facts) -> Result<&Result<Current, secret::Error>, Found> {
    match &cloud(facts)?.secret {
        Some(Ok(read)) => Ok(read),
        Some(Err(why)) => Err(Found::fail(why)),
        None => Err(Found::needs(&checks::ENVIRONMENT_TAG)),
    }
}

/// Something that is AWS answered, whatever it said.
pub fn aws(facts: &Facts, report: &Report) -> Found {
    let unreachable = |found: Found| {
        // The name that does not resolve explains it.
        let nameless = cloud(facts).is_ok_and(|cloud| matches!(cloud.name, Some(Err(_))));
        match report.failed(&[&checks::DNS]) {
            Some(dns) if nameless => found.evidence.into_iter().fold(Found::needs(dns), Found::and),
            _ => found,
        }
    };
    match secret(facts) {
        Ok(Err(error)) if error.kind() == FailureKind::Unreachable => unreachable(Found::fail(error.to_string())),
        Ok(Err(error)) if error.kind() == FailureKind::Host => Found::fail(error.to_string()),
        // Whatever it says: that it is too busy, or has a fault of its own, is an answer.
        Ok(_) => Found::pass("it answers"),
        Err(found) => unreachable(found),
    }
}

/// The clocks agree.
pub fn clock(facts: &Facts) -> Found {
    let Some((there, here)) = cloud(facts).ok().and_then(|cloud| cloud.clocks) else {
        return Found::not_known("the answers of AWS had no date");
    };
    let (off, side) = match there.duration_since(here) {
        Ok(behind) => (behind, "behind"),
        Err(error) => (error.duration(), "ahead of"),
    };
    let told = format!("this host's clock is {} {side} AWS's", super::agent::span(off));
    match off {
        off if off > MOST_SKEW => {
            Found::fail(format!("{told}, which refuses signatures that are off by more than 5 minutes"))
        }
        off if off > DRIFT => Found::warn(told),
        _ => Found::pass("within 30 s of AWS's"),
    }
}

/// The secret can be read.
pub fn secret_readable(facts: &Facts) -> Found {
    match secret(facts) {
        Ok(Ok(current)) => Found::pass(format!("its current version is {}", current.version)),
        Ok(Err(error)) if error.kind() == FailureKind::Invalid && !matches!(error, secret::Error::NotRead(_)) => {
            Found::pass("it was read")
        }
        // It answered "later": what this host may is not known by that.
        Ok(Err(error)) if error.kind() == FailureKind::Throttled => Found::not_known(error.to_string()),
        Ok(Err(error)) => Found::fail(error.to_string()),
        Err(found) => found,
    }
}

/// What it holds can be installed.
pub fn secret_valid(facts: &Facts) -> Found {
    match secret(facts) {
        // A rule that only cloudflared knows, or what the edge said of its credentials: the agent has tried.
        Ok(Ok(Current { version, rules: Ok(()) })) if let Some(why) = facts.refused(version) => Found::fail(why),
        Ok(Ok(Current { version, rules: Ok(()) })) => Found::pass(format!("version {version} keeps every rule")),
        Ok(Ok(Current { version, rules: Err(rule) })) => Found::fail(format!("version {version}: {rule}")),
        Ok(Err(error)) => Found::fail(error.to_string()),
        Err(found) => found,
    }
}
