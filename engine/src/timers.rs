//! One timing wheel for all that waits, keyed by entity and kind, so that no system scans all entities of a kind.
//!
//! Six levels of 64 slots; a tick is 1,024 µs; a slot of level n spans 64^n ticks. Setting and cancelling is O(1).

use crate::Time;
use bevy_ecs::prelude::*;
use std::any::TypeId;
use std::collections::BTreeMap;
use std::marker::PhantomData;

const LEVELS: usize = 6;
const SLOTS: usize = 64;
const TICK_SHIFT: u32 = 10;
const TICK_MAX: u64 = (1 << (6 * LEVELS)) - 1;
const NONE: u32 = u32::MAX;
/// Above this many entries in the next slot the deadline is the slot's start, not the exact first one: a wake-up too early
/// costs less there than looking at each.
const EXACT_ENTRIES_MAX: usize = 64;

/// A timer of kind `K` fired for `entity`. Readable in every set of the turn.
#[derive(Message)]
pub struct Due<K: 'static> {
    /// What the timer was set for.
    pub entity: Entity,
    kind: PhantomData<fn() -> K>,
}

/// The engine's timers. Results never depend on the order of calls: what is due comes sorted by time, kind and entity.
#[derive(Resource, Default)]
pub struct Timers {
    wheel: Wheel,
    kinds: BTreeMap<TypeId, u16>,
    fire: Vec<fn(&mut World, Entity)>,
    fired: u64,
}

impl Timers {
    pub(crate) fn register<K: 'static>(&mut self) {
        let next = u16::try_from(self.fire.len()).expect("fewer than 65,536 kinds of timer");
        self.kinds.entry(TypeId::of::<K>()).or_insert_with(|| {
            self.fire.push(|world, entity| {
                world.write_message(Due::<K> {
                    entity,
                    kind: PhantomData,
                });
            });
            next
        });
    }

    fn kind<K: 'static>(&self) -> u16 {
        *self.kinds.get(&TypeId::of::<K>()).unwrap_or_else(|| {
            panic!(
                "timer {} is not registered: call app.add_timer::<{0}>() in the plugin that sets it",
                std::any::type_name::<K>()
            )
        })
    }

    /// Fires `Due<K>` for `entity` in the first turn at or after `at`. A timer of this kind that the entity had is replaced.
    pub fn set<K: 'static>(&mut self, entity: Entity, at: Time) {
        let kind = self.kind::<K>();
        self.wheel.set((entity, kind), at);
    }

    /// When this entity's timer of kind `K` fires, if it is set.
    #[must_use]
    pub fn get<K: 'static>(&self, entity: Entity) -> Option<Time> {
        self.wheel.get((entity, self.kind::<K>()))
    }

    /// Forgets this entity's timer of kind `K`, if there is one.
    pub fn cancel<K: 'static>(&mut self, entity: Entity) {
        let kind = self.kind::<K>();
        self.wheel.cancel((entity, kind));
    }

    /// Forgets all timers of this entity: for whoever despawns it. Timers of an entity that has gone wake the runner, and fire nothing.
    pub fn forget(&mut self, entity: Entity) {
        for kind in 0..self.fire.len() as u16 {
            self.wheel.cancel((entity, kind));
        }
    }

    /// The next time at which something may be due; never later than the earliest timer.
    #[must_use]
    pub fn next(&self) -> Option<Time> {
        self.wheel.next()
    }

    /// How many timers are set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.wheel.set
    }

    /// How many have fired since the start.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.fired
    }

    /// Whether none is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wheel.set == 0
    }
}

/// Writes `Due` messages for all timers up to `now`.
pub(crate) fn fire_due(world: &mut World, now: Time) {
    let mut timers = world.resource_mut::<Timers>();
    let due = timers.wheel.take_due(now);
    if due.is_empty() {
        return;
    }
    timers.fired += due.len() as u64;
    let fire = timers.fire.clone();
    for (_, kind, entity) in due {
        if world.entities().contains(entity) {
            fire[usize::from(kind)](world, entity);
        }
    }
}

type Key = (Entity, u16);

/// bevy orders entities the other way round; the older first reads better in a trace.
fn in_order((at, kind, entity): &(Time, u16, Entity)) -> (Time, u16, u32, u64) {
    (*at, *kind, entity.index_u32(), entity.to_bits())
}

/// 32 bytes: a simulation keeps millions.
#[derive(Clone, Copy)]
struct Entry {
    entity: Entity,
    at: Time,
    previous: u32,
    next: u32,
    kind: u16,
    slot: u16,
}

struct Wheel {
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// Of each kind the places by the entity's index: four bytes for each that ever had one, where a hash map took thirty.
    index: Vec<Vec<u32>>,
    set: usize,
    heads: Vec<u32>,
    occupied: [u64; LEVELS],
    /// The tick up to which slots have been emptied.
    elapsed: u64,
}

