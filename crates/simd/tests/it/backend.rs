//! Choosing a back end: what is available, what is in use, and what an impossible wish gets.

use majordomo_simd::{Backend, Kernels, active, available, dot, force};

use crate::support::Numbers;

/// The only test that touches the process-wide choice: one test, so that no other can interfere.
#[test]
fn the_choice_of_the_process() {
    let best = available().last().unwrap();
    assert_eq!(active(), best, "the best back end is in use until somebody forces another");
    assert_eq!(Kernels::active().backend(), best);

    let mut numbers = Numbers(1);
    let (a, b) = (numbers.vector(1001), numbers.vector(1001));
    for backend in Backend::ALL {
        let before = active();
        match force(backend) {
            Ok(()) => {
                assert!(backend.is_available());
                assert_eq!(active(), backend);
                let chosen = Kernels::with(backend).unwrap();
                assert_eq!(dot(&a, &b).to_bits(), chosen.dot(&a, &b).to_bits());
            }
            Err(error) => {
                assert!(!backend.is_available());
                assert_eq!(Kernels::with(backend), Err(error));
                assert_eq!(active(), before, "a refused wish changes nothing");
                let text = error.to_string();
                assert!(text.contains(&format!("`{backend}`")), "{text}");
                assert!(text.contains(&format!("use `{best}` or `portable`")), "{text}");
            }
        }
    }
    force(best).unwrap();
}

#[test]
fn what_every_platform_has() {
    let found: Vec<Backend> = available().collect();
    assert_eq!(found[0], Backend::Portable);
    if cfg!(target_arch = "aarch64") {
        assert_eq!(found, [Backend::Portable, Backend::Neon]);
    } else {
        assert!(!found.contains(&Backend::Neon));
    }
}
