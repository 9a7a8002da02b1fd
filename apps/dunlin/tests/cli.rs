//! The command line, as its users meet it.

mod rig;

use rig::{dunlin, last_object, person, stderr};
use std::net::UdpSocket;
use std::process::Command;

#[test]
fn the_demo_delivers_everything_whole_with_a_tenth_of_all_datagrams_lost_and_three_carriers_killed()
{
    let folder = tempfile::tempdir().expect("a folder");
    let output = dunlin(
        folder.path(),
        &[
            "--json", "demo", "--loss", "10%", "--kill", "3", "--seed", "1",
        ],
    );
    let end = last_object(&output);
    for promise in ["delivered", "identical", "proof"] {
        assert_eq!(end[promise], true, "{promise}: {end}\n{}", stderr(&output));
    }
    assert_eq!((&end["carriers"], &end["killed"]), (&12.into(), &3.into()));
    assert_eq!(end["sha256_sent"], end["sha256_received"]);
    assert!(output.status.success());
}

#[test]
fn what_is_too_large_to_be_sent_at_once_is_refused_with_its_size_and_the_limit() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, _) = person(folder.path(), "alice");
    let (_, bob) = person(folder.path(), "bob");
    let long = folder.path().join("long.bin");
    let file = std::fs::File::create(&long).expect("our own folder");
    file.set_len(16_777_217).expect("a hole takes no room");
    let long = long.display().to_string();
    let output = dunlin(
        &alice,
        &[
            "--json",
            "send",
            "--to",
            &bob,
            "--listen",
            "127.0.0.1:0",
            &long,
        ],
    );
    assert_eq!(output.status.code(), Some(1));
    let error = last_object(&output)["error"]
        .as_str()
        .expect("an error")
        .to_owned();
    assert!(
        error.contains("16777217") && error.contains("16777216"),
        "{error}"
    );
}

#[test]
fn who_reaches_nobody_is_told_so_and_what_to_do_about_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (home, card) = person(folder.path(), "alice");
    let out = folder.path().join("out").display().to_string();
    let network = ["--listen", "127.0.0.1:0", "--within", "1"];
    let receive = [&["receive", "--once", "--out", &out], &network[..]].concat();
    let received = dunlin(&home, &receive);
    assert_eq!(received.status.code(), Some(1));
    let send = [&["send", "--to", &card, "hello"], &network[..]].concat();
    let sent = dunlin(&home, &send);
    assert_eq!(sent.status.code(), Some(1));
    let sent = String::from_utf8_lossy(&sent.stdout).into_owned();
    for text in [stderr(&received), sent] {
        assert!(text.contains("nobody could be reached"), "{text}");
        assert!(text.contains("--peer ADDR:PORT"), "{text}");
    }
}

#[test]
fn what_cannot_be_sent_keeps_the_demo_and_other_messages_from_starting() {
    let folder = tempfile::tempdir().expect("a folder");
    let (home, card) = person(folder.path(), "alice");
    let large = folder.path().join("large.bin");
    let file = std::fs::File::create(&large).expect("our own folder");
    file.set_len(20_000_000).expect("a hole takes no room");
    let large = large.display().to_string();
    for arguments in [
        &["demo", "--file", &large][..],
        &["send", "--to", &card, "hello", &large],
    ] {
        let output = dunlin(&home, arguments);
        assert_eq!(output.status.code(), Some(1));
        let error = stderr(&output);
        assert!(error.contains("large.bin: 20000000 bytes"), "{error}");
        assert!(error.contains("at once, 16777216"), "{error}");
        assert!(output.stdout.is_empty(), "nothing was started");
    }
    assert!(!home.join("outbox").exists(), "nothing was queued");
}

#[test]
fn a_busy_port_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let (home, _) = person(folder.path(), "relay");
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = taken.local_addr().expect("its address").to_string();
    let output = dunlin(&home, &["relay", "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
}

#[test]
fn a_damaged_card_is_refused_and_a_missing_key_file_says_how_to_make_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, card) = person(folder.path(), "alice");
    let mut damaged = card.clone();
    let last = if damaged.pop() == Some('a') { 'b' } else { 'a' };
    damaged.push(last);
    let output = dunlin(&alice, &["send", "--to", &damaged, "hello"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("card"), "{}", stderr(&output));

    let output = dunlin(
        &folder.path().join("nobody"),
        &["send", "--to", &card, "hello"],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("dunlin keys new"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_unknown_setting_names_the_nearest_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (home, _) = person(folder.path(), "relay");
    std::fs::write(home.join("dunlin.toml"), "[relay]\ncash_bytes = 1\n").expect("written");
    let output = dunlin(&home, &["relay", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("did you mean \"cache_bytes\"?"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn every_command_explains_itself_with_examples_and_exit_codes() {
    let commands: Vec<Vec<String>> = rig::commands();
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        let output = Command::new(env!("CARGO_BIN_EXE_dunlin"))
            .args(&command)
            .arg("--help")
            .output()
            .expect("dunlin runs");
        let help = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command:?}");
        for part in ["Examples:\n  ", "xit codes: "] {
            assert!(help.contains(part), "{command:?} lacks {part:?}: {help}");
        }
    }
}
