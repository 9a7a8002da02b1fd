//! Plots of a report, for a person to look at: SVG that any browser shows, on light or dark, and that prints.

mod axis;
mod chart;
mod svg;
#[cfg(test)]
mod tests;
mod traffic;

pub use svg::MADE_BY;

use crate::units::{count, grouped, percent, time};
use crate::{Report, Sample};
use axis::Axis;
use chart::{Chart, LEFT, Line, Look, Mark, Panel, RIGHT};

/// Steps that a distribution is drawn in at most: more than one a pixel would not be seen.
const STEPS_MAX: u64 = 500;

/// Five pictures: each a file's name, such as `medium-1-waits.svg`, made of the scenario's name, and its SVG. The same report gives the same bytes.
#[must_use]
pub fn plots(report: &Report) -> Vec<(String, String)> {
    let stem: String = report
        .scenario
        .chars()
        .map(|letter| match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => letter,
            _ => '_',
        })
        .take(100) // A file's name takes 255 bytes on common systems.
        .collect();
    [
        ("messages", messages(report)),
        ("waits", waits(report)),
        ("nodes", nodes(report)),
        ("traffic", traffic::traffic(report)),
        ("copies", copies(report)),
    ]
    .into_iter()
    .map(|(name, chart)| {
        let file = format!("{stem}-{}-{name}.svg", report.seed);
        (file, chart.draw())
    })
    .collect()
}

fn messages(report: &Report) -> Chart {
    let (sent, delivered) = (count(report.sent), count(report.delivered));
    let proof = match report.proved {
        0 => "none with proof".to_owned(),
        proved if proved == report.delivered => "all with proof".to_owned(),
        proved => format!("{} with proof", count(proved)),
    };
    let title = match (report.sent, report.delivered) {
        (0, _) => "No message was sent".to_owned(),
        (1, 0) => "The only message was not delivered".to_owned(),
        (1, _) => "The only message was delivered".to_owned(),
        (all, some) if all == some => format!("All {sent} messages were delivered, {proof}"),
        (all, some) => {
            let share = percent(some, all);
            format!("{delivered} of {sent} messages were delivered ({share}), {proof}")
        }
    };
    let end = report.samples.last().map_or(0, |sample| sample.second);
    let line = |look, what, total, of: fn(&Sample) -> u64| Line {
        look,
        pieces: over_time(report, |sample| of(sample) as f64),
        label: format!("{what} {}", count(total)),
    };
    // Samples do not count proofs; how many there are at the end is known.
    let proved = Mark {
        look: Look::C,
        at: (end as f64, report.proved as f64),
        label: format!("proved {}", count(report.proved)),
        has_guide: false,
    };
    let has_samples = !report.samples.is_empty();
    let sampled = report.samples.iter().map(|at| at.sent.max(at.delivered));
    let panel = Panel {
        name: "messages",
        y: Axis::counts(sampled.fold(report.proved, u64::max) as f64),
        lines: vec![
            line(Look::A, "sent", report.sent, |sample| sample.sent),
            line(Look::B, "delivered", report.delivered, |sample| {
                sample.delivered
            }),
        ],
        marks: if has_samples { vec![proved] } else { vec![] },
        if_empty: "no samples",
    };
    let note = "Messages sent and delivered so far; at the end, those whose sender has the proof that they were.";
    over_time_chart(report, title, note.to_owned(), vec![panel])
}

fn waits(report: &Report) -> Chart {
    let mut waits = report.waits_ms.clone();
    waits.sort_unstable();
    let count = waits.len() as u64;
    let (min, max) = (
        waits.first().copied().unwrap_or(1),
        waits.last().copied().unwrap_or(60_000),
    );
    let at = |rank: u64| waits.get(rank as usize).copied().unwrap_or(max) as f64;
    let share = |rank: u64| (rank + 1) as f64 / count as f64 * 100.0;
    let mut curve = Vec::new();
    let steps = count.min(STEPS_MAX);
    for step in 1..=steps {
        let rank = (u128::from(count) * u128::from(step)).div_ceil(u128::from(steps)) as u64 - 1;
        let before = curve.last().map_or(0.0, |(_, share)| *share);
        curve.extend([(at(rank), before), (at(rank), share(rank))]);
    }
    let mark = |look, what: &str, percents: u32| {
        let wait = report.wait_ms(percents)?;
        Some(Mark {
            look,
            at: (wait as f64, f64::from(percents)),
            label: format!("{what}: {}", time(wait)),
            has_guide: true,
        })
    };
    let median = mark(Look::B, "median", 50);
    let p95 = mark(Look::C, "95 %", 95);
    let title = match (report.wait_ms(50), report.wait_ms(95)) {
        (Some(median), Some(p95)) => format!(
            "Half of the messages arrived within {}, 95 % within {}",
            time(median),
            time(p95)
        ),
        _ => "No message was delivered".to_owned(),
    };
    let slowest = match count {
        0 => String::new(),
        1 => "There was one.".to_owned(),
        _ => format!("The slowest of {} took {}.", grouped(count), time(max)),
    };
    Chart {
        x: Axis::log_ms(min, max, RIGHT - LEFT),
        x_name: "time from sending to delivery (logarithmic)",
        ..over_time_chart(
            report,
            title,
            format!("Share of the delivered messages that had arrived within a time. {slowest}"),
            vec![Panel {
                name: "delivered messages",
                y: Axis::percents(100.0),
                lines: vec![Line {
                    look: Look::A,
                    pieces: [curve]
                        .into_iter()
                        .filter(|curve| !curve.is_empty())
                        .collect(),
                    label: String::new(),
                }],
                marks: median.into_iter().chain(p95).collect(),
                if_empty: "no message was delivered",
            }],
        )
    }
}

