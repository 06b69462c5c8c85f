use super::{OTHER_TUNNEL, SECRET, TUNNEL, config, credentials, payload};
use crate::{Bundle, Error, Found, Locked, Made, Policy, Store, Unusable};
use cflared_verdict::{Generation, Installed, VersionId};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};
use testing::Directory;

const ME: &str = "i-00000000000000001";
const MADE: Made<'static> = Made { instance: ME, environment: "dev", now: UNIX_EPOCH };

/// A config directory.
struct Dir(Directory);

impl Dir {
    fn new() -> Self {
        let dir = Directory::new();
        chmod(dir.path(), 0o755);
        Self(dir)
    }

    fn store(&self) -> Store {
        Store::open(self.0.path()).unwrap()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    fn found(&self) -> Found {
        self.store().installed(ME, Some("dev"))
    }

    /// Every path in it with what can be seen of it, times included.
    fn snapshot(&self) -> Vec<String> {
        fn walk(dir: &Path, into: &mut Vec<String>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let m = fs::symlink_metadata(&path).unwrap();
                let times = (m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec());
                into.push(format!("{} {} {:o} {times:?}", path.display(), m.ino(), m.mode()));
                if m.is_dir() {
                    walk(&path, into);
                }
            }
        }
        let mut all = Vec::new();
        walk(self.0.path(), &mut all);
        all.sort();
        all
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn bundle(dir: &Dir, version: &str, tunnel: &str) -> Bundle {
    let policy = Policy { config_dir: dir.0.path().into(), ..Policy::default() };
    Bundle::check(payload(version, &config(tunnel), &credentials(tunnel, SECRET)), &policy).unwrap()
}

fn publish(dir: &Dir, locked: &mut Locked, version: &str, tunnel: &str) -> Generation {
    let staged = locked.stage(&bundle(dir, version, tunnel), MADE).unwrap();
    locked.publish(staged).unwrap().generation
}

fn install(dir: &Dir, locked: &mut Locked, version: &str, tunnel: &str) -> Generation {
    let generation = publish(dir, locked, version, tunnel);
    locked.commit(generation).unwrap();
    generation
}

fn names(dir: PathBuf) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn whole(generation: u64, version: &str, tunnel: &str) -> Found {
    Found::Whole(Installed {
        generation: Generation(generation),
        version: VersionId(version.into()),
        tunnel: tunnel.into(),
    })
}

#[test]
fn what_is_installed_is_found_as_it_was_checked_and_only_after_the_commit() {
    let dir = Dir::new();
    let mut locked = dir.store().lock().unwrap();
    let bundle = bundle(&dir, "v1", TUNNEL);
    let now = UNIX_EPOCH + Duration::from_secs(1_795_000_000);
    let staged = locked.stage(&bundle, Made { now, ..MADE }).unwrap();
    assert_eq!(fs::read_to_string(staged.config_path()).unwrap(), bundle.config_yaml().expose());
    assert_eq!(dir.found(), Found::Nothing);
    let installed = locked.publish(staged).unwrap();
    assert_eq!(dir.found(), Found::Nothing);
    locked.commit(installed.generation).unwrap();
    assert_eq!(dir.found(), Found::Whole(installed.clone()));
    assert_eq!(dir.found(), whole(1, "v1", TUNNEL));

    let store = dir.store();
    let (config, credentials) = (store.config_path(Generation(1)), store.credentials_path(Generation(1), TUNNEL));
    assert_eq!(config, dir.at("generations/1/config.yml"));
    assert_eq!(fs::read_to_string(&credentials).unwrap(), bundle.credentials_json().expose());
    assert_eq!(fs::canonicalize(dir.at(&format!("{TUNNEL}.json"))).unwrap(), fs::canonicalize(credentials).unwrap());
    assert_eq!(fs::canonicalize(dir.at("config.yml")).unwrap(), fs::canonicalize(config).unwrap());
    let meta = fs::read_to_string(dir.at("generations/1/meta.json")).unwrap();
    for part in ["\"schema\": 1", "\"version\": \"v1\"", ME, "\"dev\"", TUNNEL, "\"2026-11-18T11:06:40Z\""] {
        assert!(meta.contains(part), "{part} in {meta}");
    }
    assert!(!meta.contains(&SECRET[..8]));
}

#[test]
fn the_services_of_a_generation_are_read_from_its_rules() {
    let dir = Dir::new();
    let generation = install(&dir, &mut dir.store().lock().unwrap(), "v1", TUNNEL);
    let services: Vec<_> = dir.store().services(generation).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(services, ["tcp://127.0.0.1:3306", "http_status:404"]);
    let config = dir.store().config_path(generation);
    for (text, said) in [("ingress: [", "YAML"), ("ingress: 1", "a list of rules"), ("tunnel: x", "ingress")] {
        fs::write(&config, text).unwrap();
        let error = dir.store().services(generation).unwrap_err().to_string();
        assert!(
            error.starts_with("failed to read the ingress rules of generation 1: ") && error.contains(said),
            "{error}"
        );
    }
    fs::remove_file(&config).unwrap();
    assert!(dir.store().services(generation).unwrap_err().to_string().contains("its config.yml is missing"));
    assert!(dir.store().services(Generation(9)).is_err());
}

#[test]
fn a_look_and_a_commit_with_nothing_new_touch_no_file() {
    let dir = Dir::new();
    let mut locked = dir.store().lock().unwrap();
    let generation = install(&dir, &mut locked, "v1", TUNNEL);
    let before = dir.snapshot();
    assert_eq!(dir.found(), whole(1, "v1", TUNNEL));
    locked.commit(generation).unwrap();
    assert_eq!(locked.prune(&[]).unwrap(), []);
    drop(locked);
    // The same process writes the same id.
    dir.store().lock().unwrap();
    assert_eq!(dir.snapshot(), before);
}

#[test]
fn the_next_version_leaves_the_one_to_go_back_to() {
    let dir = Dir::new();
    let mut locked = dir.store().lock().unwrap();
    install(&dir, &mut locked, "v1", TUNNEL);
    install(&dir, &mut locked, "v2", TUNNEL);
    let third = install(&dir, &mut locked, "v3", OTHER_TUNNEL);
    let fourth = publish(&dir, &mut locked, "v4", TUNNEL);
    assert_eq!(locked.prune(&[fourth]).unwrap(), [Generation(1)]);
    assert_eq!(names(dir.at("generations")), ["2", "3", "4"]);
    assert_eq!(dir.found(), whole(3, "v3", OTHER_TUNNEL));
    assert_eq!(
        names(dir.0.path().to_owned()),
        [".lock", &format!("{OTHER_TUNNEL}.json"), "config.yml", "current", "generations"]
    );

    let error = locked.discard(third).unwrap_err();
    assert!(matches!(error, Error::Current { generation: Generation(3) }), "{error}");
    locked.discard(fourth).unwrap();
    locked.discard(fourth).unwrap();
    assert_eq!(names(dir.at("generations")), ["2", "3"]);
    locked.commit(Generation(2)).unwrap();
    assert_eq!(dir.found(), whole(2, "v2", TUNNEL));
}

#[test]
fn what_a_killed_writer_left_is_removed_by_the_next() {
    let dir = Dir::new();
    install(&dir, &mut dir.store().lock().unwrap(), "v1", TUNNEL);
    for half in [".new-2", ".new-7", ".old-3"] {
        fs::create_dir(dir.at("generations").join(half)).unwrap();
        fs::write(dir.at("generations").join(half).join("config.yml"), "half").unwrap();
    }
    symlink("generations/2", dir.at(".current.new")).unwrap();
    symlink(format!("current/{OTHER_TUNNEL}.json"), dir.at(&format!("{OTHER_TUNNEL}.json"))).unwrap();
    let before = dir.found();
    let mut locked = dir.store().lock().unwrap();
    assert_eq!(dir.found(), before);
    assert_eq!(names(dir.at("generations")), ["1"]);
    assert_eq!(
        names(dir.0.path().to_owned()),
        [".lock", &format!("{TUNNEL}.json"), "config.yml", "current", "generations"]
    );

    drop(locked.stage(&bundle(&dir, "v2", TUNNEL), MADE).unwrap());
    assert_eq!(
        install(&dir, &mut locked, "v3", TUNNEL),
        Generation(2),
        "a bundle that was never published has no number"
    );
    assert_eq!(dir.found(), whole(2, "v3", TUNNEL));
}

/// Damages what is installed, and looks.
fn damaged(damage: impl Fn(&Dir)) -> Found {
    let dir = Dir::new();
    install(&dir, &mut dir.store().lock().unwrap(), "v1", TUNNEL);
    damage(&dir);
    let found = dir.found();
    let mut locked = dir.store().lock().unwrap();
    let healed = install(&dir, &mut locked, "v1", TUNNEL);
    locked.prune(&[]).unwrap();
    assert_eq!(dir.found(), whole(healed.0, "v1", TUNNEL), "installed anew, over {found:?}");
    found
}

#[test]
fn a_generation_that_is_not_whole_is_not_used_and_is_replaced() {
    let one = |file: &str| format!("generations/1/{file}");
    let json = format!("{TUNNEL}.json");
    type Case<'a> = (&'a str, &'a dyn Fn(&Dir), &'a str);
    let cases: [Case<'_>; 13] = [
        ("cut by a power cut", &|dir| fs::write(dir.at(&one("config.yml")), "tun").unwrap(), "config.yml was changed"),
        ("zeroed", &|dir| fs::write(dir.at(&one(&json)), [0; 150]).unwrap(), ".json was changed"),
        ("empty", &|dir| fs::write(dir.at(&one("meta.json")), "").unwrap(), "meta.json is not what"),
        ("without credentials", &|dir| fs::remove_file(dir.at(&one(&json))).unwrap(), ".json is missing"),
        ("without meta", &|dir| fs::remove_file(dir.at(&one("meta.json"))).unwrap(), "meta.json is missing"),
        ("gone", &|dir| fs::remove_dir_all(dir.at("generations/1")).unwrap(), "meta.json is missing"),
        ("open to others", &|dir| chmod(&dir.at(&one(&json)), 0o644), "open to others"),
        ("huge", &|dir| fs::write(dir.at(&one("config.yml")), vec![b'#'; 1 << 20]).unwrap(), "is longer"),
        (
            "of another form",
            &|dir| {
                let meta = fs::read_to_string(dir.at(&one("meta.json"))).unwrap();
                fs::write(dir.at(&one("meta.json")), meta.replace("\"schema\": 1", "\"schema\": 2")).unwrap();
            },
            "has the form 2",
        ),
        (
            "a copy under another number",
            &|dir| {
                fs::rename(dir.at("generations/1"), dir.at("generations/9")).unwrap();
                fs::remove_file(dir.at("current")).unwrap();
                symlink("generations/9", dir.at("current")).unwrap();
            },
            "is of another generation",
        ),
        (
            "a link to elsewhere",
            &|dir| {
                fs::rename(dir.at(&one("config.yml")), dir.at("elsewhere")).unwrap();
                symlink("../../elsewhere", dir.at(&one("config.yml"))).unwrap();
            },
            "config.yml cannot be read",
        ),
        (
            "a pipe that nobody writes to",
            &|dir| {
                fs::remove_file(dir.at(&one("config.yml"))).unwrap();
                nix::unistd::mkfifo(&dir.at(&one("config.yml")), nix::sys::stat::Mode::S_IRUSR).unwrap();
            },
            "config.yml is not a plain file",
        ),
        (
            "a tunnel that is a path",
            &|dir| {
                let meta = fs::read_to_string(dir.at(&one("meta.json"))).unwrap();
                fs::write(dir.at(&one("meta.json")), meta.replace(TUNNEL, "../../config")).unwrap();
            },
            "not a UUID",
        ),
    ];
    for (what, damage, says) in cases {
        let Found::Unusable { generation: Some(_), why } = damaged(damage) else { panic!("{what} is used") };
        assert!(why.to_string().contains(says) && why.to_string().contains("installed again"), "{what}: {why}");
    }
}

#[test]
fn a_current_that_is_not_ours_is_not_followed() {
    for target in ["/etc", "generations", "generations/1/../1", "generations/01", "../x/generations/1", "generations/"]
    {
        let found = damaged(|dir| {
            fs::remove_file(dir.at("current")).unwrap();
            symlink(target, dir.at("current")).unwrap();
        });
        assert_eq!(found, Found::Unusable { generation: None, why: Unusable::Current }, "{target}");
    }
    let found = damaged(|dir| {
        fs::remove_file(dir.at("current")).unwrap();
        fs::write(dir.at("current"), "").unwrap();
    });
    assert_eq!(found, Found::Unusable { generation: None, why: Unusable::Current });
}

#[test]
fn a_generation_of_another_instance_or_environment_is_not_used_and_does_not_stay() {
    let dir = Dir::new();
    install(&dir, &mut dir.store().lock().unwrap(), "v1", TUNNEL);
    let store = dir.store();
    let unusable = |why| Found::Unusable { generation: Some(Generation(1)), why };
    assert_eq!(store.installed("i-2", Some("dev")), unusable(Unusable::OtherInstance { instance: ME.into() }));
    assert_eq!(store.installed("i-2", None), unusable(Unusable::OtherInstance { instance: ME.into() }));
    assert_eq!(store.installed(ME, Some("prd")), unusable(Unusable::OtherEnvironment { environment: "dev".into() }));
    assert_eq!(store.installed(ME, None), whole(1, "v1", TUNNEL));

    let mut locked = store.lock().unwrap();
    let staged = locked.stage(&bundle(&dir, "v1", TUNNEL), Made { instance: "i-2", ..MADE }).unwrap();
    let installed = locked.publish(staged).unwrap();
    locked.commit(installed.generation).unwrap();
    assert_eq!(locked.prune(&[]).unwrap(), [Generation(1)], "the other instance's is nothing to go back to");
    assert_eq!(store.installed("i-2", Some("dev")), Found::Whole(installed));
}

#[test]
fn a_generation_that_breaks_a_rule_of_today_is_not_used() {
    let dir = Dir::new();
    let policy = |allow: &[&str]| Policy {
        config_dir: dir.0.path().into(),
        allow: allow.iter().copied().map(String::from).collect(),
        ..Policy::default()
    };
    let config = config(TUNNEL).replace("tcp://127.0.0.1:3306", "bastion");
    assert!(config.contains("bastion"), "{config}");
    let payload = payload("v1", &config, &credentials(TUNNEL, SECRET));
    let bundle = Bundle::check(payload, &policy(&["bastion"])).unwrap();
    let store = dir.store();
    let mut locked = store.lock().unwrap();
    let staged = locked.stage(&bundle, MADE).unwrap();
    let installed = locked.publish(staged).unwrap();
    locked.commit(installed.generation).unwrap();
    assert_eq!(store.usable(ME, Some("dev"), &policy(&["bastion"])), Found::Whole(installed));
    let Found::Unusable { generation: Some(Generation(1)), why: why @ Unusable::Rule(_) } =
        store.usable(ME, Some("dev"), &policy(&[]))
    else {
        panic!("it is used")
    };
    assert!(why.to_string().contains("open proxy"), "{why}");
}

#[test]
fn one_writer_at_a_time_and_the_second_learns_who_the_first_is() {
    let dir = Dir::new();
    let first = dir.store().lock().unwrap();
    let inode = fs::metadata(dir.at(".lock")).unwrap().ino();
    let error = dir.store().lock().unwrap_err();
    let Error::Busy { holder, .. } = &error else { panic!("{error}") };
    assert_eq!(*holder, Some(std::process::id()));
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    let inherited = Command::new("ls").args(["-l", "/proc/self/fd"]).output().unwrap().stdout;
    assert!(!String::from_utf8(inherited).unwrap().contains(".lock"), "a child has the lock");
    drop(first);
    drop(dir.store().lock().unwrap());
    let metadata = fs::metadata(dir.at(".lock")).unwrap();
    assert_eq!((metadata.ino(), metadata.mode() & 0o7777), (inode, 0o600));
}

#[test]
fn a_longer_process_id_leaves_no_rest() {
    let dir = Dir::new();
    fs::write(dir.at(".lock"), "4294967295\n").unwrap();
    let _locked = dir.store().lock().unwrap();
    assert_eq!(fs::read_to_string(dir.at(".lock")).unwrap(), format!("{}\n", std::process::id()));
}

#[test]
fn a_directory_that_is_not_ours_alone_is_refused_with_the_command_to_run() {
    let dir = Dir::new();
    chmod(dir.0.path(), 0o775);
    let error = Store::open(dir.0.path()).unwrap_err();
    assert!(matches!(error, Error::WritableByOthers { mode: 0o775, .. }) && error.to_string().contains("chmod go-w"));
    chmod(dir.0.path(), 0o755);

    // As root the directory is given away; as an ordinary user, root's own will do.
    let foreign = if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(dir.0.path(), Some(12_345), None).unwrap();
        dir.0.path().to_owned()
    } else {
        PathBuf::from("/usr")
    };
    let error = Store::open(&foreign).unwrap_err();
    let command = format!("chown -R {} {}", nix::unistd::geteuid(), foreign.display());
    assert!(matches!(error, Error::ForeignOwner { .. }) && error.to_string().contains(&command), "{error}");

