use super::metrics::sample;
use super::push::{accepted, at, client, error, fields};
use crate::cloudwatch::buffer::{Buffer, Outcome};
use crate::cloudwatch::metrics::Dimensions;
use crate::cloudwatch::reported::{Reported, Share};
use crate::cloudwatch::{CloudWatch, Config, Sample, Saved, version_label};
use crate::testing::{Asked, Http, Refusing, Reply, run, until};
use aws_smithy_cbor::Decoder;
use aws_smithy_cbor::Encoder;
use cflared_verdict::{Failure, FailureKind, PeerGrain, VersionId};
use settings::Namespace;
use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

const MINUTE: Duration = Duration::from_secs(60);
const TEN_MINUTES: Duration = Duration::from_secs(600);
/// 2026-01-02T03:04:05Z, and the same as a `Date`.
const NOW: u64 = 1_767_323_045;
const DATE: &str =
    "smithy-protocol: rpc-v2-cbor\r\ncontent-type: application/cbor\r\ndate: Fri, 02 Jan 2026 03:04:05 GMT\r\n";
/// The start of the minute that ended last before [`NOW`], 5 s ago.
const LAST: u64 = NOW / 60 * 60 - 60;

fn is_push(asked: &Asked) -> bool {
    asked.head.starts_with("post /service/graniteserviceversion20100801/operation/putmetricdata")
}

/// One statistic: its id, status, and values by the start of their grain.
type Series<'a> = (&'a str, &'a str, &'a [(u64, f64)]);

