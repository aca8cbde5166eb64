//! The server that is put under load, in a process of its own: one component that is always ready, one that is heavy.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use majordomo::{ByteSize, ComponentSpec, GuardForm, LoaderSpec, Manager, ProcessSpec, ReadySpec};
use majordomo_server::ServeOptions;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::held::Held;

/// Arguments of `load-server`.
#[derive(clap::Args)]
pub(crate) struct ServerArgs {
    #[arg(long)]
    dir: PathBuf,
    #[arg(long)]
    socket: PathBuf,
}

/// Starts the server in a cgroup, if there is one, and waits until it is up.
pub(super) async fn start(dir: &Path, socket: &Path, held: Option<&Held>) -> anyhow::Result<Child> {
    // A group is joined before anything is done.
    let script = "if [ -n \"$1\" ]; then echo $$ >\"$1\" || exit 1; fi; shift; exec \"$@\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "sh"]).arg(held.map(Held::members).unwrap_or_default());
    command
        .arg(std::env::current_exe()?)
        .arg("load-server")
        .arg("--dir")
        .arg(dir)
        .arg("--socket")
        .arg(socket);
    // Its end follows from ours: it serves as long as standard input is open.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().context("the server cannot be started")?;
    let mut up = [0u8; 3];
    let stdout = child.stdout.as_mut().context("the server has no output")?;
    timeout(Duration::from_secs(30), stdout.read_exact(&mut up))
        .await
        .context("the server does not come up")?
        .context("the server ended at once")?;
    Ok(child)
}

/// Is the server that is put under load, until standard input ends.
pub(crate) fn serve(args: &ServerArgs) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(served(args));
    runtime.shutdown_background();
    result
}

async fn served(args: &ServerArgs) -> anyhow::Result<()> {
    let program = std::env::current_exe()?.display().to_string();
    let command = ["component", "--mib=64", "--load-ms=20"].map(str::to_owned);
    let mut heavy = ComponentSpec::process("heavy", &[])?;
    heavy.loader = LoaderSpec::Process(ProcessSpec {
        command: std::iter::once(program).chain(command).collect(),
        ready: ReadySpec::Stdout("ready".to_owned()),
        ..ProcessSpec::default()
    });
    heavy.memory = ByteSize::mib(72);
    let mut hot = ComponentSpec::builtin("hot")?;
    hot.memory = ByteSize::mib(1);
    let manager = Manager::builder()
        .budget(ByteSize::mib(256))
        .pressure(None)
        .state_dir(args.dir.join("state"))
        .guard(GuardForm::this_program()?)
        .component(hot)
        .builtin(heavy, |_| Ok(()))
        .start()
        .await?;
    let options = ServeOptions { socket: Some(args.socket.clone()), ..ServeOptions::default() };
    let server = majordomo_server::serve(manager, options).await?;
    use std::io::Write as _;
    writeln!(std::io::stdout(), "up").context("standard output has no reader")?;
    let ended =
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    ended.await??;
    server.shutdown(None).await;
    Ok(())
}
