//! What the guard reads: by the agent's own code at the stand-in, by botocore at the stand-in, and by the SDK at moto where
//! moto works. It has neither activities nor refreshes, and CloudWatch in another protocol only.

use super::cloudwatch::{DIMENSIONS, datum, python};
use super::moto::Moto;
use super::peer::{control, outcome, stand_in, until};
use super::scaling::{GROUP, make_group};
use aws::autoscaling::{AutoScaling, Error};
use aws::cloudwatch::{CloudWatch, Config, Dimensions, Sample, Saved};
use aws_config::SdkConfig;
use aws_sdk_autoscaling::Client as Scaling;
use aws_sdk_cloudwatch::Client as Metrics;
use aws_sdk_cloudwatch::types::{MetricDataQuery, MetricStat};
use cflared_tests::aws::{Aws, Group, Visibility};
use cflared_tests::http::faults::Trouble;
use cflared_verdict::{Failure, FailureKind, Group as Read, Member};
use serde_json::Value;
use settings::Namespace;
use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const ME: &str = "i-00000000000000001";
const OTHER: &str = "i-00000000000000002";
const USER: &str = "an instance was taken out of service in response to a user health-check.";
const MINUTE: Duration = Duration::from_secs(60);
const TEN_MINUTES: Duration = Duration::from_secs(600);

async fn world() -> (Aws, SdkConfig) {
    let (aws, config) = stand_in().await;
    aws.put_group(Group { replace_after_ms: u64::MAX, ..Group::new(GROUP, [ME, OTHER]) });
    (aws, config)
}

async fn group(config: &SdkConfig) -> Result<Read, Error> {
    AutoScaling::new(&Scaling::new(config), ME, false).group(SystemTime::now()).await
}

