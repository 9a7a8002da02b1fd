//! `dunlin sim`, as its users meet it.

mod rig;

use rig::{dunlin, last_object, stderr};
use std::path::{Path, PathBuf};

const SCENARIO: &str = "\
about = \"A dozen carriers and two people, for a quarter of an hour.\"
duration = \"15 min\"
warm_up = \"5 min\"
prefixes = 14

[network]
delay_ms = 40
jitter_ms = 10
loss_percent = 1

[[nodes]]
name = \"carriers\"
count = 12
carry = true

[[nodes]]
name = \"people\"
count = 2

[[messages]]
from = \"people\"
to = \"people\"
count = 4
until = \"8 min\"
bytes = 200

[must]
";

/// The scenario in a file, with what must hold.
fn file(folder: &Path, must: &str) -> PathBuf {
    let path = folder.join("tea.toml");
    std::fs::write(&path, format!("{SCENARIO}{must}\n")).expect("written");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn a_seed_gives_one_trace_and_plots_and_another_seed_gives_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file(folder.path(), "delivered_percent = 100");
    let run = |seed: &str, plots: &str| {
        let plots = folder.path().join(plots);
        let output = dunlin(
            folder.path(),
            &[
                "--json",
                "sim",
                text(&file),
                "--seed",
                seed,
                "--plot",
                text(&plots),
            ],
        );
        assert!(output.status.success(), "{}", stderr(&output));
        let object = last_object(&output);
        let paths = object["plots"].as_array().expect("paths").clone();
        let plots: Vec<String> = paths
            .iter()
            .map(|path| std::fs::read_to_string(path.as_str().expect("a path")).expect("a plot"))
            .collect();
        (object, plots)
    };
    let (one, plots) = run("7", "a");
    assert_eq!((&one["sent"], &one["delivered"]), (&4.into(), &4.into()));
    assert_eq!((&one["held"], &one["nodes"]), (&true.into(), &14.into()));
    assert_eq!(one["trace"].as_str().map(str::len), Some(64));
    for field in [
        "hops",
        "events",
        "events_per_second",
        "bytes_per_node",
        "seconds",
    ] {
        assert!(one[field].is_number(), "{field}: {one}");
    }
    assert_eq!(plots.len(), 5);

    let (again, same_plots) = run("7", "b");
    assert_eq!((&again["trace"], same_plots), (&one["trace"], plots));
    let (other, _) = run("8", "c");
    assert_ne!(other["trace"], one["trace"]);
}

#[test]
fn what_does_not_hold_is_marked_and_the_exit_code_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file(folder.path(), "datagrams_per_node_hour = 1");
    let output = dunlin(folder.path(), &["sim", text(&file)]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        told.starts_with("tea, seed 1: 14 nodes, 15 min of virtual time"),
        "{told}"
    );
    assert!(told.contains("\n  ✗ "), "{told}");
}

#[test]
fn a_scenario_that_cannot_be_understood_is_refused_with_the_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file(folder.path(), "delivred_percent = 99");
    let output = dunlin(folder.path(), &["sim", text(&file)]);
    assert_eq!(output.status.code(), Some(2));
    let line = SCENARIO.lines().count() + 1;
    assert!(
        stderr(&output).contains(&format!("tea.toml:{line}: ")),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_drawn_scenario_is_printed_as_a_file_that_reads_back_as_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let print = |arguments: &[&str]| {
        let output = dunlin(folder.path(), &[&["sim", "--print"], arguments].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let drawn = print(&["--swarm", "--seed", "17"]);
    let path = folder.path().join("swarm-17.toml");
    std::fs::write(&path, &drawn).expect("written");
    assert_eq!(print(&[text(&path)]), drawn);
    assert_ne!(print(&["--swarm", "--seed", "18"]), drawn);
}

#[test]
fn a_scenario_and_real_processes_on_loopback_deliver_the_same_and_send_about_as_much() {
    const TWIN: &str = "\
duration = \"25 s\"
warm_up = \"12 s\"
joins_per_second = 1
prefixes = 8

[network]
jitter_ms = 1

[[nodes]]
name = \"carriers\"
count = 5
carry = true

[[nodes]]
name = \"people\"
count = 2

[[messages]]
from = \"people\"
to = \"people\"
count = 3
until = \"18 s\"
bytes = 200

[must]
delivered_percent = 100
";
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("twin.toml");
    std::fs::write(&file, TWIN).expect("written");
    let output = dunlin(folder.path(), &["--json", "sim", text(&file), "--twin"]);
    let object = last_object(&output);
    assert!(
        output.status.success() && object["agree"] == true,
        "{object}\n{}",
        stderr(&output)
    );
    for side in ["simulated", "real"] {
        let counts = ["sent", "delivered", "proved"].map(|count| object[side][count].as_u64());
        assert_eq!(counts, [Some(3); 3], "{side}: {object}");
    }

    let moving = TWIN.replace("jitter_ms = 1", "delay_ms = 40");
    std::fs::write(&file, moving).expect("written");
    let refused = dunlin(folder.path(), &["sim", text(&file), "--twin"]);
    assert_eq!(refused.status.code(), Some(2));
    let told = stderr(&refused);
    assert!(
        told.contains("delay_ms, jitter_ms: on loopback at most 1"),
        "{told}"
    );
}
