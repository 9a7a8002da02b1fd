//! One picture: a title that says what is seen, and one or two panels over a common horizontal axis.

use super::axis::Axis;
use super::svg::{Anchor, LABEL, NOTE, SMALL, Style, Svg, TICK, TITLE};

/// The whole picture's, in pixels.
pub(super) const WIDTH: f64 = 840.0;
/// Where panels begin and end. Right of them stand the labels of their lines.
pub(super) const LEFT: f64 = 84.0;
pub(super) const RIGHT: f64 = 656.0;
const EDGE: f64 = 24.0;
/// Between labels of lines.
const LABEL_HEIGHT: f64 = 18.0;

/// A colour with its dashes: told apart by colour-blind people by either.
#[derive(Clone, Copy)]
pub(super) enum Look {
    /// Blue, drawn through.
    A,
    /// Orange, long dashes.
    B,
    /// Green; for marks only.
    C,
    /// Blue, drawn through and thinner: what goes up and down much.
    Level,
    /// Orange dots: an average.
    Mean,
}

impl Look {
    fn line(self) -> &'static str {
        match self {
            Look::A => "a line",
            Look::B => "b line",
            Look::C => "c line",
            Look::Level => "a level",
            Look::Mean => "b dots",
        }
    }

    fn guide(self) -> &'static str {
        match self {
            Look::A | Look::Level => "a dots",
            Look::B | Look::Mean => "b dots",
            Look::C => "c dots",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Look::A | Look::Level => "a",
            Look::B | Look::Mean => "b",
            Look::C => "c",
        }
    }
}

/// A line. Between its pieces there was nothing to say.
pub(super) struct Line {
    pub(super) look: Look,
    pub(super) pieces: Vec<Vec<(f64, f64)>>,
    /// Stands right of its end.
    pub(super) label: String,
}

/// A point that is named beside it, with a guide from the vertical axis, or right of the panel like the end of a line.
pub(super) struct Mark {
    pub(super) look: Look,
    pub(super) at: (f64, f64),
    pub(super) label: String,
    pub(super) has_guide: bool,
}

pub(super) struct Panel {
    /// What the vertical axis counts.
    pub(super) name: &'static str,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
    pub(super) marks: Vec<Mark>,
    /// Stands in the middle if there is neither line nor mark.
    pub(super) if_empty: &'static str,
}

pub(super) struct Chart {
    pub(super) title: String,
    pub(super) note: String,
    /// In the lower left corner: which run this was.
    pub(super) source: String,
    pub(super) x: Axis,
    /// What the horizontal axis counts.
    pub(super) x_name: &'static str,
    pub(super) panels: Vec<Panel>,
}

impl Chart {
    pub(super) fn draw(&self) -> String {
        let title = wrapped(&self.title, &TITLE);
        let note = wrapped(&self.note, &NOTE);
        let heights = if self.panels.len() > 1 { 180.0 } else { 310.0 };
        let head = 20.0 + title.len() as f64 * 24.0 + note.len() as f64 * 20.0 + 6.0;
        let panels = self.panels.len() as f64;
        let height = head + panels * (heights + 50.0) + 62.0;

        let mut svg = Svg::new(WIDTH, height, &self.title, &self.note);
        let mut y = 16.0;
        for line in &title {
            y += 24.0;
            svg.text((EDGE, y), &TITLE, "", Anchor::Start, line);
        }
        for line in &note {
            y += 20.0;
            svg.text((EDGE, y), &NOTE, "", Anchor::Start, line);
        }
        let mut top = head;
        for panel in &self.panels {
            top += 34.0;
            self.panel(&mut svg, panel, top, top + heights);
            top += heights + 16.0;
        }
        self.under(&mut svg, top - 16.0);
        svg.text(
            (EDGE, height - 14.0),
            &SMALL,
            "",
            Anchor::Start,
            &self.source,
        );
        svg.end()
    }

