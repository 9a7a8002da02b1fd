mod reports;

use super::chart::WIDTH;
use super::svg::{LABEL, NOTE, SMALL, TICK, TITLE};
use super::*;
use proptest::prelude::*;
use reports::{day, empty, reports};

#[test]
fn texts_keep_apart_and_inside_and_the_xml_is_well_formed_whatever_the_report() {
    for report in reports() {
        for (file, svg) in plots(&report) {
            assert_good(&file, &svg);
        }
    }
}

#[test]
fn the_same_report_gives_the_same_bytes_and_another_gives_others() {
    let report = day();
    assert_eq!(plots(&report), plots(&report));
    let mut other = report.clone();
    other.samples[100].bytes += 1_000_000;
    assert_ne!(plots(&report), plots(&other));
}

#[test]
fn titles_say_what_is_seen() {
    let titles = |report: &Report| -> Vec<String> {
        let title = |svg: &str| {
            let (_, rest) = svg.split_once("<title id=\"title\">").expect("a title");
            rest.split_once('<').expect("its end").0.to_owned()
        };
        plots(report).iter().map(|(_, svg)| title(svg)).collect()
    };
    assert_eq!(
        titles(&day()),
        [
            "9,997 of 10,000 messages were delivered (99.97 %), 9,990 with proof",
            "Half of the messages arrived within 3 s, 95 % within 5 h 26 min",
            "12,058 of 20,000 nodes were online on average, with 8.2 links each",
            "A node online sent 421 B/s on average; 5.09 % of datagrams were lost",
            "Carriers kept at most 28,158 copies, 17,304 at the end",
        ]
    );
    assert_eq!(
        titles(&empty()),
        [
            "No message was sent",
            "No message was delivered",
            "No node was online",
            "Nothing was sent",
            "Carriers kept nothing",
        ]
    );
}

#[test]
fn titles_of_few_messages_read_well_too() {
    let title = |sent, delivered, proved| {
        let report = Report {
            sent,
            delivered,
            proved,
            ..empty()
        };
        messages(&report).title
    };
    assert_eq!(title(1, 1, 1), "The only message was delivered");
    assert_eq!(title(1, 0, 0), "The only message was not delivered");
    assert_eq!(
        title(2, 2, 2),
        "All 2 messages were delivered, all with proof"
    );
    assert_eq!(
        title(2, 1, 0),
        "1 of 2 messages were delivered (50 %), none with proof"
    );
}

#[test]
fn what_lasts_no_time_is_a_dot_and_not_an_invisible_line() {
    let mut report = empty();
    report.samples = vec![Sample::default(); 2];
    let circles = |svg: &str| svg.matches("<circle").count();
    let dots: Vec<usize> = plots(&report).iter().map(|(_, svg)| circles(svg)).collect();
    assert_eq!(dots, [3, 0, 2, 0, 1]);
}

#[test]
fn a_scenarios_name_can_neither_leave_the_folder_nor_the_text() {
    let mut report = day();
    report.scenario = "../<b>&\"'\0 \u{202e}ö".repeat(40);
    for (file, svg) in plots(&report) {
        assert!(
            file.len() < 200 && !file.contains(['/', '\0', '.', '<']) || file.ends_with(".svg")
        );
        assert_eq!(file.matches(['/', '\\', '<']).count(), 0, "{file}");
        assert_good(&file, &svg);
    }
}

#[test]
fn a_long_title_is_broken_into_lines_of_about_one_length() {
    let mut report = day();
    report.waits_ms = vec![u64::MAX; 3];
    let (_, svg) = &plots(&report)[1];
    let lines: Vec<&str> = svg
        .split("<text ")
        .filter(|element| element.starts_with("class=\"title\""))
        .map(|element| text_box(element).0)
        .collect();
    assert_eq!(
        lines,
        [
            "Half of the messages arrived within 213,503,982,334",
            "days 14 h, 95 % within 213,503,982,334 days 14 h"
        ]
    );
}

#[test]
fn axes_go_in_round_steps_up_to_what_they_show() {
    let labels =
        |axis: Axis| -> Vec<String> { axis.ticks.into_iter().map(|tick| tick.1).collect() };
    assert_eq!(labels(Axis::counts(0.0)), ["0", "1"]);
    assert_eq!(labels(Axis::counts(1.0)), ["0", "1"]);
    assert_eq!(
        labels(Axis::counts(20_000.0)),
        ["0", "5,000", "10,000", "15,000", "20,000"]
    );
    assert_eq!(
        labels(Axis::counts(2_100_000.0)),
        ["0", "0.5 M", "1 M", "1.5 M", "2 M", "2.5 M"]
    );
    assert_eq!(
        labels(Axis::bytes(1_234.0, "B/s")),
        ["0", "0.5 kB/s", "1 kB/s", "1.5 kB/s"]
    );
    assert_eq!(
        labels(Axis::percents(0.04)),
        ["0", "0.01 %", "0.02 %", "0.03 %", "0.04 %"]
    );
    assert_eq!(
        labels(Axis::percents(100.0)),
        ["0", "20 %", "40 %", "60 %", "80 %", "100 %"]
    );
    let time = |seconds| labels(Axis::seconds(seconds, 560.0));
    assert_eq!(time(0), ["0", "1 s"]);
    assert_eq!(
        time(90),
        ["0", "15 s", "30 s", "45 s", "60 s", "75 s", "90 s"]
    );
    assert_eq!(
        time(3_600),
        [
            "0", "10 min", "20 min", "30 min", "40 min", "50 min", "60 min"
        ]
    );
    assert_eq!(
        time(14 * 86_400),
        [
            "0", "2 days", "4 days", "6 days", "8 days", "10 days", "12 days", "14 days"
        ]
    );
    assert_eq!(
        labels(Axis::log_ms(12, 900, 560.0)),
        [
            "10 ms", "20 ms", "50 ms", "100 ms", "200 ms", "500 ms", "1 s"
        ]
    );
    assert_eq!(
        labels(Axis::log_ms(0, u64::MAX, 560.0))
            .last()
            .map(String::as_str),
        Some("1,000,000 days")
    );
}

