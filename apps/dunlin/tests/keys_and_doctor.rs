//! `dunlin keys` and `dunlin doctor` as a person or a script meets them: what they print, where, and their exit codes.

mod rig;

use rig::{dunlin, last_object as object, person, stderr};
use std::process::Output;

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn keys_are_made_once_shown_as_made_and_never_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("alice");
    let made = dunlin(&home, &["keys", "new", "--json"]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let id = object(&made)["id"].clone();
    assert_eq!(id.as_str().map(str::len), Some(52));
    assert_eq!(
        object(&dunlin(&home, &["--json", "keys", "show"]))["id"],
        id
    );

    let again = dunlin(&home, &["keys", "new"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        stderr(&again).contains("never overwritten"),
        "{}",
        stderr(&again)
    );
    assert_eq!(
        object(&dunlin(&home, &["--json", "keys", "show"]))["id"],
        id
    );
}

#[cfg(unix)]
#[test]
fn the_folder_and_the_keys_in_it_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("alice");
    assert!(dunlin(&home, &["keys", "new"]).status.success());
    for (path, mode) in [(home.clone(), 0o700), (home.join("keys"), 0o600)] {
        let metadata = std::fs::metadata(path).expect("it was made");
        assert_eq!(metadata.permissions().mode() & 0o777, mode);
    }
}

#[test]
fn without_keys_the_error_says_how_to_make_them_in_json_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = dunlin(folder.path(), &["keys", "show", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("dunlin keys new"));
    let error = object(&output)["error"].to_string();
    assert!(error.contains("dunlin keys new"), "{error}");
}

#[test]
fn a_card_names_its_owner_and_a_name_too_long_for_it_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (home, card) = person(folder.path(), "alice");
    assert!(card.starts_with("dunlin:"), "{card}");
    assert_eq!(stdout(&dunlin(&home, &["keys", "card"])).trim_end(), card);

    let options = [
        "--json",
        "keys",
        "card",
        "--name",
        "Alice",
        "--address",
        "192.0.2.7:4242",
    ];
    let made = object(&dunlin(&home, &options));
    assert_eq!(
        made["id"],
        object(&dunlin(&home, &["keys", "show", "--json"]))["id"]
    );
    assert!(
        made["card"].as_str().map(str::len) > Some(card.len()),
        "{made}"
    );

    let name = "a name of more than 32 bytes, truly";
    let refused = dunlin(&home, &["keys", "card", "--name", name]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("32"), "{}", stderr(&refused));
}

#[test]
fn what_is_not_understood_exits_with_2() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(dunlin(folder.path(), &["fly"]).status.code(), Some(2));
    assert_eq!(dunlin(folder.path(), &[]).status.code(), Some(2));
    assert_eq!(
        dunlin(folder.path(), &["keys", "card", "--address", "here"])
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn what_is_not_understood_is_told_to_whoever_reads_json_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = dunlin(folder.path(), &["--json", "demo", "--carrier", "3"]);
    assert_eq!(output.status.code(), Some(2));
    let error = object(&output)["error"].to_string();
    assert!(error.contains("--carrier"), "{error}");
    assert!(
        stderr(&output).contains("--carriers"),
        "the nearest is named"
    );
    let help = dunlin(folder.path(), &["--json", "--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(stdout(&help).contains("Examples:"));
}

#[test]
fn the_doctor_says_each_check_once_and_fails_on_a_broken_key_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let well = dunlin(
        folder.path(),
        &["doctor", "--json", "--listen", "127.0.0.1:0"],
    );
    let object_of_well = object(&well);
    assert_eq!(well.status.code(), Some(0), "{object_of_well}");
    let names: Vec<&str> = object_of_well["checks"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|check| check["name"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "folder",
            "disk",
            "keys",
            "clock",
            "udp",
            "ipv6",
            "multicast",
            "buffers"
        ]
    );

    std::fs::write(folder.path().join("keys"), "torn").expect("our own folder");
    let ill = dunlin(folder.path(), &["doctor"]);
    assert_eq!(ill.status.code(), Some(1));
    let lines = stdout(&ill);
    let failing: Vec<&str> = lines
        .lines()
        .filter(|line| line.starts_with("FAIL"))
        .collect();
    assert_eq!(failing.len(), 1, "{lines}");
    assert!(failing[0].contains("keys"), "{lines}");
}
