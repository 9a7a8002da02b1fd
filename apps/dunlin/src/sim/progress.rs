//! How far a run is, on stderr: one line that is written over on a terminal, a line every ten seconds elsewhere.

use dunlin_sim::Progress;
use dunlin_sim::units::{count, time};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// On a terminal: often enough to look alive.
const LIVE: Duration = Duration::from_millis(200);
/// Elsewhere, such as in CI's log.
const PLAIN: Duration = Duration::from_secs(10);
/// Before so much of the run an estimate says nothing.
const ESTIMATE: f64 = 0.01;
/// Where the terminal does not say how wide it is.
const COLUMNS: u16 = 80;

pub(super) struct Line {
    live: bool,
    every: Option<Duration>,
    last: Instant,
    is_drawn: bool,
}

impl Line {
    /// With `json` only a terminal sees it: there stdout is for another program, and stderr perhaps too.
    pub(super) fn new(json: bool) -> Line {
        let live = std::io::stderr().is_terminal();
        let every = match (live, json) {
            (true, _) => Some(LIVE),
            (false, false) => Some(PLAIN),
            (false, true) => None,
        };
        Line {
            live,
            every,
            last: Instant::now(),
            is_drawn: false,
        }
    }

    /// Shows it, if it is time to. `name` says which run this is.
    pub(super) fn show(&mut self, name: &str, progress: &Progress) {
        let now = Instant::now();
        if self.every.is_none_or(|every| now < self.last + every) {
            return;
        }
        self.last = now;
        let text = text(name, progress);
        if self.live {
            // A line that wraps could not be written over.
            let columns = rustix::termios::tcgetwinsize(std::io::stderr())
                .map_or(COLUMNS, |size| size.ws_col.max(2));
            let cut: String = text.chars().take(usize::from(columns) - 1).collect();
            write(&format!("\r\x1b[K{cut}"));
            self.is_drawn = true;
        } else {
            write(&format!("{text}\n"));
        }
    }

    /// Takes the line off the terminal, so that something else can stand there.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            write("\r\x1b[K");
        }
    }
}

fn write(text: &str) {
    let mut out = std::io::stderr().lock();
    // Who closed stderr does not want to know.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn text(name: &str, progress: &Progress) -> String {
    let (now, end) = (
        progress.virtual_time.as_secs_f64(),
        progress.virtual_end.as_secs_f64(),
    );
    if now <= 0.0 {
        return format!("{name}: {} …", progress.phase);
    }
    let done = (now / end.max(now)).min(1.0);
    let real = progress.real.as_secs_f64();
    let mut text = format!(
        "{name}: {:.0} %, {} of {}",
        (done * 100.0).floor(),
        whole(progress.virtual_time),
        whole(progress.virtual_end),
    );
    // Real processes do not tell theirs.
    if progress.events > 0 {
        let speed = count((progress.events as f64 / real.max(0.001)) as u64);
        text += &format!(", {speed} events/s");
    }
    if (ESTIMATE..1.0).contains(&done) {
        let left = Duration::from_secs_f64(real / done - real);
        text += &format!(", about {} left", whole(left.max(Duration::from_secs(1))));
    }
    // The usual one is plain from the figures.
    if progress.phase != "running" {
        text += &format!(", {}", progress.phase);
    }
    text
}

/// Whole seconds.
fn whole(span: Duration) -> String {
    time(span.as_secs().saturating_mul(1_000)).replace("0 ms", "0 s")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(virtual_seconds: u64, real_seconds: u64) -> Progress {
        Progress {
            virtual_time: Duration::from_secs(virtual_seconds),
            virtual_end: Duration::from_secs(3_600),
            events: 1_000_000 * real_seconds,
            real: Duration::from_secs(real_seconds),
            phase: "running",
        }
    }

    #[test]
    fn it_says_how_far_it_is_how_fast_it_goes_and_when_it_may_be_done() {
        assert_eq!(
            text("million, seed 1", &at(1_200, 600)),
            "million, seed 1: 33 %, 20 min of 1 h, 1.00 M events/s, about 20 min left"
        );
    }

    #[test]
    fn before_virtual_time_begins_it_says_what_is_being_done() {
        let mut progress = at(0, 5);
        progress.phase = "placing nodes";
        assert_eq!(
            text("million, seed 1", &progress),
            "million, seed 1: placing nodes …"
        );
    }

    #[test]
    fn there_is_no_estimate_at_the_very_beginning_and_at_the_end() {
        for progress in [at(30, 60), at(3_600, 60), at(4_000, 60)] {
            assert!(!text("small", &progress).contains("left"));
        }
        let mut empty = at(0, 0);
        empty.virtual_end = Duration::ZERO;
        empty.virtual_time = Duration::from_micros(1);
        assert!(text("small", &empty).contains("100 %, 0 s of 0 s"));
    }
}
