//! The disk: full, read-only, somebody else's, half written, or another agent's.

use crate::bad_input::{assert_ended, bootstrap, files, installed, is_root, said, wait_told, whole};
use bundle::Found;
use cflared_tests::world::{Agent, Host, Payload, SECRET, TUNNEL, World, eventually};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::process::Command;

const SETTINGS_OWNER: u32 = 65_534;

async fn world() -> anyhow::Result<(World, Host)> {
    let (world, mut host) = World::with_host().await?;
    host.set("secret.poll_interval", "1s");
    Ok((world, host))
}

/// Puts a good new version there, and waits until it serves.
async fn hand_over(world: &World, agent: &mut Agent) -> anyhow::Result<Value> {
    let version = world.aws.put_secret(SECRET, &Payload::default().text());
    agent.wait_status("the new version", |status| status["installed"]["version"] == version.as_str()).await
}

async fn shell(script: &str) -> anyhow::Result<()> {
    let output = Command::new("sh").args(["-ec", script]).output().await?;
    anyhow::ensure!(output.status.success(), "{script}: {}", said(&output));
    Ok(())
}

/// The words of a program that gives the agent a mount namespace of its own, in which `script` has run; none if this
/// machine does not allow that.
async fn private_mounts(script: &str) -> Option<Vec<String>> {
    let unshare = if is_root() { "--mount" } else { "--mount --map-root-user" };
    let words = |script: &str| -> Vec<String> {
        let unshare = unshare.split(' ').map(String::from);
        let shell = ["sh", "-ec", script, "sh"].map(String::from);
        ["unshare".to_owned()].into_iter().chain(unshare).chain(shell).collect()
    };
    let probe = words("mount -t tmpfs none /mnt");
    let allowed = Command::new(&probe[0]).args(&probe[1..]).output().await.is_ok_and(|output| output.status.success());
    if !allowed {
        println!("this machine allows no mount namespace: what needs one is tried by other means only");
    }
    allowed.then(|| words(&format!("{script}\nexec \"$@\"")))
}

/// A path as that process sees it.
fn seen_by(pid: u32, path: &Path) -> PathBuf {
    Path::new(&format!("/proc/{pid}/root")).join(path.strip_prefix("/").unwrap())
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 512]).is_ok() {}
}

