//! The documents of `packaging/aws`, filled in for a world.

use crate::aws::DEFAULT_REGION;
use crate::world::{ENVIRONMENT, TUNNEL};
use anyhow::Context;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The account that the AWS stand-in is of.
const ACCOUNT: &str = "123456789012";

/// The documents, as `packaging/aws/render` filled them in for the environment and the tunnel of every world.
#[derive(Debug)]
pub struct Documents {
    directory: TempDir,
}

impl Documents {
    /// Fills them in.
    ///
    /// # Errors
    /// One has a placeholder without a value.
    pub fn render() -> anyhow::Result<Self> {
        Self::render_for(ENVIRONMENT)
    }

    /// The same for another environment.
    ///
    /// # Errors
    /// As [`Documents::render`].
    pub fn render_for(environment: &str) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("cflared-aws-").tempdir()?;
        let aws = repository().join("packaging/aws");
        let mut values = String::new();
        for line in fs::read_to_string(aws.join("values.example"))?.lines() {
            let value = match line.split('=').next() {
                Some("environment") => format!("environment={environment}"),
                Some("tunnel_id") => format!("tunnel_id={TUNNEL}"),
                Some("region") => format!("region={DEFAULT_REGION}"),
                Some("account") => format!("account={ACCOUNT}"),
                _ => line.to_owned(),
            };
            values += &format!("{value}\n");
        }
        let file = directory.path().join("values");
        fs::write(&file, values)?;
        let rendered = Command::new(aws.join("render")).arg(file).arg(directory.path()).output()?;
        anyhow::ensure!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
        Ok(Self { directory })
    }

    /// One of them: `iam/agent`.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn json(&self, name: &str) -> anyhow::Result<Value> {
        let path = self.directory.path().join(name).with_extension("json");
        let text = fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Where they are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
