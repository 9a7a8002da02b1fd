//! `dunlin contacts`, and where a contact's name stands for a card or an id.

mod rig;

use rig::{Carrier, dunlin, last_object, person, stderr};
use std::path::Path;
use std::process::Output;

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn done(home: &Path, arguments: &[&str]) -> String {
    let output = dunlin(home, arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        stderr(&output)
    );
    stdout(&output)
}

#[test]
fn contacts_are_added_shown_renamed_and_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, alices) = person(folder.path(), "alice");
    let (bob, bobs) = person(folder.path(), "bob");
    let file = folder.path().join("bob.card");
    std::fs::write(&file, format!("{bobs}\n")).expect("our own folder");
    let added = dunlin(
        &alice,
        &[
            "--json",
            "contacts",
            "add",
            "Bob",
            &file.display().to_string(),
        ],
    );
    let added = last_object(&added);
    let id = last_object(&dunlin(&bob, &["--json", "keys", "show"]))["id"].clone();
    assert_eq!((&added["id"], &added["renewed"]), (&id, &false.into()));
    done(&alice, &["contacts", "add", "Me", &alices]);

    let all = last_object(&dunlin(&alice, &["--json", "contacts", "list"]));
    assert_eq!(all["contacts"][0]["name"], "Bob");
    assert_eq!(all["contacts"][1]["name"], "Me");
    let shown = done(&alice, &["contacts", "show", "bob"]);
    assert!(shown.contains(&bobs), "{shown}");

    // The same person with a card that says more: the name stays.
    let named = dunlin(&bob, &["--json", "keys", "card", "--name", "Robert"]);
    let named = last_object(&named)["card"]
        .as_str()
        .expect("a card")
        .to_owned();
    let renewed = last_object(&dunlin(
        &alice,
        &["--json", "contacts", "add", "Bob", &named],
    ));
    assert_eq!(
        (&renewed["renewed"], &renewed["own_name"]),
        (&true.into(), &"Robert".into())
    );
    done(&alice, &["contacts", "rename", "Bob", "Bob Smith"]);
    let removed = done(&alice, &["contacts", "remove", "BOB SMITH"]);
    assert!(removed.contains(&named), "{removed}");
    let left = done(&alice, &["contacts", "list"]);
    assert_eq!(left.lines().count(), 1, "{left}");
    assert!(left.starts_with("Me "), "{left}");
}

#[cfg(unix)]
#[test]
fn the_file_of_contacts_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, card) = person(folder.path(), "alice");
    done(&alice, &["contacts", "add", "Me", &card]);
    let file = std::fs::metadata(alice.join("contacts")).expect("it was made");
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_name_that_nobody_has_is_answered_with_the_nearest() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, card) = person(folder.path(), "alice");
    done(&alice, &["contacts", "add", "Bob", &card]);
    for arguments in [
        &["send", "--to", "Bpb", "hello"][..],
        &["contacts", "show", "Bpb"],
        &["contacts", "remove", "Bpb"],
        &["contacts", "rename", "Bpb", "Robert"],
    ] {
        let refused = dunlin(&alice, arguments);
        assert_eq!(refused.status.code(), Some(1));
        let error = stderr(&refused);
        assert!(error.contains("did you mean \"Bob\"?"), "{error}");
    }
    let other = person(folder.path(), "mallory").1;
    let refused = dunlin(&alice, &["contacts", "add", "Bob", &other]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("somebody else"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn a_damaged_file_of_contacts_is_named_and_messages_come_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, card) = person(folder.path(), "alice");
    std::fs::write(alice.join("contacts"), "dunlin contacts 1\ntorn").expect("our own folder");
    for arguments in [
        &["contacts", "list"][..],
        &["contacts", "add", "Bob", &card],
        &["send", "--to", "Bob", "hello"],
    ] {
        let refused = dunlin(&alice, arguments);
        assert_eq!(refused.status.code(), Some(1));
        let error = stderr(&refused);
        assert!(error.contains("contacts, line 2"), "{error}");
    }
    let outbox = dunlin(&alice, &["outbox", "list"]);
    assert!(outbox.status.success(), "{}", stderr(&outbox));
    assert!(stderr(&outbox).contains("line 2"), "it is warned of");
}

#[test]
fn a_message_sent_to_a_name_comes_from_a_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let carrier = Carrier::start(folder.path(), 1, &[], &[]);
    let (alice, alices) = person(folder.path(), "alice");
    let (bob, bobs) = person(folder.path(), "bob");
    done(&alice, &["contacts", "add", "Bob", &bobs]);
    done(&bob, &["contacts", "add", "Alice A.", &alices]);
    // A file of that name is not taken for him.
    let trap = folder.path().join("trap");
    std::fs::create_dir(&trap).expect("our own folder");
    std::fs::write(trap.join("bob"), &alices).expect("our own folder");
    let network = ["--listen", "127.0.0.1:0", "--peer", &carrier.entry];
    let send = [
        &["send", "--to", "bob", "--copies", "1", "Tea?"][..],
        &network,
    ]
    .concat();
    let sent = std::process::Command::new(env!("CARGO_BIN_EXE_dunlin"))
        .current_dir(&trap)
        .arg("--home")
        .arg(&alice)
        .args(send)
        .output()
        .expect("dunlin runs");
    assert!(sent.status.success(), "{}", stderr(&sent));
    let out = folder.path().join("out").display().to_string();
    let receive = [&["receive", "--count", "1", "--out", &out][..], &network].concat();
    assert_eq!(done(&bob, &receive), "Alice A.: Tea?\n");
    let listed = done(&alice, &["outbox", "list"]);
    assert!(listed.contains("to Bob"), "{listed}");
}
