//! The table of leases by id: the sharded map with an index beside it, against one mutex around ordered maps.
//!
//! Models of both with the same operations, since the table itself is private: what a holder does with its own lease (look
//! and renew), and what adds and removes one (acquire and release). One thread and two.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::sync::{Mutex, MutexGuard, PoisonError};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dashmap::DashMap;

/// Operations of one thread in one iteration.
const N_OPERATIONS: u64 = 10_000;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone)]
struct Entry {
    tag: String,
    components: Vec<String>,
    expires: u64,
    armed: u64,
}

impl Entry {
    fn new(number: u64) -> Self {
        let components = vec![format!("component-{}", number % 100)];
        Self { tag: format!("holder-{number}"), components, expires: number, armed: number }
    }

    /// As large a copy as the answer to a holder.
    fn described(&self) -> (String, Vec<String>, u64) {
        (self.tag.clone(), self.components.clone(), self.expires)
    }
}

trait Table: Sync {
    fn insert(&self, number: u64);
    fn remove(&self, number: u64);
    fn look(&self, number: u64);
    fn renew(&self, number: u64, now: u64);
}

#[derive(Default)]
struct OneMutex(Mutex<Trees>);

#[derive(Default)]
struct Trees {
    by_number: BTreeMap<u64, Entry>,
    due: BTreeSet<(u64, u64)>,
}

impl Table for OneMutex {
    fn insert(&self, number: u64) {
        let entry = Entry::new(number);
        let mut trees = locked(&self.0);
        trees.due.insert((entry.expires, number));
        trees.by_number.insert(number, entry);
    }

    fn remove(&self, number: u64) {
        let mut trees = locked(&self.0);
        if let Some(entry) = trees.by_number.remove(&number) {
            trees.due.remove(&(entry.expires, number));
        }
    }

    fn look(&self, number: u64) {
        black_box(locked(&self.0).by_number.get(&number).map(Entry::described));
    }

    fn renew(&self, number: u64, now: u64) {
        let mut trees = locked(&self.0);
        let Some(entry) = trees.by_number.get_mut(&number) else { return };
        let before = std::mem::replace(&mut entry.expires, now);
        black_box(entry.described());
        trees.due.remove(&(before, number));
        trees.due.insert((now, number));
    }
}

#[derive(Default)]
struct Sharded {
    entries: DashMap<u64, Entry>,
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    numbers: BTreeSet<u64>,
    due: BTreeSet<(u64, u64)>,
}

impl Table for Sharded {
    fn insert(&self, number: u64) {
        let entry = Entry::new(number);
        let mut index = locked(&self.index);
        index.numbers.insert(number);
        index.due.insert((entry.armed, number));
        self.entries.insert(number, entry);
    }

    fn remove(&self, number: u64) {
        let mut index = locked(&self.index);
        if let Some((_, entry)) = self.entries.remove(&number) {
            index.numbers.remove(&number);
            index.due.remove(&(entry.armed, number));
        }
    }

    fn look(&self, number: u64) {
        black_box(self.entries.get(&number).map(|entry| entry.described()));
    }

    fn renew(&self, number: u64, now: u64) {
        if let Some(mut entry) = self.entries.get_mut(&number) {
            entry.expires = now;
            black_box(entry.described());
        }
    }
}

type Operation<'a> = &'a (dyn Fn(&dyn Table, u64) + Sync);

/// Every thread works on leases of its own.
fn run(table: &dyn Table, n_threads: u64, operation: Operation<'_>) {
    std::thread::scope(|scope| {
        for thread in 0..n_threads {
            scope.spawn(move || {
                for i in 0..N_OPERATIONS {
                    operation(table, i * n_threads + thread);
                }
            });
        }
    });
}

fn tables(c: &mut Criterion) {
    for n_leases in [100, 10_000] {
        let (mutex, sharded) = (OneMutex::default(), Sharded::default());
        let both: [(&str, &dyn Table); 2] = [("mutex", &mutex), ("sharded", &sharded)];
        for (_, table) in both {
            (0..n_leases).for_each(|number| table.insert(number));
        }
        let holder = move |table: &dyn Table, i: u64| {
            table.look(i % n_leases);
            table.renew(i % n_leases, 1_000_000 + i);
        };
        let lifecycle = move |table: &dyn Table, i: u64| {
            table.insert(n_leases + i);
            table.remove(n_leases + i);
        };
        let operations: [(&str, Operation<'_>); 2] =
            [("look_and_renew", &holder), ("acquire_and_release", &lifecycle)];
        for (name, operation) in operations {
            let mut group = c.benchmark_group(name);
            for n_threads in [1, 2] {
                for (kind, table) in both {
                    let id =
                        BenchmarkId::new(kind, format!("{n_leases}_leases_{n_threads}_threads"));
                    group.bench_function(id, |b| b.iter(|| run(table, n_threads, operation)));
                }
            }
            group.finish();
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = tables
}
criterion_main!(benches);
