use super::*;
use crate::testing::{Asked, Http, Refusing, Reply, credentials, http_client, run};
use aws_sdk_autoscaling::config::{BehaviorVersion, Region};
use std::sync::atomic::{AtomicUsize, Ordering};

pub const INSTANCE: &str = "i-0123456789abcdef0";

fn autoscaling(url: &str) -> AutoScaling {
    AutoScaling::new(&client(url), INSTANCE, false)
}

pub fn client(url: &str) -> Client {
    let config = aws_sdk_autoscaling::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(url)
        .credentials_provider(credentials())
        .http_client(http_client());
    Client::from_conf(config.build())
}

pub fn text(asked: &Asked) -> &str {
    std::str::from_utf8(&asked.body).unwrap()
}

fn is_set(asked: &Asked) -> bool {
    text(asked).starts_with("Action=SetInstanceHealth")
}

pub fn xml(status: u16, body: &str) -> Reply {
    Reply::Say(status, "content-type: text/xml\r\n", body.as_bytes().to_vec())
}

fn set() -> Reply {
    xml(200, "<SetInstanceHealthResponse><ResponseMetadata/></SetInstanceHealthResponse>")
}

pub fn error(status: u16, code: &str, message: &str) -> Reply {
    let body = format!("<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>");
    xml(status, &body)
}

fn group(health: &str) -> Reply {
    let body = format!(
        "<DescribeAutoScalingInstancesResponse><DescribeAutoScalingInstancesResult><AutoScalingInstances><member>\
         <InstanceId>{INSTANCE}</InstanceId><AutoScalingGroupName>tunnel-prd</AutoScalingGroupName>\
         <AvailabilityZone>eu-west-1a</AvailabilityZone><LifecycleState>InService</LifecycleState>\
         <HealthStatus>{health}</HealthStatus><ProtectedFromScaleIn>false</ProtectedFromScaleIn>\
         </member></AutoScalingInstances></DescribeAutoScalingInstancesResult></DescribeAutoScalingInstancesResponse>"
    );
    xml(200, &body)
}

fn no_group() -> Reply {
    xml(
        200,
        "<DescribeAutoScalingInstancesResponse><DescribeAutoScalingInstancesResult><AutoScalingInstances/>\
         </DescribeAutoScalingInstancesResult></DescribeAutoScalingInstancesResponse>",
    )
}

fn membership(healthy: bool) -> Membership {
    Membership { group: "tunnel-prd".into(), lifecycle: "InService".into(), healthy }
}

#[test]
fn a_mark_respects_the_grace_and_is_read_back() {
    run(async {
        let http = Http::start(|_, asked| if is_set(asked) { set() } else { group("UNHEALTHY") }).await;
        let marked = autoscaling(&http.url).mark(Health::Unhealthy).await.unwrap();
        assert_eq!(marked, Marked { shown: true, membership: membership(false) });
        let asked = http.asked();
        assert_eq!(asked.len(), 2);
        for part in ["HealthStatus=Unhealthy", "ShouldRespectGracePeriod=true", &format!("InstanceId={INSTANCE}")] {
            assert!(text(&asked[0]).contains(part), "{}", text(&asked[0]));
        }
        assert!(asked[0].head.contains("authorization: aws4-hmac-sha256"), "it is signed");
    });
}

#[test]
fn a_mark_within_the_grace_is_not_shown() {
    run(async {
        let http = Http::start(|_, asked| if is_set(asked) { set() } else { group("HEALTHY") }).await;
        let marked = autoscaling(&http.url).mark(Health::Unhealthy).await.unwrap();
        assert!(!marked.shown);
        assert_eq!(http.asked().iter().filter(|asked| is_set(asked)).count(), 1, "it is set once, and read thrice");
        assert_eq!(http.asked().len(), 4);
    });
}

#[test]
fn a_mark_that_shows_late_is_seen() {
    run(async {
        let script = |n, asked: &Asked| match (is_set(asked), n) {
            (true, _) => set(),
            (false, 1) => group("HEALTHY"),
            _ => group("UNHEALTHY"),
        };
        let http = Http::start(script).await;
        assert!(autoscaling(&http.url).mark(Health::Unhealthy).await.unwrap().shown);
    });
}

#[test]
fn our_own_mark_is_taken_back() {
    run(async {
        let http = Http::start(|_, asked| if is_set(asked) { set() } else { group("HEALTHY") }).await;
        assert!(autoscaling(&http.url).mark(Health::Healthy).await.unwrap().shown);
        assert!(text(&http.asked()[0]).contains("HealthStatus=Healthy"));
    });
}

