//! Trimming a real heap, in a process of its own, and the measure of what stays behind.

use majordomo_core::ByteSize;
use majordomo_memory::{TrimOutcome, UnreturnedMeter, trim_allocator};

use crate::child::{TestChild, resident};

/// In a process of its own: a million small allocations (300 MB) are dropped; after a trim at least 95 % of
/// what they added is back.
pub(crate) fn small_allocations_come_back() {
    let meter = UnreturnedMeter::start();
    let before = resident();
    let small: Vec<Vec<u8>> =
        (0..1_000_000u32).map(|i| vec![1; 200 + (i % 200) as usize]).collect();
    let loaded = resident();
    assert!(loaded - before >= 300_000_000, "{before} → {loaded}");
    // One that stays at the end of the heap, as some allocation always does.
    let stays = std::hint::black_box(vec![1u8; 300]);
    drop(small);
    let dropped = resident();
    let unreturned = meter.map(|m| m.measure(ByteSize::ZERO).unwrap());
    assert_eq!(trim_allocator(), TrimOutcome::Returned);
    let after = resident();
    let returned = (loaded - after.min(loaded)) as f64 / (loaded - before) as f64;
    println!("{before} → {loaded} → {dropped} → {after}: {:.2} % returned", returned * 100.0);
    assert!(returned >= 0.95);
    if let (Some(unreturned), Some(meter)) = (unreturned, meter) {
        let held = dropped - before;
        println!("measured as unreturned: {unreturned} of {}", ByteSize(held));
        assert!(unreturned.bytes().abs_diff(held) < 16 << 20);
        let rest = meter.measure(ByteSize::ZERO).unwrap();
        assert!(rest < ByteSize::mib(16), "{rest} after the trim");
    }
    drop(stays);
}

/// In a process of its own: memory that a living thread has freed is returned after a trim. glibc's trim does not touch
/// the free end of a thread's heap, and a freed large block (here of 24 MiB) lets that grow to 48 MiB each.
pub(crate) fn what_threads_freed_comes_back() {
    let meter = UnreturnedMeter::start();
    drop(std::hint::black_box(vec![1u8; 24 << 20]));
    let before = resident();
    let (send, received) = std::sync::mpsc::channel();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (end, until) = std::sync::mpsc::channel::<()>();
            let send = send.clone();
            let thread = std::thread::spawn(move || {
                let blocks: Vec<_> = (0..320).map(|_| vec![1u8; 64 << 10]).collect();
                send.send(std::hint::black_box(&blocks).len()).unwrap();
                // Lives on, and so does its heap.
                until.recv().unwrap();
                drop(blocks);
                send.send(0).unwrap();
                let _ = until.recv();
            });
            (end, thread)
        })
        .collect();
    threads.iter().for_each(|_| assert_eq!(received.recv(), Ok(320)));
    let loaded = resident();
    assert!(loaded - before >= 60 << 20, "{before} → {loaded}");
    threads.iter().for_each(|(end, _)| end.send(()).unwrap());
    threads.iter().for_each(|_| assert_eq!(received.recv(), Ok(0)));
    trim_allocator();
    let after = resident();
    println!("{before} → {loaded} → {after}");
    assert!(after < before + (8 << 20), "{before} → {loaded} → {after}");
    let rest = meter.unwrap().measure(ByteSize::ZERO).unwrap();
    assert!(rest < ByteSize::mib(8), "{rest} after the trim");
    for (end, thread) in threads {
        drop(end);
        thread.join().unwrap();
    }
}

#[test]
fn what_living_threads_freed_comes_back() {
    TestChild::succeeds("heap threads");
}

#[test]
fn a_million_small_allocations_come_back() {
    TestChild::succeeds("heap small");
}
