//! Exchange of leases in place.

use std::sync::Arc;

use majordomo_core::{ComponentKey, Refusal};
use majordomo_runtime::{AcquireOptions, AnyLease, Ask, Host, OldLeases};

/// Puts back the leases that were not given up, however the exchange ends.
struct PutBack<'a> {
    old: Arc<OldLeases>,
    to: &'a mut Vec<AnyLease>,
}

impl Drop for PutBack<'_> {
    fn drop(&mut self) {
        self.to.extend(self.old.take_back());
    }
}

/// Exchanges leases; after an error `leases` has those that were not given up.
pub(crate) async fn exchange(
    host: &Host,
    leases: &mut Vec<AnyLease>,
    keys: &[ComponentKey],
    options: AcquireOptions,
) -> Result<(), Refusal> {
    let old = Arc::new(OldLeases::new(std::mem::take(leases)));
    let put_back = PutBack { old: Arc::clone(&old), to: leases };
    let ask = Ask { options, old: Some(old), ..Ask::default() };
    let new = host.acquire(keys, ask).await?.leases;
    // Old leases that fitted beside the new ones are returned now.
    drop(put_back.old.take_back());
    put_back.to.extend(new);
    Ok(())
}
