//! Before anything is judged: everything that grows to a bound is brought near it.

use std::time::Duration;

use majordomo::{AcquireOptions, Confidence, HintTier};
use majordomo_memory::ScriptHandle;
use majordomo_sim::Rng;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::super::catalog::{self, CORE, Variant};
use super::super::clients::Wish;
use super::super::faults::Injector;
use super::super::sample::Message;
use super::super::sockets;
use super::{Stop, Subject, obey};

/// A builtin can be made to panic in so many tries.
const TRIES: usize = 20;
/// Texts that are taught at most until everything that is learned from texts has its full size.
const TAUGHT: usize = 3_000;
/// Visits by the socket before anything is judged: some of each kind.
const VISITS: usize = 12;
/// Commands that are reported at a time, less than the manager lets wait; and how often at most.
const BATCH: usize = 512;
const BATCHES: usize = 400;

impl Subject {
    /// Warms up, unless the driver wants it to end at once; whether it is to end after it, or now.
    pub(super) async fn warm_up_unless_ended(
        &self,
        injector: &mut Injector,
        rng: &mut Rng,
        orders: &mut mpsc::Receiver<String>,
        script: &ScriptHandle,
    ) -> bool {
        // Work under way ends as for a client that cancels; the configuration is applied
        // once more at the end.
        let mut warming = std::pin::pin!(self.warm_up(injector, rng));
        let mut ends = false;
        loop {
            tokio::select! {
                () = &mut warming => return ends,
                order = orders.recv(), if !ends => match obey(order.as_deref(), script) {
                    Some(Stop::Now) => return true,
                    Some(Stop::Warm) => ends = true,
                    None => {}
                },
            }
        }
    }

    /// Brings everything that grows to a bound near it: rings, logs, tables, threads. Then rests.
    async fn warm_up(&self, injector: &mut Injector, rng: &mut Rng) {
        let manager = &self.shared.manager;
        // Everything that is ever configured is known from the beginning.
        self.configure(injector, Variant { extra: true, ..self.args.variant() }).await;
        for i in 0..catalog::PROGRAMS {
            if let Err(what) = injector.fill_log(&format!("p{i}")).await {
                self.violation(what);
            }
        }
        for _ in 0..2 {
            for place in 0..catalog::PROGRAMS + catalog::BUILTINS {
                let name = catalog::name(place);
                let names = [name.as_str()];
                let wait = manager.acquire_all(&names, AcquireOptions::default());
                let _ = timeout(Duration::from_secs(10), wait).await;
            }
        }
        for _ in 0..VISITS {
            sockets::visit(&self.shared, self.args.profile.shift(0.0), rng).await;
        }
        // The ring of records holds 4096 of them.
        for _ in 0..90 {
            for _ in 0..50 {
                let _ = manager.hint(CORE, Confidence::ZERO, HintTier::Background);
            }
            sleep(Duration::from_millis(1)).await;
        }
        self.use_up(rng).await;
        self.teach().await;
        self.configure(injector, self.args.variant()).await;
        for name in catalog::ONE_OF_EACH_FACTORY {
            self.panic_once(injector, name).await;
        }
        let (levels, _) = self.rest().await;
        Message::Warm { levels }.send();
    }

    pub(super) async fn configure(&self, injector: &mut Injector, variant: Variant) {
        if let Err(what) = injector.apply(variant).await {
            self.violation(what);
        }
    }

    /// Lets the load of a builtin panic. It may have been preloaded, or be what another one needs: then once more.
    async fn panic_once(&self, injector: &Injector, name: &str) {
        for _ in 0..TRIES {
            self.rest().await;
            match injector.panic(name).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(what) => return self.violation(what),
            }
        }
        self.violation(format!("{name} could not be made to panic in {TRIES} tries"));
    }

    /// Reports the use of components until the usage history holds as many commands as it keeps. By then the sequence
    /// model, too, has met more contexts than it keeps; its data about each grows for much longer, for which only
    /// long runs have the time. Both are read again after a restart.
    async fn use_up(&self, rng: &mut Rng) {
        let manager = &self.shared.manager;
        let (mut kept, mut more) = (0, None);
        for _ in 0..BATCHES {
            let Ok(usage) = manager.usage().summary().await else { return };
            // The oldest are removed in groups: until the first group is, every batch adds.
            if kept > 0 && usage.commands_kept <= kept {
                let left: &mut usize = more.get_or_insert(self.args.settle_batches);
                match left.checked_sub(1) {
                    Some(less) => *left = less,
                    None => return,
                }
            }
            kept = kept.max(usage.commands_kept);
            for _ in 0..BATCH {
                let names = Wish::new(self.args.profile.shift(rng.unit()), rng).names;
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                let mut outcome = manager.command(catalog::NOTHING).await;
                // A component that is not configured just now was not used.
                drop(outcome.feedback(&names));
            }
        }
        if more.is_none() {
            let reported = BATCHES * BATCH;
            self.violation(format!("the usage history is not full after {reported} commands"));
        }
    }

    /// Lets the text model learn until it was trained twice in this process (taken or turned away), and as many texts
    /// are kept as may be: from then on it is as large as it gets.
    async fn teach(&self) {
        let manager = &self.shared.manager;
        let Ok(before) = manager.intents().learned().await else { return };
        let trained = |l: &majordomo::Learned| l.retrains + l.retrains_rejected;
        for n in 0..TAUGHT {
            let n_kinds = catalog::PROGRAMS + catalog::BUILTINS;
            let name = match n % (n_kinds + 1) {
                place if place < n_kinds => catalog::name(place),
                _ => catalog::EXTRA.to_owned(),
            };
            let text = format!("number {n} please use {name}");
            if let Err(error) = manager.intents().teach(&text, &[&name]).await {
                self.violation(format!("{text:?} cannot be taught: {error}"));
                return;
            }
            // One model after the other: what is taught during a training does not begin another.
            if n % (catalog::RETRAIN_EVERY / 5) == 0 {
                self.trained().await;
                let Ok(now) = manager.intents().learned().await else { return };
                let is_full = now.outcomes >= catalog::MAX_OUTCOMES;
                if is_full && trained(&now) >= trained(&before) + 2 {
                    return;
                }
            }
        }
        self.violation(format!("the text model is not trained twice by {TAUGHT} texts"));
    }
}
