use super::metrics::sample;
use crate::cloudwatch::{CloudWatch, Config, Sample, Saved, View};
use crate::testing::{Asked, Full, Http, Refusing, Reply, credentials, http_client, run, until};
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::{BehaviorVersion, Region};
use aws_smithy_cbor::Decoder;
use aws_smithy_cbor::data::Type;
use settings::Namespace;
use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const GRAIN: Duration = Duration::from_secs(1);

pub fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

pub fn client(url: &str) -> Client {
    let config = aws_sdk_cloudwatch::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(url)
        .credentials_provider(credentials())
        .disable_request_compression(true)
        .http_client(http_client());
    Client::from_conf(config.build())
}

fn config(url: &str, resume: Saved) -> Config {
    let instance = "i-0123456789abcdef0".into();
    Config { client: client(url), namespace: Namespace::new("Cflared/{env}"), interval: GRAIN, instance, resume }
}

fn start(url: &str) -> CloudWatch {
    CloudWatch::start(config(url, Saved::default()), |_| ready(Ok::<_, Infallible>(())))
}

pub fn accepted() -> Reply {
    Reply::Say(200, "smithy-protocol: rpc-v2-cbor\r\ncontent-type: application/cbor\r\n", vec![0xa0])
}

pub fn error(status: u16, code: &str) -> Reply {
    let mut body = aws_smithy_cbor::Encoder::new(Vec::new());
    body.begin_map().str("__type").str(&format!("com.amazonaws.cloudwatch#{code}")).str("message").str("made up").end();
    Reply::Say(status, "smithy-protocol: rpc-v2-cbor\r\ncontent-type: application/cbor\r\n", body.into_writer())
}

/// The distinct timestamps of a request, and how many datapoints it has.
fn grains(asked: &Asked) -> (Vec<i64>, usize) {
    assert!(asked.head.starts_with("post /service/graniteserviceversion20100801/operation/putmetricdata"));
    let mut decoder = Decoder::new(&asked.body);
    let (mut timestamps, mut count) = (Vec::new(), 0);
    fields(&mut decoder, &mut |decoder, name| match name {
        "Namespace" => assert_eq!(decoder.str().unwrap(), "Cflared/prd"),
        "MetricData" => items(decoder, |decoder| {
            count += 1;
            fields(decoder, &mut |decoder, name| match name {
                "Timestamp" => timestamps.push(decoder.timestamp().unwrap().secs()),
                _ => decoder.skip().unwrap(),
            });
        }),
        _ => decoder.skip().unwrap(),
    });
    timestamps.sort_unstable();
    timestamps.dedup();
    (timestamps, count)
}

pub fn fields(decoder: &mut Decoder<'_>, field: &mut dyn FnMut(&mut Decoder<'_>, &str)) {
    let length = decoder.map().unwrap();
    for n in 0.. {
        if length == Some(n) || (length.is_none() && decoder.datatype().unwrap() == Type::Break) {
            break;
        }
        let name = decoder.str().unwrap().into_owned();
        field(decoder, &name);
    }
    if length.is_none() {
        decoder.skip().unwrap();
    }
}

pub fn items(decoder: &mut Decoder<'_>, mut item: impl FnMut(&mut Decoder<'_>)) {
    let length = decoder.list().unwrap();
    for n in 0.. {
        if length == Some(n) || (length.is_none() && decoder.datatype().unwrap() == Type::Break) {
            break;
        }
        item(decoder);
    }
    if length.is_none() {
        decoder.skip().unwrap();
    }
}

/// delivered, lost, dropped, waiting.
fn tally(view: &View) -> [u64; 4] {
    [view.counts.delivered, view.counts.lost, view.counts.dropped, view.waiting]
}

