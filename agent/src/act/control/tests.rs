use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener as StdListener;
use testing::{Directory, run, until};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

fn at(seconds: u64) -> Mono {
    Mono::new(Duration::from_secs(seconds))
}

fn listening(directory: &Directory) -> (Control, PathBuf) {
    let mut control = Control::new(directory.path());
    control.keep(at(0));
    assert_eq!(control.trouble, None);
    (control, directory.path().join(SOCKET))
}

fn said(text: &str) -> Answer {
    Answer { ended: Ended::Done, text: text.into() }
}

/// What comes back for these bytes, whether or not the client ends its side.
async fn raw(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut stream = UnixStream::connect(path).await.unwrap();
    // The other side may have heard enough already.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    read_line(&mut stream).await
}

#[test]
fn who_asks_is_heard_and_gets_the_answer() {
    run(async {
        let directory = Directory::new();
        let (mut control, path) = listening(&directory);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (answer, ()) = tokio::join!(ask(&path, Command::Reload), async {
            let asked = control.asked().await;
            assert_eq!(asked.command, Command::Reload);
            asked.answer.send(said("generation 2 serves, “ü”\nand more")).unwrap();
        });
        assert_eq!(answer.unwrap(), said("generation 2 serves, “ü”\nand more"));
    });
}

#[test]
fn the_lines_are_the_documented_ones() {
    let asked = line(&Question { schema: SCHEMA, command: Command::Reload });
    assert_eq!(asked, b"{\"schema\":1,\"command\":\"reload\"}\n");
    let answered = reply(Answer { ended: Ended::Refused, text: "no".into() });
    assert_eq!(answered, b"{\"schema\":1,\"ended\":\"refused\",\"text\":\"no\"}\n");
    assert_eq!(question(b" {\"command\":\"reload\",\"schema\":1,\"new\":[]} \n"), Ok(Command::Reload));
}

#[test]
fn what_is_no_question_is_told_so_and_asks_nothing() {
    run(async {
        let directory = Directory::new();
        let (mut control, path) = listening(&directory);
        let huge = vec![b'x'; 1 << 20];
        for (bytes, mentions) in [
            (&b"reload\n"[..], "expected"),
            (b"\n", "EOF"),
            (b"{\"schema\":2,\"command\":\"reload\"}\n", "its schema is 2, this agent knows 1"),
            (b"{\"schema\":1,\"command\":\"explode\"}\n", "unknown variant `explode`"),
            (b"{\"schema\":1,\"command\":\"reload\"}", "the line has no end"),
            (b"", "the line has no end"),
            (b"\xff\xfe\0\n", "expected value"),
            (&huge, "the line has more than 16384 bytes"),
        ] {
            let answer = String::from_utf8(raw(&path, bytes).await.unwrap()).unwrap();
            assert!(answer.contains("\"refused\"") && answer.contains(mentions), "{mentions}: {answer}");
        }
        assert!(control.asked.try_recv().is_err());
    });
}

#[test]
fn who_says_nothing_holds_up_nobody_and_there_is_room_for_only_so_many() {
    run(async {
        let directory = Directory::new();
        let (mut control, path) = listening(&directory);
        let mut slow = Vec::new();
        for _ in 1..server::CLIENTS {
            slow.push(UnixStream::connect(&path).await.unwrap());
        }
        let (answer, ()) = tokio::join!(ask(&path, Command::Reload), async {
            control.asked().await.answer.send(said("it is heard")).unwrap();
        });
        assert_eq!(answer.unwrap(), said("it is heard"));
        slow.push(UnixStream::connect(&path).await.unwrap());
        let more = ask(&path, Command::Reload).await.unwrap();
        assert_eq!(more.ended, Ended::Failed);
        assert!(more.text.contains("so many ask"), "{}", more.text);
        // Who asks nothing in time is hung up on, and makes room.
        for mut stream in slow {
            let heard = tokio::time::timeout(Duration::from_secs(30), read_line(&mut stream)).await.unwrap();
            assert_eq!(heard, Err("the line has no end".into()));
        }
        let (answer, ()) = tokio::join!(ask(&path, Command::Reload), async {
            control.asked().await.answer.send(said("again")).unwrap();
        });
        assert_eq!(answer.unwrap(), said("again"));
    });
}

