//! An engine with plain cells, whose loads and unloads a test finishes. The rig audits after every
//! input.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{
    ByteSize, Cause, ComponentId, ComponentKey, ComponentState, Config, IncarnationId, Moment,
    Priority, Rung, StepId, WaiterId,
};
use majordomo_engine::{
    Cells, CloseAnswer, Effect, Engine, Footprints, Input, LoadReport, Need, Offers,
    OperatorAction, OutOfMemory, ParkReport, PeekCells, RungFigures, RungOffer, Sample, Usage,
    WakeReport,
};
use majordomo_registry::{Catalog, ComponentSpec, LoaderSpec, PoolSpec};

#[derive(Debug, Default)]
pub(crate) struct Cell {
    pub(crate) leases: u32,
    pub(crate) closed: bool,
    notice_requested: bool,
    pub(crate) revoked: bool,
}

/// Cells, and the leases of the caller of one waiter.
#[derive(Debug, Default)]
pub(crate) struct PlainCells(pub(crate) BTreeMap<ComponentKey, Cell>, pub(crate) CallerLeases);

/// Leases that the caller of a waiter holds, and those of them that it gives up in an exchange, by
/// component.
#[derive(Debug, Default)]
pub(crate) struct CallerLeases {
    pub(crate) waiter: WaiterId,
    pub(crate) own: BTreeMap<ComponentKey, u32>,
    pub(crate) to_give_up: BTreeMap<ComponentKey, u32>,
    /// Given up while a notice of the release was requested.
    noticed: Vec<ComponentKey>,
}

impl PlainCells {
    fn cell(&mut self, key: ComponentKey) -> &mut Cell {
        self.0.get_mut(&key).expect("only published cells are touched")
    }
}

impl Cells for PlainCells {
    fn try_close(&mut self, key: ComponentKey) -> CloseAnswer {
        let cell = self.cell(key);
        if cell.leases > 0 {
            return CloseAnswer::Leased(cell.leases);
        }
        cell.closed = true;
        CloseAnswer::Closed
    }
    fn close(&mut self, key: ComponentKey) {
        self.cell(key).closed = true;
    }
    fn reopen(&mut self, key: ComponentKey) {
        self.cell(key).closed = false;
    }
    fn want(&mut self, key: ComponentKey) {
        self.cell(key).notice_requested = true;
    }
    fn revoke(&mut self, key: ComponentKey, _why: &Cause) {
        let cell = self.cell(key);
        (cell.revoked, cell.closed) = (true, true);
    }
    fn lease_n(&mut self, key: ComponentKey, n: u32) {
        self.cell(key).leases += n;
    }
    fn own_leases(&mut self, waiter: WaiterId, key: ComponentKey) -> u32 {
        let own = self.1.own.get(&key).copied().unwrap_or_default();
        if waiter == self.1.waiter { own } else { 0 }
    }
    fn leases_to_give_up(&mut self, waiter: WaiterId, key: ComponentKey) -> u32 {
        let n = self.1.to_give_up.get(&key).copied().unwrap_or_default();
        if waiter == self.1.waiter { n } else { 0 }
    }
    fn give_up(&mut self, waiter: WaiterId) {
        assert_eq!(waiter, self.1.waiter);
        for (key, n) in std::mem::take(&mut self.1.to_give_up) {
            let cell = self.cell(key);
            cell.leases -= n;
            if std::mem::take(&mut cell.notice_requested) {
                self.1.noticed.push(key);
            }
        }
    }
    fn install(&mut self, id: IncarnationId, n: u32) {
        self.0.insert(id.key, Cell { leases: n, ..Cell::default() });
    }
}

impl PeekCells for PlainCells {
    fn leases(&self, key: ComponentKey) -> u32 {
        self.0.get(&key).map_or(0, |c| c.leases)
    }
}

/// A component of 100 MiB that a test may change.
pub(crate) fn spec(name: &str) -> ComponentSpec {
    let id = ComponentId::new(name).expect("a name of a test");
    ComponentSpec::new(id, LoaderSpec::Builtin { factory: name.to_owned() })
}

pub(crate) fn with(mut spec: ComponentSpec, change: impl Fn(&mut ComponentSpec)) -> ComponentSpec {
    change(&mut spec);
    spec
}

pub(crate) fn id(name: &str) -> ComponentId {
    ComponentId::new(name).expect("a name of a test")
}

pub(crate) fn seconds(s: f64) -> Duration {
    Duration::from_secs_f64(s)
}

