//! Stands in for the cloudflared program: see [`cflared_tests::cloudflared`].

use std::process::ExitCode;

fn main() -> ExitCode {
    cflared_tests::cloudflared::main(std::env::args_os())
}
