//! The errors of requests to the metadata service.

use super::types::Malformed;
use cflared_verdict::{Failure, FailureKind};

/// A question to the metadata service that got no usable answer. The message names the cause and the next step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The address in the environment cannot be used.
    #[error(
        "failed to use the metadata endpoint `{given}`: {cause}; AWS_EC2_METADATA_SERVICE_ENDPOINT takes a URL such as \
         http://169.254.169.254"
    )]
    Endpoint {
        /// What was given.
        given: String,
        /// What is wrong with it.
        cause: String,
    },
    /// There is no connection, or it was cut.
    #[error(
        "failed to read {path} from the metadata service at {endpoint}: {cause}; is this an EC2 instance, with \
         HttpEndpoint=enabled in its metadata options?"
    )]
    Unreachable {
        /// What was asked for.
        path: String,
        /// Of whom.
        endpoint: String,
        /// What the system says.
        cause: String,
    },
    /// No answer came in time.
    #[error(
        "failed to read {path} from the metadata service at {endpoint}: no answer in {seconds}s; set \
         HttpEndpoint=enabled in the instance's metadata options, and a higher HttpPutResponseHopLimit if the agent \
         runs in a container"
    )]
    NoAnswer {
        /// What was asked for.
        path: String,
        /// Of whom.
        endpoint: String,
        /// How long was waited.
        seconds: u64,
    },
    /// 429 or 5xx.
    #[error(
        "failed to read {path} from the metadata service: HTTP {status}; it throttles or fails, and the agent will \
            ask again"
    )]
    Busy {
        /// What was asked for.
        path: String,
        /// The status.
        status: u16,
    },
    /// 403.
    #[error(
        "failed to read {path} from the metadata service: HTTP 403; the service is disabled for this instance: set \
         HttpEndpoint=enabled in its metadata options"
    )]
    Forbidden {
        /// What was asked for.
        path: String,
    },
    /// 401 to a token that was just given.
    #[error(
        "failed to read {path} from the metadata service: HTTP 401 to a fresh token; is something between this host \
         and the service that drops the header X-aws-ec2-metadata-token?"
    )]
    Unauthorized {
        /// What was asked for.
        path: String,
    },
    /// An answer that the service does not give: a redirect, a 405.
    #[error(
        "failed to read {path} from the metadata service at {endpoint}: HTTP {status}; something else answers at that \
         address: check AWS_EC2_METADATA_SERVICE_ENDPOINT and the host's firewall"
    )]
    Unexpected {
        /// What was asked for.
        path: String,
        /// Of whom.
        endpoint: String,
        /// The status.
        status: u16,
    },
    /// An answer that cannot be what was asked for.
    #[error(
        "failed to parse {path} of the metadata service: {cause}; something else answers at that address: check \
         AWS_EC2_METADATA_SERVICE_ENDPOINT and the host's firewall"
    )]
    Garbage {
        /// What was asked for.
        path: String,
        /// What is wrong with it; never a credential.
        cause: String,
    },
    /// 404 for something that every instance has.
    #[error(
        "failed to read {path} from the metadata service: HTTP 404; is it the metadata service of an EC2 instance?"
    )]
    Missing {
        /// What was asked for.
        path: String,
    },
    /// The service shows no tags at all.
    #[error(
        "failed to read the instance tag {key}: the metadata service shows no tags; set InstanceMetadataTags=enabled \
         in the instance's metadata options, and check that the instance has the tag"
    )]
    TagsOff {
        /// The tag.
        key: String,
    },
    /// The service shows tags, and not this one.
    #[error(
        "failed to read the instance tag {key}: the instance does not have it; add it, with the environment's name"
    )]
    TagMissing {
        /// The tag.
        key: String,
    },
    /// The tag does not name an environment.
    #[error("failed to use the instance tag {key}: {source}; correct the tag")]
    TagMalformed {
        /// The tag.
        key: String,
        /// What is wrong with it.
        source: Malformed,
    },
    /// The tag names an environment that the settings do not allow.
    #[error(
        "failed to use the instance tag {key}: `{environment}` is not in identity.allowed_environments ({allowed}); \
         correct the tag or the settings"
    )]
    TagNotAllowed {
        /// The tag.
        key: String,
        /// Its value.
        environment: String,
        /// What the settings allow.
        allowed: String,
    },
    /// The instance has no role.
    #[error("failed to read credentials: the instance has no role; attach an instance profile to it")]
    NoRole,
    /// The instance has a role that gives no credentials.
    #[error(
        "failed to read credentials of the role {role}: {cause}; check that the role exists and trusts \
         ec2.amazonaws.com"
    )]
    NoCredentials {
        /// The role.
        role: String,
        /// What the service says.
        cause: String,
    },
}

impl Error {
    /// What kind of trouble it is.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Unreachable { .. } | Self::NoAnswer { .. } => FailureKind::Unreachable,
            // What is not an answer of the metadata service may be one at the next try: the address is link-local, and
            // what stands in front of it early at boot goes away.
            Self::Busy { .. } | Self::Unexpected { .. } | Self::Garbage { .. } => FailureKind::Throttled,
            Self::Forbidden { .. } | Self::Unauthorized { .. } | Self::NoCredentials { .. } => FailureKind::Denied,
            Self::Missing { .. } | Self::TagsOff { .. } | Self::TagMissing { .. } | Self::NoRole => {
                FailureKind::Missing
            }
            Self::Endpoint { .. } | Self::TagMalformed { .. } | Self::TagNotAllowed { .. } => FailureKind::Invalid,
        }
    }

    /// Whether the same question may get an answer a moment later.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NoAnswer { .. } | Self::Busy { .. })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}
