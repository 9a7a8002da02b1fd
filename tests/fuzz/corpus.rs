//! What fuzzers have found, and what they began with, goes through the same functions in every test run.

#[path = "src/lib.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use targets::TARGETS;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz")
        .join(name)
}

/// The names in a folder, without their endings.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .flatten()
        .filter_map(|entry| Some(entry.path().file_stem()?.to_string_lossy().into_owned()))
        .collect()
}

#[test]
fn what_fuzzers_found_does_no_harm_any_more() {
    for (name, _) in TARGETS {
        let corpus = folder("corpus").join(name);
        let mut replayed = 0;
        for entry in fs::read_dir(&corpus).into_iter().flatten().flatten() {
            println!("{}", entry.path().display()); // Shown only if it fails: then it is the last one.
            let bytes = fs::read(entry.path()).expect("a file of the repository");
            targets::run(name, &bytes);
            replayed += 1;
        }
        assert!(replayed > 0, "{} is empty", corpus.display());
    }
}

#[test]
fn every_target_has_a_fuzzer_and_every_fuzzer_a_target() {
    let listed: BTreeSet<String> = TARGETS.iter().map(|target| target.0.to_owned()).collect();
    assert_eq!(names(&folder("fuzz_targets")), listed);
    assert_eq!(names(&folder("corpus")), listed);
}
