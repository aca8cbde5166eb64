//! Every kernel and back end beside its strongest rivals, in cache, in one run.
//!
//! A name is `kernel/who/n`. Read the minimum of the samples where the machine has other work. `OPENBLAS` adds numpy's OpenBLAS (`openblas.py` sets it).

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main,
};
use faer::{ColRef, MatRef};
use majordomo_kernel_benches::{Aligned, OpenBlas, dot_naive, only_load, softmax_libm};
use majordomo_simd::{Kernels, available, fast_hash, hash_window};
use ndarray::{ArrayView1, ArrayView2};
use simsimd::SpatialSimilarity;

/// The kernels of every back end, and once through the free function (`dispatched`).
fn back_ends() -> Vec<(String, Kernels)> {
    available()
        .map(|backend| {
            (backend.name().to_owned(), Kernels::with(backend).expect("it is available"))
        })
        .collect()
}

fn flat_group<'a>(c: &'a mut Criterion, name: impl Into<String>) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat);
    group
}

fn dot(c: &mut Criterion) {
    let blas = OpenBlas::load();
    let mut group = flat_group(c, "dot");
    for n in [16, 256, 512, 4096] {
        let (a, b) = (Aligned::random(n, 1), Aligned::random(n, 2));
        let (a, b) = (a.get(), b.get());
        let id = |who: &str| BenchmarkId::new(who, n);
        if n >= 64 && std::arch::is_x86_feature_detected!("avx512f") {
            group.bench_function(id("only-load"), |bench| {
                // SAFETY: just detected.
                bench.iter(|| unsafe { only_load(black_box(a), black_box(b)) });
            });
        }
        for (name, kernels) in back_ends() {
            group.bench_function(id(&name), |bench| {
                bench.iter(|| kernels.dot(black_box(a), black_box(b)));
            });
        }
        group.bench_function(id("dispatched"), |bench| {
            bench.iter(|| majordomo_simd::dot(black_box(a), black_box(b)));
        });
        group.bench_function(id("simsimd"), |bench| {
            bench.iter(|| <f32 as SpatialSimilarity>::dot(black_box(a), black_box(b)));
        });
        group.bench_function(id("ndarray"), |bench| {
            let (a, b) = (ArrayView1::from(a), ArrayView1::from(b));
            bench.iter(|| black_box(a).dot(&black_box(b)));
        });
        group.bench_function(id("faer"), |bench| {
            let (a, b) = (ColRef::from_slice(a), ColRef::from_slice(b));
            bench.iter(|| black_box(a).transpose() * black_box(b));
        });
        group.bench_function(id("naive"), |bench| {
            bench.iter(|| dot_naive(black_box(a), black_box(b)));
        });
        if let Some(blas) = &blas {
            group.bench_function(id("openblas"), |bench| {
                bench.iter(|| blas.dot(black_box(a), black_box(b)));
            });
        }
    }
}

fn norms(c: &mut Criterion) {
    let blas = OpenBlas::load();
    for n in [256, 512, 4096] {
        let mut x = Aligned::random(n, 1);
        let mut group = flat_group(c, "l2_norm");
        for (name, kernels) in back_ends() {
            group.bench_function(BenchmarkId::new(name, n), |bench| {
                bench.iter(|| kernels.l2_norm(black_box(x.get())));
            });
        }
        if let Some(blas) = &blas {
            group.bench_function(BenchmarkId::new("openblas", n), |bench| {
                bench.iter(|| blas.l2_norm(black_box(x.get())));
            });
        }
        group.finish();

        // Vectors in turn, 16 KiB of them: one alone would wait for its own stores of the run before.
        let n_vectors = 4096 / n;
        let mut vectors: Vec<Aligned> =
            (0..n_vectors).map(|i| Aligned::random(n, i as u64)).collect();
        let mut turn = 0;
        let mut group = flat_group(c, "normalize");
        for (name, kernels) in back_ends() {
            group.bench_function(BenchmarkId::new(name, n), |bench| {
                bench.iter(|| {
                    turn = (turn + 1) % n_vectors;
                    kernels.normalize(black_box(vectors[turn].get_mut()))
                });
            });
        }
        if let Some(blas) = &blas {
            group.bench_function(BenchmarkId::new("openblas", n), |bench| {
                bench.iter(|| {
                    turn = (turn + 1) % n_vectors;
                    blas.normalize(black_box(vectors[turn].get_mut()));
                });
            });
        }
    }
}

