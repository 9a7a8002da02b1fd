#[test]
fn sizes() {
    macro_rules! s { ($($t:ty),* $(,)?) => { $( println!("{:>5} {}", size_of::<$t>(), stringify!($t)); )* } }
    s!(dunlin_net::Identity, dunlin_net::LinkSettings, dunlin_net::Links, dunlin_net::AddressBook, dunlin_net::Drops, dunlin_net::Traffic,
       dunlin_engine::Random, dunlin_engine::ClockError, dunlin_net::Bound, crate::wire::Host, dunlin_relay::RelaySettings, dunlin_relay::Cache, dunlin_relay::Tombstones,
       dunlin_relay::Outbox, dunlin_relay::Inbox, dunlin_relay::Receipts, dunlin_relay::Errands, dunlin_relay::Seen, dunlin_relay::Mailbox, dunlin_net::Peer);
    let mut sim = crate::Sim::from_env_seed();
    let c = sim.carriers(8);
    sim.run_for(crate::minutes(2));
    for who in [c[0]] {
        let node = sim.node(who).unwrap();
        let world = sim.app().world();
        let e = world.entity(node);
        let mut rows: Vec<usize> = e.archetype().components().iter().map(|id| { let i = world.components().get_info(*id).unwrap(); i.layout().size() }).collect();
        rows.sort();
        println!("{} {} {rows:?}", rows.len(), rows.iter().sum::<usize>());
    }
}
