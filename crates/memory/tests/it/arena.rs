//! Arenas: bytes by the kernel's own count, reuse without page faults, buffers that never overlap, grants
//! under many threads.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use majordomo_core::ByteSize;
use majordomo_memory::{
    ARENA_ALIGNMENT, Arena, ArenaBuf, ArenaError, GrantHold, MappedBuf, PoolGrant, SharedSlice,
};
use proptest::prelude::*;

#[cfg(target_os = "linux")]
use crate::child::{TestChild, resident};
use crate::fixture::Fixture;

const MIB: usize = 1 << 20;

/// Page faults of this thread so far.
#[cfg(target_os = "linux")]
fn faults() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let (_, rest) = text.rsplit_once(')').unwrap();
    rest.split_ascii_whitespace().nth(7).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
/// In a process of its own: an arena of 300 MB gives at least 97 % of what it added back when dropped.
pub(crate) fn gives_back_whole() {
    let before = resident();
    let grant = PoolGrant::new(ByteSize::mib(320));
    let arena = Arena::new(grant.clone());
    let buffers: Vec<_> = (0..300)
        .map(|i| {
            let mut buffer = arena.alloc(1_000_000).unwrap();
            buffer.fill(i as u8);
            buffer
        })
        .collect();
    let loaded = resident();
    assert!(loaded - before >= 300_000_000, "{before} → {loaded}");
    assert!(buffers.iter().enumerate().all(|(i, b)| b[999_999] == i as u8));
    drop(buffers);
    assert!(resident() - before >= 300_000_000, "kept for reuse while the component lives");
    drop(arena);
    let after = resident();
    assert_eq!(grant.used(), ByteSize::ZERO);
    let returned = (loaded - after.min(loaded)) as f64 / (loaded - before) as f64;
    println!("{before} → {loaded} → {after}: {:.2} % returned", returned * 100.0);
    assert!(returned >= 0.97);
}

#[cfg(target_os = "linux")]
/// In a process of its own: shared memory stays resident and booked until its last reader is dropped; the other memory
/// is freed with the arena.
pub(crate) fn shared_slices_outlive_the_arena() {
    let before = resident();
    let grant = PoolGrant::new(ByteSize::mib(128));
    let arena = Arena::new(grant.clone());
    let mut scratch = arena.alloc(64 * MIB).unwrap();
    scratch.fill(1);
    let mut weights = arena.map(32 * MIB).unwrap();
    weights.fill(2);
    let shared = weights.freeze();
    drop(scratch);
    drop(arena);
    let between = resident() - before;
    assert!((32 << 20..36 << 20).contains(&between), "{between}");
    assert_eq!(grant.used(), ByteSize::mib(32));
    let part = shared.part(16 * MIB..).unwrap();
    drop(shared);
    let reader = std::thread::spawn(move || part.iter().all(|b| *b == 2) && part.readers() == 1);
    assert!(reader.join().unwrap());
    assert_eq!(grant.used(), ByteSize::ZERO);
    assert!(resident() - before < 4 << 20);
}

#[cfg(target_os = "linux")]
#[test]
fn an_arena_gives_its_memory_back_whole() {
    TestChild::succeeds("arena whole");
}

#[cfg(target_os = "linux")]
#[test]
fn shared_slices_keep_just_themselves() {
    TestChild::succeeds("arena shared");
}

#[cfg(target_os = "linux")]
#[test]
fn reuse_costs_no_page_faults() {
    let arena = Arena::new(PoolGrant::new(ByteSize::mib(64)));
    let cycle = |n: u8| {
        let mut buffers: Vec<_> = (0..8).map(|_| arena.alloc(MIB).unwrap()).collect();
        for b in &mut buffers {
            b.fill(n);
        }
        // Not in the order of stacks, so that the free blocks are used too.
        for i in [3, 0, 4, 1, 0, 1, 1, 0] {
            drop(buffers.remove(i));
        }
    };
    cycle(1);
    let before = faults();
    for n in 0..50 {
        cycle(n);
    }
    let during = faults() - before;
    // 50 × 8 MiB are 102 400 pages.
    assert!(during < 100, "{during} page faults");
}

#[test]
fn the_grant_bounds_and_a_smaller_last_slab_fits() {
    let grant = PoolGrant::new(ByteSize::mib(10));
    let arena = Arena::with_slab_size(grant.clone(), ByteSize::mib(8));
    let first = arena.alloc(8 * MIB).unwrap();
    let second = arena.alloc(MIB).unwrap();
    let error = arena.alloc(2 * MIB).unwrap_err();
    assert_eq!(error.to_string(), "2 MiB more are needed; 9 MiB of the granted 10 MiB are in use");
    grant.set_limit(ByteSize::mib(16));
    drop(arena.alloc(2 * MIB).unwrap());
    assert_eq!(grant.peak(), ByteSize::mib(11));
    assert!(matches!(arena.alloc(usize::MAX), Err(ArenaError::GrantExhausted { .. })));
    assert!(matches!(arena.map(MIB << 20), Err(ArenaError::GrantExhausted { .. })));
    drop((first, second));
    assert_eq!(arena.trim(), ByteSize::mib(11));
    assert_eq!(grant.used(), ByteSize::ZERO);
    // It still allocates after a trim.
    assert_eq!(arena.alloc(5).unwrap().len(), 5);
}

