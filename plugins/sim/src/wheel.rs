//! What is under way, by the tick at which it arrives: a ring of buckets, and a sorted rest for what lies further ahead.

use dunlin_engine::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// Virtual time passes in steps of this: what arrives or fires within one is handled together. The engine's timers tick alike.
pub(crate) const TICK: Duration = Duration::from_micros(1 << TICK_SHIFT);
const TICK_SHIFT: u32 = 10;
/// Ticks that the ring spans: 4.2 s, beyond which few datagrams travel.
const RING: usize = 4_096;

/// Things that happen at ticks; within one, in the order in which they were put in.
pub(crate) struct Wheel<T> {
    ring: Vec<Vec<T>>,
    far: BTreeMap<u64, Vec<T>>,
    /// The first tick that was not taken yet.
    next: u64,
    near: usize,
}

impl<T> Default for Wheel<T> {
    fn default() -> Wheel<T> {
        Wheel {
            ring: std::iter::repeat_with(Vec::new).take(RING).collect(),
            far: BTreeMap::new(),
            next: 0,
            near: 0,
        }
    }
}

impl<T> Wheel<T> {
    /// Puts a thing at the end of the first tick that begins at or after `at`, and was not taken yet.
    pub(crate) fn put(&mut self, at: Time, thing: T) {
        let tick = at.0.div_ceil(1 << TICK_SHIFT).max(self.next);
        if tick < self.next + RING as u64 {
            self.ring[tick as usize % RING].push(thing);
            self.near += 1;
        } else {
            self.far.entry(tick).or_default().push(thing);
        }
    }

    /// When the first thing happens.
    pub(crate) fn first(&self) -> Option<Time> {
        let near = (self.near > 0)
            .then(|| (self.next..).find(|tick| !self.ring[*tick as usize % RING].is_empty()))
            .flatten();
        let far = self.far.keys().next().copied();
        let tick = [near, far].into_iter().flatten().min()?;
        Some(Time(tick << TICK_SHIFT))
    }

    /// Hands out all up to `now`, in order.
    pub(crate) fn take(&mut self, now: Time, mut each: impl FnMut(T)) {
        let last = now.0 >> TICK_SHIFT;
        while let Some(tick) = self.first().map(|at| at.0 >> TICK_SHIFT)
            && tick <= last
        {
            self.next = tick;
            // What was put in while this tick was still far came first.
            if let Some(far) = self.far.remove(&tick) {
                far.into_iter().for_each(&mut each);
            }
            let mut bucket = std::mem::take(&mut self.ring[tick as usize % RING]);
            self.near -= bucket.len();
            bucket.drain(..).for_each(&mut each);
            // A bucket keeps the room of a usual tick, not that of the fullest ever.
            bucket.shrink_to(64);
            self.ring[tick as usize % RING] = bucket;
        }
        self.next = self.next.max(last + 1);
    }

    /// How many things are under way.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.near + self.far.values().map(Vec::len).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_core::{Rng, SeedableRng};

    #[test]
    fn the_wheel_agrees_with_a_sorted_list() {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let (mut wheel, mut twin) = (Wheel::default(), Vec::new());
        let mut now = 0_u64;
        for step in 0..20_000_u64 {
            if random.next_u32() % 4 > 0 {
                let reach = [900, 60_000, 3_000_000, 20_000_000][random.next_u32() as usize % 4];
                let at = now + random.next_u64() % reach;
                wheel.put(Time(at), step);
                twin.push((
                    at.div_ceil(1_024)
                        .max(now / 1_024 + u64::from(step > 0 && now > 0)),
                    step,
                ));
            } else {
                let first = twin.iter().min().map(|(tick, _)| Time(tick << TICK_SHIFT));
                assert_eq!(wheel.first(), first, "step {step}");
                now +=
                    random.next_u64() % [2_000, 100_000, 9_000_000][random.next_u32() as usize % 3];
                let mut taken = Vec::new();
                wheel.take(Time(now), |thing| taken.push(thing));
                let (mut due, rest): (Vec<_>, Vec<_>) = twin
                    .iter()
                    .partition(|(tick, _)| *tick <= now >> TICK_SHIFT);
                due.sort_unstable();
                twin = rest;
                assert_eq!(
                    taken,
                    due.iter().map(|(_, thing)| *thing).collect::<Vec<_>>(),
                    "step {step}"
                );
            }
            assert_eq!(wheel.len(), twin.len(), "step {step}");
        }
    }
}
