//! A relay of one's own: the plugins that Dunlin has, one that somebody else wrote, and a system that only this program needs.
//!
//! `cargo run -- 0.0.0.0:4444` carries small packets until Ctrl-C; `cargo run -- --check` ends by itself after the first turn.

use dunlin_engine::prelude::*;
use dunlin_io::{Inline, IoPlugin, SignalsPlugin};
use dunlin_net::{Bound, Identity, KeyFile, LinkPlugin, LinkSettings, Listen, PeerUp, UdpPlugin};
use dunlin_relay::RelayPlugin;
use example_third_party::SmallOnly;
use std::net::SocketAddr;

fn main() -> Result<(), BoxError> {
    let argument = std::env::args().nth(1).unwrap_or("127.0.0.1:0".to_owned());
    let check = argument == "--check";
    let listen: SocketAddr = if check { "127.0.0.1:0" } else { &argument }.parse()?;

    let mut app = App::new();
    app.add_plugins((
        (IoPlugin, SignalsPlugin),
        (UdpPlugin::default(), LinkPlugin, RelayPlugin::default()),
        SmallOnly,
    ));
    app.add_systems(Turn::Settle, greet);

    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let mut random = Random::from_entropy(seed);
    // Keys of this run alone; `KeyFile::create` and `KeyFile::read` keep them.
    let identity: Identity = KeyFile::generate(&mut random.0).identity()?;
    let id = identity.id();
    app.world_mut().spawn((
        Node,
        identity,
        random,
        Listen(listen),
        LinkSettings::default(),
    ));

    let why = Inline::run(app, |app| {
        let bound = app.world().try_query::<&Bound>();
        let bound = bound.and_then(|mut bound| bound.iter(app.world()).next().map(|bound| bound.0));
        println!("relay {id} on {bound:?}");
        if check {
            let end =
                Input::new(|world| world.resource_mut::<Exit>().0 = Some("checked".to_owned()));
            let _ = app.inbox().offer(Source::Plugin, end);
        }
    })?;
    println!("ended: {why}");
    Ok(())
}

fn greet(mut up: MessageReader<PeerUp>) {
    for _ in up.read() {
        println!("a new link");
    }
}
