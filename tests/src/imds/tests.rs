use super::{Imds, Instance, SpotAction};
use crate::http::faults::{Fault, Trouble};
use crate::http::requests::{depth, most_at_once};
use aws_config::imds::Client;
use aws_config::imds::client::error::ImdsError;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::ProvideCredentials;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn served(instance: Instance) -> (Imds, String) {
    let imds = Imds::new(instance);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(imds.clone().serve(listener));
    (imds, address)
}

/// The SDK's client, without retries unless the test is about them; its back-off grows, and cannot be set.
fn client(address: &str, attempts: u32) -> Client {
    let http = aws_smithy_http_client::Builder::new().build_http();
    let settings = ProviderConfig::without_region().with_http_client(http);
    Client::builder()
        .configure(&settings)
        .endpoint(format!("http://{address}"))
        .unwrap()
        .max_attempts(attempts)
        .operation_timeout(Duration::from_secs(2) * attempts.pow(2))
        .build()
}

async fn get(client: &Client, path: &str) -> Result<String, String> {
    client.get(format!("/latest/meta-data/{path}")).await.map(String::from).map_err(|error| match error {
        ImdsError::ErrorResponse(response) => response.response().status().as_u16().to_string(),
        ImdsError::FailedToLoadToken(_) => "no token".to_owned(),
        other => format!("{other:?}"),
    })
}