    fn panel(&self, svg: &mut Svg, panel: &Panel, top: f64, bottom: f64) {
        let place = |(x, y): (f64, f64)| {
            (
                LEFT + self.x.place(x) * (RIGHT - LEFT),
                bottom - panel.y.place(y) * (bottom - top),
            )
        };
        svg.text(
            (LEFT, top - 12.0),
            &LABEL,
            "name",
            Anchor::Start,
            panel.name,
        );
        for (value, _) in &self.x.ticks {
            let x = place((*value, 0.0)).0;
            svg.line("grid", (x, top), (x, bottom));
        }
        for (value, label) in &panel.y.ticks {
            let y = place((0.0, *value)).1;
            svg.line("grid", (LEFT, y), (RIGHT, y));
            svg.text((LEFT - 9.0, y + 4.2), &TICK, "", Anchor::End, label);
        }
        svg.line("axis", (LEFT, bottom), (RIGHT, bottom));

        let mut ends = Vec::new();
        for line in &panel.lines {
            for piece in &line.pieces {
                let Some(first) = piece.first() else { continue };
                if piece.iter().all(|point| point == first) {
                    svg.dot(line.look.colour(), place(*first));
                } else {
                    svg.path(line.look.line(), piece.iter().map(|at| place(*at)));
                }
            }
            if let Some(end) = line.pieces.last().and_then(|piece| piece.last()) {
                ends.push((line.look, place(*end), &line.label));
            }
        }
        for mark in &panel.marks {
            let (x, y) = place(mark.at);
            if mark.has_guide {
                svg.line(mark.look.guide(), (LEFT, y), (x, y));
                // A distribution only rises, so there is nothing right under it, or left above.
                let (at, anchor) = if x + 10.0 + LABEL.width(&mark.label) < WIDTH {
                    ((x + 10.0, y + 17.0), Anchor::Start)
                } else {
                    ((x - 4.0, y - 7.0), Anchor::End)
                };
                let class = format!("halo {}", mark.look.colour());
                svg.text(at, &LABEL, &class, anchor, &mark.label);
            } else {
                ends.push((mark.look, (x, y), &mark.label));
            }
            svg.dot(mark.look.colour(), (x, y));
        }
        if panel.lines.iter().all(|line| line.pieces.is_empty()) && panel.marks.is_empty() {
            let middle = ((LEFT + RIGHT) / 2.0, (top + bottom) / 2.0);
            svg.text(middle, &NOTE, "halo", Anchor::Middle, panel.if_empty);
        }
        name_ends(svg, ends, top, bottom);
    }

    /// Labels and name of the horizontal axis.
    fn under(&self, svg: &mut Svg, bottom: f64) {
        for (value, label) in &self.x.ticks {
            let x = LEFT + self.x.place(*value) * (RIGHT - LEFT);
            svg.line("axis", (x, bottom), (x, bottom + 5.0));
            svg.text((x, bottom + 20.0), &TICK, "", Anchor::Middle, label);
        }
        let middle = ((LEFT + RIGHT) / 2.0, bottom + 41.0);
        svg.text(middle, &TICK, "", Anchor::Middle, self.x_name);
    }
}

/// Writes what lines are called right of where they end, moved apart where they end together, each with a leader to its line.
fn name_ends(svg: &mut Svg, mut ends: Vec<(Look, (f64, f64), &String)>, top: f64, bottom: f64) {
    ends.retain(|(.., label)| !label.is_empty());
    ends.sort_by(|(_, a, _), (_, b, _)| a.1.total_cmp(&b.1));
    let mut heights: Vec<f64> = ends.iter().map(|(_, (_, y), _)| *y).collect();
    // Down from the upper edge until each is clear of the one above it, then up again from the lower edge.
    let mut least = top;
    for height in &mut heights {
        *height = height.max(least);
        least = *height + LABEL_HEIGHT;
    }
    let mut most = bottom;
    for height in heights.iter_mut().rev() {
        *height = height.min(most);
        most = *height - LABEL_HEIGHT;
    }
    for ((look, (x, y), label), height) in ends.into_iter().zip(heights) {
        // A lone point at the left has its name beside it.
        let left = if x < LEFT + 1.0 { x } else { RIGHT };
        svg.path(
            "leader",
            [(x + 5.0, y), (left + 9.0, y), (left + 20.0, height)],
        );
        let at = (left + 24.0, height + 4.4);
        svg.text(at, &LABEL, look.colour(), Anchor::Start, label);
    }
}

/// Lines of a text that fit the picture, as few as will do and about equally long. A word that does not fit is cut.
fn wrapped(text: &str, style: &Style) -> Vec<String> {
    let room = WIDTH - 2.0 * EDGE;
    let words: Vec<String> = text
        .split_whitespace()
        .map(|word| cut(word, style, room))
        .collect();
    let lines = filled(&words, style, room);
    (1..40)
        .map(|step| filled(&words, style, room * (1.0 - f64::from(step) / 40.0)))
        .take_while(|narrower| narrower.len() == lines.len())
        .last()
        .unwrap_or(lines)
}

/// Lines that fit so many pixels, if their words do.
fn filled(words: &[String], style: &Style, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if style.width(&format!("{line} {word}")) <= room => {
                *line += " ";
                *line += word;
            }
            _ => lines.push(word.clone()),
        }
    }
    lines
}

/// As much of a text as fits, `…` for the rest.
fn cut(text: &str, style: &Style, room: f64) -> String {
    let mut text = text.to_owned();
    if style.width(&text) <= room {
        return text;
    }
    while style.width(&text) + style.width("…") > room && text.pop().is_some() {}
    text + "…"
}

/// The line in small print, cut to what fits.
pub(super) fn source(text: &str) -> String {
    cut(text, &SMALL, WIDTH - 2.0 * EDGE)
}
