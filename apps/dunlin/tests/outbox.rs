//! `dunlin outbox list` and `cancel` as a person meets them, alone and beside processes that send or receive.

mod rig;

use rig::{Carrier, dunlin, last_object, person, stderr, until};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Puts one message into the outbox of somebody who reaches nobody.
fn queue(home: &Path, card: &str, text: &str) {
    let arguments = [
        "send",
        "--to",
        card,
        "--listen",
        "127.0.0.1:0",
        "--within",
        "0",
        text,
    ];
    let sent = dunlin(home, &arguments);
    assert_eq!(sent.status.code(), Some(1), "{}", stderr(&sent));
}

fn listed(home: &Path) -> Vec<Value> {
    let output = dunlin(home, &["--json", "outbox", "list"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let messages = last_object(&output)["messages"].clone();
    messages.as_array().expect("a list").clone()
}

fn ids(home: &Path) -> Vec<String> {
    let id = |row: &Value| row["id"].as_str().expect("an id").to_owned();
    listed(home).iter().map(id).collect()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn files(home: &Path) -> usize {
    std::fs::read_dir(home.join("outbox"))
        .expect("an outbox")
        .count()
}

/// A `dunlin` that runs on, killed when dropped.
struct Running(Child);

impl Running {
    fn start(home: &Path, arguments: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
        command.arg("--home").arg(home).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Running(command.spawn().expect("dunlin runs"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn alice_and_two_messages(folder: &Path) -> (PathBuf, Vec<String>) {
    let (alice, _) = person(folder, "alice");
    let (_, bob) = person(folder, "bob");
    queue(&alice, &bob, "Tea?");
    queue(&alice, &bob, "Cake?");
    let ids = ids(&alice);
    assert_eq!(ids.len(), 2);
    (alice, ids)
}

#[test]
fn a_cancelled_message_is_gone_from_the_disk_and_the_others_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, all) = alice_and_two_messages(folder.path());
    assert_eq!(files(&alice), 2);
    let cancelled = dunlin(&alice, &["--json", "outbox", "cancel", &all[0][..12]]);
    assert!(cancelled.status.success(), "{}", stderr(&cancelled));
    let object = last_object(&cancelled);
    assert_eq!(object["cancelled"]["id"], *all[0]);
    assert_eq!(object["cancelled"]["carriers"], 0);
    assert_eq!(ids(&alice), all[1..]);
    assert_eq!(files(&alice), 1);

    let again = dunlin(&alice, &["outbox", "cancel", &all[0]]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("outbox list"), "{}", stderr(&again));
    let short = dunlin(&alice, &["--json", "outbox", "cancel", "ab"]);
    assert_eq!(short.status.code(), Some(2));
    let error = last_object(&short)["error"].to_string();
    assert!(error.contains("first 4"), "{error}");
}

#[test]
fn what_carriers_have_already_is_said_when_a_message_is_cancelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let carrier = Carrier::start(folder.path(), 1, &[], &[]);
    let (alice, _) = person(folder.path(), "alice");
    let (_, bob) = person(folder.path(), "bob");
    let arguments = [
        "send",
        "--to",
        &bob,
        "--copies",
        "1",
        "--listen",
        "127.0.0.1:0",
        "--peer",
        &carrier.entry,
        "Tea?",
    ];
    let sent = dunlin(&alice, &arguments);
    assert!(sent.status.success(), "{}", stderr(&sent));
    let row = listed(&alice).remove(0);
    assert_eq!(
        (&row["state"], &row["stored"]),
        (&"stored".into(), &1.into())
    );
    let id = row["id"].as_str().expect("an id");
    let cancelled = dunlin(&alice, &["outbox", "cancel", id]);
    let text = stdout(&cancelled);
    assert!(
        text.contains("1 may have copies until they expire"),
        "{text}"
    );
    assert!(text.contains("may still get one"), "{text}");
    assert_eq!(carrier.status()["packets"], 1, "it keeps what it has");
}

#[test]
fn a_message_that_a_running_receive_knows_leaves_its_memory_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, all) = alice_and_two_messages(folder.path());
    let out = folder.path().join("out").display().to_string();
    let _receive = Running::start(
        &alice,
        &["receive", "--listen", "127.0.0.1:0", "--out", &out],
    );
    let socket = alice.join("control");
    until("it serves its control socket", || socket.exists());
    let mut control =
        dunlin_io::ControlClient::connect(&socket, rig::LIMIT).expect("its control socket");
    let mut outbox = || {
        let answer = control.call("relay.outbox", &serde_json::json!({}), b"");
        answer.expect("an answer").value.as_array().map(Vec::len)
    };
    assert_eq!(outbox(), Some(2));
    let cancelled = dunlin(&alice, &["outbox", "cancel", &all[1]]);
    assert!(cancelled.status.success(), "{}", stderr(&cancelled));
    assert_eq!(outbox(), Some(1));
    assert_eq!(ids(&alice), all[..1]);
}

#[test]
fn a_message_that_another_process_is_sending_is_not_cancelled_behind_its_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, all) = alice_and_two_messages(folder.path());
    let mut waiting = Running::start(&alice, &["outbox", "--wait", "--listen", "127.0.0.1:0"]);
    // It has read its outbox once it tells of it. It ends if nobody reads on.
    let mut line = String::new();
    let mut told = BufReader::new(waiting.0.stdout.take().expect("a pipe"));
    told.read_line(&mut line)
        .expect("it tells where they stand");
    let refused = dunlin(&alice, &["outbox", "cancel", &all[0]]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("Ctrl-C"), "{}", stderr(&refused));
    drop((waiting, told));
    let cancelled = dunlin(&alice, &["outbox", "cancel", &all[0]]);
    assert!(cancelled.status.success(), "{}", stderr(&cancelled));
}

#[test]
fn an_empty_outbox_says_so_and_makes_no_noise_in_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, _) = person(folder.path(), "alice");
    let text = stdout(&dunlin(&alice, &["outbox", "list"]));
    assert_eq!(text, "nothing is under way.\n");
    assert!(listed(&alice).is_empty());
}

#[test]
fn what_a_running_receive_writes_down_is_not_lost_when_another_command_looks_at_the_outbox() {
    let folder = tempfile::tempdir().expect("a folder");
    let carrier = Carrier::start(folder.path(), 1, &[], &[]);
    let (alice, _) = person(folder.path(), "alice");
    let (bob, bobs) = person(folder.path(), "bob");
    let out = folder.path().join("out").display().to_string();
    let network = ["--listen", "127.0.0.1:0", "--peer", &carrier.entry];
    let _receive = Running::start(&bob, &[&["receive", "--out", &out][..], &network].concat());
    let socket = bob.join("control");
    until("it serves its control socket", || socket.exists());
    let looked = dunlin(&bob, &["outbox", "--listen", "127.0.0.1:0"]);
    assert!(looked.status.success(), "{}", stderr(&looked));
    let send = ["send", "--to", &bobs, "--copies", "1", "Tea?"];
    let sent = dunlin(&alice, &[&send[..], &network].concat());
    assert!(sent.status.success(), "{}", stderr(&sent));
    // By this Bob's next receive knows that he has had the message.
    let seen = bob.join("seen");
    until("it is written down", || {
        std::fs::metadata(&seen).is_ok_and(|seen| seen.len() > 0)
    });
}
