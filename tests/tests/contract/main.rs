//! Holds the AWS stand-in to the real thing, as far as that can be had without an account: the real SDK calls it as the
//! agent does, the same calls go to moto, and the names of CloudWatch's members are compared with botocore's API model.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]
#![allow(clippy::disallowed_methods, reason = "deadlines of tests")]

mod cloudwatch;
mod documents;
mod faults;
mod lifecycle;
mod moto;
mod pages;
mod peer;
mod policy;
mod promotion;
mod reads;
mod scaling;
mod secrets;
mod signatures;
mod terraform;
mod tls;
