//! The mappings of a process, as `/proc/PID/smaps` lists them (proc_pid_smaps(5)), and which of them may be paged out.

use crate::range::Range;

/// One mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) range: Range,
    /// Whether it is private, of memory, and neither a device's nor of huge pages.
    is_pageable: bool,
    /// Whether it is memory that other processes may map as well: a shared mapping of no file on a disk.
    is_shared_memory: bool,
    /// Whether its pages are locked in memory (`mlock`).
    pub(crate) is_locked: bool,
    /// Bytes in memory, shared ones divided by the processes that map them.
    proportional: u64,
    /// Bytes of pages that are in memory and belong to no file.
    pub(crate) anonymous: u64,
    /// Bytes of pages that are in swap.
    pub(crate) swap: u64,
}

/// Flags of mappings that are left alone: I/O memory, pages without a description, huge pages of a pool.
const UNTOUCHABLE: [&str; 3] = ["io", "pf", "ht"];

/// Names of memory that a process maps as shared: anonymous, POSIX, by memfd, System V.
const SHARED_MEMORY: [&str; 4] = ["/dev/zero", "/dev/shm/", "/memfd:", "/SYSV"];

/// Mappings up to this length are looked through page by page; that takes milliseconds for each GiB.
const LOOKED_THROUGH: u64 = 64 << 30;
/// Longer ones only where at least one page in so many is there.
const SPARSE: u64 = 256;

impl Mapping {
    /// Whether it is so long, and so little of it is there, that looking for those pages takes longer than a load: shadow memory of
    /// sanitizers, for example.
    fn is_sparse(&self) -> bool {
        let length = self.range.end - self.range.start;
        length > LOOKED_THROUGH && length / SPARSE > self.anonymous + self.swap
    }

    /// Whether pages of it may be paged out: the anonymous ones of a private mapping. They are its own, wherever the
    /// mapping began: data of a library that was written to has become anonymous.
    pub(crate) fn may_be_paged(&self) -> bool {
        self.is_pageable && !self.is_locked && self.anonymous > 0 && !self.is_sparse()
    }

    /// Whether pages of it may be read from swap.
    pub(crate) fn is_swapped(&self) -> bool {
        self.is_pageable && self.swap > 0 && !self.is_sparse()
    }

    /// Bytes that are locked in memory.
    pub(crate) fn locked(&self) -> u64 {
        match self.is_locked {
            true if self.is_pageable => self.anonymous,
            true if self.is_shared_memory => self.proportional,
            _ => 0,
        }
    }

    /// Bytes that are left because looking for them takes too long.
    pub(crate) fn sparse(&self) -> u64 {
        if self.is_pageable && !self.is_locked && self.is_sparse() { self.anonymous } else { 0 }
    }

    /// Bytes of a shared mapping, which are not paged out; locked ones apart.
    pub(crate) fn shared_memory(&self) -> u64 {
        if self.is_shared_memory && !self.is_locked { self.proportional } else { 0 }
    }
}

/// Reads the list. Lines that are not understood are skipped: newer kernels add some.
pub(crate) fn parse(smaps: &str) -> Vec<Mapping> {
    let mut out: Vec<Mapping> = Vec::new();
    for line in smaps.lines() {
        if let Some(mapping) = header(line) {
            out.push(mapping);
            continue;
        }
        let (Some(mapping), Some((key, value))) = (out.last_mut(), line.split_once(':')) else {
            continue;
        };
        match key {
            "Anonymous" => mapping.anonymous = kib(value),
            "Swap" => mapping.swap = kib(value),
            "Pss" => mapping.proportional = kib(value),
            "VmFlags" => {
                let has = |flag: &str| value.split_ascii_whitespace().any(|f| f == flag);
                mapping.is_locked |= has("lo");
                mapping.is_pageable &= !UNTOUCHABLE.into_iter().any(has);
            }
            _ => {}
        }
    }
    out
}

/// `START-END PERMS OFFSET DEVICE INODE [PATH]`.
fn header(line: &str) -> Option<Mapping> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    let range = Range::new(address(start)?, address(end)?);
    let permissions = words.next().filter(|p| p.len() == 4)?;
    let path = words.nth(3).unwrap_or_default();
    // A private mapping of /dev/zero is plain memory.
    let is_device = path.starts_with("/dev/") && path != "/dev/zero";
    let is_kernels = path.starts_with("[v");
    let is_pageable = permissions.ends_with('p') && !is_device && !is_kernels;
    let is_memory = SHARED_MEMORY.iter().any(|start| path.starts_with(start));
    Some(Mapping {
        range,
        is_pageable,
        is_shared_memory: permissions.ends_with('s') && is_memory,
        is_locked: false,
        proportional: 0,
        anonymous: 0,
        swap: 0,
    })
}

