//! Control policies for comparison; none is a product policy.

mod future;
mod histogram;
mod keep_alive;
mod lfu;
mod markov;
mod s3_fifo;

pub(super) use future::{Belady, Clairvoyant};
pub(super) use histogram::HybridHistogram;
pub(super) use keep_alive::KeepAlive;
pub(super) use lfu::Lfu;
pub(super) use markov::LruMarkov;
pub(super) use s3_fifo::S3Fifo;

/// The entry of a table by key, which grows if necessary.
fn slot<T: Default + Clone>(table: &mut Vec<T>, index: usize) -> &mut T {
    if table.len() <= index {
        table.resize(index + 1, T::default());
    }
    &mut table[index]
}
