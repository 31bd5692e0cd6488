//! Small sets of a zone's keys, and what caches may hold of a kind of RRset.

use serde::{Deserialize, Serialize};

/// The most keys that a zone has at one time, those of other signers included.
pub const KEYS_MAX: usize = 32;

/// A set of the keys of a zone, by their slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeySet(u32);

impl KeySet {
    /// No key.
    pub const EMPTY: Self = Self(0);

    /// The key in this slot.
    pub fn of(slot: u8) -> Self {
        Self(1_u32.checked_shl(u32::from(slot)).unwrap_or(0))
    }

    /// Whether there is no key in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the key in this slot is in it.
    pub fn has(self, slot: u8) -> bool {
        !self.and(Self::of(slot)).is_empty()
    }

    /// The keys that are in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The keys that are in one of them at least.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The keys that are in this one alone.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The slots, rising.
    pub fn slots(self) -> impl Iterator<Item = u8> {
        (0..32).filter(move |&slot| self.has(slot))
    }
}

impl FromIterator<u8> for KeySet {
    fn from_iter<I: IntoIterator<Item = u8>>(slots: I) -> Self {
        slots.into_iter().fold(Self::EMPTY, |set, slot| set.or(Self::of(slot)))
    }
}

/// The most versions of one kind of RRset that are followed at a time; with more, changes wait.
pub const VERSIONS_MAX: usize = 8;

/// A version of what the zone publishes, that caches may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held<T> {
    /// What it says.
    #[serde(rename = "v")]
    pub value: T,
    /// The largest TTL that it had, in seconds.
    #[serde(rename = "t", default, skip_serializing_if = "is_zero")]
    pub ttl_s: u32,
    /// The plan that brought it.
    #[serde(rename = "p", default, skip_serializing_if = "is_zero")]
    pub plan: u32,
    /// From when on no cache holds it, in Unix seconds; none while that is not known.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The versions of one kind of RRset that caches may hold: the current one last. Empty if there never was but nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History<T>(Vec<Held<T>>);

impl<T: Copy + PartialEq + Default> History<T> {
    /// What is published now.
    pub fn current(&self) -> T {
        self.0.last().map_or_else(T::default, |held| held.value)
    }

    /// The plan that brought what is published now.
    pub fn plan(&self) -> u32 {
        self.0.last().map_or(0, |held| held.plan)
    }

    /// All that caches may hold, the current version last.
    pub fn versions(&self) -> impl Iterator<Item = T> + Clone {
        let nothing = self.0.is_empty().then(T::default);
        nothing.into_iter().chain(self.0.iter().map(|held| held.value))
    }

    /// The versions before the current one.
    pub fn former(&self) -> &[Held<T>] {
        self.0.split_last().map_or(&[], |(_, former)| former)
    }

    /// Whether there is room for one more version.
    pub(super) fn has_room(&self) -> bool {
        self.0.len() < VERSIONS_MAX
    }

    /// The history of a zone that has always been as it is.
    pub(super) fn settled(value: T, ttl_s: u32, plan: u32) -> Self {
        Self(vec![Held { value, ttl_s, plan, until: None }])
    }

    /// Publishes another version by a plan. What there was before a first version is held for `negative_s` seconds.
    pub(super) fn push(&mut self, value: T, ttl_s: u32, plan: u32, negative_s: u32) {
        if self.0.is_empty() {
            self.0.push(Held { value: T::default(), ttl_s: negative_s, plan: 0, until: None });
        }
        self.0.push(Held { value, ttl_s, plan, until: None });
    }

    /// Remembers that what is still served has at least this TTL.
    pub(super) fn raise_ttl(&mut self, ttl_s: impl Fn(T) -> u32) {
        for held in self.0.iter_mut().filter(|held| held.until.is_none()) {
            held.ttl_s = held.ttl_s.max(ttl_s(held.value));
        }
    }

    /// Takes note that no server has the versions before those of `plan` since a moment. True if that is news.
    pub(super) fn settle(&mut self, plan: u32, since: u64, margin_s: u64) -> bool {
        let mut news = false;
        for i in 1..self.0.len() {
            let replaced = self.0[i].plan <= plan;
            let held = &mut self.0[i - 1];
            if replaced && held.until.is_none() {
                held.until = Some(since.saturating_add(u64::from(held.ttl_s)).saturating_add(margin_s));
                news = true;
            }
        }
        news
    }

    /// Forgets versions that no cache holds any more. True if there were any.
    pub(super) fn expire(&mut self, now: u64) -> bool {
        let before = self.0.len();
        self.0.retain(|held| held.until.is_none_or(|until| until > now));
        if self.0.len() == 1 && self.current() == T::default() {
            self.0.clear();
        }
        self.0.len() != before
    }

    /// Forgets all that was known of when former versions are gone.
    pub(super) fn forget_times(&mut self) {
        let last = self.0.len().saturating_sub(1);
        for held in &mut self.0[..last] {
            held.until = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_stays_until_it_was_replaced_everywhere_and_its_ttl_passed() {
        let mut history = History::default();
        let (a, b) = (KeySet::of(0), KeySet::of(1));
        history.push(a, 100, 1, 7);
        history.push(b, 50, 2, 7);
        assert!(history.versions().eq([KeySet::EMPTY, a, b]));
        assert!(history.settle(1, 1_000, 10));
        assert!(!history.settle(1, 2_000, 10), "the first moment counts");
        assert!(!history.expire(1_016));
        assert!(history.expire(1_017));
        assert!(history.versions().eq([a, b]));
        history.raise_ttl(|_| 200);
        assert!(history.settle(2, 2_000, 10));
        history.raise_ttl(|_| 300);
        assert!(!history.expire(2_209));
        assert!(history.expire(2_210));
        assert!(history.versions().eq([b]));
    }

    #[test]
    fn nothing_is_kept_of_a_zone_that_is_as_before() {
        let mut history = History::default();
        history.push(KeySet::of(3), 100, 1, 100);
        history.push(KeySet::EMPTY, 100, 2, 100);
        history.settle(2, 0, 0);
        history.expire(100);
        assert_eq!(history, History::default());
        assert!(history.versions().eq([KeySet::EMPTY]));
    }

    #[test]
    fn sets_of_slots() {
        let set: KeySet = [1, 31, 4].into_iter().collect();
        assert!(set.slots().eq([1, 4, 31]));
        assert!(set.has(31) && !set.has(0) && !set.has(32));
        assert_eq!(set.without(KeySet::of(4)).or(KeySet::of(4)), set);
    }
}