impl Default for Wheel {
    fn default() -> Wheel {
        Wheel {
            entries: Vec::new(),
            free: Vec::new(),
            index: Vec::new(),
            set: 0,
            heads: vec![NONE; LEVELS * SLOTS],
            occupied: [0; LEVELS],
            elapsed: 0,
        }
    }
}

impl Wheel {
    fn set(&mut self, key: Key, at: Time) {
        self.remove(key);
        let entry = Entry {
            entity: key.0,
            at,
            previous: NONE,
            next: NONE,
            kind: key.1,
            slot: 0,
        };
        let place = if let Some(place) = self.free.pop() {
            self.entries[place as usize] = entry;
            place
        } else {
            let place = u32::try_from(self.entries.len()).expect("fewer than 2^32 timers");
            self.entries.push(entry);
            place
        };
        *self.slot_of(key) = place;
        self.set += 1;
        self.link(place);
    }

    /// Where the index notes this key's place.
    fn slot_of(&mut self, (entity, kind): Key) -> &mut u32 {
        let (kind, entity) = (usize::from(kind), entity.index_u32() as usize);
        if self.index.len() <= kind {
            self.index.resize_with(kind + 1, Vec::new);
        }
        let places = &mut self.index[kind];
        if places.len() <= entity {
            places.resize(entity + 1, NONE);
        }
        &mut places[entity]
    }

    fn place(&self, (entity, kind): Key) -> Option<u32> {
        let places = self.index.get(usize::from(kind))?;
        let place = *places.get(entity.index_u32() as usize)?;
        (place != NONE).then_some(place)
    }

    fn get(&self, key: Key) -> Option<Time> {
        let entry = &self.entries[self.place(key)? as usize];
        (entry.entity == key.0).then_some(entry.at)
    }

    fn cancel(&mut self, key: Key) {
        if self.get(key).is_some() {
            self.remove(key);
        }
    }

    /// Also the timer of an entity that has gone, and whose index this one has now.
    fn remove(&mut self, key: Key) {
        if let Some(place) = self.place(key) {
            *self.slot_of(key) = NONE;
            self.unlink(place);
            self.free.push(place);
            self.set -= 1;
        }
    }

    fn link(&mut self, place: u32) {
        let tick = (self.entries[place as usize].at.0 >> TICK_SHIFT)
            .clamp(self.elapsed, self.elapsed | TICK_MAX);
        let differs = (self.elapsed ^ tick) | 1;
        let level = ((63 - differs.leading_zeros()) / 6) as usize;
        let slot = ((tick >> (6 * level)) % SLOTS as u64) as usize;
        let head = &mut self.heads[level * SLOTS + slot];
        let next = std::mem::replace(head, place);
        let entry = &mut self.entries[place as usize];
        entry.slot = (level * SLOTS + slot) as u16;
        entry.previous = NONE;
        entry.next = next;
        if next != NONE {
            self.entries[next as usize].previous = place;
        }
        self.occupied[level] |= 1 << slot;
    }

    fn unlink(&mut self, place: u32) {
        let Entry {
            slot,
            previous,
            next,
            ..
        } = self.entries[place as usize];
        let slot = usize::from(slot);
        if previous == NONE {
            self.heads[slot] = next;
        } else {
            self.entries[previous as usize].next = next;
        }
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
        if self.heads[slot] == NONE {
            self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
        }
    }

    /// The first slot with anything in it, and the tick at which it begins.
    fn first_slot(&self) -> Option<(usize, u64)> {
        for level in 0..LEVELS {
            let shift = 6 * level as u32;
            let position = (self.elapsed >> shift) % SLOTS as u64;
            let ahead = self.occupied[level] & (u64::MAX << position);
            if ahead != 0 {
                let slot = u64::from(ahead.trailing_zeros());
                let base = self.elapsed >> (shift + 6) << (shift + 6);
                let start = base | (slot << shift);
                return Some((level * SLOTS + slot as usize, start.max(self.elapsed)));
            }
        }
        None
    }

    fn next(&self) -> Option<Time> {
        let (slot, start) = self.first_slot()?;
        let mut earliest = Time(u64::MAX);
        let mut place = self.heads[slot];
        // The present tick began before now: its start would be no wake-up but a loop that keeps time from moving.
        let is_present = start <= self.elapsed;
        let most = if is_present {
            usize::MAX
        } else {
            EXACT_ENTRIES_MAX
        };
        for _ in 0..most {
            if place == NONE {
                return Some(earliest);
            }
            let entry = &self.entries[place as usize];
            earliest = earliest.min(entry.at);
            place = entry.next;
        }
        Some(Time(start << TICK_SHIFT))
    }

