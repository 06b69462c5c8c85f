use super::*;
use crate::autoscaling::tests::{INSTANCE, client, error, text, xml};
use crate::testing::{Asked, Http, Reply, run};
use cflared_verdict::FailureKind;

const OTHERS: [&str; 3] = ["i-00000000000000001", "i-00000000000000002", "i-fffffffffffffffff"];

fn named(launch: &str, terminate: &str) -> settings::Lifecycle {
    let name = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
    settings::Lifecycle { launch_hook: name(launch), terminate_hook: name(terminate) }
}

fn lifecycle(http: &Http, hooks: settings::Lifecycle) -> Lifecycle {
    Lifecycle::new(Arc::new(AutoScaling::new(&client(&http.url), INSTANCE, false)), hooks)
}

fn action(asked: &Asked) -> &str {
    text(asked).strip_prefix("Action=").and_then(|rest| rest.split('&').next()).unwrap()
}

fn actions(http: &Http) -> Vec<String> {
    let mut actions: Vec<String> = http.asked().iter().map(|asked| action(asked).to_owned()).collect();
    actions.sort();
    actions
}

fn answer(action: &str, result: &str) -> Reply {
    xml(200, &format!("<{action}Response><{action}Result>{result}</{action}Result></{action}Response>"))
}

fn me(lifecycle: &str, group: &str) -> Reply {
    let me = format!(
        "<AutoScalingInstances><member><InstanceId>{INSTANCE}</InstanceId><AutoScalingGroupName>{group}\
         </AutoScalingGroupName><LifecycleState>{lifecycle}</LifecycleState><HealthStatus>HEALTHY</HealthStatus></member>\
         </AutoScalingInstances>"
    );
    answer("DescribeAutoScalingInstances", &me)
}

/// A group in which the third of the others does not serve.
fn group(name: &str) -> Reply {
    let states = ["InService", "Pending:Wait", "InService"];
    let member = |(id, state): (&str, &str)| {
        format!("<member><InstanceId>{id}</InstanceId><LifecycleState>{state}</LifecycleState></member>")
    };
    let members: String = OTHERS.into_iter().zip(states).map(member).collect();
    let group = format!("<AutoScalingGroupName>{name}</AutoScalingGroupName><Instances>{members}</Instances>");
    answer("DescribeAutoScalingGroups", &format!("<AutoScalingGroups><member>{group}</member></AutoScalingGroups>"))
}

fn hooks(of: &[(&str, &str, u32)]) -> Reply {
    let hook = |(name, transition, seconds): &(&str, &str, u32)| {
        format!(
            "<member><LifecycleHookName>{name}</LifecycleHookName><HeartbeatTimeout>{seconds}</HeartbeatTimeout>\
             <LifecycleTransition>autoscaling:EC2_INSTANCE_{transition}</LifecycleTransition></member>"
        )
    };
    let hooks: String = of.iter().map(hook).collect();
    answer("DescribeLifecycleHooks", &format!("<LifecycleHooks>{hooks}</LifecycleHooks>"))
}

fn world(asked: &Asked) -> Reply {
    match action(asked) {
        "DescribeAutoScalingInstances" => me("Pending:Wait", "tunnel-prd"),
        "DescribeAutoScalingGroups" => group("tunnel-prd"),
        "DescribeLifecycleHooks" => hooks(&[("hello", "LAUNCHING", 300), ("bye", "TERMINATING", 600)]),
        other => answer(other, ""),
    }
}

#[test]
fn a_place_is_read_with_two_questions_and_the_hooks_once() {
    run(async {
        let http = Http::start(|_, asked| world(asked)).await;
        let lifecycle = lifecycle(&http, named("hello", "bye"));
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let expected = Place {
            lifecycle: "Pending:Wait".into(),
            rank: 1,
            launch_timeout: seconds(300),
            terminate_timeout: seconds(600),
        };
        for _ in 0..3 {
            let (place, membership) = lifecycle.place().await.unwrap();
            assert_eq!((place, membership.group.as_str()), (expected.clone(), "tunnel-prd"));
        }
        let asked = actions(&http);
        assert_eq!(asked.iter().filter(|action| *action == "DescribeLifecycleHooks").count(), 1);
        assert_eq!(asked.len(), 3 * 2 + 1);
    });
}

#[test]
fn hooks_that_are_not_named_are_not_asked_for() {
    run(async {
        let http = Http::start(|_, asked| world(asked)).await;
        let (place, _) = lifecycle(&http, named("", "")).place().await.unwrap();
        assert_eq!((place.launch_timeout, place.terminate_timeout), (None, None));
        assert_eq!(actions(&http), ["DescribeAutoScalingGroups", "DescribeAutoScalingInstances"]);
    });
}

#[test]
fn a_hook_that_is_missing_or_for_the_other_transition_has_no_time_and_is_asked_for_again() {
    run(async {
        for there in [&[][..], &[("hello", "TERMINATING", 300)], &[("other", "LAUNCHING", 300)]] {
            let there = there.to_vec();
            let http = Http::start(move |n, asked| match action(asked) {
                "DescribeLifecycleHooks" if n < 3 => hooks(&there),
                _ => world(asked),
            })
            .await;
            let lifecycle = lifecycle(&http, named("hello", ""));
            assert_eq!(lifecycle.place().await.unwrap().0.launch_timeout, None);
            let trouble = lifecycle.known().trouble.clone().unwrap();
            assert!(trouble.contains("the group tunnel-prd has no launch hook hello"), "{trouble}");
            assert_eq!(lifecycle.place().await.unwrap().0.launch_timeout, Some(Duration::from_secs(300)));
            assert_eq!(lifecycle.known().trouble, None);
        }
    });
}