#[test]
fn a_logarithmic_axis_puts_equal_ratios_at_equal_distances() {
    let axis = Axis::log_ms(10, 1_000, 560.0);
    assert_eq!((axis.place(0.0), axis.place(10.0)), (0.0, 0.0));
    assert!((axis.place(100.0) - 0.5).abs() < 1e-12);
    assert_eq!(axis.place(1_000.0), 1.0);
}

#[test]
fn a_wait_at_a_percentage_is_one_that_somebody_had() {
    let mut report = empty();
    assert_eq!(report.wait_ms(50), None);
    report.waits_ms = vec![40, 10, 30, 20];
    let waits = [0, 25, 26, 50, 95, 100, 1_000].map(|percent| report.wait_ms(percent));
    assert_eq!(waits, [10, 10, 20, 20, 40, 40, 40].map(Some));
}

proptest! {
    #[test]
    fn axes_are_finite_rise_and_reach_what_they_show(max in prop_oneof![0.0..10.0, 0.0..1e6, 0.0..2e19], seconds: u64, waits: (u64, u64)) {
        let (low, high) = (waits.0.min(waits.1), waits.0.max(waits.1));
        let axes = [
            (Axis::counts(max), max),
            (Axis::bytes(max, "B/s"), max),
            (Axis::percents(max), max.min(100.0)),
            (Axis::seconds(seconds, 560.0), seconds as f64),
            (Axis::log_ms(low, high, 560.0), high as f64),
        ];
        for (axis, max) in axes {
            prop_assert!((1..=12).contains(&axis.ticks.len()), "{:?}", axis.ticks);
            prop_assert!(axis.ticks.is_sorted_by(|a, b| a.0 < b.0));
            prop_assert!(axis.ticks.iter().all(|(value, _)| value.is_finite()));
            let place = axis.place(max);
            prop_assert!((0.0..=1.0).contains(&place));
            prop_assert!(axis.place(max * 0.9) <= place);
        }
    }
}

/// Checks that elements are closed in order, attributes quoted, entities known, and that no text lies on another or outside.
fn assert_good(file: &str, svg: &str) {
    assert!(svg.starts_with("<svg ") && svg.contains(MADE_BY));
    assert!(
        !svg.contains("NaN") && !svg.contains("inf"),
        "{file}: {svg}"
    );
    let mut open: Vec<&str> = Vec::new();
    for part in svg.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("a tag ends");
        for entity in text.split('&').skip(1).chain(tag.split('&').skip(1)) {
            let name = entity.split(';').next().expect("a name");
            assert!(
                ["amp", "lt", "gt", "quot", "apos"].contains(&name),
                "{file}: &{name}"
            );
        }
        let forbidden = |letter: char| letter < ' ' && letter != '\n';
        assert!(!text.contains(forbidden), "{file}: {text:?}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{file}: <{tag}>");
        } else if !tag.starts_with("!--") {
            assert_eq!(tag.matches('"').count() % 2, 0, "{file}: <{tag}>");
            if !tag.ends_with('/') {
                open.push(tag.split(' ').next().expect("a name"));
            }
        }
    }
    assert!(open.is_empty(), "{file}: {open:?} open");

    let height: f64 = attribute(svg, "height").parse().expect("a height");
    let boxes: Vec<_> = svg.split("<text ").skip(1).map(text_box).collect();
    for (index, (text, left, top, right, bottom)) in boxes.iter().enumerate() {
        assert!(
            *left >= 0.0 && *right <= WIDTH && *top >= 0.0 && *bottom <= height,
            "{file}: {text:?} lies outside: {left} {top} {right} {bottom}"
        );
        for (other, left2, top2, right2, bottom2) in &boxes[index + 1..] {
            let apart = right <= left2 || right2 <= left || bottom <= top2 || bottom2 <= top;
            assert!(apart, "{file}: {text:?} lies on {other:?}");
        }
    }
}

fn text_box(element: &str) -> (&str, f64, f64, f64, f64) {
    let (tag, text) = element.split_once('>').expect("a tag ends");
    let text = text.split('<').next().expect("a text");
    let class = attribute(tag, "class").split(' ').next().expect("a class");
    let style = [TITLE, NOTE, LABEL, TICK, SMALL]
        .into_iter()
        .find(|style| style.class == class)
        .expect("a style");
    let plain = ["&amp;", "&lt;", "&gt;", "&quot;", "&apos;"]
        .iter()
        .fold(text.to_owned(), |text, entity| text.replace(entity, "x"));
    let (x, y): (f64, f64) = (
        attribute(tag, "x").parse().expect("x"),
        attribute(tag, "y").parse().expect("y"),
    );
    let wide = style.width(&plain);
    let left = match tag {
        _ if tag.contains("\"middle\"") => x - wide / 2.0,
        _ if tag.contains("\"end\"") => x - wide,
        _ => x,
    };
    (
        text,
        left,
        y - style.size * 0.8,
        left + wide,
        y + style.size * 0.2,
    )
}

fn attribute<'a>(tag: &'a str, name: &str) -> &'a str {
    let (_, rest) = tag
        .split_once(&format!("{name}=\""))
        .expect("the attribute");
    rest.split_once('"').expect("its end").0
}