    fn take_due(&mut self, now: Time) -> Vec<(Time, u16, Entity)> {
        let mut due = Vec::new();
        let now_tick = now.0 >> TICK_SHIFT;
        while let Some((slot, start)) = self.first_slot() {
            if start > now_tick {
                break;
            }
            self.elapsed = start;
            self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
            let mut place = std::mem::replace(&mut self.heads[slot], NONE);
            let mut early = Vec::new();
            while place != NONE {
                let Entry {
                    entity,
                    at,
                    next,
                    kind,
                    ..
                } = self.entries[place as usize];
                if at <= now {
                    *self.slot_of((entity, kind)) = NONE;
                    self.free.push(place);
                    self.set -= 1;
                    due.push((at, kind, entity));
                } else {
                    early.push(place);
                }
                place = next;
            }
            let last = start == now_tick;
            let waits = !early.is_empty();
            for place in early {
                self.link(place);
            }
            // What is left in the present tick is later than `now` by less than a tick: leave it linked.
            if last && waits && slot < SLOTS {
                break;
            }
        }
        self.elapsed = self.elapsed.max(now_tick.min(self.first_tick()));
        due.sort_unstable_by_key(in_order);
        due
    }

    fn first_tick(&self) -> u64 {
        self.first_slot().map_or(u64::MAX, |(_, start)| start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn entity(n: u32) -> Entity {
        Entity::from_raw_u32(n).expect("a small index")
    }

    #[test]
    fn the_wheel_agrees_with_a_sorted_set() {
        let mut wheel = Wheel::default();
        let mut twin = BTreeSet::new();
        let mut by_key = BTreeMap::new();
        let mut now = 0_u64;
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = |bound: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % bound
        };
        for step in 0..60_000 {
            let key = (entity(draw(200) as u32), draw(3) as u16);
            match draw(10) {
                0..6 => {
                    let reach = [500, 5_000, 3_000_000, 90_000_000_000][draw(4) as usize];
                    let at = Time(now + draw(reach));
                    if let Some(old) = by_key.insert(key, at) {
                        twin.remove(&(old, key.1, key.0));
                    }
                    twin.insert((at, key.1, key.0));
                    wheel.set(key, at);
                }
                6 => {
                    if let Some(old) = by_key.remove(&key) {
                        twin.remove(&(old, key.1, key.0));
                    }
                    wheel.cancel(key);
                }
                _ => {
                    let step = [300, 20_000, 2_000_000, 10_000_000_000][draw(4) as usize];
                    now += draw(step);
                    let mut expected: Vec<(Time, u16, Entity)> = Vec::new();
                    while let Some(first) = twin.first().copied().filter(|due| due.0.0 <= now) {
                        twin.pop_first();
                        by_key.remove(&(first.2, first.1));
                        expected.push(first);
                    }
                    expected.sort_by_key(in_order);
                    assert_eq!(wheel.take_due(Time(now)), expected, "step {step}");
                }
            }
            let exact = twin.first().map(|due| due.0);
            let told = wheel.next();
            assert_eq!(told.is_some(), exact.is_some(), "step {step}");
            assert!(
                told <= exact,
                "step {step}: {told:?} is later than {exact:?}"
            );
            assert_eq!(wheel.set, twin.len(), "step {step}");
        }
    }

    #[test]
    fn more_timers_in_one_tick_than_are_looked_at_do_not_keep_time_from_moving() {
        let mut wheel = Wheel::default();
        let tick = 1 << TICK_SHIFT;
        for n in 0..2 * EXACT_ENTRIES_MAX as u64 {
            wheel.set((entity(n as u32), 0), Time(5 * tick + 1 + n));
        }
        let mut now = Time(0);
        let mut fired = 0;
        while let Some(next) = wheel.next() {
            assert!(
                next > now,
                "a deadline at {next:?} that is not after {now:?}"
            );
            now = next;
            fired += wheel.take_due(now).len();
        }
        assert_eq!(fired, 2 * EXACT_ENTRIES_MAX);
    }

    #[test]
    fn an_entity_that_has_anothers_index_does_not_have_its_timers() {
        let old = entity(3);
        let young =
            Entity::from_index_and_generation(old.index(), old.generation().after_versions(1));
        assert_eq!(young.index_u32(), old.index_u32());
        let mut wheel = Wheel::default();
        wheel.set((old, 0), Time(5_000));
        assert_eq!(wheel.get((young, 0)), None);
        wheel.set((young, 0), Time(7_000));
        wheel.cancel((old, 0));
        assert_eq!(wheel.get((young, 0)), Some(Time(7_000)));
        assert_eq!(wheel.take_due(Time(9_000)), [(Time(7_000), 0, young)]);
    }

    #[test]
    fn following_the_deadline_always_ends_with_the_timer_fired() {
        let mut wheel = Wheel::default();
        for n in 0..300 {
            wheel.set((entity(n), 0), Time(u64::from(n) * 977_777_777));
        }
        let (mut fired, mut turns) = (0, 0);
        while let Some(at) = wheel.next() {
            fired += wheel.take_due(at).len();
            turns += 1;
            assert!(turns < 10_000, "a deadline that does not move on");
        }
        assert_eq!(fired, 300);
    }
}
