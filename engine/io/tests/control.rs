//! The control socket, over a real one.

use dunlin_engine::prelude::*;
use dunlin_io::{ControlClient, ControlPlugin, Inline, Io, IoPlugin};
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

fn reverse(In(call): In<Call<()>>) -> Result<Answer, CallError> {
    let reversed: Vec<u8> = call.body.iter().rev().copied().collect();
    Ok(Answer::Now(
        Reply::of(reversed.len())?.with_body(reversed.into()),
    ))
}

fn slow(In(call): In<Call<()>>, io: Res<Io>) -> Result<Answer, CallError> {
    let responder = call.later();
    io.spawn(async { 42 }, move |_, output| {
        responder.answer(Reply::of(output))
    });
    Ok(Answer::Later)
}

fn count(In(open): In<Open<()>>) -> Result<(), CallError> {
    for n in 0..3 {
        open.sink
            .send(Reply::of(n)?)
            .map_err(|_| CallError::new("full", "no room for three items"))?;
    }
    Ok(())
}

fn app(path: &Path) -> App {
    let mut app = App::new();
    app.add_plugins((
        IoPlugin,
        ControlPlugin {
            path: path.to_owned(),
        },
    ));
    app.call("test.reverse", reverse);
    app.call("test.slow", slow);
    app.stream("test.count", count);
    app
}

#[test]
fn a_call_goes_in_at_the_control_socket_and_its_answer_comes_out_body_and_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run/control");
    let running = Threaded::start(app(&path)).expect("it starts");
    let mode = std::fs::metadata(&path)
        .expect("the socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut client = ControlClient::connect(&path, LIMIT).expect("it listens");
    let reply = client
        .call("test.reverse", &json!({}), b"drawer")
        .expect("an answer");
    assert_eq!((reply.value, &reply.body[..]), (json!(6), &b"reward"[..]));
    assert_eq!(
        client
            .call("test.slow", &json!({}), b"")
            .expect("an answer")
            .value,
        42
    );
    let error = client
        .call("test.revers", &json!({}), b"")
        .expect_err("a typo");
    assert!(
        error.message.contains("did you mean \"test.reverse\"?"),
        "{error}"
    );
    let list = client
        .call("calls.list", &json!(null), b"")
        .expect("the list")
        .value;
    assert!(
        list.as_array()
            .expect("an array")
            .contains(&json!({ "name": "test.count", "kind": "stream" }))
    );

    drop(running.stop());
    assert!(!path.exists(), "the socket goes with the app");
}

#[test]
fn a_stream_over_the_control_socket_gives_its_items_and_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("control");
    let running = Threaded::start(app(&path)).expect("it starts");
    let mut stream = UnixStream::connect(&path).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    stream
        .write_all(b"{\"id\":7,\"call\":\"test.count\"}\n")
        .expect("written");
    let mut lines = BufReader::new(stream.try_clone().expect("a copy")).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    let mut seen: Vec<String> = (0..4).map(|_| next()).collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            r#"{"id":7,"item":0}"#,
            r#"{"id":7,"item":1}"#,
            r#"{"id":7,"item":2}"#,
            r#"{"id":7,"value":null}"#,
        ]
    );
    stream
        .write_all(b"{\"id\":7,\"call\":\"close\"}\n")
        .expect("written");
    assert_eq!(next(), r#"{"id":7,"end":true}"#);
    drop(running.stop());
}

#[test]
fn rubbish_on_the_control_socket_is_answered_with_what_was_expected_and_harms_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("control");
    let running = Threaded::start(app(&path)).expect("it starts");
    for rubbish in [
        "hello\n",
        "{\"id\":1}\n",
        "{\"id\":1,\"call\":\"x\",\"body\":99999999999}\n",
        "\u{0}\n",
    ] {
        let mut stream = UnixStream::connect(&path).expect("it listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream.write_all(rubbish.as_bytes()).expect("written");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("closed after the answer");
        assert!(
            answer.contains("\"code\":\"request\""),
            "{rubbish:?}: {answer}"
        );
    }
    let mut long = UnixStream::connect(&path).expect("it listens");
    // The other side stops reading in the middle, so this write may fail.
    let _ = long.write_all(&vec![b'a'; 1 << 20]);
    let mut client = ControlClient::connect(&path, LIMIT).expect("it still listens");
    client
        .call("test.reverse", &json!({}), b"")
        .expect("it still answers");
    drop(running.stop());
}

