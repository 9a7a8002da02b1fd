//! What a path does, in single cases, in long rows and against a twin in floats.

use super::*;
use crate::loss::Losses;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use std::time::Duration;

fn seeded(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// The fates of datagrams of 1,000 bytes, one handed over every `spacing` microseconds.
fn fates(path: &Path, count: u64, spacing: u64, seed: u64) -> Vec<Fate> {
    let (way, mut uplink) = (path.way().expect("a good path"), Uplink::default());
    let mut random = seeded(seed);
    let at = |n| Time(n * spacing);
    (0..count)
        .map(|n| way.fate(&mut uplink, 1_000, at(n), &mut random))
        .collect()
}

fn arrivals(fates: &[Fate]) -> Vec<Time> {
    let arrival = |fate: &Fate| match fate {
        Fate::Arrives { at, .. } => Some(*at),
        Fate::Lost(_) => None,
    };
    fates.iter().filter_map(arrival).collect()
}

fn losses(fates: &[Fate]) -> Losses {
    let mut losses = Losses::default();
    for fate in fates {
        if let Fate::Lost(loss) = fate {
            losses.count(*loss);
        }
    }
    losses
}

fn on_time(at: u64) -> Fate {
    let (at, again) = (Time(at), None);
    Fate::Arrives { at, again }
}

/// Five standard deviations to either side of what 100,000 draws come to on average.
fn is_about(percent: f64, count: usize) -> bool {
    let mean = 1_000.0 * percent;
    let deviation = libm::sqrt(mean * (1.0 - percent / 100.0));
    (count as f64 - mean).abs() <= 5.0 * deviation
}

#[test]
fn the_default_path_changes_nothing_and_draws_nothing() {
    let (way, mut uplink) = (Path::default().way().unwrap(), Uplink::default());
    let mut random = seeded(1);
    for n in 0..100 {
        let fate = way.fate(&mut uplink, 1_200, Time(n), &mut random);
        assert_eq!(fate, on_time(n));
    }
    assert_eq!(random.next_u64(), seeded(1).next_u64());
}

#[test]
fn at_full_loss_nothing_arrives() {
    let path = Path {
        loss_percent: 100.0,
        duplicate_percent: 100.0,
        jitter_ms: 5,
        ..Path::default()
    };
    let losses = losses(&fates(&path, 100_000, 10, 2));
    assert_eq!(losses.of(Loss::Random), 100_000);
    assert_eq!(losses.total(), 100_000);
}

#[test]
fn as_many_are_lost_doubled_and_held_back_as_was_asked() {
    for percent in [0.1, 1.0, 7.5, 50.0, 99.0] {
        let lossy = Path {
            loss_percent: percent,
            ..Path::default()
        };
        let lost = losses(&fates(&lossy, 100_000, 10, 3)).of(Loss::Random);
        assert!(is_about(percent, lost as usize), "{percent} % lost: {lost}");

        let path = Path {
            duplicate_percent: percent,
            reorder_percent: percent,
            ..Path::default()
        };
        let fates = fates(&path, 100_000, 0, 4);
        let twice = fates
            .iter()
            .filter(|fate| matches!(fate, Fate::Arrives { again: Some(_), .. }));
        let twice = twice.count();
        assert!(is_about(percent, twice), "{percent} % twice: {twice}");
        let held = arrivals(&fates);
        let held = held.iter().filter(|at| **at == Time(20_000)).count();
        assert!(is_about(percent, held), "{percent} % held: {held}");
    }
}

#[test]
fn more_loss_loses_what_less_loss_lost_and_more() {
    let [some, more] = [5.0, 6.0].map(|loss_percent| {
        let path = Path {
            loss_percent,
            jitter_ms: 30,
            duplicate_percent: 1.0,
            ..Path::default()
        };
        fates(&path, 10_000, 100, 5)
    });
    for (some, more) in some.iter().zip(&more) {
        assert!(some == more || *more == Fate::Lost(Loss::Random));
    }
    assert!(losses(&some).total() < losses(&more).total());
}

#[test]
fn datagrams_overtake_only_when_asked_to() {
    let steady = Path {
        delay_ms: 40,
        loss_percent: 10.0,
        duplicate_percent: 10.0,
        up_kbit: Some(10_000),
        ..Path::default()
    };
    assert!(arrivals(&fates(&steady, 10_000, 500, 6)).is_sorted());

    let reordering = Path {
        reorder_percent: 2.0,
        reorder_ms: 3,
        ..steady
    };
    let at = arrivals(&fates(&reordering, 10_000, 1_000, 6));
    let overtaken = at.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert_eq!(overtaken, 171); // 2 % of the 9,000 that arrive, a few of them side by side.
}

#[test]
fn jitter_reaches_both_of_its_ends() {
    let path = Path {
        delay_ms: 5,
        jitter_ms: 2,
        ..Path::default()
    };
    let at = arrivals(&fates(&path, 100_000, 0, 7));
    assert_eq!(at.iter().min(), Some(&Time(5_000)));
    assert_eq!(at.iter().max(), Some(&Time(7_000)));
    let sum: u64 = at.iter().map(|at| at.0 - 5_000).sum();
    assert_eq!(sum / 100_000, 1_000); // Half of it, on average.
}

#[test]
fn an_uplink_spaces_datagrams_by_their_bytes_and_loses_those_that_would_wait_too_long() {
    let path = Path {
        delay_ms: 10,
        up_kbit: Some(1_000), // 8 ms for 1,000 bytes
        queue_ms: 20,
        ..Path::default()
    };
    let all = fates(&path, 6, 0, 8);
    let arrive = [18_000, 26_000, 34_000]; // They wait 0, 8 and 16 ms.
    assert_eq!(all[..3], arrive.map(on_time));
    assert_eq!(all[3..], [Fate::Lost(Loss::Queue); 3]); // It would be 24.
    assert_eq!(losses(&all).of(Loss::Queue), 3);

    // At just 20 ms there is room again, and an idle uplink is no bank.
    let (way, mut uplink) = (path.way().unwrap(), Uplink::default());
    let mut fate = |at, bytes| way.fate(&mut uplink, bytes, Time(at), &mut seeded(8));
    assert_eq!(fate(0, 2_500), on_time(30_000));
    assert_eq!(fate(0, 1), on_time(30_008));
    assert_eq!(fate(7, 1), Fate::Lost(Loss::Queue));
    assert_eq!(fate(8, 1), on_time(30_016));
    assert_eq!(fate(1_000_000, 1_000), on_time(1_018_000));
}

#[test]
fn a_path_that_cannot_be_is_refused_by_the_name_of_the_field() {
    let error = |text: &str| {
        let path: Path = toml::from_str(text).expect("fields of a path");
        path.validate().map_err(|error| error.to_string())
    };
    assert_eq!(error("delay_ms = 40\nloss_percent = 100"), Ok(()));
    for bad in ["100.1", "-0.1", "nan", "inf"] {
        let said = error(&format!("loss_percent = {bad}")).unwrap_err();
        assert!(said.starts_with("loss_percent is "), "{said}");
        assert!(said.ends_with(": a percentage goes from 0 to 100"));
    }
    assert!(error("duplicate_percent = 101").is_err());
    assert!(error("reorder_percent = 101").is_err());
    assert!(error("reorder_percent = 1").is_ok());
    let said = error("reorder_percent = 1\nreorder_ms = 0").unwrap_err();
    assert!(said.starts_with("reorder_ms is 0"));
    assert!(
        error("up_kbit = 0")
            .unwrap_err()
            .starts_with("up_kbit is 0")
    );
    let unknown = toml::from_str::<Path>("loss = 5").unwrap_err();
    assert!(unknown.to_string().contains("unknown field `loss`"));
}

prop_compose! {
    fn any_path()(
        (delay_ms, jitter_ms, reorder_ms) in (0..500_u32, 0..100_u32, 1..100_u32),
        (loss_percent, duplicate_percent, reorder_percent) in (0.0..=100.0, 0.0..=100.0, 0.0..=100.0),
        (up_kbit, queue_ms) in (proptest::option::of(1..100_000_u32), 0..500_u32),
    ) -> Path {
        Path { delay_ms, jitter_ms, loss_percent, duplicate_percent, reorder_percent, reorder_ms, up_kbit, queue_ms }
    }
}

proptest! {
    #[test]
    fn nothing_arrives_before_its_time_or_after_all_that_can_hold_it(
        path in any_path(),
        sends in proptest::collection::vec((0..50_000_u64, 0..1_500_usize), 1..200),
        seed: u64,
    ) {
        let (way, mut uplink) = (path.way().unwrap(), Uplink::default());
        let (mut random, mut now) = (seeded(seed), Time::ZERO);
        // The twin of the uplink: when each datagram that it took had left, in fractions of a microsecond.
        let mut left = 0.0_f64;
        for (wait, bytes) in sends {
            now = now + Duration::from_micros(wait);
            let takes = path.up_kbit.map_or(0.0, |kbit| bytes as f64 * 8_000.0 / f64::from(kbit));
            let waits = (left - now.0 as f64).max(0.0);
            let fate = way.fate(&mut uplink, bytes, now, &mut random);
            if fate == Fate::Lost(Loss::Queue) {
                // Rounding up adds at most a microsecond for each of at most 200.
                prop_assert!(waits + 200.0 > f64::from(path.queue_ms) * 1_000.0);
                continue;
            }
            prop_assert!(path.up_kbit.is_none() || waits <= f64::from(path.queue_ms) * 1_000.0);
            left = left.max(now.0 as f64) + takes;
            let Fate::Arrives { at, again } = fate else { continue };
            let least = left.max(now.0 as f64) + f64::from(path.delay_ms) * 1_000.0;
            let most = least + f64::from(path.jitter_ms + path.reorder_ms) * 1_000.0 + 200.0;
            for at in std::iter::once(at).chain(again) {
                prop_assert!(at >= now + Duration::from_millis(path.delay_ms.into()));
                prop_assert!((least - 0.01..=most).contains(&(at.0 as f64)), "{least} {at:?} {most}");
            }
        }
    }
}