#[test]
fn a_sample_arrives_once_with_the_grain_that_ended() {
    run(async {
        let http = Http::start(|_, _| accepted()).await;
        let cloudwatch = start(&http.url);
        assert!(cloudwatch.sample(at(1000), sample()));
        until("it is delivered", || tally(&cloudwatch.view()) == [1, 0, 0, 0]).await;
        assert!(cloudwatch.sample(at(1000), sample()), "the clock says the same again");
        assert!(cloudwatch.sample(at(1001), sample()));
        until("the next is delivered", || tally(&cloudwatch.view()) == [2, 0, 0, 0]).await;
        let seen: Vec<_> = http.asked().iter().map(grains).collect();
        assert_eq!(seen, [(vec![999], 7), (vec![1000], 7)]);
        let view = cloudwatch.view();
        assert_eq!((view.counts.repeated, view.last_error), (1, None));
        assert!(view.last_push_at.unwrap() >= at(1001));
    });
}

#[test]
fn an_unknown_outcome_is_lost_and_never_sent_again() {
    run(async {
        let http = Http::start(|n, _| if n == 0 { Reply::Cut } else { accepted() }).await;
        let cloudwatch = start(&http.url);
        cloudwatch.sample(at(1000), sample());
        until("it is lost", || tally(&cloudwatch.view()) == [0, 1, 0, 0]).await;
        assert!(cloudwatch.view().last_error.unwrap().contains("the datapoints count as lost"));
        cloudwatch.sample(at(1001), sample());
        until("the next is delivered", || tally(&cloudwatch.view()) == [1, 1, 0, 0]).await;
        let seen: Vec<_> = http.asked().iter().map(|asked| grains(asked).0).collect();
        assert_eq!(seen, [[999], [1000]], "one attempt each");
    });
}

#[test]
fn an_endpoint_that_never_answers_is_given_up_in_time_and_counts_as_lost() {
    run(async {
        let http = Http::start(|_, _| Reply::Hang).await;
        let cloudwatch = start(&http.url);
        cloudwatch.sample(at(1000), sample());
        until("it is lost", || tally(&cloudwatch.view()) == [0, 1, 0, 0]).await;
        assert_eq!(http.asked().len(), 1);
        cloudwatch.sample(at(1000), sample());
        cloudwatch.flush(at(1001)).await;
        assert_eq!(http.asked().len(), 1, "it is not pushed again");
    });
}

#[test]
fn error_answers_leave_it_waiting_and_it_goes_with_the_next() {
    run(async {
        let script = |n, _: &Asked| match n {
            0 => error(400, "ThrottlingException"),
            1 => error(403, "AccessDeniedException"),
            2 => error(500, "InternalServiceFault"),
            3 => error(503, "ServiceUnavailable"),
            _ => accepted(),
        };
        let http = Http::start(script).await;
        let cloudwatch = start(&http.url);
        for n in 0..4 {
            cloudwatch.sample(at(1000 + n), sample());
            until("it failed", || http.asked().len() as u64 == n + 1).await;
            until("it waits", || tally(&cloudwatch.view()) == [0, 0, 0, n + 1]).await;
            // Two grains must not meet in one push here, so each failure has to be taken note of first.
            until("it is told", || cloudwatch.view().last_error.is_some_and(|text| text.contains("next push"))).await;
        }
        cloudwatch.sample(at(1004), sample());
        until("all are delivered", || tally(&cloudwatch.view()) == [5, 0, 0, 0]).await;
        assert_eq!(grains(http.asked().last().unwrap()), (vec![999, 1000, 1001, 1002, 1003], 35));
        assert_eq!(cloudwatch.view().last_error, None);
    });
}

#[test]
fn a_denied_push_says_what_the_role_needs() {
    run(async {
        let http = Http::start(|_, _| error(403, "AccessDeniedException")).await;
        let cloudwatch = start(&http.url);
        cloudwatch.sample(at(1000), sample());
        until("it failed", || cloudwatch.view().last_error.is_some()).await;
        let text = cloudwatch.view().last_error.unwrap();
        let expected = "failed to call cloudwatch:PutMetricData on the namespace Cflared/prd: access denied: the role needs \
                        cloudwatch:PutMetricData on the namespace Cflared/prd (AccessDeniedException: made up); \
                        the datapoints go with the next push";
        assert_eq!(text, expected);
    });
}

