//! Files of components: which are learned, which reads are under way, and how many bytes of them were useful.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, Moment, StateStore, StatusValue};
use majordomo_registry::Catalog;
use tokio::task::AbortHandle;

use crate::component_files::{self, Account, LearnedFile};
use crate::state::FILES;

/// Bytes are useful when their component is loaded within this time.
const USEFUL_FOR: Duration = Duration::from_secs(3600);

/// A speculative read, under way or done, of a component that was not loaded since.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) at: Moment,
    pub(super) account: Arc<Account>,
    pub(super) task: AbortHandle,
}

/// Learned files, reads and their outcome.
#[derive(Debug, Default)]
pub(crate) struct FileReads {
    pub(super) learned: BTreeMap<ComponentKey, Vec<LearnedFile>>,
    /// To be written: records by the name of the component.
    pub(super) dirty: BTreeMap<String, Vec<u8>>,
    /// There is a store.
    keeps: bool,
    pub(super) open: BTreeMap<ComponentKey, Open>,
    useful: ByteSize,
    pub(super) wasted: ByteSize,
    /// For loads that waited for them.
    pub(super) demanded: Vec<Arc<Account>>,
    demanded_before: ByteSize,
}

impl FileReads {
    /// Reads what earlier processes learned.
    pub(super) fn open(store: Option<&Arc<dyn StateStore>>, catalog: &Catalog) -> Self {
        let mut new = Self { keeps: store.is_some(), ..Self::default() };
        let values = store.map(|store| store.list(FILES));
        match values {
            None => {}
            Some(Err(error)) => tracing::warn!(%error, "learned files cannot be read"),
            Some(Ok(values)) => {
                for (name, bytes) in values {
                    let files = component_files::decode(&bytes);
                    if let (Some(key), Some(files)) = (catalog.key(&name), files) {
                        new.learned.insert(key, files);
                    }
                }
            }
        }
        new
    }

    /// Forgets what was learned of components.
    pub(super) fn forget(&mut self, components: &[ComponentKey], catalog: &Catalog) {
        for component in components {
            self.learned.remove(component);
            self.dirty.remove(catalog.id(*component).as_str());
        }
    }

    pub(super) fn learn(&mut self, key: ComponentKey, name: &str, files: Vec<LearnedFile>) {
        if self.learned.get(&key) != Some(&files) {
            if self.keeps {
                self.dirty.insert(name.to_owned(), component_files::encode(&files));
            }
            self.learned.insert(key, files);
        }
    }

    /// A component was loaded: what was read ahead for it is useful.
    pub(super) fn loaded(&mut self, key: ComponentKey, now: Moment) {
        self.expire(now);
        if let Some(open) = self.open.remove(&key) {
            open.task.abort();
            self.useful += open.account.read();
        }
    }

    fn expire(&mut self, now: Moment) {
        let late = |open: &mut Open| now.since(open.at) > USEFUL_FOR;
        for (_, open) in self.open.extract_if(.., |_, open| late(open)) {
            open.task.abort();
            self.wasted += open.account.read();
        }
        let (before, done) =
            (&mut self.demanded_before, |a: &Arc<Account>| Arc::strong_count(a) == 1);
        self.demanded.retain(|account| {
            if done(account) {
                *before += account.read();
            }
            !done(account)
        });
    }

    /// The rows of the status.
    pub(super) fn section(&mut self, now: Moment) -> Vec<(String, StatusValue)> {
        self.expire(now);
        let open = self.open.values().map(|o| o.account.read()).sum();
        let demanded = self.demanded.iter().map(|a| a.read()).sum::<ByteSize>();
        let bytes = |name: &str, bytes| (name.to_owned(), StatusValue::Bytes(bytes));
        let known = StatusValue::Count(self.learned.len() as u64);
        vec![
            ("components with learned files".to_owned(), known),
            bytes("useful", self.useful),
            bytes("wasted", self.wasted),
            bytes("not decided yet", open),
            bytes("for demanded loads", self.demanded_before + demanded),
        ]
    }
}
