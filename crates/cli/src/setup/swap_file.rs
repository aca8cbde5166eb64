//! The script that makes a swap file.

use std::path::Path;

use majordomo::{ByteSize, quoted_path};

use super::machine::Machine;
use super::script::{Script, shell, step};

const LARGEST_DEFAULT: ByteSize = ByteSize::gib(8);
const SMALLEST: ByteSize = ByteSize::mib(64);
/// So much of the disk stays free.
const KEPT_FREE: ByteSize = ByteSize::gib(1);
/// Default sizes are multiples of this.
const ROUND: u64 = 256 << 20;

/// File systems without files that could be swap: in memory, on the network, or without fixed places on the disk.
const UNFIT: [&str; 10] =
    ["tmpfs", "ramfs", "overlay", "nfs", "nfs4", "cifs", "9p", "zfs", "squashfs", "virtiofs"];

pub(super) fn script(
    machine: &Machine,
    size: Option<ByteSize>,
    file: &Path,
) -> anyhow::Result<Script> {
    let file = std::path::absolute(file)?;
    let path = file.to_str().filter(|path| !path.contains(char::is_control));
    let path = path.ok_or_else(|| {
        anyhow::anyhow!(
            "{} cannot be written in /etc/fstab; choose another --file",
            quoted_path(&file)
        )
    })?;
    if machine.swap.devices.iter().any(|device| device.path == file) {
        anyhow::bail!("{} is in use as swap; undo it with: {}", quoted_path(&file), undo(path));
    }
    if file.symlink_metadata().is_ok() {
        anyhow::bail!("{} exists; remove it, or choose another --file", quoted_path(&file));
    }
    let folder = file.parent().unwrap_or(Path::new("/"));
    let folder = folder
        .canonicalize()
        .map_err(|error| anyhow::anyhow!("the folder {}: {error}", quoted_path(folder)))?;
    let place = machine.file_system(&folder)?;
    if UNFIT.contains(&place.kind.as_str()) {
        anyhow::bail!(
            "{} is on {}, which cannot hold a swap file; choose a --file on a disk, or `majordomo setup zram`",
            quoted_path(&folder),
            place.kind
        );
    }
    let free = free(&folder)?;
    let size = size.map_or_else(|| default_size(machine.memory, free), Ok)?;
    check_size(size, free, &folder)?;

    let megabytes = (size.bytes() >> 20).to_string();
    let mut steps = match place.kind.as_str() {
        "btrfs" => {
            vec![step(&[
                "btrfs",
                "filesystem",
                "mkswapfile",
                "--size",
                &size.bytes().to_string(),
                path,
            ])]
        }
        kind => {
            let allocate = match kind {
                "ext4" | "xfs" => step(&["fallocate", "--length", &size.bytes().to_string(), path]),
                _ => step(&[
                    "dd",
                    "if=/dev/zero",
                    &format!("of={path}"),
                    "bs=1M",
                    &format!("count={megabytes}"),
                ]),
            };
            // Made unreadable for other users before it holds anything.
            vec![
                step(&["install", "-m", "600", "/dev/null", path]),
                allocate,
                step(&["mkswap", path]),
            ]
        }
    };
    steps.push(step(&["swapon", path]));

    let mut warnings = Vec::new();
    if place.is_rotational {
        warnings.push(format!(
            "the disk of {} has moving heads, or is a virtual one that says so: from such a disk a wake may take longer than a cold load; `majordomo setup zram` does without a disk",
            folder.display()
        ));
    }
    if place.kind == "btrfs" {
        warnings.push("btrfs: swap files need btrfs-progs 6.1, one device, and no snapshots of their subvolume".to_owned());
    }
    Ok(Script {
        title: format!(
            "a swap file of {size} in {} ({}, {free} free)",
            folder.display(),
            place.kind
        ),
        warnings,
        steps,
        clean_up: vec![step(&["rm", "--", path])],
        permanent: format!(
            "add the line `{} none swap sw 0 0` to /etc/fstab",
            path.replace(' ', "\\040")
        ),
        undo: undo(path),
        estimated: None,
    })
}

/// Refuses a folder in which another user may put another file in the place of this one between two commands of root.
pub(super) fn check_folder(file: &Path) -> anyhow::Result<()> {
    let file = std::path::absolute(file)?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    let checked = majordomo_files::Folder::open(folder, majordomo_files::Owners::User);
    let way = "--yes runs commands as root; choose a --file in a folder that only root may change, such as /";
    checked.map(drop).map_err(|error| anyhow::anyhow!("{error}; {way}"))
}

fn undo(path: &str) -> String {
    format!("{} && {}", shell(&step(&["swapoff", path])), shell(&step(&["rm", "--", path])))
}

/// Bytes that are free for users on the file system of a folder.
fn free(folder: &Path) -> anyhow::Result<ByteSize> {
    let stat = rustix::fs::statvfs(folder)
        .map_err(|error| anyhow::anyhow!("{}: {error}", quoted_path(folder)))?;
    Ok(ByteSize(stat.f_bavail.saturating_mul(stat.f_frsize)))
}

fn default_size(memory: ByteSize, free: ByteSize) -> anyhow::Result<ByteSize> {
    let most = memory.min(LARGEST_DEFAULT).min(ByteSize(free.bytes() / 4));
    let size = ByteSize(most.bytes() / ROUND * ROUND);
    if size == ByteSize::ZERO {
        anyhow::bail!(
            "only {free} of the disk are free; choose a --file on another disk, or a --size"
        );
    }
    Ok(size)
}

