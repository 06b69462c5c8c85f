//! The verdict's configuration, from the settings.
use cflared_verdict::{Config, Mode};
use settings::Settings;

/// The verdict's times and numbers; those that are no settings follow from `condemn_after`.
pub(super) fn config(settings: &Settings) -> Config {
    let paced = Config::paced(settings.verdict.condemn_after);
    let settings::Lifecycle { launch_hook, terminate_hook } = &settings.lifecycle;
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
        launch_hook: launch_hook.is_some(),
        terminate_hook: terminate_hook.is_some(),
        notices_every: match (launch_hook, terminate_hook) {
            (None, None) => paced.notices_every,
            // The group waits for what is done on them.
            _ => paced.ask_again,
        },
        longest_silence: connector::longest_silence(&settings.connector.extra_args),
        second_opinion: settings.verdict.second_opinion,
        mode: match settings.mode {
            settings::Mode::Act | settings::Mode::DryRun => Mode::Act,
            settings::Mode::Observe => Mode::Observe,
        },
        ..paced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_settings_are_the_verdicts_defaults() {
        // But for what the agent itself bounds.
        let longest_silence = connector::longest_silence(&[]);
        assert_eq!(config(&Settings::default()), Config { longest_silence, ..Config::default() });
    }

    #[test]
    fn the_verdict_knows_which_hooks_are_named() {
        for (text, named) in [
            ("", (false, false)),
            ("lifecycle: { launch_hook: hello }", (true, false)),
            ("lifecycle: { terminate_hook: bye }", (false, true)),
        ] {
            let config = config(&Settings::parse(text).unwrap());
            assert_eq!((config.launch_hook, config.terminate_hook), named, "{text}");
            let every = if named == (false, false) { 60 } else { 15 };
            assert_eq!(config.notices_every.as_secs(), every, "{text}");
        }
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
    fn who_only_observes_says_so_to_the_verdict() {
        let config = config(&Settings::parse("{ mode: observe, verdict: { second_opinion: false } }").unwrap());
        assert_eq!((config.mode, config.second_opinion), (Mode::Observe, false));
    }

    #[test]
    fn a_probe_comes_in_time_for_a_fast_judgement() {
        let settings = Settings::parse("verdict: { restart_after: 8s, condemn_after: 10s }").unwrap();
        assert_eq!(config(&settings).probe_after.as_secs(), 5);
        let settings = Settings::parse("verdict: { probe_after: 3s, restart_after: 8s, condemn_after: 10s }").unwrap();
        assert_eq!(config(&settings).probe_after.as_secs(), 3);
    }
}
