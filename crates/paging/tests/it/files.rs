//! Swap as the files of a machine describe it.

use std::path::Path;

use libtest_mimic::Trial;
use majordomo_core::ByteSize;
use majordomo_paging::{Swap, SwapKind};

use crate::fixture::{Fixture, add};

pub(crate) fn tests(tests: &mut Vec<Trial>) {
    add(tests, "files::disk_and_zram_are_distinguished", disk_and_zram_are_distinguished);
    add(
        tests,
        "files::bytes_in_zram_are_ram_at_its_ratio_whatever_a_disk_holds_beside_it",
        zram_beside_disk,
    );
    add(tests, "files::machine_without_swap_has_none", no_swap);
    add(tests, "files::zswap_is_ram", zswap_is_ram);
    add(tests, "files::unknown_line_of_swaps_is_skipped", unknown_line);
}

fn disk_and_zram_are_distinguished() {
    let f = Fixture::with_swaps(
        "/swap\\040file                           file\t\t2097148\t\t1048576\t\t-2\n\
         /dev/zram0                              partition\t1048572\t\t4096\t\t100\n",
    );
    f.put("sys/block/zram0/mm_stat", " 4194304 1900000 2097152 0 2097152 10 0 0 0\n");
    let swap = Swap::read(f.root()).unwrap();
    let [file, zram] = &swap.devices[..] else { panic!("{swap:?}") };
    assert_eq!((file.path.as_path(), file.kind), (Path::new("/swap file"), SwapKind::Disk));
    assert_eq!((zram.kind, zram.ram, zram.priority), (SwapKind::Zram, ByteSize::mib(2), 100));
    assert_eq!(swap.free, ByteSize::kib(2_097_148 - 1_048_576 + 1_048_572 - 4096));
    assert_eq!((swap.is_disk(), swap.lanes()), (true, 2));
    let text = swap.to_string();
    assert!(text.contains("/swap file, /dev/zram0 (4 MiB in 2 MiB of RAM)"), "{text}");
}

fn no_swap() {
    let f = Fixture::with_swaps("");
    let swap = Swap::read(f.root()).unwrap();
    assert_eq!((swap.total, swap.to_string().as_str()), (ByteSize::ZERO, "no swap"));
    assert_eq!((swap.ram_of(ByteSize::mib(4)), swap.ram_of_next()), (ByteSize::ZERO, 0.0));
}

fn zram_beside_disk() {
    // 1 GiB of others on the disk, 300 MiB in zram, which take half.
    let lines = |zram_total: u64| {
        format!("/swapfile file 2097152 1048576 -2\n/dev/zram0 partition {zram_total} 307200 100\n")
    };
    let mm_stat = format!("{} 1 {} 0 0 0 0 0 0\n", 300 << 20, 150 << 20);
    let f = Fixture::with_swaps(&lines(1_048_576));
    f.put("sys/block/zram0/mm_stat", &mm_stat);
    let swap = Swap::read(f.root()).unwrap();
    assert_eq!(swap.ram_of(ByteSize::mib(300)), ByteSize::mib(150));
    assert_eq!(swap.ram_of(ByteSize::mib(100)), ByteSize::mib(50));
    assert_eq!(swap.ram_of(ByteSize::gib(1)), ByteSize::mib(150), "zram has no more");
    assert_eq!(swap.ram_of_next(), 0.5, "it is filled first");
    let f = Fixture::with_swaps(&lines(307_200));
    f.put("sys/block/zram0/mm_stat", &mm_stat);
    assert_eq!(Swap::read(f.root()).unwrap().ram_of_next(), 0.0, "it is full");
    let f = Fixture::with_swaps("/dev/zram0 partition 1048576 0 100\n");
    f.put("sys/block/zram0/mm_stat", "0 0 4096 0 0 0 0 0 0\n");
    let zram = Swap::read(f.root()).unwrap();
    assert_eq!(zram.ram_of_next(), 0.5, "it shows no ratio yet");
    assert_eq!((zram.reads_first(true), zram.reads_first(false)), (false, true));
    assert!(swap.reads_first(true), "some pages are on the disk");
}

fn zswap_is_ram() {
    let f = Fixture::with_swaps("/dev/vdb partition 1048576 4096 -2\n");
    f.put("proc/meminfo", "Zswap:   1024 kB\nZswapped: 4096 kB\n");
    let swap = Swap::read(f.root()).unwrap();
    assert_eq!((swap.ram_of_next(), swap.is_disk()), (0.25, true));
    assert_eq!(swap.ram_of(ByteSize::kib(400)), ByteSize::kib(100));
}

fn unknown_line() {
    let f = Fixture::with_swaps("/dev/vdb partition many 0 -2\n/dev/vdc partition 8 4 -2\n");
    let swap = Swap::read(f.root()).unwrap();
    assert_eq!((swap.devices.len(), swap.free), (1, ByteSize::kib(4)));
}