fn check_size(size: ByteSize, free: ByteSize, folder: &Path) -> anyhow::Result<()> {
    if size < SMALLEST {
        anyhow::bail!("a swap file of {size} is too small; write a --size of at least {SMALLEST}");
    }
    if size + KEPT_FREE > free {
        anyhow::bail!(
            "{size} do not fit: {} has {free} free, of which {KEPT_FREE} stay free; write a smaller --size",
            quoted_path(folder)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine whose folder for temporary files is on a file system of this kind.
    fn machine(kind: &str, name: &str) -> Machine {
        let root = std::env::temp_dir()
            .join(format!("majordomo-setup-{}-{kind}-{name}", std::process::id()));
        let put = |file: &str, text: &str| {
            std::fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            std::fs::write(root.join(file), text).unwrap();
        };
        put("proc/meminfo", "MemTotal:       4194304 kB\n");
        put("proc/swaps", "Filename Type Size Used Priority\n/other.swap file 1024 0 -2\n");
        put("proc/self/mountinfo", &format!("22 1 8:1 / / rw - {kind} /dev/sda1 rw\n"));
        put("sys/dev/block/8:1/queue/rotational", "1\n");
        Machine::read(&root).unwrap()
    }

    fn script_on(kind: &str, size: &str) -> anyhow::Result<Script> {
        let machine = machine(kind, "on");
        let file = std::env::temp_dir().join(format!("no-such-{}.swap", std::process::id()));
        let script = script(&machine, Some(size.parse().unwrap()), &file);
        let _ = std::fs::remove_dir_all(&machine.root);
        script
    }

    fn typed(script: &Script) -> Vec<String> {
        script.steps.iter().map(|s| s.first().cloned().unwrap_or_default()).collect()
    }

    #[test]
    fn steps_depend_on_the_file_system() {
        let ext4 = script_on("ext4", "64MiB").unwrap();
        assert_eq!(typed(&ext4), ["install", "fallocate", "mkswap", "swapon"]);
        assert!(ext4.warnings.iter().any(|w| w.contains("moving heads")), "{:?}", ext4.warnings);
        assert!(ext4.permanent.contains(".swap none swap sw 0 0"), "{}", ext4.permanent);
        let btrfs = script_on("btrfs", "64MiB").unwrap();
        assert_eq!(typed(&btrfs), ["btrfs", "swapon"]);
        assert!(btrfs.warnings.iter().any(|w| w.starts_with("btrfs")));
        // Preallocated blocks of other file systems are not always fit for swap.
        assert_eq!(typed(&script_on("ext3", "64MiB").unwrap())[1], "dd");
        for unfit in ["tmpfs", "overlay", "nfs4"] {
            let error = script_on(unfit, "64MiB").unwrap_err().to_string();
            assert!(error.contains(unfit) && error.contains("setup zram"), "{error}");
        }
    }

    #[test]
    fn folder_that_other_users_may_change_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let dir =
            std::env::temp_dir().join(format!("majordomo-setup-folder-{}", std::process::id()));
        let inner = dir.join("inner");
        std::fs::create_dir_all(&inner).unwrap();
        let set = |dir: &Path, mode| {
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let check = || check_folder(&inner.join("s.swap")).map_err(|error| error.to_string());
        set(&dir, 0o755);
        set(&inner, 0o755);
        assert_eq!(check(), Ok(()));
        // Where others may make names, and where they may rename the folder.
        for (above, own) in [(0o755, 0o777), (0o755, 0o1777), (0o777, 0o755)] {
            set(&dir, above);
            set(&inner, own);
            let error = check().unwrap_err();
            assert!(error.contains("choose a --file in a folder"), "{error}");
        }
        let _ = std::fs::remove_dir_all(dir);
    }

    #[test]
    fn size_follows_memory_and_disk() {
        let check = |memory: u64, free: u64, want: u64| {
            let size = default_size(ByteSize::mib(memory), ByteSize::mib(free)).unwrap();
            assert_eq!(size, ByteSize::mib(want));
        };
        check(4000, 100_000, 3840);
        check(24_000, 100_000, 8192);
        check(24_000, 9000, 2048);
        assert!(default_size(ByteSize::gib(4), ByteSize::mib(900)).is_err());
        let error = script_on("ext4", "8TiB").unwrap_err().to_string();
        assert!(error.contains("stay free; write a smaller --size"), "{error}");
        let error = script_on("ext4", "1MiB").unwrap_err().to_string();
        assert!(error.contains("at least 64 MiB"), "{error}");
    }

    #[test]
    fn file_that_exists_or_is_swap_is_refused() {
        let machine = machine("ext4", "refused");
        let refused = |file: &str| script(&machine, None, Path::new(file)).unwrap_err().to_string();
        let error = refused("/other.swap");
        assert!(error.contains("in use as swap; undo it with: swapoff /other.swap"), "{error}");
        assert!(refused("/proc").contains("exists"));
        assert!(refused("/no-such-folder/x").contains("the folder \"/no-such-folder\""));
        let _ = std::fs::remove_dir_all(&machine.root);
    }
}