#[test]
fn an_invalid_batch_is_dropped_and_a_gateways_guess_is_lost() {
    run(async {
        let script = |n, _: &Asked| match n {
            0 => error(400, "InvalidParameterValue"),
            1 => Reply::Say(504, "", b"<html>".to_vec()),
            _ => accepted(),
        };
        let http = Http::start(script).await;
        let cloudwatch = start(&http.url);
        cloudwatch.sample(at(1000), sample());
        until("it is dropped", || tally(&cloudwatch.view()) == [0, 0, 1, 0]).await;
        cloudwatch.sample(at(1001), sample());
        until("it is lost", || tally(&cloudwatch.view()) == [0, 1, 1, 0]).await;
    });
}

#[test]
fn a_refused_connection_and_one_that_is_never_made_lose_nothing() {
    run(async {
        let refusing = Refusing::new();
        let cloudwatch = start(&refusing.url());
        cloudwatch.sample(at(1000), sample());
        until("it failed", || cloudwatch.view().last_error.is_some()).await;
        assert_eq!(tally(&cloudwatch.view()), [0, 0, 0, 1]);
        assert!(cloudwatch.view().last_error.unwrap().contains("onnection refused"));
        // A connection that is never answered, like one into a black hole.
        let full = Full::new().await;
        let cloudwatch = start(&format!("http://{}", full.address));
        cloudwatch.sample(at(1000), sample());
        until("it failed", || cloudwatch.view().last_error.is_some()).await;
        assert_eq!(tally(&cloudwatch.view()), [0, 0, 0, 1], "{:?}", cloudwatch.view());
    });
}

#[test]
fn without_credentials_nothing_is_sent_and_nothing_lost() {
    #[derive(Debug)]
    struct None;
    impl aws_credential_types::provider::ProvideCredentials for None {
        fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let error = aws_credential_types::provider::error::CredentialsError::not_loaded("no role");
            aws_credential_types::provider::future::ProvideCredentials::ready(Err(error))
        }
    }
    run(async {
        let http = Http::start(|_, _| accepted()).await;
        let config_without = client(&http.url).config().to_builder().credentials_provider(None).build();
        let config = Config { client: Client::from_conf(config_without), ..config(&http.url, Saved::default()) };
        let cloudwatch = CloudWatch::start(config, |_| ready(Ok::<_, Infallible>(())));
        cloudwatch.sample(at(1000), sample());
        until("it failed", || cloudwatch.view().last_error.is_some()).await;
        assert_eq!(tally(&cloudwatch.view()), [0, 0, 0, 1], "{:?}", cloudwatch.view());
        assert_eq!(http.asked().len(), 0);
    });
}

#[test]
fn nothing_is_pushed_before_its_stamp_was_saved() {
    run(async {
        let saves = Arc::<Mutex<Vec<(Saved, usize)>>>::default();
        let http = Arc::new(Http::start(|_, _| accepted()).await);
        let (kept, server) = (saves.clone(), http.clone());
        let save = move |saved: Saved| {
            let mut kept = kept.lock().unwrap();
            kept.push((saved, server.asked().len()));
            // The first save fails.
            ready(if kept.len() == 1 { Err("disk full") } else { Ok(()) })
        };
        let cloudwatch = CloudWatch::start(config(&http.url, Saved::default()), save);
        cloudwatch.sample(at(1000), sample());
        until("it is told", || cloudwatch.view().last_error.is_some_and(|text| text.contains("disk full"))).await;
        cloudwatch.sample(at(1001), sample());
        until("both are delivered", || tally(&cloudwatch.view()) == [2, 0, 0, 0]).await;
        let asked = http.asked();
        assert_eq!(asked.iter().map(|asked| grains(asked).0).collect::<Vec<_>>(), [[999, 1000]]);
        let saves = saves.lock().unwrap();
        assert!(saves[1].0.stamped.overlaps(999, 1001), "both stamps were in the save that worked");
        assert_eq!(saves[1].1, 0, "which was before the push");
    });
}

