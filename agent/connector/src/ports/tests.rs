use super::*;
use testing::Refusing;

const FIRST: RunId = RunId(1);
const SECOND: RunId = RunId(2);

/// Two addresses that are nobody's as long as what keeps them lives.
fn two() -> ([SocketAddr; 2], [Refusing; 2]) {
    let kept = [Refusing::new(), Refusing::new()];
    (kept.each_ref().map(Refusing::address), kept)
}

fn give(ports: &Ports, run: RunId, slot: usize) -> Given {
    let given = ports.give(run, slot, &Sockets::default()).unwrap();
    wait_until_free(given.address);
    given
}

/// A child that another test is just spawning holds every socket of this process, a closed one too, until it executes its program.
fn wait_until_free(address: SocketAddr) {
    testing::run(testing::until("nobody listens there", || {
        Sockets::default().listener(address, None) == Listener::Nobody
    }));
}

#[test]
fn each_run_has_the_address_that_it_is_meant_to_have() {
    let (addresses, _kept) = two();
    let ports = Ports::new(addresses);
    for (run, slot) in [(FIRST, 0), (SECOND, 1), (FIRST, 0)] {
        assert_eq!(give(&ports, run, slot), Given { address: addresses[slot], taken: vec![] });
    }
}

#[test]
fn a_stranger_on_one_address_is_named_and_the_other_is_used() {
    let (addresses, _kept) = two();
    let stranger = TcpListener::bind(addresses[0]).unwrap();
    let ports = Ports::new(addresses);
    let Given { address, taken } = give(&ports, FIRST, 0);
    assert_eq!(address, addresses[1]);
    let [Taken { address: taken, by }] = &taken[..] else { panic!("{taken:?}") };
    assert_eq!(*taken, addresses[0]);
    assert!(by.contains(&format!("(pid {}, uid ", std::process::id())), "{by}");

    // The successor finds its own in use by ours, which is nobody's fault, and gets one that is in neither setting.
    let Given { address: third, taken } = give(&ports, SECOND, 1);
    assert!(!addresses.contains(&third) && third.ip().is_loopback() && third.port() != 0, "{third}");
    assert_eq!(taken.iter().map(|taken| taken.address).collect::<Vec<_>>(), [addresses[0]]);

    // The stranger goes, and the next child is where it was meant to be.
    drop(stranger);
    wait_until_free(addresses[0]);
    assert_eq!(give(&ports, SECOND, 0), Given { address: addresses[0], taken: vec![] });
}

#[test]
fn strangers_on_both_addresses_leave_one_that_the_kernel_picks() {
    let (addresses, _kept) = two();
    let _strangers = addresses.map(|address| TcpListener::bind(address).unwrap());
    let ports = Ports::new(addresses);
    let Given { address, taken } = give(&ports, FIRST, 1);
    assert!(!addresses.contains(&address) && address.ip().is_loopback(), "{address}");
    assert_eq!(taken.iter().map(|taken| taken.address).collect::<Vec<_>>(), [addresses[1], addresses[0]]);
}

#[test]
fn what_a_run_had_is_free_when_it_has_ended() {
    let (addresses, _kept) = two();
    let ports = Ports::new(addresses);
    give(&ports, FIRST, 0);
    assert_eq!(give(&ports, SECOND, 0).address, addresses[1], "the first has it, though it does not listen yet");
    ports.give_back(FIRST);
    assert_eq!(give(&ports, SECOND, 0).address, addresses[0]);
}
