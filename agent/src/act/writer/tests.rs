use super::*;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use testing::PATIENCE;
use testing::{Directory, run, until};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn heard(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

/// A socket that systemd would listen on.
fn systemd(directory: &Directory) -> (UnixDatagram, Notifier) {
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    (socket, Notifier::to(path.as_os_str(), Some(Duration::from_secs(60))).unwrap())
}

#[test]
fn a_state_is_on_disk_when_it_is_acknowledged() {
    run(async {
        let directory = Directory::new();
        let writer = Writer::start(directory.path(), Notifier::default()).unwrap();
        let path = directory.path().join(STATE_FILE);
        for round in 0..20 {
            writer.state(format!("{round}").into_bytes()).await.unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), round.to_string());
        }
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
    });
}

#[test]
fn the_last_of_many_statuses_is_what_stays() {
    run(async {
        let directory = Directory::new();
        let writer = Writer::start(directory.path(), Notifier::default()).unwrap();
        for round in 0..1000 {
            writer.status(format!("{round}").into_bytes());
        }
        writer.close().await;
        let path = directory.path().join(STATUS_FILE);
        assert_eq!(fs::read_to_string(&path).unwrap(), "999");
        assert_eq!(mode(&path), 0o644);
        assert_eq!(writer.state(Vec::new()).await, Err(Error::Closed));
    });
}

#[test]
fn a_reader_never_sees_half_a_file_and_the_file_is_a_new_one_each_time() {
    run(async {
        let directory = Directory::new();
        let writer = Writer::start(directory.path(), Notifier::default()).unwrap();
        let path = directory.path().join(STATE_FILE);
        writer.state(vec![b'0'; 100_000]).await.unwrap();
        let mut first = fs::File::open(&path).unwrap();
        let reader = {
            let path = path.clone();
            std::thread::spawn(move || {
                for _ in 0..500 {
                    let seen = fs::read(&path).unwrap();
                    assert_eq!(seen.len(), 100_000);
                    assert!(seen.iter().all(|byte| *byte == seen[0]), "two writes are mixed");
                }
            })
        };
        for round in 0..100 {
            writer.state(vec![b'0' + round % 10; 100_000]).await.unwrap();
        }
        reader.join().unwrap();
        let mut held = Vec::new();
        first.read_to_end(&mut held).unwrap();
        assert_eq!(held, vec![b'0'; 100_000], "who had the first one open still reads it");
    });
}

#[test]
fn a_missing_directory_is_made_and_a_leftover_is_replaced() {
    run(async {
        let directory = Directory::new();
        let runtime = directory.path().join("run");
        let writer = Writer::start(&runtime, Notifier::default()).unwrap();
        writer.state(b"1".to_vec()).await.unwrap();
        assert_eq!(fs::metadata(&runtime).unwrap().permissions().mode() & 0o777 & !0o755, 0);
        fs::write(runtime.join("state.json.tmp"), "half").unwrap();
        fs::set_permissions(runtime.join("state.json.tmp"), fs::Permissions::from_mode(0o666)).unwrap();
        writer.state(b"2".to_vec()).await.unwrap();
        assert_eq!(fs::read_to_string(runtime.join(STATE_FILE)).unwrap(), "2");
        assert_eq!(mode(&runtime.join(STATE_FILE)), 0o600);
        assert_eq!(writer.trouble(), Trouble::default());
    });
}

#[test]
fn what_cannot_be_written_is_told_counted_and_recovers() {
    run(async {
        let directory = Directory::new();
        let runtime = directory.path().join("run");
        fs::write(&runtime, "a file where the directory should be").unwrap();
        let writer = Writer::start(&runtime, Notifier::default()).unwrap();
        for _ in 0..3 {
            let error = writer.state(b"1".to_vec()).await.unwrap_err().to_string();
            assert!(error.contains("state.json: Not a directory") && error.contains("agent's user"), "{error}");
        }
        assert_eq!(writer.trouble().failures, 3);
        assert!(writer.trouble().current.unwrap().contains("Not a directory"));
        fs::remove_file(&runtime).unwrap();
        writer.state(b"2".to_vec()).await.unwrap();
        assert_eq!(writer.trouble(), Trouble { failures: 3, current: None });
    });
}

