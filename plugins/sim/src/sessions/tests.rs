//! That sessions are as documented.

use super::*;
use dunlin_engine::Random;

const DRAWS: u64 = 100_000;
/// 2026-03-01 00:00 UTC.
const UNIX_MS: u64 = 1_772_323_200_000;
const CHURNING: [Sessions; 4] = [
    Sessions::Desktop,
    Sessions::Ipfs,
    Sessions::Phone,
    Sessions::Diurnal,
];

fn hours(hours: u64) -> Duration {
    Duration::from_millis(hours * HOUR_MS)
}

/// Percent of the lengths that are no longer than `limit`.
fn percent_within(limit: Duration, lengths: &[Duration]) -> f64 {
    let within = lengths.iter().filter(|length| **length <= limit).count();
    within as f64 * 100.0 / lengths.len() as f64
}

#[track_caller]
fn assert_near(found: f64, expected: f64, most: f64) {
    assert!((found - expected).abs() <= most, "{found}, not {expected}");
}

fn lengths(sessions: Sessions, becomes_online: bool) -> Vec<Duration> {
    let mut random = Random::from_seed(7, 0);
    (0..DRAWS)
        .filter_map(|number| sessions.next(becomes_online, number, UNIX_MS, &mut random.0))
        .collect()
}

#[test]
fn sessions_last_as_long_as_published() {
    for sessions in [Sessions::Ipfs, Sessions::Desktop] {
        let lengths = lengths(sessions, true);
        assert_near(percent_within(hours(2), &lengths), 50.0, 1.0);
        assert_near(percent_within(hours(8), &lengths), 80.0, 1.0);
    }
    let phones = lengths(Sessions::Phone, true);
    assert_near(percent_within(hours(1) / 4, &phones), 50.0, 1.0);
    let absences = lengths(Sessions::Phone, false);
    assert_near(percent_within(hours(1), &absences), 50.0, 1.0);
}

#[test]
fn of_ipfs_peers_a_tenth_never_leave_and_three_eighths_never_come() {
    let mut random = Random::from_seed(7, 0);
    let (mut always, mut never, mut online) = (0, 0, 0);
    for number in 0..DRAWS {
        let (is_online, change) = Sessions::Ipfs.begin(number, UNIX_MS, &mut random.0);
        always += u64::from(is_online && change.is_none());
        never += u64::from(!is_online && change.is_none());
        online += u64::from(is_online && change.is_some());
    }
    let percent = |count: u64| count as f64 * 100.0 / DRAWS as f64;
    assert_near(percent(always), 10.5, 0.5);
    assert_near(percent(never), 37.7, 0.5);
    assert_near(percent(online), 0.2 * 51.8, 0.5);
}

/// Percent of 20,000 nodes that are online `later`, of those that began at `UNIX_MS`.
fn percent_online(sessions: Sessions, later: Duration) -> f64 {
    let nodes = 20_000;
    let mut count = 0;
    for number in 0..nodes {
        let mut random = Random::from_seed(11, number);
        let (mut online, mut change) = sessions.begin(number, UNIX_MS, &mut random.0);
        let mut at = Duration::ZERO;
        while let Some(wait) = change {
            at += wait;
            if at > later {
                break;
            }
            online = !online;
            let unix_ms = UNIX_MS + at.as_millis() as u64;
            change = sessions.next(online, number, unix_ms, &mut random.0);
        }
        count += u64::from(online);
    }
    count as f64 * 100.0 / nodes as f64
}

#[test]
fn as_many_are_online_at_any_later_time_as_at_the_start() {
    for sessions in [Sessions::Desktop, Sessions::Ipfs, Sessions::Phone] {
        let expected = percent_online(sessions, Duration::ZERO);
        for later in [hours(1) / 6, hours(1), hours(9), hours(24 * 3 + 5)] {
            assert_near(percent_online(sessions, later), expected, 1.0);
        }
    }
    assert_near(percent_online(Sessions::Desktop, Duration::ZERO), 20.0, 1.0);
    assert_near(percent_online(Sessions::Phone, Duration::ZERO), 20.0, 1.0);
    // Evenings come again each day.
    for hour in [0, 7, 14, 20] {
        let expected = percent_online(Sessions::Diurnal, hours(hour));
        for days in [1, 3] {
            let later = hours(24 * days + hour);
            assert_near(percent_online(Sessions::Diurnal, later), expected, 1.0);
        }
    }
}

/// Percent of diurnal nodes that are online at an hour of their own clocks.
fn percent_online_at(local_hour: u64) -> f64 {
    let mut online = 0;
    for number in 0..DRAWS {
        let mut random = Random::from_seed(13, number);
        let unix_ms = (UNIX_MS + (24 + local_hour) * HOUR_MS)
            .saturating_add_signed(-i64::from(zone_hours(number)) * HOUR_MS as i64);
        online += u64::from(Sessions::Diurnal.begin(number, unix_ms, &mut random.0).0);
    }
    online as f64 * 100.0 / DRAWS as f64
}

#[test]
fn diurnal_nodes_are_online_in_the_evening_of_their_own_time_zone() {
    let day: Vec<f64> = (0..24).map(percent_online_at).collect();
    let peak = (0..24).max_by(|a, b| day[*a].total_cmp(&day[*b]));
    assert!((19..=22).contains(&peak.expect("24 hours")), "{day:?}");
    assert!(day[21] > 35.0 && day[9] < 1.0, "{day:?}");
}

#[test]
fn the_whole_network_has_tides_although_its_nodes_live_everywhere() {
    assert_eq!(ZONES.iter().map(|zone| zone.1).sum::<u64>(), 100);
    let day: Vec<f64> = (0..24)
        .map(|hour| percent_online(Sessions::Diurnal, hours(hour)))
        .collect();
    let high = day.iter().copied().fold(0.0, f64::max);
    let low = day.iter().copied().fold(100.0, f64::min);
    assert!(high > 1.8 * low, "{day:?}");
}

#[test]
fn who_is_always_there_or_away_never_changes() {
    let mut random = Random::from_seed(7, 0);
    for (sessions, online) in [(Sessions::Always, true), (Sessions::Never, false)] {
        let begun = sessions.begin(3, UNIX_MS, &mut random.0);
        assert_eq!(begun, (online, None));
        assert_eq!(sessions.next(online, 3, UNIX_MS, &mut random.0), None);
    }
}

#[test]
fn the_same_seed_draws_the_same_sessions_on_every_machine() {
    let draw = |sessions: Sessions, seed| {
        let mut random = Random::from_seed(seed, 5);
        let begun = sessions.begin(5, UNIX_MS, &mut random.0);
        let next = sessions.next(true, 5, UNIX_MS, &mut random.0);
        (begun, next)
    };
    for sessions in CHURNING {
        assert_eq!(draw(sessions, 1), draw(sessions, 1));
    }
    assert_ne!(draw(Sessions::Desktop, 1), draw(Sessions::Desktop, 2));
    // Written down from a run, so that another machine's arithmetic would show.
    let sum = |sessions: Sessions| {
        let mut random = Random::from_seed(1, 0);
        let lengths = (0..10_000).filter_map(|number| {
            let (online, first) = sessions.begin(number, UNIX_MS, &mut random.0);
            let later = sessions.next(online, number, UNIX_MS, &mut random.0);
            Some((first? + later?).as_micros())
        });
        lengths.sum::<u128>()
    };
    assert_eq!(
        CHURNING.map(sum),
        [
            7_959_963_326_347_707,
            4_176_565_039_710_322,
            197_699_057_495_225,
            1_475_214_129_144_000,
        ]
    );
}
