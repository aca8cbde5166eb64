//! Stand-ins for a test of `assistant day` without other programs: a server that is started as
//! `majordomo serve` is, and a component that answers each request with its own body.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use majordomo::{GuardForm, Manager};
use majordomo_server::ServeOptions;
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `serve`.
#[derive(clap::Args)]
pub(crate) struct ServeArgs {
    configuration: PathBuf,
    #[arg(long)]
    state_dir: PathBuf,
    #[arg(long)]
    socket: PathBuf,
}

/// Arguments of `answer`.
#[derive(clap::Args)]
pub(crate) struct AnswerArgs {
    port: u16,
    /// Memory to touch, MiB
    #[arg(long, default_value_t = 1)]
    mib: usize,
}

/// Serves a configuration until SIGTERM.
pub(crate) fn serve(args: &ServeArgs) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut end = signal(SignalKind::terminate())?;
        let manager = Manager::builder()
            .config_file(&args.configuration)
            .state_dir(&args.state_dir)
            .guard(GuardForm::this_program()?)
            .start()
            .await?;
        let options = ServeOptions { socket: Some(args.socket.clone()), ..ServeOptions::default() };
        let server = majordomo_server::serve(manager, options).await?;
        end.recv().await;
        server.shutdown(None).await;
        Ok(())
    })
}

/// Answers until it is ended.
pub(crate) fn answer(args: &AnswerArgs) -> ExitCode {
    let mut memory = vec![0u8; args.mib << 20];
    memory.iter_mut().step_by(4096).for_each(|page| *page = 1);
    let listener = match TcpListener::bind(("127.0.0.1", args.port)) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("port {}: {error}", args.port);
            return ExitCode::FAILURE;
        }
    };
    for stream in listener.incoming().flatten() {
        // A client that disconnects concerns no other one.
        let _ = reply(stream);
    }
    std::hint::black_box(&memory);
    ExitCode::SUCCESS
}

fn reply(stream: TcpStream) -> anyhow::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().context("a length is a number")?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut stream = stream;
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&body)?;
    Ok(())
}