#[test]
fn systemd_hears_each_notice_and_a_status_only_when_it_changed() {
    run(async {
        let directory = Directory::new();
        let (socket, notifier) = systemd(&directory);
        assert_eq!(notifier.watchdog_period(), Some(Duration::from_secs(30)));
        let writer = Writer::start(directory.path(), notifier).unwrap();
        writer.notify(Notice::ExtendTimeout(Duration::from_secs(30)));
        assert_eq!(heard(&socket), "EXTEND_TIMEOUT_USEC=30000000\n");
        writer.notify(Notice::Status("waiting for\nREADY=1 the tag".into()));
        assert_eq!(heard(&socket), "STATUS=waiting for READY=1 the tag\n");
        writer.notify(Notice::Status("waiting for\nREADY=1 the tag".into()));
        writer.notify(Notice::Ready);
        assert_eq!(heard(&socket), "READY=1\n", "the same status is not said twice");
        writer.notify(Notice::Watchdog);
        assert_eq!(heard(&socket), "WATCHDOG=1\n");
        writer.notify(Notice::Status("registered".into()));
        assert_eq!(heard(&socket), "STATUS=registered\n");
        writer.notify(Notice::Stopping);
        writer.close().await;
        assert_eq!(heard(&socket), "STOPPING=1\n");
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut [0; 16]).is_err(), "nothing else was sent");
    });
}

#[test]
fn a_systemd_that_does_not_read_costs_neither_the_state_nor_the_notice() {
    run(async {
        let directory = Directory::new();
        let (socket, notifier) = systemd(&directory);
        let filler = UnixDatagram::unbound().unwrap();
        filler.set_nonblocking(true).unwrap();
        let mut filled = 0;
        while filler.send_to(b"X", directory.path().join("notify")).is_ok() {
            filled += 1;
        }
        let writer = Writer::start(directory.path(), notifier).unwrap();
        writer.notify(Notice::Ready);
        until("the notice failed", || writer.trouble().failures > 0).await;
        assert!(writer.trouble().current.unwrap().contains("failed to notify systemd"));
        writer.state(b"1".to_vec()).await.unwrap();
        for _ in 0..filled {
            assert_eq!(heard(&socket), "X");
        }
        assert_eq!(heard(&socket), "READY=1\n", "it is offered again");
        until("the trouble is over", || writer.trouble().current.is_none()).await;
    });
}

#[test]
fn an_abstract_socket_is_understood_and_a_relative_one_refused() {
    run(async {
        use std::os::linux::net::SocketAddrExt;
        let directory = Directory::new();
        // Nobody else has the directory, so nobody has this name either.
        let name = directory.path().display().to_string();
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let notifier = Notifier::to(format!("@{name}").as_ref(), None).unwrap();
        assert_eq!(notifier.watchdog_period(), None);
        let writer = Writer::start(directory.path(), notifier).unwrap();
        writer.notify(Notice::Ready);
        assert_eq!(heard(&socket), "READY=1\n");
        assert!(Notifier::to("run/notify".as_ref(), None).is_err());
    });
}

/// The environment is the process's, so this test looks at one of its own.
#[test]
fn the_environment_names_the_socket_and_the_watchdog() {
    let directory = Directory::new();
    let (socket, _) = systemd(&directory);
    let child = || {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--ignored", "--exact", "act::writer::tests::child_says_what_it_found_in_the_environment"]);
        child.env_remove("WATCHDOG_PID");
        child
    };
    let status =
        child().env("NOTIFY_SOCKET", directory.path().join("notify")).env("WATCHDOG_USEC", "60000000").output();
    assert!(status.unwrap().status.success());
    assert_eq!(heard(&socket), "STATUS=Some(30s)\n");
    let alone = child().env_remove("NOTIFY_SOCKET").env("WATCHDOG_USEC", "60000000").output();
    assert!(alone.unwrap().status.success(), "without a socket all is a no-op");
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 16]).is_err());
}

#[test]
#[ignore = "run by the_environment_names_the_socket_and_the_watchdog"]
fn child_says_what_it_found_in_the_environment() {
    run(async {
        let directory = Directory::new();
        let notifier = Notifier::from_env().unwrap();
        let watchdog = format!("{:?}", notifier.watchdog_period());
        let writer = Writer::start(directory.path(), notifier).unwrap();
        writer.notify(Notice::Status(watchdog));
        writer.close().await;
        assert_eq!(writer.trouble(), Trouble::default());
    });
}
