//! `completions` and `man`: what shells and `man` want to know of the arguments.

use std::path::Path;

use clap::CommandFactory;

use crate::args::Args;
use crate::print;

/// Prints the script that completes arguments in a shell.
pub(crate) fn completions(shell: clap_complete::Shell) {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "majordomo", &mut out);
    print::file(&String::from_utf8_lossy(&out));
}

/// Writes a manual page for the program and for each of its commands into a folder.
pub(crate) fn man(dir: &Path) -> anyhow::Result<()> {
    let failed = |e: std::io::Error| anyhow::anyhow!("{}: {e}", dir.display());
    if dir.exists() && !dir.is_dir() {
        anyhow::bail!("{} is a file; name a folder for the pages", dir.display());
    }
    std::fs::create_dir_all(dir).map_err(failed)?;
    let mut command = Args::command();
    // The options of every command belong to every page.
    command.build();
    clap_mangen::generate_to(command, dir).map_err(failed)?;
    print::line(&format!("read them with: man -l {}", dir.join("majordomo.1").display()));
    Ok(())
}
