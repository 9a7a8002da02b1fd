//! Made-up reports.

use crate::{Report, Sample};

pub(super) fn empty() -> Report {
    Report {
        scenario: "empty".to_owned(),
        seed: 0,
        trace: String::new(),
        nodes: 0,
        sent: 0,
        delivered: 0,
        proved: 0,
        hops: 0.0,
        waits_ms: vec![],
        datagrams: 0,
        bytes: 0,
        sent_by: vec![],
        lost: vec![],
        drops: vec![],
        events: 0,
        events_per_second: 0.0,
        bytes_per_node: 0,
        seconds: 0.0,
        virtual_seconds: 0,
        samples: vec![],
        checks: vec![],
    }
}

/// A day of 20,000 nodes, more of them at noon than at night; some recipients are away for hours.
pub(super) fn day() -> Report {
    let mut report = Report {
        scenario: "medium".to_owned(),
        seed: 7,
        trace: "8f1d3c5b7a99e0248f1d3c5b7a99e0248f1d3c5b7a99e0248f1d3c5b7a99e024".to_owned(),
        nodes: 20_000,
        sent: 10_000,
        delivered: 9_997,
        proved: 9_990,
        ..empty()
    };
    let mut state = 1_u64;
    let mut draw = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1_u64 << 31) as f64
    };
    for _ in 0..report.delivered {
        let wait = if draw() < 0.7 {
            180.0 * libm::pow(60.0, draw() * draw() * 2.0)
        } else {
            30e3 * libm::pow(1_200.0, libm::sqrt(draw()))
        };
        report.waits_ms.push(wait as u64);
    }
    let mut sample = Sample::default();
    for step in 0..=288_u64 {
        let wave = libm::sin((step as f64 / 288.0 - 0.25) * core::f64::consts::TAU);
        sample.second = step * 300;
        sample.online = (12_000.0 + 4_000.0 * wave + 150.0 * draw()) as u64;
        sample.link_ends = (sample.online as f64 * (8.0 + 0.4 * draw())) as u64;
        sample.sent = (step * 10_000 / 260).min(10_000);
        sample.delivered = ((step.saturating_sub(4)) * 9_997 / 270).min(9_997);
        sample.copies =
            (sample.sent - sample.delivered) * 8 + step * 60 + (8_000.0 * (wave + 1.0)) as u64;
        if step > 0 {
            let datagrams = (sample.online as f64 * 300.0 * (1.2 + 0.3 * draw())) as u64;
            sample.datagrams += datagrams;
            sample.bytes += datagrams * 311;
            sample.lost += (datagrams as f64
                * (0.045
                    + 0.01 * draw()
                    + if (100..110).contains(&step) {
                        0.02
                    } else {
                        0.0
                    })) as u64;
        }
        report.samples.push(sample.clone());
    }
    report
}

/// What a run may come to at its edges.
pub(super) fn reports() -> Vec<Report> {
    let of = |second, number| Sample {
        second,
        online: number,
        link_ends: number,
        copies: number,
        sent: number,
        delivered: number,
        datagrams: number,
        bytes: number,
        lost: number,
    };
    let all = |seconds: &[u64], number: u64, wait: &[u64]| Report {
        scenario: "all".repeat(100),
        seed: number,
        nodes: number,
        sent: number,
        delivered: number,
        proved: number,
        waits_ms: wait.to_vec(),
        samples: seconds.iter().map(|second| of(*second, number)).collect(),
        ..empty()
    };
    let mut reports = vec![empty(), day()];
    for number in [0, 1, 2, 7, 999_999, 123_456_789, u64::MAX] {
        for seconds in [
            &[][..],
            &[0],
            &[3_600],
            &[0, 1],
            &[0, 60, u64::MAX],
            &[5, 5],
        ] {
            for waits in [
                &[][..],
                &[0],
                &[1],
                &[240; 3],
                &[40, 41],
                &[u64::MAX],
                &[3, 500, 86_400_000, u64::MAX],
                &[0, u64::MAX],
            ] {
                reports.push(all(seconds, number, waits));
            }
        }
    }
    reports
}
