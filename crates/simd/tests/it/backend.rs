//! The choice of a back end: available ones, the one in use, and the error for an unsupported one.

use majordomo_simd::{Backend, Kernels, active, available, dot, force};

use crate::support::Numbers;

/// The only test that touches the process-wide choice: one test, so that no other can interfere.
#[test]
fn best_back_end_is_in_use_until_another_is_forced() {
    let best = available().last().unwrap();
    assert_eq!(active(), best, "the best back end is in use until another is forced");
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
