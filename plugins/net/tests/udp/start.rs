//! An address that cannot be had stops the start, with an error that names it and says what to do.

use crate::namespace::{Powers, inside};
use dunlin_engine::bevy_ecs;
use dunlin_engine::prelude::*;
use dunlin_io::IoPlugin;
use dunlin_net::{Bound, Listen, UdpPlugin};
use std::net::{SocketAddr, UdpSocket};

fn start_error(at: &str) -> String {
    let at: SocketAddr = at.parse().expect("an address");
    let mut app = App::new();
    app.add_plugins((IoPlugin, UdpPlugin::default()));
    app.world_mut().spawn((Node, Listen(at)));
    app.start().expect_err("it cannot listen there").to_string()
}

#[test]
fn a_busy_port_stops_the_start_and_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let at = taken.local_addr().expect("an address").to_string();
    let error = start_error(&at);
    assert!(
        error.contains(&format!("cannot listen on UDP {at}")),
        "{error}"
    );
    assert!(
        error.contains("EADDRINUSE") && error.contains("choose another port"),
        "{error}"
    );
}

#[test]
fn a_node_that_a_system_spawns_at_start_is_bound_or_stops_the_start_as_well() {
    #[derive(Resource)]
    struct Where(SocketAddr);
    fn spawn(at: Res<Where>, mut commands: Commands) {
        commands.spawn((Node, Listen(at.0)));
    }
    let app_at = |at| {
        let mut app = App::new();
        app.add_plugins((IoPlugin, UdpPlugin::default()));
        app.world_mut().insert_resource(Where(at));
        app.add_startup(spawn);
        app
    };
    let mut app = app_at("127.0.0.1:0".parse().expect("an address"));
    app.start().expect("it starts");
    let world = app.world_mut();
    let bound = world.query::<&Bound>().single(world).expect("bound").0;
    let error = app_at(bound).start().expect_err("taken").to_string();
    assert!(error.contains(&bound.to_string()), "{error}");
}

#[test]
fn an_address_of_another_machine_stops_the_start_and_is_named() {
    for at in ["192.0.2.1:4077", "[2001:db8::1]:4077"] {
        let error = start_error(at);
        assert!(
            error.contains(at) && error.contains("EADDRNOTAVAIL"),
            "{error}"
        );
        assert!(error.contains("for all of them"), "{error}");
    }
}

#[test]
fn a_port_of_the_systems_own_stops_the_start_and_is_named() {
    // Even root is nobody in a user namespace without a mapping.
    if !inside(
        Powers::None,
        "start::a_port_of_the_systems_own_stops_the_start_and_is_named",
    ) {
        return;
    }
    let error = start_error("127.0.0.1:53");
    assert!(
        error.contains("127.0.0.1:53") && error.contains("EACCES"),
        "{error}"
    );
    assert!(error.contains("above 1023"), "{error}");
}

#[test]
fn an_address_that_cannot_be_had_later_is_reported_and_the_runtime_goes_on() {
    use dunlin_engine::Failures;
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let at = taken.local_addr().expect("an address");
    let mut app = App::new();
    app.add_plugins((IoPlugin, UdpPlugin::default()));
    app.start().expect("it starts");
    app.push(Input::new(move |world| {
        world.spawn((Node, Listen(at)));
    }));
    app.turn(Now::default());
    app.turn(Now::default());
    let failures = app.world().resource::<Failures>();
    let told = failures
        .iter()
        .any(|(_, failure)| failure.last.contains(&at.to_string()));
    assert!(told, "{failures:?}");
}
