//! What one call found out and the next may ask for again: a few values, each with what it was made of.

use crate::alloc::results;
use std::sync::{Arc, Mutex};

/// The values that were asked for last.
pub(crate) struct Recent<K, V: ?Sized> {
    /// The latest last.
    made: Mutex<Vec<(K, Arc<V>)>>,
    most: usize,
}

// A lock that a fork left held, or another thread holds, is not waited for.
impl<K, V: ?Sized> Recent<K, V> {
    /// Keeps so many.
    pub(crate) const fn new(most: usize) -> Self {
        Self { made: Mutex::new(Vec::new()), most }
    }

    /// The value whose key is the `same` as the caller's.
    pub(crate) fn find(&self, same: impl Fn(&K) -> bool) -> Option<Arc<V>> {
        let mut made = self.made.try_lock().ok()?;
        let i = made.iter().rposition(|(key, _)| same(key))?;
        made[i..].rotate_left(1);
        made.last().map(|(_, value)| Arc::clone(value))
    }

    /// Keeps a value in the place of the one that was not asked for longest, unless `FERROCONV_CACHE=0` says not to.
    pub(crate) fn keep(&self, key: K, value: &Arc<V>) {
        if results::keeps()
            && let Ok(mut made) = self.made.try_lock()
        {
            if made.len() == self.most {
                made.remove(0);
            }
            made.push((key, Arc::clone(value)));
        }
    }

    /// Gives all of them up; says how many bytes they took.
    pub(crate) fn clear(&self, bytes: impl Fn(&K, &V) -> usize) -> usize {
        let Ok(mut made) = self.made.lock() else { return 0 };
        made.drain(..).map(|(key, value)| bytes(&key, &value)).sum()
    }
}

/// Gives up what is kept here from one call to the next; says how many bytes it took. Results' memory is kept elsewhere,
/// and packed filters by whoever holds them.
pub fn clear() -> usize {
    crate::ops::fft::clear() + crate::ops::correlate::clear()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_stay() {
        let kept = Recent::new(2);
        for key in [1, 2, 1, 3] {
            if kept.find(|&k| k == key).is_none() {
                kept.keep(key, &Arc::new(10 * key));
            }
        }
        let found = [1, 2, 3].map(|key| kept.find(|&k| k == key).map(|value| *value));
        assert_eq!(found, [Some(10), None, Some(30)]);
        assert_eq!(kept.clear(|_, _| 4), 8);
        assert!(kept.find(|_| true).is_none());
    }
}