    let error = Store::open(dir.at("missing")).unwrap_err();
    assert!(matches!(error, Error::NoDirectory { .. }) && error.to_string().contains("install -d"), "{error}");
}

#[test]
fn links_in_place_of_directories_and_files_are_not_followed() {
    let (dir, elsewhere) = (Dir::new(), Dir::new());
    symlink(elsewhere.0.path(), dir.at("link")).unwrap();
    let error = Store::open(dir.at("link")).unwrap_err();
    assert!(error.to_string().contains("a symbolic link, not a directory"), "{error}");

    symlink(elsewhere.at("file"), dir.at(".lock")).unwrap();
    let error = dir.store().lock().unwrap_err();
    assert!(error.to_string().contains("remove the symbolic link"), "{error}");
    fs::remove_file(dir.at(".lock")).unwrap();

    let store = dir.store();
    let mut locked = store.lock().unwrap();
    symlink(elsewhere.0.path(), dir.at("generations")).unwrap();
    fs::create_dir(elsewhere.at(".new-1")).unwrap();
    let error = locked.stage(&bundle(&dir, "v1", TUNNEL), MADE).unwrap_err();
    drop(locked);
    for error in [error, store.lock().unwrap_err(), Store::open(dir.0.path()).unwrap_err()] {
        assert!(matches!(error, Error::NotADirectory { .. }), "{error}");
    }
    assert_eq!(names(elsewhere.0.path().to_owned()), [".new-1"], "nothing was written or removed through the link");
}

