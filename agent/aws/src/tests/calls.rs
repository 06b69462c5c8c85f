use super::server::{Hold, Reply, Rounds, Server, name_server};
use super::world::{Imds, aws, aws_server, network, region, secret_of};
use crate::{Aws, Call, Endpoints, Metadata, Network, failure, identify, was_not_sent};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use cflared_verdict::{Failure, FailureKind};
use dns::Resolver;
use settings::Settings;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use testing::{Refusing, ended};
use tokio::net::UdpSocket;

const CALL: Call<'static> = Call { action: "secretsmanager:GetSecretValue", object: "/made/up" };
const ROLE: &str = "security-credentials/made-up-role";

async fn read_secret(aws: &Aws) -> Result<(), SdkError<GetSecretValueError, HttpResponse>> {
    aws.secrets_manager(&region()).get_secret_value().secret_id("/made/up").send().await.map(drop)
}

async fn failed(aws: &Aws) -> Failure {
    failure(&read_secret(aws).await.unwrap_err(), CALL)
}

fn refusal(status: u16, code: &str) -> Reply {
    let body = serde_json::json!({"__type": code, "message": "User: arn:made-up is not"}).to_string();
    Reply::new(status, body).with("content-type", "application/x-amz-json-1.1")
}

#[tokio::test]
async fn from_nothing_to_the_secret_takes_nine_requests_of_which_four_wait_for_another() {
    // The token; the role's name, and who this instance is; the role's credentials. Then the secret.
    let imds = Imds::holding(&Hold::Rounds(Rounds::of(&[1, 6, 1]))).await;
    let server = aws_server(|_| secret_of("v1")).await;
    let metadata = imds.metadata();
    let aws = Aws::new(&Settings::default().aws, &metadata, network(&server.url())).unwrap();
    aws.warm_up().await;
    ended(identify(&metadata, &Settings::default().identity)).await.unwrap();
    ended(read_secret(&aws)).await.unwrap();
    assert_eq!((imds.server.count("token"), imds.server.seen().len(), server.seen().len()), (1, 8, 1));
}

#[tokio::test]
async fn credentials_are_fetched_once_even_when_the_first_use_overtakes_the_prefetch() {
    let imds = Imds::start().await;
    let server = aws_server(|_| secret_of("v1")).await;
    let aws = aws(&imds, &server.url());
    aws.warm_up().await;
    read_secret(&aws).await.unwrap();
    read_secret(&aws).await.unwrap();
    assert_eq!((imds.server.count(ROLE), imds.server.count("token"), server.seen().len()), (1, 1, 2));
}

#[tokio::test]
async fn three_clients_share_credentials_and_each_call_is_signed() {
    let imds = Imds::start().await;
    let server = aws_server(|_| secret_of("v1")).await;
    let aws = aws(&imds, &server.url());
    for _ in 0..2 {
        let (cloudwatch, auto_scaling) = (aws.cloudwatch(&region()), aws.auto_scaling(&region()));
        let datum = aws_sdk_cloudwatch::types::MetricDatum::builder().metric_name("m").value(1.0).build();
        let push = cloudwatch.put_metric_data().namespace("n").metric_data(datum).send();
        let (one, two, three) =
            tokio::join!(read_secret(&aws), push, auto_scaling.describe_auto_scaling_instances().send());
        one.unwrap();
        two.unwrap();
        three.unwrap();
    }
    assert_eq!((server.seen().len(), imds.server.count(ROLE), imds.server.count("token")), (6, 1, 1));
}

#[tokio::test]
async fn credentials_that_expire_soon_are_refreshed_and_the_last_ones_survive_a_dead_metadata_service() {
    let imds = Imds::start().await;
    imds.with(|state| state.good_for = Duration::from_secs(60));
    let server = aws_server(|_| secret_of("v1")).await;
    let aws = aws(&imds, &server.url());
    read_secret(&aws).await.unwrap();
    read_secret(&aws).await.unwrap();
    assert_eq!(imds.with(|state| state.credentials), 2);
    imds.instead("/latest/meta-data/iam/security-credentials/", 500, "");
    read_secret(&aws).await.unwrap();
    let last = server.seen().pop().unwrap();
    assert!(last.header("authorization").unwrap().contains("ASIAMADEUP2/"));
}