#[test]
fn allocation_beyond_the_address_space_is_refused_and_takes_no_grant() {
    let arena = Arena::new(PoolGrant::new(ByteSize(u64::MAX)));
    let error = arena.alloc(1 << 60).unwrap_err();
    assert!(matches!(error, ArenaError::Map { .. }), "{error}");
    assert_eq!(arena.grant().used(), ByteSize::ZERO);
}

proptest! {
    #[test]
    fn live_buffers_never_overlap(
        ops in prop::collection::vec((0usize..20_000, any::<bool>(), any::<usize>()), 1..200)
    ) {
        let grant = PoolGrant::new(ByteSize::mib(256));
        let arena = Arena::with_slab_size(grant.clone(), ByteSize::kib(64));
        let mut live: Vec<(u8, ArenaBuf<'_>)> = Vec::new();
        for (i, (len, free, pick)) in ops.into_iter().enumerate() {
            if free && !live.is_empty() {
                let (mark, buffer) = live.swap_remove(pick % live.len());
                prop_assert!(buffer.iter().all(|b| *b == mark), "overwritten by another buffer");
            } else if len % 97 == 0 {
                arena.trim();
            } else {
                let mut buffer = arena.alloc(len).unwrap();
                prop_assert_eq!(buffer.as_ptr() as usize % ARENA_ALIGNMENT, 0);
                buffer.fill(i as u8);
                live.push((i as u8, buffer));
            }
        }
        for (mark, buffer) in &live {
            prop_assert!(buffer.iter().all(|b| b == mark), "overwritten by another buffer");
        }
        live.clear();
        let mapped = arena.mapped();
        prop_assert_eq!(grant.used(), mapped);
        prop_assert_eq!(arena.trim(), mapped);
        prop_assert_eq!(grant.used(), ByteSize::ZERO);
    }
}

/// Eight threads take and give at random: no thread ever sees more in use than granted, and all is returned.
#[test]
fn grants_hold_under_eight_threads() {
    let grant = PoolGrant::new(ByteSize(1000));
    std::thread::scope(|scope| {
        for seed in 1..=8u64 {
            let grant = &grant;
            scope.spawn(move || {
                let mut x = seed;
                let mut holds = Vec::new();
                let mut refused = 0;
                for _ in 0..50_000 {
                    // xorshift64 (Marsaglia 2003)
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^= x << 17;
                    match grant.take(ByteSize(x % 97)) {
                        Ok(hold) => holds.push(hold),
                        Err(_) => refused += 1,
                    }
                    assert!(grant.used() <= grant.limit());
                    if x % 3 != 0 && !holds.is_empty() {
                        holds.swap_remove(x as usize % holds.len());
                    }
                }
                assert!(refused > 0, "the limit was never reached");
                let own: ByteSize = holds.iter().map(GrantHold::bytes).sum();
                assert!(own <= grant.used());
            });
        }
    });
    assert_eq!(grant.used(), ByteSize::ZERO);
    assert!(grant.peak() > ByteSize(900) && grant.peak() <= ByteSize(1000), "{:?}", grant.peak());
}

#[test]
fn arenas_of_several_threads_share_a_grant() {
    let grant = PoolGrant::new(ByteSize::mib(64));
    std::thread::scope(|scope| {
        for n in 0..8u8 {
            let arena = Arena::with_slab_size(grant.clone(), ByteSize::mib(4));
            scope.spawn(move || {
                for _ in 0..100 {
                    let mut buffer = arena.alloc(MIB).unwrap();
                    buffer.fill(n);
                    assert!(buffer.iter().all(|b| *b == n));
                }
            });
        }
    });
    assert_eq!((grant.used(), grant.peak()), (ByteSize::ZERO, ByteSize::mib(32)));
}

#[test]
fn buffers_are_shared_without_a_copy() {
    let grant = PoolGrant::new(ByteSize::mib(4));
    let mut buffer = MappedBuf::new(&grant, MIB).unwrap();
    buffer[..4].copy_from_slice(b"head");
    let address = buffer.as_ptr();
    let shared = buffer.freeze();
    assert_eq!(shared.as_ptr(), address);
    let part = shared.part(1..3).unwrap();
    assert_eq!((&part[..], part.as_ptr()), (&b"ea"[..], &raw const shared[1]));
    assert_eq!(&part.part(1..).unwrap()[..], b"a");
    assert!(part.part(..3).is_none() && shared.part(MIB + 1..).is_none());
    assert_eq!((shared.readers(), shared.granted()), (2, ByteSize::mib(1)));
}

#[test]
fn file_is_mapped_only_if_no_other_user_can_change_it() {
    let f = Fixture::new();
    f.put("weights.bin", "0123456789");
    let path = f.root().join("weights.bin");
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let shared = SharedSlice::map_file(&path).unwrap();
    assert_eq!((&shared[..], shared.granted()), (&b"0123456789"[..], ByteSize::ZERO));
    // Replaced by renaming: a reader of the old file keeps it.
    f.put("new.bin", "abc");
    fs::rename(f.root().join("new.bin"), &path).unwrap();
    assert_eq!(&shared[2..4], b"23");

    f.put("empty.bin", "");
    assert_eq!(SharedSlice::map_file(&f.root().join("empty.bin")).unwrap().len(), 0);
    mode(0o666);
    assert!(matches!(SharedSlice::map_file(&path), Err(ArenaError::ForeignFile(p)) if p == path));
    for missing in [f.root().join("none.bin"), f.root().to_owned()] {
        let error = SharedSlice::map_file(&missing).unwrap_err();
        assert!(error.to_string().contains("cannot be mapped"), "{error}");
    }
}
