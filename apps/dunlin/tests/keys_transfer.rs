//! `dunlin keys export` and `import` as a person at a terminal meets them, and as a script does.

mod rig;

use rig::{dunlin, last_object, person, stderr};
use rustix::termios::{LocalModes, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const PASSPHRASE: &str = "three stones under a dune";
/// Written by `dunlin keys export` as version 1 was made, under that passphrase. It must open for ever.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/key-copy-1");
const GOLDEN_ID: &str = "hx5ntkwfpjp6vsnsdw4ibn6c7srh5hhvru7wvm6wxmgx2frg6i2a";
const GOLDEN_CARD: &str = "dunlin:aead36wzvlcxux7kzgzb3oeaw7bpzit6tt2y2p3kwpllwdl5cytpenctv7zlzkjj37nigqefvycscceqyranbteyqmgfvuo3zs3w3ex6sqrfjiht6nyuritblvhs6papirtgdilkkxxe3r4j6f5srrvkoytchtfucj5hufyucmk2pigkp2hc3745ndaus3q63pfmxe5z2ssfksyj34msegq";

fn secret(folder: &Path, text: &str) -> String {
    let path = folder.join("secret");
    std::fs::write(&path, format!("{text}\n")).expect("our own folder");
    path.display().to_string()
}

fn id(home: &Path) -> String {
    let shown = last_object(&dunlin(home, &["--json", "keys", "show"]));
    shown["id"].as_str().expect("an id").to_owned()
}

fn card(home: &Path) -> String {
    let made = last_object(&dunlin(home, &["--json", "keys", "card"]));
    made["card"].as_str().expect("a card").to_owned()
}

/// Alice, and her keys in a file.
fn exported(folder: &Path) -> (PathBuf, String, String) {
    let (alice, _) = person(folder, "alice");
    let secret = secret(folder, PASSPHRASE);
    let file = folder.join("alice.keys").display().to_string();
    let arguments = [
        "--json",
        "keys",
        "export",
        &file,
        "--passphrase-file",
        &secret,
    ];
    let done = dunlin(&alice, &arguments);
    assert!(done.status.success(), "{}", stderr(&done));
    assert_eq!(last_object(&done)["id"], id(&alice));
    (alice, file, secret)
}

fn import(home: &Path, file: &str, secret: &str, more: &[&str]) -> Output {
    let arguments = [
        "--json",
        "keys",
        "import",
        file,
        "--passphrase-file",
        secret,
    ];
    dunlin(home, &[&arguments[..], more].concat())
}

fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    let error = last_object(output)["error"].clone();
    error.as_str().expect("an error").to_owned()
}

#[test]
fn all_keys_of_a_device_are_there_on_another_after_export_and_import() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, file, secret) = exported(folder.path());
    let copy = folder.path().join("copy");
    let done = import(&copy, &file, &secret, &[]);
    assert!(done.status.success(), "{}", stderr(&done));
    // The card holds the identity and the mailbox, and the signature of the one over the other.
    assert_eq!(card(&copy), card(&alice));
    let again = last_object(&import(&copy, &file, &secret, &[]));
    assert_eq!(again["outcome"], "there already");
}

#[cfg(unix)]
#[test]
fn the_file_is_its_owners_alone_and_is_never_overwritten() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, file, secret) = exported(folder.path());
    let mode = std::fs::metadata(&file).expect("it was made").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let before = std::fs::read(&file).expect("there");
    let arguments = [
        "--json",
        "keys",
        "export",
        &file,
        "--passphrase-file",
        &secret,
    ];
    let error = refusal(&dunlin(&alice, &arguments));
    assert!(error.contains("exists already"), "{error}");
    assert_eq!(std::fs::read(&file).expect("there"), before);
}

#[test]
fn keys_that_are_there_are_replaced_only_if_that_was_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, file, secret) = exported(folder.path());
    let (bob, bobs) = person(folder.path(), "bob");
    let error = refusal(&import(&bob, &file, &secret, &[]));
    for part in [&id(&alice), &id(&bob), "--replace", "nothing was changed"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(card(&bob), bobs);
    let done = import(&bob, &file, &secret, &["--replace"]);
    assert!(done.status.success(), "{}", stderr(&done));
    assert_eq!(card(&bob), card(&alice));
}

#[test]
fn keys_are_not_replaced_under_a_process_that_runs_with_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, file, secret) = exported(folder.path());
    let carrier = rig::Carrier::start(folder.path(), 1, &[], &[]);
    let error = refusal(&import(&carrier.home, &file, &secret, &["--replace"]));
    assert!(error.contains("end it before"), "{error}");
    assert_eq!(id(&carrier.home), carrier.id);
}

