//! The command line as a person or a script meets it: what it prints, where, and its exit codes.

use std::path::Path;
use std::process::{Command, Output};

fn dunlin(home: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dunlin"))
        .arg("--home")
        .arg(home)
        .args(arguments)
        .env_remove("DUNLIN_HOME")
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The object on the last line of stdout.
fn object(output: &Output) -> serde_json::Value {
    let out = text(&output.stdout);
    let last = out.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {last}"))
}

#[test]
fn keys_are_made_once_shown_as_made_and_never_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("alice");
    let made = dunlin(&home, &["keys", "new", "--json"]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let id = object(&made)["id"].clone();
    assert_eq!(id.as_str().map(str::len), Some(52));
    assert_eq!(
        object(&dunlin(&home, &["--json", "keys", "show"]))["id"],
        id
    );

    let again = dunlin(&home, &["keys", "new"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        text(&again.stderr).contains("never overwritten"),
        "{}",
        text(&again.stderr)
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
    assert!(text(&output.stderr).contains("dunlin keys new"));
    let error = object(&output)["error"].to_string();
    assert!(error.contains("dunlin keys new"), "{error}");
}

#[test]
fn what_is_not_understood_exits_with_2_and_help_with_0() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(dunlin(folder.path(), &["fly"]).status.code(), Some(2));
    assert_eq!(dunlin(folder.path(), &[]).status.code(), Some(2));
    for arguments in [
        ["--help", "--json"],
        ["keys", "--help"],
        ["doctor", "--help"],
    ] {
        let help = dunlin(folder.path(), &arguments);
        assert_eq!(help.status.code(), Some(0), "{arguments:?}");
        let help = text(&help.stdout);
        assert!(
            help.contains("Examples:") && help.contains("Exit codes:"),
            "{help}"
        );
    }
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
    let lines = text(&ill.stdout);
    let failing: Vec<&str> = lines
        .lines()
        .filter(|line| line.starts_with("FAIL"))
        .collect();
    assert_eq!(failing.len(), 1, "{lines}");
    assert!(failing[0].contains("keys"), "{lines}");
}
