//! The identity of this instance, from the metadata service (IMDSv2), and the access to AWS.

mod aws;
mod boot;
mod credentials;
mod error;
mod failure;
mod metadata;
mod names;
mod notices;
mod roots;
mod transport;
mod types;

pub use aws::{Aws, BadEndpoint, Endpoints, Network};
pub use boot::{Discovered, environment, identify, until_known};
pub use error::Error;
pub use failure::{Call, failure, was_not_sent};
pub use metadata::{Metadata, metadata_address};
pub use notices::NoticeReader;
pub use roots::RootsError;
pub use transport::BadProxy;
pub use types::{Environment, ImageId, Instance, InstanceId, Malformed, Region, Zone};

#[cfg(test)]
pub(crate) mod tests;
