//! A connection's control stream: the registration, and what follows for as long as it is registered.

use super::conduct::{self, Conduct};
use super::journal::What;
use super::link::Link;
use super::orders::{self, Order};
use super::state::{self, Connection, Live, State};
use super::who::Who;
use crate::tunnelrpc::message::Exception;
use crate::tunnelrpc::registration::{Answer, Details, Refusal, Registration, Request};
use crate::tunnelrpc::{Callee, Struct};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// The data centre that the recordings show.
pub(super) const LOCATION: &str = "iad01";

/// How long an order is waited for, before the next one is given.
const OBEDIENCE: Duration = Duration::from_secs(5);

/// How a connection is to end, as far as it is the edge's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// As all that is needed was said.
    Done,
    /// Without a reason.
    Closed,
    /// It is dropped.
    Dropped,
    /// With a reset.
    Reset,
    /// The other side is to read what is no protocol: that number of it.
    Garbage(usize),
    /// The other side has ended it, or is to.
    Theirs,
}

/// A connection whose handshake is done.
pub(super) struct Visit {
    pub(super) edge: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) link: Link,
    /// How the address treats the transport.
    pub(super) conduct: watch::Receiver<Conduct>,
    pub(super) state: Arc<Mutex<State>>,
}

impl Visit {
    /// Answers what is asked on the control stream, until the connection is to end. `closed` ends with the connection.
    pub(super) async fn serve<R, W>(self, mut control: Callee<R, W>, closed: impl Future<Output = ()>) -> Ending
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let registration = loop {
            let Ok(Some(call)) = control.next().await else { return Ending::Theirs };
            let answer = match Request::decode(&call) {
                Ok(Request::Register(registration)) => break (call.question, registration),
                Ok(_) => Err(Exception::failed("the connection is not registered")),
                Err(exception) => Err(exception),
            };
            if control.answer(call.question, answer).await.is_err() {
                return Ending::Theirs;
            }
        };
        let (question, registration) = registration;
        match self.decide(&registration).await {
            Decision::Refuse(refusal) => {
                let refused = control.answer(question, Ok(Answer::Refused(refusal).encode())).await;
                if refused.is_err() { Ending::Theirs } else { until_gone(control, closed).await }
            }
            Decision::Ignore => until_gone(control, closed).await,
            Decision::End(ending) => ending,
            Decision::Register { silent } => {
                let Some(kept) = self.register(&registration) else { return Ending::Closed };
                let answered = control.answer(question, Ok(kept.answer())).await;
                if answered.is_err() || silent && control.received(question).await.is_err() {
                    return Ending::Theirs;
                }
                if silent {
                    self.link.silence();
                    return kept.hold(control, closed).await;
                }
                kept.serve(control, closed).await
            }
        }
    }

    /// What becomes of a registration, noted unless it is accepted.
    async fn decide(&self, registration: &Registration) -> Decision {
        let who = who(registration);
        let secret = STANDARD.encode(&registration.secret);
        let (conduct, late) = {
            let state = state::lock(&self.state);
            let rule = state.rule_for(&who, self.edge, self.link.transport(), &secret);
            (rule.unwrap_or(*self.conduct.borrow()), state.late)
        };
        if conduct == Conduct::Slow {
            tokio::time::sleep(late).await;
        }
        let note = |what| state::lock(&self.state).note(&who, self.edge, "", what);
        let turn_away = |how, ending| {
            note(What::TurnedAway(how));
            Decision::End(ending)
        };
        if let Some((cause, retry_after)) = conduct.refusal() {
            note(What::Rejected(cause.to_owned()));
            return Decision::Refuse(Refusal {
                cause: cause.to_owned(),
                retry_after: Duration::from_micros(retry_after.unwrap_or_default()),
                should_retry: retry_after.is_some(),
            });
        }
        match conduct {
            Conduct::Hang | Conduct::BlackHole => {
                note(What::Hung);
                Decision::Ignore
            }
            Conduct::Eof => turn_away("eof", Ending::Closed),
            Conduct::Refuse => turn_away("refuse", Ending::Closed),
            Conduct::Reset => turn_away("reset", Ending::Reset),
            Conduct::Garbage => {
                let number = state::lock(&self.state).next_garbage();
                turn_away("garbage", Ending::Garbage(number))
            }
            Conduct::Drop => turn_away("drop", Ending::Dropped),
            _ if !state::lock(&self.state).secret_fits(&who.tunnel, &registration.secret) => {
                note(What::Rejected(conduct::UNAUTHORIZED.to_owned()));
                Decision::Refuse(Refusal { cause: conduct::UNAUTHORIZED.to_owned(), ..Refusal::default() })
            }
            _ => Decision::Register { silent: conduct == Conduct::SilentAfter },
        }
    }

    /// Puts the connection on record; `None` if its address refuses since it came: the drop that belongs to an outage
    /// would miss it.
    fn register(&self, registration: &Registration) -> Option<Kept> {
        let who = who(registration);
        let (end, ended) = mpsc::unbounded_channel();
        let (task, tasks) = watch::channel(());
        let streams = watch::Sender::new(0);
        let mut state = state::lock(&self.state);
        if *self.conduct.borrow() == Conduct::Refuse {
            return None;
        }
        let uuid = Uuid::new_v4();
        let connection = Connection {
            who: who.clone(),
            connection: uuid.to_string(),
            edge: self.edge,
            transport: self.link.transport(),
            since: state.now(),
        };
        let takes_orders = registration.client.features.iter().any(|feature| feature == orders::FEATURE);
        let remotely_managed = state.is_remotely_managed(&who.tunnel);
        state.register(Live {
            connection,
            link: self.link.clone(),
            peer: self.peer,
            orders: takes_orders.then(|| carry_orders(self.link.clone())),
            _end: end,
            task: tasks,
            streams: streams.clone(),
        });
        let state = self.state.clone();
        Some(Kept { uuid, who, state, remotely_managed, ended, streams, _task: task })
    }
}

