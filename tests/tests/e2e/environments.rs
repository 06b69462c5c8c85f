//! One image for all environments: what differs is the tag, the role and the environment's own drop-in. With IAM enforced, an instance
//! writes to its own environment alone.

use cflared_tests::aws::{Credentials, DEFAULT_REGION, Group, Policy};
use cflared_tests::documents::{Documents, repository};
use cflared_tests::world::{Agent, Host, Payload, World, eventually, venv};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use tokio::process::Command;

const ENVIRONMENTS: [&str; 2] = ["dev", "prd"];

/// Which calls are denied, by the environment that they are made to.
type Denied = BTreeMap<String, BTreeMap<String, bool>>;

/// A world in which both environments are there, each with one instance of the same image and a role of its own.
async fn world() -> anyhow::Result<(World, Vec<Host>)> {
    let mut world = World::new().await?;
    let mut hosts = vec![];
    for environment in ENVIRONMENTS {
        let secret = format!("/adventive/cloudflared/{environment}");
        // Of the first version the label moves on to the second: both stages are there.
        world.aws.put_secret(&secret, &Payload::default().text());
        world.aws.put_secret(&secret, &Payload::default().text());
        for log in ["agent", "cloudflared"] {
            world.aws.make_log_group(&format!("/adventive/cloudflared/{environment}/{log}"));
        }
        let documents = Documents::render_for(environment)?;
        let policies = ["iam/agent", "iam/host"].map(|name| documents.json(name));
        let policies: Vec<Policy> =
            policies.into_iter().map(|policy| Ok(serde_json::from_value(policy?)?)).collect::<anyhow::Result<_>>()?;
        world.aws.trust_role(Credentials::made_up(environment), policies);
        let host = world.host().await?;
        host.imds.edit(|instance| {
            instance.set_tag("adv:env", environment);
            instance.credentials = Credentials::made_up(environment);
        });
        hosts.push(host);
    }
    let mut group = Group::new("adv-cflared-prd", [hosts[1].id.as_str()]);
    group.grace_period_ms = 0;
    world.aws.edit_group("adv-cflared-dev", |group| drop(group.instances.remove(&hosts[1].id)));
    world.aws.put_group(group);
    Ok((world, hosts))
}

/// The environment's own settings, as user data writes them.
fn drop_in(host: &Host, settings: &Value) -> anyhow::Result<()> {
    let directory = host.directory().join("agent.d");
    fs::create_dir(&directory)?;
    Ok(fs::write(directory.join("50-environment.yml"), settings.to_string())?)
}

/// Has the CloudWatch agent's settings filled in, as before each of its starts.
async fn fill(host: &Host) -> anyhow::Result<PathBuf> {
    let (template, into) =
        (repository().join("imagebuilder/cloudwatch-agent.json"), host.directory().join("cloudwatch.json"));
    let filled = host.command()?.args(["bootstrap", "--fill"]).arg(template).arg("--into").arg(&into).output().await?;
    anyhow::ensure!(filled.status.success(), "{}", String::from_utf8_lossy(&filled.stderr));
    Ok(into)
}