fn matvec(c: &mut Criterion) {
    let blas = OpenBlas::load();
    let mut group = flat_group(c, "matvec");
    for n in [64, 256] {
        let (matrix, x) = (Aligned::random(n * n, 1), Aligned::random(n, 2));
        let (matrix, x) = (matrix.get(), x.get());
        let mut out = vec![0.0; n];
        for (name, kernels) in back_ends() {
            group.bench_function(BenchmarkId::new(name, n), |bench| {
                bench.iter(|| kernels.matvec(black_box(matrix), black_box(x), &mut out));
            });
        }
        if std::arch::is_x86_feature_detected!("avx512f") {
            // The matrix once, as two streams: what the cache that holds it can deliver.
            let (upper, lower) = matrix.split_at(matrix.len() / 2);
            group.bench_function(BenchmarkId::new("only-load", n), |bench| {
                // SAFETY: just detected.
                bench.iter(|| unsafe { only_load(black_box(upper), black_box(lower)) });
            });
        }
        group.bench_function(BenchmarkId::new("dispatched dot by row", n), |bench| {
            bench.iter(|| {
                for (row, out) in black_box(matrix).chunks_exact(n).zip(&mut out) {
                    *out = majordomo_simd::dot(row, x);
                }
            });
        });
        group.bench_function(BenchmarkId::new("faer", n), |bench| {
            let (matrix, x) = (MatRef::from_row_major_slice(matrix, n, n), ColRef::from_slice(x));
            let mut out = faer::Col::<f32>::zeros(n);
            bench.iter(|| {
                faer::linalg::matmul::matmul(
                    out.as_mut().as_mat_mut(),
                    faer::Accum::Replace,
                    black_box(matrix),
                    black_box(x).as_mat(),
                    1.0,
                    faer::Par::Seq,
                );
            });
        });
        group.bench_function(BenchmarkId::new("ndarray", n), |bench| {
            let matrix = ArrayView2::from_shape((n, n), matrix).expect("n rows of n");
            let x = ArrayView1::from(x);
            let mut out = ndarray::Array1::<f32>::zeros(n);
            bench.iter(|| {
                ndarray::linalg::general_mat_vec_mul(1.0, &black_box(matrix), &x, 0.0, &mut out);
            });
        });
        if let Some(blas) = &blas {
            group.bench_function(BenchmarkId::new("openblas", n), |bench| {
                bench.iter(|| blas.matvec(black_box(matrix), black_box(x), &mut out));
            });
        }
    }
}

fn activations(c: &mut Criterion) {
    let mut group = flat_group(c, "softmax");
    for n in [16, 256, 1024] {
        let start = Aligned::random(n, 1);
        // Each run starts from the same scores; the copy is part of everybody's time.
        let mut x = Aligned::random(n, 1);
        for (name, kernels) in back_ends() {
            group.bench_function(BenchmarkId::new(name, n), |bench| {
                bench.iter(|| {
                    x.get_mut().copy_from_slice(start.get());
                    kernels.softmax(black_box(x.get_mut()));
                });
            });
        }
        group.bench_function(BenchmarkId::new("libm", n), |bench| {
            bench.iter(|| {
                x.get_mut().copy_from_slice(start.get());
                softmax_libm(black_box(x.get_mut()));
            });
        });
    }
    group.finish();

    let mut group = flat_group(c, "sigmoid");
    let n = 1024;
    let mut x = Aligned::random(n, 1);
    for (name, kernels) in back_ends() {
        group.bench_function(BenchmarkId::new(name, n), |bench| {
            bench.iter(|| kernels.sigmoid(black_box(x.get_mut())));
        });
    }
}

