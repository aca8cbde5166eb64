//! Parks that the machine refused, through no fault of the component: for a while the rung is not on offer.
//!
//! Pure: the wall clock comes in as an argument. A refusal begins to expire when the offers are made next.

use std::collections::BTreeMap;

use majordomo_core::{ComponentKey, WallSeconds};

/// Seconds until the rung is on offer again: room in swap and rights change seldom.
const LASTS: i64 = 60;

/// The subject of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refused {
    /// No component can be parked: swap is full.
    Every,
    One(ComponentKey),
}

#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<Refused, Refusal>);

#[derive(Debug)]
struct Refusal {
    why: String,
    /// When it begins to expire.
    since: Option<WallSeconds>,
}

impl Refusals {
    pub(super) fn add(&mut self, refused: Refused, why: String) {
        self.0.insert(refused, Refusal { why, since: None });
    }

    /// Forgets those that have lasted their time. One that a clock which was set back would keep is forgotten, too.
    pub(super) fn expire(&mut self, now: WallSeconds) {
        let lasts = |r: &mut Refusal| (0..LASTS).contains(&(now.0 - r.since.get_or_insert(now).0));
        self.0.retain(|_, refusal| lasts(refusal));
    }

    /// Why nothing is parked now.
    pub(super) fn of_all(&self) -> Option<&str> {
        self.0.get(&Refused::Every).map(|refusal| refusal.why.as_str())
    }

    /// Why one component is not parked now, which others may be.
    pub(super) fn of_one(&self, key: ComponentKey) -> Option<&str> {
        self.0.get(&Refused::One(key)).map(|refusal| refusal.why.as_str())
    }

    pub(super) fn has(&self, key: ComponentKey) -> bool {
        self.of_all().or(self.of_one(key)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_component_is_offered_again_after_a_minute() {
        let (refused, other) = (ComponentKey(1), ComponentKey(2));
        let has = |refusals: &Refusals| (refusals.has(refused), refusals.has(other));
        let mut refusals = Refusals::default();
        refusals.add(Refused::One(refused), "no right".to_owned());
        refusals.expire(WallSeconds(1000));
        assert_eq!(has(&refusals), (true, false));
        assert_eq!((refusals.of_all(), refusals.of_one(refused)), (None, Some("no right")));
        refusals.add(Refused::Every, "swap is full".to_owned());
        refusals.expire(WallSeconds(1059));
        assert_eq!(has(&refusals), (true, true));
        assert_eq!(refusals.of_all(), Some("swap is full"));
        refusals.expire(WallSeconds(1060));
        assert_eq!(has(&refusals), (true, true), "all of them are refused");
        refusals.expire(WallSeconds(1119));
        assert_eq!(has(&refusals), (false, false));
    }
}
