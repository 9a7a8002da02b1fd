//! Promise 2: carriers hold ciphertext, in memory only.

mod rig;

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Whether any readable byte of the process's memory is part of `needle`.
fn memory_holds(pid: u32, needle: &[u8]) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("the memory map");
    let mut memory =
        std::fs::File::open(format!("/proc/{pid}/mem")).expect("the memory, as its owner");
    let mut found = false;
    let mut searched = 0;
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (Some(range), Some(rights)) = (fields.next(), fields.next()) else {
            continue;
        };
        if !rights.starts_with('r') || line.contains("[vvar") || line.contains("[vsyscall]") {
            continue;
        }
        let (start, end) = range.split_once('-').expect("a range");
        let parse = |text: &str| u64::from_str_radix(text, 16).expect("an address");
        let (start, end) = (parse(start), parse(end));
        memory.seek(SeekFrom::Start(start)).expect("a place");
        let mut bytes = vec![0; (end - start) as usize];
        // Some special mappings refuse to be read.
        if memory.read_exact(&mut bytes).is_ok() {
            searched += bytes.len();
            found |= contains(&bytes, needle);
        }
    }
    assert!(searched > 1_000_000, "only {searched} bytes could be read");
    found
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

fn files_hold(folder: &Path, needle: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("its kind");
        if kind.is_dir() {
            found.extend(files_hold(&entry.path(), needle));
        } else if kind.is_file()
            && contains(&std::fs::read(entry.path()).expect("its bytes"), needle)
        {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

#[test]
fn a_marker_in_a_message_is_in_no_carriers_memory_files_or_trace_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let carriers = rig::carriers(folder.path(), 9);
    let (alice, _) = rig::person(folder.path(), "alice");
    let (_, bob) = rig::person(folder.path(), "bob");
    // Made here, so that it stands in no binary; long enough to be nowhere by chance.
    let marker = format!(
        "marker-{}-{:x}",
        std::process::id(),
        std::process::id().wrapping_mul(2_654_435_761)
    );

    let mut arguments = vec![
        "--json",
        "send",
        "--to",
        &bob,
        "--listen",
        "127.201.0.1:0",
        &marker,
    ];
    arguments.extend(rig::entries(&carriers));
    let sent = rig::dunlin(&alice, &arguments);
    assert!(sent.status.success(), "{}", rig::stderr(&sent));

    let holders = carriers
        .iter()
        .filter(|carrier| carrier.status()["packets"] == 1);
    // Nine if the last carrier was met after the first eight were chosen, and lies nearer.
    assert!(holders.count() >= 8, "eight of nine keep it at least");
    let needle = marker.as_bytes();
    for carrier in &carriers {
        assert!(
            !memory_holds(carrier.child.id(), needle),
            "in the memory of {}",
            carrier.id
        );
        assert_eq!(files_hold(&carrier.home, needle), Vec::<String>::new());
        assert!(
            carrier.log().contains("TRACE"),
            "the log was to say everything"
        );
        // The packet itself is in memory, and not on disk.
        let id = carrier.id.as_bytes();
        assert!(
            memory_holds(carrier.child.id(), id),
            "the search finds what is there"
        );
    }
}
