//! Configurations that Cloudflare pushes over the bundle's.
//!
//! A tunnel whose configuration is managed at Cloudflare gets one when it registers, and whenever somebody changes it there. From
//! then on the connector serves by that, whatever the secret says.

use super::Agent;
use bundle::Service;
use cflared_verdict::{Event, Hold, Holder, RunId};
use observe::Pushed;
use settings::RemoteConfiguration;
use tracing::{error, info};

/// What a connector serves by in place of its bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    /// Cloudflare's number of the configuration.
    pub version: i64,
    /// Which rule it breaks, if it breaks one.
    pub broken: Option<String>,
}

impl Remote {
    /// What a person is to know of it.
    pub fn note(&self) -> String {
        let Self { version, broken } = self;
        let broken = broken.as_deref().map(|rule| format!("; it breaks a rule: {rule}")).unwrap_or_default();
        format!(
            "Cloudflare pushed configuration {version}, which replaces the secret's{broken}; remove it at Cloudflare and restart the \
             connector, or set connector.remote_configuration to allow"
        )
    }
}

impl Agent {
    /// A look at a connector found that configuration in force, or none.
    pub(super) fn configured(&mut self, run: RunId, pushed: Option<Pushed>) {
        let Some(connector) = self.connectors.get(&run) else { return };
        if connector.remote.as_ref().map(|remote| remote.version) == pushed.as_ref().map(|pushed| pushed.version) {
            return;
        }
        let remote = pushed.map(|pushed| self.judge(run, &pushed));
        if let Some(connector) = self.connectors.get_mut(&run) {
            connector.remote = remote;
        }
        self.hold_for_remote();
    }

    fn judge(&self, run: RunId, Pushed { version, page }: &Pushed) -> Remote {
        let policy = self.policy();
        let broken = match bundle::check_pushed(page, &policy) {
            Ok(services) => {
                self.check_names(run, services);
                None
            }
            Err(rule) => Some(rule.to_string()),
        };
        let remote = Remote { version: *version, broken };
        match (self.settings.connector.remote_configuration, &remote.broken) {
            (RemoteConfiguration::Allow, None) => {
                info!(%run, version, event = "remote_configuration_in_force", "Cloudflare's configuration is in force, as the settings allow");
            }
            (RemoteConfiguration::Hold, _) | (RemoteConfiguration::Allow, Some(_)) => {
                let why = remote.note();
                error!(%run, version, why, event = "remote_configuration_refused", "Cloudflare's configuration is in force in place of the secret's");
            }
        }
        remote
    }

    fn check_names(&self, run: RunId, services: Vec<Service>) {
        tokio::spawn(super::orders::check_names(run, services, self.policy(), self.resolver.clone()));
    }

    /// Holds while a connector serves by a configuration that the settings do not allow.
    pub(super) fn hold_for_remote(&mut self) {
        let refused = |remote: &&Remote| match self.settings.connector.remote_configuration {
            RemoteConfiguration::Hold => true,
            RemoteConfiguration::Allow => remote.broken.is_some(),
        };
        let remote = self.connectors.values().filter_map(|connector| connector.remote.as_ref()).find(refused);
        let hold = remote.map(|remote| Hold { until: None, note: remote.note() });
        if hold != self.held_for_remote {
            self.held_for_remote.clone_from(&hold);
            self.tell(Event::Hold { by: Holder::Remote, hold });
        }
    }
}
