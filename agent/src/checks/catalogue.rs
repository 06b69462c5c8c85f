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
        "it starts even if an update breaks a library",
        "install the cflared-agent package; its binary is built by `make dist`", [];
    AGENT_RUNS = "agent-runs", "the agent runs",
        "it was built for this processor and kernel, and prints its version",
        "install the cflared-agent package of this machine's architecture", [AGENT_STATIC];
    SETTINGS = "settings", "the agent's settings are valid",
        "the agent will not end with status 78 on every instance",
        "correct the named key, or remove it to use its default", [];
    CLOUDFLARED_PRESENT = "cloudflared-present", "cloudflared is installed",
        "there is a program for the agent to run",
        "install the package cloudflared from Cloudflare's apt repository", [];
    CLOUDFLARED_VERSION = "cloudflared-version", "cloudflared is at least validate.min_cloudflared",
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
        "systemd knows every directive, and every program that a unit names exists",
        "read systemd-analyze's messages; remove or correct drop-ins of the units", [UNITS_INSTALLED];
    AGENT_USER = "agent-user", "the agent's user exists, and is not root",
        "the agent and cloudflared run without privileges",
        "run `systemd-sysusers`; the package's sysusers.d file makes the user", [];
    DIRECTORIES = "directories", "the directories have the right owners and modes",
        "the agent can install bundles, and nobody else can read or replace them",
        "run `systemd-tmpfiles --create`; the package's tmpfiles.d file sets owner and mode", [AGENT_USER];
    FILES = "files", "programs, units and settings belong to root and only root writes them",
        "only root can replace the programs; the agent's own user cannot",
        "run `chown root: FILE; chmod go-w FILE` for the named files", [];
    IMAGE_FILE = "image-file", "image.json describes the image",
        "CloudWatch gets the image's age, and an instance can be traced to its image",
        "write the file as the last step of the image's build; /usr/share/cflared-agent/image.md shows how", [];
    NO_BUNDLE = "no-bundle", "no tunnel's bundle is installed",
        "an image serves every environment, and carries the credentials of none",
        "empty the directory, and revoke the credentials that were in it: everyone who may launch the image knows \
            them", [];
    NO_LOGIN = "no-cloudflared-login", "no cloudflared login is left",
        "no certificate or credential of a person or tunnel is copied to every instance",
        "remove the named files, and revoke the credentials in them", [];
    NO_AWS_KEYS = "no-aws-keys", "no AWS credentials are left in home directories",
        "instances use only their role",
        "remove the named files, and revoke the credentials in them", [];
    NO_CREDENTIALS_IN_HOMES = "no-credentials-in-homes", "no credential is in home directories and shell histories",
        "the build left no secret in the image",
        "remove the named files, and revoke the credentials in them", [];
    NO_CREDENTIALS_IN_ETC = "no-credentials-in-etc", "no credential is in configuration and environment files",
        "no unit, environment file or cron job carries a token",
        "remove the named lines, and revoke the credentials in them", [];
    NO_CREDENTIALS_IN_LOGS = "no-credentials-in-logs", "no credential is in log files",
        "no step of the build printed a secret that was kept",
        "remove the named files, and revoke the credentials in them; then find the step that prints it", [];
    NO_CREDENTIALS_IN_JOURNAL = "no-credentials-in-journal", "no credential is in the journal",
        "no step of the build printed a secret that was kept",
        "run `journalctl --rotate; journalctl --vacuum-time=1s`, and revoke the credentials that were in it; then \
            find the step that \
         prints it", [];
    NO_CREDENTIALS_IN_CLOUD_INIT = "no-credentials-in-cloud-init", "no credential is in cloud-init's files",
        "the image has no user data of the build instance",
        "run `cloud-init clean --logs`, and revoke the credentials that were in it", [];
    NO_CREDENTIALS_LEFT = "no-credentials-left", "no credential is in temporary files, core dumps and tools' state",
        "the image has none of the build's temporary files",
        "remove the named files, and revoke the credentials in them", [];
    NO_AUTO_UPDATE = "no-auto-update", "nothing replaces cloudflared by itself",
        "instances run the version that was tested with the image",
        "disable and remove the named timer or cron job", [];
    NO_OTHER_CONNECTOR = "no-other-connector", "no other unit runs cloudflared",
        "the agent's connector has its metrics port and its tunnel for itself",
        "run `systemctl disable cloudflared.service`; the agent runs cloudflared", [];
    SSM_AGENT = "ssm-agent", "the SSM agent is installed",
        "an engineer can reach the instance, which has no inbound rule",
        "install amazon-ssm-agent (`snap install amazon-ssm-agent --classic`)", [];
    TIME_SYNC = "time-sync", "the clock is synchronized",
        "TLS and AWS's signatures work, and datapoints get the right minute",
        "enable chrony or systemd-timesyncd", [];
}
