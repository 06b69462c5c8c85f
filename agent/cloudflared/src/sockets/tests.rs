use super::*;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use testing::fake::Dir;
use testing::until;

const US: u32 = 990;
const CHILD: u32 = 100;

/// A `/proc` of our own, in which we are the user [`US`].
struct Proc {
    dir: Dir,
    tables: BTreeMap<&'static str, String>,
}

impl Proc {
    fn new() -> Self {
        let dir = Dir::new();
        fs::create_dir_all(dir.join("self/net")).unwrap();
        Self { dir, tables: BTreeMap::from([("tcp", String::new()), ("tcp6", String::new())]) }
    }

    fn process(self, pid: u32, parent: u32, command: &str, sockets: &[u64]) -> Self {
        let fd = self.dir.join(&format!("{pid}/fd"));
        fs::create_dir_all(&fd).unwrap();
        fs::write(self.dir.join(&format!("{pid}/stat")), format!("{pid} ({command}) S {parent} 1 1 0 -1")).unwrap();
        fs::write(self.dir.join(&format!("{pid}/comm")), format!("{command}\n")).unwrap();
        symlink("/dev/null", fd.join("0")).unwrap();
        for (number, inode) in (3..).zip(sockets) {
            symlink(format!("socket:[{inode}]"), fd.join(number.to_string())).unwrap();
        }
        self
    }

    /// A process whose descriptors we may not see.
    fn private(self, pid: u32, parent: u32) -> Self {
        let proc = self.process(pid, parent, "private", &[]);
        fs::remove_dir_all(proc.dir.join(&format!("{pid}/fd"))).unwrap();
        fs::write(proc.dir.join(&format!("{pid}/fd")), "").unwrap();
        proc
    }

    fn socket(mut self, table: &'static str, local: &str, state: &str, uid: u32, inode: u64) -> Self {
        let line = format!(
            "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  {uid}        0 {inode} 1 0\n"
        );
        self.tables.get_mut(table).unwrap().push_str(&line);
        self
    }

    fn listens(self, uid: u32, inode: u64) -> Self {
        self.socket("tcp", "0100007F:07D0", "0A", uid, inode)
    }

    fn ask(&self, address: &str, child: Option<u32>) -> Listener {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
        for (name, lines) in &self.tables {
            fs::write(self.dir.join("self/net").join(name), format!("{head}{lines}")).unwrap();
        }
        let sockets = Sockets { proc: self.dir.join(""), uid: Uid::from_raw(US) };
        sockets.listener(address.parse().unwrap(), child)
    }

    fn port_2000(&self) -> Listener {
        self.ask("127.0.0.1:2000", Some(CHILD))
    }
}

fn stranger(process: Option<(u32, &str)>, uid: u32) -> Listener {
    Listener::Stranger(Stranger { process: process.map(|(pid, command)| (pid, command.into())), uid })
}

#[test]
fn our_child_and_its_descendants_are_ours() {
    let child = || Proc::new().process(CHILD, 1, "cloudflared", &[7]);
    assert_eq!(child().port_2000(), Listener::Nobody);
    assert_eq!(child().listens(US, 7).port_2000(), Listener::Ours);
    let wrapped = || Proc::new().process(CHILD, 1, "sh", &[]).process(101, CHILD, "a ) S 1 b", &[]);
    let grandchild = wrapped().process(102, 101, "cloudflared", &[7]);
    assert_eq!(grandchild.listens(US, 7).port_2000(), Listener::Ours);
}

#[test]
fn a_stranger_is_named_as_far_as_it_is_seen() {
    let child = || Proc::new().process(CHILD, 1, "cloudflared", &[6]);
    assert_eq!(child().process(55, 1, "nc", &[5, 7]).listens(1001, 7).port_2000(), stranger(Some((55, "nc")), 1001));
    assert_eq!(child().process(55, 1, "nc", &[7]).listens(US, 7).port_2000(), stranger(Some((55, "nc")), US));
    assert_eq!(child().listens(65534, 7).port_2000(), stranger(None, 65534));
    let odd = child().process(55, 1, "n\u{1b}[2Jc", &[7]).listens(US, 7).port_2000();
    assert_eq!(odd, stranger(Some((55, "n?[2Jc")), US));
    assert_eq!(Stranger { process: None, uid: 7 }.to_string(), "a process of another user (uid 7)");
    assert_eq!(Stranger { process: Some((5, "nc".into())), uid: 7 }.to_string(), "nc (pid 5, uid 7)");
}

