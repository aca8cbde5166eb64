//! The learned store that a server starts with: taught texts for every policy, the user's earlier
//! uses for the product.
//!
//! Both are made by the production crates: texts by the offline predictor, as `majordomo learn`
//! does, uses by the sequence model, in the form in which a server stores it. Knows nothing of the
//! day itself.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use majordomo::{
    ComponentId, ComponentKey, OfflineIntents, StateStore, StoreOp, WallSeconds, read_config,
};
use majordomo_predictor::SequenceModel;
use majordomo_runtime::state::{RedbStore, SEQUENCE};

use super::routine::TimedUse;

/// The time of a wait, an answer and the use after it, which passes between two commands beside the
/// pause.
pub(super) const SERVICE: Duration = Duration::from_millis(500);

fn ids(components: &[String]) -> anyhow::Result<Vec<ComponentId>> {
    components.iter().map(|name| Ok(ComponentId::new(name)?)).collect()
}

/// Teaches texts to a state directory, which is made. Blocks for seconds where there are thousands
/// of texts.
pub(super) fn teach(
    state: &Path,
    configuration: &Path,
    texts: &[(String, Vec<usize>)],
    components: &[String],
) -> anyhow::Result<()> {
    let loaded = read_config(configuration, majordomo::memory_limit())
        .map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let mut intents = OfflineIntents::open(Some(state), &loaded.config)?;
    intents.set_catalog(loaded.catalog(None)?)?;
    let ids = ids(components)?;
    for (text, places) in texts {
        let used: Vec<ComponentId> = places.iter().map(|p| ids[*p].clone()).collect();
        // A text without a word teaches nothing.
        let _ = intents.learn(text, &used);
    }
    if !texts.is_empty() {
        intents.train(&AtomicBool::new(false)).context("the taught texts cannot be learned")?;
    }
    intents.save()?;
    Ok(())
}

/// Removes learned uses from a state directory: of a calibration, which is no use.
pub(super) fn forget_uses(state: &Path) -> anyhow::Result<()> {
    let clear = |namespace: &str| StoreOp::Clear { namespace: namespace.to_owned() };
    let (store, _) = RedbStore::open(state)?;
    store.apply(&[clear(SEQUENCE.0), clear("usage")])?;
    Ok(())
}

/// Stores earlier uses, the last of which was just now.
pub(super) fn learn_uses(
    state: &Path,
    uses: &[TimedUse],
    components: &[String],
    now: WallSeconds,
) -> anyhow::Result<()> {
    let ids = ids(components)?;
    let bytes = model(uses, now).encode(|key| ids.get(key.index()).cloned());
    let (store, _) = RedbStore::open(state)?;
    let (namespace, key) = (SEQUENCE.0.to_owned(), SEQUENCE.1.to_owned());
    store.apply(&[StoreOp::Put { namespace, key, value: bytes }])?;
    Ok(())
}

/// The model of uses at their times before `now`.
fn model(uses: &[TimedUse], now: WallSeconds) -> SequenceModel {
    let whole: Duration = uses.iter().skip(1).map(|(_, pause)| *pause + SERVICE).sum();
    let mut model = SequenceModel::new();
    let mut at = Duration::ZERO;
    for (i, (place, pause)) in uses.iter().enumerate() {
        if i > 0 {
            at += *pause + SERVICE;
        }
        let before = whole.saturating_sub(at).as_secs();
        let at = WallSeconds(now.0.saturating_sub_unsigned(before));
        model.observe(&[ComponentKey::from_index(*place)], at);
    }
    model
}

/// Copies a state directory that no server uses, with the folders of components. Links and sockets
/// in these are of programs that run, and are left out.
pub(super) fn copy_state(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("{} cannot be made", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_file() {
            std::fs::copy(entry.path(), target)?;
        } else if kind.is_dir() {
            copy_state(&entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(std::path::PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir()
                .join(format!("majordomo-lab-learn-{name}-{}", std::process::id()));
            drop(std::fs::remove_dir_all(&dir));
            std::fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn a_copied_state_has_the_folders_of_components() {
        let dir = Dir::new("copy");
        let profile = dir.0.join("from/components/browser");
        std::fs::create_dir_all(&profile).unwrap();
        std::fs::write(profile.join("history"), "seen").unwrap();
        std::os::unix::fs::symlink("gone", profile.join("lock")).unwrap();
        copy_state(&dir.0.join("from"), &dir.0.join("to")).unwrap();
        let copied = dir.0.join("to/components/browser");
        assert_eq!(std::fs::read_to_string(copied.join("history")).unwrap(), "seen");
        assert!(std::fs::symlink_metadata(copied.join("lock")).is_err());
    }

    #[test]
    fn a_server_reads_the_uses_that_were_stored() {
        let dir = Dir::new("uses");
        let pause = Duration::from_secs(1);
        let uses: Vec<TimedUse> = (0..90).map(|i| (i % 3, pause)).collect();
        let names = ["a", "b", "c"].map(str::to_owned);
        learn_uses(&dir.0, &uses, &names, WallSeconds(10_000)).unwrap();
        let (store, _) = RedbStore::open(&dir.0).unwrap();
        let bytes = store.get(SEQUENCE.0, SEQUENCE.1).unwrap().unwrap();
        let key = |name: &str| names.iter().position(|n| n == name).map(ComponentKey::from_index);
        let model = SequenceModel::decode(&bytes, key).unwrap();
        assert_eq!(model.n_observed(), 90);
        // After c comes a.
        assert_eq!(model.likeliest(1)[0].0, ComponentKey(0));
        drop(store);
        forget_uses(&dir.0).unwrap();
        let (store, _) = RedbStore::open(&dir.0).unwrap();
        assert_eq!(store.get(SEQUENCE.0, SEQUENCE.1).unwrap(), None);
    }
}
