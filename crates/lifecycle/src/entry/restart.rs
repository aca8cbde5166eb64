//! Whether and when a component is loaded again without a demand: the whole intent in one value.
//!
//! A restart is *due* at a moment and begins then if the component is down. It is *owed* while the component is
//! removed for a failure that its policy alone would not follow up: the end of the back-off, or of the quarantine, makes an
//! owed restart due. An incarnation is *outdated* when a newer configuration replaces it. A component *rests* after an
//! incarnation that ended by itself too soon: until then it is loaded for demands only.
//!
//! | event | due | owed | outdated | rests |
//! |---|---|---|---|---|
//! | a due restart is begun while its closure may not be tried | at the closure's next attempt | | | |
//! | a load starts | no | | no | no |
//! | a load succeeds | no | no | | |
//! | a demand for it is admitted; an operator unloads it; a failure is forgiven; shutdown | no | | | |
//! | its configuration changes | no, then now if it must run | | yes | |
//! | it is down, to be reloaded | now | | no | |
//! | it is down otherwise | | | no | |
//! | it ended by itself | after its rest, if its policy restarts it | | | yes |
//! | it failed and backs off | at the next attempt, if owed or it must run; else no | no | | |
//! | it failed and is quarantined | no | | | |
//! | its quarantine ends | now, if owed and it must run | no | | |
//! | a transaction for it is refused, and it must run | later, unless due already | | | |
//! | a dependency of it fails, or is ready | moved to that moment, if due | | | |
//!
//! An empty cell means that the part stays as it is. In particular an owed restart outlives whatever cancels the due one: the
//! failure that it follows is still to be recorded. The rule for components that must run is one of [`crate::Scheduler`].

use majordomo_core::Moment;

/// The restart intent of one component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restart {
    due: Option<Moment>,
    owed: bool,
    outdated: bool,
    rests_until: Moment,
}

impl Restart {
    /// The moment from which the component is loaded again, as soon as it is down.
    #[must_use]
    pub fn due(&self) -> Option<Moment> {
        self.due
    }

    /// Whether a restart follows without a demand.
    #[must_use]
    pub fn is_intended(&self) -> bool {
        self.due.is_some() || self.owed
    }

    /// Whether the incarnation was loaded by an older configuration, so that it is replaced.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.outdated
    }

    pub(crate) fn is_due(&self, now: Moment) -> bool {
        self.due.is_some_and(|at| at <= now)
    }

    pub(crate) fn rests_until(&self) -> Moment {
        self.rests_until
    }

    pub(crate) fn load_started(&mut self) {
        *self = Self { owed: self.owed, ..Self::default() };
    }

    pub(crate) fn load_succeeded(&mut self) {
        (self.due, self.owed) = (None, false);
    }

    pub(crate) fn cancel(&mut self) {
        self.due = None;
    }

    pub(crate) fn replace(&mut self) {
        self.outdated = true;
    }

    pub(crate) fn removed(&mut self) {
        self.outdated = false;
    }

    pub(crate) fn reschedule(&mut self, at: Moment) {
        self.due = Some(at);
    }

    /// Sets a moment unless there is one.
    pub(crate) fn schedule(&mut self, at: Moment) {
        self.due.get_or_insert(at);
    }

    pub(crate) fn ended(&mut self, rests_until: Moment, restarts: bool) {
        self.rests_until = rests_until;
        if restarts {
            self.due = Some(rests_until);
        }
    }

    pub(crate) fn owe(&mut self) {
        self.owed = true;
    }

    pub(crate) fn redeem(&mut self) -> bool {
        std::mem::take(&mut self.owed)
    }

    pub(crate) fn failed(&mut self, retry_at: Moment, must_run: bool) {
        self.due = (self.redeem() || must_run).then_some(retry_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Moment = Moment(7);

    #[test]
    fn owed_restart_outlives_the_cancellation_of_a_due_one() {
        let mut restart = Restart::default();
        restart.owe();
        restart.schedule(AT);
        restart.cancel();
        assert_eq!((restart.due(), restart.is_intended()), (None, true));
        restart.failed(AT, false);
        assert_eq!(restart.due(), Some(AT));
        restart.failed(AT, false);
        assert_eq!(restart.due(), None, "it was owed once");
    }

    #[test]
    fn successful_load_settles_what_is_owed() {
        let mut restart = Restart::default();
        restart.owe();
        restart.load_started();
        assert!(restart.is_intended());
        restart.load_succeeded();
        assert!(!restart.is_intended());
    }

    #[test]
    fn earlier_schedule_stays_until_it_is_replaced() {
        let mut restart = Restart::default();
        restart.schedule(AT);
        restart.schedule(Moment(9));
        assert_eq!(restart.due(), Some(AT));
        restart.reschedule(Moment(9));
        assert_eq!(restart.due(), Some(Moment(9)));
    }

    #[test]
    fn short_run_delays_the_restart_by_its_rest() {
        let mut restart = Restart::default();
        restart.ended(AT, true);
        assert_eq!((restart.due(), restart.rests_until()), (Some(AT), AT));
        restart.load_started();
        assert_eq!((restart.due(), restart.rests_until()), (None, Moment::ZERO));
    }
}
