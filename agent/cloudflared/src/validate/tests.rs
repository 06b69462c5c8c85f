use super::*;
use testing::fake::{Dir, alive, until};
use testing::{PATIENCE, missing};

const LONG: Duration = PATIENCE;

async fn verdict_of(body: &str, limit: Duration) -> (Dir, Result<(), ValidateError>) {
    let dir = Dir::new();
    let result = validate_ingress(&dir.script(body), &dir.join("config.yml"), limit).await;
    (dir, result)
}

#[tokio::test]
async fn a_good_configuration_passes() {
    let (dir, result) = verdict_of("echo \"$@\" > $D/argv; echo OK", LONG).await;
    result.unwrap();
    let expected = format!("tunnel --config {} ingress validate\n", dir.join("config.yml").display());
    assert_eq!(dir.read("argv"), expected);
}

#[tokio::test]
async fn a_refusal_comes_with_its_reason() {
    let (dir, result) =
        verdict_of("echo Validating rules from $3; echo \"$3: the last rule must match all URLs\" >&2; exit 1", LONG)
            .await;
    let ValidateError::Refused { config, reason } = result.unwrap_err() else { panic!("not refused") };
    assert_eq!(config, dir.join("config.yml"));
    assert_eq!(reason, format!("{}: the last rule must match all URLs", config.display()));

    let (_, result) = verdict_of("exit 5", LONG).await;
    assert!(result.unwrap_err().to_string().contains("exit status: 5; correct config_yaml"));
}

#[tokio::test]
async fn a_reason_is_bounded_and_holds_no_key() {
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let (_, result) = verdict_of(&format!("echo \"yaml: cannot use '{key}'.\" >&2; exit 1"), LONG).await;
    let text = result.unwrap_err().to_string();
    assert!(text.contains("cannot use '[redacted]'."), "{text}");

    let (_, result) = verdict_of("head -c 3000000 /dev/zero | tr '\\0' 'x ' >&2; exit 1", LONG).await;
    assert!(result.unwrap_err().to_string().len() < 600);
}

#[tokio::test]
async fn one_that_hangs_is_killed() {
    let limit = Duration::from_millis(200);
    // The second holds the outputs open too.
    let (dir, result) =
        verdict_of("trap '' TERM; echo $$ >> $D/pids; sleep 100 & echo $! >> $D/pids; wait", limit).await;
    assert!(matches!(result, Err(ValidateError::TimedOut { .. })), "{result:?}");
    until("both are gone", || dir.pids("pids").into_iter().all(|pid| !alive(pid))).await;
}

#[tokio::test]
async fn one_that_leaves_a_process_behind_is_not_waited_for() {
    let (dir, result) = verdict_of("sleep 100 & echo $! > $D/pids; exit 0", LONG).await;
    result.unwrap();
    until("it is gone", || !alive(dir.pids("pids")[0])).await;
}

#[tokio::test]
async fn a_missing_program_is_not_a_refusal() {
    let result = validate_ingress(&missing("cloudflared"), Path::new("/config.yml"), LONG).await;
    assert!(matches!(result, Err(ValidateError::NotSpawned(SpawnError::Missing { .. }))));
}
