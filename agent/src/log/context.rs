//! The fields that every line has.

use std::sync::{Arc, Mutex, PoisonError};

/// Which tunnel this is about and how it is, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// The tunnel's UUID.
    pub tunnel: Option<String>,
    /// The instance's environment.
    pub environment: Option<String>,
    /// The health: `registered`, `broken`.
    pub state: Option<String>,
}

impl Context {
    /// What is known, by name.
    pub(super) fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [("tunnel", &self.tunnel), ("environment", &self.environment), ("state", &self.state)];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

/// What holds now, for whoever logs.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Arc<Context>>>);

impl Shared {
    pub fn get(&self) -> Arc<Context> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn set(&self, context: Context) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(context);
    }
}