fn page(of: &[Series<'_>], next: Option<&str>) -> Reply {
    let mut body = Encoder::new(Vec::new());
    body.begin_map().str("MetricDataResults").array(of.len());
    for (id, status, values) in of {
        body.begin_map().str("Id").str(id).str("Label").str("made up").str("StatusCode").str(status);
        body.str("Timestamps").array(values.len());
        for (start, _) in *values {
            body.timestamp(&aws_smithy_types::DateTime::from_secs(i64::try_from(*start).unwrap()));
        }
        body.str("Values").array(values.len());
        for (_, value) in *values {
            body.double(*value);
        }
        body.end();
    }
    if let Some(next) = next {
        body.str("NextToken").str(next);
    }
    body.end();
    Reply::Say(200, DATE, body.into_writer())
}

/// A whole answer: start of the grain, sum, number of samples.
fn whole(grains: &[(u64, f64, f64)]) -> Reply {
    let sums: Vec<_> = grains.iter().map(|(start, sum, _)| (*start, *sum)).collect();
    let counts: Vec<_> = grains.iter().map(|(start, _, count)| (*start, *count)).collect();
    page(&[("sum0", "Complete", &sums), ("count0", "Complete", &counts)], None)
}

/// A server that takes pushes and answers questions so.
async fn server(answer: impl Fn() -> Reply + Send + Sync + 'static) -> Http {
    Http::start(move |_, asked| if is_push(asked) { accepted() } else { answer() }).await
}

fn start(url: &str, resume: Saved) -> CloudWatch {
    let config = Config {
        client: client(url),
        namespace: Namespace::new("Cflared/{env}"),
        interval: MINUTE,
        instance: "i-0123456789abcdef0".into(),
        resume,
    };
    CloudWatch::start(config, |_| ready(Ok::<_, Infallible>(())))
}

fn of() -> Arc<Dimensions> {
    sample().of
}

async fn read_at(cloudwatch: &CloudWatch, wall: SystemTime) -> Result<Vec<PeerGrain>, Failure> {
    cloudwatch.peers().read(&of(), TEN_MINUTES, None, &[], wall).await.map(|peers| peers.grains)
}

async fn read(url: &str) -> Result<Vec<PeerGrain>, Failure> {
    read_at(&start(url, Saved::default()), at(NOW)).await
}

fn grain(age: u64, live: u32, reporting: u32) -> PeerGrain {
    PeerGrain { age: Duration::from_secs(age), live, reporting, same_version: None }
}

#[test]
fn the_others_are_counted_grain_by_grain() {
    run(async {
        let http = server(|| whole(&[(LAST, 2.0, 3.0), (LAST - 60, 0.0, 3.0), (LAST - 180, 1.0, 1.0)])).await;
        let grains = read(&http.url).await.unwrap();
        assert_eq!(grains, [grain(185, 1, 1), grain(65, 0, 3), grain(5, 2, 3)], "a grain without a sample is left out");
        let asked = http.asked();
        assert_eq!(asked.len(), 1, "one call");
        let mut times = Vec::new();
        fields(&mut Decoder::new(&asked[0].body), &mut |decoder, name| match name {
            "StartTime" | "EndTime" => times.push(decoder.timestamp().unwrap().secs().cast_unsigned()),
            _ => decoder.skip().unwrap(),
        });
        times.sort_unstable();
        assert!(times[0] <= NOW - 600 - 60 - 300 && times[1] >= NOW + 300, "wide enough for a clock that is off");
        assert!(times.iter().all(|time| time % 60 == 0));
    });
}

#[test]
fn what_is_too_old_or_not_over_or_has_half_an_answer_is_left_out() {
    run(async {
        let http = server(|| {
            let sums = [(LAST + 60, 1.0), (LAST, 1.0), (LAST - 60, 1.0), (LAST - 3600, 1.0)];
            let counts = [(LAST + 60, 1.0), (LAST, 1.0), (LAST - 120, 1.0), (LAST - 3600, 1.0), (LAST - 240, 0.0)];
            page(&[("sum0", "Complete", &sums), ("count0", "Complete", &counts)], None)
        })
        .await;
        assert_eq!(read(&http.url).await.unwrap(), [grain(5, 1, 1)]);
        let nothing = server(|| whole(&[])).await;
        assert_eq!(read(&nothing.url).await.unwrap(), []);
    });
}

#[test]
fn ages_are_against_the_clock_of_the_answer_and_a_clock_that_is_off_is_told() {
    run(async {
        let http = server(|| whole(&[(LAST, 1.0, 1.0)])).await;
        let cloudwatch = start(&http.url, Saved::default());
        for wall in [NOW, NOW - 300, NOW + 300] {
            assert_eq!(read_at(&cloudwatch, at(wall)).await.unwrap(), [grain(5, 1, 1)]);
        }
        for (wall, off) in [(NOW - 301, "5m 1s behind"), (NOW + 301, "5m 1s ahead of")] {
            let failure = read_at(&cloudwatch, at(wall)).await.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Host);
            assert!(failure.text.contains(off) && failure.text.contains("chrony"), "{}", failure.text);
        }
    });
}

#[test]
fn our_own_reports_are_taken_out() {
    run(async {
        let http = server(|| whole(&[(LAST, 2.0, 2.0), (LAST - 60, 1.0, 2.0), (LAST - 120, 2.0, 2.0)])).await;
        let cloudwatch = start(&http.url, Saved::default());
        let unregistered = Sample { registered: false, ..sample() };
        for (end, sample) in [(LAST, unregistered), (LAST + 60, sample())] {
            let delivered = cloudwatch.view().counts.delivered;
            assert!(cloudwatch.sample(at(end), sample));
            // The moment within the minute at which it pushes is not the subject.
            cloudwatch.flush(at(end)).await;
            until("it is delivered", || cloudwatch.view().counts.delivered == delivered + 1).await;
        }
        let grains = read_at(&cloudwatch, at(NOW)).await.unwrap();
        assert_eq!(grains, [grain(125, 2, 2), grain(65, 1, 1), grain(5, 1, 1)]);
    });
}

