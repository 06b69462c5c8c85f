//! `bootstrap --fill`: another program's file, with the environment's name in it, before that program starts.

use super::Exit;
use super::bootstrap::{Failed, misconfigured, try_again};
use crate::agent::Clock;
use crate::identity::{self, Environment, Metadata, Network};
use crate::settings::Settings;
use cflared_verdict::FailureKind;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
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
    let text = read(template)
        .map_err(|error| misconfigured(format!("failed to read the template {}: {error}", template.display())))?;
    let environment = environment(settings, limit).await?;
    replace(into, &text.replace(PLACEHOLDER, environment.as_str()))
        .map_err(|error| try_again(format!("failed to write {}: {error}", into.display())))?;
    Ok(environment)
}

async fn environment(settings: &Settings, limit: Duration) -> Result<Environment, Failed> {
    let clock = Clock::start();
    let deadline = clock.mono() + limit;
    let network = Network::from_env().map_err(misconfigured)?;
    let metadata = Metadata::from_env(&network.resolver).map_err(misconfigured)?;
    let known = identity::until_known(
        || identity::environment(&metadata, &settings.identity),
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
            identity::environment(&metadata, &settings.identity).await.map_err(try_again)
        }
    }
}

/// A plain file's text: what is none must not hold the start of another program.
fn read(path: &Path) -> io::Result<String> {
    let file = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST { Err(io::Error::other("it is too large")) } else { Ok(text) }
}

/// The file is the old one or the new one, whole, and everybody may read it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.sync_all()?;
    fs::rename(new, path)
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
