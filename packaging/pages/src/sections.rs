//! The parts of the pages beyond the command line: exit status, files, environment, further reading.

use cflared_agent::cli::Exit;
use clap_mangen::roff::{Roff, bold, roman};
use settings::DEFAULT_PATH;

const STATUS: [(Exit, &str); 6] = [
    (Exit::Fine, "Fine."),
    (Exit::NotFine, "The checked thing is not fine."),
    (Exit::Unknown, "Unknown: the check could not be made."),
    (Exit::Usage, "Bad usage."),
    (Exit::TryAgain, "Failed; worth a retry."),
    (Exit::Config, "Wrong settings, tag or payload; the command fails again until that is corrected."),
];

const FILES: [(&str, &str); 4] = [
    (DEFAULT_PATH, "The settings. Every key is optional; the installed file shows all of them with their defaults."),
    ("/etc/cloudflared", "The installed configuration and credentials of the tunnel."),
    ("/run/cflared-agent/status.json", "What the agent saw, chose and refused."),
    ("/usr/lib/cflared-agent/image.json", "A description of the machine image, written when it is built."),
];

const ENVIRONMENT: [(&str, &str); 3] = [
    ("CFLARED_AGENT_LOG", "The level of the log: trace, debug, info, warn or error."),
    ("SSL_CERT_FILE", "The root certificates, in one file."),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT, AWS_ENDPOINT_URL", "The endpoints of the metadata service and of AWS."),
];

/// For the page of the whole command.
pub fn of_the_command() -> Roff {
    let mut page = of_a_subcommand();
    list(&mut page, "FILES", FILES.map(|(name, text)| (name.to_owned(), text)));
    list(&mut page, "ENVIRONMENT", ENVIRONMENT.map(|(name, text)| (name.to_owned(), text)));
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("systemctl"), roman("(1), "), bold("journalctl"), roman("(1)")]);
    page
}

/// For the page of a subcommand.
pub fn of_a_subcommand() -> Roff {
    let mut page = Roff::new();
    list(&mut page, "EXIT STATUS", STATUS.map(|(exit, text)| ((exit as u8).to_string(), text)));
    page
}

fn list<const N: usize>(page: &mut Roff, title: &str, entries: [(String, &str); N]) {
    page.control("SH", [title]);
    for (name, text) in entries {
        page.control("TP", []);
        page.text([bold(name)]);
        page.text([roman(text)]);
    }
}
