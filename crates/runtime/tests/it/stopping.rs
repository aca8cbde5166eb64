//! Requests to stop that come before TERM.

use std::process::Command;

use libtest_mimic::Trial;
use majordomo_registry::{ProcessSpec, ReadySpec, StopSignal, StopSpec};
use majordomo_runtime::guard::GuardForm;
use majordomo_runtime::process::{Exit, ProcessError, look_up};

use crate::eventually::eventually;
use crate::support::{
    DEADLINE, Dir, add_async, context, hidden, lives, loader, log_text, read_pid, spec,
};

pub(crate) fn tests(tests: &mut Vec<Trial>) {
    for (form, name) in [(GuardForm::Shell, "shell"), (hidden(), "hidden")] {
        let name = format!("stopping::{name}::command_ends_the_program_before_term");
        add_async(tests, &name, || command_ends_the_program_before_term(form));
    }
    macro_rules! add {
        ($($test:ident)*) => {$(
            add_async(tests, concat!("stopping::", stringify!($test)), $test);
        )*};
    }
    add! {
        term_follows_a_command_that_fails
        term_follows_after_half_of_the_deadline_and_ends_the_command
        command_may_finish_after_the_program_has_ended
        path_is_posted
        signal_is_sent_to_the_first_process
        missing_program_of_the_command_is_reported_before_the_start
        load_that_is_cancelled_is_stopped_by_term
    }
    // The mark, by which such a process is found, is Linux's.
    if cfg!(target_os = "linux") && Command::new("setsid").arg("true").status().is_ok() {
        add!(process_of_a_command_that_leaves_its_process_group_ends_with_the_program);
    }
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        add!(path_is_posted_only_where_the_program_was_ready);
    }
}

/// Ends with code 6 when there is the file `go`, and with 7 at TERM.
const PROGRAM: &str = "trap 'exit 7' TERM; echo up; while [ ! -e go ]; do sleep 0.02; done; exit 6";

/// The program in a folder, with a command that asks it to end.
fn program(dir: &Dir, stop: &str) -> ProcessSpec {
    let command = ["/bin/sh", "-c", stop].map(str::to_owned).to_vec();
    ProcessSpec::new(["/bin/sh", "-c", PROGRAM])
        .cwd(&dir.0)
        .variable("WORD", "from the environment")
        .ready(ReadySpec::Stdout("up".into()))
        .stop(StopSpec::Command(command))
}

async fn command_ends_the_program_before_term(form: GuardForm) {
    let dir = Dir::new();
    let loader = loader(&dir, form).await;
    let mut program = program(&dir, "echo \"$WORD at $0\"; echo quiet >&2; : >go");
    program.port = Some(free_port());
    if let Some(StopSpec::Command(command)) = &mut program.stop {
        command.push("{port}".to_owned());
    }
    let (port, ctx) = (program.port.unwrap(), context(program));
    let process = loader.start(ctx.clone()).await.unwrap();
    assert_eq!(process.stop(DEADLINE * 4).await.unwrap(), Exit::Code(6));
    let log = log_text(&ctx.logs);
    for line in [&*format!("from the environment at {port}"), "quiet"] {
        assert!(log.iter().any(|l| l == line), "{log:?}");
    }
    assert!(!log.iter().any(|l| l.contains("TERM")), "{log:?}");
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn term_follows_a_command_that_fails() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let ctx = context(program(&dir, "echo no >&2; exit 3"));
    let process = loader.start(ctx.clone()).await.unwrap();
    // TERM does not wait for half of the deadline.
    assert_eq!(process.stop(DEADLINE * 40).await.unwrap(), Exit::Code(7));
    let want = "the request to stop failed: its command ended with code 3; sending TERM";
    let log = log_text(&ctx.logs);
    assert!(log.iter().any(|l| l == want) && log.iter().any(|l| l == "no"), "{log:?}");
}

async fn term_follows_after_half_of_the_deadline_and_ends_the_command() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let ctx = context(program(&dir, "trap '' TERM; echo $$ >pid; sleep 1000; :"));
    let process = loader.start(ctx.clone()).await.unwrap();
    assert_eq!(process.stop(DEADLINE).await.unwrap(), Exit::Code(7));
    let want = "did not end after the request to stop; sending TERM";
    assert!(log_text(&ctx.logs).iter().any(|l| l == want), "{:?}", log_text(&ctx.logs));
    let pid = read_pid(&dir.path("pid"));
    eventually(DEADLINE, "the end of the command", || !lives(pid));
}

