//! Turns, timers and runners.

use dunlin_engine::prelude::*;
use std::time::Duration;

struct Ring;
struct Ping;

#[derive(Resource, Default)]
struct Heard(Vec<(Time, u32)>);

#[derive(Component)]
struct Number(u32);

fn hear(
    mut rings: MessageReader<Due<Ring>>,
    numbers: Query<&Number>,
    now: Res<Now>,
    mut heard: ResMut<Heard>,
) -> Result {
    for ring in rings.read() {
        heard.0.push((now.time, numbers.get(ring.entity)?.0));
    }
    Ok(())
}

fn app() -> App {
    let mut app = App::new();
    app.add_timer::<Ring>();
    app.add_timer::<Ping>();
    app.world_mut().init_resource::<Heard>();
    app.add_systems(Turn::Maintain, hear);
    app
}

#[test]
fn a_timer_fires_once_at_its_time_and_a_cancelled_or_replaced_one_does_not() {
    let mut run = Virtual::start(app(), 0).expect("timers");
    let world = run.app.world_mut();
    let [a, b, c] = [1, 2, 3].map(|n| world.spawn(Number(n)).id());
    let mut timers = world.resource_mut::<Timers>();
    timers.set::<Ring>(a, Time(5_000_000));
    timers.set::<Ring>(b, Time(3_000_000));
    timers.set::<Ping>(b, Time(1_000_000));
    timers.set::<Ring>(c, Time(4_000_000));
    timers.cancel::<Ring>(c);
    timers.set::<Ring>(a, Time(3_000_000));
    run.run_for(Duration::from_secs(60));
    let heard = &run.app.world().resource::<Heard>().0;
    assert_eq!(*heard, [(Time(3_000_000), 1), (Time(3_000_000), 2)]);
    assert_eq!(run.now().time, Time(60_000_000));
}

#[test]
fn an_idle_app_asks_for_no_turn() {
    let mut app = app();
    app.start().expect("timers");
    assert_eq!(app.turn(Now::default()), None);
}

#[test]
fn a_flood_of_inputs_is_taken_in_batches_and_none_is_lost() {
    #[derive(Resource, Default)]
    struct Taken(u32);
    let mut app = app();
    app.world_mut().init_resource::<Taken>();
    app.start().expect("timers");
    for _ in 0..1_000 {
        app.push(Input::new(|world| world.resource_mut::<Taken>().0 += 1));
    }
    assert_eq!(app.turn(Now::default()), Some(Time::ZERO), "more waits");
    assert_eq!(app.world().resource::<Taken>().0, 256);
    while app.turn(Now::default()).is_some() {}
    assert_eq!(app.world().resource::<Taken>().0, 1_000);
}

#[test]
fn a_message_is_gone_after_its_turn() {
    #[derive(Message)]
    struct Note;
    let mut app = App::new();
    app.add_message::<Note>();
    app.start().expect("a message");
    app.push(Input::message(Note));
    app.turn(Now::default());
    assert!(app.world().resource::<Messages<Note>>().is_empty());
}

#[test]
fn a_threaded_app_answers_calls_wakes_for_its_timers_and_stops_when_asked() {
    fn ring(
        In(call): In<Call<()>>,
        now: Res<Now>,
        mut timers: ResMut<Timers>,
    ) -> Result<Answer, dunlin_engine::CallError> {
        timers.set::<Ring>(call.caller, now.time + Duration::from_millis(20));
        Answer::of(())
    }
    let (say, said) = std::sync::mpsc::channel();
    let mut app = App::new();
    app.add_timer::<Ring>();
    app.call("test.ring", ring);
    app.add_systems(
        Turn::Maintain,
        move |mut rings: MessageReader<Due<Ring>>| {
            for _ in rings.read() {
                let _ = say.send(());
            }
        },
    );
    let client = app.client(Grants::everything());
    let running = Threaded::start(app).expect("it starts");
    let limit = Duration::from_secs(20);
    client
        .ask("test.ring", serde_json::Value::Null, limit)
        .expect("answered");
    said.recv_timeout(limit).expect("the timer fired");
    let app = running.stop();
    assert_eq!(app.exit(), Some("stopped"));
}

#[test]
fn shut_down_systems_run_before_the_last_turn() {
    #[derive(Message)]
    struct Farewell;
    #[derive(Resource, Default)]
    struct Sent(u32);
    let mut app = App::new();
    app.add_message::<Farewell>();
    app.world_mut().init_resource::<Sent>();
    app.add_shutdown(|mut farewells: MessageWriter<Farewell>| {
        farewells.write(Farewell);
    });
    app.add_systems(
        Turn::Transmit,
        |mut farewells: MessageReader<Farewell>, mut sent: ResMut<Sent>| {
            sent.0 += farewells.read().count() as u32;
        },
    );
    app.start().expect("it starts");
    app.turn(Now::default());
    app.shut_down(Now::default());
    assert_eq!(app.world().resource::<Sent>().0, 1);
}
