//! Rungs of one component: what is on offer, the step under way, and why none is taken any more.
//!
//! A park or a wake is a *step*. Failures of steps count since the configuration changed, deaths while parked within the
//! window of quarantine. Invariant: a step is under way exactly while the component is parked or woken.

use std::time::Duration;

use majordomo_core::{ByteSize, Moment, QuarantineConfig, Rung, StepId};
use majordomo_memory::{LearnedRung, Need, RungFigures};

/// So many failed steps of one configuration end the parking of a component.
const MAX_FAILURES: u32 = 2;
/// So many deaths while parked within the window of quarantine do, too.
const MAX_DEATHS: usize = 3;
/// A component whose memory could not be moved, through no fault of its own, is not parked within this time.
const ABSENCE: Duration = Duration::from_secs(30);
/// A component that is unhealthy within this time after a wake was not woken well.
const PROVING: Duration = Duration::from_secs(10);

/// A park or a wake under way.
#[derive(Clone, Debug, PartialEq)]
pub struct RungStep {
    /// Its number, which its report repeats.
    pub id: StepId,
    /// The rung that it is to or from.
    pub rung: Rung,
    /// When it began.
    pub began: Moment,
    /// The bytes that a park is expected to keep.
    pub expects: Need,
    /// The bytes that a park is expected to write to swap.
    pub writes: ByteSize,
}

/// Offers, figures, failures and the step under way, all of one component.
#[derive(Clone, Debug, Default)]
pub struct Parking {
    /// Sorted by rung, each once.
    offers: Vec<(Rung, RungFigures)>,
    /// By rung; the learned figures outlive an offer that is withdrawn.
    rungs: Vec<(Rung, LearnedRung)>,
    step: Option<RungStep>,
    /// Its bytes in each pool, and in swap, when it was last ready.
    before: Need,
    /// The bytes that the park which is decided or under way is expected to write.
    writes: ByteSize,
    /// Booked since it is parked.
    held: Need,
    n_failed: u32,
    /// The machine could not take its memory: it is not parked before this.
    absent_until: Moment,
    deaths: Vec<Moment>,
    woken: Option<Wake>,
}

/// The last wake.
#[derive(Clone, Copy, Debug)]
struct Wake {
    at: Moment,
    from: Rung,
    /// No park follows within this time, but for a demand.
    rest: Duration,
    /// The highest footprint of the first use after it.
    first_use: ByteSize,
    /// The bytes that the first use was expected to need.
    expected: ByteSize,
    /// The highest footprint in use since then.
    peak: Option<ByteSize>,
    /// It was still well some time after the wake.
    proven: bool,
}

impl Parking {
    /// The step under way.
    #[must_use]
    pub fn step(&self) -> Option<&RungStep> {
        self.step.as_ref()
    }