fn nodes(report: &Report) -> Chart {
    let samples = &report.samples;
    let total = |of: fn(&Sample) -> u64| samples.iter().map(of).map(u128::from).sum::<u128>();
    let online = total(|sample| sample.online);
    let mean = online as f64 / samples.len().max(1) as f64;
    let title = if online == 0 {
        "No node was online".to_owned()
    } else {
        let (of, ends) = (count(report.nodes), total(|sample| sample.link_ends));
        let (mean, each) = (count(mean.round() as u64), ends as f64 / online as f64);
        format!("{mean} of {of} nodes were online on average, with {each:.1} links each")
    };
    let panel = |name, of: fn(&Sample) -> f64| Panel {
        name,
        y: Axis::counts(samples.iter().map(of).fold(0.0, f64::max)),
        lines: vec![Line {
            look: Look::A,
            pieces: over_time(report, of),
            label: samples.last().map_or_else(String::new, |end| {
                format!("{} at the end", count(of(end) as u64))
            }),
        }],
        marks: vec![],
        if_empty: "no samples",
    };
    over_time_chart(
        report,
        title,
        "Nodes online, and links that are up between them.".to_owned(),
        vec![
            panel("nodes online", |sample| sample.online as f64),
            panel("links", |sample| (sample.link_ends / 2) as f64),
        ],
    )
}

fn copies(report: &Report) -> Chart {
    let most = report.samples.iter().map(|sample| sample.copies).max();
    let last = report.samples.last().map(|sample| sample.copies);
    let title = match (most, last) {
        (Some(0), _) | (None, _) | (_, None) => "Carriers kept nothing".to_owned(),
        (Some(most), Some(last)) => format!(
            "Carriers kept at most {} copies, {} at the end",
            count(most),
            if last == 0 {
                "none".to_owned()
            } else {
                count(last)
            }
        ),
    };
    let panel = Panel {
        name: "packets kept, copies counted",
        y: Axis::counts(most.unwrap_or(0) as f64),
        lines: vec![Line {
            look: Look::A,
            pieces: over_time(report, |sample| sample.copies as f64),
            label: last.map_or_else(String::new, |last| format!("{} at the end", count(last))),
        }],
        marks: vec![],
        if_empty: "no samples",
    };
    let note =
        "Packets in the memory of carriers; delivery deletes them, and so does their expiry.";
    over_time_chart(report, title, note.to_owned(), vec![panel])
}

/// A chart over virtual time.
fn over_time_chart(report: &Report, title: String, note: String, panels: Vec<Panel>) -> Chart {
    let end = report.samples.last().map_or(0, |sample| sample.second);
    let trace: String = report.trace.chars().take(16).collect();
    Chart {
        title,
        note,
        source: chart::source(&format!(
            "dunlin sim · seed {} · {} nodes · trace {trace} · scenario {}",
            report.seed,
            grouped(report.nodes),
            report.scenario,
        )),
        x: Axis::seconds(end, RIGHT - LEFT),
        x_name: "virtual time",
        panels,
    }
}

/// A line through all samples.
fn over_time(report: &Report, of: impl Fn(&Sample) -> f64) -> Vec<Vec<(f64, f64)>> {
    let points = report.samples.iter();
    let points: Vec<_> = points
        .map(|sample| (sample.second as f64, of(sample)))
        .collect();
    if points.is_empty() {
        vec![]
    } else {
        vec![points]
    }
}
