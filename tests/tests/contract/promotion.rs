//! The promotion of an image, rehearsed end to end with everything of `imagebuilder/` and `packaging/aws` loaded into moto, in Python.

use cflared_tests::documents::repository;
use cflared_tests::world::venv;
use std::process::Command;

fn rehearse(what: &str) {
    let done = Command::new(venv("python"))
        .arg(repository().join("tests/promotion/rehearsal.py"))
        .arg(what)
        // Proxies are none of its business: it talks to one port of loopback.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .output()
        .unwrap();
    let printed = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(done.status.success(), "{}", printed.join("\n"));
}

#[test]
fn the_image_reaches_every_environment_or_is_stopped_and_can_be_taken_back() {
    rehearse("runs");
}

#[test]
fn each_planted_mistake_is_found() {
    rehearse("mistakes");
}
