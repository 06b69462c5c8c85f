use super::{SECRET, TUNNEL, config, credentials, payload};
use crate::equivalence::{same_config, same_credentials};
use crate::{Intake, NotTaken, Policy, Store, Taken, Writer};
use dns::Resolver;
use proptest::prelude::*;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use testing::fake::Dir;

#[test]
fn what_is_only_written_otherwise_means_the_same() {
    let rules = "ingress:\n- {hostname: a, service: 'tcp://h:1'}\n- service: http_status:404\n";
    for (one, other) in [
        ("a: 1\nb: x\n", "b: x # why\na: 1\n"),
        ("a: x", "a: \"x\""),
        ("a: x", "a: 'x'"),
        ("a: 16", "a: 0x10"),
        ("a: true", "a: True"),
        ("a: null", "a: ~"),
        ("a: [1, 2]", "a:\n  - 1\n  - 2\n"),
        ("a: \"3306\"", "a: '3306'"),
        (
            "a: 30s\nb: 10.0.0.1\nc: 6ff42ae2-765d-4adf-8112-31c55c1551ef",
            "{c: 6ff42ae2-765d-4adf-8112-31c55c1551ef, b: '10.0.0.1', a: 30s}",
        ),
        ("a: &x [p, q]\nb: *x", "a: [p, q]\nb: [p, q]"),
        ("a: >-\n  x\n  y", "a: x y"),
        (rules, "\u{feff}# rules\ningress:\n- service: tcp://h:1\n  hostname: a\n\n- service: 'http_status:404'\n"),
        ("", "# nothing"),
    ] {
        assert!(same_config(one, other) && same_config(other, one), "{one:?} {other:?}");
    }
}

#[test]
fn what_says_something_else_or_might_does_not() {
    for (one, other) in [
        ("a: 1", "a: 2"),
        ("a: 1", "a: 1.0"),
        ("a: 1", "a: '1'"),
        ("a: true", "a: 'true'"),
        ("a: true", "a: false"),
        ("a: x", "a: X"),
        ("a: x", "b: x"),
        ("a: x", "a: x\nb: y"),
        ("a:", "b: x"),
        ("a: [1, 2]", "a: [2, 1]"),
        ("a: [1]", "a: 1"),
        ("a: [1]", "a: [1, 1]"),
        ("a: null", "a: ''"),
        ("a: [", "a: ["),
        // Without quotes cloudflared takes each of these for something else than text.
        ("a: yes", "a: 'yes'"),
        ("a: 'Off'", "a: Off"),
        ("a: 0777", "a: '0777'"),
        ("a: 1_000", "a: '1_000'"),
        ("a: 2001-01-01", "a: '2001-01-01'"),
    ] {
        assert!(!same_config(one, other) && !same_config(other, one), "{one:?} {other:?}");
    }
}

#[test]
fn credentials_are_the_same_as_values() {
    let one = credentials(TUNNEL, SECRET);
    let turned =
        format!("{{ \"TunnelID\":\"{TUNNEL}\",\n\"AccountTag\" : \"made-up\", \"TunnelSecret\":\"{SECRET}\" }}");
    assert!(same_credentials(&one, &turned));
    for other in [
        credentials(TUNNEL, &SECRET.replace('b', "c")),
        one.replace("made-up", "made-down"),
        one.replace('}', r#","Endpoint":"fed"}"#),
        one.replace('}', ""),
    ] {
        assert!(!same_credentials(&one, &other), "{other}");
    }
}

/// A config as a tree; it is written in one of many ways.
#[derive(Debug, Clone)]
enum Tree {
    Text(String),
    Number(i64),
    Truth(bool),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        "[g-m][a-zA-Z0-9 :/.#'\"-]{0,12}".prop_map(Tree::Text),
        any::<i64>().prop_map(Tree::Number),
        any::<bool>().prop_map(Tree::Truth),
    ];
    let nested = leaf.prop_recursive(4, 40, 6, |inner| {
        let map = prop::collection::btree_map("k[a-z]{0,5}", inner.clone(), 1..6);
        prop_oneof![
            prop::collection::vec(inner, 1..5).prop_map(Tree::List),
            map.prop_map(|map| Tree::Map(map.into_iter().collect())),
        ]
    });
    prop::collection::btree_map("k[a-z]{0,5}", nested, 1..6).prop_map(|map| Tree::Map(map.into_iter().collect()))
}

