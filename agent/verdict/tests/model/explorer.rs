//! Explores every order of events, breadth first, to a depth.
//!
//! Own, and no crate: what a state is, relative to now, is the whole point, and the rest is this page.

use crate::world::{Action, World};
use cflared_verdict::Mono;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Hashes moments by how far they are from now, so that two worlds which differ in the time of day alone are the same.
pub struct Relative {
    now: u128,
    inner: DefaultHasher,
}

impl Relative {
    pub fn new(now: Mono) -> Self {
        Self { now: now.since_boot().as_nanos(), inner: DefaultHasher::new() }
    }
}

impl Hasher for Relative {
    fn write(&mut self, bytes: &[u8]) {
        self.inner.write(bytes);
    }

    /// A moment: nothing else is hashed as this.
    fn write_u128(&mut self, moment: u128) {
        self.inner.write_u128(moment.wrapping_sub(self.now));
    }

    fn finish(&self) -> u64 {
        self.inner.finish()
    }
}

/// What an exploration found.
#[derive(Debug, Default)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Steps, those to a state that was known among them.
    pub steps: usize,
    /// The states at the end of the depth, or with nothing left to happen, from which a fair course was followed to its end.
    pub ends: usize,
    /// The first course that broke a property, and how.
    pub broken: Option<String>,
}

/// Explores all courses of `first` with at most `depth` steps. From each end, a course in which everything is answered must come
/// to rest.
pub fn explore(first: World, depth: usize) -> Explored {
    let mut explored = Explored::default();
    // How each state was reached: from which, by what.
    let mut reached: Vec<(usize, Option<Action>)> = vec![(0, None)];
    let mut known = HashSet::from([state(&first)]);
    let mut level = vec![(0, first)];
    for left in (0..=depth).rev() {
        let mut next = Vec::new();
        for (number, world) in level {
            let actions = if left > 0 { world.actions() } else { vec![] };
            if actions.is_empty() {
                explored.ends += 1;
                if let Err(why) = world.clone().come_to_rest() {
                    return told(explored, &reached, number, &why);
                }
            }
            for action in actions {
                explored.steps += 1;
                let mut after = world.clone();
                let result = after.act(action);
                if !known.insert(state(&after)) && result.is_ok() {
                    continue;
                }
                reached.push((number, Some(action)));
                if let Err(why) = result {
                    return told(explored, &reached, reached.len() - 1, &why);
                }
                next.push((reached.len() - 1, after));
            }
        }
        explored.states = known.len();
        level = next;
    }
    explored
}

fn state(world: &World) -> u64 {
    let mut hasher = Relative::new(world.now());
    world.hash(&mut hasher);
    hasher.finish()
}

fn told(mut explored: Explored, reached: &[(usize, Option<Action>)], end: usize, why: &str) -> Explored {
    let mut course = Vec::new();
    let mut at = end;
    while let (before, Some(action)) = reached[at] {
        course.push(format!("{action:?}"));
        at = before;
    }
    course.reverse();
    explored.states = explored.states.max(reached.len());
    explored.broken = Some(format!("{why}, after {}", course.join(", ")));
    explored
}
