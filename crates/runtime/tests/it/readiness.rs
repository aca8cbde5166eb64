//! When a program counts as up, and how it is reached.

use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use majordomo_core::LoadStage;
use majordomo_registry::{ProbeRule, ProbeSpec, ProcessSpec, ReadySpec};
use majordomo_runtime::guard::GuardForm;
use majordomo_runtime::process::{Exit, ProcessConfig, ProcessError, ProcessLoader};

use crate::support::{DEADLINE, Dir, add_async, context, loader, log_text, spec};

pub(crate) fn tests(tests: &mut Vec<Trial>) {
    add_async(tests, "readiness::ready_by_connection_and_http", ready_by_connection_and_http);
    add_async(
        tests,
        "readiness::answer_in_parts_is_read_to_its_end",
        answer_in_parts_is_read_to_its_end,
    );
    add_async(
        tests,
        "readiness::stages_of_a_load_are_recorded_in_order",
        stages_of_a_load_are_recorded_in_order,
    );
    add_async(tests, "readiness::ready_on_a_socket", ready_on_a_socket);
    add_async(tests, "readiness::a_taken_port_is_tried_once_more", a_taken_port_is_tried_once_more);
    add_async(tests, "readiness::started_means_executed", started_means_executed);
    add_async(
        tests,
        "readiness::stdout_text_without_a_line_end_counts",
        stdout_text_without_a_line_end_counts,
    );
    add_async(
        tests,
        "readiness::text_on_stderr_is_named_in_the_failure",
        text_on_stderr_is_named_in_the_failure,
    );
    add_async(
        tests,
        "readiness::exit_with_code_0_is_advised_to_stay_in_the_foreground",
        exit_with_code_0_is_advised_to_stay_in_the_foreground,
    );
    add_async(
        tests,
        "readiness::program_that_prints_its_ready_text_and_exits_was_ready",
        program_that_prints_its_ready_text_and_exits_was_ready,
    );
}

async fn ready_by_connection_and_http() {
    let dir = Dir::new();
    let loader = loader(&dir, GuardForm::Shell).await;
    for (ready, answers) in
        [(ReadySpec::Connect, "200"), (ReadySpec::Http("/health".into()), "503,404,200")]
    {
        let mut spec = spec(&["http", "{port}", answers, "200,500,hang"], ready);
        spec.probe = Some(ProbeSpec {
            how: ReadySpec::Http("health".into()),
            every: DEADLINE,
            timeout: Duration::from_millis(300),
            rule: ProbeRule::default(),
        });
        let process = loader.start(context(spec)).await.unwrap();
        assert!(process.endpoint().port.is_some() && process.endpoint().socket.is_none());
        // With readiness by connection the one 200 before the turn is still to come.
        if process.probe().await.is_ok() {
            while process.probe().await.is_ok() {}
        }
        let hung = process.probe().await.unwrap_err().to_string();
        assert!(hung.contains("no answer within 300ms"), "{hung}");
        process.stop(DEADLINE).await.unwrap();
    }
}

async fn stages_of_a_load_are_recorded_in_order() {
    use LoadStage::{FirstOutput, PortOpen, Ready, Spawn};
    let dir = Dir::new();
    let loader = loader(&dir, GuardForm::Shell).await;
    let by_http = spec(&["http", "{port}", "503,404", "200"], ReadySpec::Http("/health".into()));
    let by_text = spec(&["say", "up"], ReadySpec::Stdout("up".into()));
    for (spec, stages) in
        [(by_http, [Spawn, PortOpen, Ready]), (by_text, [Spawn, FirstOutput, Ready])]
    {
        let ctx = context(spec);
        let clock = Arc::clone(&ctx.clock);
        let process = loader.start(ctx).await.unwrap();
        let (reached, times): (Vec<_>, Vec<_>) = clock.stages().into_iter().unzip();
        assert_eq!(reached, stages);
        assert!(times.is_sorted(), "{times:?}");
        process.stop(DEADLINE).await.unwrap();
    }
}

async fn answer_in_parts_is_read_to_its_end() {
    let dir = Dir::new();
    let loader = loader(&dir, GuardForm::Shell).await;
    let mut spec = spec(&["parts", "{port}"], ReadySpec::Http("/".into()));
    spec.probe =
        Some(ProbeSpec { timeout: DEADLINE, ..ProbeSpec::new(ReadySpec::Http("/".into())) });
    let process = loader.start(context(spec)).await.unwrap();
    for _ in 0..20 {
        process.probe().await.unwrap();
    }
    assert_eq!(process.exited(), None);
    process.stop(DEADLINE).await.unwrap();
}

