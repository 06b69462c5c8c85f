//! Stands in for a name server (RFC 1035, over UDP): hosts, services and texts that it is given, and trouble on command.
//!
//! It is for tests that hand their resolver the server's address; who reads `/etc/resolv.conf` needs port 53.

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::UdpSocket;

/// How long an answer may be remembered, in seconds.
const TTL: u32 = 60;
/// The service that cloudflared looks its edge up by.
pub const EDGE_SERVICE: &str = "_v2-origintunneld._tcp.argotunnel.com.";
/// The text that tells cloudflared with which protocol to begin (read in 2026.8.2: `edgediscovery/protocol.go`). Without
/// it, `auto` begins with HTTP/2.
pub const PROTOCOL_SHARES: &str = "protocol-v2.argotunnel.com.";
/// The hosts of [`EDGE_SERVICE`].
const REGIONS: [&str; 2] = ["region1.v2.argotunnel.com.", "region2.v2.argotunnel.com."];

/// What a name server can do instead of answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Says that it could not find out.
    ServFail,
    /// Says that there is no such name.
    NxDomain,
    /// Says that there is such a name, and nothing of what is asked for.
    Empty,
    /// Says nothing.
    Silent,
    /// Says what is no DNS.
    Garbage,
}

/// A running name server. A clone is the same one; it ends with the runtime that it was started on.
#[derive(Clone)]
pub struct Dns {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    records: BTreeMap<Name, Vec<RData>>,
    everywhere: Option<Trouble>,
    troubles: BTreeMap<Name, Trouble>,
    asked: Vec<(String, RecordType)>,
}

impl Dns {
    /// Starts one that knows no name. Port 0 is a free port.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn start(listen: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(listen).await?;
        let this = Self { address: socket.local_addr()?, state: Arc::default() };
        tokio::spawn(this.clone().serve(socket));
        Ok(this)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives a host its addresses.
    ///
    /// # Panics
    /// `name` is no name.
    pub fn host(&self, name: &str, addresses: &[IpAddr]) {
        let record = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => RData::A(A(*ip)),
            IpAddr::V6(ip) => RData::AAAA(AAAA(*ip)),
        };
        self.lock().records.insert(parse(name), addresses.iter().map(record).collect());
    }

    /// Gives a service its hosts and ports, the first to be tried first.
    ///
    /// # Panics
    /// A name is no name.
    pub fn service(&self, name: &str, hosts: &[(&str, u16)]) {
        let record = |(place, (host, port)): (u16, &(&str, u16))| RData::SRV(SRV::new(place, 1, *port, parse(host)));
        self.lock().records.insert(parse(name), (1..).zip(hosts).map(record).collect());
    }

    /// Gives a name a text.
    ///
    /// # Panics
    /// `name` is no name.
    pub fn text(&self, name: &str, text: &str) {
        self.lock().records.insert(parse(name), vec![RData::TXT(TXT::new(vec![text.to_owned()]))]);
    }

    /// Knows an edge as Cloudflare's name servers know theirs: the service, its two hosts with the addresses in turn, and that
    /// connectors begin with QUIC. The port is the first address' one.
    pub fn edge(&self, addresses: &[SocketAddr]) {
        let port = addresses.first().map_or(7844, SocketAddr::port);
        self.service(EDGE_SERVICE, &REGIONS.map(|region| (region, port)));
        for (number, region) in REGIONS.into_iter().enumerate() {
            let ips: Vec<_> = addresses.iter().skip(number).step_by(REGIONS.len()).map(SocketAddr::ip).collect();
            self.host(region, &ips);
        }
        self.text(PROTOCOL_SHARES, r#"[{"protocol":"quic","percentage":100},{"protocol":"http2","percentage":0}]"#);
    }

    /// Has it answer every question so; `None`: as it should.
    pub fn set(&self, trouble: Option<Trouble>) {
        self.lock().everywhere = trouble;
    }

    /// Has it answer every question about one name so; `None`: as it should.
    ///
    /// # Panics
    /// `name` is no name.
    pub fn set_for(&self, name: &str, trouble: Option<Trouble>) {
        let name = parse(name);
        match trouble {
            Some(trouble) => self.lock().troubles.insert(name, trouble),
            None => self.lock().troubles.remove(&name),
        };
    }

    /// What was asked, in order.
    pub fn asked(&self) -> Vec<(String, RecordType)> {
        self.lock().asked.clone()
    }

    async fn serve(self, socket: UdpSocket) {
        let mut packet = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut packet).await {
            if let Some(answer) = self.answer(&packet[..length]) {
                // Who asked may be gone.
                let _ = socket.send_to(&answer, from).await;
            }
        }
    }

    fn answer(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let question = Message::from_vec(packet).ok()?;
        let query = question.queries.first()?.clone();
        let mut state = self.lock();
        state.asked.push((query.name.to_ascii(), query.query_type));
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        answer.metadata.recursion_desired = question.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        let known = state.records.get(&query.name);
        let code = match state.everywhere.or_else(|| state.troubles.get(&query.name).copied()) {
            Some(Trouble::Silent) => return None,
            Some(Trouble::Garbage) => return Some(b"no such service\n".to_vec()),
            Some(Trouble::ServFail) => ResponseCode::ServFail,
            Some(Trouble::NxDomain) => ResponseCode::NXDomain,
            Some(Trouble::Empty) => ResponseCode::NoError,
            None if known.is_none() => ResponseCode::NXDomain,
            None => {
                let fitting = known.into_iter().flatten().filter(|data| data.record_type() == query.query_type);
                answer.add_answers(fitting.map(|data| Record::from_rdata(query.name.clone(), TTL, data.clone())));
                ResponseCode::NoError
            }
        };
        answer.metadata.response_code = code;
        answer.to_vec().ok()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(name: &str) -> Name {
    let mut name = Name::from_ascii(name).expect("a test's name is a name");
    name.set_fqdn(true);
    name
}
