//! The Terraform modules: evaluated, held against the provider's schema and against what `render` makes, in Python.

use cflared_tests::documents::repository;
use cflared_tests::world::venv;
use std::process::Command;

#[test]
fn the_terraform_modules_give_what_render_gives_and_the_provider_takes() {
    let checked = Command::new(venv("python")).arg(repository().join("tests/terraform/check.py")).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
