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

#[test]
fn a_million_small_allocations_come_back() {
    TestChild::succeeds("heap small");
}
