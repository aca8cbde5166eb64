//! `serve`: components behind a socket until a signal.

use std::path::PathBuf;
use std::process::ExitCode;

use majordomo::{GuardForm, Manager};
use majordomo_server::ServeOptions;

use crate::args::ServeArgs;
use crate::plan::start;
use crate::print;
use crate::signals::Interrupts;

pub(crate) async fn run(
    args: ServeArgs,
    socket: Option<PathBuf>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut builder = Manager::builder()
        .config_file(&args.config)
        .guard(GuardForm::this_program()?)
        .adopt_strays();
    if let Some(dir) = &args.state_dir {
        builder = builder.state_dir(dir);
    }
    let mut interrupts = Interrupts::new()?;
    let manager = match start(builder, json).await? {
        Ok(manager) => manager,
        Err(code) => return Ok(code),
    };
    let options = ServeOptions { socket, ..ServeOptions::default() };
    let server = match majordomo_server::serve(manager.clone(), options).await {
        Ok(server) => server,
        Err(error) => {
            manager.shutdown(None).await;
            return Err(error.into());
        }
    };
    if json {
        print::json(&serde_json::json!({ "socket": server.socket(), "pid": std::process::id() }));
    } else {
        print::line(&format!("listening at {}", server.socket().display()));
    }
    interrupts.next().await;
    print::note("stopping (once more to hasten)");
    let stuck = tokio::select! {
        stuck = server.shutdown(None) => stuck,
        () = interrupts.next() => server.shutdown(None).await,
    };
    for id in &stuck {
        print::error(&format!("{id} could not be stopped"));
    }
    Ok(if stuck.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
