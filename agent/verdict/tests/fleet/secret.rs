//! The secret in Secrets Manager, and which of its versions the edge takes.

/// What is wrong with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// A rule of the bundle fails: it is not installed.
    SeenByRules,
    /// It passes the rules, and cloudflared does not start with it.
    SeenByCloudflared,
    /// It moves a hostname to an origin that does not answer.
    DeadOrigin,
    /// The edge does not take its credentials.
    Unauthorized,
    /// Its connector takes longer to register than it is given.
    Slow,
    /// Its connector is lost soon after it took over, and does not come back.
    Fades,
}

impl Flaw {
    pub const ALL: [Self; 6] =
        [Self::SeenByRules, Self::SeenByCloudflared, Self::DeadOrigin, Self::Unauthorized, Self::Slow, Self::Fades];
}

#[derive(Debug, Clone, Copy)]
struct Version {
    credentials: u32,
    flaw: Option<Flaw>,
    /// Versions of the same meaning are the same to the connector.
    meaning: u32,
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
        Self { versions: vec![Version { credentials: 1, flaw: None, meaning: 1 }], taken: 1 }
    }

    pub fn published(&self) -> u32 {
        self.versions.len() as u32
    }

    pub fn flaw(&self, version: u32) -> Option<Flaw> {
        self.version(version).flaw
    }

    pub fn accepts(&self, version: u32) -> bool {
        self.version(version).credentials == self.taken
    }

    /// Whether the two are the same to a connector.
    pub fn equivalent(&self, one: u32, other: u32) -> bool {
        self.version(one).meaning == self.version(other).meaning
    }

    fn version(&self, version: u32) -> &Version {
        &self.versions[version as usize - 1]
    }

    /// The edge takes new credentials from now on.
    pub fn rotate(&mut self) {
        self.taken += 1;
    }

    /// A new version is published, with the credentials that the edge takes if nothing is wrong with them.
    pub fn publish(&mut self, flaw: Option<Flaw>) {
        let credentials = if flaw == Some(Flaw::Unauthorized) { 0 } else { self.taken };
        self.versions.push(Version { credentials, flaw, meaning: self.published() + 1 });
    }

    /// What was published last that is good is published again in another form; something new if the edge does not take
    /// that any more.
    pub fn restore(&mut self) {
        let good = |version: &&Version| version.flaw.is_none() && version.credentials == self.taken;
        match self.versions.iter().rev().find(good).copied() {
            Some(version) => self.versions.push(version),
            None => self.publish(None),
        }
    }
}

/// The number of the version that is named so.
pub fn number(version: &str) -> u32 {
    version.trim_start_matches('v').parse().expect("the model's own name")
}