fn kib(value: &str) -> u64 {
    let number = value.trim().strip_suffix("kB").map(str::trim);
    number.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smaps(header: &str, anonymous: u64, swap: u64, flags: &str) -> String {
        format!(
            "{header}\nSize: 12 kB\nAnonymous: {anonymous} kB\nSwap: {swap} kB\nVmFlags: {flags}\n"
        )
    }

    #[test]
    fn anonymous_pages_of_private_memory_may_be_paged_and_nothing_else() {
        let check = |header: &str, flags: &str, want: bool| {
            let parsed = parse(&smaps(header, 8, 4, flags));
            assert_eq!(parsed.len(), 1, "{header}");
            assert_eq!(parsed[0].may_be_paged(), want, "{header} {flags}");
        };
        check("7f00000000-7f00003000 rw-p 00000000 00:00 0", "rd wr mr mw me ac", true);
        check("7f00000000-7f00003000 rw-p 00000000 00:00 0  [heap]", "rd wr", true);
        // Relocated data of a library, which is read-only afterwards.
        check("7f00000000-7f00003000 r--p 00001000 fe:00 24 /usr/lib/libtorch.so", "rd mr", true);
        check("7f00000000-7f00003000 rw-p 00000000 00:05 4 /dev/zero", "rd wr", true);
        check("7f00000000-7f00003000 rw-p 00000000 00:05 4 /dev/nvidia0", "rd wr", false);
        check("7f00000000-7f00003000 rw-s 00000000 00:01 9 /dev/shm/ring", "rd wr sh", false);
        check("7f00000000-7f00003000 rw-p 00000000 00:00 0", "rd wr lo", false);
        check("7f00000000-7f00003000 rw-p 00000000 00:00 0", "rd wr ht", false);
        check("7f00000000-7f00003000 rw-p 00000000 00:00 0", "rd wr io pf", false);
        check("7f00000000-7f00003000 r--p 00000000 00:00 0  [vvar]", "rd", false);
    }

    #[test]
    fn shared_memory_is_counted_and_locked_one_apart() {
        let check = |mapping: &str, flags: &str, want: (u64, u64)| {
            let header = format!("7f00000000-7f00003000 {mapping}");
            let text =
                format!("{header}\nRss: 12 kB\nPss: 6 kB\nAnonymous: 0 kB\nVmFlags: {flags}\n");
            let [mapping] = &parse(&text)[..] else { panic!("{header}") };
            let got = (mapping.shared_memory() >> 10, mapping.locked() >> 10);
            assert_eq!(got, want, "{header} {flags}");
        };
        for path in [
            "/dev/zero (deleted)",
            "/dev/shm/ring",
            "/memfd:ring (deleted)",
            "/SYSV00000000 (deleted)",
        ] {
            check(&format!("rw-s 00000000 00:01 9 {path}"), "rd wr sh", (6, 0));
            check(&format!("rw-s 00000000 00:01 9 {path}"), "rd wr sh lo", (0, 6));
        }
        check("rw-s 00000000 fe:00 24 /var/lib/a.db", "rd wr sh", (0, 0));
        check("rw-p 00000000 00:05 4 /dev/zero", "rd wr", (0, 0));
    }

    #[test]
    fn sparse_mapping_of_terabytes_is_left_alone() {
        let check = |end: &str, anonymous: u64, want: (bool, u64)| {
            let header = format!("7f0000000000-{end} rw-p 00000000 00:00 0");
            let parsed = parse(&smaps(&header, anonymous, 0, "rd wr nr"));
            assert_eq!((parsed[0].may_be_paged(), parsed[0].sparse() >> 10), want, "{header}");
        };
        // 64 GiB, 8 TiB with little in it, and 8 TiB of which a part is there.
        check("7f1000000000", 8, (true, 0));
        check("7f8000000000", 256, (false, 256));
        check("7f8000000000", 64 << 20, (true, 0));
    }

    #[test]
    fn mapping_without_anonymous_pages_is_left_alone() {
        let header = "7f00000000-7f00003000 r-xp 00001000 fe:00 24 /usr/lib/libtorch.so";
        let parsed = parse(&smaps(header, 0, 0, "rd ex mr"));
        assert!(!parsed[0].may_be_paged() && !parsed[0].is_swapped());
    }

    #[test]
    fn locked_bytes_are_counted() {
        let header = "10000-13000 rw-p 00000000 00:00 0";
        let parsed = parse(&smaps(header, 12, 0, "rd wr lo"));
        assert_eq!((parsed[0].locked(), parsed[0].range), (12 << 10, Range::new(0x10000, 0x13000)));
    }

    #[test]
    fn own_list_of_mappings_is_understood() {
        if let Ok(text) = std::fs::read_to_string("/proc/self/smaps") {
            let parsed = parse(&text);
            assert!(parsed.iter().any(Mapping::may_be_paged), "{text}");
            assert!(parsed.is_sorted_by(|a, b| a.range.end <= b.range.start));
        }
    }
}
