//! Stand-ins and harness of the end-to-end tests.
