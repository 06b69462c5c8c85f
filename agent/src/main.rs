//! cflared-agent.

use std::process::ExitCode;

fn main() -> ExitCode {
    cflared_agent::cli::main()
}
