//! Whether the program accepts a configuration.

use super::once::{self, NoAnswer};
use super::process::SpawnError;
use super::words::redacted;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How much of its reason is passed on, in characters.
const REASON: usize = 300;

/// Why a configuration is not accepted, or not known to be.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// The program is missing, or cannot be executed.
    #[error(transparent)]
    NotSpawned(#[from] SpawnError),
    /// It refuses the configuration.
    #[error("cloudflared refuses {}: {reason}; correct config_yaml in the secret", config.display())]
    Refused {
        /// The configuration.
        config: PathBuf,
        /// Its last words on the matter, without anything that may be a key.
        reason: String,
    },
    /// It was killed, for it did not answer in time.
    #[error("failed to validate {}: cloudflared gave no answer within {limit:?}; see what keeps the host busy", config.display())]
    TimedOut {
        /// The configuration.
        config: PathBuf,
        /// What it was given.
        limit: Duration,
    },
    /// It ended, and how is not known.
    #[error("failed to validate {}: cloudflared's exit status was lost ({source}); the agent will try again", config.display())]
    Unknown {
        /// The configuration.
        config: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Has `binary` check the ingress rules of `config`: `cloudflared tunnel --config F ingress validate` exits 0, or 1 with
/// the reason. It does not look at the credentials and accepts unknown keys (observed, 2026.8.2).
///
/// # Errors
/// The program cannot be executed, refuses, or is killed after `limit`.
pub async fn validate_ingress(binary: &Path, config: &Path, limit: Duration) -> Result<(), ValidateError> {
    let mut command = super::command(binary);
    command.arg("tunnel").arg("--config").arg(config).args(["ingress", "validate"]);
    match once::run(command, limit).await {
        Ok(answer) if answer.status.success() => Ok(()),
        Ok(answer) => {
            let said = [&answer.stderr, &answer.stdout].into_iter().find_map(|text| last_line(text));
            let reason = said.map_or_else(|| answer.status.to_string(), |line| without_keys(line, config));
            Err(ValidateError::Refused { config: config.into(), reason })
        }
        Err(NoAnswer::NotSpawned(error)) => Err(error.into()),
        Err(NoAnswer::TimedOut) => Err(ValidateError::TimedOut { config: config.into(), limit }),
        Err(NoAnswer::Unknown(source)) => Err(ValidateError::Unknown { config: config.into(), source }),
    }
}

fn last_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).rfind(|line| !line.is_empty())
}

/// The line, cut to [`REASON`], without what may be a key: it quotes values of the file, and a file that went wrong may
/// hold anything. Only the path of the file itself is known to be none.
fn without_keys(line: &str, config: &Path) -> String {
    let path = config.to_string_lossy();
    let spared: Vec<_> = line.split(path.as_ref()).map(redacted).collect();
    spared.join(&path).chars().take(REASON).collect()
}

#[cfg(test)]
mod tests;