#[test]
fn who_goes_away_withdraws_nothing_and_makes_room() {
    run(async {
        let directory = Directory::new();
        let (mut control, path) = listening(&directory);
        for _ in 0..2 * server::CLIENTS {
            let mut stream = UnixStream::connect(&path).await.unwrap();
            stream.write_all(&line(&Question { schema: SCHEMA, command: Command::Reload })).await.unwrap();
            let asked = control.asked().await;
            assert!(!asked.answer.is_closed());
            drop(stream);
            until("the server knows", || asked.answer.is_closed()).await;
        }
    });
}

#[test]
fn several_wait_at_once_and_each_gets_its_own() {
    run(async {
        let directory = Directory::new();
        let (mut control, path) = listening(&directory);
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..server::CLIENTS {
            let path = path.clone();
            clients.spawn(async move { ask(&path, Command::Reload).await.unwrap().text });
        }
        let mut waiting = Vec::new();
        for _ in 0..server::CLIENTS {
            waiting.push(control.asked().await);
        }
        for (number, asked) in waiting.into_iter().enumerate() {
            asked.answer.send(said(&number.to_string())).unwrap();
        }
        let mut told: Vec<usize> = clients.join_all().await.iter().map(|text| text.parse().unwrap()).collect();
        told.sort_unstable();
        assert_eq!(told, (0..server::CLIENTS).collect::<Vec<_>>());
    });
}

#[test]
fn at_the_end_all_are_told_and_the_socket_is_gone() {
    run(async {
        let directory = Directory::new();
        let (mut control, path) = listening(&directory);
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let path = path.clone();
            clients.spawn(async move { ask(&path, Command::Reload).await.unwrap() });
        }
        // One was heard, the others are on their way.
        let heard = control.asked().await;
        drop(heard);
        control.close().await;
        assert!(!path.exists());
        for answer in clients.join_all().await {
            assert_eq!(answer.ended, Ended::Failed);
            assert!(answer.text.contains("the agent stopped before"), "{}", answer.text);
        }
        assert!(matches!(ask(&path, Command::Reload).await, Err(AskError::NoAgent { .. })));
    });
}

#[test]
fn what_a_dead_agent_left_is_replaced_and_what_a_living_one_has_is_not() {
    run(async {
        let directory = Directory::new();
        let path = directory.path().join(SOCKET);
        drop(StdListener::bind(&path).unwrap());
        assert!(matches!(ask(&path, Command::Reload).await, Err(AskError::NoAgent { .. })));
        let (mut control, _) = listening(&directory);

        let mut second = Control::new(directory.path());
        second.keep(at(0));
        assert!(second.trouble.as_ref().is_some_and(|trouble| trouble.contains("another process does")), "{second:?}");
        second.close().await;
        let (answer, ()) = tokio::join!(ask(&path, Command::Reload), async {
            control.asked().await.answer.send(said("mine")).unwrap();
        });
        assert_eq!(answer.unwrap(), said("mine"));

        // The second takes over when the first is gone, and is not removed by its end.
        let mut second = Control::new(directory.path());
        second.keep(at(0));
        fs::remove_file(&path).unwrap();
        second.keep(at(59));
        assert!(!path.exists());
        second.keep(at(60));
        assert_eq!((second.trouble.clone(), path.exists()), (None, true));
        control.close().await;
        assert!(path.exists());
    });
}