/// No margin on estimates, so that bytes are easy to count.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.memory.estimate_margin = 1.0;
    config
}

pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) cells: PlainCells,
    pub(crate) now: Moment,
    pub(crate) effects: Vec<Effect>,
    loading: BTreeMap<ComponentKey, IncarnationId>,
    stopping: BTreeMap<ComponentKey, IncarnationId>,
    steps: BTreeMap<ComponentKey, (IncarnationId, StepId)>,
    answers: BTreeMap<WaiterId, String>,
    left_out: BTreeMap<WaiterId, Vec<String>>,
    /// How long a load takes that the rig ends.
    load_takes: Duration,
    next_waiter: u64,
}

impl Rig {
    pub(crate) fn new(specs: Vec<ComponentSpec>, budget_mib: u64) -> Self {
        Self::with_pools(specs, Vec::new(), budget_mib, config())
    }

    pub(crate) fn with_pools(
        specs: Vec<ComponentSpec>,
        pools: Vec<PoolSpec>,
        budget_mib: u64,
        config: Config,
    ) -> Self {
        let catalog = Catalog::build(specs, pools, None).expect("a catalog of a test");
        let engine = Engine::new(Arc::new(catalog), config, ByteSize::mib(budget_mib));
        Self {
            engine,
            cells: PlainCells::default(),
            now: Moment::ZERO,
            effects: Vec::new(),
            loading: BTreeMap::new(),
            stopping: BTreeMap::new(),
            steps: BTreeMap::new(),
            answers: BTreeMap::new(),
            left_out: BTreeMap::new(),
            load_takes: Duration::ZERO,
            next_waiter: 0,
        }
    }

    pub(crate) fn key(&self, name: &str) -> ComponentKey {
        self.engine.catalog().key(name).expect("a configured name")
    }

    pub(crate) fn input(&mut self, input: Input) {
        let text = format!("{input:?}");
        self.effects = self.engine.handle(input, self.now, &mut self.cells);
        if let Err(violation) = self.engine.audit(self.now) {
            panic!("after {text}: {violation}");
        }
        let effects = self.effects.clone();
        for effect in &effects {
            match effect {
                Effect::StartLoad { id, .. } => {
                    assert_eq!(self.loading.insert(id.key, *id), None, "{id:?} is loaded twice");
                }
                Effect::CancelLoad { id, .. } => {
                    assert_eq!(self.loading.remove(&id.key), Some(*id));
                    self.stopping.insert(id.key, *id);
                }
                Effect::StartPark { id, step, .. } | Effect::StartWake { id, step, .. } => {
                    assert!(self.cells.0[&id.key].closed, "{id:?} may be leased during a step");
                    let before = self.steps.insert(id.key, (*id, *step));
                    assert_eq!(before, None, "{id:?} has two steps at once");
                }
                Effect::StartUnload { id, .. } => {
                    self.steps.remove(&id.key);
                    self.cells.0.remove(&id.key);
                    self.stopping.insert(id.key, *id);
                }
                Effect::Grant { waiter, left_out, .. } => {
                    let reason = |l: &majordomo_core::LeftOut| {
                        let id = self.engine.catalog().id(l.component);
                        format!("{id}: {}", l.refusal.code())
                    };
                    let reasons = left_out.iter().map(reason).collect();
                    self.left_out.insert(*waiter, reasons);
                    self.answer(*waiter, "granted");
                }
                Effect::Done { waiter } => self.answer(*waiter, "done"),
                Effect::Refuse { waiter, refusal } => self.answer(*waiter, refusal.code()),
                _ => {}
            }
        }
        for key in std::mem::take(&mut self.cells.1.noticed) {
            let id = self.engine.incarnation(key).expect("the component is up");
            self.input(Input::Released { id });
        }
    }

    /// The caller of the next waiter holds a lease on a component. If `gives_up`, admission
    /// releases the lease.
    pub(crate) fn next_holds(&mut self, name: &str, gives_up: bool) {
        let key = self.key(name);
        let caller = &mut self.cells.1;
        caller.waiter = WaiterId(self.next_waiter + 1);
        *caller.own.entry(key).or_default() += 1;
        if gives_up {
            *caller.to_give_up.entry(key).or_default() += 1;
        }
    }