async fn process_of_a_command_that_leaves_its_process_group_ends_with_the_program() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let ctx = context(program(&dir, "setsid sleep 1000 & echo $! >pid; : >go"));
    let process = loader.start(ctx).await.unwrap();
    assert_eq!(process.stop(DEADLINE * 4).await.unwrap(), Exit::Code(6));
    let pid = read_pid(&dir.path("pid"));
    eventually(DEADLINE, "the end of the process", || !lives(pid));
}

async fn command_may_finish_after_the_program_has_ended() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let ctx = context(program(&dir, ": >go; sleep 0.3; : >finished"));
    let process = loader.start(ctx).await.unwrap();
    assert_eq!(process.stop(DEADLINE * 4).await.unwrap(), Exit::Code(6));
    assert!(dir.path("finished").exists());
}

async fn path_is_posted() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    for (code, exit) in [("204", Exit::Code(5)), ("none", Exit::Code(5)), ("500", Exit::Signal(15))]
    {
        let program = spec(&["shutdown", "127.0.0.1", "{port}", code], ReadySpec::Connect)
            .stop(StopSpec::Http("/shutdown".into()));
        let ctx = context(program);
        let process = loader.start(ctx.clone()).await.unwrap();
        assert_eq!(process.stop(DEADLINE * 4).await.unwrap(), exit);
        let log = log_text(&ctx.logs);
        let want = "the request to stop failed: POST /shutdown: it answered 500 instead of 2xx; sending TERM";
        assert_eq!(log.iter().any(|l| l == want), code == "500", "{log:?}");
        assert_eq!(log.iter().any(|l| l.contains("TERM")), code == "500", "{log:?}");
    }
}

async fn path_is_posted_only_where_the_program_was_ready() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let program = spec(&["shutdown", "::1", "{port}", "204"], ReadySpec::Connect)
        .stop(StopSpec::Http("/shutdown".into()));
    let process = loader.start(context(program)).await.unwrap();
    let port = process.endpoint().port.unwrap();
    let another = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    another.set_nonblocking(true).unwrap();
    assert_eq!(process.stop(DEADLINE * 4).await.unwrap(), Exit::Code(5));
    let asked = another.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(asked, Err(std::io::ErrorKind::WouldBlock));
}

async fn signal_is_sent_to_the_first_process() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let script = "trap 'exit 8' INT; trap 'exit 7' TERM; echo up; while :; do sleep 0.02; done";
    let program = ProcessSpec::new(["/bin/sh", "-c", script])
        .ready(ReadySpec::Stdout("up".into()))
        .stop(StopSpec::Signal(StopSignal::Int));
    let process = loader.start(context(program)).await.unwrap();
    assert_eq!(process.stop(DEADLINE * 4).await.unwrap(), Exit::Code(8));
}

async fn missing_program_of_the_command_is_reported_before_the_start() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let stop = StopSpec::Command(vec!["no-such-program".to_owned()]);
    let ctx = context(program(&dir, "").stop(stop));
    let looked = look_up(&ctx.component, &ctx.spec, &ctx.base_dir).unwrap_err();
    let started = loader.start(ctx).await.unwrap_err();
    for error in [looked, started] {
        assert!(matches!(error, ProcessError::NotFound { .. }), "{error}");
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }
}

async fn load_that_is_cancelled_is_stopped_by_term() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let ctx = context(program(&dir, "echo asked; : >go").ready(ReadySpec::Stdout("never".into())));
    let (cancel, cancelled) = tokio::sync::watch::channel(None);
    let load = loader.start_unless(ctx.clone(), cancelled);
    let (outcome, ()) = tokio::join!(load, async {
        crate::eventually::until(|| log_text(&ctx.logs).contains(&"up".to_owned())).await;
        cancel.send_replace(Some(DEADLINE * 4));
    });
    assert!(matches!(outcome, Err(ProcessError::Cancelled { .. })), "{outcome:?}");
    assert!(!dir.path("go").exists(), "{:?}", log_text(&ctx.logs));
}
