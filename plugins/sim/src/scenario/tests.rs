//! That scenarios are read as written, and that what is wrong with one is told.

use super::*;
use proptest::prelude::*;

const SMALL: &str = r#"
about = "Two people and some carriers."
duration = "2 h"
warm_up = "10 min"

[network]
delay_ms = 40
loss_percent = 2

[[nodes]]
name = "carriers"
count = 1_000
carry = true

[[nodes]]
name = "people"
count = 2
sessions = "diurnal"
nat = "port_restricted"
cache = "1 MB"
clock_error = "24 h"

[[messages]]
from = "people"
to = "people"
count = 10
bytes = 200

[[partitions]]
at = "10 min"
for = "5 min"
percent = 30

[[waves]]
at = "20 min"
spread = "1 min"
percent = 7.5
away = "10 s"

[[attackers]]
kind = "flooder"
count = 1
per_minute = 5

[must]
delivered_percent = 99.9
median_wait = "30 s"
"#;

/// What is said of `SMALL` with one thing replaced.
fn faults(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    match Scenario::parse("dir/small.toml", &SMALL.replace(from, to)) {
        Ok(scenario) => panic!("nothing wrong with {scenario}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_scenario_is_read_as_written() {
    let scenario = Scenario::parse("dir/small.toml", SMALL).expect("a scenario");
    assert_eq!(scenario.name, "small");
    assert_eq!(scenario.duration, Duration::from_hours(2));
    assert_eq!(scenario.network.delay_ms, 40);
    assert_eq!(scenario.node_count(), 1_002);
    let people = &scenario.nodes[1];
    assert_eq!(people.sessions, Sessions::Diurnal);
    assert_eq!((people.links, people.cache), (8, 1_000_000));
    assert_eq!(people.nat, NatKind::named("port_restricted"));
    assert_eq!(scenario.messages[0].until, None);
    assert_eq!(scenario.partitions[0].lasts, Duration::from_mins(5));
    assert_eq!(scenario.waves[0].percent, 7.5);
    assert_eq!(scenario.attackers[0].numbers["per_minute"], 5.0);
    assert_eq!(scenario.must.median_wait, Some(Duration::from_secs(30)));
    let written = scenario.to_string();
    let again = Scenario::parse("small.toml", &written).expect(&written);
    assert_eq!(again, scenario);
}

#[test]
fn every_scenario_in_the_tests_folder_can_be_run() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/sim");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).expect("tests/sim") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let scenario = Scenario::load(&path).unwrap_or_else(|error| panic!("{error}"));
            assert_ne!(scenario.about, "", "{}", path.display());
            names.push(scenario.name);
        }
    }
    names.sort();
    for name in ["medium", "million", "small"] {
        assert!(names.iter().any(|other| other == name), "{names:?}");
    }
}

#[test]
fn keys_that_nothing_reads_are_all_named_with_their_lines_and_what_they_are_like() {
    let text = SMALL
        .replace("warm_up", "warmup")
        .replace("carry", "cary")
        .replace("loss_percent", "lost_percent");
    let error = Scenario::parse("dir/small.toml", &text).expect_err("typos");
    assert_eq!(
        error.to_string(),
        "dir/small.toml:4: unknown key \"warmup\" in the scenario; did you mean \"warm_up\"?\n\
         dir/small.toml:8: unknown key \"lost_percent\" in [network]; did you mean \"loss_percent\"?\n\
         dir/small.toml:13: unknown key \"cary\" in [[nodes]]; did you mean \"carry\"?"
    );
}

#[test]
fn values_of_a_wrong_shape_are_told_with_their_line() {
    let error = faults("\"2 h\"", "\"2 hours\"");
    assert!(
        error.starts_with("dir/small.toml:3: \"2 hours\" is not a time"),
        "{error}"
    );
    let error = faults("\"diurnal\"", "\"dirunal\"");
    assert!(
        error.starts_with("dir/small.toml:18: unknown variant `dirunal`"),
        "{error}"
    );
    let error = faults("count = 2\n", "count = -2\n");
    assert!(error.starts_with("dir/small.toml:17: "), "{error}");
    let error = faults("bytes = 200\n", "");
    assert_eq!(error, "dir/small.toml:23: missing field `bytes`");
    let error = faults("port_restricted", "port-restricted");
    assert!(
        error.starts_with("dir/small.toml:19: ") && error.contains("full_cone"),
        "{error}"
    );
    let error = faults("[network]", "[network");
    assert!(error.starts_with("dir/small.toml:6: "), "{error}");
}

