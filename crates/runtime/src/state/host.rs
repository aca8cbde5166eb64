//! Which machine this is, as a number that does not give its name away.

use std::hash::Hasher;

/// A hash of the machine's id (Linux `/etc/machine-id`, macOS `kern.uuid`), the same over reboots.
/// None when the machine has no id: figures measured here are then shared with other such machines.
#[must_use]
pub fn host_hash() -> Option<u64> {
    machine_id().map(|id| hash(id.trim()))
}

/// FNV-1a with a prefix of our own, so that the number is of no use elsewhere.
fn hash(id: &str) -> u64 {
    let mut hasher = fnv::FnvHasher::default();
    hasher.write(b"majordomo host ");
    hasher.write(id.as_bytes());
    hasher.finish()
}

#[cfg(target_os = "linux")]
fn machine_id() -> Option<String> {
    let read = |path| std::fs::read_to_string(path).ok().filter(|id| !id.trim().is_empty());
    read("/etc/machine-id").or_else(|| read("/var/lib/dbus/machine-id"))
}

#[cfg(not(target_os = "linux"))]
fn machine_id() -> Option<String> {
    let out = std::process::Command::new("sysctl").args(["-n", "kern.uuid"]).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_and_distinct() {
        assert_eq!(hash("abc"), hash("abc"));
        assert_ne!(hash("abc"), hash("abd"));
        assert_eq!(host_hash(), host_hash());
    }
}
