//! The secret in Secrets Manager, and which of its versions the edge takes.

/// What is wrong with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// A rule of the bundle fails: it is not installed.
    SeenByRules,
    /// It passes the rules, and cloudflared does not start with it.
    SeenByCloudflared,
}

#[derive(Debug, Clone, Copy)]
struct Version {
    credentials: u32,
    flaw: Option<Flaw>,
}

/// All versions there ever were; the last one is published.
#[derive(Debug)]
pub struct Secret {
    versions: Vec<Version>,
    /// The credentials that the edge takes.
    taken: u32,
}

impl Secret {
    pub fn new() -> Self {
        Self { versions: vec![Version { credentials: 1, flaw: None }], taken: 1 }
    }

    pub fn published(&self) -> u32 {
        self.versions.len() as u32
    }

    pub fn flaw(&self, version: u32) -> Option<Flaw> {
        self.versions[version as usize - 1].flaw
    }

    pub fn accepts(&self, version: u32) -> bool {
        self.versions[version as usize - 1].credentials == self.taken
    }

    /// The edge takes new credentials from now on.
    pub fn rotate(&mut self) {
        self.taken += 1;
    }

    /// A version with the credentials that the edge takes is published.
    pub fn publish(&mut self, flaw: Option<Flaw>) {
        self.versions.push(Version { credentials: self.taken, flaw });
    }
}

/// The number of the version that is named so.
pub fn number(version: &str) -> u32 {
    version.trim_start_matches('v').parse().expect("the model's own name")
}
