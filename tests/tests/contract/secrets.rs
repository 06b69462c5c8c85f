//! Secrets Manager: the agent's read, and the calls that set it up, at the stand-in and at moto.

use super::moto::Moto;
use super::peer::{outcome, present, stand_in};
use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use aws_sdk_secretsmanager::primitives::Blob;

const NAME: &str = "/adventive/cloudflared/dev";

#[tokio::test]
async fn secrets_come_to_the_same_as_at_moto() {
    let moto = Moto::start();
    let at_moto = story(&moto.sdk()).await;
    let (_aws, config) = stand_in().await;
    let at_stand_in = story(&config).await;
    assert_eq!(at_stand_in, at_moto);
    assert_eq!(at_stand_in, expected());
}

fn expected() -> Vec<(&'static str, String)> {
    const ALL: &str = "arn name version_id created_date";
    [
        ("missing", "error ResourceNotFoundException".to_owned()),
        ("create", "arn name version_id".to_owned()),
        ("create again", "error ResourceExistsException".to_owned()),
        ("found", format!("{ALL} text one, stages AWSCURRENT")),
        ("found by its ARN", format!("{ALL} text one, stages AWSCURRENT")),
        ("put", "arn name version_id, a new version, stages AWSCURRENT".to_owned()),
        ("current has moved", format!("{ALL} text two, stages AWSCURRENT")),
        ("the previous one", format!("{ALL} text one, stages AWSPREVIOUS")),
        ("the first by its id", format!("{ALL} text one, stages AWSPREVIOUS")),
        ("a third", "arn name version_id, a new version, stages AWSCURRENT".to_owned()),
        ("the first has no stage left", format!("{ALL} text one, stages ")),
        ("a stage that is not there", "error ResourceNotFoundException".to_owned()),
        ("binary", format!("{ALL} bytes [0, 1, 2], stages AWSCURRENT")),
        ("delete", "arn name deletion_date".to_owned()),
        ("deleted", "error InvalidRequestException".to_owned()),
        ("restore", "arn name".to_owned()),
        ("restored", format!("{ALL} text three, stages AWSCURRENT")),
    ]
    .into()
}

async fn story(config: &SdkConfig) -> Vec<(&'static str, String)> {
    let client = Client::new(config);
    let get = || client.get_secret_value().secret_id(NAME);
    let mut told = vec![("missing", outcome(get().send().await, read))];

    let created = client.create_secret().name(NAME).secret_string("one").send().await;
    let first = created.as_ref().unwrap().clone();
    let names = |o: aws_sdk_secretsmanager::operation::create_secret::CreateSecretOutput| {
        present(&[("arn", o.arn.is_some()), ("name", o.name.is_some()), ("version_id", o.version_id.is_some())])
    };
    told.push(("create", outcome(created, names)));
    told.push(("create again", outcome(client.create_secret().name(NAME).secret_string("x").send().await, names)));
    told.push(("found", outcome(get().send().await, read)));
    let by_arn = client.get_secret_value().secret_id(first.arn().unwrap()).send().await;
    told.push(("found by its ARN", outcome(by_arn, read)));

    told.push(("put", put(&client, "two").await));
    told.push(("current has moved", outcome(get().send().await, read)));
    told.push(("the previous one", outcome(get().version_stage("AWSPREVIOUS").send().await, read)));
    let first_id = first.version_id().unwrap();
    told.push(("the first by its id", outcome(get().version_id(first_id).send().await, read)));
    told.push(("a third", put(&client, "three").await));
    told.push(("the first has no stage left", outcome(get().version_id(first_id).send().await, read)));
    told.push(("a stage that is not there", outcome(get().version_stage("NONE").send().await, read)));

    client.create_secret().name("binary").secret_binary(Blob::new([0, 1, 2])).send().await.unwrap();
    told.push(("binary", outcome(client.get_secret_value().secret_id("binary").send().await, read)));

    let deleted = client.delete_secret().secret_id(NAME).send().await;
    let deletion = |o: aws_sdk_secretsmanager::operation::delete_secret::DeleteSecretOutput| {
        let date = o.deletion_date.is_some();
        present(&[("arn", o.arn.is_some()), ("name", o.name.is_some()), ("deletion_date", date)])
    };
    told.push(("delete", outcome(deleted, deletion)));
    told.push(("deleted", outcome(get().send().await, read)));
    let restored = client.restore_secret().secret_id(NAME).send().await;
    told.push(("restore", outcome(restored, |o| present(&[("arn", o.arn.is_some()), ("name", o.name.is_some())]))));
    told.push(("restored", outcome(get().send().await, read)));
    told
}

async fn put(client: &Client, text: &str) -> String {
    let before = client.get_secret_value().secret_id(NAME).send().await.unwrap();
    let put = client.put_secret_value().secret_id(NAME).secret_string(text).send().await;
    outcome(put, |o| {
        let version = o.version_id.is_some();
        let names = present(&[("arn", o.arn.is_some()), ("name", o.name.is_some()), ("version_id", version)]);
        let new = if o.version_id == before.version_id { "the same version" } else { "a new version" };
        format!("{names}, {new}, stages {}", o.version_stages.unwrap_or_default().join(" "))
    })
}

fn read(output: GetSecretValueOutput) -> String {
    let names = present(&[
        ("arn", output.arn.is_some()),
        ("name", output.name.is_some()),
        ("version_id", output.version_id.is_some()),
        ("created_date", output.created_date.is_some()),
    ]);
    let value = match (output.secret_string, output.secret_binary) {
        (Some(text), None) => format!("text {text}"),
        (None, Some(bytes)) => format!("bytes {:?}", bytes.into_inner()),
        other => format!("{other:?}"),
    };
    format!("{names} {value}, stages {}", output.version_stages.unwrap_or_default().join(" "))
}
