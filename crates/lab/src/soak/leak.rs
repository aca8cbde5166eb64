//! Leaks planted on purpose: the test of the test.

use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use majordomo_sim::Rng;
use tokio::time::sleep;

use super::plan::Leak;
use super::sample::MARK;

/// Leaks at the stated rate for ever, beginning somewhere in the first quarter of a minute.
pub(crate) async fn plant(leak: Leak, mark: String, mut rng: Rng) {
    sleep(Duration::from_millis(rng.between(0, 15_000))).await;
    loop {
        match leak {
            // In 60 steps, as real ones drip.
            Leak::Bytes => std::mem::forget(std::hint::black_box(vec![1u8; (1 << 20) / 60])),
            Leak::Descriptors => {
                if let Ok(file) = std::fs::File::open("/dev/null") {
                    std::mem::forget(file);
                }
            }
            Leak::Tasks => drop(tokio::spawn(std::future::pending::<()>())),
            Leak::Children => {
                let mut child = std::process::Command::new("/bin/sh");
                child.args(["-c", "exec sleep 3600"]).env(MARK, &mark).process_group(0);
                // Never waited for: that is the leak.
                drop(
                    child
                        .stdin(std::process::Stdio::null())
                        .stdout(std::process::Stdio::null())
                        .spawn(),
                );
            }
        }
        sleep(Duration::from_secs(if leak == Leak::Bytes { 1 } else { 60 })).await;
    }
}
