//! The settings as they stand in the file: every key optional, unknown keys refused.

use super::{Error, LogFormat, Mode, RemoteConfiguration, Settings, duration};
use input::yaml::{self, Unfit};
use serde::Deserialize;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Each section is a struct whose `Default` is the documented default; `deny_unknown_fields` names the allowed keys.
macro_rules! sections {
    ($($(#[$section:meta])* $name:ident { $($(#[$key:meta])* $field:ident: $kind:ty = $default:expr,)* })*) => {$(
        $(#[$section])*
        #[derive(Debug, Deserialize)]
        #[serde(default, deny_unknown_fields, expecting = "keys with values")]
        pub struct $name { $($(#[$key])* $field: $kind,)* }

        impl Default for $name {
            fn default() -> Self { Self { $($field: $default,)* } }
        }
    )*};
}

sections! {
    Raw {
        identity: Identity = Identity::default(),
        secret: Secret = Secret::default(),
        paths: Paths = Paths::default(),
        connector: Connector = Connector::default(),
        observe: Observe = Observe::default(),
        verdict: Verdict = Verdict::default(),
        handover: Handover = Handover::default(),
        lifecycle: Lifecycle = Lifecycle::default(),
        cloudwatch: CloudWatch = CloudWatch::default(),
        autoscaling: AutoScaling = AutoScaling::default(),
        aws: Aws = Aws::default(),
        log: Log = Log::default(),
        metrics: Metrics = Metrics::default(),
        validate: Validate = Validate::default(),
        mode: Mode = Mode::Act,
    }
    Identity {
        env_tag: String = "adv:env".into(),
        hold_tag: String = "adv:cflared-hold".into(),
        allowed_environments: Vec<String> = Vec::new(),
    }
    Secret {
        name: String = "/adventive/cloudflared/{env}".into(),
        #[serde(deserialize_with = "duration::deserialize")]
        poll_interval: Duration = 5 * MINUTE,
        allow: Vec<String> = Vec::new(),
    }
    Paths {
        config_dir: PathBuf = "/etc/cloudflared".into(),
        runtime_dir: PathBuf = "/run/cflared-agent".into(),
        image_file: PathBuf = "/usr/lib/cflared-agent/image.json".into(),
    }
    Connector {
        binary: PathBuf = "/usr/bin/cloudflared".into(),
        metrics: Vec<SocketAddr> = vec![([127, 0, 0, 1], 2000).into(), ([127, 0, 0, 1], 2001).into()],
        #[serde(deserialize_with = "duration::deserialize")]
        grace_period: Duration = 30 * SECOND,
        min_connections: u32 = 2,
        extra_args: Vec<String> = Vec::new(),
        remote_configuration: RemoteConfiguration = RemoteConfiguration::Hold,
    }
    Observe {
        #[serde(deserialize_with = "duration::deserialize")]
        interval: Duration = 5 * SECOND,
        #[serde(deserialize_with = "duration::deserialize")]
        timeout: Duration = 2 * SECOND,
    }
    Verdict {
        #[serde(deserialize_with = "duration::deserialize")]
        startup_grace: Duration = 180 * SECOND,
        #[serde(deserialize_with = "duration::deserialize")]
        recheck_secret_after: Duration = 30 * SECOND,
        #[serde(deserialize_with = "duration::deserialize")]
        probe_after: Duration = 60 * SECOND,
        #[serde(deserialize_with = "duration::deserialize")]
        restart_after: Duration = 90 * SECOND,
        #[serde(deserialize_with = "duration::deserialize")]
        condemn_after: Duration = 120 * SECOND,
        second_opinion: bool = true,
    }
    Handover {
        #[serde(deserialize_with = "duration::deserialize")]
        register_timeout: Duration = MINUTE,
        #[serde(deserialize_with = "duration::deserialize")]
        settle: Duration = 10 * SECOND,
        #[serde(deserialize_with = "duration::deserialize")]
        probation: Duration = 5 * MINUTE,
        on_new_binary: bool = false,
    }
    Lifecycle {
        launch_hook: String = String::new(),
        terminate_hook: String = String::new(),
    }
    CloudWatch {
        enabled: bool = true,
        namespace: String = "Cflared/{env}".into(),
        #[serde(deserialize_with = "duration::deserialize")]
        interval: Duration = MINUTE,
    }
    AutoScaling {
        enabled: bool = true,
        replacements_per_hour: u32 = 2,
        replacements_per_day: u32 = 4,
    }
    Aws {
        proxy: String = String::new(),
    }
    Log {
        format: LogFormat = LogFormat::Auto,
    }
    Metrics {
        listen: String = String::new(),
    }
    Validate {
        min_cloudflared: String = "2025.1.0".into(),
    }
}

impl Raw {
    /// Reads the file's text. An empty document means: all defaults.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let unfit = |unfit| match unfit {
            Unfit::Unread(error) => error.to_string(),
            Unfit::Type(error) => cause(&error),
        };
        let parsed: Result<Option<Self>, _> = yaml::typed(text);
        parsed
            .map(Option::unwrap_or_default)
            .map_err(|error| Error::Parse { path: PathBuf::new(), cause: unfit(error) })
    }

    /// The same of several files put together, each of which was parsed by itself.
    pub fn from_value(value: serde_yaml::Value) -> Result<Self, Error> {
        serde_path_to_error::deserialize(value)
            .map_err(|error| Error::Parse { path: PathBuf::new(), cause: cause(&error) })
    }

    /// Checks every value against its range.
    pub fn validate(self) -> Result<Settings, Error> {
        let Self {
            identity,
            secret,
            paths,
            connector,
            observe,
            verdict,
            handover,
            lifecycle,
            cloudwatch,
            autoscaling,
            aws,
            ..
        } = self;
        tag_key("identity.env_tag", &identity.env_tag)?;
        tag_key("identity.hold_tag", &identity.hold_tag)?;
        for environment in &identity.allowed_environments {
            check(
                super::is_environment(environment),
                "identity.allowed_environments",
                environment,
                super::ENVIRONMENT,
            )?;
        }
        secret_name(&secret.name)?;
        within("secret.poll_interval", secret.poll_interval, SECOND..=24 * HOUR)?;
        for (key, path) in [
            ("paths.config_dir", &paths.config_dir),
            ("paths.runtime_dir", &paths.runtime_dir),
            ("paths.image_file", &paths.image_file),
            ("connector.binary", &connector.binary),
        ] {
            check(path.is_absolute(), key, path.display(), "an absolute path")?;
        }
        let metrics = metrics_addresses(connector.metrics)?;
        // cloudflared itself caps its grace period at three minutes (observed, 2026.8.2).
        within("connector.grace_period", connector.grace_period, Duration::ZERO..=3 * MINUTE)?;
        check(
            (1..=4).contains(&connector.min_connections),
            "connector.min_connections",
            connector.min_connections,
            "1 to 4",
        )?;
        within("observe.interval", observe.interval, SECOND / 10..=MINUTE)?;
        within("observe.timeout", observe.timeout, SECOND / 20..=30 * SECOND)?;
        within("verdict.startup_grace", verdict.startup_grace, Duration::ZERO..=HOUR)?;
        for (key, value) in [
            ("verdict.recheck_secret_after", verdict.recheck_secret_after),
            ("verdict.probe_after", verdict.probe_after),
            ("verdict.restart_after", verdict.restart_after),
            ("verdict.condemn_after", verdict.condemn_after),
        ] {
            within(key, value, SECOND / 10..=24 * HOUR)?;
        }
        check(
            verdict.restart_after <= verdict.condemn_after,
            "verdict.condemn_after",
            humantime::format_duration(verdict.condemn_after),
            "not less than verdict.restart_after: a restart comes before a replacement",
        )?;
        within("handover.register_timeout", handover.register_timeout, SECOND / 10..=HOUR)?;
        within("handover.settle", handover.settle, Duration::ZERO..=10 * MINUTE)?;
        within("handover.probation", handover.probation, Duration::ZERO..=24 * HOUR)?;
        let lifecycle = hooks(lifecycle)?;
        namespace(&cloudwatch.namespace)?;
        check(
            [1, 5, 10, 30, 60].map(Duration::from_secs).contains(&cloudwatch.interval),
            "cloudwatch.interval",
            humantime::format_duration(cloudwatch.interval),
            "1s, 5s, 10s, 30s or 60s (the periods that CloudWatch stores)",
        )?;
        proxy(&aws.proxy)?;
        Ok(Settings {
            identity: super::Identity {
                env_tag: identity.env_tag,
                hold_tag: identity.hold_tag,
                allowed_environments: identity.allowed_environments,
            },
            secret: super::Secret { name: secret.name, poll_interval: secret.poll_interval, allow: secret.allow },
            paths: super::Paths {
                config_dir: paths.config_dir,
                runtime_dir: paths.runtime_dir,
                image_file: paths.image_file,
            },
            connector: super::Connector {
                binary: connector.binary,
                metrics,
                grace_period: connector.grace_period,
                min_connections: connector.min_connections,
                extra_args: connector.extra_args,
                remote_configuration: connector.remote_configuration,
            },
            observe: super::Observe { interval: observe.interval, timeout: observe.timeout },
            verdict: super::Verdict {
                startup_grace: verdict.startup_grace,
                recheck_secret_after: verdict.recheck_secret_after,
                probe_after: verdict.probe_after,
                restart_after: verdict.restart_after,
                condemn_after: verdict.condemn_after,
                second_opinion: verdict.second_opinion,
            },
            handover: super::Handover {
                register_timeout: handover.register_timeout,
                settle: handover.settle,
                probation: handover.probation,
                on_new_binary: handover.on_new_binary,
            },
            lifecycle,
            cloudwatch: super::CloudWatch {
                enabled: cloudwatch.enabled,
                namespace: super::Namespace::new(cloudwatch.namespace),
                interval: cloudwatch.interval,
            },
            autoscaling: super::AutoScaling {
                enabled: autoscaling.enabled,
                replacements_per_hour: autoscaling.replacements_per_hour,
                replacements_per_day: autoscaling.replacements_per_day,
            },
            aws: super::Aws { proxy: aws.proxy },
            log: super::Log { format: self.log.format },
            metrics: super::Metrics { listen: own_metrics(&self.metrics.listen, &metrics)? },
            validate: super::Validate { min_cloudflared: release(&self.validate.min_cloudflared)? },
            mode: self.mode,
        })
    }
}

/// The line, the key, what is wrong with it, and what to do.
fn cause(error: &serde_path_to_error::Error<serde_yaml::Error>) -> String {
    let (key, text) = (error.path().to_string(), error.inner().to_string());
    let line = error.inner().location().map(|at| format!("line {}: ", at.line())).unwrap_or_default();
    if key == "." {
        return format!("{line}{text}; correct that line");
    }
    // The parser names the section and the place as well.
    let what = text.split_once(": ").filter(|(section, _)| key.starts_with(section)).map_or(&*text, |(_, what)| what);
    let what = what.rsplit_once(" at line ").map_or(what, |(what, _)| what);
    format!("{line}{key}: {what}; correct that key, or remove it to get its default")
}

fn check(
    holds: bool,
    key: &'static str,
    value: impl std::fmt::Display,
    allowed: impl Into<String>,
) -> Result<(), Error> {
    let wrong = || Error::Value { path: PathBuf::new(), key, value: format!("`{value}`"), allowed: allowed.into() };
    if holds { Ok(()) } else { Err(wrong()) }
}

fn within(key: &'static str, value: Duration, range: RangeInclusive<Duration>) -> Result<(), Error> {
    let text = humantime::format_duration;
    check(range.contains(&value), key, text(value), format!("{} to {}", text(*range.start()), text(*range.end())))
}

/// The tag keys that the metadata service can serve (EC2 user guide, "instance tags in metadata").
fn tag_key(key: &'static str, value: &str) -> Result<(), Error> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_+=,.@:".contains(c);
    let holds = (1..=255).contains(&value.len()) && value.chars().all(legal) && ![".", "..", "_index"].contains(&value);
    check(holds, key, value, "1 to 255 of the characters 0-9 a-z A-Z - _ + = , . @ : (not `.`, `..`, `_index`)")
}

/// A name that Secrets Manager takes (API reference, CreateSecret).
fn secret_name(value: &str) -> Result<(), Error> {
    let rest = value.replace("{env}", "");
    let legal = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
    let holds = (1..=512).contains(&value.len()) && rest.chars().all(legal);
    check(holds, "secret.name", value, "1 to 512 of the characters 0-9 a-z A-Z / _ + = . @ -, and {env}")
}

/// Names that Auto Scaling takes (API reference, PutLifecycleHook). A hook is for one of the two transitions.
fn hooks(given: Lifecycle) -> Result<super::Lifecycle, Error> {
    let Lifecycle { launch_hook, terminate_hook } = given;
    for (key, name) in [("lifecycle.launch_hook", &launch_hook), ("lifecycle.terminate_hook", &terminate_hook)] {
        let legal = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_/".contains(c));
        check(legal && name.len() <= 255, key, name, "nothing, or 1 to 255 of the characters 0-9 a-z A-Z - _ /")?;
    }
    let named = |name: String| Some(name).filter(|name| !name.is_empty());
    let lifecycle = super::Lifecycle { launch_hook: named(launch_hook), terminate_hook: named(terminate_hook) };
    let twice = lifecycle.launch_hook.as_ref().filter(|name| lifecycle.terminate_hook.as_ref() == Some(*name));
    let allowed = "another name than lifecycle.launch_hook: a hook is for one transition";
    check(twice.is_none(), "lifecycle.terminate_hook", twice.map_or("", String::as_str), allowed)?;
    Ok(lifecycle)
}

/// A name that CloudWatch takes, outside its own `AWS/` (API reference, PutMetricData).
fn namespace(value: &str) -> Result<(), Error> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_./#: ".contains(c);
    // Of the longest environment's name.
    let named = value.replace("{env}", &"e".repeat(32));
    let holds = (1..=255).contains(&named.len())
        && named.chars().all(legal)
        && !value.starts_with(':')
        && !value.starts_with("AWS/")
        && !value.trim().is_empty();
    check(
        holds,
        "cloudwatch.namespace",
        value,
        "1 to 255 of the characters 0-9 a-z A-Z - _ . / # :, and {env}, not beginning with : or AWS/",
    )
}

fn metrics_addresses(given: Vec<SocketAddr>) -> Result<[SocketAddr; 2], Error> {
    let key = "connector.metrics";
    let allowed = "two different loopback addresses with ports, such as 127.0.0.1:2000";
    let text = given.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    check(given.iter().all(|address| address.ip().is_loopback() && address.port() != 0), key, &text, allowed)?;
    match <[SocketAddr; 2]>::try_from(given) {
        Ok([serving, successor]) if serving != successor => Ok([serving, successor]),
        _ => Err(Error::Value { path: PathBuf::new(), key, value: text, allowed: allowed.into() }),
    }
}

/// Where the agent's own metrics are served. What they tell is nobody's business beyond this host.
fn own_metrics(value: &str, connectors: &[SocketAddr; 2]) -> Result<Option<SocketAddr>, Error> {
    if value.is_empty() {
        return Ok(None);
    }
    let address = value.parse().ok().filter(|address: &SocketAddr| {
        address.ip().is_loopback() && address.port() != 0 && !connectors.contains(address)
    });
    let allowed =
        "nothing, or a loopback address with a port that is none of connector.metrics, such as 127.0.0.1:2010";
    check(address.is_some(), "metrics.listen", value, allowed)?;
    Ok(address)
}

/// A release of cloudflared.
fn release(value: &str) -> Result<[u32; 3], Error> {
    let numbers: Option<Vec<u32>> = value.split('.').map(|number| number.parse().ok()).collect();
    numbers.and_then(|numbers| numbers.try_into().ok()).ok_or_else(|| Error::Value {
        path: PathBuf::new(),
        key: "validate.min_cloudflared",
        value: format!("`{value}`"),
        allowed: "a release such as 2025.1.0".into(),
    })
}

fn proxy(value: &str) -> Result<(), Error> {
    let holds = value.is_empty()
        || url::Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    check(holds, "aws.proxy", super::without_password(value), "nothing, or a URL such as http://proxy.internal:3128")
}