#[test]
fn what_an_agent_before_this_one_stamped_is_taken_out_as_if_it_had_been_live() {
    run(async {
        let http = server(|| whole(&[(LAST, 1.0, 2.0), (LAST - 60, 0.0, 1.0), (LAST - 120, 2.0, 2.0)])).await;
        let mut resume = Saved::default();
        resume.stamped.insert(LAST - 60, LAST + 60);
        let grains = read_at(&start(&http.url, resume), at(NOW)).await.unwrap();
        // In the last one somebody was registered: another one, or the agent before.
        assert_eq!(grains, [grain(125, 2, 2), grain(65, 0, 0)]);
    });
}

/// The buffer after one value was offered and, with an outcome, pushed.
fn buffer(outcome: Option<Outcome>) -> Buffer<Sample> {
    let mut buffer = Buffer::resume(MINUTE, Saved::default());
    assert!(buffer.offer(Duration::from_secs(3660), sample()));
    if let Some(outcome) = outcome {
        buffer.confirm();
        buffer.take(Duration::from_secs(3660), 1, |_, _| true).unwrap();
        buffer.settle(outcome);
    }
    buffer
}

#[test]
fn our_share_of_a_grain_is_the_most_that_it_may_be() {
    let one = Share { live: 1, reporting: 1 };
    for (outcome, share) in [
        (None, Share::default()),
        (Some(Outcome::NotTaken), Share::default()),
        (Some(Outcome::Delivered), one),
        (Some(Outcome::Unknown), one),
        (Some(Outcome::Invalid), one),
    ] {
        let reported = Reported::of(&buffer(outcome));
        assert_eq!(reported.own(3600, &of()), share, "{outcome:?}");
        assert_eq!(reported.own(3540, &of()), Share::default());
    }
    let mut in_flight = buffer(None);
    in_flight.confirm();
    in_flight.take(Duration::from_secs(3660), 1, |_, _| true).unwrap();
    assert_eq!(Reported::of(&in_flight).own(3600, &of()), one);
    let other = Dimensions { tunnel: "another".into(), ..(*of()).clone() };
    assert_eq!(Reported::of(&buffer(Some(Outcome::Delivered))).own(3600, &other), Share::default());
}

#[test]
fn what_was_sent_long_ago_is_forgotten_on_the_careful_side() {
    let mut buffer = Buffer::resume(MINUTE, Saved::default());
    let unregistered = || Sample { registered: false, ..sample() };
    for minute in 1..=30 {
        let now = Duration::from_secs(minute * 60);
        assert!(buffer.offer(now, unregistered()));
        buffer.confirm();
        buffer.take(now, 1, |_, _| true).unwrap();
        buffer.settle(Outcome::Delivered);
    }
    let reported = Reported::of(&buffer);
    assert_eq!(reported.own(29 * 60, &of()), Share { live: 0, reporting: 1 });
    assert_eq!(reported.own(10 * 60, &of()), Share { live: 0, reporting: 1 });
    assert_eq!(reported.own(9 * 60, &of()), Share { live: 1, reporting: 1 });
}

#[test]
fn all_pages_are_read() {
    run(async {
        let pages = AtomicUsize::new(0);
        let http = server(move || match pages.fetch_add(1, Ordering::Relaxed) {
            0 => {
                page(&[("sum0", "PartialData", &[(LAST, 1.0)]), ("count0", "PartialData", &[(LAST, 2.0)])], Some("two"))
            }
            1 => page(&[("sum0", "Complete", &[(LAST - 60, 0.0)])], Some("three")),
            _ => page(&[("count0", "Complete", &[(LAST - 60, 2.0)])], None),
        })
        .await;
        assert_eq!(read(&http.url).await.unwrap(), [grain(65, 0, 2), grain(5, 1, 2)]);
        assert_eq!(http.asked().len(), 3);
    });
}

