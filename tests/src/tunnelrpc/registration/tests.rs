use super::*;
use crate::tunnelrpc::message::Target;

fn registration() -> Registration {
    Registration {
        account: "made-up".into(),
        secret: b"not a secret of anybody".to_vec(),
        tunnel: [0x6f; 16],
        index: 3,
        replace_existing: true,
        compression: 1,
        earlier_attempts: 255,
        local_ip: vec![127, 0, 0, 1],
        client: Client {
            connector: [0xc0; 16],
            features: vec!["allow_remote_config".into(), "serialized_headers".into()],
            version: "2026.8.2".into(),
            arch: "linux_amd64".into(),
        },
    }
}

fn call(interface: u64, (method, parameters): (u16, Struct)) -> Call {
    Call { question: 1, target: Target::Capability(0), interface, method, parameters }
}

/// Over the bytes, as a peer would see it.
fn carried(structure: Struct) -> Struct {
    Value::decode(&Value::from(structure).encode()).unwrap().into_struct().unwrap()
}

fn registered(parameters: Struct) -> Result<Registration, String> {
    match Request::decode(&call(INTERFACE, (REGISTER, parameters))) {
        Ok(Request::Register(registration)) => Ok(*registration),
        Ok(_) => Err("another request".into()),
        Err(exception) => Err(exception.reason),
    }
}

#[test]
fn a_registration_is_read_as_it_was_written() {
    let (method, parameters) = Request::Register(Box::new(registration())).encode();
    assert_eq!(method, 0);
    assert!(registered(carried(parameters)) == Ok(registration()));
}

#[test]
fn the_fields_lie_where_the_edge_expects_them() {
    let parameters = registration().encode();
    assert_eq!(parameters.u8(0), 3, "the index");
    let auth = structure(parameters.pointer(0)).unwrap();
    assert_eq!((auth.pointer(0).text(), auth.pointer(1).data().unwrap().len()), (Ok("made-up"), 23));
    assert_eq!(parameters.pointer(1).data(), Ok([0x6f; 16].as_slice()));
    let options = structure(parameters.pointer(2)).unwrap();
    assert_eq!((options.u8(0), options.u8(1), options.u8(2)), (1, 1, 255));
}

#[test]
fn answers_are_read_as_they_were_written() {
    let refusal = Refusal { cause: DUPLICATE.into(), retry_after: Duration::from_secs(7), should_retry: true };
    let details = Details { connection: [7; 16], location: "iad08".into(), remotely_managed: true };
    for answer in [Answer::Refused(refusal), Answer::Refused(Refusal::default()), Answer::Registered(details)] {
        assert_eq!(Answer::decode(&carried(answer.encode())), Ok(answer));
    }
    let unknown = Struct::new(0, 1).with_pointer(0, Struct::new(1, 1).with(0, [2]));
    assert!(Answer::decode(&unknown).is_err());
}

#[test]
fn an_answer_that_would_have_to_be_before_the_question_is_at_once() {
    let body = Struct::new(2, 1).with(0, (-1i64).to_le_bytes());
    let answer = Struct::new(0, 1).with_pointer(0, Struct::new(1, 1).with_pointer(0, body));
    assert_eq!(Answer::decode(&answer), Ok(Answer::Refused(Refusal::default())));
}

#[test]
fn other_requests_are_told_apart() {
    let json = br#"{"version":0}"#;
    let decode = |request: Request| Request::decode(&call(INTERFACE, request.encode()));
    assert!(matches!(decode(Request::Unregister), Ok(Request::Unregister)));
    let sent = decode(Request::LocalConfiguration(json.to_vec()));
    assert!(matches!(sent, Ok(Request::LocalConfiguration(got)) if got == json));
    for (interface, method) in [(INTERFACE, 3), (1, 0)] {
        assert_eq!(Request::decode(&call(interface, (method, Struct::default()))).err().unwrap().kind, 3);
    }
}

#[test]
fn a_hostile_registration_is_refused() {
    let whole = registration().encode();
    let cases = [
        Struct::default(),
        whole.clone().with_pointer(0, "a text"),
        whole.clone().with_pointer(1, vec![1; 15]),
        whole.clone().with_pointer(1, vec![1; 17]),
        whole.clone().with_pointer(2, Value::Capability(0)),
        whole.clone().with_pointer(2, Struct::new(1, 2)),
        whole.with_pointer(0, Struct::new(0, 2).with_pointer(0, vec![0xff, 0])),
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let Err(reason) = registered(case) else { panic!("case {number} was taken") };
        assert!(reason.starts_with("bad parameters: "), "case {number}: {reason}");
    }
}
