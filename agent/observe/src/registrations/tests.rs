use super::*;

fn tries(page: &str) -> Option<Tries> {
    let mut registrations = Registrations::default();
    for sample in page.lines().filter_map(Sample::parse) {
        registrations.take(&sample, sample.value as u64);
    }
    registrations.tries()
}

fn bucket(bound: &str, count: u64) -> String {
    format!(
        "cloudflared_rpc_client_latency_secs_bucket{{handler=\"registration\",method=\"register_connection\",le=\"{bound}\"}} {count}\n"
    )
}

fn failed(error: &str, count: u64) -> String {
    format!("cloudflared_tunnel_tunnel_register_fail{{error=\"{error}\",rpcName=\"registerConnection\"}} {count}\n")
}

fn accepted(count: u64) -> String {
    format!("cloudflared_tunnel_tunnel_register_success{{rpcName=\"registerConnection\"}} {count}\n")
}

fn counted(accepted: u64, refused: u64, unanswered: u64) -> Option<Tries> {
    Some(Tries { accepted, refused, unanswered, dialled: None })
}

/// The bounds as 2026.8.2 prints them.
fn buckets(answered: u64, all: u64) -> String {
    let answered = ["0.05", "0.15000000000000002", "1.35", "4.050000000000001"].map(|bound| bucket(bound, answered));
    answered.concat() + &bucket("+Inf", all)
}

#[test]
fn refused_and_unanswered_are_told_apart_as_recorded() {
    // start_unauthorized_quic, start_hang_quic, then_unauthorized_quic, then_hang_quic: ends of the recordings.
    for (page, expected) in [
        (buckets(7, 7) + &failed("server_error", 7), counted(0, 7, 0)),
        (buckets(0, 5) + &failed("server_error", 5), counted(0, 0, 5)),
        (buckets(19, 19) + &accepted(4) + &failed("server_error", 15), counted(4, 15, 0)),
        (buckets(4, 14) + &accepted(4) + &failed("server_error", 10), counted(4, 0, 10)),
    ] {
        assert_eq!(tries(&page), expected, "{page}");
    }
}

#[test]
fn the_bound_is_a_number_however_it_is_printed() {
    for bound in ["4.05", "4.050000000000001", "4.0499999999999998", "4.05e+00"] {
        assert_eq!(tries(&(bucket(bound, 3) + &failed("server_error", 3))), counted(0, 3, 0), "{bound}");
    }
}

#[test]
fn what_the_edge_has_already_is_no_refusal() {
    let page = buckets(6, 6) + &accepted(2) + &failed("dup_edge_conn", 3) + &failed("server_error", 1);
    assert_eq!(tries(&page), counted(2, 1, 0));
}

#[test]
fn a_page_between_two_counters_invents_nothing() {
    assert_eq!(tries(&buckets(1, 1)), counted(0, 0, 0), "answered, and not yet counted as what");
    assert_eq!(tries(&(buckets(4, 5) + &accepted(5))), counted(5, 0, 0), "accepted after more than 4 s");
}

#[test]
fn what_this_version_does_not_count_is_not_known() {
    assert_eq!(tries(""), counted(0, 0, 0), "nothing was tried yet");
    assert_eq!(tries(&failed("server_error", 3)), None, "before 2024.6");
    assert_eq!(tries(&accepted(4)), None, "before 2024.6");
    assert_eq!(tries(&(bucket("5", 3) + &failed("server_error", 3))), None, "other bounds");
    let other = bucket("4.05", 3).replace("register_connection", "unregister_connection");
    assert_eq!(tries(&(other + &failed("server_error", 3))), None, "another call");
}

#[test]
fn dials_are_counted_over_quic_alone() {
    assert_eq!(tries("quic_client_total_connections 9\n").unwrap().dialled, Some(9));
}
