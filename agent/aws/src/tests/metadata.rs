use super::server::{Hold, Reply, Server};
use super::world::{ENV_TAG, Imds};
use crate::{Discovered, Error, Metadata, identify, until_known};
use cflared_verdict::FailureKind;
use dns::Resolver;
use settings::Settings;
use std::ops::ControlFlow;
use std::time::Duration;
use testing::{Refusing, ended};

fn settings() -> settings::Identity {
    Settings::default().identity
}

async fn identified(imds: &Imds) -> Result<Discovered, Error> {
    identify(&imds.metadata(), &settings()).await
}

#[tokio::test]
async fn an_instance_is_identified_with_one_token_and_five_questions() {
    let imds = Imds::start().await;
    let discovered = identified(&imds).await.unwrap();
    assert_eq!(discovered.instance.id.as_str(), "i-0123456789abcdef0");
    assert_eq!(discovered.instance.region.as_str(), "eu-central-1");
    assert_eq!(discovered.instance.zone.as_str(), "eu-central-1b");
    assert_eq!(discovered.instance.image.as_str(), "ami-0123456789abcdef0");
    assert_eq!(discovered.environment.as_str(), "dev");
    assert_eq!((imds.server.count("token"), imds.server.seen().len()), (1, 6));
}

#[tokio::test]
async fn a_token_that_is_refused_in_mid_life_is_replaced_once_for_all_who_ask() {
    let imds = Imds::start().await;
    let metadata = imds.metadata();
    identify(&metadata, &settings()).await.unwrap();
    imds.with(|state| state.token = "the service forgot it".into());
    identify(&metadata, &settings()).await.unwrap();
    assert_eq!(imds.server.count("token"), 2);
    let questions = imds.server.seen().len() - 6 - 1;
    assert!((6..=10).contains(&questions), "each of five was repeated at most once: {questions}");
}

#[tokio::test]
async fn a_service_that_refuses_every_token_is_asked_twice() {
    let imds = Imds::start().await;
    imds.instead("/latest/meta-data/ami-id", 401, "");
    let error = imds.metadata().get("/latest/meta-data/ami-id").await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Denied);
    assert_eq!((imds.server.count("token"), imds.server.count("ami-id")), (2, 2));
}

#[tokio::test]
async fn a_403_is_final_and_says_what_to_set() {
    let imds = Imds::start().await;
    imds.instead("/latest/api/token", 403, "");
    let error = imds.metadata().get("/latest/meta-data/ami-id").await.unwrap_err();
    assert!(error.to_string().contains("HttpEndpoint=enabled"), "{error}");
    assert_eq!((error.kind(), imds.server.seen().len()), (FailureKind::Denied, 1));
}

#[tokio::test]
async fn there_is_no_fallback_to_version_one() {
    let imds = Imds::start().await;
    imds.instead("/latest/api/token", 404, "");
    let error = imds.metadata().get("/latest/meta-data/ami-id").await.unwrap_err();
    assert!(matches!(error, Error::Unexpected { status: 404, .. }), "{error}");
    assert_eq!((imds.server.count("meta-data"), imds.server.count("token")), (0, 1));
}

#[tokio::test]
async fn ten_times_5xx_and_then_fine_is_survived_at_boot() {
    let imds = Imds::start().await;
    imds.with(|state| state.faults.extend((0..10).map(|_| Reply::new(503, ""))));
    let mut kinds = Vec::new();
    let report = |error: &Error| {
        kinds.push(error.kind());
        ControlFlow::Continue(())
    };
    ended(keep_asking(&imds.metadata(), report)).await.unwrap();
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| *kind == FailureKind::Throttled), "{kinds:?}");
    assert_eq!(imds.with(|state| state.tokens), 1);
}