#[test]
fn an_instance_outside_a_group_is_told_apart() {
    run(async {
        let not_found =
            || error(400, "ValidationError", "Instance Id not found - No managed instance found for instance ID: i-0");
        let http = Http::start(move |_, asked| if is_set(asked) { not_found() } else { no_group() }).await;
        for result in [
            autoscaling(&http.url).mark(Health::Unhealthy).await.map(drop),
            autoscaling(&http.url).membership().await.map(drop),
        ] {
            let error = result.unwrap_err();
            assert!(matches!(&error, Error::NotInGroup { .. }));
            assert!(error.to_string().contains("it is in none, so nothing would replace it"), "{error}");
            assert_eq!(Failure::from(error).kind, FailureKind::Missing);
        }
        assert_eq!(http.asked().len(), 2);
    });
}

#[test]
fn contention_is_tried_again_a_few_times() {
    run(async {
        let contended = || error(500, "ResourceContention", "pending update");
        let sets = std::sync::Arc::new(AtomicUsize::new(0));
        let counted = sets.clone();
        let script = move |_, asked: &Asked| match is_set(asked) {
            true if counted.fetch_add(1, Ordering::Relaxed) < 2 => contended(),
            true => set(),
            false => group("UNHEALTHY"),
        };
        let http = Http::start(script).await;
        assert!(autoscaling(&http.url).mark(Health::Unhealthy).await.unwrap().shown);
        assert_eq!(sets.load(Ordering::Relaxed), 3);
        let http = Http::start(|_, _| error(400, "ResourceContention", "pending update")).await;
        let error = autoscaling(&http.url).mark(Health::Unhealthy).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Throttled, "{error}");
        assert_eq!(http.asked().len(), 3);
    });
}

#[test]
fn each_trouble_has_its_kind() {
    run(async {
        for (status, code, kind) in [
            (403, "AccessDenied", FailureKind::Denied),
            (403, "ExpiredToken", FailureKind::Denied),
            (400, "Throttling", FailureKind::Throttled),
            (503, "ServiceUnavailable", FailureKind::Throttled),
            (400, "ValidationError", FailureKind::Invalid),
        ] {
            let http = Http::start(move |_, _| error(status, code, "made up")).await;
            let error = autoscaling(&http.url).mark(Health::Unhealthy).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{code}: {error}");
            let text = error.to_string();
            assert!(
                text.starts_with(&format!("failed to call autoscaling:SetInstanceHealth on {INSTANCE}: ")),
                "{text}"
            );
            assert!(text.contains(&format!("{code}: made up")), "{text}");
        }
        let error = autoscaling(&Refusing::new().url()).membership().await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Unreachable);
        assert!(error.to_string().contains("onnection refused"), "{error}");
        let cut = Http::start(|_, _| Reply::Cut).await;
        assert_eq!(autoscaling(&cut.url).membership().await.unwrap_err().kind(), FailureKind::Unreachable);
    });
}

#[test]
fn an_endpoint_that_never_answers_is_given_up() {
    run(async {
        let http = Http::start(|_, _| Reply::Hang).await;
        let error = autoscaling(&http.url).membership().await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Unreachable, "{error}");
        assert!(error.to_string().contains("no answer in time"), "{error}");
    });
}

#[test]
fn a_dry_run_says_what_it_would_do_and_calls_nothing() {
    run(async {
        let http = Http::start(|_, asked| if is_set(asked) { set() } else { group("HEALTHY") }).await;
        let dry = AutoScaling::new(&client(&http.url), INSTANCE, true);
        for (health, word) in [(Health::Unhealthy, "Unhealthy"), (Health::Healthy, "Healthy")] {
            let error = dry.mark(health).await.unwrap_err();
            assert_eq!(error.kind(), FailureKind::Disabled);
            let text = error.to_string();
            assert!(
                text.contains(&format!(" {word}: this is a dry run")) && text.contains("SetInstanceHealth would"),
                "{text}"
            );
        }
        assert!(http.asked().is_empty());
        assert!(dry.membership().await.unwrap().healthy, "it reads all the same");
    });
}

#[test]
fn marks_do_not_overlap() {
    run(async {
        let http = Http::start(|_, asked| if is_set(asked) { set() } else { group("UNHEALTHY") }).await;
        let autoscaling = autoscaling(&http.url);
        let (first, second) = tokio::join!(autoscaling.mark(Health::Unhealthy), autoscaling.mark(Health::Unhealthy));
        assert!(first.unwrap().shown && second.unwrap().shown);
        let order: Vec<_> = http.asked().iter().map(is_set).collect();
        assert_eq!(order, [true, false, true, false], "the second is set after the first was read back");
    });
}
