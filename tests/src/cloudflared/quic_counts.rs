//! What a QUIC client counts by itself, for its part of the metrics page.

use quinn::{Connection, ConnectionStats};
use std::collections::BTreeMap;

/// Counts of all connections so far.
#[derive(Debug, Default)]
pub struct QuicCounts {
    /// Connections that were begun, whether they came about or not.
    pub begun: u64,
    /// Connections that ended, whether they had come about or not.
    pub ended: u64,
    by_index: BTreeMap<usize, OfIndex>,
}

/// Counts of one index.
#[derive(Debug, Default)]
pub struct OfIndex {
    frames_sent: BTreeMap<&'static str, u64>,
    frames_received: BTreeMap<&'static str, u64>,
    bytes_sent: u64,
    bytes_received: u64,
    live: Option<Connection>,
}

/// One index as it is now.
#[derive(Debug, Default)]
pub struct Shown {
    /// Frames that were sent, by their names.
    pub frames_sent: BTreeMap<&'static str, u64>,
    /// Frames that were received, by their names.
    pub frames_received: BTreeMap<&'static str, u64>,
    /// Bytes that were sent.
    pub bytes_sent: u64,
    /// Bytes that were received.
    pub bytes_received: u64,
    /// The path's largest datagram; 0 if there is none.
    pub mtu: u16,
    /// The path's round trip, in milliseconds.
    pub round_trip: u128,
}

impl QuicCounts {
    /// A connection is begun.
    pub fn begin(&mut self, index: usize) {
        self.begun += 1;
        self.by_index.entry(index).or_default();
    }

    /// A connection came about.
    pub fn connected(&mut self, index: usize, connection: &Connection) {
        self.by_index.entry(index).or_default().live = Some(connection.clone());
    }

    /// A connection ended.
    pub fn end(&mut self, index: usize) {
        self.ended += 1;
        let of_index = self.by_index.entry(index).or_default();
        if let Some(connection) = of_index.live.take() {
            of_index.add(&connection.stats());
        }
    }

    /// Every index that a connection was begun for.
    pub fn shown(&self) -> impl Iterator<Item = (usize, Shown)> {
        self.by_index.iter().map(|(index, of_index)| (*index, of_index.shown()))
    }
}

impl OfIndex {
    fn add(&mut self, stats: &ConnectionStats) {
        for (sum, frames) in [(&mut self.frames_sent, &stats.frame_tx), (&mut self.frames_received, &stats.frame_rx)] {
            let counts = [
                ("Ack", frames.acks),
                ("ConnectionClose", frames.connection_close),
                ("Crypto", frames.crypto),
                ("HandshakeDone", u64::from(frames.handshake_done)),
                ("MaxData", frames.max_data),
                ("MaxStreamData", frames.max_stream_data),
                ("MaxStreams", frames.max_streams_bidi + frames.max_streams_uni),
                ("NewConnectionID", frames.new_connection_id),
                ("NewToken", frames.new_token),
                ("Ping", frames.ping),
                ("ResetStream", frames.reset_stream),
                ("RetireConnectionID", frames.retire_connection_id),
                ("StopSending", frames.stop_sending),
                ("Stream", frames.stream),
            ];
            for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
                *sum.entry(name).or_default() += count;
            }
        }
        self.bytes_sent += stats.udp_tx.bytes;
        self.bytes_received += stats.udp_rx.bytes;
    }

    fn shown(&self) -> Shown {
        let mut sum = OfIndex {
            frames_sent: self.frames_sent.clone(),
            frames_received: self.frames_received.clone(),
            bytes_sent: self.bytes_sent,
            bytes_received: self.bytes_received,
            live: None,
        };
        let stats = self.live.as_ref().map(Connection::stats);
        if let Some(stats) = &stats {
            sum.add(stats);
        }
        Shown {
            frames_sent: sum.frames_sent,
            frames_received: sum.frames_received,
            bytes_sent: sum.bytes_sent,
            bytes_received: sum.bytes_received,
            mtu: stats.as_ref().map_or(0, |stats| stats.path.current_mtu),
            round_trip: stats.as_ref().map_or(0, |stats| stats.path.rtt.as_millis()),
        }
    }
}
