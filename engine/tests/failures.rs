//! What goes wrong while it runs stays where it went wrong.

use dunlin_engine::prelude::*;
use dunlin_engine::{CallError, Failures, Prompt, Responder};
use serde_json::json;
use std::sync::mpsc;
use std::time::Duration;

#[derive(Resource, Default)]
struct Turns(u32);

fn count(mut turns: ResMut<Turns>) {
    turns.0 += 1;
}

#[test]
fn a_system_that_fails_or_panics_is_named_and_the_runtime_goes_on() {
    fn fails() -> Result {
        Err("the disk is full".into())
    }
    fn panics() {
        panic!("index out of range");
    }
    let mut app = App::new();
    app.world_mut().init_resource::<Turns>();
    app.add_systems(Turn::Route, (fails, panics, count));
    app.start().expect("nothing has run yet");
    for _ in 0..4 {
        app.turn(Now::default());
    }
    assert_eq!(app.world().resource::<Turns>().0, 4);
    let failures = app.world().resource::<Failures>();
    assert_eq!(failures.of("fails").count, 4);
    assert_eq!(failures.of("fails").last, "the disk is full");
    assert_eq!(failures.of("panics").count, 4);
    assert_eq!(failures.iter().count(), 2);
}

fn app_with_calls() -> App {
    fn explode(In(call): In<Call<()>>, mut armed: ResMut<Armed>) -> Result<Answer, CallError> {
        if armed.0 > 0 {
            armed.0 -= 1;
            panic!("boom");
        }
        assert!(call.body.is_empty());
        Answer::of("calm")
    }
    fn steady(In(_): In<Call<()>>) -> Result<Answer, CallError> {
        Answer::of("steady")
    }
    let mut app = App::new();
    app.world_mut().insert_resource(Armed(2));
    app.call("test.explode", explode);
    app.call("test.steady", steady);
    app
}

#[derive(Resource)]
struct Armed(u32);

#[test]
fn a_call_that_panics_twice_is_answered_each_time_and_works_the_third_time_and_its_neighbours_too()
{
    let mut app = app_with_calls();
    let client = app.client(Grants::everything());
    app.start().expect("calls");
    let ask = |name: &str| client.call(name, json!({}), Default::default());
    let tickets = [
        ask("test.steady"),
        ask("test.explode"),
        ask("test.steady"),
        ask("test.explode"),
        ask("test.explode"),
        ask("test.steady"),
    ];
    app.turn(Now::default());
    let answers: Vec<_> = tickets
        .iter()
        .map(|ticket| ticket.take().expect("each is answered"))
        .collect();
    for steady in [0, 2, 5] {
        assert_eq!(answers[steady].as_ref().expect("steady").value, "steady");
    }
    for exploded in [1, 3] {
        let error = answers[exploded].as_ref().expect_err("it panicked");
        assert_eq!(error.code, "panicked");
        assert!(
            error.message.contains("test.explode") && error.message.contains("boom"),
            "{error}"
        );
    }
    assert_eq!(answers[4].as_ref().expect("works again").value, "calm");
    assert_eq!(
        app.world().resource::<Failures>().of("test.explode").count,
        2
    );
}

#[test]
fn an_unknown_call_names_the_nearest_one_and_bad_parameters_say_what_is_wrong() {
    #[derive(serde::Deserialize)]
    struct Move {
        #[expect(dead_code, reason = "only its shape is tested")]
        metres: u32,
    }
    impl dunlin_engine::Params for Move {}
    fn go(In(_): In<Call<Move>>) -> Result<Answer, CallError> {
        Answer::of(())
    }
    let mut app = App::new();
    app.call("test.move", go);
    let client = app.client(Grants::everything());
    app.start().expect("a call");
    let typo = client.call("test.mvoe", json!({}), Default::default());
    let bad = client.call("test.move", json!({ "metres": "far" }), Default::default());
    app.turn(Now::default());
    let typo = typo.take().expect("answered").expect_err("no such call");
    assert_eq!(typo.code, "unknown");
    assert!(
        typo.message.contains("did you mean \"test.move\"?"),
        "{typo}"
    );
    let bad = bad.take().expect("answered").expect_err("not a number");
    assert_eq!(bad.code, "params");
    assert!(bad.message.contains("u32"), "{bad}");
}

#[test]
fn a_caller_without_a_grant_is_refused_with_the_line_to_add() {
    let mut app = app_with_calls();
    let client = app.client(Grants::default());
    app.start().expect("calls");
    let ticket = client.call("test.steady", json!({}), Default::default());
    app.turn(Now::default());
    let error = ticket.take().expect("answered").expect_err("denied");
    assert_eq!(error.code, "denied");
    assert!(error.message.ends_with("\"test.steady\" = true"), "{error}");
}

#[test]
fn asking_is_denied_where_nobody_can_be_asked_and_remembered_where_somebody_can() {
    let ask = || {
        let grants: Grants = serde_json::from_value(json!({ "test": "ask" })).expect("grants");
        grants
    };
    let mut app = app_with_calls();
    let headless = app.client(ask());
    app.start().expect("calls");
    let ticket = headless.call("test.steady", json!({}), Default::default());
    app.turn(Now::default());
    app.turn(Now::default());
    assert_eq!(
        ticket.take().expect("answered").expect_err("denied").code,
        "denied"
    );

    let (asked, questions) = mpsc::channel();
    app.world_mut()
        .insert_resource(Prompt(Box::new(move |question, decide| {
            let _ = asked.send(question);
            decide.answer(true);
        })));
    let seen = app.client(ask());
    for _ in 0..3 {
        let ticket = seen.call("test.steady", json!({}), Default::default());
        app.turn(Now::default());
        app.turn(Now::default());
        assert_eq!(
            ticket.take().expect("answered").expect("granted").value,
            "steady"
        );
    }
    assert_eq!(questions.try_iter().count(), 1, "the answer is remembered");
}