#[tokio::test]
async fn a_full_disk_keeps_what_serves_and_is_told_until_there_is_room() -> anyhow::Result<()> {
    let (world, mut host) = world().await?;
    let dir = host.config_dir();
    let at = dir.display();
    let full = format!(
        "mount -t tmpfs -o size=256k,mode=0700 none '{at}'\nhead -c 1M /dev/zero >'{at}/filler' 2>/dev/null || true"
    );
    let Some(launcher) = private_mounts(&full).await else { return Ok(()) };
    host.launcher = launcher;
    let mut agent = host.start()?;
    let filler = seen_by(agent.pid(), &dir.join("filler"));
    let told = ["No space left on device", "free space on that file system"];
    let status = wait_told(&mut agent, &told).await?;
    assert_eq!(status["installed"], Value::Null);
    fs::remove_file(&filler)?;
    let before = agent.wait_health("registered").await?;

    let registered = world.edge.now();
    fill(&filler);
    world.aws.put_secret(SECRET, &Payload::default().text());
    let status = wait_told(&mut agent, &told).await?;
    assert_eq!(status["connectors"][0]["pid"], before["connectors"][0]["pid"]);
    assert_eq!(status["installed"], before["installed"]);
    fs::remove_file(&filler)?;
    agent.wait_status("the new version", |status| status["installed"]["generation"] == 2).await?;
    world.edge.never_zero_between(TUNNEL, registered, world.edge.now()).unwrap();
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_limit_on_file_sizes_is_lived_through_too() -> anyhow::Result<()> {
    let (_world, mut host) = world().await?;
    // Not even the status can be written: only systemd hears of it. A signal that is ignored stays so in the agent.
    let limited = "trap '' XFSZ; ulimit -S -f 0; exec \"$@\"";
    host.launcher = ["sh", "-ec", limited, "sh"].map(String::from).to_vec();
    let mut agent = host.start()?;
    let told = ["File too large", "raise the limit on file sizes"];
    eventually("the cause for systemd", async || {
        agent.notices().iter().any(|notice| told.iter().all(|part| notice.contains(part))).then_some(())
    })
    .await?;
    shell(&format!("prlimit --pid {} --fsize=unlimited", agent.pid())).await?;
    let status = agent.wait_health("registered").await?;
    assert!(status["counters"]["host_writes_failed"].as_u64() > Some(0), "{status}");
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn what_is_installed_runs_from_a_read_only_disk() -> anyhow::Result<()> {
    let (world, mut host) = world().await?;
    assert_ended(&bootstrap(&host, "60s").await?, 0, &["installed generation 1"]);
    let at = host.config_dir().display().to_string();
    let mounted = private_mounts(&format!("mount --bind '{at}' '{at}'\nmount -o remount,bind,ro '{at}'")).await;
    let by_mode = mounted.is_none();
    if by_mode {
        assert!(!is_root(), "root writes whatever the mode says");
        fs::set_permissions(host.config_dir(), fs::Permissions::from_mode(0o500))?;
    }
    host.launcher = mounted.unwrap_or_default();
    let mut agent = host.start()?;
    let before = agent.wait_health("registered").await?;
    let registered = world.edge.now();
    world.aws.put_secret(SECRET, &Payload::default().text());
    let told =
        if by_mode { ["Permission denied", "let the agent's user"] } else { ["Read-only file system", "remount it"] };
    let status = wait_told(&mut agent, &told).await?;
    assert_eq!(status["connectors"][0]["pid"], before["connectors"][0]["pid"]);
    assert_eq!(whole(&host).generation.0, 1);

    if by_mode {
        fs::set_permissions(host.config_dir(), fs::Permissions::from_mode(0o700))?;
    } else {
        let namespaces = if is_root() { "--mount" } else { "--user --preserve-credentials --mount" };
        shell(&format!("nsenter --target {} {namespaces} mount -o remount,bind,rw '{at}'", agent.pid())).await?;
    }
    agent.wait_status("the new version", |status| status["installed"]["generation"] == 2).await?;
    world.edge.never_zero_between(TUNNEL, registered, world.edge.now()).unwrap();
    assert!(agent.stop().await?.success());
    Ok(())
}

async fn foreign_directory() -> anyhow::Result<()> {
    let (_world, mut host) = world().await?;
    if !is_root() {
        // Root's: another user cannot give anything away.
        host.set("paths.config_dir", "/usr/share");
        assert_ended(&bootstrap(&host, "60s").await?, 75, &["belongs to user 0", "run `chown -R"]);
        return Ok(());
    }
    let dir = host.config_dir();
    chown(&dir, Some(SETTINGS_OWNER), None)?;
    let mut agent = host.start()?;
    wait_told(&mut agent, &["belongs to user 65534, and the agent runs as user 0", "run `chown -R 0"]).await?;
    assert_eq!(fs::read_dir(&dir)?.count(), 0);
    chown(&dir, Some(0), None)?;
    agent.wait_health("registered").await?;
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_directory_that_is_missing_or_open_to_others_or_somebody_elses_is_told_and_mended_live() -> anyhow::Result<()>
{
    tokio::try_join!(missing_directory(), open_directory(), foreign_directory()).map(drop)
}

async fn missing_directory() -> anyhow::Result<()> {
    let (_world, host) = world().await?;
    let dir = host.config_dir();
    fs::remove_dir(&dir)?;
    let missing = ["it does not exist", "create it for the agent's user"];
    assert_ended(&bootstrap(&host, "60s").await?, 75, &missing);
    let mut agent = host.start()?;
    wait_told(&mut agent, &missing).await?;
    fs::create_dir(&dir)?;
    agent.wait_health("registered").await?;
    assert!(agent.stop().await?.success());
    Ok(())
}

async fn open_directory() -> anyhow::Result<()> {
    let (_world, host) = world().await?;
    let dir = host.config_dir();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777))?;
    let mut agent = host.start()?;
    let open = ["others may write to it (mode 0777)", "run `chmod go-w"];
    wait_told(&mut agent, &open).await?;
    assert_ended(&bootstrap(&host, "60s").await?, 75, &open);
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
    agent.wait_health("registered").await?;
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn root_installs_as_the_owner_of_the_directory() -> anyhow::Result<()> {
    if !is_root() {
        println!("only root can drop to another user: not tried");
        return Ok(());
    }
    let (world, mut host) = world().await?;
    // The owner has to get there, and to cloudflared.
    fs::set_permissions(host.directory(), fs::Permissions::from_mode(0o755))?;
    let binary = host.directory().join("cloudflared");
    // By another process: a child that this one forks meanwhile would keep the file open for writing, and so unfit to run.
    let from = host.settings["connector"]["binary"].as_str().unwrap();
    assert!(std::process::Command::new("cp").arg(from).arg(&binary).status()?.success());
    host.set("connector.binary", binary.to_str().unwrap());
    chown(host.config_dir(), Some(SETTINGS_OWNER), Some(SETTINGS_OWNER))?;
    assert_ended(&bootstrap(&host, "60s").await?, 0, &["installed generation 1"]);
    for path in files(&host.config_dir()).keys() {
        let metadata = fs::symlink_metadata(path)?;
        assert_eq!((metadata.uid(), metadata.gid()), (SETTINGS_OWNER, SETTINGS_OWNER), "{}", path.display());
        if metadata.is_file() {
            assert_eq!(metadata.mode() & 0o777, 0o600, "{}", path.display());
        }
    }
    assert_ended(&bootstrap(&host, "60s").await?, 0, &["nothing new: generation 1"]);
    world.aws.put_secret(SECRET, &Payload::default().text());
    assert_ended(&bootstrap(&host, "60s").await?, 0, &["installed generation 2"]);
    Ok(())
}

#[tokio::test]
async fn what_an_older_script_left_is_replaced_by_links() -> anyhow::Result<()> {
    let (_world, host) = world().await?;
    let credentials = format!("{TUNNEL}.json");
    for name in ["config.yml", &credentials] {
        fs::write(host.config_dir().join(name), "of the old script")?;
    }
    assert_ended(&bootstrap(&host, "60s").await?, 0, &["installed generation 1"]);
    for name in ["config.yml", &credentials] {
        assert_eq!(fs::read_link(host.config_dir().join(name))?, Path::new("current").join(name));
    }
    Ok(())
}

#[tokio::test]
async fn a_name_that_is_taken_is_told_and_fills_no_disk() -> anyhow::Result<()> {
    let (_world, host) = world().await?;
    let current = host.config_dir().join("current");
    fs::create_dir(&current)?;
    let told = ["failed to link", "current", "move what is there aside"];
    assert_ended(&bootstrap(&host, "60s").await?, 75, &told);
    let mut agent = host.start()?;
    // The tunnel serves all the same: the bundle is whole, and only its link is not there.
    agent.wait_health("registered").await?;
    for _ in 0..4 {
        let read_at = wait_told(&mut agent, &told).await?["secret"]["read_at"].clone();
        agent.wait_status("another read", |status| status["secret"]["read_at"] != read_at).await?;
    }
    let generations = fs::read_dir(host.config_dir().join("generations"))?.count();
    assert!(generations <= 3, "{generations} generations");
    fs::remove_dir(&current)?;
    agent.wait_status("no trouble left", |status| status["trouble"].is_null()).await?;
    eventually("a link", async || matches!(installed(&host), Found::Whole(_)).then_some(())).await?;
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_runtime_directory_that_cannot_be_written_to_costs_the_status_and_no_more() -> anyhow::Result<()> {
    let (world, mut host) = world().await?;
    let runtime = host.directory().join("in-the-way");
    fs::write(&runtime, "")?;
    host.set("paths.runtime_dir", runtime.to_str().unwrap());
    let mut agent = host.start()?;
    agent.wait_notice("READY=1").await?;
    agent.wait_notice("STATUS=registered").await?;
    assert_ended(&host.run(["status"]).await?, 2, &["failed to read the status"]);
    fs::remove_file(&runtime)?;
    fs::create_dir(&runtime)?;
    // The next change is written again.
    world.edge.outage().await?;
    eventually("a status", async || runtime.join("status.json").exists().then_some(())).await?;
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_state_that_cannot_be_read_is_left_behind() -> anyhow::Result<()> {
    for garbage in [&b"{"[..], b"", b"[]", &[0xff; 4096], br#"{"schema": 99}"#] {
        let (_world, host) = world().await?;
        fs::write(host.runtime_dir().join("state.json"), garbage)?;
        fs::write(host.runtime_dir().join("status.json"), garbage)?;
        let mut agent = host.start()?;
        agent.wait_health("registered").await?;
        agent.wait_log("saved state not used").await?;
        assert!(agent.stop().await?.success());
    }
    Ok(())
}

#[tokio::test]
async fn half_a_generation_is_cleared_away_and_a_damaged_one_installed_anew() -> anyhow::Result<()> {
    let (_world, host) = world().await?;
    assert_ended(&bootstrap(&host, "60s").await?, 0, &["installed generation 1"]);
    let generations = host.config_dir().join("generations");
    // What a killed writer leaves, on its two ways; and a file that a power cut or a hand has cut short.
    for left in [".new-2", ".old-1"] {
        fs::create_dir(generations.join(left))?;
        fs::write(generations.join(left).join("config.yml"), "tunnel: half")?;
    }
    symlink("generations/2", host.config_dir().join(".current.new"))?;
    fs::write(generations.join("1/config.yml"), "tunnel: half")?;
    assert!(matches!(installed(&host), Found::Unusable { .. }));

    let mut agent = host.start()?;
    agent.wait_log("was changed after it was installed").await?;
    let status = agent.wait_health("registered").await?;
    assert_eq!(status["installed"]["generation"], 2);
    assert!(agent.stop().await?.success());
    assert_eq!(whole(&host).generation.0, 2);
    assert_eq!(leftovers(&host), Vec::<PathBuf>::new());
    Ok(())
}

/// What a writer gave a name of its own and did not take away again.
fn leftovers(host: &Host) -> Vec<PathBuf> {
    let hidden = |path: &PathBuf| path.file_name().unwrap().as_encoded_bytes().starts_with(b".");
    let all = files(&host.config_dir()).into_keys();
    all.filter(|path| hidden(path) && !path.ends_with(".lock")).collect()
}

#[tokio::test]
async fn a_bundle_of_another_instance_or_environment_is_never_started() -> anyhow::Result<()> {
    let (mut world, host) = world().await?;
    let mut copy = world.host().await?;
    copy.set("secret.poll_interval", "1s");
    assert_ended(&bootstrap(&host, "60s").await?, 0, &["installed generation 1"]);
    // The copied image: this instance's files are those of the other.
    let (from, to) = (host.config_dir(), copy.config_dir());
    shell(&format!("cp -a '{}/.' '{}'", from.display(), to.display())).await?;
    world.aws.plant(cflared_tests::http::faults::Trouble::Denied.on("GetSecretValue"));
    let mut agent = copy.start()?;
    agent.wait_log(&format!("it was installed by {}, not by this instance", host.id)).await?;
    let status = wait_told(&mut agent, &["access denied"]).await?;
    assert_eq!(status["connectors"], serde_json::json!([]), "nothing is better than the other instance's");
    world.aws.clear_faults();
    let status = agent.wait_health("registered").await?;
    assert_eq!(status["installed"]["generation"], 2);
    assert!(agent.stop().await?.success());

    // Now its own, and the environment is another one.
    world.aws.put_secret("/adventive/cloudflared/stg", &Payload::default().text());
    copy.imds.edit(|instance| instance.set_tag("adv:env", "stg"));
    let output = bootstrap(&copy, "60s").await?;
    assert_ended(&output, 0, &["it was installed for the environment dev", "installed generation 3"]);
    Ok(())
}

#[tokio::test]
async fn a_second_agent_leaves_at_once_and_touches_nothing_of_the_first() -> anyhow::Result<()> {
    let (world, mut host) = world().await?;
    host.set("secret.poll_interval", "1h");
    let mut agent = host.start()?;
    agent.wait_health("registered").await?;
    let holder = format!("process {} holds it", agent.pid());
    let state: Value = serde_json::from_slice(&fs::read(host.runtime_dir().join("state.json"))?)?;

    assert_ended(&host.run(["run"]).await?, 75, &[&holder, "a running agent installs a new version by itself"]);
    assert_eq!(agent.status()["agent"]["pid"], agent.pid());
    let after: Value = serde_json::from_slice(&fs::read(host.runtime_dir().join("state.json"))?)?;
    assert_eq!(after["restarts"], state["restarts"]);

    // A bootstrap beside it may look, and finds nothing to do.
    let before = files(&host.config_dir());
    assert_ended(&bootstrap(&host, "60s").await?, 0, &["nothing new: generation 1"]);
    assert_eq!(files(&host.config_dir()), before);
    world.aws.put_secret(SECRET, &Payload::default().text());
    assert_ended(&bootstrap(&host, "60s").await?, 75, &[&holder]);
    assert_eq!(files(&host.config_dir()), before);
    assert_eq!(agent.health(), "registered");
    assert!(agent.stop().await?.success());
    assert_ended(&bootstrap(&host, "60s").await?, 0, &["installed generation 2"]);
    Ok(())
}

#[tokio::test]
async fn a_second_bootstrap_touches_no_file() -> anyhow::Result<()> {
    let (world, host) = world().await?;
    assert_ended(&bootstrap(&host, "60s").await?, 0, &["installed generation 1"]);
    let before = files(&host.config_dir());
    world.aws.requests().forget();
    for _ in 0..3 {
        assert_ended(&bootstrap(&host, "60s").await?, 0, &["nothing new: generation 1"]);
    }
    assert_eq!(files(&host.config_dir()), before);
    assert_eq!(world.aws.requests().count(""), 3, "{:?}", world.aws.requests().all());
    Ok(())
}

#[tokio::test]
async fn a_killed_agent_leaves_a_whole_bundle_at_every_moment() -> anyhow::Result<()> {
    const MOMENTS: u32 = 20;
    let (world, host) = world().await?;
    assert_ended(&bootstrap(&host, "60s").await?, 0, &["installed generation 1"]);
    let mut seen = std::collections::BTreeSet::new();
    // Twice as long as a start and an install take here and now.
    let began = Instant::now();
    let mut agent = host.start()?;
    hand_over(&world, &mut agent).await?;
    let longest = began.elapsed().clamp(Duration::from_millis(100), Duration::from_millis(700)) * 2;
    agent.crash().await?;
    for moment in 1..=MOMENTS {
        world.aws.put_secret(SECRET, &Payload::default().text());
        let mut agent = host.start()?;
        if moment < MOMENTS {
            tokio::time::sleep(longest * moment / MOMENTS).await;
        } else {
            // On a machine that has become slow meanwhile, this is the only one that comes after an install.
            hand_over(&world, &mut agent).await?;
        }
        agent.crash().await?;
        let found = whole(&host);
        assert!(!agent.log_text().contains("installed bundle not used"), "{}", agent.log_text());
        seen.insert(found.version);
    }
    println!("killed at {MOMENTS} moments of {longest:?}; {} different versions were found whole", seen.len());
    assert!(seen.len() > 1, "some were killed after an install, or nothing was tried");
    let mut agent = host.start()?;
    hand_over(&world, &mut agent).await?;
    agent.wait_health("registered").await?;
    assert!(agent.stop().await?.success());
    assert_eq!(leftovers(&host), Vec::<PathBuf>::new());
    Ok(())
}

#[tokio::test]
async fn a_killed_bootstrap_leaves_a_whole_bundle_at_every_moment() -> anyhow::Result<()> {
    const MOMENTS: u32 = 20;
    let (world, host) = world().await?;
    let began = Instant::now();
    assert_ended(&bootstrap(&host, "60s").await?, 0, &["installed generation 1"]);
    let longest = began.elapsed() * 2;
    let mut seen = std::collections::BTreeSet::new();
    for moment in 1..=MOMENTS {
        world.aws.put_secret(SECRET, &Payload::default().text());
        let mut killed = host.command()?.arg("bootstrap").stdout(std::process::Stdio::null()).spawn()?;
        // Whatever the machine does meanwhile, one comes to its end.
        if moment < MOMENTS {
            tokio::time::sleep(longest * moment / MOMENTS).await;
            killed.start_kill()?;
        }
        killed.wait().await?;
        seen.insert(whole(&host).version);
    }
    println!("killed at {MOMENTS} moments of {longest:?}; {} different versions were found whole", seen.len());
    assert!(seen.len() > 1, "some were killed after an install, or nothing was tried");
    world.aws.put_secret(SECRET, &Payload::default().text());
    assert_ended(&bootstrap(&host, "60s").await?, 0, &["installed generation"]);
    assert_eq!(leftovers(&host), Vec::<PathBuf>::new());
    Ok(())
}
