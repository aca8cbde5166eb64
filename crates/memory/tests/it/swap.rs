//! Whether the machine has swap.

use majordomo_memory::has_swap;

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
