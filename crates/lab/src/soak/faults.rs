//! Faults of components and of the configuration, done on purpose while everything else continues.
//!
//! Each has a condition that must hold afterwards, else it is a violation. Faults of the manager itself (SIGKILL, a stop
//! for seconds, a full disk, memory pressure) are done from outside, by the driver.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use majordomo::{
    AcquireOptions, AnyLease, ByteSize, ComponentState, EventKind, LoadContext, LoadError, Manager,
    Refusal, WallSeconds,
};
use majordomo_sim::Rng;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep, timeout};

use super::catalog::{self, BUILTINS, PROGRAMS, Variant};
use super::sample::{STRAY, marked};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    LoadFails,
    LoadHangs,
    LoadPanics,
    Crashes,
    RefusesToStop,
    Strays,
    Floods,
    Grows,
    GoodReload,
    BadReload,
    ClockJumps,
    /// A component is parked, and used again.
    Parks,
    /// A program is killed while it is parked.
    DiesParked,
}

impl Fault {
    pub(crate) const ALL: [Self; 13] = [
        Self::LoadFails,
        Self::LoadHangs,
        Self::LoadPanics,
        Self::Crashes,
        Self::RefusesToStop,
        Self::Strays,
        Self::Floods,
        Self::Grows,
        Self::GoodReload,
        Self::BadReload,
        Self::ClockJumps,
        Self::Parks,
        Self::DiesParked,
    ];

    /// Whether it is one of parked components.
    const fn is_of_rungs(self) -> bool {
        matches!(self, Self::Parks | Self::DiesParked)
    }

    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::LoadFails => "load-fails",
            Self::LoadHangs => "load-hangs",
            Self::LoadPanics => "load-panics",
            Self::Crashes => "crashes",
            Self::RefusesToStop => "refuses-to-stop",
            Self::Strays => "strays",
            Self::Floods => "floods",
            Self::Grows => "grows",
            Self::GoodReload => "good-reload",
            Self::BadReload => "bad-reload",
            Self::ClockJumps => "clock-jumps",
            Self::Parks => "parks",
            Self::DiesParked => "dies-parked",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|f| f.word() == word);
        known.ok_or_else(|| format!("no fault is called {word:?}"))
    }
}

/// Read by the builtins when they are made and measured, and by the manager when it reads the wall clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Armory {
    armed: Arc<Mutex<BTreeMap<String, Fault>>>,
    grown: Arc<Mutex<bool>>,
    /// Seconds between this clock and the system's.
    offset: Arc<Mutex<i64>>,
    /// Builtins can sleep, and load long enough for that to pay.
    rungs: bool,
}

impl Armory {
    pub(crate) fn new(rungs: bool) -> Self {
        Self { rungs, ..Self::default() }
    }

    fn arm(&self, name: &str, fault: Fault) {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        armed.insert(name.to_owned(), fault);
    }

    fn take(&self, name: &str) -> Option<Fault> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    fn grow(&self, grown: bool) {
        *self.grown.lock().unwrap_or_else(PoisonError::into_inner) = grown;
    }

    fn set_clock(&self, offset: i64) {
        *self.offset.lock().unwrap_or_else(PoisonError::into_inner) = offset;
    }

    /// The wall clock of the process under test.
    pub(crate) fn wall_clock(&self) -> WallSeconds {
        let offset = *self.offset.lock().unwrap_or_else(PoisonError::into_inner);
        WallSeconds(clock_gettime(ClockId::Realtime).tv_sec.saturating_add(offset))
    }

    /// Makes a builtin on a thread that may block.
    pub(crate) fn make(&self, ctx: &LoadContext) -> Result<Weight, LoadError> {
        let name = ctx.id().as_str();
        match self.take(name) {
            Some(Fault::LoadFails) => return Err("fails on request".into()),
            Some(Fault::LoadPanics) => panic!("panics on request"),
            Some(Fault::LoadHangs) => hang_for(HANG),
            _ if self.rungs => hang_for(SLOW_LOAD),
            _ => {}
        }
        Ok(self.weight(name))
    }

    /// The same without blocking.
    pub(crate) async fn make_async(self, name: String) -> Result<Weight, LoadError> {
        match self.take(&name) {
            Some(Fault::LoadFails) => return Err("fails on request".into()),
            Some(Fault::LoadPanics) => panic!("panics on request"),
            Some(Fault::LoadHangs) => sleep(HANG).await,
            _ if self.rungs => sleep(SLOW_LOAD).await,
            _ => sleep(Duration::from_millis(2)).await,
        }
        Ok(self.weight(&name))
    }