#[test]
fn hooks_that_may_not_be_read_do_not_hide_the_place() {
    run(async {
        let http = Http::start(|_, asked| match action(asked) {
            "DescribeLifecycleHooks" => error(403, "AccessDenied", "made up"),
            _ => world(asked),
        })
        .await;
        let lifecycle = lifecycle(&http, named("hello", "bye"));
        let (place, _) = lifecycle.place().await.unwrap();
        assert_eq!((place.lifecycle.as_str(), place.launch_timeout), ("Pending:Wait", None));
        let trouble = lifecycle.known().trouble.clone().unwrap();
        assert!(trouble.contains("the role needs autoscaling:DescribeLifecycleHooks"), "{trouble}");
    });
}

#[test]
fn an_instance_that_was_moved_is_ranked_in_its_new_group() {
    run(async {
        let http = Http::start(|n, asked| match (action(asked), n < 2) {
            ("DescribeAutoScalingInstances", true) => me("InService", "old"),
            ("DescribeAutoScalingInstances", false) => me("InService", "new"),
            ("DescribeAutoScalingGroups", _) if text(asked).contains("=old") => group("old"),
            _ => group("new"),
        })
        .await;
        let lifecycle = lifecycle(&http, named("", ""));
        for (at, asked) in [("old", 2), ("new", 5), ("new", 7)] {
            assert_eq!(lifecycle.place().await.unwrap().1.group, at);
            assert_eq!(http.asked().len(), asked);
        }
    });
}

#[test]
fn each_hook_is_completed_and_kept_waiting_by_its_name() {
    run(async {
        let http = Http::start(|_, asked| world(asked)).await;
        let lifecycle = lifecycle(&http, named("hello", "bye"));
        lifecycle.heartbeat(Hook::Launch).await.unwrap();
        lifecycle.complete(Hook::Launch, HookResult::Abandon).await.unwrap();
        lifecycle.complete(Hook::Terminate, HookResult::Continue).await.unwrap();
        let asked = http.asked();
        assert_eq!(asked.len(), 4, "the group's name is asked for once");
        for (asked, action, hook, result) in [
            (&asked[1], "RecordLifecycleActionHeartbeat", "hello", None),
            (&asked[2], "CompleteLifecycleAction", "hello", Some("ABANDON")),
            (&asked[3], "CompleteLifecycleAction", "bye", Some("CONTINUE")),
        ] {
            let form = format!("{}&", text(asked));
            for part in [
                format!("Action={action}&"),
                "AutoScalingGroupName=tunnel-prd&".into(),
                format!("LifecycleHookName={hook}&"),
                format!("InstanceId={INSTANCE}&"),
                result.map_or(String::new(), |result| format!("LifecycleActionResult={result}&")),
            ] {
                assert!(form.contains(&part), "{part} in {form}");
            }
        }
    });
}

#[test]
fn a_group_that_does_not_wait_is_told_from_other_troubles() {
    run(async {
        for (status, code, message, kind, says) in [
            (
                400,
                "ValidationError",
                "No active Lifecycle Action found with instance ID i-0",
                FailureKind::Missing,
                "the group does not wait for it",
            ),
            (400, "ValidationError", "made up", FailureKind::Invalid, "made up"),
            (403, "AccessDenied", "made up", FailureKind::Denied, "the role needs autoscaling:"),
            (400, "Throttling", "made up", FailureKind::Throttled, "try again"),
            (500, "ResourceContention", "made up", FailureKind::Throttled, "try again"),
        ] {
            let http = Http::start(move |_, asked| match action(asked) {
                "DescribeAutoScalingInstances" => world(asked),
                _ => error(status, code, message),
            })
            .await;
            let lifecycle = lifecycle(&http, named("hello", "bye"));
            for result in
                [lifecycle.complete(Hook::Launch, HookResult::Continue).await, lifecycle.heartbeat(Hook::Launch).await]
            {
                let error = result.unwrap_err();
                assert_eq!(error.kind(), kind, "{error}");
                assert!(error.to_string().contains(says), "{error}");
            }
        }
    });
}

#[test]
fn without_a_name_and_in_a_dry_run_nothing_is_abandoned() {
    run(async {
        let http = Http::start(|_, asked| world(asked)).await;
        let error = lifecycle(&http, named("", "bye")).complete(Hook::Launch, HookResult::Continue).await.unwrap_err();
        assert!(error.to_string().contains("lifecycle.launch_hook names none"), "{error}");
        assert_eq!((error.kind(), http.asked().len()), (FailureKind::Disabled, 0));

        let dry = Arc::new(AutoScaling::new(&client(&http.url), INSTANCE, true));
        let dry = Lifecycle::new(dry, named("hello", "bye"));
        let error = dry.complete(Hook::Launch, HookResult::Abandon).await.unwrap_err();
        assert!(error.to_string().contains("this is a dry run"), "{error}");
        assert_eq!((error.kind(), http.asked().len()), (FailureKind::Disabled, 0));
        dry.complete(Hook::Launch, HookResult::Continue).await.unwrap();
        assert_eq!(http.asked().len(), 2, "going on is no mark");
    });
}
