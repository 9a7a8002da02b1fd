//! Knows somebody's contact card, and deposits packets that open for nobody under the tag of the day, with the carriers on which that mail belongs:
//! to push it out, or to bury it.

use super::flooder::{DEPOSIT, deposit};
use super::{Attack, Number, Numbers, Strike};
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{Due, Now, Random, Time, Timers};
use dunlin_net::{AddressBook, Dial, FrameOut, Peer, PeerId};
use dunlin_relay::limits::PLACES;
use dunlin_relay::{Candidate, Mailbox, MailboxPublic, Tag, day_of, nearest};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) static ATTACK: Attack = Attack {
    name: "mailbox-flooder",
    numbers: &[Number {
        name: "per_minute",
        usual: 60.0,
        most: 100_000.0,
    }],
    carries: false,
    enlist,
};

/// How often it looks who is nearest.
const LOOK: Duration = Duration::from_mins(1);

#[derive(Component)]
pub(super) struct MailboxFlooder {
    wait: Duration,
    victim: Option<MailboxPublic>,
    carriers: BTreeMap<PeerId, Entity>,
    looked: Option<Time>,
}

/// Its victim is whoever of those who have mailboxes came last.
fn enlist(node: &mut EntityWorldMut, numbers: &Numbers) {
    let wait = numbers.wait("per_minute", Duration::from_mins(1));
    let victim = node.world_scope(|world| {
        let mut mailboxes = world.query::<(Entity, &Mailbox)>();
        let last = mailboxes.iter(world).max_by_key(|(entity, _)| *entity);
        last.map(|(_, mailbox)| *mailbox.public())
    });
    node.insert(MailboxFlooder {
        wait,
        victim,
        carriers: BTreeMap::new(),
        looked: None,
    });
}

impl MailboxFlooder {
    /// Makes links to those who keep this tag, if they are others than before.
    fn look(
        &mut self,
        node: Entity,
        tag: Tag,
        book: &AddressBook,
        commands: &mut Commands,
        dials: &mut MessageWriter<Dial>,
    ) {
        let carriers = book.entries().filter(|peer| peer.about.carries());
        let candidates: Vec<Candidate> = carriers
            .map(|peer| Candidate {
                id: peer.id,
                position: peer.id.position(),
                address: peer.address,
                eligible: true,
            })
            .collect();
        for carrier in nearest(tag, &candidates, PLACES) {
            self.carriers.entry(carrier.id).or_insert_with(|| {
                let link = commands.spawn_empty().id();
                dials.write(Dial {
                    node,
                    link,
                    address: carrier.address,
                    id: Some(carrier.id),
                    anonymous: true,
                });
                link
            });
        }
    }
}

pub(super) fn flood_mailbox(
    mut due: MessageReader<Due<Strike>>,
    mut flooders: Query<(&mut MailboxFlooder, &AddressBook, &mut Random)>,
    links: Query<&Peer>,
    now: Res<Now>,
    mut timers: ResMut<Timers>,
    (mut dials, mut out): (MessageWriter<Dial>, MessageWriter<FrameOut>),
    mut commands: Commands,
) {
    for due in due.read() {
        let Ok((mut flooder, book, mut random)) = flooders.get_mut(due.entity) else {
            continue;
        };
        timers.set::<Strike>(due.entity, now.time + flooder.wait);
        let day = day_of(now.unix_ms);
        let Some(tag) = flooder.victim.as_ref().map(|victim| victim.tag(day)) else {
            continue;
        };
        if flooder
            .looked
            .is_none_or(|looked| now.time - looked >= LOOK)
        {
            flooder.looked = Some(now.time);
            flooder.look(due.entity, tag, book, &mut commands, &mut dials);
        }
        let up = flooder
            .carriers
            .values()
            .filter(|link| links.contains(**link));
        for peer in up.copied() {
            let (kind, body) = (DEPOSIT, deposit(&mut random.0, day, Some(tag)));
            out.write(FrameOut { peer, kind, body });
        }
    }
}