/// A first layer: 60 features of a text out of 2^14 rows.
fn gather(c: &mut Criterion) {
    let (n_rows, n_features) = (1 << 14, 60);
    for width in [16, 64, 128] {
        let mut group = flat_group(c, format!("gather_accumulate {n_features} of {n_rows}"));
        let table = Aligned::random(n_rows * width, 1);
        let bytes: Vec<i8> = table.get().iter().map(|x| (x * 127.0) as i8).collect();
        let weights = Aligned::random(n_features, 2);
        let n_sets = 64;
        let indices: Vec<Vec<u32>> = (0..n_sets)
            .map(|set| {
                let picks = Aligned::random(n_features, 3 + set as u64);
                let pick = |x: &f32| ((x + 1.0) * 0.5 * n_rows as f32) as u32 % n_rows as u32;
                picks.get().iter().map(pick).collect()
            })
            .collect();
        let mut out = vec![0.0; width];
        for (name, kernels) in back_ends() {
            let mut set = 0;
            group.bench_function(BenchmarkId::new(format!("{name} f32"), width), |bench| {
                bench.iter(|| {
                    set = (set + 1) % n_sets;
                    kernels.gather_accumulate(table.get(), &indices[set], weights.get(), &mut out);
                });
            });
            group.bench_function(BenchmarkId::new(format!("{name} i8"), width), |bench| {
                bench.iter(|| {
                    set = (set + 1) % n_sets;
                    kernels.gather_accumulate_i8(&bytes, &indices[set], weights.get(), &mut out);
                });
            });
            group.bench_function(BenchmarkId::new(format!("{name} axpy by row"), width), |bench| {
                bench.iter(|| {
                    set = (set + 1) % n_sets;
                    for (&index, &weight) in indices[set].iter().zip(weights.get()) {
                        let row = &table.get()[index as usize * width..][..width];
                        kernels.axpy(weight, row, &mut out);
                    }
                });
            });
        }
    }
}

fn hashing(c: &mut Criterion) {
    let text = b"turn the kitchen lights off and play something quiet";
    let n = text.len() - 2;
    let mut group = flat_group(c, "3-grams of a text");
    group.bench_function(BenchmarkId::new("hash_window", n), |bench| {
        bench.iter(|| (0..n).fold(0, |all, i| all ^ hash_window(black_box(text), i, 3, 0)));
    });
    group.bench_function(BenchmarkId::new("djb2", n), |bench| {
        bench.iter(|| (0..n).fold(0, |all, i| all ^ fast_hash(&black_box(text)[i..i + 3])));
    });
}

/// No length may be slower than the portable loop by more than a tenth and a nanosecond.
fn short(c: &mut Criterion) {
    // Vectors in turn: one alone would wait for its own stores of the run before.
    let n_vectors = 32;
    for n in [0, 1, 3, 7, 8, 15, 16, 17, 24, 31, 33, 47, 63] {
        let (a, b) = (Aligned::random(n, 1), Aligned::random(n, 2));
        let mut vectors: Vec<Aligned> =
            (0..n_vectors).map(|i| Aligned::random(n, i as u64)).collect();
        let mut turn = 0;
        for (name, kernels) in back_ends() {
            let mut group = flat_group(c, "short dot");
            group.bench_function(BenchmarkId::new(&name, n), |bench| {
                bench.iter(|| kernels.dot(black_box(a.get()), black_box(b.get())));
            });
            group.finish();
            let mut group = flat_group(c, "short axpy");
            group.bench_function(BenchmarkId::new(&name, n), |bench| {
                bench.iter(|| {
                    turn = (turn + 1) % n_vectors;
                    let y = black_box(vectors[turn].get_mut());
                    kernels.axpy(black_box(1e-9), black_box(a.get()), y);
                });
            });
            group.finish();
            let mut group = flat_group(c, "short relu");
            group.bench_function(BenchmarkId::new(&name, n), |bench| {
                bench.iter(|| {
                    turn = (turn + 1) % n_vectors;
                    kernels.relu(black_box(vectors[turn].get_mut()));
                });
            });
        }
    }
}

criterion_group! {
    name = kernels;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        // Many short samples: on a busy machine some of them are left undisturbed.
        .sample_size(250)
        .nresamples(2000);
    targets = dot, norms, matvec, activations, gather, hashing, short
}
criterion_main!(kernels);
