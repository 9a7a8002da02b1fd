//! What a run came to, for a person.

use dunlin_sim::Report;
use dunlin_sim::units::{bytes, count, grouped, percent, time};

/// Of the names before each row's figures.
const NAME_WIDTH: usize = 10;

pub(super) fn table(report: &Report) -> String {
    let Report {
        scenario,
        seed,
        trace,
        ..
    } = report;
    let span = time(report.virtual_seconds.saturating_mul(1_000));
    let mut text = format!(
        "{scenario}, seed {seed}: {} nodes, {span} of virtual time in {}\n\n",
        grouped(report.nodes),
        time((report.seconds * 1_000.0) as u64),
    );
    let counts = [
        (report.sent, "sent", String::new()),
        (
            report.delivered,
            "delivered",
            percent(report.delivered, report.sent),
        ),
        (report.proved, "proved", percent(report.proved, report.sent)),
    ];
    let rows = counts.map(|(number, what, share)| (number, format!("{what:<9}  {share}")));
    text += &numbers("messages", &rows);
    if let (Some(median), Some(p95), Some(max)) =
        (report.wait_ms(50), report.wait_ms(95), report.wait_ms(100))
    {
        let (median, p95, max) = (time(median), time(p95), time(max));
        text += &row(
            "waits",
            &format!("{median} median, {p95} for 95 %, {max} at most"),
        );
        text += &row("hops", &format!("{:.2} on average", report.hops));
    }
    let nodes = report.nodes.max(1) as f64;
    let each = report.bytes as f64 / nodes;
    let rate = each / report.virtual_seconds.max(1) as f64;
    text += &row(
        "traffic",
        &format!(
            "{} from each node, {}/s; {} datagrams in all",
            bytes(each.round()),
            bytes(rate),
            count(report.datagrams)
        ),
    );
    text += &numbers("lost", &sorted(&report.lost));
    text += &numbers("dropped", &sorted(&report.drops));
    text += &row(
        "events",
        &format!(
            "{}, {} a second",
            count(report.events),
            count(report.events_per_second as u64)
        ),
    );
    text += &row(
        "memory",
        &format!("{} a node", bytes(report.bytes_per_node as f64)),
    );
    text += &row("trace", trace);
    if !report.checks.is_empty() {
        text.push('\n');
        text += &checks(report);
    }
    text
}

/// What had to hold, a line each.
pub(super) fn checks(report: &Report) -> String {
    let width = report
        .checks
        .iter()
        .map(|check| check.claim.chars().count());
    let width = width.max().unwrap_or(0);
    let line = |check: &dunlin_sim::Check| {
        let sign = if check.held { "✓" } else { "✗" };
        format!("  {sign} {:<width$}  {}\n", check.claim, check.found)
    };
    report.checks.iter().map(line).collect()
}

/// What was counted at all, most first.
fn sorted(counts: &[(String, u64)]) -> Vec<(u64, String)> {
    let mut rows: Vec<(u64, String)> = counts
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(name, number)| (*number, name.clone()))
        .collect();
    rows.sort_by(|(a, a_name), (b, b_name)| b.cmp(a).then_with(|| a_name.cmp(b_name)));
    rows
}

/// Rows with a number each, one under the other; the name stands before the first.
fn numbers(name: &str, rows: &[(u64, String)]) -> String {
    let width = rows.iter().map(|(number, _)| grouped(*number).len());
    let width = width.max().unwrap_or(0);
    let mut text = String::new();
    for (index, (number, what)) in rows.iter().enumerate() {
        let name = if index == 0 { name } else { "" };
        text += &row(name, &format!("{:>width$} {what}", grouped(*number)));
    }
    text
}

fn row(name: &str, figures: &str) -> String {
    let line = format!("  {name:<NAME_WIDTH$} {figures}");
    format!("{}\n", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn a_person_reads_figures_one_under_the_other_and_what_did_not_hold() {
        let expected = "\
small, seed 7: 200 nodes, 1 day of virtual time in 3 min 12 s

  messages   1,000 sent
               998 delivered  99.8 %
               990 proved     99 %
  waits      200 ms median, 400 ms for 95 %, 400 ms at most
  hops       2.04 on average
  traffic    3.00 MB from each node, 34.7 B/s; 1.50 M datagrams in all
  lost       15,000 random
  dropped    1,200 CookieOld
                12 ReceiptRepeated
  events     2.10 M, 812,345 a second
  memory     3.40 kB a node
  trace      0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef

  ✗ delivered ≥ 99.9 %    99.8 %
  ✓ bounds of every node  kept
";
        assert_eq!(table(&report()), expected);
    }

    #[test]
    fn a_run_without_messages_or_losses_leaves_their_rows_out() {
        let mut report = report();
        report.waits_ms.clear();
        report.lost.clear();
        report.drops.clear();
        report.checks.clear();
        (report.sent, report.delivered, report.proved) = (0, 0, 0);
        let table = table(&report);
        for row in ["waits", "hops", "lost", "dropped", "✓"] {
            assert!(!table.contains(row), "{row}: {table}");
        }
        assert!(table.contains("0 delivered  -\n"), "{table}");
    }
}
