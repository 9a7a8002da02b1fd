//! What the demo shows: a table that is drawn over itself on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::time::Instant;

/// Of the seconds before each line.
const TIME_WIDTH: usize = 9;

/// One carrier's row.
#[derive(Clone, Default)]
pub(super) struct Row {
    pub(super) process: u32,
    pub(super) address: String,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) note: &'static str,
    pub(super) is_killed: bool,
}

pub(super) struct Screen {
    live: bool,
    quiet: bool,
    drawn: usize,
    began: Instant,
    /// The last line of the story is one that moves on.
    moves: bool,
    pub(super) rows: Vec<Row>,
    pub(super) story: Vec<String>,
}

impl Screen {
    /// With `quiet` it shows nothing: stdout is for JSON then.
    pub(super) fn new(quiet: bool) -> Screen {
        Screen {
            live: std::io::stdout().is_terminal(),
            quiet,
            drawn: 0,
            began: Instant::now(),
            moves: false,
            rows: Vec::new(),
            story: Vec::new(),
        }
    }

    /// Adds a line to the story.
    pub(super) fn tell(&mut self, line: impl Into<String>) {
        let line = timed(self.began, &line.into());
        self.moves = false;
        if !self.live && !self.quiet {
            self.print(&format!("{line}\n"));
        }
        self.story.push(line);
        self.draw();
    }

    /// Replaces the last line if it was told by this too: for what moves on.
    pub(super) fn retell(&mut self, line: impl Into<String>) {
        let line = line.into();
        let moves = std::mem::replace(&mut self.moves, false);
        match self.story.last_mut() {
            Some(last) if moves && last[TIME_WIDTH..] == line => {}
            Some(last) if moves && self.live => {
                *last = timed(self.began, &line);
                self.draw();
            }
            _ => self.tell(line),
        }
        self.moves = true;
    }

    /// Draws table and story over what was drawn before.
    pub(super) fn draw(&mut self) {
        if !self.live || self.quiet {
            return;
        }
        let text = self.text();
        let mut out = String::new();
        if self.drawn > 0 {
            out.push_str(&format!("\x1b[{}A\x1b[J", self.drawn));
        }
        out.push_str(&text);
        self.drawn = text.lines().count();
        self.print(&out);
    }

    /// The last picture, where nothing was drawn over.
    pub(super) fn finish(&mut self, summary: &str) {
        if self.quiet {
            return;
        }
        if self.live {
            self.draw();
        } else {
            self.print(&format!("\n{}", self.table()));
        }
        self.print(&format!("\n{summary}"));
    }

    fn text(&self) -> String {
        let mut text = self.table();
        text.push('\n');
        for line in &self.story {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    fn table(&self) -> String {
        let mut text = String::from("  carrier  process  address                packets   bytes\n");
        for (number, row) in self.rows.iter().enumerate() {
            let held = if row.is_killed {
                String::from("      -       -")
            } else {
                format!("{:>7} {:>7}", row.packets, row.bytes)
            };
            text.push_str(&format!(
                "  {number:>7}  {:>7}  {:<22} {held}   {}\n",
                row.process, row.address, row.note
            ));
        }
        text
    }

    fn print(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // A closed pipe does not stop the demo; its exit code still tells how it went.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

fn timed(began: Instant, line: &str) -> String {
    format!("{:>5.1} s  {line}", began.elapsed().as_secs_f64())
}
