use super::*;
use crate::autoscaling::tests::{INSTANCE, client, error, text, xml};
use crate::testing::{Asked, Http, Refusing, Reply, run};
use cflared_verdict::FailureKind;
use std::time::UNIX_EPOCH;

const NAME: &str = "tunnel-prd";
const OTHER: &str = "i-0fffffffffffffff0";
/// 2026-01-02T03:04:05Z, and the same as a `Date`.
const NOW: Duration = Duration::from_secs(1_767_323_045);
const DATE: &str = "content-type: text/xml\r\ndate: Fri, 02 Jan 2026 03:04:05 GMT\r\n";
const USER: &str = "an instance was taken out of service in response to a user health-check.";
const REFRESH: &str = "an instance was taken out of service in response to an instance refresh.";

fn now() -> SystemTime {
    UNIX_EPOCH + NOW
}

fn action(asked: &Asked) -> &str {
    text(asked).strip_prefix("Action=").unwrap().split('&').next().unwrap()
}

fn dated(action: &str, result: &str) -> Reply {
    let body = format!("<{action}Response><{action}Result>{result}</{action}Result></{action}Response>");
    Reply::Say(200, DATE, body.into_bytes())
}

fn mine() -> Reply {
    let result = format!(
        "<AutoScalingInstances><member><InstanceId>{INSTANCE}</InstanceId><AutoScalingGroupName>{NAME}\
         </AutoScalingGroupName><LifecycleState>InService</LifecycleState><HealthStatus>HEALTHY</HealthStatus></member>\
         </AutoScalingInstances>"
    );
    dated("DescribeAutoScalingInstances", &result)
}

fn zone_of(id: &str) -> &'static str {
    if id == OTHER { "eu-west-1b" } else { "eu-west-1a" }
}

fn group_of(members: &[(&str, &str, &str)], suspended: &[&str]) -> Reply {
    let member = |(id, state, health): &(&str, &str, &str)| {
        format!(
            "<member><InstanceId>{id}</InstanceId><AvailabilityZone>{}</AvailabilityZone><LifecycleState>{state}\
             </LifecycleState><HealthStatus>{health}</HealthStatus></member>",
            zone_of(id)
        )
    };
    let members: String = members.iter().map(member).collect();
    let process = |name: &&str| format!("<member><ProcessName>{name}</ProcessName></member>");
    let suspended: String = suspended.iter().map(process).collect();
    let group = format!(
        "<AutoScalingGroups><member><AutoScalingGroupName>{NAME}</AutoScalingGroupName><Instances>{members}</Instances>\
         <SuspendedProcesses>{suspended}</SuspendedProcesses></member></AutoScalingGroups>"
    );
    dated("DescribeAutoScalingGroups", &group)
}

/// Activities that began so many seconds before [`now`].
fn activities(of: &[(u64, &str)], next: Option<&str>) -> Reply {
    let one = |(age, cause): &(u64, &str)| {
        let start = humantime::format_rfc3339_millis(now() - Duration::from_secs(*age));
        format!("<member><Cause>At {start} {cause}</Cause><StartTime>{start}</StartTime></member>")
    };
    let next = next.map(|next| format!("<NextToken>{next}</NextToken>")).unwrap_or_default();
    let all: String = of.iter().map(one).collect();
    dated("DescribeScalingActivities", &format!("<Activities>{all}</Activities>{next}"))
}

fn refreshes(states: &[&str]) -> Reply {
    let one = |state: &&str| format!("<member><Status>{state}</Status></member>");
    let all: String = states.iter().map(one).collect();
    dated("DescribeInstanceRefreshes", &format!("<InstanceRefreshes>{all}</InstanceRefreshes>"))
}

/// A group of two that all is well with, unless `other` answers the action.
fn well(other: impl Fn(&str, &Asked) -> Option<Reply>) -> impl Fn(usize, &Asked) -> Reply {
    move |_, asked| {
        other(action(asked), asked).unwrap_or_else(|| match action(asked) {
            "DescribeAutoScalingInstances" => mine(),
            "DescribeAutoScalingGroups" => {
                group_of(&[(INSTANCE, "InService", "Healthy"), (OTHER, "InService", "Healthy")], &[])
            }
            "DescribeScalingActivities" => activities(&[], None),
            "DescribeInstanceRefreshes" => refreshes(&[]),
            other => panic!("nobody should call {other}"),
        })
    }
}

/// Answers `action` so, and everything else well.
fn but(this: &'static str, reply: impl Fn() -> Reply) -> impl Fn(usize, &Asked) -> Reply {
    well(move |action, _| (action == this).then(&reply))
}

async fn read(url: &str, wall: SystemTime) -> Result<Group, Error> {
    AutoScaling::new(&client(url), INSTANCE, false).group(wall).await
}