#[tokio::test]
async fn the_group_is_read_as_it_is() {
    let (aws, config) = world().await;
    let quiet = group(&config).await.unwrap();
    let zone = Some("us-east-1a".to_owned());
    let serving = |id: &str| Member { id: id.into(), lifecycle: "InService".into(), healthy: true, zone: zone.clone() };
    let members = vec![serving(ME), serving(OTHER)];
    assert_eq!(quiet, Read { name: GROUP.into(), me: ME.into(), members, ..Read::default() });

    let standby = format!(
        r#"{{"name": "{GROUP}", "suspended": ["Launch"], "instances": {{"{OTHER}": {{"lifecycle_state": "Standby"}}}}}}"#
    );
    let refresh = format!(r#"{{"group": "{GROUP}", "status": "InProgress"}}"#);
    let activity = format!(r#"{{"group": "{GROUP}", "instance": "i-0", "why": "{USER}", "age_s": 1800}}"#);
    for (command, body) in [("group", &standby), ("refresh", &refresh), ("activity", &activity)] {
        let answer = control(&config, command, body).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{command}: {answer}");
    }
    assert!(aws.plant_activity(GROUP, "i-0", "an instance refresh replaced it.", MINUTE));
    assert!(aws.plant_activity(GROUP, "i-0", USER, Duration::from_secs(25 * 3600)));
    let read = group(&config).await.unwrap();
    assert_eq!((read.members[1].lifecycle.as_str(), read.members[1].settled()), ("Standby", true));
    assert_eq!((read.suspended, read.refresh.as_deref()), (vec!["Launch".to_owned()], Some("InProgress")));
    let [age] = read.replaced.as_slice() else { panic!("one replacement, not {:?}", read.replaced) };
    assert!((1799..1830).contains(&age.as_secs()), "{age:?}");
    assert!(aws.set_refresh(GROUP, "Successful"));
    assert_eq!(group(&config).await.unwrap().refresh, None);
}

#[tokio::test]
async fn a_replacement_is_seen_from_the_mark_to_the_successor() {
    let (aws, config) = world().await;
    aws.edit_group(GROUP, |group| (group.replace_after_ms, group.launch_takes_ms) = (0, 60_000));
    let other = AutoScaling::new(&Scaling::new(&config), OTHER, false);
    assert!(other.mark(aws::autoscaling::Health::Unhealthy).await.unwrap().shown);
    let read = group(&config).await.unwrap();
    let state = |id: &str| read.members.iter().find(|member| member.id == id).map(|member| member.lifecycle.as_str());
    assert_eq!(state(OTHER), Some("Terminating"));
    let successor = read.members.iter().find(|member| ![ME, OTHER].contains(&member.id.as_str())).unwrap();
    assert_eq!((successor.lifecycle.as_str(), successor.settled()), ("Pending", false));
    assert_eq!(read.replaced.len(), 1);
    aws.edit_group(GROUP, |group| group.launch_takes_ms = 0);
    let settled = || aws.group(GROUP).unwrap().instances.values().all(|i| i.lifecycle_state == "InService");
    until("the successor is in service and the other gone", settled).await;
    let read = group(&config).await.unwrap();
    assert_eq!((read.members.len(), read.members.iter().all(Member::settled), read.replaced.len()), (2, true, 1));
}

#[tokio::test]
async fn many_activities_are_read_over_pages() {
    let (aws, config) = world().await;
    for minute in 0..250 {
        assert!(aws.plant_activity(GROUP, "i-0", USER, minute * MINUTE));
    }
    assert_eq!(group(&config).await.unwrap().replaced.len(), 250);
    assert_eq!(aws.requests().count("DescribeScalingActivities"), 3);
    for _ in 0..751 {
        assert!(aws.plant_activity(GROUP, "i-0", "an instance refresh replaced it.", MINUTE));
    }
    let error = group(&config).await.unwrap_err();
    assert!(error.to_string().contains("too many to judge"), "{error}");
}

#[tokio::test]
async fn each_fault_of_each_read_is_a_failure() {
    let (aws, config) = world().await;
    for action in [
        "DescribeAutoScalingInstances",
        "DescribeAutoScalingGroups",
        "DescribeScalingActivities",
        "DescribeInstanceRefreshes",
        "GetMetricData",
    ] {
        for (trouble, kind) in [
            (Trouble::Denied, FailureKind::Denied),
            (Trouble::Throttled, FailureKind::Throttled),
            (Trouble::bad_body("<html>"), FailureKind::Throttled),
        ] {
            aws.plant(trouble.clone().on(action));
            let failure = match action {
                "GetMetricData" => peers(&config).await.unwrap_err(),
                _ => group(&config).await.unwrap_err().into(),
            };
            assert_eq!(failure.kind, kind, "{action} {trouble:?}: {}", failure.text);
            aws.clear_faults();
        }
    }
    aws.plant(Trouble::delay(Duration::from_millis(1500)).on("DescribeScalingActivities"));
    assert!(group(&config).await.is_ok(), "slow is no fault");
}

#[tokio::test]
async fn a_black_hole_is_left_in_time() {
    let (aws, config) = world().await;
    aws.plant(Trouble::BlackHole.on("Describe"));
    aws.plant(Trouble::BlackHole.on("GetMetricData"));
    let began = tokio::time::Instant::now();
    let (group, peers) = tokio::join!(group(&config), peers(&config));
    assert_eq!(Failure::from(group.unwrap_err()).kind, FailureKind::Unreachable);
    assert_eq!(peers.unwrap_err().kind, FailureKind::Unreachable);
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn a_server_whose_clock_is_elsewhere_is_a_clock_that_is_off() {
    let (aws, config) = world().await;
    for ahead in [3600, -3600] {
        aws.set_clock_ahead(ahead);
        for failure in [group(&config).await.map_err(Failure::from).unwrap_err(), peers(&config).await.unwrap_err()] {
            assert_eq!(failure.kind, FailureKind::Host, "{}", failure.text);
            assert!(failure.text.contains("chrony"), "{}", failure.text);
        }
    }
}

fn dimensions() -> Arc<Dimensions> {
    Arc::new(Dimensions {
        environment: DIMENSIONS[0].1.into(),
        tunnel: DIMENSIONS[1].1.into(),
        instance: ME.into(),
        zone: "us-east-1a".into(),
    })
}

fn pusher(config: &SdkConfig) -> CloudWatch {
    let config = Config {
        client: Metrics::new(config),
        namespace: Namespace::new("Cflared"),
        interval: MINUTE,
        instance: ME.into(),
        resume: Saved::default(),
    };
    CloudWatch::start(config, |_| ready(Ok::<_, Infallible>(())))
}

/// Live and reporting, newest first, as `cloudwatch` sees its peers.
async fn peers_of(cloudwatch: &CloudWatch) -> Result<Vec<(u32, u32)>, Failure> {
    let peers = cloudwatch.peers().read(&dimensions(), TEN_MINUTES, None, &[], SystemTime::now()).await?;
    let mut grains = peers.grains;
    grains.sort_by_key(|grain| grain.age);
    Ok(grains.iter().map(|grain| (grain.live, grain.reporting)).collect())
}

async fn peers(config: &SdkConfig) -> Result<Vec<(u32, u32)>, Failure> {
    peers_of(&pusher(config)).await
}

/// The start of the minute that ended last.
fn last_minute() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now / 60 * 60 - 60).unwrap()
}

async fn push(config: &SdkConfig, start: i64, values: &[f64]) {
    let data = values.iter().map(|value| datum(start, *value)).collect();
    Metrics::new(config).put_metric_data().namespace("Cflared").set_metric_data(Some(data)).send().await.unwrap();
}

#[tokio::test]
async fn the_peers_are_those_who_reported_but_for_us() {
    let (aws, config) = world().await;
    let last = last_minute();
    push(&config, last - 60, &[0.0, 0.0]).await;
    push(&config, last - 180, &[1.0]).await;
    let cloudwatch = pusher(&config);
    let sample = Sample {
        of: dimensions(),
        registered: true,
        version: None,
        over_http2: false,
        connections: 4,
        restarts: 0,
        remote: false,
        refusing: false,
        held: None,
        ami_age_days: None,
    };
    let end = UNIX_EPOCH + Duration::from_secs((last + 60).cast_unsigned());
    assert!(cloudwatch.sample(end, sample));
    cloudwatch.flush(end).await;
    until("our own report is there", || cloudwatch.view().counts.delivered == 1).await;
    assert_eq!(peers_of(&cloudwatch).await.unwrap(), [(0, 0), (0, 2), (1, 1)]);
    assert_eq!(peers(&config).await.unwrap(), [(1, 1), (0, 2), (1, 1)], "as any other instance sees it");
    assert_eq!(aws.requests().count("GetMetricData"), 2, "one call a read");
}

#[tokio::test]
async fn what_is_late_or_lost_is_not_shown() {
    let (aws, config) = world().await;
    let last = last_minute();
    aws.set_visibility(Visibility { delay_ms: 0, lose: 1 });
    push(&config, last, &[1.0]).await;
    assert_eq!(peers(&config).await.unwrap(), [], "lost");
    push(&config, last, &[1.0]).await;
    assert_eq!(peers(&config).await.unwrap(), [(1, 1)]);
    let late = control(&config, "visibility", r#"{"delay_ms": 300}"#).await;
    assert!(late.starts_with("HTTP/1.1 200"), "{late}");
    push(&config, last, &[1.0]).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while peers(&config).await.unwrap() != [(2, 2)] {
        assert!(tokio::time::Instant::now() < deadline, "it is shown in the end");
    }
    aws.set_visibility(Visibility { delay_ms: 180_000, lose: 0 });
    push(&config, last, &[1.0]).await;
    assert_eq!(peers(&config).await.unwrap(), [(2, 2)], "not yet");
    assert_eq!(aws.datapoints().len(), 4, "all were accepted");
}

#[tokio::test]
async fn a_metric_comes_in_pages_of_the_size_asked_for() {
    let (_aws, config) = world().await;
    let last = last_minute();
    for minute in 0..3 {
        push(&config, last - 60 * minute, &[1.0, 0.0]).await;
    }
    let query = |id: &str, stat: &str| {
        let metric = aws_sdk_cloudwatch::types::Metric::builder()
            .namespace("Cflared")
            .metric_name("cflared_replica_count_per_tunnel")
            .set_dimensions(datum(last, 1.0).dimensions)
            .build();
        let stat = MetricStat::builder().metric(metric).period(60).stat(stat).build();
        MetricDataQuery::builder().id(id).metric_stat(stat).build()
    };
    let (mut token, mut seen) = (None, Vec::new());
    loop {
        let request = Metrics::new(&config).get_metric_data().max_datapoints(2).set_next_token(token);
        let request =
            request.metric_data_queries(query("sum", "Sum")).metric_data_queries(query("count", "SampleCount"));
        let seconds = aws_sdk_cloudwatch::primitives::DateTime::from_secs;
        let page = request.start_time(seconds(last - 600)).end_time(seconds(last + 60)).send().await.unwrap();
        for result in page.metric_data_results() {
            let status = result.status_code().unwrap().as_str().to_owned();
            seen.push((result.id().unwrap().to_owned(), status, result.values().to_vec()));
        }
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    let expected: [(&str, &str, &[f64]); 4] = [
        ("sum", "PartialData", &[1.0, 1.0]),
        ("sum", "Complete", &[1.0]),
        ("count", "PartialData", &[2.0]),
        ("count", "Complete", &[2.0, 2.0]),
    ];
    assert_eq!(seen, expected.map(|(id, status, values)| (id.to_owned(), status.to_owned(), values.to_vec())));
}

#[tokio::test]
async fn botocore_finds_every_answer_as_its_model_says() {
    let (aws, config) = world().await;
    let last = last_minute();
    push(&config, last, &[1.0, 0.0]).await;
    for age in [3, 2, 1] {
        assert!(aws.plant_activity(GROUP, "i-0", USER, age * MINUTE));
    }
    assert!(aws.set_refresh(GROUP, "Baking"));
    aws.edit_group(GROUP, |group| group.suspended = ["HealthCheck".to_owned()].into());
    let endpoint = config.endpoint_url().unwrap();
    let (start, end) = ((last - 60).to_string(), (last + 60).to_string());
    let output = python("reads.py", &[endpoint, GROUP, ME, &start, &end]).await;
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (what, one) in read.as_object().unwrap() {
        assert_eq!(one["wrong"], serde_json::json!([]), "{what}");
    }
    let answer = |what: &str| &read[what]["answer"];
    assert_eq!(answer("instances")["AutoScalingInstances"][0]["AutoScalingGroupName"], GROUP);
    assert_eq!(answer("groups")["AutoScalingGroups"][0]["SuspendedProcesses"][0]["ProcessName"], "HealthCheck");
    assert_eq!(answer("activities")["Activities"].as_array().unwrap().len(), 2);
    assert_eq!(answer("activities")["NextToken"], "2");
    assert_eq!(answer("refreshes")["InstanceRefreshes"][0]["Status"], "Baking");
    let [sum, count] = answer("metric")["MetricDataResults"].as_array().unwrap().as_slice() else { panic!("{read}") };
    assert_eq!((&sum["Values"][0], &count["Values"][0]), (&Value::from(1.0), &Value::from(2.0)));
}

#[tokio::test]
async fn suspended_processes_and_no_activities_are_as_at_moto() {
    let told = async |config: &SdkConfig| {
        let client = Scaling::new(config);
        let groups = client.describe_auto_scaling_groups().auto_scaling_group_names(GROUP).send().await;
        let activities = client.describe_scaling_activities().auto_scaling_group_name(GROUP).send().await;
        let suspended = outcome(groups, |answer| {
            let processes = answer.auto_scaling_groups()[0].suspended_processes().iter();
            let mut names: Vec<_> = processes.map(|process| process.process_name().unwrap().to_owned()).collect();
            names.sort();
            names.join(" ")
        });
        (suspended, outcome(activities, |answer| answer.activities().len().to_string()))
    };
    let moto = Moto::start();
    let config = moto.sdk();
    make_group(&config).await;
    let suspend = Scaling::new(&config).suspend_processes().auto_scaling_group_name(GROUP);
    suspend.scaling_processes("Launch").scaling_processes("HealthCheck").send().await.unwrap();
    let at_moto = told(&config).await;
    let (aws, config) = world().await;
    aws.edit_group(GROUP, |group| group.suspended = ["Launch", "HealthCheck"].map(String::from).into());
    assert_eq!(told(&config).await, at_moto);
    assert_eq!(at_moto, ("HealthCheck Launch".to_owned(), "0".to_owned()));
}
