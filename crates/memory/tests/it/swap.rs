//! The figures of the machine's swap.

use majordomo_core::ByteSize;
use majordomo_memory::{has_swap, written_to_swap};

use crate::fixture::Fixture;

#[test]
fn swap_exists_where_the_kernel_lists_a_device() {
    let f = Fixture::v2("/app");
    assert!(!has_swap(f.root()), "no file");
    f.put("proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    assert!(!has_swap(f.root()), "no device");
    f.put("proc/swaps", "Filename Type Size Used Priority\n/swap file 2097148 0 -2\n");
    assert!(has_swap(f.root()));
}

#[test]
fn writes_to_swap_are_counted_in_pages() {
    let f = Fixture::v2("/app");
    assert_eq!(written_to_swap(f.root()), None);
    f.put("proc/vmstat", "pswpin 9\npswpout 3\npswpout_zero 8\n");
    let page = rustix::param::page_size() as u64;
    assert_eq!(written_to_swap(f.root()), Some(ByteSize(3 * page)));
}