#[test]
fn an_answer_that_is_not_whole_is_none() {
    let none: &[(u64, f64)] = &[];
    let complete = ("sum0", "Complete", none);
    let not_a_count = [(LAST, f64::NAN)];
    let odd = |status| move || page(&[("sum0", "Complete", none), ("count0", status, none)], None);
    run(async move {
        let missing = server(move || page(&[complete], None)).await;
        let forever = server(move || page(&[complete, ("count0", "Complete", none)], Some("more"))).await;
        let strange = server(move || page(&[complete, ("other", "Complete", none)], None)).await;
        let nan = server(move || whole(&[(LAST, not_a_count[0].1, 1.0)])).await;
        let negative = server(|| whole(&[(LAST, -1.0, 1.0)])).await;
        for (http, kind, text) in [
            (server(odd("PartialData")).await, FailureKind::Throttled, "partial"),
            (server(odd("InternalError")).await, FailureKind::Throttled, "internal error"),
            (server(odd("Forbidden")).await, FailureKind::Denied, "cloudwatch:GetMetricData"),
            (server(odd("Whatever")).await, FailureKind::Invalid, "whether it is complete"),
            (missing, FailureKind::Throttled, "partial"),
            (forever, FailureKind::Invalid, "more than 5 pages, too many to judge"),
            (strange, FailureKind::Invalid, "not asked for"),
            (nan, FailureKind::Invalid, "no count"),
            (negative, FailureKind::Invalid, "no count"),
        ] {
            let failure = read(&http.url).await.unwrap_err();
            assert_eq!(failure.kind, kind, "{}", failure.text);
            assert!(failure.text.contains(text), "{}", failure.text);
        }
    });
}

#[test]
fn each_trouble_has_its_kind() {
    run(async {
        for (status, code, kind) in [
            (403, "AccessDenied", FailureKind::Denied),
            (400, "Throttling", FailureKind::Throttled),
            (400, "InvalidParameterValue", FailureKind::Invalid),
        ] {
            let http = server(move || error(status, code)).await;
            let failure = read(&http.url).await.unwrap_err();
            assert_eq!(failure.kind, kind, "{code}: {}", failure.text);
            assert!(failure.text.contains("cloudwatch:GetMetricData"), "{}", failure.text);
            let tries = if kind == FailureKind::Throttled { 3 } else { 1 };
            assert_eq!(http.asked().len(), tries, "{code}");
        }
        let garbage = server(|| Reply::Say(200, DATE, b"<html>".to_vec())).await;
        let failure = read(&garbage.url).await.unwrap_err();
        assert!(failure.text.contains("is not the service's"), "{}", failure.text);
        let cut = server(|| Reply::Cut).await;
        assert_eq!(read(&cut.url).await.unwrap_err().kind, FailureKind::Unreachable);
        assert_eq!(read(&Refusing::new().url()).await.unwrap_err().kind, FailureKind::Unreachable);
    });
}

#[test]
fn a_read_that_is_never_answered_is_given_up() {
    run(async {
        let http = server(|| Reply::Hang).await;
        let failure = read(&http.url).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unreachable);
        assert!(failure.text.contains("no answer in time"), "{}", failure.text);
    });
}

#[test]
fn others_who_refuse_are_counted_over_the_last_five_whole_grains() {
    run(async {
        for (grains, others) in [
            (&[][..], 0),
            (&[(LAST, 1.0, 1.0)], 1),
            (&[(LAST - 60, 2.0, 2.0), (LAST, 1.0, 1.0)], 2),
            (&[(LAST - 240, 3.0, 3.0)], 3),
            (&[(LAST - 300, 3.0, 3.0)], 0),
            (&[(LAST + 60, 3.0, 3.0)], 0),
        ] {
            let http = server(move || whole(grains)).await;
            let cloudwatch = start(&http.url, Saved::default());
            assert_eq!(cloudwatch.peers().refusals(&of(), at(NOW)).await, Ok(others), "{grains:?}");
            let [asked] = &http.asked()[..] else { panic!("one call") };
            assert!(String::from_utf8_lossy(&asked.body).contains("cflared_secret_refused"));
        }
    });
}

