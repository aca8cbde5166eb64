//! The script that makes compressed swap in memory.

use std::fs;

use majordomo::{ByteSize, SwapKind};

use super::machine::Machine;
use super::script::{Script, step};

const LARGEST_DEFAULT: ByteSize = ByteSize::gib(8);
const SMALLEST: ByteSize = ByteSize::mib(64);
/// Above every swap file, so that memory is used before the disk.
const PRIORITY: &str = "100";
/// The fastest to read back, where the kernel has it.
const ALGORITHM: &str = "lz4";
/// There when the kernel has zram.
const CONTROL: &str = "sys/class/zram-control";

pub(super) fn script(machine: &Machine, size: Option<ByteSize>) -> anyhow::Result<Script> {
    if let Some(device) = machine.swap.devices.iter().find(|d| d.kind == SwapKind::Zram) {
        let path = device.path.display();
        anyhow::bail!(
            "{path} is in use as swap ({}); undo it with: {}",
            device.total,
            undo(&path.to_string())
        );
    }
    let half = ByteSize(machine.memory.bytes() / 2);
    let size = size.unwrap_or(half.min(LARGEST_DEFAULT));
    if size < SMALLEST {
        anyhow::bail!("zram of {size} is too small; write a --size of at least {SMALLEST}");
    }
    if size > ByteSize(machine.memory.bytes().saturating_mul(2)) {
        anyhow::bail!(
            "zram of {size} does not fit in {} of memory even when compressed to half; write a smaller --size",
            machine.memory
        );
    }
    let mut added = None;
    let (device, mut steps) = match free_device(machine) {
        Some(name) => (name, Vec::new()),
        None if machine.root.join(CONTROL).exists() => {
            // Reading the file adds a device, mostly the one with the lowest free number, and prints its number.
            let number = next_number(machine);
            added = Some(number);
            (format!("zram{number}"), vec![step(&["cat", &format!("/{CONTROL}/hot_add")])])
        }
        None => ("zram0".to_owned(), vec![step(&["modprobe", "zram", "num_devices=1"])]),
    };
    let device = format!("/dev/{device}");
    let mut clean_up = vec![step(&["zramctl", "--reset", &device])];
    clean_up.extend(added.map(|number| step(&["sh", "-c", &remove(number)])));
    let bytes = size.bytes().to_string();
    let mut make = step(&["zramctl", &device, "--size", &bytes]);
    let has_algorithm = has_algorithm(machine, &device);
    if has_algorithm {
        make.extend(step(&["--algorithm", ALGORITHM]));
    }
    steps.extend([
        make,
        step(&["mkswap", &device]),
        step(&["swapon", "--priority", PRIORITY, &device]),
    ]);
    let algorithm = if has_algorithm { "`compression-algorithm = lz4`, " } else { "" };
    Ok(Script {
        title: format!("compressed swap of {size} in memory ({device})"),
        warnings: vec![
            "zram is memory: components in it take about half of their bytes there, and the budget counts that".to_owned(),
        ],
        steps,
        clean_up,
        permanent: format!(
            "install systemd-zram-generator and write `[zram0]`, `zram-size = {}`, {algorithm}`swap-priority = {PRIORITY}` as lines of \
             /etc/systemd/zram-generator.conf",
            size.bytes() >> 20
        ),
        undo: match added {
            Some(number) => format!("{} && {}", undo(&device), remove(number)),
            None => undo(&device),
        },
        estimated: added,
    })
}

/// The command that removes a device that was added.
fn remove(number: u32) -> String {
    format!("echo {number} > /{CONTROL}/hot_remove")
}

fn undo(device: &str) -> String {
    format!("swapoff {device} && zramctl --reset {device}")
}

/// A device that is there and not in use.
fn free_device(machine: &Machine) -> Option<String> {
    let entries = fs::read_dir(machine.root.join("sys/block")).ok()?;
    let mut names: Vec<_> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("zram"))
        .filter(|name| {
            let size = machine.root.join(format!("sys/block/{name}/disksize"));
            fs::read_to_string(size).is_ok_and(|size| size.trim() == "0")
        })
        .collect();
    names.sort();
    names.into_iter().next()
}

fn next_number(machine: &Machine) -> u32 {
    let name = |number: &u32| format!("zram{number}");
    let is_free = |number: &u32| !machine.root.join("sys/block").join(name(number)).exists();
    (0..).find(is_free).unwrap_or(0)
}

/// Whether the device has the algorithm; one that is not there yet is made by the kernel's module, which mostly has.
fn has_algorithm(machine: &Machine, device: &str) -> bool {
    let name = device.trim_start_matches("/dev/");
    let path = machine.root.join(format!("sys/block/{name}/comp_algorithm"));
    let Ok(text) = fs::read_to_string(path) else { return false };
    text.split_ascii_whitespace().any(|word| word.trim_matches(['[', ']']) == ALGORITHM)
}

#[cfg(test)]
mod tests {
    use majordomo::Swap;

    use super::*;

    fn machine(name: &str, files: &[(&str, &str)]) -> Machine {
        let root =
            std::env::temp_dir().join(format!("majordomo-zram-{}-{name}", std::process::id()));
        for (file, text) in files {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), text).unwrap();
        }
        Machine { root, memory: ByteSize::gib(4), swap: Swap::default() }
    }

    fn typed(machine: &Machine, size: Option<ByteSize>) -> Vec<String> {
        let script = script(machine, size).unwrap();
        script.steps.iter().map(|step| super::super::script::shell(step)).collect()
    }

    #[test]
    fn free_device_is_taken_with_the_fast_algorithm() {
        let machine = machine(
            "free",
            &[
                ("sys/block/zram0/disksize", "1048576\n"),
                ("sys/block/zram1/disksize", "0\n"),
                ("sys/block/zram1/comp_algorithm", "[lzo-rle] lzo lz4\n"),
            ],
        );
        let steps = typed(&machine, None);
        assert_eq!(
            steps,
            [
                "zramctl /dev/zram1 --size 2147483648 --algorithm lz4",
                "mkswap /dev/zram1",
                "swapon --priority 100 /dev/zram1"
            ]
        );
        let _ = fs::remove_dir_all(&machine.root);
    }

    #[test]
    fn module_is_loaded_where_no_device_is_free_and_sizes_are_checked() {
        let machine = machine("none", &[("sys/block/sda/size", "1\n")]);
        assert_eq!(typed(&machine, None)[0], "modprobe zram num_devices=1");
        let refused = |size| script(&machine, Some(size)).unwrap_err().to_string();
        assert!(refused(ByteSize::gib(9)).contains("does not fit in 4 GiB"));
        assert!(refused(ByteSize::mib(1)).contains("at least 64 MiB"));
        // The kernel has zram, and all devices are in use, or were removed.
        fs::create_dir_all(machine.root.join(CONTROL)).unwrap();
        fs::create_dir_all(machine.root.join("sys/block/zram0")).unwrap();
        let steps = typed(&machine, None);
        let first = ["cat /sys/class/zram-control/hot_add", "zramctl /dev/zram1 --size 2147483648"];
        assert_eq!(steps[..2], first);
        let script = script(&machine, None).unwrap();
        let removed = "echo 1 > /sys/class/zram-control/hot_remove";
        assert!(script.undo.ends_with(removed), "{}", script.undo);
        assert!(script.clean_up.iter().any(|s| s.last().is_some_and(|word| word == removed)));
        let _ = fs::remove_dir_all(&machine.root);
    }
}
