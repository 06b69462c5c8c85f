use crate::cloudwatch::metrics::{Dimensions, MOST, Sample, datapoints, version_label};
use aws_sdk_cloudwatch::types::MetricDatum;
use cflared_verdict::VersionId;
use std::sync::Arc;
use std::time::Duration;

pub fn sample() -> Sample {
    Sample {
        of: Arc::new(Dimensions {
            environment: "prd".into(),
            tunnel: "6ff42ae2".into(),
            instance: "i-1".into(),
            zone: "us-east-1a".into(),
        }),
        registered: true,
        version: Some("0a1b2c3d".into()),
        over_http2: false,
        connections: 4,
        restarts: 2,
        remote: false,
        refusing: false,
        held: None,
        ami_age_days: Some(12.5),
    }
}

/// `name{dimension=value,…} value unit`.
fn line(datum: &MetricDatum) -> String {
    let dimensions = datum.dimensions().iter();
    let dimensions: Vec<_> = dimensions.map(|d| format!("{}={}", d.name().unwrap(), d.value().unwrap())).collect();
    let (name, value, unit) = (datum.metric_name().unwrap(), datum.value().unwrap(), datum.unit().unwrap());
    format!("{name}{{{}}} {value} {unit}", dimensions.join(","))
}

fn lines(sample: &Sample) -> Vec<String> {
    datapoints(3540, Duration::from_secs(60), sample).iter().map(line).collect()
}

#[test]
fn a_registered_instance_has_seven_datapoints() {
    let expected = [
        "cflared_replica_count_per_tunnel{Environment=prd,TunnelId=6ff42ae2} 1 Count",
        "cflared_systemd_restart_count{Environment=prd,TunnelId=6ff42ae2,InstanceId=i-1} 2 Count",
        "cflared_registered_connections{Environment=prd,TunnelId=6ff42ae2,InstanceId=i-1} 4 Count",
        "cflared_held{Environment=prd,TunnelId=6ff42ae2} 0 Count",
        "cflared_replica_count_per_zone{Environment=prd,TunnelId=6ff42ae2,AvailabilityZone=us-east-1a} 1 Count",
        "cflared_registered_by_version{TunnelId=6ff42ae2,SecretVersion=0a1b2c3d} 1 Count",
        "imagebuilder_ami_age_days{Environment=prd} 12.5 None",
    ];
    assert_eq!(lines(&sample()), expected);
}

#[test]
fn a_held_instance_names_the_blame() {
    let held =
        Sample { registered: false, version: None, connections: 0, held: Some("edge"), ami_age_days: None, ..sample() };
    let lines = lines(&held);
    assert_eq!(lines[0], "cflared_replica_count_per_tunnel{Environment=prd,TunnelId=6ff42ae2} 0 Count");
    assert_eq!(lines[3], "cflared_held{Environment=prd,TunnelId=6ff42ae2} 1 Count");
    assert_eq!(lines[5], "cflared_held{Environment=prd,TunnelId=6ff42ae2,Blame=edge} 1 Count");
    assert_eq!(lines.len(), 6);
}

#[test]
fn a_refused_version_is_told_while_it_is_refused() {
    let lines = lines(&Sample { refusing: true, ..sample() });
    assert_eq!(lines[6], "cflared_secret_refused{Environment=prd,TunnelId=6ff42ae2} 1 Count");
    assert_eq!(lines.len(), 8);
}

#[test]
fn serving_over_http2_is_told_while_it_is_so() {
    let lines = lines(&Sample { over_http2: true, ..sample() });
    assert_eq!(lines[6], "cflared_served_over_http2{Environment=prd,TunnelId=6ff42ae2} 1 Count");
}

#[test]
fn a_version_is_told_by_eight_digits_that_are_not_its_own() {
    let label = version_label(&VersionId("EXAMPLE1-90ab-cdef-fedc-ba987EXAMPLE".into()));
    assert!(label.len() == 8 && label.bytes().all(|byte| byte.is_ascii_hexdigit()), "{label}");
    assert_ne!(label, version_label(&VersionId("EXAMPLE2-90ab-cdef-fedc-ba987EXAMPLE".into())));
}

#[test]
fn no_datapoint_is_nan_and_there_are_never_more_than_counted_with() {
    for age in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(lines(&Sample { ami_age_days: Some(age), ..sample() }).len(), 6);
    }
    assert_eq!(
        lines(&Sample { held: Some("config"), refusing: true, over_http2: true, remote: true, ..sample() }).len(),
        MOST
    );
}

/// Everything at once: every series that an instance can push.
fn everything() -> Vec<MetricDatum> {
    let all = Sample { held: Some("config"), refusing: true, over_http2: true, remote: true, ..sample() };
    datapoints(3540, Duration::from_secs(60), &all)
}

#[test]
fn the_docs_show_every_series_with_its_dimensions_and_unit_and_no_other() {
    let docs = include_str!("../../../../../docs/metrics.md");
    let section = docs.split("\n## CloudWatch\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &str| line.trim_matches('|').split('|').take(3).map(|cell| cell.trim().replace('`', "")).collect();
    let mut shown: Vec<Vec<String>> = rows.map(row).collect();
    let series = |datum: &MetricDatum| {
        let dimensions: Vec<_> = datum.dimensions().iter().map(|dimension| dimension.name().unwrap()).collect();
        vec![datum.metric_name().unwrap().into(), dimensions.join(", "), datum.unit().unwrap().to_string()]
    };
    let mut pushed: Vec<Vec<String>> = everything().iter().map(series).collect();
    shown.sort();
    pushed.sort();
    assert_eq!(shown, pushed);
}

#[test]
fn a_datapoint_has_the_start_of_its_grain_and_the_resolution_that_keeps_it_apart() {
    let minute = datapoints(3540, Duration::from_secs(60), &sample());
    assert!(minute.iter().all(|datum| datum.timestamp().unwrap().secs() == 3540));
    assert!(minute.iter().all(|datum| datum.storage_resolution() == Some(60)));
    let second = datapoints(3540, Duration::from_secs(1), &sample());
    assert!(second.iter().all(|datum| datum.storage_resolution() == Some(1)));
}
