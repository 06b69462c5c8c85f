//! `make demo`: see [`cflared_tests::demo`].

use std::process::ExitCode;

fn main() -> ExitCode {
    cflared_tests::demo::main()
}
