//! A connector that does what a test tells it, over either transport.

use super::super::{Edge, Order, Transport, Who, orders};
use super::DEADLINE;
use crate::tunnelrpc::configuration::{Applied, Push};
use crate::tunnelrpc::duplex::{Incoming, Outgoing};
use crate::tunnelrpc::registration::{self, Answer, Client, Registration, Request};
use crate::tunnelrpc::streams::{self, ALPN, Kind};
use crate::tunnelrpc::{Call, Callee, Caller, Failure, Struct, headers};
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use quinn::crypto::rustls::QuicClientConfig;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The tunnel of every connector.
pub(super) const TUNNEL: &str = "6ff42ae2-765d-4adf-8112-31c55c1551ef";
const CONNECTOR: [u8; 16] = [0xc0; 16];
/// How long nothing has to come to be called nothing.
const SILENCE: Duration = Duration::from_millis(700);

type Reading = Box<dyn AsyncRead + Send + Unpin>;
type Writing = Box<dyn AsyncWrite + Send + Unpin>;

/// A handshake that succeeded.
pub(super) enum Handshake {
    Http2(Box<TlsStream<TcpStream>>),
    Quic(quinn::Endpoint, quinn::Connection),
}

/// A connection with its control stream.
pub(super) struct Connector {
    control: Caller<Reading, Writing>,
    below: Below,
}

enum Below {
    Http2 { requests: mpsc::UnboundedReceiver<(http::Request<RecvStream>, SendResponse<Bytes>)> },
    Quic { _endpoint: quinn::Endpoint, connection: quinn::Connection },
}

/// What comes of connecting and registering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Registered,
    Rejected(String),
    /// Nobody is there.
    Refused,
    Reset,
    Closed,
    /// Over QUIC, with that code.
    ClosedWith(u64),
    /// Nothing came.
    Unanswered,
    /// What came is no protocol.
    Garbled,
}

/// Who every connector is.
pub(super) fn who() -> Who {
    let connector = uuid::Uuid::from_bytes(CONNECTOR).to_string();
    Who { tunnel: TUNNEL.into(), connector, index: 0 }
}

/// Connects and registers, and says what came of it.
pub(super) async fn fate(edge: &Edge, transport: Transport) -> Fate {
    let tried = async {
        let mut connector = match Connector::connect(edge, transport).await {
            Ok(connector) => connector,
            Err(error) => return of_error(&error),
        };
        match connector.register().await {
            Ok(Answer::Registered(_)) => Fate::Registered,
            Ok(Answer::Refused(refusal)) => Fate::Rejected(refusal.cause),
            Err(failure) => connector.why(failure).await,
        }
    };
    tokio::time::timeout(SILENCE, tried).await.unwrap_or(Fate::Unanswered)
}

fn of_error(error: &io::Error) -> Fate {
    let said = error.to_string();
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Fate::Refused,
        io::ErrorKind::ConnectionReset => Fate::Reset,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected => Fate::Closed,
        io::ErrorKind::InvalidData => Fate::Garbled,
        _ if said.contains("CONNECTION_REFUSED") || said.contains("refused") => Fate::Refused,
        _ => panic!("unexpected: {error:?}"),
    }
}

