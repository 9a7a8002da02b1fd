//! Where there are more carriers than one node knows, sender and recipient find the same ones all the same. PROTOCOL 3.13

use crate::network;
use dunlin_net::AddressBook;
use dunlin_sim::{Crypto, Kind, Sim, Who, minutes};

// PROTOCOL 3.13
#[test]
fn sender_and_recipient_who_know_different_carriers_find_those_where_a_packet_belongs() {
    let mut sim = Sim::from_env_seed();
    sim.network(network(1.0));
    sim.crypto(Crypto::StandIn);
    sim.carriers(160);
    let mut add = |name: &str| -> Vec<Who> {
        let all = (0..12).map(|n| sim.add(&format!("{name} {n}"), &Kind::person()));
        all.collect()
    };
    let (senders, recipients) = (add("sender"), add("recipient"));
    for (sender, recipient) in senders.iter().zip(&recipients) {
        sim.introduce(*sender, *recipient);
    }
    sim.run_for(minutes(6));
    for who in senders.iter().chain(&recipients) {
        let node = sim.node(*who).expect("it is online");
        let book = sim.app().world().get::<AddressBook>(node);
        let known = book.map_or(0, |book| {
            book.entries().filter(|peer| peer.about.carries()).count()
        });
        assert!((64..130).contains(&known), "{known} of 160");
    }
    // Seventeen packets each: one that lies elsewhere than where it is looked for, and the message stays in pieces.
    let text = "Wherever you look for it, it is there. ".repeat(16 * 1_024 / 39);
    let messages: Vec<_> = senders
        .iter()
        .zip(&recipients)
        .map(|(sender, recipient)| sim.send(*sender, *recipient, &text))
        .collect();
    sim.run_until(minutes(3), |sim| {
        let came = |recipient: &Who| sim.inbox(*recipient).len() == 1;
        recipients.iter().all(came)
    });
    for message in messages {
        sim.run_until(minutes(5), |sim| {
            sim.status(message) == dunlin_sim::State::Delivered
        });
    }
}
