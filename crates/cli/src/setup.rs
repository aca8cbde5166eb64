//! `setup swap` and `setup zram`: the commands that give a machine room for components that are paged out.
//!
//! Prints a script, and with `--yes` runs it. Changes nothing else: how to keep the swap over a restart, and how to undo it,
//! is printed. Linux only.

mod machine;
mod script;
mod swap_file;
mod zram;

use std::path::Path;
use std::process::ExitCode;

use majordomo::Swap;

use self::machine::Machine;
use crate::args::SetupPart;
use crate::exit::Exit;
use crate::print;

pub(crate) fn run(part: &SetupPart, json: bool) -> anyhow::Result<ExitCode> {
    if !cfg!(target_os = "linux") {
        anyhow::bail!("swap is set up on Linux only; this system manages its swap by itself");
    }
    let machine = Machine::read(Path::new("/"))?;
    let (mut script, yes) = match part {
        SetupPart::Swap { size, file, yes } => (swap_file::script(&machine, *size, file)?, *yes),
        SetupPart::Zram { size, yes } => (zram::script(&machine, *size)?, *yes),
    };
    if yes && !rustix::process::geteuid().is_root() {
        print::error("--yes needs root; run it with sudo, or print the commands without --yes");
        return Ok(Exit::Failure.into());
    }
    if yes {
        if let SetupPart::Swap { file, .. } = part {
            swap_file::check_folder(file)?;
        }
        script.run()?;
    }
    let swap = Swap::read(Path::new("/"))?;
    if json {
        print::json(&script.json(yes, &swap));
    } else {
        script.print(yes, &swap);
    }
    Ok(Exit::Success.into())
}
