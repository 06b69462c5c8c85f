//! `cflared-agent bootstrap`: a drop-in for a boot script.

use super::fill::{self, fill};
use super::owner::become_owner;
use super::{Exit, complain, say};
use crate::agent::Clock;
use aws::secret::{self, Read};
use aws::{Aws, Discovered, Environment, Metadata, Network};
use backon::{BackoffBuilder, ExponentialBuilder};
use bundle::Payload;
use bundle::{Found, Intake, NotTaken, Policy, Store, Writer};
use cflared_verdict::{Failure, FailureKind, Installed, Mono};
use dns::Resolver;
use settings::Settings;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long to keep trying
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Install nothing; copy the file TEMPLATE to the file of --into, with the environment's name in place of each {env}
    #[arg(long, value_name = "TEMPLATE", requires = "into")]
    fill: Option<PathBuf>,
    /// The file that --fill writes
    #[arg(long, value_name = "FILE", requires = "fill")]
    into: Option<PathBuf>,
}

/// What a run of the command came to.
enum Outcome {
    /// The secret holds what is installed; no file was touched.
    NothingNew(Installed),
    /// A bundle was installed.
    Installed(Installed),
}

/// Why it failed, and whether that may mend by itself.
pub struct Failed {
    pub exit: Exit,
    pub text: String,
}

pub fn main(settings: Settings, args: &Args) -> Exit {
    // What is filled in is another program's, which the agent's user may not write.
    if args.fill.is_none()
        && let Err(error) = become_owner(&settings.paths.config_dir)
    {
        complain(format_args!("{error:#}"));
        return Exit::TryAgain;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!("failed to start the runtime: {error}"));
            return Exit::TryAgain;
        }
    };
    if let (Some(template), Some(into)) = (&args.fill, &args.into) {
        let filled = runtime.block_on(fill(&settings, template, into, args.timeout));
        runtime.shutdown_background();
        return fill::report(filled, into);
    }
    let dir = settings.paths.config_dir.clone();
    let result = runtime.block_on(bootstrap(settings, args.timeout));
    runtime.shutdown_background();
    match result {
        Ok(Outcome::Installed(installed)) => {
            say(format_args!("installed {} in {}\n", describe(&installed), dir.display()));
            Exit::Fine
        }
        Ok(Outcome::NothingNew(installed)) => {
            say(format_args!("nothing new: {} is installed in {}\n", describe(&installed), dir.display()));
            Exit::Fine
        }
        Err(Failed { exit, text }) => {
            complain(text);
            exit
        }
    }
}

fn describe(Installed { generation, version, tunnel }: &Installed) -> String {
    format!("generation {generation} (tunnel {tunnel}, secret version {version})")
}

async fn bootstrap(settings: Settings, limit: Duration) -> Result<Outcome, Failed> {
    let clock = Clock::start();
    let deadline = clock.mono() + limit;
    let network = Network::from_env().map_err(misconfigured)?;
    let metadata = Metadata::from_env(&network.resolver).map_err(misconfigured)?;
    let resolver = network.resolver.clone();
    let aws = Aws::new(&settings.aws, &metadata, network).map_err(misconfigured)?;
    // A directory that cannot be used is told before anything is asked for.
    let store = Store::open(&settings.paths.config_dir).map_err(try_again)?;
    aws.warm_up().await;
    let discovered = identify(&settings, &metadata, clock, deadline).await?;
    let client = aws.secrets_manager(&discovered.instance.region);
    let name = settings.secret.name_for(discovered.environment.as_str());
    let installed = installed(&store, &discovered, &Policy::of(&settings, aws::metadata_address()));
    let known = installed.as_ref().map(|installed| &installed.version);
    let mut delays = ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(5))
        .without_max_times()
        .with_jitter()
        .build();
    let read = loop {
        match secret::read(&client, &name, known, Payload::parse).await {
            Ok(read) => break read,
            Err(error) if error.kind() == FailureKind::Invalid => return Err(misconfigured(error)),
            Err(error) => {
                let delay = delays.next().unwrap_or(limit);
                if clock.until(deadline) < delay {
                    return Err(try_again(error));
                }
                tokio::time::sleep(delay).await;
            }
        }
    };
    match (read, installed) {
        (Read::New(payload), _) => {
            let version = payload.version.clone();
            let refused = |text| misconfigured(format!("failed to use the secret {name}, version {version}: {text}"));
            install(settings, store, discovered, payload, resolver, clock).await.map_err(|failure| match failure {
                Failure { kind: FailureKind::Invalid, text } => refused(text),
                Failure { text, .. } => try_again(text),
            })
        }
        (Read::Unchanged, Some(installed)) => Ok(Outcome::NothingNew(installed)),
        (Read::Unchanged, None) => Err(try_again("the secret was called unchanged, and nothing was known")),
    }
}

async fn identify(
    settings: &Settings,
    metadata: &Metadata,
    clock: Clock,
    deadline: Mono,
) -> Result<Discovered, Failed> {
    let asked = aws::until_known(
        || aws::identify(metadata, &settings.identity),
        |error| {
            let hopeless = error.kind() == FailureKind::Invalid;
            if hopeless || clock.until(deadline).is_zero() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    );
    let asked = tokio::time::timeout(clock.until(deadline), asked).await;
    match asked {
        Ok(Ok(discovered)) => Ok(discovered),
        Ok(Err(error)) if error.kind() == FailureKind::Invalid => Err(misconfigured(error)),
        Ok(Err(error)) => Err(try_again(error)),
        Err(_) => {
            // One more try tells the cause.
            let last = aws::identify(metadata, &settings.identity).await;
            last.map_err(try_again)
        }
    }
}

fn installed(store: &Store, discovered: &Discovered, policy: &Policy) -> Option<Installed> {
    let Discovered { instance, environment } = discovered;
    match store.usable(instance.id.as_str(), Some(environment.as_str()), policy) {
        Found::Whole(installed) => Some(installed),
        Found::Nothing => None,
        Found::Unusable { why, .. } => {
            complain(format_args!("the installed bundle is not used: {why}"));
            None
        }
    }
}

async fn install(
    settings: Settings,
    store: Store,
    discovered: Discovered,
    payload: Payload,
    resolver: Resolver,
    clock: Clock,
) -> Result<Outcome, Failure> {
    let store = Arc::new(Writer::new(store));
    let Discovered { instance, environment } = discovered;
    let intake = Intake {
        store: store.clone(),
        instance: instance.id.as_str().into(),
        environment: Environment::as_str(&environment).into(),
        now: clock.wall(),
        policy: Policy::of(&settings, aws::metadata_address()),
        resolver,
        binary: settings.connector.binary,
    };
    let installed = intake.take(payload).await?.installed;
    let generation = installed.generation;
    let committed = tokio::task::spawn_blocking(move || {
        store.with(|store| {
            store.commit(generation)?;
            store.prune(&[generation])
        })
    });
    committed.await.map_err(NotTaken::from)??;
    Ok(Outcome::Installed(installed))
}

pub fn misconfigured(error: impl std::fmt::Display) -> Failed {
    Failed { exit: Exit::Config, text: error.to_string() }
}

pub fn try_again(error: impl std::fmt::Display) -> Failed {
    Failed { exit: Exit::TryAgain, text: error.to_string() }
}