#[test]
fn the_next_agent_refuses_what_this_one_stamped() {
    run(async {
        let disk = Arc::<Mutex<Saved>>::default();
        let http = Http::start(|_, _| Reply::Hang).await;
        let kept = disk.clone();
        let cloudwatch = CloudWatch::start(config(&http.url, Saved::default()), move |saved| {
            *kept.lock().unwrap() = saved;
            ready(Ok::<_, Infallible>(()))
        });
        cloudwatch.sample(at(1000), sample());
        until("it is in flight", || http.asked().len() == 1).await;
        drop(cloudwatch);
        let saved = serde_json::from_str(&serde_json::to_string(&*disk.lock().unwrap()).unwrap()).unwrap();
        let http = Http::start(|_, _| accepted()).await;
        let next = CloudWatch::start(config(&http.url, saved), |_| ready(Ok::<_, Infallible>(())));
        assert_eq!(tally(&next.view()), [0, 1, 0, 0], "nobody knows what became of it");
        next.sample(at(1000), sample());
        next.sample(at(1001), sample());
        until("the next is delivered", || tally(&next.view()) == [1, 1, 0, 0]).await;
        assert_eq!(http.asked().iter().map(|asked| grains(asked).0).collect::<Vec<_>>(), [[1000]]);
    });
}

#[test]
fn flush_pushes_a_days_backlog_in_whole_batches() {
    run(async {
        let http = Http::start(|_, _| accepted()).await;
        let slow = Config { interval: Duration::from_secs(60), ..config(&http.url, Saved::default()) };
        let cloudwatch = CloudWatch::start(slow, |_| ready(Ok::<_, Infallible>(())));
        let held = Sample { held: Some("edge"), refusing: true, ..sample() };
        for minute in 1..=400 {
            while !cloudwatch.sample(at(minute * 60), held.clone()) {
                tokio::task::yield_now().await;
            }
        }
        cloudwatch.flush(at(400 * 60)).await;
        assert_eq!(tally(&cloudwatch.view()), [400, 0, 0, 0]);
        let asked = http.asked();
        let sizes: Vec<_> = asked.iter().map(|asked| grains(asked).1).collect();
        assert_eq!(
            sizes,
            [810, 810, 810, 810, 360],
            "1000 datapoints at most if each minute had eleven; these have nine"
        );
        assert!(asked.iter().all(|asked| asked.body.len() < 900_000), "1 MB at most");
        let first = grains(&asked[0]).0;
        assert_eq!(first.last(), Some(&(399 * 60)), "the newest go first");
        cloudwatch.flush(at(400 * 60)).await;
        assert_eq!(http.asked().len(), 5, "nothing is left to flush");
    });
}

#[test]
fn a_flush_ends_at_the_first_failure() {
    run(async {
        let http = Http::start(|_, _| error(503, "ServiceUnavailable")).await;
        let cloudwatch = start(&http.url);
        cloudwatch.sample(at(1000), sample());
        cloudwatch.flush(at(1000)).await;
        assert_eq!(http.asked().len(), 1);
        assert_eq!(tally(&cloudwatch.view()), [0, 0, 0, 1]);
    });
}

#[test]
fn a_slow_push_neither_loses_samples_nor_overlaps_another() {
    run(async {
        // The first answer never comes; the others do.
        let http = Http::start(|n, _| if n == 0 { Reply::Hang } else { accepted() }).await;
        let cloudwatch = start(&http.url);
        cloudwatch.sample(at(1000), sample());
        until("it is in flight", || http.asked().len() == 1).await;
        for n in 1..5 {
            assert!(cloudwatch.sample(at(1000 + n), sample()));
        }
        until("they wait", || cloudwatch.view().waiting == 5).await;
        assert_eq!(http.asked().len(), 1);
        until("they are delivered", || tally(&cloudwatch.view()) == [4, 1, 0, 0]).await;
        assert_eq!(http.asked().len(), 2);
    });
}
