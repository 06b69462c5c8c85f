//! What is no edge sits on the edge's port: neither the agent nor cloudflared breaks, and the tunnel comes with the edge.

use crate::support::{STARTED, lines_with};
use cflared_tests::anew;
use cflared_tests::edge::{Conduct, Rule, What};
use cflared_tests::world::{World, eventually};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

/// What it answers with, each in turn.
const ANSWERS: [&[u8]; 8] = [
    b"",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    // TLS: a fatal alert, a record of no known kind, the longest record that can be said, the half of a server's hello.
    &[21, 3, 3, 0, 2, 2, 40],
    &[99, 3, 3, 0, 1, 0],
    &[22, 3, 3, 0xff, 0xff, 2, 0, 0, 0],
    &[22, 3, 3, 0, 0x7a, 2, 0, 0, 0x76, 3, 3],
    // HTTP/2 without TLS: SETTINGS, and a frame longer than any may be.
    &[0, 0, 0, 4, 0, 0, 0, 0, 0],
    &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1],
];

/// Serves nonsense at the edge's addresses, and counts whom.
struct Hostile {
    served: [Arc<AtomicUsize>; 2],
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Hostile {
    async fn sit_at(addresses: &[SocketAddr]) -> anyhow::Result<Self> {
        let served = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
        let mut tasks = vec![];
        for address in addresses {
            let (listener, socket) = (anew::listener(*address).await?, UdpSocket::from_std(anew::socket(*address)?)?);
            let [tcp, udp] = served.clone();
            tasks.push(tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let answer = ANSWERS[tcp.fetch_add(1, Ordering::Relaxed) % ANSWERS.len()];
                    tokio::spawn(async move {
                        let _ = stream.read(&mut [0; 4096]).await;
                        let _ = stream.write_all(answer).await;
                        let _ = stream.shutdown().await;
                        while let Ok(1..) = stream.read(&mut [0; 4096]).await {}
                    });
                }
            }));
            tasks.push(tokio::spawn(async move {
                let mut packet = [0; 2048];
                while let Ok((length, from)) = socket.recv_from(&mut packet).await {
                    let number = udp.fetch_add(1, Ordering::Relaxed);
                    // What was sent, garbled: a packet that says that it is of the connection.
                    packet[number % length.max(1)] ^= 0xff;
                    let _ = socket.send_to(&packet[..length], from).await;
                    let _ = socket.send_to(ANSWERS[number % ANSWERS.len()], from).await;
                }
            }));
        }
        Ok(Self { served, tasks })
    }

    async fn leaves(self) {
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
    }
}

fn speak(host: &mut cflared_tests::world::Host, protocol: &str) {
    let arguments = host.settings["connector"]["extra_args"].as_array_mut().expect("there are some");
    let said = arguments.iter().position(|argument| argument == "--protocol").expect("a protocol is named");
    arguments[said + 1] = Value::from(protocol);
}

#[tokio::test]
async fn nonsense_on_the_port_of_the_edge() -> anyhow::Result<()> {
    for protocol in ["http2", "quic"] {
        let (world, mut host) = World::with_host().await?;
        speak(&mut host, protocol);
        world.edge.set(Conduct::Refuse).await?;
        let hostile = Hostile::sit_at(&world.edge.addresses()).await?;
        let mut agent = host.start()?;
        let [tcp, udp] = hostile.served.clone();
        // The connector's tries, and the agent's probes of both.
        eventually("nonsense to be had over both", async || {
            let served = [&tcp, &udp].map(|served| served.load(Ordering::Relaxed));
            (served[0] >= 2 * ANSWERS.len() && served[1] >= 4).then_some(())
        })
        .await?;
        assert!(world.edge.events().is_empty(), "the edge was not there");
        hostile.leaves().await;
        world.edge.set(Conduct::Accept).await?;
        agent.wait_health("registered").await?;
        assert!(agent.stop().await?.success(), "{}", agent.log_text());
    }
    Ok(())
}

/// Behind a good handshake the control stream carries what is no message, or one that is hostile.
#[tokio::test]
async fn nonsense_on_the_control_stream() -> anyhow::Result<()> {
    // Over HTTP/2 cloudflared exits at the first of them, and is started again ever more seldom.
    for (protocol, enough) in [("http2", 3), ("quic", 8)] {
        let (world, mut host) = World::with_host().await?;
        speak(&mut host, protocol);
        world.edge.add_rule(Rule { conduct: Conduct::Garbage, ..Rule::default() });
        let mut agent = host.start()?;
        let garbled = || {
            let events = world.edge.events().into_iter();
            events.filter(|event| event.what == What::TurnedAway("garbage")).count()
        };
        eventually("connections to be garbled", async || (garbled() >= enough).then_some(())).await?;
        world.edge.clear_rules();
        agent.wait_health("registered").await?;
        assert!(lines_with(&agent, STARTED) >= 1);
        assert!(agent.stop().await?.success(), "{}", agent.log_text());
    }
    Ok(())
}
