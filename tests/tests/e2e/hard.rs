//! Hard cases with the stand-in in its own times: what must come of each. How long it took, `make real` judges.

use crate::support::each;
use cflared_tests::edge::Transport;
use cflared_tests::real::{Hard, Pace, Start, play_hard};
use cflared_tests::world::Cloudflared;
use std::time::Duration;

async fn comes_out_right(case: Hard) -> anyhow::Result<()> {
    play_hard(case, &Cloudflared::chosen(), Pace::SHORT).await.map(drop)
}

/// R1: what cloudflared does not say over QUIC, the second opinion does.
#[tokio::test]
async fn a_refused_secret_over_quic_is_named_and_a_reload_says_so() -> anyhow::Result<()> {
    each([Hard::Refused, Hard::RefusedSuccessor], comes_out_right).await
}

/// R7: what holds no connection is not waited for.
#[tokio::test]
async fn what_sleeps_between_two_tries_is_stopped_at_once() -> anyhow::Result<()> {
    comes_out_right(Hard::Stopped).await
}

/// R8: whatever the stranger is.
#[tokio::test]
async fn a_port_that_another_program_has_is_left_to_it() -> anyhow::Result<()> {
    comes_out_right(Hard::Stranger).await
}

/// R9: a loss is not slept out, and three good connections are not given up for a fourth.
#[tokio::test]
async fn lost_connections_come_back_and_good_ones_stay() -> anyhow::Result<()> {
    let losses = [Transport::Http2, Transport::Quic].map(|transport| Hard::Lost(transport, Duration::from_millis(500)));
    let one = [Transport::Http2, Transport::Quic].map(Hard::OneLost);
    each(losses.into_iter().chain(one), comes_out_right).await
}

/// R10: with UDP shut it is HTTP/2, for one that never was connected, and for one that was.
#[tokio::test]
async fn where_udp_is_shut_http2_serves() -> anyhow::Result<()> {
    each([Start::FromTheStart, Start::Later].map(Hard::UdpShut), comes_out_right).await
}

/// F01: that it is registered is known without a line.
#[tokio::test]
async fn a_connector_that_prints_nothing_is_registered() -> anyhow::Result<()> {
    each([Hard::Quiet, Hard::Silent], comes_out_right).await
}
