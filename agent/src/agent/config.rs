//! What the settings come to for the verdict.

use crate::settings::Settings;
use cflared_verdict::Config;

/// The verdict's times and numbers; those that are no settings follow from `condemn_after`.
pub(super) fn config(settings: &Settings) -> Config {
    Config {
        poll_interval: settings.secret.poll_interval,
        startup_grace: settings.verdict.startup_grace,
        recheck_secret_after: settings.verdict.recheck_secret_after,
        // What is condemned on must have been looked at, and the hold tag is read from then on.
        probe_after: settings.verdict.probe_after.min(settings.verdict.condemn_after / 2),
        restart_after: settings.verdict.restart_after,
        grain: settings.cloudwatch.interval,
        replacements_per_hour: settings.autoscaling.replacements_per_hour,
        replacements_per_day: settings.autoscaling.replacements_per_day,
        min_connections: settings.connector.min_connections,
        register_timeout: settings.handover.register_timeout,
        settle: settings.handover.settle,
        probation: settings.handover.probation,
        on_new_binary: settings.handover.on_new_binary,
        ..Config::paced(settings.verdict.condemn_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_settings_are_the_verdicts_defaults() {
        assert_eq!(config(&Settings::default()), Config::default());
    }

    #[test]
    fn what_a_hand_over_goes_by_is_passed_on() {
        let settings = Settings::parse(
            "{ connector: { min_connections: 3 },
               handover: { register_timeout: 9s, settle: 8s, probation: 7s, on_new_binary: true } }",
        )
        .unwrap();
        let config = config(&settings);
        assert_eq!((config.min_connections, config.on_new_binary), (3, true));
        let times = [config.register_timeout, config.settle, config.probation];
        assert_eq!(times.map(|time| time.as_secs()), [9, 8, 7]);
    }

    #[test]
    fn a_probe_comes_in_time_for_a_fast_judgement() {
        let settings = Settings::parse("verdict: { restart_after: 8s, condemn_after: 10s }").unwrap();
        assert_eq!(config(&settings).probe_after.as_secs(), 5);
        let settings = Settings::parse("verdict: { probe_after: 3s, restart_after: 8s, condemn_after: 10s }").unwrap();
        assert_eq!(config(&settings).probe_after.as_secs(), 3);
    }
}
