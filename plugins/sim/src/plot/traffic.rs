//! What nodes send, and what of it is lost.

use super::axis::Axis;
use super::chart::{Chart, Line, Look, Panel};
use super::over_time_chart;
use crate::units::{bytes, percent};
use crate::{Report, Sample};

pub(super) fn traffic(report: &Report) -> Chart {
    let first = report.samples.first();
    // What is counted is counted since the start, so a first sample that is later than that ends an interval too.
    let start = first.filter(|first| first.second > 0).map(|first| Sample {
        online: first.online,
        ..Sample::default()
    });
    let samples: Vec<&Sample> = start.iter().chain(&report.samples).collect();
    let node_seconds = |from: &Sample, to: &Sample| {
        (from.online as f64 + to.online as f64) / 2.0 * to.second.saturating_sub(from.second) as f64
    };
    let sent = steps(&samples, |from, to| {
        let node_seconds = node_seconds(from, to);
        (node_seconds > 0.0).then(|| to.bytes.saturating_sub(from.bytes) as f64 / node_seconds)
    });
    let lost = steps(&samples, |from, to| {
        let (datagrams, lost) = (
            to.datagrams.saturating_sub(from.datagrams),
            to.lost.saturating_sub(from.lost),
        );
        // Something may be lost an interval after it was sent.
        (datagrams > 0).then(|| (lost as f64 / datagrams as f64 * 100.0).min(100.0))
    });
    let all_seconds: f64 = samples
        .windows(2)
        .map(|pair| node_seconds(pair[0], pair[1]))
        .sum();
    let all = samples.last().copied().cloned().unwrap_or_default();
    let mean_sent = if all_seconds > 0.0 {
        all.bytes as f64 / all_seconds
    } else {
        0.0
    };
    let mean_lost = all.lost as f64 / all.datagrams.max(1) as f64 * 100.0;
    let share = percent(all.lost, all.datagrams);
    let title = if sent.is_empty() {
        "Nothing was sent".to_owned()
    } else if all.lost == 0 {
        format!(
            "A node online sent {}/s on average; nothing was lost",
            bytes(mean_sent)
        )
    } else {
        format!(
            "A node online sent {}/s on average; {share} of datagrams were lost",
            bytes(mean_sent)
        )
    };
    let highest = |pieces: &[Vec<(f64, f64)>]| {
        let values = pieces.iter().flatten().map(|(_, value)| *value);
        values.fold(0.0, f64::max)
    };
    let panel = |name, y, line: Vec<Vec<(f64, f64)>>, mean, label| {
        let mut lines = Vec::new();
        if !line.is_empty() {
            lines.push(Line {
                look: Look::Level,
                pieces: line,
                label: String::new(),
            });
            lines.push(Line {
                look: Look::Mean,
                pieces: vec![vec![(0.0, mean), (all.second as f64, mean)]],
                label,
            });
        }
        Panel {
            name,
            y,
            lines,
            marks: vec![],
            if_empty: "nothing was sent",
        }
    };
    let panels = vec![
        panel(
            "bytes a second that a node online sends",
            Axis::bytes(highest(&sent), "B/s"),
            sent,
            mean_sent,
            format!("mean {}/s", bytes(mean_sent)),
        ),
        panel(
            "datagrams lost on the way",
            Axis::percents(highest(&lost)),
            lost,
            mean_lost,
            format!("mean {share}"),
        ),
    ];
    let note = "Bytes of UDP payload that a node online hands to the network, and the share of datagrams that it loses.";
    over_time_chart(report, title, note.to_owned(), panels)
}

/// A level for each interval between samples; a gap where there is none.
fn steps(
    samples: &[&Sample],
    of: impl Fn(&Sample, &Sample) -> Option<f64>,
) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut goes_on = false;
    for pair in samples.windows(2) {
        let [from, to] = pair else { continue };
        let Some(level) = of(from, to) else {
            goes_on = false;
            continue;
        };
        if !goes_on {
            pieces.push(Vec::new());
        }
        goes_on = true;
        if let Some(piece) = pieces.last_mut() {
            piece.extend([(from.second as f64, level), (to.second as f64, level)]);
        }
    }
    pieces
}
