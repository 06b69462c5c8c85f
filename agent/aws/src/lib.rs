//! AWS as the agent uses it: the identity of this instance, from the metadata service (IMDSv2); the role's credentials and
//! the transport; one read of the secret; CloudWatch; Auto Scaling.

pub mod autoscaling;
mod boot;
mod clients;
pub mod cloudwatch;
mod credentials;
mod error;
mod failure;
mod metadata;
mod names;
mod notices;
mod roots;
pub mod secret;
pub mod service_clock;
mod transport;
mod types;

pub use boot::{Discovered, environment, identify, until_known};
pub use clients::{Aws, BadEndpoint, Endpoints, Network};
pub use error::Error;
pub use failure::{Call, failure, was_not_sent};
pub use metadata::{Metadata, metadata_address};
pub use notices::NoticeReader;
pub use roots::RootsError;
pub use transport::BadProxy;
pub use types::{Environment, ImageId, Instance, InstanceId, Malformed, Region, Zone};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