/// Writes it, as the dice say: the order of keys, comments, quotes, one line or many.
fn write(tree: &Tree, indent: usize, dice: &mut impl Iterator<Item = u8>, into: &mut String) {
    let mut roll = |of: u8| dice.next().unwrap_or(0) % of;
    let margin = " ".repeat(indent);
    match tree {
        // In quotes; what could stand there without is tested above.
        Tree::Text(text) if roll(2) == 0 => drop(writeln!(into, " '{}'", text.replace('\'', "''"))),
        Tree::Text(text) => drop(writeln!(into, " \"{}\" # said", text.replace('"', "\\\""))),
        Tree::Number(number) if *number > 0 && roll(3) == 0 => drop(writeln!(into, " {number:#x}")),
        Tree::Number(number) => drop(writeln!(into, " {number}")),
        Tree::Truth(truth) if roll(2) == 0 => into.push_str(if *truth { " True\n" } else { " FALSE\n" }),
        Tree::Truth(truth) => drop(writeln!(into, " {truth}   # or not")),
        Tree::List(items) => {
            into.push('\n');
            for item in items {
                let _ = write!(into, "{margin}-");
                write(item, indent + 2, dice, into);
            }
        }
        Tree::Map(entries) => {
            let mut entries: Vec<_> = entries.iter().map(|entry| (roll(255), entry)).collect();
            entries.sort_by_key(|(order, _)| *order);
            into.push('\n');
            for (order, (key, value)) in entries {
                if order % 3 == 0 {
                    let _ = writeln!(into, "\n{margin}# of {key}: it's [a");
                }
                let quote = ["", "'", "\""][usize::from(order % 3)];
                let _ = write!(into, "{margin}{quote}{key}{quote}:");
                write(value, indent + 2, dice, into);
            }
        }
    }
}

fn written(tree: &Tree, dice: Vec<u8>) -> String {
    let mut text = String::new();
    write(tree, 0, &mut dice.into_iter(), &mut text);
    text
}

/// Changes the leaf, or the key, of that number. False: it has not so many.
fn change(tree: &mut Tree, number: &mut usize) -> bool {
    let mine = *number == 0;
    *number = number.wrapping_sub(1);
    match tree {
        Tree::Text(text) if mine => text.push('x'),
        Tree::Number(number) if mine => *number = number.wrapping_add(1),
        Tree::Truth(truth) if mine => *truth = !*truth,
        Tree::List(items) if mine => items.push(Tree::Number(1)),
        Tree::Map(entries) if mine => entries[0].0.push_str("another"),
        Tree::List(items) => return items.iter_mut().any(|item| change(item, number)),
        Tree::Map(entries) => return entries.iter_mut().any(|(_, value)| change(value, number)),
        _ => return false,
    }
    true
}

fn dice() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 64)
}

proptest! {
    #[test]
    fn however_it_is_written_it_means_the_same(tree in tree(), one in dice(), other in dice()) {
        let (one, other) = (written(&tree, one), written(&tree, other));
        prop_assert!(same_config(&one, &other), "{one}\n---\n{other}");
    }

    #[test]
    fn any_other_value_means_something_else(tree in tree(), one in dice(), other in dice(), mut at in 0..20_usize) {
        let mut changed = tree.clone();
        prop_assume!(change(&mut changed, &mut at));
        let (one, other) = (written(&tree, one), written(&changed, other));
        prop_assert!(!same_config(&one, &other), "{one}\n---\n{other}");
    }
}

async fn take(
    dir: &Dir,
    store: &Arc<Writer>,
    version: &str,
    config: &str,
    credentials: &str,
) -> Result<Taken, NotTaken> {
    let intake = Intake {
        store: store.clone(),
        instance: "i-1".into(),
        environment: "dev".into(),
        now: UNIX_EPOCH,
        binary: dir.script("exit 0"),
        policy: Policy { config_dir: store.store().dir().to_owned(), ..Policy::default() },
        resolver: Resolver::with_name_servers(vec![]),
    };
    intake.take(payload(version, config, credentials)).await
}

#[tokio::test]
async fn a_payload_is_held_against_what_current_names_and_installed_either_way() {
    let dir = Dir::new();
    fs::set_permissions(dir.join(""), fs::Permissions::from_mode(0o700)).unwrap();
    let store = Arc::new(Writer::new(Store::open(dir.join("")).unwrap()));
    let (plain, secret) = (config(TUNNEL), credentials(TUNNEL, SECRET));
    let first = take(&dir, &store, "v1", &plain, &secret).await.unwrap();
    assert_eq!((first.installed.generation.0, first.equivalent), (1, false));
    // Nothing is current yet.
    let second = take(&dir, &store, "v2", &plain, &secret).await.unwrap();
    assert_eq!((second.installed.generation.0, second.equivalent), (2, false));
    store.with(|store| store.commit(second.installed.generation)).unwrap();

    let commented = take(&dir, &store, "v3", &format!("# new\n{plain}"), &secret).await.unwrap();
    assert_eq!((commented.installed.generation.0, commented.equivalent), (3, true));
    assert_eq!(commented.installed.version.0, "v3");
    assert!(
        fs::read_to_string(store.store().config_path(commented.installed.generation)).unwrap().starts_with("# new")
    );
    let other = take(&dir, &store, "v4", &plain.replace("3306", "3307"), &secret).await.unwrap();
    assert_eq!((other.installed.generation.0, other.equivalent), (4, false));
    let rotated = take(&dir, &store, "v5", &plain, &credentials(TUNNEL, &SECRET.replace("bW", "cW"))).await.unwrap();
    assert!(!rotated.equivalent);

    // What current names was changed by a hand: nothing is known of it.
    fs::write(store.store().config_path(second.installed.generation), &plain).unwrap();
    assert!(take(&dir, &store, "v6", &plain, &secret).await.unwrap().equivalent);
    fs::write(store.store().config_path(second.installed.generation), "x").unwrap();
    assert!(!take(&dir, &store, "v7", &plain, &secret).await.unwrap().equivalent);
}
