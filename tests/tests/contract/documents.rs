//! The documents of `packaging/aws`: botocore's models, parliament and moto look at them, in Python.

use cflared_tests::documents::repository;
use cflared_tests::world::venv;
use std::process::Command;

#[test]
fn the_documents_of_packaging_aws_are_what_aws_takes() {
    let checked = Command::new(venv("python")).arg(repository().join("tests/aws/check.py")).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