enum Decision {
    Register { silent: bool },
    Refuse(Refusal),
    Ignore,
    End(Ending),
}

/// A registered connection. However it ends, it is on record.
struct Kept {
    uuid: Uuid,
    who: Who,
    state: Arc<Mutex<State>>,
    remotely_managed: bool,
    ended: mpsc::UnboundedReceiver<()>,
    streams: watch::Sender<usize>,
    _task: watch::Sender<()>,
}

impl Kept {
    fn answer(&self) -> Struct {
        let connection = self.uuid.into_bytes();
        let remotely_managed = self.remotely_managed;
        Answer::Registered(Details { connection, location: LOCATION.to_owned(), remotely_managed }).encode()
    }

    /// Holds a connection on which nothing is said: what had arrived before is not answered.
    async fn hold<R, W>(mut self, control: Callee<R, W>, closed: impl Future<Output = ()>) -> Ending
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        tokio::select! {
            _ = self.ended.recv() => Ending::Dropped,
            ending = until_gone(control, closed) => ending,
        }
    }

    async fn serve<R, W>(mut self, mut control: Callee<R, W>, closed: impl Future<Output = ()>) -> Ending
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            let call = tokio::select! {
                // It was dropped.
                _ = self.ended.recv() => return Ending::Dropped,
                call = control.next() => call,
            };
            let Ok(Some(call)) = call else { return Ending::Theirs };
            let (answer, unregistered) = match Request::decode(&call) {
                Ok(Request::Unregister) => {
                    state::lock(&self.state).remove(&self.uuid.to_string(), What::Unregistered);
                    (Ok(Struct::default()), true)
                }
                Ok(Request::LocalConfiguration(json)) => {
                    state::lock(&self.state).configured(&self.who, &json);
                    (Ok(Struct::default()), false)
                }
                Ok(Request::Register(_)) => (Err(Exception::failed("the connection is registered")), false),
                Err(exception) => (Err(exception), false),
            };
            let answered = control.answer(call.question, answer).await;
            if answered.is_err() {
                return Ending::Theirs;
            }
            if unregistered {
                let mut streams = self.streams.subscribe();
                let drained = async {
                    // It has the answer when it ends the control stream, and no new streams come.
                    while let Ok(Some(_)) = control.next().await {}
                    // The sender is here.
                    let _ = streams.wait_for(|streams| *streams == 0).await;
                };
                return tokio::select! {
                    () = drained => Ending::Done,
                    () = closed => Ending::Theirs,
                };
            }
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // If it is still there, nobody has said why it ends.
        state::lock(&self.state).remove(&self.uuid.to_string(), What::Lost);
    }
}

/// Waits until the other side has ended the control stream, or the connection.
async fn until_gone<R, W>(mut control: Callee<R, W>, closed: impl Future<Output = ()>) -> Ending
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let control_ends = async { while let Ok(Some(_)) = control.next().await {} };
    tokio::select! {
        () = control_ends => {}
        () = closed => {}
    }
    Ending::Theirs
}

/// Carries orders to a connector, each when the one before is carried out.
pub(super) fn carry_orders(link: Link) -> mpsc::UnboundedSender<Order> {
    let (give, mut given) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(order) = given.recv().await {
            // A connector that is gone does not obey, one that exits does not answer, and a frozen one does later.
            let _ = tokio::time::timeout(OBEDIENCE, link.order(&order)).await;
        }
    });
    give
}

fn who(registration: &Registration) -> Who {
    Who {
        tunnel: Uuid::from_bytes(registration.tunnel).to_string(),
        connector: Uuid::from_bytes(registration.client.connector).to_string(),
        index: registration.index.into(),
    }
}