fn later_app() -> (App, mpsc::Receiver<Responder>) {
    let (give, responders) = mpsc::channel();
    let mut app = App::new();
    app.call(
        "test.later",
        move |In(call): In<Call<()>>| -> Result<Answer, CallError> {
            let _ = give.send(call.later());
            Ok(Answer::Later)
        },
    );
    (app, responders)
}

#[test]
fn a_call_that_answers_later_is_answered_by_its_responder() {
    let (mut app, responders) = later_app();
    let client = app.client(Grants::everything());
    app.start().expect("a call");
    let ticket = client.call("test.later", json!({}), Default::default());
    app.turn(Now::default());
    assert!(ticket.take().is_none());
    let responder = responders.try_recv().expect("the system ran");
    responder.answer(Reply::of(7));
    assert_eq!(ticket.take().expect("answered").expect("seven").value, 7);
    app.turn(Now::default());
    assert_eq!(
        app.turn(Now::default()),
        None,
        "its time limit went with it"
    );
}

#[test]
fn a_responder_dropped_without_an_answer_is_an_error_and_so_is_one_that_is_late() {
    let (app, responders) = later_app();
    let mut run = Virtual::start(app, 0).expect("a call");
    let client = run.app.client(Grants::everything());
    let dropped = client.call("test.later", json!({}), Default::default());
    run.turn();
    drop(responders.try_recv());
    let error = dropped.take().expect("answered").expect_err("dropped");
    assert_eq!(error.code, "failed");

    let late = client.call("test.later", json!({}), Default::default());
    run.run_for(Duration::from_secs(29));
    assert!(late.take().is_none());
    run.run_for(Duration::from_secs(2));
    assert_eq!(
        late.take().expect("answered").expect_err("late").code,
        "timeout"
    );
    assert!(responders.try_recv().expect("it ran").is_cancelled());
}

#[test]
fn what_a_caller_holds_open_ends_when_it_goes() {
    let (mut app, responders) = later_app();
    app.stream(
        "test.watch",
        |In(open): In<Open<()>>, mut commands: Commands| -> Result<(), CallError> {
            commands.entity(open.subscription).insert(Watch(open.sink));
            Ok(())
        },
    );
    let client = app.client(Grants::everything());
    app.start().expect("a stream");
    let _ticket = client.call("test.later", json!({}), Default::default());
    let items = client.open("test.watch", json!({}));
    app.turn(Now::default());
    items.opened().expect("known").expect("open");
    let mut watching = app.world_mut().query::<&Watch>();
    for watch in watching.iter(app.world()) {
        watch
            .0
            .send(Reply::of("item").expect("text"))
            .expect("room");
    }
    assert_eq!(items.take().expect("an item").value, "item");

    let responder = responders.try_recv().expect("it ran");
    drop(client);
    app.turn(Now::default());
    assert!(responder.is_cancelled());
    let mut watching = app.world_mut().query::<&Watch>();
    assert_eq!(watching.iter(app.world()).count(), 0);
}

#[derive(Component)]
struct Watch(dunlin_engine::Sink);

#[test]
fn a_stream_that_nobody_reads_hands_items_back_and_does_not_grow() {
    let mut app = App::new();
    app.stream(
        "test.watch",
        |In(open): In<Open<()>>, mut commands: Commands| -> Result<(), CallError> {
            commands.entity(open.subscription).insert(Watch(open.sink));
            Ok(())
        },
    );
    let client = app.client(Grants::everything());
    app.start().expect("a stream");
    let items = client.open("test.watch", json!({}));
    app.turn(Now::default());
    let mut watching = app.world_mut().query::<&Watch>();
    let refused = (0..5_000)
        .filter(|n| {
            let watch = watching.single(app.world()).expect("one");
            watch.0.send(Reply::of(n).expect("a number")).is_err()
        })
        .count();
    assert_eq!(refused, 5_000 - 1_024);
    assert_eq!(items.take().expect("the first").value, 0);
}

#[test]
fn a_full_inbox_answers_calls_with_busy_and_loses_none_that_it_took() {
    let mut app = app_with_calls();
    let client = app.client(Grants::everything());
    app.start().expect("calls");
    let tickets: Vec<_> = (0..5_000)
        .map(|_| client.call("test.steady", json!({}), Default::default()))
        .collect();
    while app.turn(Now::default()).is_some() {}
    let answers: Vec<_> = tickets
        .iter()
        .map(|ticket| ticket.take().expect("each is answered"))
        .collect();
    let busy = answers
        .iter()
        .filter(|answer| answer.as_ref().is_err_and(|error| error.code == "busy"));
    assert_eq!(busy.count(), 5_000 - 4_096);
    assert_eq!(
        answers.iter().filter(|answer| answer.is_ok()).count(),
        4_096
    );
}