#[test]
fn a_plain_file_a_link_and_a_leftover_give_way_and_a_directory_does_not() {
    run(async {
        for kind in ["file", "link", "leftover", "none"] {
            let directory = Directory::new();
            let (path, elsewhere) = (directory.path().join(SOCKET), directory.path().join("elsewhere"));
            match kind {
                "file" => fs::write(&path, "x").unwrap(),
                "link" => {
                    fs::write(&elsewhere, "x").unwrap();
                    symlink(&elsewhere, &path).unwrap();
                }
                "leftover" => drop(StdListener::bind(directory.path().join("control.sock.new")).unwrap()),
                _ => fs::remove_dir(directory.path()).unwrap(),
            }
            let (_control, path) = listening(&directory);
            assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o170_777, 0o140_600, "{kind}");
            assert!(!elsewhere.exists() || fs::read(&elsewhere).unwrap() == b"x");
            assert!(!directory.path().join("control.sock.new").exists());
        }
        let directory = Directory::new();
        fs::create_dir(directory.path().join(SOCKET)).unwrap();
        let mut control = Control::new(directory.path());
        control.keep(at(0));
        assert!(control.trouble.as_ref().is_some_and(|trouble| trouble.contains("irectory")), "{control:?}");
        let mut long = Control::new(&directory.path().join("x".repeat(120)).join("y"));
        long.keep(at(0));
        assert!(long.trouble.as_ref().is_some_and(|trouble| trouble.contains("less than 90 bytes")), "{long:?}");
    });
}

#[test]
fn a_socket_that_lost_its_name_is_made_again_and_who_waits_at_the_old_one_is_answered() {
    run(async {
        let directory = Directory::new();
        let (mut control, path) = listening(&directory);
        let waiting = tokio::spawn({
            let path = path.clone();
            async move { ask(&path, Command::Reload).await }
        });
        let first = control.asked().await;
        fs::remove_file(&path).unwrap();
        control.keep(at(60));
        let (answer, ()) = tokio::join!(ask(&path, Command::Reload), async {
            control.asked().await.answer.send(said("new")).unwrap();
        });
        assert_eq!(answer.unwrap(), said("new"));
        first.answer.send(said("old")).unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), said("old"));
    });
}

#[test]
fn an_agent_that_dies_or_raves_is_told_of() {
    run(async {
        let directory = Directory::new();
        let path = directory.path().join(SOCKET);
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let flood = vec![b' '; 1 << 20];
        for (says, mentions) in [
            (&b""[..], "no answer: the line has no end"),
            (b"{\"schema\":1,\"ended\":\"do", "no answer: the line has no end"),
            (b"hello\n", "its answer is strange"),
            (b"{\"schema\":7,\"ended\":\"done\",\"text\":\"\"}\n", "its schema is 7"),
            (&flood, "no answer: the line has more than"),
        ] {
            let (answer, ()) = tokio::join!(ask(&path, Command::Reload), async {
                let (mut stream, _) = listener.accept().await.unwrap();
                read_line(&mut stream).await.unwrap();
                // It may have heard enough.
                let _ = stream.write_all(says).await;
            });
            let error = answer.unwrap_err().to_string();
            assert!(error.contains(mentions) && error.contains("systemctl status"), "{mentions}: {error}");
        }
    });
}

#[test]
fn fuzz_control_socket() {
    let asked = line(&Question { schema: SCHEMA, command: Command::Reload });
    let replied = line(&Reply { schema: SCHEMA, ended: Ended::Done, text: "it serves".into() });
    let seeds = vec![asked, replied, b"{}".to_vec(), b"\n".to_vec()];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    testing::fuzz::fuzz("control-socket", seeds, |input| {
        let mut stream = input;
        let Ok(bytes) = runtime.block_on(read_line(&mut stream)) else { return 0 };
        assert!(bytes.len() as u64 <= LONGEST);
        let question = file::parse::<Question>(&bytes, SCHEMA).is_ok();
        let reply = file::parse::<Reply>(&bytes, SCHEMA).is_ok();
        1 + u8::from(question) + 2 * u8::from(reply)
    });
}
