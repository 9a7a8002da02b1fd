//! `dunlin keys card --qr` as a camera sees it.

mod rig;

use rig::{dunlin, last_object, person, stderr, terminal};
use rustix::termios::{OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr, tcsetwinsize};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

/// The modules of what was printed, true for dark, as a terminal of any colours shows them.
fn modules(printed: &str) -> Vec<Vec<bool>> {
    let mut rows = Vec::new();
    for line in printed.lines() {
        // Black on white is said for each line, so the terminal's own colours do not matter.
        let line = line
            .strip_prefix("\u{1b}[38;5;16;48;5;231m")
            .and_then(|line| line.strip_suffix("\u{1b}[0m"))
            .unwrap_or_else(|| panic!("a line without its colours: {line:?}"));
        let halves = line.chars().map(|letter| match letter {
            ' ' => (false, false),
            '▀' => (true, false),
            '▄' => (false, true),
            '█' => (true, true),
            other => panic!("{other:?} is no half block"),
        });
        let (above, below) = halves.unzip();
        rows.push(above);
        rows.push(below);
    }
    rows
}

fn decoded(rows: &[Vec<bool>]) -> String {
    const PIXELS: usize = 4; // A module in a picture that a camera could have made.
    let (width, height) = (rows[0].len() * PIXELS, rows.len() * PIXELS);
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
        if rows[y / PIXELS][x / PIXELS] { 0 } else { 255 }
    });
    let codes = picture.detect_grids();
    assert_eq!(codes.len(), 1, "one code is seen");
    codes[0].decode().expect("it can be read").1
}

#[test]
fn a_camera_reads_the_card_from_the_code_and_it_is_the_same_card() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, _) = person(folder.path(), "alice");
    let address = |n: usize| format!("192.0.2.{n}:4444");
    let long: Vec<String> = (1..=10).map(address).collect();
    let long: Vec<&str> = long.iter().flat_map(|one| ["--address", one]).collect();
    for more in [
        &[][..],
        &["--name", "Alice", "--address", "[2001:db8::1]:4444"],
        &long,
    ] {
        let card = [&["--json", "keys", "card"][..], more].concat();
        let card = last_object(&dunlin(&alice, &card));
        let card = card["card"].as_str().expect("a card");
        let printed = dunlin(&alice, &[&["keys", "card", "--qr"][..], more].concat());
        assert!(printed.status.success(), "{}", stderr(&printed));
        let rows = modules(&String::from_utf8_lossy(&printed.stdout));
        let read = decoded(&rows);
        assert_eq!(read.to_lowercase(), card);
        // It is taken as it was read, in capitals.
        let added = dunlin(&alice, &["contacts", "add", "Me", &read]);
        assert!(added.status.success(), "{}", stderr(&added));
    }
}

#[test]
fn the_code_has_four_light_modules_on_every_side_and_fits_a_terminal_of_80_columns() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, _) = person(folder.path(), "alice");
    let printed = dunlin(&alice, &["keys", "card", "--name", "Alice", "--qr"]);
    let rows = modules(&String::from_utf8_lossy(&printed.stdout));
    let width = rows[0].len();
    assert!(rows.iter().all(|row| row.len() == width));
    assert!(width <= 80, "{width} columns");
    let dark: Vec<(usize, usize)> = (0..rows.len())
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .filter(|(x, y)| rows[*y][*x])
        .collect();
    let xs = dark.iter().map(|(x, _)| *x);
    let ys = dark.iter().map(|(_, y)| *y);
    assert_eq!((xs.clone().min(), ys.clone().min()), (Some(4), Some(4)));
    assert_eq!(xs.max(), Some(width - 5));
    assert_eq!(ys.max(), Some(width - 5));
    assert!(rows.len() >= width, "the zone below is whole");
}

#[test]
fn in_json_the_code_stands_beside_the_card() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, card) = person(folder.path(), "alice");
    let object = last_object(&dunlin(&alice, &["--json", "keys", "card", "--qr"]));
    assert_eq!(object["card"], card);
    let code = object["qr"].as_str().expect("a drawing");
    assert_eq!(decoded(&modules(code)).to_lowercase(), card);
}

/// What is seen on a terminal of so many columns, with line ends as they were written, and the exit code.
fn at_terminal(home: &Path, columns: u16) -> (String, Option<i32>) {
    let (mut master, slave) = terminal();
    let mut modes = tcgetattr(&slave).expect("its modes");
    modes.output_modes.remove(OutputModes::OPOST);
    tcsetattr(&slave, OptionalActions::Now, &modes).expect("ours");
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&slave, size).expect("ours");
    let mut child = Command::new(env!("CARGO_BIN_EXE_dunlin"))
        .arg("--home")
        .arg(home)
        .args(["keys", "card", "--qr"])
        .stdin(Stdio::null())
        .stdout(slave.try_clone().expect("a copy"))
        .stderr(slave) // The last of ours: when the command has ended, so does reading, on Linux with an error.
        .spawn()
        .expect("dunlin runs");
    let mut seen = Vec::new();
    let _ = master.read_to_end(&mut seen);
    let code = child.wait().expect("it ends").code();
    (String::from_utf8(seen).expect("text"), code)
}

#[test]
fn a_terminal_too_narrow_for_the_code_is_told_so_instead_of_shown_one_that_nobody_can_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, card) = person(folder.path(), "alice");
    let (seen, code) = at_terminal(&alice, 80);
    assert_eq!(code, Some(0), "{seen}");
    let rows = modules(&seen);
    assert_eq!(decoded(&rows).to_lowercase(), card);
    let needed = rows[0].len();
    let (seen, code) = at_terminal(&alice, 40);
    assert_eq!(code, Some(1));
    let told = format!("takes {needed} columns, and this terminal has 40");
    assert!(seen.contains(&told) && !seen.contains('█'), "{seen}");
}
