use super::*;
use crate::tests::server::Hold;
use crate::tests::world::Imds;
use proptest::prelude::*;

const META: &str = "/latest/meta-data/";

fn reader(imds: &Imds) -> NoticeReader {
    NoticeReader::new(imds.metadata())
}

/// What was asked, without the tokens.
fn asked(imds: &Imds) -> Vec<String> {
    let paths = imds.server.seen().into_iter().filter_map(|seen| seen.path.strip_prefix(META).map(String::from));
    let mut paths: Vec<String> = paths.collect();
    paths.sort();
    paths
}

fn notices(target: Option<Target>, spot: Option<&str>, rebalance: bool) -> Notices {
    Notices { target, spot: spot.map(String::from), rebalance }
}

#[test]
fn each_word_means_what_it_says_and_others_mean_nothing() {
    for (text, expected) in [
        ("InService", Some(Target::InService)),
        ("Standby", Some(Target::Standby)),
        ("Detached", Some(Target::Detached)),
        ("Terminated", Some(Target::Terminated)),
        ("Warmed:Stopped", Some(Target::Warmed)),
        ("Warmed:Running", Some(Target::Warmed)),
        ("Warmed:Hibernated", Some(Target::Warmed)),
        ("Warmed:Terminated", Some(Target::Warmed)),
        ("", None),
        ("terminated", None),
        ("Terminated:Wait", None),
        ("Warmed:", None),
        ("<html>Terminated</html>", None),
    ] {
        assert_eq!(target(text), expected, "{text}");
    }
    for (text, expected) in [
        (r#"{"action": "terminate", "time": "2026-01-01T00:02:00Z"}"#, Some("terminate")),
        (r#"{"action": "stop"}"#, Some("stop")),
        (r#"{"action": "hibernate", "more": 1}"#, Some("hibernate")),
        (r#"{"action": "explode"}"#, None),
        (r#"{"action": 1}"#, None),
        (r#""terminate""#, None),
        ("terminate", None),
        ("", None),
    ] {
        assert_eq!(instance_action(text).as_deref(), expected, "{text}");
    }
    assert_eq!(recommendation(r#"{"noticeTime": "2026-01-01T00:00:00Z"}"#), Some(()));
    for text in ["", "{}", r#"{"noticeTime": null}"#, "<html>", "[]"] {
        assert_eq!(recommendation(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn garbage_says_nothing(text in any::<String>()) {
        prop_assert_eq!(target(&text), None);
        prop_assert_eq!(purchase(&text), None);
        let as_action = serde_json::json!({"action": text, "time": text}).to_string();
        let as_key = serde_json::json!({ text.as_str(): "terminate" }).to_string();
        for text in [text.as_str(), &as_action, &as_key] {
            prop_assert_eq!(instance_action(text), None);
            prop_assert_eq!(recommendation(text), None);
        }
    }

    #[test]
    fn a_notice_that_is_cut_off_or_torn_says_nothing(at in 0..52usize, to in 0..52usize) {
        let notice = r#"{"action": "terminate", "time": "2026-01-01T00:02Z"}"#;
        let (from, to) = (at.min(to), at.max(to));
        let whole = from == 0 && to >= notice.len();
        prop_assert_eq!(notice.get(from..to.min(notice.len())).and_then(instance_action).is_some(), whole);
    }
}

#[tokio::test]
async fn nothing_said_costs_two_questions_and_then_one() {
    let imds = Imds::start().await;
    imds.instead(&format!("{META}instance-life-cycle"), 200, "on-demand");
    let reader = reader(&imds);
    assert_eq!(reader.read().await.unwrap(), Notices::default());
    assert_eq!(asked(&imds), ["autoscaling/target-lifecycle-state", "instance-life-cycle"]);
    for _ in 0..3 {
        assert_eq!(reader.clone().read().await.unwrap(), Notices::default());
    }
    assert_eq!(asked(&imds).len(), 2 + 3);
    assert_eq!(imds.server.count("token"), 1);
}

#[tokio::test]
async fn only_a_spot_instance_is_asked_for_the_notices_of_one() {
    for (purchase, spot) in [(Some("spot\n"), true), (Some("on-demand"), false), (Some("<html>"), false), (None, false)]
    {
        let imds = Imds::start().await;
        if let Some(purchase) = purchase {
            imds.instead(&format!("{META}instance-life-cycle"), 200, purchase);
        }
        imds.instead(&format!("{META}spot/instance-action"), 200, r#"{"action": "stop"}"#);
        imds.instead(&format!("{META}events/recommendations/rebalance"), 200, r#"{"noticeTime": "2026"}"#);
        let reader = reader(&imds);
        let expected = if spot { notices(None, Some("stop"), true) } else { Notices::default() };
        for _ in 0..2 {
            assert_eq!(reader.read().await.unwrap(), expected, "{purchase:?}");
        }
        assert_eq!(asked(&imds).len(), if spot { 4 + 3 } else { 2 + 1 }, "{purchase:?}");
    }
}

#[tokio::test]
async fn an_unanswered_question_is_an_error_unless_the_instance_goes_anyway() {
    let imds = Imds::start().await;
    imds.instead(&format!("{META}instance-life-cycle"), 500, "");
    let reader = reader(&imds);
    for (said, goes) in [("InService", false), ("Terminated", true), ("Warmed:Stopped", false)] {
        imds.instead(&format!("{META}autoscaling/target-lifecycle-state"), 200, said);
        let read = reader.read().await;
        assert_eq!(read.is_ok(), goes, "{said}: {read:?}");
    }
    imds.instead(&format!("{META}instance-life-cycle"), 200, "spot");
    imds.instead(&format!("{META}autoscaling/target-lifecycle-state"), 403, "");
    let error = reader.read().await.unwrap_err();
    assert!(error.to_string().contains("target-lifecycle-state"), "{error}");
    imds.instead(&format!("{META}spot/instance-action"), 200, r#"{"action": "terminate"}"#);
    assert_eq!(reader.read().await.unwrap(), notices(None, Some("terminate"), false));
}

#[tokio::test]
async fn what_is_no_answer_is_kept_once_for_each_question() {
    let imds = Imds::start().await;
    let reader = reader(&imds);
    let unknown = || reader.0.unknown.lock().unwrap().clone();
    for garbage in ["<html>", "Nirvana", "Nirvana\u{1b}[2J"] {
        imds.instead(&format!("{META}autoscaling/target-lifecycle-state"), 200, garbage);
        assert_eq!(reader.read().await.unwrap(), Notices::default());
        assert_eq!(unknown().into_iter().collect::<Vec<_>>(), [(TARGET, shown(garbage))]);
    }
}

#[tokio::test]
async fn the_boot_does_not_wait_for_a_question_that_nobody_answers() {
    let imds = Imds::holding(&Hold::For(testing::PATIENCE)).await;
    assert!(reader(&imds).read_soon().await.unwrap_err().contains("within 2 s"));
}
