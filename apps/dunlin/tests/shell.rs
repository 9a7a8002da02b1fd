//! `dunlin completions` and `dunlin man`: taken by the shell, and complete.

mod rig;

use rig::{commands, dunlin, last_object, stderr};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

fn script(shell: &str) -> String {
    let printed = dunlin(Path::new("/nowhere"), &["completions", shell]);
    assert!(printed.status.success(), "{}", stderr(&printed));
    String::from_utf8(printed.stdout).expect("text")
}

/// Gives bash a script on stdin.
fn bash(options: &[&str], script: &str) -> String {
    let mut bash = Command::new("bash")
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bash");
    let mut stdin = bash.stdin.take().expect("a pipe");
    stdin.write_all(script.as_bytes()).expect("it reads");
    drop(stdin);
    let output = bash.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn bash_accepts_the_script_and_completes_by_it() {
    let script = script("bash");
    bash(&["-n"], &script);
    let complete = |words: &str, at: usize| {
        let ask = format!(
            "{script}\nCOMP_WORDS=({words}); COMP_CWORD={at}\n_dunlin dunlin \"${{COMP_WORDS[{at}]}}\" \"${{COMP_WORDS[{}]}}\"\necho \"${{COMPREPLY[@]}}\"",
            at - 1
        );
        bash(&[], &ask)
    };
    assert_eq!(complete("dunlin cont", 1), "contacts\n");
    assert_eq!(complete("dunlin keys exp", 2), "export\n");
    assert_eq!(complete("dunlin outbox canc", 2), "cancel\n");
    assert_eq!(complete("dunlin keys card --q", 3), "--qr\n");
}

#[test]
fn each_shell_gets_a_script_that_knows_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = script(shell);
        for command in commands() {
            let name = command.last().map_or("dunlin", String::as_str);
            assert!(script.contains(name), "{shell} does not know {command:?}");
        }
    }
    let refused = dunlin(Path::new("/nowhere"), &["--json", "completions", "csh"]);
    assert_eq!(refused.status.code(), Some(2));
    let object = last_object(&dunlin(
        Path::new("/nowhere"),
        &["--json", "completions", "fish"],
    ));
    assert_eq!(object["script"], script("fish"));
}

#[test]
fn every_command_has_a_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let pages = folder.path().join("man").join("man1");
    let written = dunlin(
        folder.path(),
        &["--json", "man", &pages.display().to_string()],
    );
    assert!(written.status.success(), "{}", stderr(&written));
    let object = last_object(&written);
    let told = object["pages"].as_array().expect("a list");
    let commands = commands();
    assert!(commands.len() > 20, "{commands:?}");
    for command in &commands {
        let name = [&["dunlin".to_owned()], &command[..]].concat().join("-") + ".1";
        assert!(
            told.contains(&name.as_str().into()),
            "{name} is not told of"
        );
        let page = std::fs::read_to_string(pages.join(&name));
        let page = page.unwrap_or_else(|error| panic!("{name}: {error}"));
        for part in [".TH", ".SH NAME", ".SH SYNOPSIS", "Examples:"] {
            assert!(page.contains(part), "{name} lacks {part}");
        }
    }
    assert_eq!(told.len(), commands.len());
    assert_eq!(
        std::fs::read_dir(&pages).expect("a folder").count(),
        commands.len()
    );
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("our own folder");
    let refused = dunlin(
        folder.path(),
        &["man", &file.join("man1").display().to_string()],
    );
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("man1"), "{}", stderr(&refused));
}