    fn weight(&self, name: &str) -> Weight {
        let size = catalog::builtin_bytes(name);
        let grown = Arc::clone(&self.grown);
        let bytes = Mutex::new(vec![1; as_len(size)]);
        Weight { size, bytes, grown, sleeps: self.rungs }
    }
}

/// Longer than the load deadline and the stop deadline together, so that the slot is stuck for a while.
const HANG: Duration = Duration::from_millis(catalog::LOAD_DEADLINE_MS + 1_500);
/// So long a builtin loads that sleeps: a wake is much quicker.
const SLOW_LOAD: Duration = Duration::from_millis(80);

fn hang_for(time: Duration) {
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}

fn as_len(size: ByteSize) -> usize {
    usize::try_from(size.0).unwrap_or(0)
}

/// A builtin: bytes, and a report of them that can be made to lie.
#[derive(Debug)]
pub(crate) struct Weight {
    size: ByteSize,
    bytes: Mutex<Vec<u8>>,
    grown: Arc<Mutex<bool>>,
    /// It gives its bytes back while it sleeps.
    sleeps: bool,
}

impl Weight {
    fn bytes(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has all its bytes.
    pub(crate) fn is_awake(&self) -> bool {
        self.bytes().len() == as_len(self.size)
    }
}

impl majordomo::Component for Weight {
    fn footprint(&self) -> Option<ByteSize> {
        let grown = *self.grown.lock().unwrap_or_else(PoisonError::into_inner);
        Some(ByteSize(self.bytes().len() as u64 * if grown { 4 } else { 1 }))
    }

    fn asleep(&self) -> Option<ByteSize> {
        self.sleeps.then_some(self.size.scaled(0.1))
    }

    fn sleep(&self) -> Result<(), String> {
        *self.bytes() = vec![1; as_len(self.size.scaled(0.1))];
        Ok(())
    }

    fn wake(&self) -> Result<(), String> {
        *self.bytes() = vec![1; as_len(self.size)];
        Ok(())
    }
}

/// Injects faults into one manager.
pub(crate) struct Injector {
    pub(crate) manager: Manager,
    pub(crate) armory: Armory,
    pub(crate) program: PathBuf,
    pub(crate) dir: PathBuf,
    pub(crate) mark: String,
    pub(crate) variant: Variant,
    pub(crate) rng: Rng,
}

impl Injector {
    /// The next fault, of all kinds alike.
    pub(crate) fn next(&mut self) -> Fault {
        let rungs = self.variant.rungs;
        let kinds: Vec<_> =
            Fault::ALL.into_iter().filter(|fault| rungs || !fault.is_of_rungs()).collect();
        *self.rng.pick(&kinds)
    }

    /// Does it; what must be true afterwards and is not, in words.
    pub(crate) async fn inject(&mut self, fault: Fault) -> Result<(), String> {
        match fault {
            Fault::LoadFails | Fault::LoadHangs | Fault::LoadPanics => self.load(fault).await,
            Fault::Crashes => self.crash().await,
            Fault::RefusesToStop | Fault::Floods => self.stop(fault).await,
            Fault::Strays => self.stray().await,
            Fault::Grows => {
                self.armory.grow(true);
                sleep(Duration::from_millis(2_200)).await;
                self.armory.grow(false);
                Ok(())
            }
            Fault::GoodReload => self.good_reload().await,
            Fault::BadReload => self.bad_reload().await,
            Fault::ClockJumps => self.jump().await,
            Fault::Parks | Fault::DiesParked => self.park(fault).await,
        }
    }

    fn program_name(&mut self) -> String {
        format!("p{}", self.rng.below(PROGRAMS))
    }

    /// Fills the log of a program to its bound.
    pub(crate) async fn fill_log(&self, name: &str) -> Result<(), String> {
        self.arm(name, Fault::Floods).await?;
        let Ok(lease) = self.lease(name).await else { return Ok(()) };
        let until = Instant::now() + Duration::from_secs(5);
        // The first lines are gone when later ones have taken their place.
        while Instant::now() < until
            && self.manager.operator().logs(name, 0, 1).is_ok_and(|l| l.missed == 0)
        {
            sleep(Duration::from_millis(10)).await;
        }
        drop(lease);
        Ok(())
    }

    /// Asks for a builtin whose next load panics; false when it was there already.
    pub(crate) async fn panic(&self, name: &str) -> Result<bool, String> {
        self.arm(name, Fault::LoadPanics).await?;
        match self.lease(name).await {
            Err(Refusal::Abandoned) => Err(format!("{name} panics: no answer within 20 s")),
            _ => Ok(self.armory.take(name).is_none()),
        }
    }

