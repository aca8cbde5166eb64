//! Files of components: which are learned, which reads are under way, and how many bytes of them were useful.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, Moment, StateStore, StatusValue};
use majordomo_registry::Catalog;
use tokio::task::AbortHandle;

use crate::component_files::{self, Account, Bucket, LearnedFile};
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

/// A read that a load waits for.
#[derive(Debug)]
pub(super) struct Demanded {
    pub(super) account: Arc<Account>,
    pub(super) task: AbortHandle,
}

/// Learned files, reads and their outcome.
#[derive(Debug, Default)]
pub(crate) struct FileReads {
    /// With the configuration under which they were learned.
    learned: BTreeMap<ComponentKey, (u64, Vec<LearnedFile>)>,
    /// To be written: records by the name of the component.
    pub(super) dirty: BTreeMap<String, Vec<u8>>,
    /// There is a store.
    keeps: bool,
    pub(super) open: BTreeMap<ComponentKey, Open>,
    useful: ByteSize,
    pub(super) wasted: ByteSize,
    /// For loads that are not ready yet.
    demanded: BTreeMap<ComponentKey, Demanded>,
    demanded_before: ByteSize,
    /// The bandwidth of all speculative reads.
    pub(super) bucket: Arc<Bucket>,
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
                    if let (Some(key), Some(learned)) = (catalog.key(&name), files) {
                        new.learned.insert(key, learned);
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

    pub(super) fn learn(&mut self, key: ComponentKey, files: Vec<LearnedFile>, catalog: &Catalog) {
        let learned = (catalog.config_hash(key), files);
        if self.learned.get(&key) != Some(&learned) {
            if self.keeps {
                let name = catalog.id(key).as_str().to_owned();
                self.dirty.insert(name, component_files::encode(learned.0, &learned.1));
            }
            self.learned.insert(key, learned);
        }
    }

    /// The files that were learned under the configuration in force.
    pub(super) fn of(&self, key: ComponentKey, catalog: &Catalog) -> Vec<LearnedFile> {
        let learned = self.learned.get(&key).filter(|(hash, _)| *hash == catalog.config_hash(key));
        learned.map(|(_, files)| files.clone()).unwrap_or_default()
    }

    pub(super) fn demanded(&mut self, key: ComponentKey, read: Demanded) {
        self.load_ended(key);
        self.demanded.insert(key, read);
    }

    /// The load that waited for a read has ended, well or not: so does the read.
    pub(super) fn load_ended(&mut self, key: ComponentKey) {
        if let Some(read) = self.demanded.remove(&key) {
            read.task.abort();
            self.demanded_before += read.account.read();
        }
    }

    /// A component was loaded: what was read ahead for it is useful.
    pub(super) fn loaded(&mut self, key: ComponentKey, now: Moment) {
        self.load_ended(key);
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
    }

    /// The rows of the status.
    pub(super) fn section(&mut self, now: Moment) -> Vec<(String, StatusValue)> {
        self.expire(now);
        let open = self.open.values().map(|o| o.account.read()).sum();
        let demanded = self.demanded.values().map(|d| d.account.read()).sum::<ByteSize>();
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

#[cfg(test)]
mod tests {
    use majordomo_registry::ComponentSpec;

    use super::*;

    fn catalog(program: &str) -> Catalog {
        let spec = ComponentSpec::process("a", &[program]).unwrap();
        Catalog::build(vec![spec], Vec::new(), None).unwrap()
    }

    #[test]
    fn files_of_another_configuration_are_not_read() {
        let (old, new) = (catalog("old"), catalog("new"));
        let key = old.key("a").unwrap();
        let record = component_files::encode(old.config_hash(key), &[]);
        let line = b"5 0 0-1 /models/old\n";
        let (_, files) = component_files::decode(&[&record[..], line].concat()).unwrap();
        let mut reads = FileReads::default();
        reads.learn(key, files.clone(), &old);
        assert_eq!((reads.of(key, &old), reads.of(key, &new)), (files, Vec::new()));
    }

    #[tokio::test]
    async fn demanded_read_ends_with_its_load_however_that_ends() {
        let mut reads = FileReads::default();
        let begin = || tokio::spawn(std::future::pending::<()>());
        let read = |task: &tokio::task::JoinHandle<()>| Demanded {
            account: Arc::default(),
            task: task.abort_handle(),
        };
        let (loaded, failed, replaced) = (begin(), begin(), begin());
        reads.demanded(ComponentKey(0), read(&loaded));
        reads.demanded(ComponentKey(1), read(&replaced));
        reads.demanded(ComponentKey(1), read(&failed));
        assert!(replaced.await.unwrap_err().is_cancelled());
        reads.loaded(ComponentKey(0), Moment::ZERO);
        reads.load_ended(ComponentKey(1));
        assert!(loaded.await.unwrap_err().is_cancelled());
        assert!(failed.await.unwrap_err().is_cancelled());
    }
}
