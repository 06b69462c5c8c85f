use super::{Destination, Forbids};
use crate::{Process, command};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use testing::fake::Dir;

/// What a shell (bash, which connects by itself) says of its tries to connect to those addresses, and what the fence was asked.
async fn tried(
    script: &str,
    forbids: impl Fn(&Destination) -> bool + Send + Sync + 'static,
) -> (Vec<String>, Vec<Destination>) {
    let dir = Dir::new();
    let asked = Arc::new(Mutex::new(vec![]));
    let noted = asked.clone();
    let forbids = Forbids::all(move |to| {
        noted.lock().unwrap().push(to.clone());
        forbids(to)
    });
    let script = format!("exec bash -c '{script}' >$D/said 2>&1");
    let mut process = Process::spawn_fenced(command(&dir.script(&script)), forbids).await.unwrap();
    process.exited().await;
    process.reap().await.unwrap();
    let said = dir.read("said").lines().map(String::from).collect();
    let asked = asked.lock().unwrap().clone();
    (said, asked)
}

#[tokio::test]
async fn the_child_connects_where_it_may_and_nowhere_else() {
    let (open, shut) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (open_at, shut_at) = (open.local_addr().unwrap(), shut.local_addr().unwrap());
    let connect =
        |to: SocketAddr| format!("if echo hello >/dev/tcp/{}/{}; then echo connected; fi; ", to.ip(), to.port());
    let script = connect(open_at) + &connect(shut_at) + &connect(open_at);
    let (said, asked) = tried(&script, move |to| *to == Destination::Address(shut_at)).await;
    // The shell may look for a name service before, at a socket.
    let addresses: Vec<_> = asked.into_iter().filter(|to| matches!(to, Destination::Address(_))).collect();
    assert_eq!(addresses, [open_at, shut_at, open_at].map(Destination::Address), "{said:?}");
    assert_eq!(said.iter().filter(|line| *line == "connected").count(), 2, "{said:?}");
    assert!(said.iter().any(|line| line.contains("Permission denied")), "{said:?}");
    shut.set_nonblocking(true).unwrap();
    assert_eq!(shut.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_socket_of_this_host_is_asked_for_too() {
    let dir = Dir::new();
    let [open_at, shut_at] = ["open.sock", "shut.sock"].map(|name| dir.join(name));
    let (_open, shut) = (UnixListener::bind(&open_at).unwrap(), UnixListener::bind(&shut_at).unwrap());
    let connect = |to: &std::path::Path| {
        format!(
            "python3 -c \"import socket; socket.socket(socket.AF_UNIX).connect(\\\"{}\\\"); print(\\\"connected\\\")\"; ",
            to.display()
        )
    };
    let forbidden = Destination::Socket(shut_at.clone());
    let (said, asked) = tried(&(connect(&shut_at) + &connect(&open_at)), move |to| *to == forbidden).await;
    // Python may look for a name service as well.
    let ours: Vec<_> = asked
        .iter()
        .filter(|to| [&open_at, &shut_at].iter().any(|at| **to == Destination::Socket((*at).clone())))
        .collect();
    assert_eq!(ours.len(), 2, "{asked:?} {said:?}");
    assert_eq!(said.iter().filter(|line| *line == "connected").count(), 1, "{said:?}");
    assert!(said.iter().any(|line| line.contains("Permission denied")), "{said:?}");
    shut.set_nonblocking(true).unwrap();
    assert_eq!(shut.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn an_address_is_read_as_the_kernel_does() {
    use super::parse;
    let four = [&2u16.to_ne_bytes()[..], &[0x1f, 0x90, 169, 254, 169, 254], &[0; 8]].concat();
    assert_eq!(parse(&four), Some(Destination::Address("169.254.169.254:8080".parse().unwrap())));
    let six = [&10u16.to_ne_bytes()[..], &[0, 80, 0, 0, 0, 0], &[0xfd, 0, 0x0e, 0xc2], &[0; 10], &[2, 0x54], &[0; 4]]
        .concat();
    assert_eq!(parse(&six), Some(Destination::Address("[fd00:ec2::254]:80".parse().unwrap())));
    let unix = |name: &[u8]| parse(&[&1u16.to_ne_bytes()[..], name].concat());
    for (name, path) in [(&b"/run/x.sock\0\0rest"[..], "/run/x.sock"), (b"/run/x.sock", "/run/x.sock"), (b"\0a", "@a")]
    {
        assert_eq!(unix(name), Some(Destination::Socket(path.into())));
    }
    assert_eq!(unix(b""), None);
    assert_eq!(unix(b"\0"), None);
    assert_eq!(parse(&[&16u16.to_ne_bytes()[..], &[0; 10]].concat()), None);
    assert_eq!(parse(&four[..7]), None);
}