#[test]
fn who_asks_and_never_reads_is_soon_not_read_from_and_harms_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("control");
    let running = Threaded::start(app(&path)).expect("it starts");
    let mut other = ControlClient::connect(&path, LIMIT).expect("it listens");
    let mut greedy = UnixStream::connect(&path).expect("it listens");
    greedy.set_nonblocking(true).expect("our own socket");
    let request = b"{\"id\":1,\"call\":\"calls.list\"}\n";
    let chunk = request.repeat(1_000);
    let (mut taken, mut refused) = (0, 0);
    // Fifty refusals with work of the runtime's between them: it is not merely slow.
    while refused < 50 && taken < 1_000_000 * request.len() {
        // From where the last write broke off, so that each line stays whole.
        match greedy.write(&chunk[taken % request.len()..]) {
            Ok(count) => (taken, refused) = (taken + count, 0),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                refused += 1;
                other
                    .call("test.reverse", &json!({}), b"")
                    .expect("others are answered");
            }
        }
    }
    let asked = taken / request.len();
    assert!(asked < 50_000, "{asked} requests were taken");
    drop(greedy);
    other
        .call("test.reverse", &json!({}), b"")
        .expect("still there");
    drop(running.stop());
}

#[test]
fn who_stops_sending_after_a_request_still_gets_its_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("control");
    let running = Threaded::start(app(&path)).expect("it starts");
    for (call, value) in [("test.reverse", "0"), ("test.slow", "42")].repeat(20) {
        let mut stream = UnixStream::connect(&path).expect("it listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        let request = format!("{{\"id\":1,\"call\":\"{call}\"}}\n");
        stream.write_all(request.as_bytes()).expect("written");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("as `nc -N` does");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("to its end");
        assert_eq!(answer, format!("{{\"id\":1,\"value\":{value}}}\n"));
    }
    drop(running.stop());
}

#[test]
fn a_control_socket_in_use_is_an_error_and_one_left_behind_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("control");
    let running = Threaded::start(app(&path)).expect("it starts");
    let error = Threaded::start(app(&path))
        .err()
        .expect("taken")
        .to_string();
    assert!(error.contains("another process serves"), "{error}");
    drop(running.stop());

    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket that nobody serves"));
    let running = Threaded::start(app(&path)).expect("it takes the place");
    drop(running.stop());

    std::fs::write(&path, "precious").expect("a file");
    let error = Threaded::start(app(&path))
        .err()
        .expect("a file")
        .to_string();
    assert!(error.contains("not a socket"), "{error}");
    assert_eq!(
        std::fs::read_to_string(&path).expect("still there"),
        "precious"
    );
}

#[test]
fn inline_runs_io_and_engine_on_one_thread_until_a_system_ends_it() {
    let mut app = App::new();
    app.call("test.slow", slow);
    app.add_startup(|io: Res<Io>| {
        let here = std::thread::current().id();
        io.spawn(
            async move { here == std::thread::current().id() },
            |world, same| {
                world.resource_mut::<Exit>().0 = Some(format!("same thread: {same}"));
            },
        );
    });
    assert_eq!(
        Inline::run(app, |_| {}).expect("it ran"),
        "same thread: true"
    );
}

#[test]
fn the_interrupt_signal_ends_an_app_that_asked_for_it() {
    let mut app = App::new();
    app.add_plugins((IoPlugin, dunlin_io::SignalsPlugin));
    let own = std::process::id().to_string();
    let why = Inline::run(app, |_| {
        let sent = std::process::Command::new("kill")
            .args(["-INT", &own])
            .status();
        assert!(sent.expect("kill runs").success());
    });
    assert_eq!(why.expect("it ran"), "interrupted");
}