#[test]
fn what_is_in_the_way_of_a_link_is_told_and_the_old_pair_stays() {
    let dir = Dir::new();
    let mut locked = dir.store().lock().unwrap();
    install(&dir, &mut locked, "v1", TUNNEL);
    fs::create_dir(dir.at(&format!("{OTHER_TUNNEL}.json"))).unwrap();
    let second = publish(&dir, &mut locked, "v2", OTHER_TUNNEL);
    for _ in 0..2 {
        let error = locked.commit(second).unwrap_err();
        assert!(error.to_string().contains("move what is there aside"), "{error}");
        assert_eq!(dir.found(), whole(1, "v1", TUNNEL));
    }
    fs::remove_dir(dir.at(&format!("{OTHER_TUNNEL}.json"))).unwrap();
    locked.commit(second).unwrap();
    assert_eq!(dir.found(), whole(2, "v2", OTHER_TUNNEL));
}

#[test]
fn a_generation_that_is_not_whole_is_not_committed() {
    let dir = Dir::new();
    let mut locked = dir.store().lock().unwrap();
    install(&dir, &mut locked, "v1", TUNNEL);
    let second = publish(&dir, &mut locked, "v2", TUNNEL);
    fs::remove_file(dir.store().config_path(second)).unwrap();
    let error = locked.commit(second).unwrap_err();
    assert!(error.to_string().contains("generation 2: its config.yml is missing"), "{error}");
    assert!(locked.commit(Generation(99)).is_err());
    assert_eq!(dir.found(), whole(1, "v1", TUNNEL));
}

#[test]
fn the_files_of_the_bootstrap_script_become_links_and_other_files_stay() {
    let dir = Dir::new();
    fs::write(dir.at("config.yml"), "written by the script").unwrap();
    fs::write(dir.at(&format!("{TUNNEL}.json")), "likewise").unwrap();
    fs::write(dir.at("notes.json"), "a person's").unwrap();
    symlink("notes.json", dir.at("more.json")).unwrap();
    let mut locked = dir.store().lock().unwrap();
    install(&dir, &mut locked, "v1", TUNNEL);
    locked.prune(&[]).unwrap();
    assert_eq!(fs::read_link(dir.at("config.yml")).unwrap(), Path::new("current/config.yml"));
    assert_eq!(fs::read_to_string(dir.at("more.json")).unwrap(), "a person's");
    assert_eq!(dir.found(), whole(1, "v1", TUNNEL));
}

#[test]
fn with_nothing_that_serves_nothing_is_pruned() {
    let dir = Dir::new();
    let mut locked = dir.store().lock().unwrap();
    publish(&dir, &mut locked, "v1", TUNNEL);
    assert_eq!(locked.prune(&[]).unwrap(), []);
    assert_eq!(names(dir.at("generations")), ["1"]);
}
