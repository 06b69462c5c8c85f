//! The store as the agent holds it: its only writer for life, if the disk allows that.

use super::{Error, Locked, Store};
use std::sync::{Mutex, PoisonError};

/// A store, and the lock on it as soon as it could be taken. A disk that has become read-only keeps nobody from running
/// what is installed.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    locked: Mutex<Option<Locked>>,
}

impl Writer {
    /// Writes to that store, as soon as it has to.
    pub fn new(store: Store) -> Self {
        Self { store, locked: Mutex::new(None) }
    }

    /// What is written to.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Takes the lock, unless it is held.
    ///
    /// # Errors
    /// Another process is the writer, or the directory cannot be written to.
    pub fn lock(&self) -> Result<(), Error> {
        self.with(|_| Ok(()))
    }

    /// Does `work` as the store's only writer. It waits for the disk.
    ///
    /// # Errors
    /// The lock could not be taken, or the work failed.
    pub fn with<T, E: From<Error>>(&self, work: impl FnOnce(&mut Locked) -> Result<T, E>) -> Result<T, E> {
        // Each step of the work leaves the store whole, so a panic in one does no harm.
        let mut locked = self.locked.lock().unwrap_or_else(PoisonError::into_inner);
        let held = match locked.take() {
            Some(held) => held,
            None => self.store.lock()?,
        };
        work(locked.insert(held))
    }
}