fn replaced(group: &Group) -> Vec<u64> {
    group.replaced.iter().map(Duration::as_secs).collect()
}

#[test]
fn the_group_is_read_whole() {
    run(async {
        let other = |action: &str, _: &Asked| match action {
            "DescribeAutoScalingGroups" => Some(group_of(
                &[(INSTANCE, "InService", "Healthy"), (OTHER, "Terminating:Wait", "Unhealthy"), ("i-9", "Standby", "")],
                &["Launch", "AZRebalance"],
            )),
            "DescribeScalingActivities" => {
                Some(activities(&[(60, USER), (120, REFRESH), (7200, USER), (86_400, USER), (86_401, USER)], None))
            }
            "DescribeInstanceRefreshes" => Some(refreshes(&["Successful", "Baking", "Cancelled"])),
            _ => None,
        };
        let http = Http::start(well(other)).await;
        let group = read(&http.url, now()).await.unwrap();
        assert_eq!((group.name.as_str(), group.me.as_str()), (NAME, INSTANCE));
        let member = |(id, lifecycle, healthy): (&str, &str, bool)| Member {
            id: id.into(),
            lifecycle: lifecycle.into(),
            healthy,
            zone: Some(zone_of(id).into()),
        };
        let members = [(INSTANCE, "InService", true), (OTHER, "Terminating:Wait", false), ("i-9", "Standby", false)];
        assert_eq!(group.members, members.map(member));
        assert_eq!(group.suspended, ["Launch", "AZRebalance"]);
        assert_eq!(group.refresh.as_deref(), Some("Baking"));
        assert_eq!(replaced(&group), [60, 7200, 86_400]);
        let asked = http.asked();
        assert_eq!(asked.len(), 4, "one call of each");
        let of_activities = asked.iter().find(|asked| action(asked) == "DescribeScalingActivities").unwrap();
        for part in
            ["IncludeDeletedGroups=false", "StartTimeLowerBound", "2026-01-01T02%3A54%3A05Z", "AutoScalingGroupName"]
        {
            assert!(text(of_activities).contains(part), "{}", text(of_activities));
        }
    });
}

#[test]
fn every_state_of_a_refresh_but_the_ended_ones_is_under_way() {
    run(async {
        let states = ["Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking", "OfALaterYear"];
        for state in states {
            let http = Http::start(but("DescribeInstanceRefreshes", move || refreshes(&["Failed", state]))).await;
            assert_eq!(read(&http.url, now()).await.unwrap().refresh.as_deref(), Some(state));
        }
        let http = Http::start(but("DescribeInstanceRefreshes", || refreshes(&REFRESH_OVER))).await;
        assert_eq!(read(&http.url, now()).await.unwrap().refresh, None);
    });
}

#[test]
fn ages_are_against_the_clock_of_the_answer() {
    run(async {
        let http = Http::start(but("DescribeScalingActivities", || activities(&[(3600, USER)], None))).await;
        for wall in [now(), now() - MOST_SKEW, now() + MOST_SKEW] {
            assert_eq!(replaced(&read(&http.url, wall).await.unwrap()), [3600]);
        }
    });
}

#[test]
fn without_a_date_the_clock_of_the_host_has_to_do() {
    run(async {
        let undated = |reply: Reply| match reply {
            Reply::Say(status, _, body) => Reply::Say(status, "content-type: text/xml\r\n", body),
            other => other,
        };
        let script = but("DescribeScalingActivities", || activities(&[(3600, USER)], None));
        let http = Http::start(move |n, asked| undated(script(n, asked))).await;
        let wall = now() + Duration::from_secs(1000);
        assert_eq!(replaced(&read(&http.url, wall).await.unwrap()), [4600]);
        let cached = |n: usize, asked: &Asked| match well(|_, _| None)(n, asked) {
            Reply::Say(status, _, body) => {
                let headers = "content-type: text/xml\r\ndate: Thu, 01 Jan 2026 03:04:05 GMT\r\nage: 86400\r\n";
                Reply::Say(status, headers, body)
            }
            other => other,
        };
        assert!(read(&Http::start(cached).await.url, now()).await.is_ok(), "the date of a cached answer is no clock");
        let early = now() - Duration::from_secs(7200);
        assert_eq!(replaced(&read(&http.url, early).await.unwrap()), [0], "what has not been yet has just been");
    });
}

