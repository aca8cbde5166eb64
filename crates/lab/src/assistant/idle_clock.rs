//! The idle timeout on the clock of the trace: which components expire in a pause, and when.
//!
//! A use of a component is also one of everything that it needs, so a provider never expires before
//! its dependents. Invariant: the result depends on the uses and on the lengths of pauses in the
//! trace, never on how these are played.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use super::folder::Folder;
use super::pause::IDLE_TIMEOUT;

/// A component whose idle timeout expires in a pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expiry {
    pub(super) component: String,
    /// Since the begin of the pause, on the clock of the trace.
    pub(super) after: Duration,
}

/// The last uses of components.
#[derive(Clone, Debug)]
pub(super) struct IdleClock {
    now: Duration,
    /// Each component with everything that it needs.
    closures: BTreeMap<String, Vec<String>>,
    /// Components that stay loaded.
    kept: BTreeSet<String>,
    last: BTreeMap<String, Duration>,
}

impl IdleClock {
    /// Nothing is used yet. Components that are CORE or pinned stay loaded, with everything that
    /// they need.
    pub(super) fn new(folder: &Folder) -> Self {
        let names = folder.specs.iter().map(|spec| spec.id.to_string());
        let closures = names.map(|name| (name.clone(), folder.closure(&name))).collect();
        let is_kept = |name: &str| folder.is_core(name) || folder.is_pinned(name);
        Self::with(closures, is_kept)
    }

    fn with(closures: BTreeMap<String, Vec<String>>, is_kept: impl Fn(&str) -> bool) -> Self {
        let kept = closures.iter().filter(|(name, _)| is_kept(name));
        let kept = kept.flat_map(|(_, closure)| closure).cloned().collect();
        Self { now: Duration::ZERO, closures, kept, last: BTreeMap::new() }
    }

    /// A component is used now.
    pub(super) fn record_use(&mut self, component: &str) {
        for name in self.closures.get(component).into_iter().flatten() {
            if !self.kept.contains(name) {
                self.last.insert(name.clone(), self.now);
            }
        }
    }

    /// Lets a pause pass. Returns the components that expire in it: by time, dependents before
    /// their providers. One that expires with the end of the pause does not, since uses take time.
    pub(super) fn pass(&mut self, length: Duration) -> Vec<Expiry> {
        let begin = self.now;
        self.now += length;
        let mut expired: Vec<Expiry> = self
            .last
            .iter()
            .filter(|(_, last)| **last + IDLE_TIMEOUT < self.now)
            .map(|(name, last)| Expiry {
                component: name.clone(),
                after: (*last + IDLE_TIMEOUT).saturating_sub(begin),
            })
            .collect();
        self.last.retain(|name, _| expired.iter().all(|e| e.component != *name));
        // The closure of a dependent is larger than those of its providers.
        let size = |e: &Expiry| self.closures.get(&e.component).map_or(0, Vec::len);
        expired.sort_by_key(|e| (e.after, std::cmp::Reverse(size(e))));
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::super::pause::Pauses;
    use super::*;

    /// `listen` needs `activity`; `embed` needs `store`, which is kept.
    fn clock() -> IdleClock {
        let closures = [
            ("listen", vec!["listen", "activity"]),
            ("activity", vec!["activity"]),
            ("chat", vec!["chat"]),
            ("embed", vec!["embed", "store"]),
            ("store", vec!["store"]),
        ];
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let closures = closures.into_iter().map(|(name, c)| (name.to_owned(), owned(c)));
        IdleClock::with(closures.collect(), |name| name == "store")
    }

    fn pass(clock: &mut IdleClock, seconds: u64) -> Vec<(String, u64)> {
        let expired = clock.pass(Duration::from_secs(seconds));
        expired.into_iter().map(|e| (e.component, e.after.as_secs())).collect()
    }

    fn at(name: &str, seconds: u64) -> (String, u64) {
        (name.to_owned(), seconds)
    }

    #[test]
    fn a_component_expires_five_minutes_after_its_last_use() {
        let mut clock = clock();
        clock.record_use("chat");
        assert_eq!(pass(&mut clock, 200), []);
        clock.record_use("chat");
        // A pause that ends with the timeout does not expire it.
        assert_eq!(pass(&mut clock, 300), []);
        assert_eq!(pass(&mut clock, 1), [at("chat", 0)]);
        assert_eq!(pass(&mut clock, 90_000), []);
        clock.record_use("chat");
        assert_eq!(pass(&mut clock, 250), []);
        assert_eq!(pass(&mut clock, 86_400), [at("chat", 50)]);
    }

    #[test]
    fn a_provider_expires_after_its_dependents_and_never_while_one_of_them_is_used() {
        let mut clock = clock();
        clock.record_use("listen");
        assert_eq!(pass(&mut clock, 400), [at("listen", 300), at("activity", 300)]);
        clock.record_use("listen");
        pass(&mut clock, 100);
        clock.record_use("activity");
        assert_eq!(pass(&mut clock, 400), [at("listen", 200), at("activity", 300)]);
        for _ in 0..9 {
            clock.record_use("listen");
            assert_eq!(pass(&mut clock, 299), []);
        }
    }

    #[test]
    fn a_component_that_is_always_loaded_never_expires() {
        let mut clock = clock();
        clock.record_use("embed");
        assert_eq!(pass(&mut clock, 9_999), [at("embed", 300)]);
        clock.record_use("store");
        assert_eq!(pass(&mut clock, 9_999), []);
    }

    #[test]
    fn expiry_is_the_same_under_any_compression() {
        let uses = [("chat", 3), ("listen", 250), ("chat", 301), ("embed", 40), ("listen", 7_000)];
        let play = |compress, longest| {
            let pauses = Pauses { compress, longest: Duration::from_millis(longest) };
            let mut clock = clock();
            let played = uses.map(|(name, seconds)| {
                let pause = pauses.shorten(Duration::from_secs(seconds));
                let expired = clock.pass(pause.length);
                let moments: Vec<Duration> =
                    expired.iter().map(|e| pause.played_until(e.after)).collect();
                assert!(moments.is_sorted() && moments.iter().all(|m| *m <= pause.played));
                clock.record_use(name);
                expired
            });
            played.to_vec()
        };
        let plain = play(1.0, 86_400_000);
        assert_eq!(plain.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 3, 0, 2]);
        for (compress, longest) in [(2.0, 800), (100.0, 800), (1e6, 1)] {
            assert_eq!(play(compress, longest), plain);
        }
    }
}