#[test]
fn what_is_hidden_proves_nothing() {
    // Of our user, and in nobody's hands that we may look into.
    assert_eq!(Proc::new().process(CHILD, 1, "cloudflared", &[6]).listens(US, 7).port_2000(), Listener::Unclear);
    // The child's descriptors are hidden: even another user's socket may be its.
    assert_eq!(Proc::new().private(CHILD, 1).listens(0, 7).port_2000(), Listener::Unclear);
    assert_eq!(
        Proc::new().process(CHILD, 1, "sh", &[]).private(101, CHILD).listens(0, 7).port_2000(),
        Listener::Unclear
    );
    // The child is hidden, or gone.
    assert_eq!(Proc::new().listens(0, 7).port_2000(), Listener::Unclear);
    // But somebody else is seen to hold it.
    assert_eq!(Proc::new().process(55, 1, "nc", &[7]).listens(US, 7).port_2000(), stranger(Some((55, "nc")), US));
    // No table.
    let proc = Proc::new().process(CHILD, 1, "cloudflared", &[7]);
    let sockets = Sockets { proc: proc.dir.join(""), uid: Uid::from_raw(US) };
    assert_eq!(sockets.listener("127.0.0.1:2000".parse().unwrap(), Some(CHILD)), Listener::Unclear);
}

#[test]
fn only_what_takes_connections_to_the_address_counts() {
    let child = || Proc::new().process(CHILD, 1, "cloudflared", &[7]);
    for (table, local, state, address) in [
        ("tcp", "0100007F:07D0", "01", "127.0.0.1:2000"),
        ("tcp", "0100007F:07D1", "0A", "127.0.0.1:2000"),
        ("tcp", "0200007F:07D0", "0A", "127.0.0.1:2000"),
        ("tcp", "00000000:07D0", "0A", "[::1]:2000"),
        ("tcp6", "00000000000000000000000001000000:07D0", "0A", "127.0.0.1:2000"),
    ] {
        assert_eq!(
            child().socket(table, local, state, US, 7).ask(address, Some(CHILD)),
            Listener::Nobody,
            "{local} {state}"
        );
    }
    for (table, local, address) in [
        ("tcp", "00000000:07D0", "127.0.0.1:2000"),
        ("tcp6", "00000000000000000000000000000000:07D0", "127.0.0.1:2000"),
        ("tcp6", "00000000000000000000000000000000:07D0", "[::1]:2000"),
        ("tcp6", "0000000000000000FFFF00000100007F:07D0", "127.0.0.1:2000"),
        ("tcp6", "00000000000000000000000001000000:07D0", "[::1]:2000"),
    ] {
        assert_eq!(child().socket(table, local, "0A", US, 7).ask(address, Some(CHILD)), Listener::Ours, "{local}");
    }
    // The nearer one gets the connection.
    let both = child().socket("tcp", "00000000:07D0", "0A", 1001, 8).listens(US, 7);
    assert_eq!(both.port_2000(), Listener::Ours);
    let other = child().socket("tcp", "00000000:07D0", "0A", US, 7).listens(1001, 8);
    assert_eq!(other.port_2000(), stranger(None, 1001));
}

#[test]
fn garbage_in_a_table_is_passed_over() {
    for line in ["", "\n\n", "0: xyz", "0: 0100007F:07D0", "0: 0100007F 0 0A", "0: é100007F:07D0 0 0A 0 0 0 0 0 7"] {
        assert_eq!(listening(line), None, "{line}");
    }
}

#[tokio::test]
async fn this_kernel_shows_who_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sockets = Sockets::default();
    assert_eq!(sockets.listener(address, Some(std::process::id())), Listener::Ours);
    let mut other = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    let seen = sockets.listener(address, Some(other.id()));
    other.kill().unwrap();
    other.wait().unwrap();
    let Listener::Stranger(Stranger { process: Some((pid, _)), uid }) = seen else { panic!("{seen:?}") };
    assert_eq!((pid, uid), (std::process::id(), geteuid().as_raw()));
    drop(listener);
    // A child that another test has just forked keeps a copy until it executes its program.
    until("nobody listens", || sockets.listener(address, Some(std::process::id())) == Listener::Nobody).await;
}
