//! Bars of what takes a while, on stderr if a person looks at it; stdout stays what it is.

use crate::{Error, Global};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal;

/// The bars of one command, by what they are of.
pub(crate) struct Progress {
    bars: Option<MultiProgress>,
    shown: BTreeMap<String, ProgressBar>,
}

impl Progress {
    /// None are shown with `--json`, or where stderr is no terminal.
    pub(crate) fn new(global: &Global) -> Progress {
        let looked_at = !global.json && std::io::stderr().is_terminal();
        Progress {
            bars: looked_at.then(MultiProgress::new),
            shown: BTreeMap::new(),
        }
    }

    /// `done` of `all` bytes of what `id` is; at the end the bar goes.
    pub(crate) fn show(&mut self, id: &str, what: &str, done: u64, all: u64, note: &str) {
        let Some(bars) = &self.bars else {
            return;
        };
        if done >= all {
            if let Some(bar) = self.shown.remove(id) {
                bar.finish_and_clear();
            }
            return;
        }
        let bar = self.shown.entry(id.to_owned()).or_insert_with(|| {
            let template = "{prefix} [{bar:30}] {bytes} of {total_bytes}, {elapsed} {msg}";
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            bars.add(ProgressBar::new(all).with_style(style.progress_chars("=> ")))
        });
        bar.set_prefix(what.to_owned());
        bar.set_message(note.to_owned());
        bar.set_position(done);
    }

    /// Prints above the bars.
    pub(crate) fn above(&self, print: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        match &self.bars {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }
}