    /// Demands the components of a command, the most confident first. The grant may be partial.
    pub(crate) fn command(&mut self, names: &[&str], deadline: Option<Duration>) -> WaiterId {
        let keys = names.iter().map(|n| self.key(n)).collect();
        let waiter = self.waiter();
        self.input(Input::Demand { waiter, keys, priority: None, deadline, partial: true });
        waiter
    }

    /// The components left out of a command, each as `name: reason`.
    pub(crate) fn left_out(&self, waiter: WaiterId) -> Vec<String> {
        self.left_out.get(&waiter).cloned().unwrap_or_default()
    }

    fn answer(&mut self, waiter: WaiterId, answer: &str) {
        let before = self.answers.insert(waiter, answer.to_owned());
        assert_eq!(before, None, "waiter {waiter} is answered twice");
    }

    /// The answer of a waiter; `waits` when there is none yet.
    pub(crate) fn answered(&self, waiter: WaiterId) -> &str {
        self.answers.get(&waiter).map_or("waits", String::as_str)
    }

    pub(crate) fn waiter(&mut self) -> WaiterId {
        self.next_waiter += 1;
        WaiterId(self.next_waiter)
    }

    pub(crate) fn demand_with(
        &mut self,
        names: &[&str],
        priority: Option<Priority>,
        deadline: Option<Duration>,
    ) -> WaiterId {
        let keys = names.iter().map(|n| self.key(n)).collect();
        let waiter = self.waiter();
        self.input(Input::Demand { waiter, keys, priority, deadline, partial: false });
        waiter
    }

    pub(crate) fn demand(&mut self, names: &[&str]) -> WaiterId {
        self.demand_with(names, None, None)
    }

    /// An application's hint of full confidence for the immediate tier.
    pub(crate) fn hint(&mut self, key: ComponentKey) {
        self.input(Input::Hint {
            key,
            confidence: majordomo_core::Confidence::ONE,
            tier: majordomo_core::HintTier::Immediate,
            source: majordomo_core::HintSource::Application,
        });
    }

    pub(crate) fn operator(&mut self, name: &str, action: OperatorAction) -> WaiterId {
        let waiter = self.waiter();
        self.input(Input::Operator { waiter, key: self.key(name), action });
        waiter
    }

