//! Who this instance is, from the instance metadata service (IMDSv2), and how AWS is reached.