    /// The rungs on offer, the shallowest first.
    pub fn offered(&self) -> impl Iterator<Item = Rung> + '_ {
        self.offers.iter().map(|(rung, _)| *rung)
    }

    /// The figures of a rung, on offer or not.
    #[must_use]
    pub fn rung(&self, rung: Rung) -> Option<&LearnedRung> {
        self.rungs.iter().find(|(r, _)| *r == rung).map(|(_, learned)| learned)
    }

    /// The bytes of the component in each pool when it was last ready.
    #[must_use]
    pub fn before(&self) -> &Need {
        &self.before
    }

    /// The bytes that the park which is decided is expected to write to swap.
    #[must_use]
    pub(crate) fn writes(&self) -> ByteSize {
        self.writes
    }

    /// The bytes that the use of a woken component needs: as many as since the wake, or as were expected of the first use. None until
    /// it was measured in use, and for a component that was not woken.
    #[must_use]
    pub fn needs_since_wake(&self) -> Option<ByteSize> {
        let wake = self.woken?;
        wake.peak.map(|peak| peak.max(wake.expected))
    }

    /// Whether it was woken, and not parked since.
    #[must_use]
    pub fn is_woken(&self) -> bool {
        self.woken.is_some()
    }

    /// The bytes that it held when it was parked.
    #[must_use]
    pub fn held(&self) -> &Need {
        &self.held
    }

    /// Steps that failed since the configuration changed.
    #[must_use]
    pub fn n_failed(&self) -> u32 {
        self.n_failed
    }

    /// Whether it is not parked any more, for its failures and deaths.
    #[must_use]
    pub fn is_given_up(&self, now: Moment, quarantine: &QuarantineConfig) -> bool {
        let recent = |t: &&Moment| now.since(**t) <= quarantine.window;
        self.n_failed >= MAX_FAILURES || self.deaths.iter().filter(recent).count() >= MAX_DEATHS
    }

    /// Until when it is parked for demands alone.
    #[must_use]
    pub fn rests_until(&self) -> Moment {
        self.woken.map_or(Moment::ZERO, |wake| wake.at + wake.rest)
    }

    /// Whether it was woken so short a time ago that a failure counts as one of the wake.
    #[must_use]
    pub fn is_on_probation(&self, now: Moment) -> bool {
        self.woken.is_some_and(|wake| now.since(wake.at) <= PROVING)
    }

    /// Replaces the rungs on offer.
    pub(crate) fn offer(&mut self, rows: &[(Rung, RungFigures)]) {
        self.offers = rows.iter().copied().filter(|(rung, _)| rung.is_parked()).collect();
        self.offers.sort_by_key(|(rung, _)| *rung);
        self.offers.dedup_by_key(|(rung, _)| *rung);
        for (rung, figures) in &self.offers {
            match self.rungs.iter_mut().find(|(r, _)| r == rung) {
                Some((_, learned)) => learned.expect(*figures),
                None => self.rungs.push((*rung, LearnedRung::expected(*figures))),
            }
        }
    }

    /// Takes over the figures of a rung, on offer or not.
    pub(crate) fn restore(&mut self, rung: Rung, learned: LearnedRung) {
        self.rungs.retain(|(known, _)| *known != rung);
        self.rungs.push((rung, learned));
        for (rung, figures) in &self.offers {
            if let Some((_, learned)) = self.rungs.iter_mut().find(|(r, _)| r == rung) {
                learned.expect(*figures);
            }
        }
    }

    pub(crate) fn begin(&mut self, step: RungStep) {
        self.step = Some(step);
    }

    /// The park is decided of a component that has so many bytes, some of which are to be written.
    pub(crate) fn begin_removal(&mut self, footprint: Need, writes: ByteSize) {
        (self.before, self.writes) = (footprint, writes);
    }

    /// The step under way, if it is this one; it has ended.
    pub(crate) fn end(&mut self, id: StepId) -> Option<RungStep> {
        self.step.take_if(|step| step.id == id)
    }

    /// The step under way ends without a report.
    pub(crate) fn abort(&mut self) {
        self.step = None;
    }

    pub(crate) fn parked(&mut self, step: &RungStep, held: Need, own: usize, now: Moment) {
        let before = self.before.clone();
        if let Some(learned) = self.learned(step.rung) {
            learned.record_park(&before, &held, own, now.since(step.began));
        }
        self.held = held;
        self.woken = None;
    }

    pub(crate) fn woken(&mut self, step: &RungStep, now: Moment) {
        if let Some(learned) = self.learned(step.rung) {
            learned.record_wake(now.since(step.began));
            let RungFigures { enter, wake, .. } = *learned.figures();
            let (from, rest) = (step.rung, (enter + wake) * 2);
            let expected = learned.first_use().unwrap_or_default();
            let first_use = ByteSize::ZERO;
            self.woken =
                Some(Wake { at: now, from, rest, first_use, expected, peak: None, proven: false });
        }
    }

    /// The component is up. A wake that it was well after makes up for a failure.
    pub(crate) fn is_up(&mut self, now: Moment) {
        if let Some(wake) = self.woken.as_mut().filter(|wake| !wake.proven)
            && now.since(wake.at) > PROVING
        {
            wake.proven = true;
            self.n_failed = self.n_failed.saturating_sub(1);
        }
    }

    /// The machine could not take its memory: the component holds what it had.
    pub(crate) fn stayed(&mut self, held: Need, now: Moment) {
        self.held = held;
        self.absent_until = now + ABSENCE;
    }

    /// Before this moment it is not parked.
    #[must_use]
    pub fn absent_until(&self) -> Moment {
        self.absent_until
    }

    /// The component is in use and was measured.
    pub(crate) fn measured(&mut self, bytes: ByteSize, now: Moment) {
        let Some(wake) = &mut self.woken else { return };
        wake.peak = wake.peak.max(Some(bytes));
        if now.since(wake.at) > PROVING {
            return;
        }
        wake.first_use = wake.first_use.max(bytes);
        let (from, first_use) = (wake.from, wake.first_use);
        if let Some(learned) = self.learned(from) {
            learned.record_first_use(first_use);
        }
    }

    fn learned(&mut self, rung: Rung) -> Option<&mut LearnedRung> {
        self.rungs.iter_mut().find(|(r, _)| *r == rung).map(|(_, learned)| learned)
    }

    /// A step failed, or what it led to.
    pub(crate) fn failed(&mut self) {
        self.n_failed = self.n_failed.saturating_add(1);
        self.woken = None;
    }

    /// It ended by itself while it was parked.
    pub(crate) fn died(&mut self, now: Moment) {
        self.deaths.push(now);
        if self.deaths.len() > MAX_DEATHS {
            self.deaths.remove(0);
        }
    }

    /// Nothing is left of the incarnation.
    pub(crate) fn gone(&mut self) {
        self.step = None;
        self.woken = None;
        (self.held, self.before) = (Need::new(), Need::new());
    }

    /// Another configuration: neither its figures nor its failures count any more.
    pub fn forget(&mut self) {
        self.rungs.clear();
        (self.n_failed, self.deaths, self.absent_until) = (0, Vec::new(), Moment::ZERO);
        let offers = std::mem::take(&mut self.offers);
        self.offer(&offers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn two_failures_of_a_configuration_end_parking_until_it_changes() {
        let quarantine = QuarantineConfig::default();
        let mut parking = Parking::default();
        parking.failed();
        assert!(!parking.is_given_up(Moment::ZERO, &quarantine));
        parking.failed();
        assert!(parking.is_given_up(Moment::ZERO, &quarantine));
        parking.forget();
        assert!(!parking.is_given_up(Moment::ZERO, &quarantine));
    }

    #[test]
    fn three_deaths_end_parking_while_they_lie_within_the_window() {
        let quarantine = QuarantineConfig::default();
        let mut parking = Parking::default();
        for i in 0..3 {
            assert!(!parking.is_given_up(Moment(i), &quarantine));
            parking.died(Moment(i));
        }
        assert!(parking.is_given_up(Moment(3), &quarantine));
        let later = Moment::ZERO + quarantine.window + SECOND;
        assert!(!parking.is_given_up(later, &quarantine));
    }

    #[test]
    fn learned_figures_outlive_a_withdrawn_offer() {
        let figures = RungFigures { enter: SECOND, wake: SECOND, ..RungFigures::default() };
        let mut parking = Parking::default();
        parking.offer(&[(Rung::Paged, figures), (Rung::Gone, figures)]);
        assert!(parking.offered().eq([Rung::Paged]));
        let expects = Need::new();
        let (rung, began, writes) = (Rung::Paged, Moment::ZERO, ByteSize::ZERO);
        let step = RungStep { id: StepId(1), rung, began, expects, writes };
        parking.begin(step.clone());
        assert_eq!((parking.end(StepId(2)), parking.end(StepId(1))), (None, Some(step.clone())));
        parking.woken(&step, Moment::ZERO + SECOND * 3);
        parking.offer(&[]);
        assert_eq!(parking.offered().count(), 0);
        let wake = parking.rung(Rung::Paged).map(|r| r.figures().wake);
        assert_eq!(wake, Some(SECOND * 3));
        assert_eq!(parking.rests_until(), Moment::ZERO + SECOND * 11, "2 x (1 s + 3 s) after it");
    }
}