impl Connector {
    /// TLS or QUIC, and nothing more.
    pub(super) async fn handshake(edge: &Edge, transport: Transport, name: &str) -> io::Result<Handshake> {
        let address = edge.addresses()[0];
        let file = edge.arguments().pop().unwrap();
        match transport {
            Transport::Http2 => {
                let stream = TcpStream::connect(address).await?;
                let tls = TlsConnector::from(Arc::new(trusting(&file, &[])));
                let name = ServerName::try_from(name.to_owned()).unwrap();
                Ok(Handshake::Http2(Box::new(tls.connect(name, stream).await?)))
            }
            Transport::Quic => {
                let crypto = QuicClientConfig::try_from(trusting(&file, &[ALPN])).unwrap();
                let endpoint = quinn::Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0)))?;
                let config = quinn::ClientConfig::new(Arc::new(crypto));
                let connecting = endpoint.connect_with(config, address, name).unwrap();
                Ok(Handshake::Quic(endpoint, connecting.await?))
            }
        }
    }

    /// A connection that is not registered yet.
    pub(super) async fn connect(edge: &Edge, transport: Transport) -> io::Result<Self> {
        let name = if transport == Transport::Quic { streams::SERVER_NAME } else { "h2.cftunnel.com" };
        match Self::handshake(edge, transport, name).await? {
            Handshake::Http2(stream) => Self::over_http2(*stream).await,
            Handshake::Quic(endpoint, connection) => {
                let (send, receive) = connection.open_bi().await?;
                let control = Caller::new(Box::new(receive) as Reading, Box::new(send) as Writing);
                Ok(Connector { control, below: Below::Quic { _endpoint: endpoint, connection } })
            }
        }
    }

    async fn over_http2(stream: TlsStream<TcpStream>) -> io::Result<Self> {
        let of = |error: h2::Error| match error.is_io() {
            true => error.into_io().unwrap(),
            false => io::Error::new(io::ErrorKind::InvalidData, error),
        };
        let mut connection = h2::server::handshake(stream).await.map_err(of)?;
        let (request, mut respond) = match connection.accept().await {
            Some(request) => request.map_err(of)?,
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        assert_eq!(request.headers()[headers::UPGRADE], headers::CONTROL_STREAM);
        let send = respond.send_response(http::Response::new(()), false).map_err(of)?;
        let (pass, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            // It ends with the connection, or with the connector.
            while let Some(Ok(request)) = tokio::select! {
                request = connection.accept() => request,
                () = pass.closed() => None,
            } {
                let _ = pass.send(request);
            }
        });
        let (receive, send) = (Incoming::new(request.into_body()), Outgoing::new(send));
        let control = Caller::new(Box::new(receive) as Reading, Box::new(send) as Writing);
        Ok(Connector { control, below: Below::Http2 { requests } })
    }

    /// One that is registered.
    pub(super) async fn registered(edge: &Edge, transport: Transport) -> Self {
        let mut connector = Self::connect(edge, transport).await.unwrap();
        let answer = connector.register().await.unwrap();
        assert!(matches!(answer, Answer::Registered(_)), "{answer:?}");
        connector
    }

    pub(super) fn who(&self) -> Who {
        who()
    }

    async fn call(&mut self, request: Request) -> Result<Struct, Failure> {
        let (method, parameters) = request.encode();
        self.control.call(registration::INTERFACE, method, parameters).await
    }

    pub(super) async fn register(&mut self) -> Result<Answer, Failure> {
        let registration = Registration {
            account: "made-up".into(),
            secret: b"secret".to_vec(),
            tunnel: TUNNEL.parse::<uuid::Uuid>().unwrap().into_bytes(),
            client: Client {
                connector: CONNECTOR,
                features: vec![orders::FEATURE.into()],
                version: "0".into(),
                arch: "linux_test".into(),
            },
            ..Registration::default()
        };
        let results = self.call(Request::Register(Box::new(registration))).await?;
        Ok(Answer::decode(&results)?)
    }

    /// Unregisters, and ends the control stream as cloudflared does.
    pub(super) async fn unregister(&mut self) -> Result<(), Failure> {
        self.call(Request::Unregister).await?;
        Ok(self.control.close("rpc: shutdown").await?)
    }

    pub(super) async fn tell(&mut self, json: &[u8]) -> Result<(), Failure> {
        self.call(Request::LocalConfiguration(json.to_vec())).await.map(drop)
    }

    /// Sends bytes on the control stream.
    pub(super) fn into_control(self) -> (Reading, Writing, impl Send) {
        let (read, write) = self.control.into_inner();
        (read, write, self.below)
    }

    /// Waits for the end of the connection.
    pub(super) async fn closed(mut self) {
        let closed = async {
            match &mut self.below {
                Below::Http2 { requests } => while requests.recv().await.is_some() {},
                Below::Quic { connection, .. } => drop(connection.closed().await),
            }
        };
        tokio::time::timeout(DEADLINE, closed).await.expect("the edge closes the connection");
    }

    /// Why a registration was not answered.
    async fn why(self, failure: Failure) -> Fate {
        if let Below::Quic { connection, .. } = &self.below
            && let Some(reason) = connection.close_reason()
        {
            return match reason {
                quinn::ConnectionError::ApplicationClosed(close) => Fate::ClosedWith(close.error_code.into_inner()),
                other => panic!("{other}"),
            };
        }
        match failure {
            Failure::Frames(crate::tunnelrpc::frames::Error::Malformed(_)) | Failure::Protocol(_) => Fate::Garbled,
            Failure::Frames(crate::tunnelrpc::frames::Error::Stream(error)) => of_error(&error),
            Failure::Ended => Fate::Closed,
            Failure::Aborted(_) | Failure::Refused(_) => panic!("{failure}"),
        }
    }

    /// Waits for a configuration, and answers it.
    pub(super) async fn is_pushed(&mut self, applied: &Applied) -> Push {
        match self.asked(headers::CONFIGURATION, serde_json::to_vec(applied).unwrap(), applied.encode()).await {
            Asked::Body(body) => Push::from_json(&body).unwrap(),
            Asked::Call(call) => Push::decode(&call).unwrap(),
        }
    }

    /// Waits for an order.
    pub(super) async fn is_ordered(&mut self) -> Order {
        match self.asked(orders::UPGRADE, vec![], Struct::default()).await {
            Asked::Body(body) => serde_json::from_slice(&body).unwrap(),
            Asked::Call(call) => Order::decode(&call).unwrap(),
        }
    }

    async fn asked(&mut self, upgrade: &str, body: Vec<u8>, results: Struct) -> Asked {
        match &mut self.below {
            Below::Http2 { requests } => {
                let (request, mut respond) = requests.recv().await.unwrap();
                assert_eq!(request.headers()[headers::UPGRADE], upgrade);
                let mut asked = vec![];
                Incoming::new(request.into_body()).read_to_end(&mut asked).await.unwrap();
                let mut send = respond.send_response(http::Response::new(()), false).unwrap();
                send.send_data(body.into(), true).unwrap();
                Asked::Body(asked)
            }
            Below::Quic { connection, .. } => {
                let (send, mut receive) = connection.accept_bi().await.unwrap();
                assert_eq!(streams::read_kind(&mut receive).await.unwrap(), Kind::Calls);
                let mut callee = Callee::new(receive, send);
                let call = callee.next().await.unwrap().unwrap();
                callee.answer(call.question, Ok(results)).await.unwrap();
                Asked::Call(call)
            }
        }
    }
}

enum Asked {
    Body(Vec<u8>),
    Call(Call),
}

fn trusting(file: &str, protocols: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config
}
