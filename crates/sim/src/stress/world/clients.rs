//! Actions from outside: clients, operators, configurations, faults, and the calm after them.
//!
//! Turns the script's actions into inputs, or into faults of later loads and unloads. Does not see the engine's effects.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{
    CommandId, ComponentKey, Confidence, IncarnationId, PressureLevel, WaiterId, WallSeconds,
};
use majordomo_engine::{Input, OperatorAction};

use super::{CALM, Client, Event, Fate, LANE, Stage, World};
use crate::rng::Rng;
use crate::stress::check::{Broken, broken};
use crate::stress::script::{Action, Verb};
use crate::stress::waits::DemandId;

fn share(percent: u8) -> Confidence {
    Confidence::saturating(f32::from(percent) / 100.0)
}

impl World<'_> {
    fn waiter(&mut self, client: Client, patience: Option<Duration>) -> WaiterId {
        let waiter = WaiterId(self.next_waiter);
        self.next_waiter += 1;
        self.clients.insert(waiter, client);
        if let Some(patience) = patience {
            self.after(patience, Event::Abandon { waiter });
        }
        waiter
    }

    #[allow(clippy::too_many_arguments, reason = "they are the fields of one action")]
    pub(super) fn demand(
        &mut self,
        demand: DemandId,
        components: &[usize],
        priority: Option<majordomo_core::Priority>,
        deadline: Option<Duration>,
        hold: Duration,
        patience: Option<Duration>,
        stubborn: bool,
        direct: bool,
        calm: bool,
    ) -> Result<(), Broken> {
        let keys: Vec<_> = components.iter().map(|c| self.key(*c)).collect();
        // Components of even numbers are requested by commands from text, the others by programs.
        if components.first().is_some_and(|c| c % 2 == 0) {
            if let Some(command) = self.command {
                self.input(Input::Ended { command })?;
            }
            let command = CommandId(self.command.map_or(0, |c| c.0 + 1));
            self.command = Some(command);
            self.input(Input::Begun { command, uses: keys.clone() })?;
        }
        if !direct && !keys.is_empty() {
            self.cells.now = self.now;
            let mut taken = Vec::new();
            for key in &keys {
                match self.cells.acquire(*key, stubborn) {
                    Some(lease) => taken.push(lease),
                    None => break,
                }
            }
            self.used();
            if taken.len() == keys.len() {
                for lease in taken {
                    self.after(hold, Event::Release { lease });
                }
                self.watch.at_once(demand);
                return Ok(());
            }
            for lease in taken {
                self.cells.release(lease);
            }
            self.flush_cells();
        }
        let waiter = self.waiter(Client { hold, stubborn, abandoned: false }, patience);
        self.watch.asks(waiter, demand, self.now);
        // Before the input, which may end the calm.
        let is_calm = calm && self.is_calm();
        let partial = is_partial(waiter);
        self.input(Input::Demand { waiter, keys, priority, deadline, partial })?;
        if is_calm && self.checker.is_open(waiter) {
            self.checker.expect_calm(waiter);
        }
        Ok(())
    }

    pub(super) fn act(&mut self, action: &Action) -> Result<(), Broken> {
        if !matches!(action, Action::Calm | Action::Quiet | Action::Demand { calm: true, .. }) {
            self.calm_since = None;
        }
        match action {
            Action::Demand {
                components,
                priority,
                deadline,
                hold,
                patience,
                stubborn,
                direct,
                calm,
            } => {
                let demand = DemandId { action: self.next_action, nth: 0 };
                self.demand(
                    demand, components, *priority, *deadline, *hold, *patience, *stubborn, *direct,
                    *calm,
                )
            }
            Action::Overlap { component, every, n_clients } => self.react(Event::NextClient {
                action: self.next_action,
                component: *component,
                every: *every,
                left: *n_clients,
            }),
            Action::Hint { component, percent, tier, source } => self.input(Input::Hint {
                key: self.key(*component),
                confidence: share(*percent),
                tier: *tier,
                source: *source,
            }),
            Action::Observed { components, next } => {
                let used = components.iter().map(|c| self.key(*c)).collect();
                let text_scores =
                    next.iter().map(|(c, percent)| (self.key(*c), share(*percent))).collect();
                self.input(Input::Observed { command: self.command, used, text_scores })
            }
            Action::WallClock(seconds) => self.input(Input::WallClock(WallSeconds(*seconds))),
            Action::Busy(busy) => self.input(Input::Calm(!busy)),
            Action::Battery(on) => self.input(Input::Battery(*on)),
            Action::Forget => self.input(Input::Forget),
            Action::Pressure(level) => self.input(Input::Pressure(*level)),
            Action::Grow { component, percent } => {
                self.fates[*component].grown = *percent;
                Ok(())
            }
            Action::More { component, percent } => self.grow_reservation(*component, *percent),
            Action::Measure { external, unreturned } => self.measure(*external, *unreturned),
            Action::Operator { component, verb, patience } => {
                let action = match verb {
                    Verb::Load => OperatorAction::Load,
                    Verb::Unload => OperatorAction::Unload { force: false },
                    Verb::UnloadForce => OperatorAction::Unload { force: true },
                    Verb::Pin => OperatorAction::Pin,
                    Verb::Unpin => OperatorAction::Unpin,
                    Verb::Trim => OperatorAction::Trim,
                    Verb::Park => OperatorAction::Park,
                };
                let client = Client { hold: Duration::ZERO, stubborn: false, abandoned: false };
                let waiter = self.waiter(client, *patience);
                self.input(Input::Operator { waiter, key: self.key(*component), action })
            }
            Action::LoadFault(c, fault) => {
                self.fates[*c].load = Some(*fault);
                Ok(())
            }
            Action::StopFault(c, fault) => {
                self.fates[*c].stop = Some(*fault);
                Ok(())
            }
            Action::ParkFault(c, fault) => {
                self.fates[*c].park = Some(*fault);
                Ok(())
            }
            Action::WakeFault(c, fault) => {
                self.fates[*c].wake = Some(*fault);
                Ok(())
            }
            Action::Writes(percent) => {
                self.writes_left = *percent;
                self.offer_rungs()
            }
            Action::Offered(offered) => {
                self.rungs_offered = *offered;
                self.offer_rungs()
            }
            Action::SwapRoom(percent) => {
                self.swap_room = *percent;
                self.offer_rungs()
            }
            Action::Crash(c) => {
                self.exit(self.key(*c), None);
                Ok(())
            }
            Action::Sick { component, n_probes } => {
                self.fates[*component].sick = *n_probes;
                Ok(())
            }
            Action::Configure(number) => {
                let mut rng = Rng::new(&[*number]);
                for _ in 0..rng.between(1, 3) {
                    self.blueprint.change(&mut rng, self.script.n_components);
                }
                self.blueprint.set_preloading(self.script.preloading);
                self.catalog = Arc::new(self.blueprint.build(Some(&self.catalog)));
                self.number();
                let b = &self.blueprint;
                let (config, budget) = (Box::new(b.config.clone()), b.budget);
                self.input(Input::Configure {
                    catalog: Arc::clone(&self.catalog),
                    config,
                    budget,
                })?;
                self.offer_rungs()
            }
            Action::Suspend(gap) => self.input(Input::Resumed { gap: *gap }),
            Action::Stall(wait) => {
                self.now += *wait;
                self.watch.stalls(*wait);
                Ok(())
            }
            Action::Races(per_thousand) => {
                self.cells.races = *per_thousand;
                Ok(())
            }
            Action::Shutdown { deadline, again } => {
                if let Some(again) = again {
                    self.after(*again, Event::Deliver(Input::Shutdown { deadline: *deadline }));
                }
                self.input(Input::Shutdown { deadline: *deadline })
            }
            Action::Calm => self.calm(),
            // A stalled process may have reached the calm late.
            Action::Quiet if !self.is_calm() => Ok(()),
            Action::Quiet => {
                if self.checker.n_open() > 0 {
                    return broken(
                        6,
                        format!("{} demands wait and nothing blocks them", self.checker.n_open()),
                    );
                }
                if self.engine.is_shutting_down() {
                    return Ok(());
                }
                self.checker.quiet(&self.engine, self.now)
            }
        }
    }

    fn is_calm(&self) -> bool {
        self.calm_since.is_some_and(|t| self.now.since(t) >= CALM)
    }

    fn calm(&mut self) -> Result<(), Broken> {
        self.calm_since = Some(self.now);
        for fate in &mut self.fates {
            *fate = Fate { learned: fate.learned, ..Fate::default() };
        }
        self.cells.races = 0;
        self.cells.now = self.now;
        for lease in self.cells.leases.keys().copied().collect::<Vec<_>>() {
            self.cells.release(lease);
        }
        self.used();
        self.flush_cells();
        let waiting: Vec<_> =
            self.heap.drain().filter(|d| !matches!(d.event, Event::NextClient { .. })).collect();
        self.heap.extend(waiting);
        for key in (0..self.running.len()).map(ComponentKey::from_index) {
            let Some(r) = self.running[key.index()] else { continue };
            let id = IncarnationId { key, op: r.op };
            match r.stage {
                Stage::Loading { hangs: true } => {
                    self.after(LANE, Event::LoadEnd { id, error: None });
                }
                Stage::Stopping { stuck: true } => self.after(LANE, Event::StopEnd { id }),
                _ => {}
            }
        }
        // Later grants are released soon.
        for client in self.clients.values_mut() {
            client.hold = Duration::from_millis(1);
        }
        self.input(Input::Pressure(PressureLevel::Low))?;
        self.measure(0, 0)
    }
}

/// Every third demand may be granted in part, as a command's may. Not drawn, so that the other draws of a seed stay the
/// same.
fn is_partial(waiter: WaiterId) -> bool {
    waiter.0.is_multiple_of(3)
}
