//! `majordomo-lab footprint`: the memory of the manager itself, with a number of components and a learned model.
//!
//! Runs the product's program (`majordomo serve`) on components that do nothing, teaches it texts, and reads the
//! kernel's account of the process: fresh, after a start with a learned state, at its highest while it retrains, and at
//! rest. Proportional set size (PSS), with the part in memory of its own and the part of mapped files. Linux only.

mod account;
mod server;
pub(crate) mod texts;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use majordomo_core::ByteSize;

use account::Account;
use server::Served;

/// Arguments of `footprint`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Components of the configuration
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(2..=1000))]
    components: u32,
    /// Outcomes that the model is trained on
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(20..=10_000))]
    outcomes: u32,
    /// Learn the texts of this table, as `majordomo learn` reads it, instead of made-up ones
    #[arg(long)]
    texts: Option<PathBuf>,
    /// The program; without it, the one beside this program
    #[arg(long)]
    program: Option<PathBuf>,
    /// Fail when the memory at rest exceeds this, in MiB
    #[arg(long)]
    rest: Option<u64>,
    /// Fail when the memory while retraining exceeds this, in MiB
    #[arg(long)]
    peak: Option<u64>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let program = match &args.program {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("majordomo"),
    };
    ensure!(
        program.exists(),
        "{} is not there; build it with `cargo build --release --package majordomo-cli`",
        program.display()
    );
    let rows = texts::rows(args)?;
    let dir = std::env::temp_dir().join(format!("majordomo-footprint-{}", std::process::id()));
    std::fs::create_dir_all(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(async {
        tokio::select! {
            measured = measure(&program, &dir, &rows) => measured,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        }
    });
    // A folder that cannot be removed does no harm.
    let _ = std::fs::remove_dir_all(&dir);
    let Measured { n_kept, rows, rest, peak } = measured?;
    println!("{n_kept} outcomes of {} components, {}", rows.components.len(), program.display());
    let bounds = [("at rest", rest, args.rest), ("while retraining", peak, args.peak)];
    for (when, pss, bound) in bounds {
        if let Some(bound) = bound.map(ByteSize::mib) {
            ensure!(pss <= bound, "{pss} {when} exceed the bound of {bound}");
        }
    }
    Ok(())
}

/// The texts that are taught: components by name, and pairs of a component and a text.
pub(crate) struct Rows {
    components: Vec<String>,
    taught: Vec<(String, String)>,
    /// Taught to the running server, so that it retrains.
    later: Vec<(String, String)>,
}

struct Measured<'a> {
    n_kept: u64,
    rows: &'a Rows,
    rest: ByteSize,
    peak: ByteSize,
}

async fn measure<'a>(
    program: &std::path::Path,
    dir: &std::path::Path,
    rows: &'a Rows,
) -> anyhow::Result<Measured<'a>> {
    println!("{:<34} {:>9} {:>9} {:>9}", "", "PSS", "own", "files");
    let fresh = Served::start(program, dir, rows).await?;
    show("fresh", &fresh.at_rest().await?);
    fresh.stop().await?;
    server::learn(program, dir, rows).await?;
    let served = Served::start(program, dir, rows).await?;
    show("started with a learned state", &served.at_rest().await?);
    let peak = served.retrain(&rows.later).await?;
    show("while it retrains, at its highest", &peak);
    let rest = served.at_rest().await?;
    show("at rest", &rest);
    for (name, pss) in served.mappings()? {
        println!("  {name:<32} {:>9}", mib(pss));
    }
    let n_kept = served.figure("outcomes_kept").await?.as_u64().unwrap_or_default();
    served.stop().await?;
    Ok(Measured { n_kept, rows, rest: rest.pss, peak: peak.pss })
}

fn show(when: &str, account: &Account) {
    let Account { pss, own, files } = *account;
    println!("{when:<34} {:>9} {:>9} {:>9}", mib(pss), mib(own), mib(files));
}

fn mib(bytes: ByteSize) -> String {
    format!("{:.1} MiB", bytes.0 as f64 / f64::from(1 << 20))
}