    /// Lets time pass, with a tick at each wakeup that the engine requests.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut at_once = 0;
        while let Some(at) = self.engine.next_wakeup().filter(|t| *t <= end) {
            at_once = if at > self.now { 0 } else { at_once + 1 };
            assert!(at_once < 4, "the engine requests the wakeup at {at} repeatedly");
            self.now = self.now.max(at);
            self.input(Input::Tick);
        }
        self.now = end;
    }

    pub(crate) fn is_loading(&self, name: &str) -> bool {
        self.loading.contains_key(&self.key(name))
    }

    pub(crate) fn loading(&self) -> Vec<ComponentKey> {
        self.loading.keys().copied().collect()
    }

    pub(crate) fn loaded_with(&mut self, name: &str, report: LoadReport) {
        let key = self.key(name);
        let id = self.loading.remove(&key).unwrap_or_else(|| panic!("{name} does not load"));
        self.input(Input::LoadFinished { id, result: Ok(report) });
    }

    /// Reports the measured memory of components, in MiB.
    pub(crate) fn measure(&mut self, rows: &[(&str, u64)]) {
        let row = |&(name, mib): &(&str, u64)| {
            let key = self.key(name);
            let id = self.engine.incarnation(key).expect("the component is up");
            (id, ByteSize::mib(mib).into())
        };
        let own = rows.iter().map(row).collect();
        self.input(Input::Footprints(Footprints { own, ..Footprints::default() }));
    }

    /// Finishes all unloads.
    pub(crate) fn settle_unloads(&mut self) {
        while let Some((_, id)) = self.stopping.pop_first() {
            self.input(Input::UnloadFinished { id });
        }
    }

    pub(crate) fn load_ends(&mut self, name: &str, result: Result<(), &str>) {
        let key = self.key(name);
        self.wait(self.load_takes);
        let id = self.loading.remove(&key).unwrap_or_else(|| panic!("{name} does not load"));
        let result = result.map(|()| LoadReport::default()).map_err(Into::into);
        self.input(Input::LoadFinished { id, result });
    }

    /// Removes a load that the test finishes itself.
    pub(crate) fn forget_load(&mut self, name: &str) {
        self.loading.remove(&self.key(name));
    }

    pub(crate) fn loaded(&mut self, name: &str) {
        self.load_ends(name, Ok(()));
    }

    pub(crate) fn unloaded(&mut self, name: &str) {
        let key = self.key(name);
        let id = self.stopping.remove(&key).unwrap_or_else(|| panic!("{name} does not stop"));
        self.input(Input::UnloadFinished { id });
    }

    /// Offers the paged rung for components: a tenth of the memory stays, a park takes 0.1 s, a wake 0.2 s.
    pub(crate) fn offer_paged(&mut self, names: &[&str], swap_mib: u64) {
        self.offer_paged_with(names, swap_mib, 4, None);
    }

    /// The same with so many wakes at a time, and so many MiB that may be written to swap.
    pub(crate) fn offer_paged_with(
        &mut self,
        names: &[&str],
        swap_mib: u64,
        wake_lanes: usize,
        may_write: Option<u64>,
    ) {
        let figures = RungFigures {
            stays: 0.1,
            swapped: 0.9,
            apart_stays: 1.0,
            moves: 0.0,
            enter: seconds(0.1),
            wake: seconds(0.2),
            ..RungFigures::default()
        };
        let offer = |name: &&str| RungOffer { key: self.key(name), rung: Rung::Paged, figures };
        let rungs = names.iter().map(offer).collect();
        let (swap, may_write) = (ByteSize::mib(swap_mib), may_write.map(ByteSize::mib));
        self.input(Input::Offers(Offers { swap, may_write, wake_lanes, rungs }));
        // A component is parked only if its wake is shorter.
        self.load_takes = seconds(1.0);
    }

    /// Loads that the rig ends take so long from now on.
    pub(crate) fn loads_take(&mut self, time: Duration) {
        self.load_takes = time;
    }

    /// The step of a component under way.
    pub(crate) fn step(&mut self, name: &str) -> (IncarnationId, StepId) {
        let key = self.key(name);
        self.steps.remove(&key).unwrap_or_else(|| panic!("{name} has no step under way"))
    }

    /// A park ends with so much left in RAM and in swap, in MiB.
    pub(crate) fn parked_with(&mut self, name: &str, ram: u64, swap: u64) {
        let (id, step) = self.step(name);
        let pool = self.engine.budget().pool_of(id.key).expect("it has an account");
        let held = [(pool, ByteSize::mib(ram)), (Need::SWAP, ByteSize::mib(swap))];
        let report = ParkReport { held: held.into_iter().collect(), ..ParkReport::default() };
        self.input(Input::Parked { id, step, result: Ok(report) });
    }

    /// Reports the memory of one component, in its own pool and in swap, in MiB.
    pub(crate) fn measure_with_swap(&mut self, name: &str, mib: u64, swap: u64) {
        let id = self.engine.incarnation(self.key(name)).expect("the component is up");
        let sample = Sample { bytes: ByteSize::mib(mib), swap: Some(ByteSize::mib(swap)) };
        self.input(Input::Footprints(Footprints {
            own: vec![(id, sample)],
            ..Footprints::default()
        }));
    }

    /// A park moves nothing, through no fault of the component.
    pub(crate) fn park_moves_nothing(&mut self, name: &str) {
        let (id, step) = self.step(name);
        let unmoved = Some("swap is full".to_owned());
        let report = ParkReport { unmoved, ..ParkReport::default() };
        self.input(Input::Parked { id, step, result: Ok(report) });
    }

    /// A wake ends with so many MiB still in swap.
    pub(crate) fn woken_with_swap(&mut self, name: &str, mib: u64) {
        let (id, step) = self.step(name);
        let report = WakeReport { measured: None, swap: ByteSize::mib(mib) };
        self.input(Input::Woken { id, step, result: Ok(report) });
    }

    /// A park of 100 MiB ends as expected.
    pub(crate) fn parked(&mut self, name: &str) {
        self.parked_with(name, 10, 90);
    }

    pub(crate) fn park_fails(&mut self, name: &str) {
        let (id, step) = self.step(name);
        self.input(Input::Parked { id, step, result: Err("the disk is full".to_owned()) });
    }

    pub(crate) fn woken(&mut self, name: &str) {
        let (id, step) = self.step(name);
        self.input(Input::Woken { id, step, result: Ok(WakeReport::default()) });
    }

    pub(crate) fn wake_fails(&mut self, name: &str) {
        let (id, step) = self.step(name);
        self.input(Input::Woken { id, step, result: Err("it does not answer".to_owned()) });
    }

    /// The step of a component under way ends, if there is one.
    pub(crate) fn end_step(&mut self, name: &str, ok: bool) {
        let key = self.key(name);
        if !self.steps.contains_key(&key) {
            return;
        }
        match (self.engine.state(key).is_parking(), ok) {
            (true, true) => self.parked(name),
            (true, false) => self.park_fails(name),
            (false, true) => self.woken(name),
            (false, false) => self.wake_fails(name),
        }
    }

    /// A load ends, if it is not cancelled before.
    pub(crate) fn end_load(&mut self, name: &str, ok: bool) {
        self.wait(self.load_takes);
        let Some(id) = self.loading.remove(&self.key(name)) else { return };
        let result = if ok { Ok(LoadReport::default()) } else { Err("no such file".into()) };
        self.input(Input::LoadFinished { id, result });
    }

    pub(crate) fn is_stopping(&self, name: &str) -> bool {
        self.stopping.contains_key(&self.key(name))
    }

    /// Whether a component is up or on the ladder, so that it may end by itself.
    pub(crate) fn may_exit(&self, name: &str) -> bool {
        let state = self.engine.state(self.key(name));
        let is_up = matches!(state, ComponentState::Ready | ComponentState::Draining);
        is_up || state.is_on_the_ladder()
    }

    pub(crate) fn n_waiters(&self) -> u64 {
        self.next_waiter
    }

    pub(crate) fn exits(&mut self, name: &str) {
        self.exits_with(name, None);
    }

    /// The program exits with a code, or a signal kills it.
    pub(crate) fn exits_with(&mut self, name: &str, code: Option<i32>) {
        let key = self.key(name);
        let id = self.engine.incarnation(key).expect("the component is up");
        let how = code
            .map_or("was killed by SIGKILL".to_owned(), |code| format!("ended with code {code}"));
        self.input(Input::Exited { id, how, code, out_of_memory: None });
    }

    pub(crate) fn exits_out_of_memory(&mut self, name: &str) {
        let key = self.key(name);
        let id = self.engine.incarnation(key).expect("the component is up");
        let how = "was killed by SIGKILL".to_owned();
        let out_of_memory = Some(OutOfMemory::default());
        self.input(Input::Exited { id, how, code: None, out_of_memory });
    }

    /// Finishes all loads and unloads until none is left.
    pub(crate) fn settle(&mut self) {
        loop {
            if let Some((_, id)) = self.stopping.pop_first() {
                self.input(Input::UnloadFinished { id });
            } else if !self.loading.is_empty() {
                self.wait(self.load_takes);
                let Some((_, id)) = self.loading.pop_first() else { continue };
                self.input(Input::LoadFinished { id, result: Ok(LoadReport::default()) });
            } else {
                return;
            }
        }
    }

    /// Loads a component now and releases it: it is ready and unleased.
    pub(crate) fn make_ready(&mut self, name: &str) {
        let waiter = self.demand(&[name]);
        self.settle();
        assert_eq!(self.answered(waiter), "granted", "{name}");
        self.give_back(name);
    }

    pub(crate) fn used(&mut self, name: &str) {
        let key = self.key(name);
        let id = self.engine.incarnation(key).expect("the component is up");
        self.input(Input::Usage(vec![Usage { id, uses: 1, last_use: Some(self.now) }]));
    }

    /// Leases a component by the fast path; false if its cell is closed or absent.
    pub(crate) fn take(&mut self, name: &str) -> bool {
        let key = self.key(name);
        match self.cells.0.get_mut(&key) {
            Some(cell) if !cell.closed => {
                cell.leases += 1;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn give_back(&mut self, name: &str) {
        let key = self.key(name);
        // The cell of a revoked lease is not published any more after the unload.
        let Some(cell) = self.cells.0.get_mut(&key) else { return };
        cell.leases -= 1;
        if std::mem::take(&mut cell.notice_requested) {
            let id = self.engine.incarnation(key).expect("the component is up");
            self.input(Input::Released { id });
        }
    }

    pub(crate) fn state(&self, name: &str) -> &'static str {
        self.engine.state(self.key(name)).name()
    }

    pub(crate) fn states(&self, names: &[&str]) -> Vec<&'static str> {
        names.iter().map(|n| self.state(n)).collect()
    }

    pub(crate) fn retry_at(&self, name: &str) -> Moment {
        match self.engine.state(self.key(name)) {
            ComponentState::Failed { retry_at } => retry_at,
            other => panic!("{name} is {other}"),
        }
    }
}