    /// Makes sure that the next load of a component misbehaves, unless another client loads it first.
    async fn arm(&self, name: &str, fault: Fault) -> Result<(), String> {
        self.armory.arm(name, fault);
        if name.starts_with('p') {
            let file = self.dir.join("faults").join(name);
            std::fs::write(&file, fault.word()).map_err(|e| format!("{}: {e}", file.display()))?;
        }
        // Leased, failed or gone already: then the next load is another's.
        let _ = self.manager.operator().unload(name, false).await;
        Ok(())
    }

    async fn lease(&self, name: &str) -> Result<AnyLease, Refusal> {
        let deadline = Some(Duration::from_secs(4));
        let options = AcquireOptions::default().deadline(deadline);
        let names = [name];
        let wait = self.manager.acquire_all(&names, options);
        match timeout(Duration::from_secs(20), wait).await {
            Ok(leases) => leases?.pop().ok_or(Refusal::Abandoned),
            Err(_) => Err(Refusal::Abandoned),
        }
    }

    async fn load(&mut self, fault: Fault) -> Result<(), String> {
        let n = self.rng.below(PROGRAMS + BUILTINS);
        let name = catalog::name(n);
        self.arm(&name, fault).await?;
        match self.lease(&name).await {
            Err(Refusal::Abandoned) => Err(format!("{name} {fault}: no answer within 20 s")),
            _ => Ok(()),
        }
    }

