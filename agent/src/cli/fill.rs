//! `bootstrap --fill`: another program's file, with the environment's name in it, before that program starts.

use super::Exit;
use super::bootstrap::{Failed, misconfigured, try_again};
use crate::agent::Clock;
use aws::{Environment, Metadata, Network};
use cflared_verdict::FailureKind;
use input::file::{self, Links};
use settings::Settings;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// What stands for the environment's name.
const PLACEHOLDER: &str = "{env}";
/// The largest template, in bytes.
const LARGEST: u64 = 256 * 1024;

/// Waits until the tag names the environment, and writes the template with that name into the file.
///
/// # Errors
/// The tag is malformed or was not there in time, the template cannot be read, or the file cannot be written.
pub async fn fill(settings: &Settings, template: &Path, into: &Path, limit: Duration) -> Result<Environment, Failed> {
    let text = file::read_text(template, Links::Followed, LARGEST)
        .map_err(|error| misconfigured(format!("failed to read the template {}: {error}", template.display())))?;
    let environment = environment(settings, limit).await?;
    file::replace(into, 0o644, text.replace(PLACEHOLDER, environment.as_str()).as_bytes())
        .map_err(|error| try_again(format!("failed to write {}: {error}", into.display())))?;
    Ok(environment)
}

async fn environment(settings: &Settings, limit: Duration) -> Result<Environment, Failed> {
    let clock = Clock::start();
    let deadline = clock.mono() + limit;
    let network = Network::from_env().map_err(misconfigured)?;
    let metadata = Metadata::from_env(&network.resolver).map_err(misconfigured)?;
    let known = aws::until_known(
        || aws::environment(&metadata, &settings.identity),
        |error| {
            let hopeless = error.kind() == FailureKind::Invalid;
            if hopeless || clock.until(deadline).is_zero() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    );
    match tokio::time::timeout(limit, known).await {
        Ok(Ok(environment)) => Ok(environment),
        Ok(Err(error)) if error.kind() == FailureKind::Invalid => Err(misconfigured(error)),
        Ok(Err(error)) => Err(try_again(error)),
        Err(_) => {
            // One more try tells the cause.
            aws::environment(&metadata, &settings.identity).await.map_err(try_again)
        }
    }
}

/// The outcome for a person, and for the caller.
pub fn report(ended: Result<Environment, Failed>, into: &Path) -> Exit {
    match ended {
        Ok(environment) => {
            super::say(format_args!("filled {} for {environment}\n", into.display()));
            Exit::Fine
        }
        Err(Failed { exit, text }) => {
            super::complain(text);
            exit
        }
    }
}