#[test]
fn what_does_not_fit_together_is_told_all_at_once() {
    let text = SMALL
        .replace("to = \"people\"", "to = \"poeple\"")
        .replace("count = 1_000", "count = 0")
        .replace(
            "bytes = 200",
            "bytes = 65_537\nuntil = \"3 h\"\nto_away = \"15 days\"",
        )
        .replace("percent = 7.5", "percent = nan")
        .replace("percent = 30", "percent = 100")
        .replace("= 99.9", "= 101");
    let error = Scenario::parse("a.toml", &text).expect_err("much is wrong");
    let ScenarioError::Faults(faults) = error else {
        panic!("{error}");
    };
    let found: Vec<_> = faults
        .iter()
        .map(|fault| (fault.line, &*fault.what))
        .collect();
    assert_eq!(
        found,
        [
            (12, "count is 0: leave the table out, or say how many"),
            (
                25,
                "no nodes are called \"poeple\"; did you mean \"people\"?"
            ),
            (27, "bytes goes from 1 to 65536"),
            (28, "until is 3 h, but the run ends after 2 h"),
            (
                29,
                "who is away for 15 days from 3 h on is not back when the run ends after 2 h: set until, or a longer duration"
            ),
            (29, "no message lives longer than 14 days (PROTOCOL 3.1)"),
            (34, "percent goes from 1 to 99: there are two sides"),
            (39, "percent is NaN: it goes from 0 to 100"),
            (48, "delivered_percent is 101: it goes from 0 to 100"),
        ]
    );
}

#[test]
fn each_thing_that_cannot_be_is_told() {
    let waves = "percent = 7.5\n";
    for (from, to, expected) in [
        ("\"2 h\"", "\"0 s\"", "duration is 0"),
        (
            "cache = \"1 MB\"",
            "clean_percent = 101",
            "clean_percent is 101: it goes from 0 to 100",
        ),
        (
            "\"10 min\"\n\n[network]",
            "\"2 h\"\n\n[network]",
            "warm_up is 2 h, but the run ends after 2 h",
        ),
        (
            "duration",
            "prefixes = 0\nduration",
            "prefixes goes from 1 to 20480",
        ),
        (
            "duration",
            "prefixes = 20481\nduration",
            "prefixes goes from 1 to 20480",
        ),
        ("1_000", "65_000_001", "give them 1001 prefixes or more"),
        (
            "1_000",
            "9_000_000_000_000_000_000",
            "even 20480 prefixes would not do",
        ),
        (
            "count = 2\n",
            "count = 20_000_000\n",
            "20000000 nodes behind NATs: 16777214 is the most",
        ),
        (
            "duration",
            "joins_per_second = 1\nduration",
            "the last node joins after 1002 s, but messages begin after 10 min",
        ),
        (
            "loss_percent = 2",
            "loss_percent = 102",
            "loss_percent is 102",
        ),
        (
            "\"carriers\"",
            "\"people\"",
            "there are already nodes called \"people\"",
        ),
        ("\"carriers\"", "\" \"", "nodes without a name"),
        ("carry = true", "links = 9", "links goes up to 8"),
        ("count = 2\n", "count = 1\n", "nobody writes to themselves"),
        (
            "bytes = 200",
            "bytes = 200\nsender_leaves = true",
            "10 messages need as many senders who leave for good, but there are 2",
        ),
        (
            "bytes = 200",
            "bytes = 200\nsender_leaves = true",
            "\"people\" go for good, but have another part in messages",
        ),
        (
            "bytes = 200",
            "bytes = 200\nuntil = \"10 min\"",
            "no time for messages: they begin after 10 min",
        ),
        ("bytes = 200", "bytes = 0", "bytes goes from 1 to 65536"),
        ("for = \"5 min\"", "for = \"0 s\"", "for is 0"),
        (
            "at = \"10 min\"",
            "at = \"2 h\"",
            "at is 2 h, but the run ends after 2 h",
        ),
        (
            "[[waves]]",
            "[[partitions]]\nat = \"14 min\"\nfor = \"1 h\"\npercent = 5\n[[waves]]",
            "one at a time",
        ),
        (
            waves,
            "percent = -1\n",
            "percent is -1: it goes from 0 to 100",
        ),
        (
            "per_minute = 5",
            "per_minute = inf",
            "per_minute is inf: it is more than 0 and at most 100000",
        ),
        (
            "per_minute = 5",
            "rate = 5",
            "unknown key \"rate\" of a flooder; did you mean \"per_minute\"?",
        ),
        (
            "kind = \"flooder\"",
            "kind = \"floder\"",
            "no attackers are of kind \"floder\"; did you mean \"flooder\"? (there are forger, replayer",
        ),
        (
            "kind = \"flooder\"",
            "kind = \"liar\"",
            "unknown key \"per_minute\": of a liar only count is said",
        ),
    ] {
        let error = faults(from, to);
        assert!(error.contains(expected), "{error}\n{expected}");
    }
    let nobody = "duration = \"1 h\"\nnodes = []\nmust.proved_percent = 1\n";
    let error = Scenario::parse("a.toml", nobody)
        .expect_err("nobody")
        .to_string();
    assert_eq!(
        error,
        "a.toml:2: nobody takes part: add a table [[nodes]]\n\
         a.toml:3: proved_percent of no messages: add a table [[messages]]"
    );
}

