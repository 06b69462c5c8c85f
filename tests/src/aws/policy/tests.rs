use super::{Policy, Question, like};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const SECRET: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:/adventive/cloudflared/dev-AbCdEf";

fn policy(statements: &Value) -> Policy {
    serde_json::from_value(json!({"Version": "2012-10-17", "Statement": statements})).unwrap()
}

fn asked(action: &str, resource: &str, namespace: Option<&str>) -> Question {
    let context = namespace.map(|name| ("cloudwatch:namespace", name.to_owned()));
    Question {
        action: action.into(),
        resource: resource.into(),
        context: context.into_iter().collect::<BTreeMap<_, _>>(),
    }
}

#[test]
fn patterns_are_those_of_iam() {
    for (pattern, text, expected) in [
        ("*", "", true),
        ("*", "arn:aws:x", true),
        ("a*c", "abbc", true),
        ("a*c", "abbd", false),
        ("a*b*c", "aXbYbZc", true),
        ("dev-??????", "dev-AbCdEf", true),
        ("dev-??????", "dev-AbCdE", false),
        ("dev-??????", "dev-blue-AbCdEf", false),
        ("", "", true),
        ("", "a", false),
        ("a?", "aé", true),
    ] {
        assert_eq!(like(pattern, text), expected, "{pattern} {text}");
    }
}

#[test]
fn something_must_allow_and_nothing_deny() {
    let get = |effect: &str, resource: &str| json!({"Sid": "S", "Effect": effect, "Action": "secretsmanager:Get*", "Resource": resource});
    let read = asked("secretsmanager:GetSecretValue", SECRET, None);
    for (statements, expected) in [
        (json!([]), false),
        (json!([get("Allow", "*")]), true),
        (json!([get("Allow", "arn:aws:secretsmanager:*:*:secret:/adventive/cloudflared/dev-??????")]), true),
        (json!([get("Allow", "arn:aws:secretsmanager:*:*:secret:/adventive/cloudflared/prd-??????")]), false),
        (json!([get("Allow", "*"), get("Deny", SECRET)]), false),
        (json!([get("Allow", "*"), get("Deny", "arn:aws:s3:::*")]), true),
        (
            json!([{"Effect": "Allow", "Action": ["s3:Get*", "SECRETSMANAGER:getsecretvalue"], "Resource": [SECRET]}]),
            true,
        ),
    ] {
        assert_eq!(policy(&statements).allows(&read), expected, "{statements}");
    }
}

#[test]
fn conditions_must_all_hold_and_want_their_key() {
    let put = |condition: Value| json!([{"Effect": "Allow", "Action": "cloudwatch:PutMetricData", "Resource": "*", "Condition": condition}]);
    for (condition, namespace, expected) in [
        (json!({"StringEquals": {"cloudwatch:namespace": "Cflared"}}), Some("Cflared"), true),
        (json!({"StringEquals": {"CloudWatch:Namespace": ["A", "Cflared"]}}), Some("Cflared"), true),
        (json!({"StringEquals": {"cloudwatch:namespace": "Cflared"}}), Some("cflared"), false),
        (json!({"StringEquals": {"cloudwatch:namespace": "Cflared"}}), None, false),
        (json!({"StringLike": {"cloudwatch:namespace": "Cf*"}}), Some("Cflared"), true),
        (
            json!({"StringLike": {"cloudwatch:namespace": "Cf*"}, "StringEquals": {"aws:x": "1"}}),
            Some("Cflared"),
            false,
        ),
    ] {
        let asked = asked("cloudwatch:PutMetricData", "*", namespace);
        assert_eq!(policy(&put(condition.clone())).allows(&asked), expected, "{condition} {namespace:?}");
    }
}

#[test]
fn what_is_not_stood_in_for_is_refused() {
    for statement in [
        json!({"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}),
        json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Principal": "*"}),
        json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": {"NumericLessThan": {"a": "1"}}}),
        json!({"Effect": "Perhaps", "Action": "s3:*", "Resource": "*"}),
    ] {
        let policy = json!({"Version": "2012-10-17", "Statement": [statement]});
        assert!(serde_json::from_value::<Policy>(policy).is_err(), "{statement}");
    }
}