#[test]
fn a_clock_that_is_off_is_the_cause_that_is_named() {
    run(async {
        let expired = || {
            let body = "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>expired</Message></Error>\
                        </ErrorResponse>";
            Reply::Say(403, DATE, body.into())
        };
        let fine = Http::start(well(|_, _| None)).await;
        let refused = Http::start(move |_, _| expired()).await;
        let hour = Duration::from_secs(3600);
        for url in [&fine.url, &refused.url] {
            for (wall, off) in [(now() - hour, "1h behind AWS's"), (now() + hour, "1h ahead of AWS's")] {
                let failure = Failure::from(read(url, wall).await.unwrap_err());
                assert_eq!(failure.kind, FailureKind::Host);
                assert!(failure.text.contains(off) && failure.text.contains("chrony"), "{}", failure.text);
            }
        }
    });
}

#[test]
fn all_pages_are_read() {
    run(async {
        let pages = |action: &str, asked: &Asked| {
            (action == "DescribeScalingActivities").then(|| match text(asked) {
                asked if asked.contains("NextToken=two") => activities(&[(20, REFRESH), (30, USER)], Some("three")),
                asked if asked.contains("NextToken=three") => activities(&[(40, USER)], None),
                _ => activities(&[(10, USER)], Some("two")),
            })
        };
        let http = Http::start(well(pages)).await;
        assert_eq!(replaced(&read(&http.url, now()).await.unwrap()), [10, 30, 40]);
        assert_eq!(http.asked().len(), 6);
    });
}

#[test]
fn more_than_can_be_judged_is_no_answer() {
    run(async {
        let huge = || activities(&vec![(10, REFRESH); 100], Some("more"));
        let http = Http::start(but("DescribeScalingActivities", huge)).await;
        let error = read(&http.url, now()).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Invalid);
        assert!(error.to_string().contains("more than 1000 scaling activities of a day, too many to judge"), "{error}");
        let count = http.asked().iter().filter(|asked| action(asked) == "DescribeScalingActivities").count();
        assert_eq!(count, MOST_PAGES);
    });
}

async fn troubles_of(called: &'static str, permission: &str) {
    for (status, code, kind) in [
        (403, "AccessDenied", FailureKind::Denied),
        (400, "Throttling", FailureKind::Throttled),
        (400, "ValidationError", FailureKind::Invalid),
    ] {
        let http = Http::start(but(called, move || error(status, code, "made up"))).await;
        let failure = Failure::from(read(&http.url, now()).await.unwrap_err());
        assert_eq!(failure.kind, kind, "{called} {code}: {}", failure.text);
        assert!(failure.text.starts_with(&format!("failed to call {permission} on ")), "{}", failure.text);
    }
    let garbage = Http::start(but(called, || xml(200, "<html>no XML"))).await;
    let error = read(&garbage.url, now()).await.unwrap_err();
    assert!(error.to_string().contains("is not the service's"), "{called}: {error}");
    let cut = Http::start(but(called, || Reply::Cut)).await;
    assert_eq!(read(&cut.url, now()).await.unwrap_err().kind(), FailureKind::Unreachable);
}

#[test]
fn each_trouble_of_each_call_has_its_kind() {
    run(async {
        tokio::join!(
            troubles_of("DescribeAutoScalingInstances", crate::autoscaling::READ),
            troubles_of("DescribeAutoScalingGroups", GROUPS),
            troubles_of("DescribeScalingActivities", ACTIVITIES),
            troubles_of("DescribeInstanceRefreshes", REFRESHES),
        );
        assert_eq!(read(&Refusing::new().url(), now()).await.unwrap_err().kind(), FailureKind::Unreachable);
    });
}

#[test]
fn a_read_that_is_never_answered_is_given_up() {
    run(async {
        let silent = ["DescribeAutoScalingInstances", "DescribeScalingActivities"].map(|called| async move {
            let http = Http::start(but(called, || Reply::Hang)).await;
            let error = read(&http.url, now()).await.unwrap_err();
            assert_eq!(error.kind(), FailureKind::Unreachable, "{called}: {error}");
            assert!(error.to_string().contains("no answer in time"), "{called}: {error}");
        });
        let [first, second] = silent;
        tokio::join!(first, second);
    });
}

#[test]
fn an_instance_that_no_group_shows_is_in_none() {
    run(async {
        let empty = || dated("DescribeAutoScalingInstances", "<AutoScalingInstances/>");
        let without_me = || group_of(&[(OTHER, "InService", "Healthy")], &[]);
        let no_group = || dated("DescribeAutoScalingGroups", "<AutoScalingGroups/>");
        let troubles = [
            Http::start(but("DescribeAutoScalingInstances", empty)).await,
            Http::start(but("DescribeAutoScalingGroups", without_me)).await,
            Http::start(but("DescribeAutoScalingGroups", no_group)).await,
        ];
        for http in troubles {
            assert!(matches!(read(&http.url, now()).await.unwrap_err(), Error::NotInGroup { .. }));
        }
    });
}
