//! Which cloudflared the agents of a world supervise.

use super::beside;
use std::env;
use std::path::PathBuf;

/// The variable that names a real cloudflared to use in place of the stand-in.
pub const SWITCH: &str = "CLOUDFLARED";

/// The program that agents supervise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cloudflared {
    /// `cloudflared-standin` of this workspace.
    Standin,
    /// A real one, at this path.
    Real(PathBuf),
}

impl Cloudflared {
    /// The program that the environment asks for: the real one that `CLOUDFLARED` names, or else the stand-in.
    pub fn chosen() -> Self {
        env::var_os(SWITCH).filter(|path| !path.is_empty()).map_or(Self::Standin, |path| Self::Real(path.into()))
    }

    /// Where the program is.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Standin => beside("cloudflared-standin"),
            Self::Real(path) => path.clone(),
        }
    }

    /// The arguments for a host without a name server: the real program finds out, the stand-in has to be told.
    pub fn bare_host(&self) -> &'static [&'static str] {
        match self {
            Self::Standin => &["--standin-bare-host"],
            Self::Real(_) => &[],
        }
    }

    /// The arguments that divide the program's own times; only the stand-in has any.
    pub fn scaled(&self, factor: f64) -> Vec<String> {
        match self {
            Self::Standin => vec!["--standin-scale".into(), factor.to_string()],
            Self::Real(_) => vec![],
        }
    }
}

/// Whether a test has to be left out because it needs something that only the stand-in does. It is named on standard output,
/// where `make real` counts it.
#[allow(clippy::print_stdout)] // The line is the record of what was not run.
pub fn left_out(test: &str, needs: &str) -> bool {
    let left_out = Cloudflared::chosen() != Cloudflared::Standin;
    if left_out {
        println!("left out with the real cloudflared: {test}: {needs}");
    }
    left_out
}
