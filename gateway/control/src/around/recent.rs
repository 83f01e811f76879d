//! A map that forgets what was not used lately: bounded memory whatever callers send, each step in constant time.
//!
//! Two generations: what is used moves to the young one; when that is full, the old one is forgotten and the young one takes
//! its place. Between half of the bound and all of it is remembered.

use std::collections::HashMap;
use std::hash::Hash;

pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    /// *Units and shape:* at most `entries_max` are remembered, at least 2.
    pub fn new(entries_max: usize) -> Recent<K, V> {
        Recent { young: HashMap::new(), old: HashMap::new(), half: (entries_max / 2).max(1) }
    }

    /// The value of a key, made if it is not there.
    pub fn entry(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if !self.young.contains_key(&key) && self.young.len() >= self.half {
            let moved = self.old.remove(&key);
            self.old = std::mem::take(&mut self.young);
            if let Some(value) = moved {
                return self.young.entry(key).or_insert(value);
            }
        }
        let old = &mut self.old;
        self.young.entry(key).or_insert_with_key(|key| old.remove(key).unwrap_or_else(make))
    }

    /// The value of a key that is remembered.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    /// Takes out what a rule finds.
    pub fn take_where(&mut self, mut rule: impl FnMut(&K, &mut V) -> bool) -> Vec<(K, V)> {
        let young = self.young.extract_if(&mut rule);
        let mut taken: Vec<(K, V)> = young.collect();
        taken.extend(self.old.extract_if(&mut rule));
        taken
    }

    /// How many are remembered.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_that_is_used_stays_while_others_come_and_memory_is_bounded() {
        let mut recent = Recent::new(10);
        for stranger in 1..10_000 {
            *recent.entry(0, || 0) += 1;
            *recent.entry(stranger, || 0) += 1;
            assert!(recent.len() <= 10, "{}", recent.len());
        }
        assert_eq!(recent.get(&0), Some(&9_999));
        assert_eq!(recent.get(&1), None);
        assert_eq!(recent.remove(&0), Some(9_999));
        assert_eq!(recent.get(&0), None);
    }

    #[test]
    fn entries_that_a_rule_finds_are_taken_out_of_both_generations() {
        let mut recent = Recent::new(8);
        (0..8).for_each(|number| *recent.entry(number, || 0) = number);
        let mut odd: Vec<i32> =
            recent.take_where(|_, value| *value % 2 == 1).into_iter().map(|(key, _)| key).collect();
        odd.sort_unstable();
        assert_eq!(odd, [1, 3, 5, 7]);
        assert_eq!(recent.len(), 4);
    }
}
