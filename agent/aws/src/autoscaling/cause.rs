//! Recognizes the causes of scaling activities that replaced an instance for its health.

/// What leads to the reason of a termination, in lower case
/// (<https://docs.aws.amazon.com/autoscaling/ec2/userguide/replace-unhealthy-instance.html>). A launch says "was launched"
/// or "was started", so a replacement is counted once.
const TERMINATION: &str = "taken out of service in response to ";

/// The words that stand for health, in lower case. They are no whole sentences: AWS words the same cause in several ways
/// ("a EC2 health check", "an EC2 health check"), and what is counted in doubt only makes the guard more careful. No
/// word of these is in the causes that do not count: "in response to an instance refresh", "a difference between desired
/// and actual capacity", "a user request", a rebalance recommendation, availability zones out of balance, a maximum
/// lifetime.
const HEALTH: [(&str, &str); 3] = [
    // "in response to a user health-check": what SetInstanceHealth brings about.
    ("health-check", "https://docs.aws.amazon.com/autoscaling/ec2/userguide/replace-unhealthy-instance.html"),
    // "in response to an EC2 health check indicating it has been terminated or stopped", "in response to an ELB system
    // health check failure"; VPC Lattice's and EBS's checks are called so too.
    ("health check", "https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-healthchecks.html"),
    // "in response to an EC2 instance status checks failure".
    ("status check", "https://repost.aws/knowledge-center/auto-scaling-instance-how-terminated"),
];

/// Whether an activity with that cause ends an instance for its health. A cause may be several sentences, and others of
/// them may hold anything, as the name of an alarm.
pub fn is_health_replacement(cause: &str) -> bool {
    let cause = cause.to_ascii_lowercase();
    let mut reasons = cause.split(TERMINATION).skip(1).filter_map(|rest| rest.split(". ").next());
    reasons.any(|reason| HEALTH.iter().any(|(words, _)| reason.contains(words)))
}

/// How the description of a launch begins, before the instance's id
/// (<https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html> and the page of the causes show it).
const LAUNCH: &str = "Launching a new EC2 instance: ";

/// Why an instance is launched that takes the place of one that was replaced for its health, in lower case.
const FOR_UNHEALTHY: &str = "in response to an unhealthy instance needing to be replaced";

/// Whether an activity with that description launched `instance`.
pub fn launches(description: &str, instance: &str) -> bool {
    description
        .strip_prefix(LAUNCH)
        .is_some_and(|rest| rest.split(|c: char| c != '-' && !c.is_alphanumeric()).next() == Some(instance))
}

/// Whether an activity with that cause launches an instance in the place of an unhealthy one.
pub fn is_launch_for_unhealthy(cause: &str) -> bool {
    cause.to_ascii_lowercase().contains(FOR_UNHEALTHY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_is_known_by_its_instance_and_its_cause() {
        assert!(launches("Launching a new EC2 instance: i-0abc", "i-0abc"));
        assert!(launches("Launching a new EC2 instance: i-0abc.  Status Reason: it takes a while", "i-0abc"));
        assert!(!launches("Launching a new EC2 instance: i-0abcd", "i-0abc"));
        assert!(!launches("Terminating EC2 instance: i-0abc", "i-0abc"));
        let replacing = "At 2026-01-01T00:00:00Z an instance was launched in response to an unhealthy instance needing to be replaced.";
        let scaling = "At 2026-01-01T00:00:00Z an instance was started in response to a difference between desired and actual \
                       capacity, increasing the capacity from 1 to 2.";
        assert!(is_launch_for_unhealthy(replacing) && !is_launch_for_unhealthy(scaling));
    }

    #[test]
    fn causes_of_health_are_told_from_others() {
        for cause in [
            "At 2022-05-14T20:11:53Z an instance was taken out of service in response to a user health-check.",
            "At 2015-06-16T14:59:01Z an instance was taken out of service in response to a EC2 health check indicating it \
             has been terminated or stopped.",
            "At 2026-06-30T20:17:56Z an instance was taken out of service in response to an EC2 health check indicating it \
             has been terminated or stopped.",
            "At 2026-01-01T00:00:00Z an instance was taken out of service in response to an EC2 instance status checks \
             failure.",
            "At 2026-01-01T00:00:00Z an instance was taken out of service in response to an ELB system health check failure.",
        ] {
            assert!(is_health_replacement(cause), "{cause}");
        }
        for cause in [
            "",
            "At 2026-01-01T00:00:00Z an instance was launched in response to an unhealthy instance needing to be replaced.",
            "At 2022-12-24T22:03:59Z an instance was taken out of service in response to an instance refresh.  At \
             2022-12-24T22:03:59Z instance i-0 was selected for termination.",
            "At 2020-09-12T10:16:52Z a monitor alarm CPU in state ALARM triggered policy CPU changing the desired capacity \
             from 3 to 2. At 2020-09-12T10:17:02Z an instance was taken out of service in response to a difference between \
             desired and actual capacity, shrinking the capacity from 3 to 2.",
            "At 2020-09-12T10:16:52Z a monitor alarm health-check in state ALARM triggered policy health check changing the \
             desired capacity from 3 to 2. At 2020-09-12T10:17:02Z an instance was taken out of service in response to a \
             difference between desired and actual capacity. At 2020-09-12T10:17:02Z instance health-check was selected.",
            "At 2017-02-11T15:33:29Z instance i-0 was taken out of service in response to a user request.",
            "At 2026-01-01T00:00:00Z an instance was taken out of service in response to an EC2 instance rebalance \
             recommendation.",
            "At 2026-01-01T00:00:00Z instances were launched to balance instances in zones us-east-1a with other zones \
             resulting in more than desired number of instances in the group. At 2026-01-01T00:01:00Z an instance was taken \
             out of service in response to a difference between desired and actual capacity.",
        ] {
            assert!(!is_health_replacement(cause), "{cause}");
        }
    }
}