async fn ready_on_a_socket() {
    let dir = Dir::new();
    let loader = loader(&dir, GuardForm::Shell).await;
    let process =
        loader.start(context(spec(&["unix", "{socket}"], ReadySpec::Connect))).await.unwrap();
    let socket = process.endpoint().socket.clone().unwrap();
    assert!(socket.exists());
    process.stop(DEADLINE).await.unwrap();
    assert!(!socket.exists(), "a socket is removed with its incarnation");

    let deep = Dir::new();
    let mut long = deep.0.clone();
    for _ in 0..10 {
        long.push("a-rather-long-name");
    }
    let config = ProcessConfig::new(long);
    let loader = ProcessLoader::new(config, loader.guard().clone());
    let error =
        loader.start(context(spec(&["unix", "{socket}"], ReadySpec::Connect))).await.unwrap_err();
    assert!(error.to_string().contains("use a shorter state directory"), "{error}");
}

async fn a_taken_port_is_tried_once_more() {
    let dir = Dir::new();
    let loader = loader(&dir, GuardForm::Shell).await;
    let (once, twice) = (dir.path("once"), dir.path("twice"));
    let words = ["bind", "{port}", once.to_str().unwrap(), "1"];
    let process = loader.start(context(spec(&words, ReadySpec::Connect))).await.unwrap();
    process.stop(DEADLINE).await.unwrap();
    assert_eq!(std::fs::read_to_string(&once).unwrap().len(), 2);

    let words = ["bind", "{port}", twice.to_str().unwrap(), "9"];
    let error = loader.start(context(spec(&words, ReadySpec::Connect))).await.unwrap_err();
    assert!(matches!(error, ProcessError::ExitedEarly { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&twice).unwrap().len(), 2, "tried twice, not for ever");
}

async fn started_means_executed() {
    let dir = Dir::new();
    let loader = loader(&dir, GuardForm::Shell).await;
    let process = loader.start(context(spec(&["say", "x"], ReadySpec::Started))).await.unwrap();
    let out = std::process::Command::new("ps")
        .args(["-o", "args=", "-p", &process.process_group().pgid.to_string()])
        .output()
        .unwrap();
    let args = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(args.contains("__helper say x") && !args.contains("__exec"), "{args}");
    process.stop(DEADLINE).await.unwrap();
}

fn script(text: &str, ready: &str) -> ProcessSpec {
    ProcessSpec {
        command: ["/bin/sh", "-c", text].map(str::to_owned).to_vec(),
        ready: ReadySpec::Stdout(ready.into()),
        ..ProcessSpec::default()
    }
}

async fn stdout_text_without_a_line_end_counts() {
    let dir = Dir::new();
    let loader = loader(&dir, GuardForm::Shell).await;
    for (script_text, ready) in [
        ("printf 'plain\\nEnter password: '; exec sleep 1000", "Enter password:"),
        ("printf '\\rloading 1%%\\rloading 100%%'; exec sleep 1000", "100%"),
        // One character in two writes, and the text after 200 kB in the same line.
        ("printf 'ger\\303'; sleep 0.2; printf '\\244t da'; exec sleep 1000", "gerät da"),
        ("head -c 200000 /dev/zero | tr '\\0' x; printf READY; exec sleep 1000", "READY"),
    ] {
        let ctx = context(script(script_text, ready));
        let process = loader.start(ctx.clone()).await.unwrap();
        process.stop(DEADLINE).await.unwrap();
        let log = log_text(&ctx.logs);
        assert!(log.iter().any(|line| line.contains(ready)), "{log:?}");
    }
}

async fn text_on_stderr_is_named_in_the_failure() {
    let dir = Dir::new();
    let loader = loader(&dir, GuardForm::Shell).await;
    let seen = "\"up now\" was seen on its standard error";
    let error = loader.start(context(script("echo it is up now >&2; exit 3", "up now"))).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains(seen), "{error}");
    let mut ctx = context(script("echo it is up now >&2; exec sleep 1000", "up now"));
    ctx.deadline = Duration::from_secs(1);
    let error = loader.start(ctx).await.unwrap_err().to_string();
    assert!(error.contains(seen) && error.contains("was not ready within 1s"), "{error}");
    let error = loader.start(context(script("echo other >&2; exit 3", "up now"))).await;
    let error = error.unwrap_err().to_string();
    assert!(!error.contains("was seen") && !error.contains("foreground"), "{error}");
}

async fn exit_with_code_0_is_advised_to_stay_in_the_foreground() {
    let dir = Dir::new();
    let loader = loader(&dir, GuardForm::Shell).await;
    let mut started = script("exit 0", "");
    started.ready = ReadySpec::Started;
    for spec in [script("(sleep 1 &) ; exit 0", "up"), started] {
        let error = loader.start(context(spec)).await.unwrap_err().to_string();
        assert!(error.contains("must stay in the foreground"), "{error}");
    }
}

/// Not a load that failed, whether its text or its end is seen first.
async fn program_that_prints_its_ready_text_and_exits_was_ready() {
    let dir = Dir::new();
    let loader = loader(&dir, GuardForm::Shell).await;
    for round in 0..20 {
        let started = loader.start(context(script("echo up; exit 0", "up"))).await;
        let process = started.unwrap_or_else(|e| panic!("round {round}: {e}"));
        assert_eq!(process.wait_exit().await, Exit::Code(0));
    }
}