#[tokio::test]
async fn trouble_with_the_role_says_what_to_do() {
    let cases: [(&str, u16, &str, FailureKind, &str); 5] = [
        ("", 404, "", FailureKind::Missing, "attach an instance profile"),
        ("", 200, "a role\nwith <html>", FailureKind::Throttled, "is not a role"),
        ("made-up-role", 200, "{\"Code\": 5}", FailureKind::Throttled, "is not the JSON of credentials"),
        ("made-up-role", 200, "{\"Code\": \"Success\"}", FailureKind::Throttled, "is missing"),
        (
            "made-up-role",
            200,
            "{\"Code\": \"AssumeRoleUnauthorizedAccess\", \"Message\": \"EC2 cannot assume\"}",
            FailureKind::Denied,
            "trusts ec2.amazonaws.com",
        ),
    ];
    let server = aws_server(|_| secret_of("v1")).await;
    for (path, status, body, kind, text) in cases {
        let imds = Imds::start().await;
        imds.instead(&format!("/latest/meta-data/iam/security-credentials/{path}"), status, body);
        let failure = failed(&aws(&imds, &server.url())).await;
        assert_eq!(failure.kind, kind, "{}", failure.text);
        assert!(failure.text.contains(text), "{}", failure.text);
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_refusal_is_told_by_its_kind_and_with_the_next_step() {
    let cases = [
        (
            400,
            "AccessDeniedException",
            FailureKind::Denied,
            "the role needs secretsmanager:GetSecretValue on /made/up",
            1,
        ),
        (400, "UnrecognizedClientException", FailureKind::Denied, "does not accept the role's credentials", 1),
        (400, "ExpiredTokenException", FailureKind::Denied, "fresh credentials", 1),
        (403, "NeverHeardOf", FailureKind::Denied, "access denied (NeverHeardOf", 1),
        (400, "DecryptionFailure", FailureKind::Denied, "kms:Decrypt", 1),
        (400, "ResourceNotFoundException", FailureKind::Missing, "not there", 1),
        (400, "ValidationException", FailureKind::Invalid, "ValidationException", 1),
        (400, "ThrottlingException", FailureKind::Throttled, "ThrottlingException", 4),
        (500, "InternalServiceError", FailureKind::Throttled, "InternalServiceError", 4),
    ];
    let imds = Imds::start().await;
    for (status, code, kind, text, tries) in cases {
        let server = aws_server(move |_| refusal(status, code)).await;
        let failure = failed(&aws(&imds, &server.url())).await;
        assert_eq!(failure.kind, kind, "{}", failure.text);
        assert!(failure.text.contains(text), "{}", failure.text);
        assert_eq!(server.seen().len(), tries, "{code}");
    }
    let server = aws_server(|_| Reply::new(200, "<html>login</html>")).await;
    let failure = failed(&aws(&imds, &server.url())).await;
    assert_eq!(failure.kind, FailureKind::Throttled, "{}", failure.text);
}

#[tokio::test]
async fn an_endpoint_that_accepts_and_never_answers_is_given_up_and_not_at_once() {
    let imds = Imds::start().await;
    let server = Server::start(|_| Reply::Silence).await;
    let start = Instant::now();
    let failure = ended(failed(&aws(&imds, &server.url()))).await;
    let took = start.elapsed();
    assert!(took > Duration::from_secs(6), "{took:?}");
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(failure.text.contains("no answer in time"), "{}", failure.text);
}

#[tokio::test]
async fn what_was_certainly_not_sent_is_told_from_what_may_have_been_accepted() {
    let imds = Imds::start().await;
    async fn push(aws: &Aws) -> Option<bool> {
        let datum = aws_sdk_cloudwatch::types::MetricDatum::builder().metric_name("m").value(1.0).build();
        let push = aws.cloudwatch(&region()).put_metric_data().namespace("n").metric_data(datum).send().await;
        push.err().map(|error| was_not_sent(&error))
    }
    let refusing = Refusing::new();
    let refused = refusing.url();
    assert_eq!(push(&aws(&imds, &refused)).await, Some(true), "refused");
    assert_eq!(push(&aws(&imds, "https://127.0.0.1:1")).await, Some(true), "no root certificates");
    for (reply, tries) in [(0, 1), (1, 1), (2, 1)] {
        let server = Server::start(move |_| match reply {
            0 => Reply::Cut,
            1 => Reply::Silence,
            _ => Reply::new(500, ""),
        })
        .await;
        assert_eq!(push(&aws(&imds, &server.url())).await, Some(false), "{reply}");
        assert_eq!(server.seen().len(), tries, "a push is never repeated by the SDK");
    }
    imds.with(|state| state.role = None);
    assert_eq!(push(&aws(&imds, &refused)).await, Some(true), "no credentials");
}

#[tokio::test]
async fn a_name_server_that_never_answers_costs_bounded_time_and_is_named() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = Resolver::with_name_servers(vec![silent.local_addr().unwrap()]);
    let error = ended(resolver.lookup("secretsmanager.test")).await.unwrap_err();
    assert!(error.to_string().contains("/etc/resolv.conf"), "{error}");

    let imds = Imds::start().await;
    let network = Network { resolver, ..network("http://secretsmanager.test:9") };
    let aws = Aws::new(&Settings::default().aws, &imds.metadata(), network).unwrap();
    let error = ended(read_secret(&aws)).await.unwrap_err();
    assert!(was_not_sent(&error));
    let failure = failure(&error, CALL);
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(failure.text.contains("failed to resolve secretsmanager.test"), "{}", failure.text);
}

#[tokio::test]
async fn names_are_resolved_and_addresses_are_not() {
    let (dns, asked) = name_server().await;
    let resolver = Resolver::with_name_servers(vec![dns]);
    assert_eq!(resolver.lookup("10.1.2.3").await.unwrap().len(), 1);
    assert_eq!(resolver.lookup("fd00:ec2::254").await.unwrap().len(), 1);
    assert_eq!(asked.load(Ordering::SeqCst), 0);

    let imds = Imds::start().await;
    let server = aws_server(|_| secret_of("v1")).await;
    let network =
        Network { resolver: resolver.clone(), ..network(&format!("http://aws.test:{}", server.address.port())) };
    let aws = Aws::new(&Settings::default().aws, &imds.metadata(), network).unwrap();
    read_secret(&aws).await.unwrap();
    assert_eq!((server.seen().len(), asked.load(Ordering::SeqCst)), (1, 2), "one A, one AAAA");

    let by_name = format!("http://imds.test:{}", imds.server.address.port());
    Metadata::new(&by_name, &resolver).unwrap().get("/latest/meta-data/ami-id").await.unwrap();
}

#[tokio::test]
async fn the_hosts_file_is_honoured() {
    assert!(Resolver::system().lookup("localhost").await.unwrap().iter().all(|address| address.is_loopback()));
}

#[tokio::test]
async fn the_settings_proxy_is_for_aws_alone() {
    let imds = Imds::start().await;
    let proxy = Server::start(|_| Reply::new(403, "")).await;
    let through = settings::Aws { proxy: proxy.url() };
    let loopback = aws_server(|_| secret_of("v1")).await;
    let direct = Aws::new(&through, &imds.metadata(), network(&loopback.url())).unwrap();
    read_secret(&direct).await.unwrap();
    assert_eq!(proxy.connections(), 0, "neither loopback nor the metadata service");

    let plain = Aws::new(&through, &imds.metadata(), network("http://aws.test:81")).unwrap();
    read_secret(&plain).await.unwrap_err();
    assert_eq!(proxy.seen()[0].path, "http://aws.test:81/");

    let network = Network {
        endpoints: Endpoints::default(),
        resolver: Resolver::system(),
        roots: vec![super::tls::certificates()],
    };
    let secure = Aws::new(&through, &imds.metadata(), network).unwrap();
    read_secret(&secure).await.unwrap_err();
    let last = proxy.seen().pop().unwrap();
    assert_eq!(
        (last.method.as_str(), last.path.as_str()),
        ("CONNECT", "secretsmanager.eu-central-1.amazonaws.com:443")
    );

    let error =
        Aws::new(&settings::Aws { proxy: "::".into() }, &imds.metadata(), self::network("http://x")).unwrap_err();
    assert!(error.to_string().contains("aws.proxy"), "{error}");
}

#[test]
fn endpoints_come_from_the_variables_of_every_sdk() {
    let read = |variables: &[(&str, &str)]| {
        Endpoints::read(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    };
    assert_eq!(read(&[]), Ok(Endpoints::default()));
    let endpoints = read(&[
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ENDPOINT_URL_CLOUDWATCH", "http://127.0.0.1:2"),
        ("AWS_ENDPOINT_URL_AUTO_SCALING", ""),
    ])
    .unwrap();
    assert_eq!(endpoints.secrets_manager.as_deref(), Some("http://127.0.0.1:1"));
    assert_eq!(endpoints.cloudwatch.as_deref(), Some("http://127.0.0.1:2"));
    assert_eq!(endpoints.auto_scaling.as_deref(), Some("http://127.0.0.1:1"));
    let error = read(&[("AWS_ENDPOINT_URL_SECRETS_MANAGER", "127.0.0.1:1")]).unwrap_err();
    assert!(error.to_string().contains("AWS_ENDPOINT_URL_SECRETS_MANAGER=`127.0.0.1:1`"), "{error}");
}

/// Run by [`the_environment_is_read_and_its_proxies_are_not`] in a process with an environment of its own.
#[tokio::test]
#[ignore = "needs the environment that another test gives it"]
async fn everything_from_the_environment() {
    let network = Network::from_env().unwrap();
    let metadata = Metadata::from_env(&network.resolver).unwrap();
    let aws = Aws::new(&Settings::default().aws, &metadata, network).unwrap();
    identify(&metadata, &Settings::default().identity).await.unwrap();
    read_secret(&aws).await.unwrap();
}

#[tokio::test]
async fn the_environment_is_read_and_its_proxies_are_not() {
    let imds = Imds::start().await;
    let server = aws_server(|_| secret_of("v1")).await;
    let proxy = Server::start(|_| Reply::new(403, "")).await;
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "--ignored", "tests::calls::everything_from_the_environment"]);
    child.env_remove("NO_PROXY").env_remove("no_proxy");
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(variable, proxy.url());
    }
    child.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.server.url()).env("AWS_ENDPOINT_URL", server.url());
    child.env("AWS_ACCESS_KEY_ID", "AKIASOMEBODYELSE").env("AWS_SECRET_ACCESS_KEY", "somebody-else");
    let output = child.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert_eq!(proxy.connections(), 0);
    let request = server.seen().pop().unwrap();
    assert!(request.header("authorization").unwrap().contains("ASIAMADEUP1/"), "the role's key, not the environment's");
}