    async fn crash(&mut self) -> Result<(), String> {
        let name = self.program_name();
        self.arm(&name, Fault::Crashes).await?;
        let Ok(lease) = self.lease(&name).await else { return Ok(()) };
        // Another client may have taken the armed load, or it was cancelled; but when the component has failed, the lease
        // is revoked in the same step.
        let until = Instant::now() + Duration::from_secs(1);
        while !lease.revoked() && Instant::now() < until {
            let records = self.manager.operator().why(&name).map_err(|e| e.to_string())?;
            let state = records.iter().rev().find_map(|r| match &r.kind {
                EventKind::State { to, .. } => Some(*to),
                _ => None,
            });
            let gone = state.is_some_and(|s| matches!(s, ComponentState::Failed { .. }));
            if gone && !lease.revoked() {
                return Err(format!("{name} has failed and its lease is not revoked"));
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// A component that refuses to stop, or only prints, is unloaded all the same.
    async fn stop(&mut self, fault: Fault) -> Result<(), String> {
        let name = self.program_name();
        self.arm(&name, fault).await?;
        drop(self.lease(&name).await);
        // Refused, gone already or done: all are answers.
        let unload =
            timeout(Duration::from_secs(15), self.manager.operator().unload(&name, true)).await;
        if unload.is_err() {
            return Err(format!("{name} {fault}: not unloaded within 15 s"));
        }
        let logs = self.manager.operator().logs(&name, 0, usize::MAX).map_err(|e| e.to_string())?;
        if logs.lines.len() > 2_000 {
            return Err(format!("{name}: {} lines of its log are kept", logs.lines.len()));
        }
        Ok(())
    }

    async fn stray(&mut self) -> Result<(), String> {
        let name = self.program_name();
        self.arm(&name, Fault::Strays).await?;
        drop(self.lease(&name).await);
        let _ = timeout(Duration::from_secs(15), self.manager.operator().unload(&name, true)).await;
        if !cfg!(target_os = "linux") {
            return Ok(());
        }
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let strays = marked(STRAY, &self.mark);
            if strays.is_empty() || self.dir.join("faults").join(&name).exists() {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(format!("{name} left {} processes outside its group", strays.len()));
            }
            // Another client may have loaded the armed one only now.
            let _ =
                timeout(Duration::from_secs(15), self.manager.operator().unload(&name, true)).await;
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sets the clock by up to a day, either way; clients are answered all the same, and the times in the history of use do
    /// not go back.
    async fn jump(&mut self) -> Result<(), String> {
        let hours = self.rng.between(1, 24) as i64;
        let offset = if self.rng.chance(0.5) { hours } else { -hours };
        self.armory.set_clock(offset * 3_600);
        // The manager looks at the clock once a second.
        sleep(Duration::from_millis(1_200)).await;
        let name = catalog::name(self.rng.below(PROGRAMS + BUILTINS));
        let mut outcome = self.manager.command(catalog::NOTHING).await;
        let accepted = outcome.feedback(&[&name]);
        accepted
            .map_err(|e| format!("{name} is not taken as used after a jump of the clock: {e}"))?;
        if let Err(Refusal::Abandoned) = self.lease(&name).await {
            return Err(format!("{name}: no answer within 20 s after a jump of the clock"));
        }
        let history = self.manager.usage().export().await.map_err(|e| e.to_string())?;
        is_in_order(&history)
    }

    /// A component is parked, or that is refused; it is usable again, also when it was killed meanwhile.
    async fn park(&mut self, fault: Fault) -> Result<(), String> {
        let name = catalog::name(self.rng.below(PROGRAMS + BUILTINS));
        drop(self.lease(&name).await);
        let park = self.manager.operator().park(&name);
        if timeout(Duration::from_secs(15), park).await.is_err() {
            return Err(format!("{name} {fault}: neither parked nor refused within 15 s"));
        }
        if fault == Fault::DiesParked
            && let Some(pid) = self.parked_process(&name).await
        {
            // It may have ended since.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        match self.lease(&name).await {
            Err(Refusal::Abandoned) => Err(format!("{name} {fault}: no answer within 20 s")),
            _ => Ok(()),
        }
    }

    /// The process of a program that is parked.
    async fn parked_process(&self, name: &str) -> Option<rustix::process::Pid> {
        let status = self.manager.status().await.ok()?;
        let component = status.components.iter().find(|c| c.id.as_str() == name)?;
        let pid = component.pid.filter(|_| component.state.is_parked())?;
        rustix::process::Pid::from_raw(pid)
    }

    fn write(&self, text: &str) -> Result<(), String> {
        let file = self.dir.join("config.toml");
        std::fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))
    }

    fn config(&self) -> String {
        catalog::config(&self.program, &self.dir, &self.mark, self.variant)
    }

    async fn good_reload(&mut self) -> Result<(), String> {
        match self.rng.below(3) {
            0 => self.variant.extra ^= true,
            1 => self.variant.version += 1,
            _ => self.variant.idle ^= true,
        }
        self.apply(self.variant).await
    }

    /// Puts a configuration in force.
    pub(crate) async fn apply(&mut self, variant: Variant) -> Result<(), String> {
        self.variant = variant;
        self.write(&self.config())?;
        let reloaded = self.manager.operator().reload().await;
        reloaded.map(drop).map_err(|e| format!("a good configuration is refused: {e}"))
    }

    async fn bad_reload(&mut self) -> Result<(), String> {
        let good = self.config();
        let bad = match self.rng.below(4) {
            0 => good.replace("[components.p1]", "[components.p1"),
            1 => good.replace("\"b0\"", "\"b9\""),
            2 => good.replace("memory = \"1MiB\"", "memory = \"90MiB\""),
            _ => good.replace("pool = \"ml\"", "pool = \"ml\"\ncolour = \"red\""),
        };
        let before = self.manager.components();
        self.write(&bad)?;
        let reloaded = self.manager.operator().reload().await;
        self.write(&good)?;
        if reloaded.is_ok() {
            return Err("a bad configuration is taken".to_owned());
        }
        if self.manager.components() != before {
            return Err("a bad configuration was refused and changed something".to_owned());
        }
        Ok(())
    }
}

/// Whether the times of a history never go back.
fn is_in_order(history: &str) -> Result<(), String> {
    let mut latest = 0;
    for line in history.lines() {
        let time = line.split('\t').nth(1).and_then(|t| t.parse::<i64>().ok());
        match time.filter(|t| *t >= latest) {
            Some(time) => latest = time,
            None => return Err(format!("the history of use has {line:?} after {latest}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_out_of_order_is_found() {
        assert_eq!(is_in_order("me\t5\tp1\nme\t5\tb1\nme\t9\tp1\n"), Ok(()));
        assert!(is_in_order("me\t5\tp1\nme\t4\tb1\n").unwrap_err().contains("b1"));
        assert!(is_in_order("me\tnoon\tp1\n").is_err());
    }

    #[test]
    fn the_clock_can_be_set_either_way() {
        let armory = Armory::default();
        let now = armory.wall_clock().0;
        for offset in [7_200, -7_200, 0] {
            armory.set_clock(offset);
            let shown = armory.wall_clock().0 - offset;
            assert!((now..now + 3_600).contains(&shown), "{offset}: {shown} at {now}");
        }
    }

    #[test]
    fn every_fault_is_read_by_its_word() {
        for fault in Fault::ALL {
            assert_eq!(fault.word().parse(), Ok(fault));
        }
        assert!("earthquake".parse::<Fault>().is_err());
    }
}
