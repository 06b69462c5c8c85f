//! Stands in for the instance metadata service.
