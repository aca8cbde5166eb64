//! Arena against bumpalo (the strongest bump allocator) and the system's allocator: take a buffer, use it, free it.

use std::alloc::Layout;
use std::hint::black_box;

use bumpalo::Bump;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use majordomo_core::ByteSize;
use majordomo_memory::{Arena, PoolGrant};

fn cycles(c: &mut Criterion) {
    for (name, len) in [("64KiB", 64usize << 10), ("1MiB", 1 << 20)] {
        let arena = Arena::new(PoolGrant::new(ByteSize::mib(64)));
        let layout = Layout::from_size_align(len, 128).expect("a power of two");
        let mut bump = Bump::with_capacity(len * 2);

        let mut group = c.benchmark_group("alloc_free");
        group.bench_function(BenchmarkId::new("arena", name), |b| {
            b.iter(|| drop(black_box(arena.alloc(black_box(len)).expect("granted"))));
        });
        group.bench_function(BenchmarkId::new("bumpalo", name), |b| {
            b.iter(|| {
                black_box(bump.alloc_layout(black_box(layout)));
                bump.reset();
            });
        });
        group.bench_function(BenchmarkId::new("system", name), |b| {
            b.iter(|| drop(black_box(Vec::<u8>::with_capacity(black_box(len)))));
        });
        group.finish();

        let mut group = c.benchmark_group("alloc_fill_free");
        group.bench_function(BenchmarkId::new("arena", name), |b| {
            b.iter(|| {
                let mut buffer = arena.alloc(black_box(len)).expect("granted");
                buffer.fill(black_box(1));
                black_box(&buffer[0]);
            });
        });
        group.bench_function(BenchmarkId::new("bumpalo", name), |b| {
            b.iter(|| {
                black_box(&bump.alloc_slice_fill_copy(black_box(len), black_box(1u8))[0]);
                bump.reset();
            });
        });
        group.bench_function(BenchmarkId::new("system", name), |b| {
            b.iter(|| black_box(vec![black_box(1u8); black_box(len)])[0]);
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30);
    targets = cycles
}
criterion_main!(benches);