/// An answer without an end, or nearly, is let go of before it fills the memory; a compressed one is not unpacked.
#[tokio::test]
async fn an_answer_is_read_within_bounds() {
    let imds = Imds::start().await;
    let zeros = std::iter::repeat_n(0, 64 << 20);
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::copy(&mut std::io::Read::take(std::io::repeat(b' '), 64 << 20), &mut bomb).unwrap();
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let long: Vec<u8> = zeros.collect();
    for (body, encoding) in [(long, "identity"), (bomb, "gzip")] {
        let answer = move |_: &super::server::Request| {
            let answer = Reply::new(200, body.clone()).with("content-type", "application/x-amz-json-1.1");
            answer.with("content-encoding", encoding)
        };
        let server = aws_server(answer).await;
        let failure = failed(&aws(&imds, &server.url())).await;
        assert_eq!(failure.kind, FailureKind::Throttled, "{}", failure.text);
        assert!(failure.text.contains("is not the service's"), "{}", failure.text);
    }
}

#[test]
fn a_password_in_an_endpoint_or_a_proxy_is_not_shown() {
    for given in [
        "http://user:pa55word@aws.test",
        "https://:pa55word@aws.test/x",
        "ftp://user:pa55word@aws.test",
        "user:pa55word@aws",
    ] {
        let endpoints = Endpoints::read(|name| (name == "AWS_ENDPOINT_URL").then(|| given.to_owned()));
        let error = endpoints.unwrap_err().to_string();
        assert!(!error.contains("pa55word"), "{error}");
        let error = Metadata::new(given, &Resolver::system()).unwrap_err().to_string();
        assert!(!error.contains("pa55word"), "{error}");
    }
    for proxy in
        ["ftp://user:pa55word@proxy", "user:pa55word@proxy:1", "http://user:pa55word@", "http://user:pa55/word@proxy:x"]
    {
        let error = Settings::parse(&format!("aws: {{ proxy: \"{proxy}\" }}")).unwrap_err().to_string();
        assert!(!error.contains("pa55"), "{error}");
    }
}

#[tokio::test]
async fn a_password_of_the_proxy_is_in_no_error_of_a_call() {
    let imds = Imds::start().await;
    let refusing = Refusing::new();
    let settings = settings::Aws { proxy: format!("http://user:pa55word@{}", refusing.address()) };
    let aws = Aws::new(&settings, &imds.metadata(), network("http://aws.test:9")).unwrap();
    let failure = failed(&aws).await;
    assert!(!failure.text.contains("pa55word"), "{}", failure.text);
    let error = read_secret(&aws).await.unwrap_err();
    assert!(!format!("{error:?}").contains("pa55word"));
}
