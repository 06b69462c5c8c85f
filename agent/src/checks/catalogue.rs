//! The checks: a stable id each, what it proves, how to mend it, and which checks must have passed before it means
//! anything. The ids are a contract with whoever reads reports: one is never used for something else.

/// One check.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name in reports, for good.
    pub id: &'static str,
    /// What is so when it passes, in a line.
    pub title: &'static str,
    /// What follows from that.
    pub proves: &'static str,
    /// How to mend it.
    pub remedy: &'static str,
    /// The checks without which this one says nothing: it is skipped unless they passed.
    pub needs: &'static [&'static Check],
}

macro_rules! catalogue {
    ($($name:ident = $id:literal, $title:literal, $proves:literal, $remedy:literal, [$($needs:ident),*];)*) => {
        $(
            #[doc = $title]
            pub static $name: Check =
                Check { id: $id, title: $title, proves: $proves, remedy: $remedy, needs: &[$(&$needs),*] };
        )*

        /// All that are made here, each after those that it needs.
        pub static ALL: &[&Check] = &[$(&$name),*];
    };
}

/// The checks of a running host that are not among an image's.
pub mod host;

catalogue! {
    AGENT_STATIC = "agent-static", "the agent is a static program",
        "it starts whatever libraries an update brings or breaks",
        "install the cflared-agent package; its binary is built by `make dist`", [];
    AGENT_RUNS = "agent-runs", "the agent runs",
        "it is made for this processor and kernel, and says its version",
        "install the cflared-agent package of this machine's architecture", [AGENT_STATIC];
    SETTINGS = "settings", "the agent's settings are valid",
        "the agent will not end with status 78 on every instance",
        "correct the key that is named, or remove it to get its default", [];
    CLOUDFLARED_PRESENT = "cloudflared-present", "cloudflared is installed",
        "there is a program for the agent to run",
        "install the package cloudflared from Cloudflare's apt repository", [];
    CLOUDFLARED_VERSION = "cloudflared-version", "cloudflared is as new as validate.min_cloudflared asks",
        "it has the fixes and the metrics that the agent relies on",
        "install a newer cloudflared, or lower validate.min_cloudflared", [CLOUDFLARED_PRESENT];
    CLOUDFLARED_AGE = "cloudflared-age", "cloudflared is less than a year old",
        "Cloudflare supports this release (it supports those of the last year)",
        "install the current cloudflared, and build images more often", [CLOUDFLARED_VERSION];
    UNITS_INSTALLED = "units-installed", "the units are installed",
        "systemd knows how to run the agent",
        "install the cflared-agent package", [];
    UNITS_ENABLED = "units-enabled", "cflared-agent.service is enabled and not masked",
        "the agent starts at boot",
        "run `systemctl unmask cflared-agent.service; systemctl enable cflared-agent.service`", [UNITS_INSTALLED];
    UNITS_VERIFIED = "units-verified", "systemd accepts the units",
        "no directive is unknown here, and every program that a unit names is there",
        "read what systemd-analyze says; remove or correct drop-ins of the units", [UNITS_INSTALLED];
    AGENT_USER = "agent-user", "the agent's user exists, and is not root",
        "the agent and cloudflared run without rights",
        "run `systemd-sysusers`; the package's sysusers.d file makes the user", [];
    DIRECTORIES = "directories", "the directories have their owners and modes",
        "the agent can install bundles, and nobody else can read or replace them",
        "run `systemd-tmpfiles --create`; the package's tmpfiles.d file sets owner and mode", [AGENT_USER];
    FILES = "files", "programs, units and settings belong to root and only root writes them",
        "nobody but root can replace what runs, the agent's own user included",
        "run `chown root: FILE; chmod go-w FILE` for the files that are named", [];
    IMAGE_FILE = "image-file", "image.json says what the image is",
        "the image's age is told to CloudWatch, and an instance can be traced to its image",
        "write the file as the last step of the image's build; /usr/share/cflared-agent/image.md shows how", [];
    NO_BUNDLE = "no-bundle", "no tunnel's bundle is installed",
        "an image serves every environment, and carries the credentials of none",
        "empty the directory, and revoke what was in it: a credential that was in an image is known to everyone who may \
         launch it", [];
    NO_LOGIN = "no-cloudflared-login", "nobody's cloudflared login is left",
        "no certificate or credential of a person or tunnel is copied to every instance",
        "remove the files that are named, and revoke what was in them", [];
    NO_AWS_KEYS = "no-aws-keys", "no AWS credentials are left in home directories",
        "instances act by their role only",
        "remove the files that are named, and revoke what was in them", [];
    NO_CREDENTIALS_IN_HOMES = "no-credentials-in-homes", "no credential is in home directories and shell histories",
        "whoever built the image left no secret in it",
        "remove the files that are named, and revoke what was in them", [];
    NO_CREDENTIALS_IN_ETC = "no-credentials-in-etc", "no credential is in configuration and environment files",
        "no unit, environment file or cron job carries a token",
        "remove the lines that are named, and revoke what was in them", [];
    NO_CREDENTIALS_IN_LOGS = "no-credentials-in-logs", "no credential is in log files",
        "no step of the build printed a secret that was kept",
        "remove the files that are named, and revoke what was in them; then find the step that prints it", [];
    NO_CREDENTIALS_IN_JOURNAL = "no-credentials-in-journal", "no credential is in the journal",
        "no step of the build printed a secret that was kept",
        "run `journalctl --rotate; journalctl --vacuum-time=1s`, and revoke what was in it; then find the step that \
         prints it", [];
    NO_CREDENTIALS_IN_CLOUD_INIT = "no-credentials-in-cloud-init", "no credential is in what cloud-init left",
        "no build instance's user data goes into the image",
        "run `cloud-init clean --logs`, and revoke what was in it", [];
    NO_CREDENTIALS_LEFT = "no-credentials-left", "no credential is in temporary files, core dumps and tools' state",
        "nothing that the build put aside goes into the image",
        "remove the files that are named, and revoke what was in them", [];
    NO_AUTO_UPDATE = "no-auto-update", "nothing replaces cloudflared by itself",
        "what runs is what the image was tested with",
        "disable and remove the timer or cron job that is named", [];
    NO_OTHER_CONNECTOR = "no-other-connector", "no other unit runs cloudflared",
        "the agent's connector has its metrics port and its tunnel for itself",
        "run `systemctl disable cloudflared.service`; the agent runs cloudflared", [];
    SSM_AGENT = "ssm-agent", "the SSM agent is installed",
        "an engineer can reach the instance, which has no inbound rule",
        "install amazon-ssm-agent (`snap install amazon-ssm-agent --classic`)", [];
    TIME_SYNC = "time-sync", "the clock is kept right",
        "TLS and AWS's signatures work, and datapoints get their true minute",
        "enable chrony or systemd-timesyncd", [];
}