#[test]
fn what_cannot_be_opened_says_why_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, file, secret) = exported(folder.path());
    let copy = folder.path().join("copy");
    let whole = std::fs::read(&file).expect("there");
    let other = folder.path().join("other");
    let other_name = other.display().to_string();
    let mut later = whole.clone();
    later[15] = 2;
    let mut altered = whole.clone();
    altered[60] ^= 1;
    for (content, what) in [
        (&whole[..100], "cut short: copy it again"),
        (&altered, "damaged"),
        (
            &later,
            "is of version 2, and this program knows version 1: update it",
        ),
        (b"hello", "is not a file that `dunlin keys export` wrote"),
        (b"", "is not a file that `dunlin keys export` wrote"),
    ] {
        std::fs::write(&other, content).expect("our own folder");
        let error = refusal(&import(&copy, &other_name, &secret, &[]));
        assert!(
            error.contains(&other_name) && error.contains(what),
            "{error}"
        );
    }
    let missing = folder.path().join("missing").display().to_string();
    let error = refusal(&import(&copy, &missing, &secret, &[]));
    assert!(error.contains(&missing), "{error}");
    let wrong = self::secret(folder.path(), "three stones under a done");
    let error = refusal(&import(&copy, &file, &wrong, &[]));
    assert!(
        error.contains("does not open with this passphrase"),
        "{error}"
    );
    assert!(!copy.join("keys").exists(), "nothing was written");
}

#[test]
fn a_passphrase_that_is_none_is_refused_and_without_a_terminal_the_way_out_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, _) = person(folder.path(), "alice");
    let file = folder.path().join("out").display().to_string();
    for (text, what) in [
        ("", "is empty"),
        ("short", "at least 8"),
        ("two\nlines", "more than one line"),
    ] {
        let secret = secret(folder.path(), text);
        let arguments = [
            "--json",
            "keys",
            "export",
            &file,
            "--passphrase-file",
            &secret,
        ];
        let error = refusal(&dunlin(&alice, &arguments));
        assert!(error.contains(what), "{error}");
    }
    let error = refusal(&dunlin(&alice, &["--json", "keys", "export", &file]));
    assert!(error.contains("--passphrase-file"), "{error}");
    assert!(!Path::new(&file).exists());
}

#[test]
fn version_1_is_imported_for_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("home");
    let secret = secret(folder.path(), PASSPHRASE);
    let done = import(&home, GOLDEN, &secret, &[]);
    assert!(done.status.success(), "{}", stderr(&done));
    assert_eq!(
        (id(&home).as_str(), card(&home).as_str()),
        (GOLDEN_ID, GOLDEN_CARD)
    );
}

/// A terminal, and what is seen on it.
struct Terminal {
    master: File,
    seen: String,
}

impl Terminal {
    /// Reads until `text` is seen once more, and types an answer.
    fn answer(&mut self, text: &str, answer: &str) {
        let from = self.seen.len();
        while !self.seen[from..].contains(text) {
            let mut bytes = [0; 256];
            let count = self
                .master
                .read(&mut bytes)
                .expect("it is open at both ends");
            self.seen += &String::from_utf8_lossy(&bytes[..count]);
        }
        self.master
            .write_all(answer.as_bytes())
            .expect("it is open at both ends");
    }
}

/// Runs a command at a terminal that shows `prompts` and gets `answers`; says what was seen there.
fn at_terminal(home: &Path, arguments: &[&str], answers: &[(&str, &str)]) -> (Output, String) {
    let (master, slave) = rig::terminal();
    let seen = String::new();
    let mut terminal = Terminal { master, seen };
    let before = tcgetattr(&slave).expect("its modes");
    let child = Command::new(env!("CARGO_BIN_EXE_dunlin"))
        .args(["--json", "--home"])
        .arg(home)
        .args(arguments)
        .stdin(slave.try_clone().expect("a copy"))
        .stderr(slave) // The last of ours: if the command ends early, reading ends with an error.
        .stdout(Stdio::piped())
        .spawn()
        .expect("dunlin runs");
    for (prompt, answer) in answers {
        terminal.answer(prompt, answer);
    }
    let output = child.wait_with_output().expect("it ends");
    let after = tcgetattr(&terminal.master).expect("its modes");
    assert_eq!(after.local_modes, before.local_modes, "as before");
    assert!(after.local_modes.contains(LocalModes::ECHO));
    (output, terminal.seen)
}

#[test]
fn a_passphrase_typed_at_a_terminal_is_not_shown_and_the_terminal_is_as_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, alices) = person(folder.path(), "alice");
    let file = folder.path().join("alice.keys").display().to_string();
    let typed = format!("{PASSPHRASE}\n");
    let twice = [("passphrase: ", &*typed), ("the same again: ", &*typed)];
    let (done, seen) = at_terminal(&alice, &["keys", "export", &file], &twice);
    assert!(done.status.success(), "{seen}");
    assert!(!seen.contains("stones"), "{seen}");

    let copy = folder.path().join("copy");
    let once = [("passphrase: ", &*typed)];
    let (done, seen) = at_terminal(&copy, &["keys", "import", &file], &once);
    assert!(done.status.success(), "{seen}");
    assert_eq!(card(&copy), alices);
}

#[test]
fn two_different_passphrases_or_ctrl_c_write_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, _) = person(folder.path(), "alice");
    let file = folder.path().join("alice.keys").display().to_string();
    let typed = format!("{PASSPHRASE}\n");
    let different = [
        ("passphrase: ", &*typed),
        ("the same again: ", "three stones\n"),
    ];
    let (refused, _) = at_terminal(&alice, &["keys", "export", &file], &different);
    let error = refusal(&refused);
    assert!(error.contains("two different passphrases"), "{error}");
    let (refused, _) = at_terminal(
        &alice,
        &["keys", "export", &file],
        &[("passphrase: ", "three\u{3}")],
    );
    let error = refusal(&refused);
    assert!(error.contains("interrupted"), "{error}");
    assert!(!Path::new(&file).exists());
}