#[test]
fn a_file_that_is_not_there_is_told_by_name() {
    let error = Scenario::load("no/such.toml".as_ref()).expect_err("no file");
    assert!(
        error
            .to_string()
            .starts_with("no/such.toml: cannot be read: "),
        "{error}"
    );
}

#[test]
fn a_thousand_seeds_draw_scenarios_that_can_be_run_and_written_down() {
    let mut certain = 0;
    for seed in 0..1_000 {
        let drawn = Scenario::swarm(seed);
        assert_eq!(drawn, Scenario::swarm(seed));
        assert!(
            drawn.faults().is_empty(),
            "seed {seed}: {:?}",
            drawn.faults()
        );
        assert!((9..=24).contains(&drawn.node_count()), "seed {seed}");
        let text = drawn.to_string();
        let again = Scenario::parse(&format!("swarm-{seed}.toml"), &text);
        assert_eq!(again.expect(&text), drawn, "seed {seed}");
        certain += u32::from(drawn.must.delivered_percent == Some(100.0));
    }
    // One in six: many enough that a bug which loses messages is noticed.
    assert_eq!(certain, 173);
}

#[test]
fn a_nat_without_a_name_is_written_down_field_by_field() {
    let mut scenario = Scenario::parse("small.toml", SMALL).expect("a scenario");
    let lifetime = Duration::from_secs(30);
    scenario.nodes[0].nat = Some(NatKind {
        lifetime,
        hairpin: true,
        ..NatKind::default()
    });
    let text = scenario.to_string();
    assert!(text.contains("lifetime_s = 30"), "{text}");
    assert_eq!(Scenario::parse("small.toml", &text).expect(&text), scenario);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(
        cuts in prop::collection::vec((0..SMALL.len(), 0..20_usize, "[a-z0-9_ .\"=\\[\\]{}\n-]{0,12}"), 1..6)
    ) {
        let mut text = SMALL.to_owned();
        for (at, length, new) in cuts {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &new);
        }
        let _ = Scenario::parse("small.toml", &text).map_err(|error| error.to_string());
    }

    #[test]
    fn any_other_text_neither(text in ".*") {
        let _ = Scenario::parse("small.toml", &text).map_err(|error| error.to_string());
    }
}