#[tokio::test]
async fn a_service_that_comes_up_late_is_found() {
    let refusing = Refusing::new();
    let metadata = Metadata::new(&refusing.url(), &Resolver::system()).unwrap();
    let (failed, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let booting = tokio::spawn(async move {
        let report = |error: &Error| {
            failed.send(error.clone()).unwrap();
            ControlFlow::Continue(())
        };
        keep_asking(&metadata, report).await
    });
    let error = seen.recv().await.unwrap();
    assert!(error.to_string().contains("refused"), "{error}");
    assert_eq!(error.kind(), FailureKind::Unreachable);
    let imds = Imds::start().await;
    let state = imds.state.clone();
    let _late = Server::on(refusing.listen(), move |request| state.lock().unwrap().answer(request));
    ended(booting).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_black_hole_is_given_up_in_bounded_time_by_all_who_ask_at_once() {
    let server = Server::start(|_| Reply::Silence).await;
    let metadata = Metadata::new(&server.url(), &Resolver::system()).unwrap();
    let error = ended(identify(&metadata, &settings())).await.unwrap_err();
    assert!(error.to_string().contains("HttpPutResponseHopLimit"), "{error}");
    assert_eq!(error.kind(), FailureKind::Unreachable);
    assert_eq!(server.connections(), 3, "three tries share one request each");
}

#[tokio::test]
async fn a_slow_service_is_waited_for() {
    let imds = Imds::holding(&Hold::For(Duration::from_millis(700))).await;
    identified(&imds).await.unwrap();
    assert_eq!(imds.server.seen().len(), 6);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(|_| Reply::new(200, "i-0123456789abcdef0")).await;
    let target = elsewhere.url();
    let server = Server::start(move |_| Reply::new(302, "").with("location", &format!("{target}/x"))).await;
    let metadata = Metadata::new(&server.url(), &Resolver::system()).unwrap();
    let error = metadata.get("/latest/meta-data/instance-id").await.unwrap_err();
    assert!(matches!(error, Error::Unexpected { status: 302, .. }), "{error}");
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn garbage_is_an_error_and_not_a_value() {
    for body in [b"<html>login</html>".to_vec(), b"".to_vec(), b"\xff\xfe".to_vec(), vec![b'i'; 20_000]] {
        let imds = Imds::start().await;
        imds.instead("/latest/meta-data/instance-id", 200, body);
        let error = identified(&imds).await.unwrap_err();
        assert!(matches!(error, Error::Garbage { .. }), "{error}");
        assert_ne!(error.kind(), FailureKind::Invalid, "it may mend: bootstrap goes on");
    }
    for token in [&b""[..], b"two\nlines"] {
        let imds = Imds::start().await;
        imds.instead("/latest/api/token", 200, token);
        assert!(matches!(identified(&imds).await, Err(Error::Garbage { .. })));
    }
}

#[tokio::test]
async fn a_tag_that_is_missing_and_tags_that_are_off_are_told_apart() {
    let imds = Imds::start().await;
    imds.with(|state| state.tags = Some([("Name".to_owned(), "x".to_owned())].into()));
    assert_eq!(imds.metadata().tag(ENV_TAG).await, Ok(None));
    assert!(matches!(identified(&imds).await, Err(Error::TagMissing { key }) if key == ENV_TAG));
    imds.with(|state| state.tags = None);
    let error = identified(&imds).await.unwrap_err();
    assert!(error.to_string().contains("InstanceMetadataTags=enabled"), "{error}");
    assert_eq!(error.kind(), FailureKind::Missing);
}

#[tokio::test]
async fn a_hostile_tag_is_refused_and_shown_harmlessly() {
    let imds = Imds::start().await;
    for hostile in ["../x", "dev\n", "dev\r\nX: y", "", "Dev", "dev prd", "\u{202e}ved", "{env}", &"d".repeat(300)] {
        imds.tag(hostile);
        let error = identified(&imds).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Invalid, "{hostile}");
        let text = error.to_string();
        assert!(text.len() < 250 && text.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{text}");
    }
}

#[tokio::test]
async fn only_allowed_environments_are_taken() {
    let imds = Imds::start().await;
    let settings = |allowed: &[&str]| settings::Identity {
        hold_tag: "adv:cflared-hold".into(),
        env_tag: ENV_TAG.into(),
        allowed_environments: allowed.iter().map(|name| (*name).to_owned()).collect(),
    };
    identify(&imds.metadata(), &settings(&["stg", "dev"])).await.unwrap();
    let error = identify(&imds.metadata(), &settings(&["stg", "prd"])).await.unwrap_err();
    assert!(error.to_string().contains("(stg, prd)"), "{error}");
    assert_eq!(error.kind(), FailureKind::Invalid);
}

#[tokio::test]
async fn a_report_can_end_it() {
    let imds = Imds::start().await;
    imds.tag("../x");
    let error = keep_asking(&imds.metadata(), |_| ControlFlow::Break(())).await.unwrap_err();
    assert!(matches!(error, Error::TagMalformed { .. }), "{error}");
}

#[test]
fn an_endpoint_that_is_not_plain_http_is_refused() {
    for endpoint in ["https://127.0.0.1", "127.0.0.1:80", "", "file:///etc/passwd"] {
        let error = Metadata::new(endpoint, &Resolver::system()).unwrap_err();
        assert!(error.to_string().contains("AWS_EC2_METADATA_SERVICE_ENDPOINT"), "{error}");
    }
}

async fn keep_asking(metadata: &Metadata, report: impl FnMut(&Error) -> ControlFlow<()>) -> Result<Discovered, Error> {
    let settings = settings();
    until_known(|| identify(metadata, &settings), report).await
}
