//! Where there are more carriers than one node knows, sender and recipient find the same ones all the same. PROTOCOL 3.13

use crate::network;
use bytes::Bytes;
use dunlin_net::AddressBook;
use dunlin_sim::{Crypto, Kind, Sim, Who, minutes};
use serde_json::{Value, json};
use std::collections::BTreeSet;

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

// PROTOCOL 3.13, 4.6
#[test]
fn members_of_a_room_who_know_different_carriers_hear_each_other() {
    let mut sim = Sim::from_env_seed();
    sim.network(network(1.0));
    sim.crypto(Crypto::StandIn);
    sim.carriers(160);
    let members: Vec<Who> = (0..6)
        .map(|n| sim.add(&format!("member {n}"), &Kind::person()))
        .collect();
    sim.run_for(minutes(6));
    let call = |sim: &mut Sim, who: Who, name: &str, mut params: Value| {
        params["node"] = sim.id(who).to_string().into();
        let ticket = sim.client().call(name, params, Bytes::new());
        let mut answer = None;
        sim.run_until(minutes(1), |_| {
            answer = ticket.take();
            answer.is_some()
        });
        answer.expect("it came").expect("it is good").value
    };
    let made = call(&mut sim, members[0], "room.new", json!({ "name": "Tea" }));
    let room = made["invitation"]
        .as_str()
        .expect("an invitation")
        .to_owned();
    // Who writes looks up where; those who only listen have to find the same.
    let (writers, listeners) = members.split_at(2);
    let listening: Vec<_> = listeners
        .iter()
        .map(|who| {
            let params = json!({ "node": sim.id(*who).to_string(), "room": room, "own": false });
            sim.client().open("room.listen", params)
        })
        .collect();
    sim.run_for(minutes(1));
    for n in 0..8 {
        for who in writers {
            let text = format!("{} says {n}.", sim.name(*who));
            call(
                &mut sim,
                *who,
                "room.send",
                json!({ "room": room, "text": text }),
            );
        }
    }
    let mut heard: Vec<BTreeSet<Vec<u8>>> = vec![BTreeSet::new(); listening.len()];
    sim.run_until(minutes(2), |_| {
        for (items, heard) in listening.iter().zip(&mut heard) {
            heard.extend(std::iter::from_fn(|| items.take()).map(|item| item.body.to_vec()));
        }
        heard.iter().all(|heard| heard.len() == 16)
    });
}
