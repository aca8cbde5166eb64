//! `majordomo-lab readiness`: the time from the moment at which a program is ready to the moment at which a demand for it is
//! answered.
//!
//! Programs of a known start-up time record when their port is open, by the clock that all processes share. The manager runs
//! in this process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use majordomo::{GuardForm, Manager};
use rustix::time::{ClockId, clock_gettime};

/// Arguments of `readiness`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Start-up times of the programs, in milliseconds
    #[arg(long, value_delimiter = ',', default_values_t = [50, 500, 3000])]
    start_ms: Vec<u64>,
    /// Loads of each
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(2..))]
    loads: u32,
}

/// Arguments of the program that opens its port late.
#[derive(clap::Args)]
pub(crate) struct LateArgs {
    port: u16,
    start_ms: u64,
    /// The file for the time at which the port was open
    record: PathBuf,
}

/// Nanoseconds of the clock that all processes share.
fn clock() -> u128 {
    let now = clock_gettime(ClockId::Monotonic);
    u128::from(now.tv_sec.unsigned_abs()) * 1_000_000_000 + u128::from(now.tv_nsec.unsigned_abs())
}

/// Sleeps, opens the port, records the time and answers each connection with 200.
#[expect(clippy::disallowed_methods, reason = "the start-up of this program is a sleep")]
pub(crate) fn late(args: &LateArgs) -> anyhow::Result<()> {
    std::thread::sleep(Duration::from_millis(args.start_ms));
    let listener = std::net::TcpListener::bind(("127.0.0.1", args.port))?;
    let open = clock();
    // Renamed, so that a reader finds it whole.
    let part = args.record.with_extension("part");
    std::fs::write(&part, open.to_string())?;
    std::fs::rename(part, &args.record)?;
    for stream in listener.incoming() {
        use std::io::{Read as _, Write as _};
        let mut stream = stream?;
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
    Ok(())
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let dir = std::env::temp_dir().join(format!("majordomo-readiness-{}", std::process::id()));
    std::fs::create_dir_all(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let measured = runtime.block_on(measure(args, &dir));
    // A folder that cannot be removed does no harm.
    let _ = std::fs::remove_dir_all(&dir);
    measured
}

/// The time that a program recorded, once it has: it is reached before it records that.
async fn recorded(record: &Path) -> anyhow::Result<u128> {
    let mut tries = 0;
    loop {
        match std::fs::read_to_string(record) {
            Err(_) if tries < 1000 => tokio::time::sleep(Duration::from_millis(5)).await,
            text => return Ok(text?.parse()?),
        }
        tries += 1;
    }
}

async fn measure(args: &Args, dir: &Path) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    let mut text = String::new();
    let mut rows = Vec::new();
    for &ms in &args.start_ms {
        for (how, ready) in [("connect", "\"connect\""), ("http", "{ http = \"/\" }")] {
            let (name, record) = (format!("{how}-{ms}"), dir.join(format!("{how}-{ms}")));
            text += &format!(
                "[components.{name}]\ncommand = [{program:?}, \"late\", \"{{port}}\", \"{ms}\", {record:?}]\nready = {ready}\n"
            );
            rows.push((name, record));
        }
    }
    let file = dir.join("readiness.toml");
    std::fs::write(&file, text)?;
    let manager = Manager::builder()
        .config_file(&file)
        .state_dir(dir.join("state"))
        .guard(GuardForm::this_program()?)
        .start()
        .await?;
    println!("{:<14} {:>10} {:>10} {:>10} {:>10}", "program", "first", "median", "95 %", "longest");
    for (name, record) in &rows {
        let mut late = Vec::new();
        for _ in 0..args.loads {
            manager.operator().load(name).await?;
            let answered = clock();
            let ready = recorded(record).await?;
            late.push(answered.saturating_sub(ready) as f64 / 1e6);
            manager.operator().unload(name, false).await?;
            std::fs::remove_file(record)?;
        }
        let first = late[0];
        late.sort_by(f64::total_cmp);
        let at = |share: f64| late[((late.len() - 1) as f64 * share).round() as usize];
        println!(
            "{name:<14} {first:>7.1} ms {:>7.1} ms {:>7.1} ms {:>7.1} ms",
            at(0.5),
            at(0.95),
            at(1.0)
        );
    }
    manager.shutdown(None).await;
    Ok(())
}