async fn raw(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{request}\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_sdk_reads_every_document() {
    let (imds, address) = served(Instance::default()).await;
    let client = client(&address, 1);
    let told = [
        ("instance-id", Ok("i-0123456789abcdef0")),
        ("placement/region", Ok("us-east-1")),
        ("placement/availability-zone", Ok("us-east-1a")),
        ("ami-id", Ok("ami-0123456789abcdef0")),
        ("iam/security-credentials/", Ok("cflared")),
        ("tags/instance/adv:env", Ok("dev")),
        ("tags/instance/adv%3Aenv", Ok("dev")),
        ("tags/instance", Ok("adv:env")),
        ("tags/instance/none", Err("404")),
        ("instance-life-cycle", Ok("on-demand")),
        ("autoscaling/target-lifecycle-state", Err("404")),
        ("spot/instance-action", Err("404")),
        ("events/recommendations/rebalance", Err("404")),
        ("iam/security-credentials/other", Err("404")),
        ("unheard-of", Err("404")),
    ];
    for (path, expected) in told {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(get(&client, path).await, expected, "{path}");
    }
    assert_eq!(imds.requests().count("PUT /latest/api/token"), 1, "one token is enough for all");
    assert_eq!(imds.requests().count("GET "), told.len());
}

#[tokio::test]
async fn the_sdk_gets_the_role_s_keys() {
    let (imds, address) = served(Instance::default()).await;
    let provider = ImdsCredentialsProvider::builder().imds_client(client(&address, 1)).build();
    let keys = provider.provide_credentials().await.unwrap();
    let expected = imds.instance().credentials;
    assert_eq!(keys.access_key_id(), expected.access_key_id);
    assert_eq!(keys.secret_access_key(), expected.secret_access_key);
    assert_eq!(keys.session_token(), expected.session_token.as_deref());
    assert!(keys.expiry().is_some());
    let requests = imds.requests().all();
    assert_eq!((requests.len(), depth(&requests), most_at_once(&requests)), (3, 3, 1));
}

#[tokio::test]
async fn an_edit_is_seen_by_the_next_request() {
    let (imds, address) = served(Instance::default()).await;
    let client = client(&address, 1);
    imds.edit(|instance| instance.set_tag("adv:env", "../x\n"));
    assert_eq!(get(&client, "tags/instance/adv:env").await.unwrap(), "../x\n");
    imds.edit(|instance| instance.remove_tag("adv:env"));
    assert_eq!(get(&client, "tags/instance/adv:env").await.unwrap_err(), "404");
    imds.edit(|instance| {
        instance.tags = None;
        instance.role = None;
        instance.life_cycle = Some("spot".to_owned());
        instance.target_lifecycle_state = Some("Terminated".to_owned());
        instance.spot_action = Some(SpotAction { action: "stop".to_owned(), time: "2026-01-01T00:00:00Z".to_owned() });
        instance.rebalance_notice_time = Some("2026-01-01T00:00:00Z".to_owned());
    });
    assert_eq!(get(&client, "tags/instance").await.unwrap_err(), "404", "tags are off");
    assert_eq!(get(&client, "iam/security-credentials/").await.unwrap_err(), "404");
    assert_eq!(get(&client, "instance-life-cycle").await.unwrap(), "spot");
    assert_eq!(get(&client, "autoscaling/target-lifecycle-state").await.unwrap(), "Terminated");
    let notice = r#"{"action":"stop","time":"2026-01-01T00:00:00Z"}"#;
    assert_eq!(get(&client, "spot/instance-action").await.unwrap(), notice);
    let notice = r#"{"noticeTime":"2026-01-01T00:00:00Z"}"#;
    assert_eq!(get(&client, "events/recommendations/rebalance").await.unwrap(), notice);
}

#[tokio::test]
async fn without_a_good_token_nothing_is_told() {
    let (imds, address) = served(Instance::default()).await;
    let status = async |request: &str| raw(&address, request).await[9..12].to_owned();
    assert_eq!(status("GET /latest/meta-data/instance-id HTTP/1.1").await, "401", "version 1 is off");
    let made_up = "GET /latest/meta-data/instance-id HTTP/1.1\r\nX-aws-ec2-metadata-token: x";
    assert_eq!(status(made_up).await, "401");
    assert_eq!(status("PUT /latest/api/token HTTP/1.1").await, "400", "no TTL");
    let ask = "PUT /latest/api/token HTTP/1.1\r\nX-aws-ec2-metadata-token-ttl-seconds:";
    assert_eq!(status(&format!("{ask} 0")).await, "400");
    assert_eq!(status(&format!("{ask} 21601")).await, "400");
    assert_eq!(status(&format!("{ask} 60\r\nX-Forwarded-For: 10.0.0.1")).await, "403");

    let answer = raw(&address, &format!("{ask} 60")).await;
    assert!(answer.contains("x-aws-ec2-metadata-token-ttl-seconds: 60\r\n"), "{answer}");
    let token = answer.split_once("\r\n\r\n").unwrap().1;
    let with_token = format!("GET /latest/meta-data/instance-id HTTP/1.1\r\nX-aws-ec2-metadata-token: {token}");
    assert_eq!(status(&with_token).await, "200");
    imds.expire_tokens();
    assert_eq!(status(&with_token).await, "401");
}

#[tokio::test]
async fn errors_that_pass_are_outlived() {
    let (imds, address) = served(Instance::default()).await;
    let client = client(&address, 4);
    imds.plant(Trouble::Status(500).on("/latest/meta-data/").times(2));
    assert_eq!(get(&client, "instance-id").await.unwrap(), "i-0123456789abcdef0");
    let statuses: Vec<_> = imds.requests().of("GET").iter().map(|request| request.status.unwrap()).collect();
    assert_eq!(statuses, [500, 500, 200]);
}

/// The SDK asks again after 401, but with the same token: only a new client gets out of that.
#[tokio::test]
async fn a_token_that_expires_in_mid_life_needs_a_new_client() {
    let (imds, address) = served(Instance::default()).await;
    let first = client(&address, 2);
    get(&first, "instance-id").await.unwrap();
    imds.expire_tokens();
    assert_eq!(get(&first, "instance-id").await.unwrap_err(), "401");
    assert_eq!(get(&client(&address, 2), "instance-id").await.unwrap(), "i-0123456789abcdef0");
    let statuses: Vec<_> = imds.requests().of("GET").iter().map(|request| request.status.unwrap()).collect();
    assert_eq!(statuses, [200, 401, 401, 200]);
    assert_eq!(imds.requests().count("PUT"), 2);
}

#[tokio::test]
async fn faults_keep_to_their_path() {
    let cases: [(Fault, &str); 4] = [
        (Trouble::Denied.on("/latest/meta-data/tags"), "403"),
        (Trouble::Throttled.on("/latest/meta-data/tags"), "503"),
        (Trouble::Status(500).on("/latest/meta-data/tags"), "500"),
        (Trouble::Denied.on("/latest/api/token"), "no token"),
    ];
    for (fault, expected) in cases {
        let (imds, address) = served(Instance::default()).await;
        let client = client(&address, 1);
        imds.plant(fault.clone());
        assert_eq!(get(&client, "tags/instance/adv:env").await.unwrap_err(), expected, "{fault:?}");
        let elsewhere = get(&client, "instance-id").await;
        assert_eq!(elsewhere.is_ok(), expected != "no token", "{fault:?}");
        imds.clear_faults();
        assert_eq!(get(&client, "tags/instance/adv:env").await.unwrap(), "dev", "{fault:?} has been cleared");
    }
    let (imds, address) = served(Instance::default()).await;
    imds.plant(Trouble::bad_body("<html>").on("/latest/meta-data/tags").times(1));
    assert_eq!(get(&client(&address, 1), "tags/instance/adv:env").await.unwrap(), "<html>");
    imds.plant(Trouble::BlackHole.on("/latest/meta-data/tags"));
    assert!(get(&client(&address, 1), "tags/instance/adv:env").await.unwrap_err().contains("Timeout"));
}

#[tokio::test]
async fn a_person_edits_the_instance_with_json() {
    let (imds, address) = served(Instance::default()).await;
    let post = async |command: &str, body: &str| {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let head = format!("POST /_control/{command} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer[9..12].to_owned()
    };
    assert_eq!(post("instance", r#"{"tags": {"adv:env": "stg"}, "role": null}"#).await, "200");
    let instance = imds.instance();
    assert_eq!((instance.tags.unwrap()["adv:env"].as_str(), instance.role), ("stg", None));
    assert_eq!(post("instance", r#"{"tags": null}"#).await, "200");
    assert_eq!(imds.instance().tags, None);
    assert_eq!(post("instance", r#"{"tag": 1}"#).await, "400", "an unknown field");
    assert_eq!(post("fault", r#"{"scope": "/latest", "trouble": {"status": 500}, "times": 10}"#).await, "200");
    assert_eq!(post("expire-tokens", "").await, "200");
    let state = raw(&address, "GET /_control/state HTTP/1.1").await;
    let state: serde_json::Value = serde_json::from_str(state.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(state["faults"][0], serde_json::json!({"scope": "/latest", "trouble": {"status": 500}, "times": 10}));
    assert_eq!(state["instance"]["tags"], serde_json::Value::Null);
    assert_eq!(state["requests"], serde_json::json!([]), "control requests are not the service's");
}
