//! Who is at the other end of a connection.

use serde::{Deserialize, Serialize};

/// Who is at the other end of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The tunnel's UUID.
    pub tunnel: String,
    /// The connector's UUID, new for each process.
    pub connector: String,
    /// Which of the connector's connections, from 0.
    pub index: usize,
}