#[test]
fn our_own_refusal_is_taken_out_where_it_is_known() {
    run(async {
        let http = server(|| whole(&[(LAST, 1.0, 1.0)])).await;
        for (refusing, others) in [(true, 0), (false, 1)] {
            let cloudwatch = start(&http.url, Saved::default());
            assert!(cloudwatch.sample(at(LAST + 60), Sample { refusing, ..sample() }));
            cloudwatch.flush(at(LAST + 60)).await;
            assert_eq!(cloudwatch.peers().refusals(&of(), at(NOW)).await, Ok(others));
        }
        // An agent before this one may have said it, or another instance: waiting is the careful side.
        let mut resume = Saved::default();
        resume.stamped.insert(LAST, LAST + 60);
        assert_eq!(start(&http.url, resume).peers().refusals(&of(), at(NOW)).await, Ok(1));
        let denied = server(|| error(403, "AccessDenied")).await;
        let failure = start(&denied.url, Saved::default()).peers().refusals(&of(), at(NOW)).await.unwrap_err();
        assert!(failure.text.contains("cflared_secret_refused"), "{}", failure.text);
    });
}

#[test]
fn a_version_and_the_zones_are_read_in_the_same_call() {
    run(async {
        let answer = || {
            let series: [(&str, &[(u64, f64)]); 8] = [
                ("sum0", &[(LAST, 2.0), (LAST - 60, 1.0)]),
                ("count0", &[(LAST, 3.0), (LAST - 60, 3.0)]),
                ("sum1", &[(LAST, 0.0)]),
                ("count1", &[(LAST, 2.0)]),
                ("sum2", &[(LAST, 2.0)]),
                ("count2", &[(LAST, 2.0)]),
                ("sum3", &[(LAST, 1.0)]),
                ("count3", &[(LAST, 1.0)]),
            ];
            page(&series.map(|(id, values)| (id, "Complete", values)), None)
        };
        let http = server(answer).await;
        let cloudwatch = start(&http.url, Saved::default());
        let version = VersionId("EXAMPLE1-90ab-cdef-fedc-ba987EXAMPLE".into());
        let zones = ["us-east-1a".to_owned(), "us-east-1b".to_owned()];
        let peers = cloudwatch.peers().read(&of(), TEN_MINUTES, Some(&version), &zones, at(NOW)).await.unwrap();
        assert_eq!(peers.grains, [grain(65, 1, 3), PeerGrain { same_version: Some(1), ..grain(5, 2, 3) }]);
        assert_eq!(peers.zones["us-east-1a"], [grain(5, 0, 2)]);
        assert_eq!(peers.zones["us-east-1b"], [grain(5, 2, 2)]);
        assert_eq!(http.asked().len(), 1);
        let text = String::from_utf8_lossy(&http.asked()[0].body).into_owned();
        assert!(text.contains(&version_label(&version)) && !text.contains(&version.0), "the label, not the version");
    });
}

#[test]
fn what_this_instance_reported_is_no_other_instances_version_or_zone() {
    run(async {
        let of_us = |count: f64| {
            let series = ["sum0", "count0", "sum1", "count1", "sum2", "count2", "sum3", "count3"];
            let values = [(LAST, count)];
            page(&series.map(|id| (id, "Complete", &values[..])), None)
        };
        let http = server(move || of_us(1.0)).await;
        let cloudwatch = start(&http.url, Saved::default());
        let version = VersionId("EXAMPLE1-90ab-cdef-fedc-ba987EXAMPLE".into());
        let ours = Sample { version: Some(version_label(&version)), ..sample() };
        assert!(cloudwatch.sample(at(LAST + 60), ours));
        cloudwatch.flush(at(LAST + 60)).await;
        let zones = ["us-east-1a".to_owned(), "us-east-1b".to_owned()];
        let peers = cloudwatch.peers().read(&of(), TEN_MINUTES, Some(&version), &zones, at(NOW)).await.unwrap();
        assert_eq!(peers.grains, [grain(5, 0, 0)], "nobody else has that version");
        assert_eq!(peers.zones["us-east-1a"], [grain(5, 0, 0)]);
        assert_eq!(peers.zones["us-east-1b"], [grain(5, 1, 1)], "not our zone");
    });
}
