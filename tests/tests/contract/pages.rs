//! The commands of the pages, executed in front of moto or held against their form, in Python.

use cflared_tests::documents::repository;
use cflared_tests::world::venv;
use std::process::Command;

#[test]
fn every_command_of_the_pages_does_what_the_page_says() {
    let checked = Command::new(venv("python"))
        .arg(repository().join("tests/pages/check.py"))
        // Proxies are none of its business: it talks to one port of loopback.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .output()
        .unwrap();
    let printed = [checked.stdout, checked.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(checked.status.success(), "{}", printed.join("\n"));
}