/// Does to each environment what an instance does to its own, with the keys of one of them.
async fn as_role(world: &World, environment: &str, hosts: &[Host], filled: &[PathBuf]) -> anyhow::Result<Denied> {
    let keys = Credentials::made_up(environment);
    let to = ENVIRONMENTS.iter().zip(hosts).zip(filled);
    let to = to.map(|((environment, host), filled)| format!("{environment},{},{}", host.id, filled.display()));
    let told = Command::new(venv("python"))
        .arg(repository().join("tests/tests/contract/environments.py"))
        .arg(format!("http://{}", world.aws_address()))
        .args(to)
        .env_clear()
        .env("AWS_ACCESS_KEY_ID", keys.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", keys.secret_access_key)
        .env("AWS_SESSION_TOKEN", keys.session_token.unwrap_or_default())
        .env("AWS_DEFAULT_REGION", DEFAULT_REGION)
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .await?;
    anyhow::ensure!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    Ok(serde_json::from_slice(&told.stdout)?)
}

#[tokio::test]
async fn a_role_reaches_its_own_environment_and_none_of_another_s() -> anyhow::Result<()> {
    let (world, hosts) = world().await?;
    let mut filled = vec![];
    for host in &hosts {
        filled.push(fill(host).await?);
    }
    for own in ENVIRONMENTS {
        let denied = as_role(&world, own, &hosts, &filled).await?;
        for (environment, calls) in denied {
            assert_eq!(calls.len(), 10, "{calls:?}");
            for (call, denied) in calls {
                let allowed = environment == own && !["secret of another stage", "a log group"].contains(&&*call);
                assert_eq!(denied, !allowed, "{own}'s role, {call} of {environment}");
            }
        }
    }
    // What they were denied was not done.
    let logged = world.aws.log_events();
    assert_eq!(logged.len(), 4, "{logged:?}");
    for (environment, host) in ENVIRONMENTS.iter().zip(&hosts) {
        let own = format!("/adventive/cloudflared/{environment}/");
        assert!(logged.iter().all(|event| event.group.starts_with(&own) == (event.stream == host.id)), "{logged:?}");
    }
    Ok(())
}

#[tokio::test]
async fn one_image_booted_as_dev_and_as_prd_writes_to_its_own_alone() -> anyhow::Result<()> {
    let (world, hosts) = world().await?;
    drop_in(&hosts[1], &json!({ "mode": "dry_run" }))?;
    let mut agents: Vec<Agent> = hosts.iter().map(Host::start).collect::<anyhow::Result<_>>()?;
    for agent in &mut agents {
        agent.wait_health("registered").await?;
    }
    let namespaces = |environment: &str| {
        let by = Credentials::made_up(environment).access_key_id;
        let points = world.aws.datapoints();
        points.into_iter().filter(|point| point.by == by).map(|point| point.namespace).collect::<BTreeSet<_>>()
    };
    for (environment, host) in ENVIRONMENTS.iter().zip(&hosts) {
        let own = BTreeSet::from([format!("Cflared/{environment}")]);
        let reported = async || Some(namespaces(environment)).filter(|found| !found.is_empty());
        assert_eq!(eventually("datapoints", reported).await?, own);
        let written = fs::read_to_string(fill(host).await?)?;
        assert!(written.contains(&format!("/adventive/cloudflared/{environment}/agent")), "{written}");
        assert!(!written.contains("{env}"), "{written}");
    }
    // A dry run in prd alone.
    let dry_runs: Vec<Value> = agents.iter().map(|agent| agent.status()["dry_run"].clone()).collect();
    assert_eq!(dry_runs, [false, true]);
    for agent in &mut agents {
        assert!(agent.stop().await?.success());
    }
    assert!(agents.iter().all(|agent| !agent.log_text().contains("access denied")));
    Ok(())
}

#[tokio::test]
async fn a_file_is_filled_when_the_tag_is_there_and_not_before() -> anyhow::Result<()> {
    let (_world, host) = World::with_host().await?;
    let (template, into) = (host.directory().join("template"), host.directory().join("filled"));
    fs::write(&template, "{env} and {env}, not {instance_id}\n")?;
    let fill = |timeout: &str| {
        let mut command = host.command()?;
        command.args(["bootstrap", "--timeout", timeout, "--fill"]).arg(&template).arg("--into").arg(&into);
        anyhow::Ok(command)
    };
    host.imds.edit(|instance| instance.remove_tag("adv:env"));
    let ended = fill("1s")?.output().await?;
    assert_eq!(ended.status.code(), Some(75), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(!into.exists());

    let waiting = fill("1h")?.stdout(std::process::Stdio::piped()).spawn()?;
    host.imds.edit(|instance| instance.set_tag("adv:env", "stg"));
    let ended = waiting.wait_with_output().await?;
    assert!(ended.status.success());
    assert_eq!(fs::read_to_string(&into)?, "stg and stg, not {instance_id}\n");

    host.imds.edit(|instance| instance.set_tag("adv:env", "No/Name"));
    assert_eq!(fill("1h")?.output().await?.status.code(), Some(78));
    fs::remove_file(&template)?;
    let ended = fill("1h")?.output().await?;
    assert_eq!(ended.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("failed to read the template"));
    assert_eq!(fs::read_to_string(&into)?, "stg and stg, not {instance_id}\n", "it stays as it was");
    Ok(())
}

#[tokio::test]
async fn a_wrong_drop_in_ends_every_command_with_its_name() -> anyhow::Result<()> {
    let (_world, host) = World::with_host().await?;
    drop_in(&host, &json!({ "observe": { "intervall": "5s" } }))?;
    for command in ["run", "bootstrap", "status"] {
        let ended = host.run([command]).await?;
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(78), "{command}: {said}");
        assert!(said.contains("agent.d/50-environment.yml") && said.contains("observe.intervall"), "{said}");
    }
    Ok(())
}
