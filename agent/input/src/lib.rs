//! What others wrote, read within bounds and shown without harm: files, YAML, text. A leaf: it knows nothing of the agent.

pub mod file;
pub mod plain;
pub mod yaml;
