//! Programs: how they come up, how they do not, and that nothing of them stays.

use std::future::poll_fn;
use std::os::unix::fs::PermissionsExt;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use libtest_mimic::Trial;
use majordomo_registry::{
    ProbeRule, ProbeSpec, ProcessSpec, ReadySpec, StdinMode, TrimSignal, TrimSpec,
};
use majordomo_runtime::guard::GuardForm;
use majordomo_runtime::process::{Exit, ProcessError};

use crate::eventually::{eventually, until};
use crate::support::{
    DEADLINE, Dir, add_async, context, hidden, lives, loader, log_text, read_pid, spec,
};

pub(crate) fn tests(tests: &mut Vec<Trial>) {
    macro_rules! both_forms {
        ($($test:ident)*) => {$(
            add_async(tests, concat!("process::shell::", stringify!($test)), || $test(GuardForm::Shell));
            add_async(tests, concat!("process::hidden::", stringify!($test)), || $test(hidden()));
        )*};
    }
    both_forms! {
        starts_and_stops has_a_session_of_its_own exits_at_once cannot_be_executed never_ready ignores_term has_children
        crashes_and_leaves_children cancelled_while_loading killed_while_running
        environment_and_empty_input held_input
    }
    add_async(tests, "process::bad_specifications", bad_specifications);
    #[cfg(target_os = "linux")]
    add_async(tests, "process::stray_descriptors_are_closed", stray_descriptors_are_closed);
    add_async(tests, "process::floods_its_output", floods_its_output);
    add_async(tests, "process::a_later_stop_hastens", a_later_stop_hastens);
    add_async(tests, "process::many_at_once", many_at_once);
    add_async(tests, "process::trim_sends_the_declared_signal", trim_sends_the_declared_signal);
    add_async(tests, "process::trim_posts_the_declared_path", trim_posts_the_declared_path);
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        add_async(
            tests,
            "process::program_is_reached_at_the_loopback_address_at_which_it_listens",
            program_is_reached_at_the_loopback_address_at_which_it_listens,
        );
        add_async(
            tests,
            "process::port_that_is_taken_at_ipv6_alone_is_refused",
            port_that_is_taken_at_ipv6_alone_is_refused,
        );
    }
    if cfg!(target_os = "linux") {
        add_async(
            tests,
            "process::trim_signal_is_not_sent_to_a_program_that_would_end_by_it",
            trim_signal_is_not_sent_to_a_program_that_would_end_by_it,
        );
    }
}

async fn program_is_reached_at_the_loopback_address_at_which_it_listens() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    for (ip, host) in [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")] {
        let mut spec = spec(&["listen", ip, "{port}"], ReadySpec::Connect);
        spec.probe = Some(ProbeSpec {
            how: ReadySpec::Connect,
            every: DEADLINE,
            timeout: DEADLINE,
            rule: ProbeRule::default(),
        });
        let process = loader.start(context(spec)).await.unwrap();
        let endpoint = process.endpoint().clone();
        let port = endpoint.port.unwrap();
        assert_eq!(endpoint.url().unwrap(), format!("http://{host}:{port}"));
        process.probe().await.unwrap();
        process.stop(DEADLINE).await.unwrap();
    }
}

async fn port_that_is_taken_at_ipv6_alone_is_refused() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let taken = std::net::TcpListener::bind("[::1]:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let spec = ProcessSpec {
        port: Some(port),
        ..spec(&["listen", "127.0.0.1", "{port}"], ReadySpec::Connect)
    };
    let error = loader.start(context(spec)).await.unwrap_err();
    assert!(matches!(error, ProcessError::PortTaken { .. }), "{error}");
}

async fn trim_sends_the_declared_signal() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let script = "trap 'echo trimmed' USR2; echo up; while :; do sleep 0.1; done";
    let ctx = context(ProcessSpec {
        command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        ready: ReadySpec::Stdout("up".into()),
        trim: Some(TrimSpec::Signal(TrimSignal::Usr2)),
        ..ProcessSpec::default()
    });
    let process = loader.start(ctx.clone()).await.unwrap();
    process.trim().await.unwrap();
    until(|| log_text(&ctx.logs).contains(&"trimmed".into())).await;
    process.stop(DEADLINE).await.unwrap();
    let error = process.trim().await.unwrap_err().to_string();
    assert!(error.starts_with("c: SIGUSR2 failed: it "), "{error}");
}

async fn trim_signal_is_not_sent_to_a_program_that_would_end_by_it() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let mut spec = spec(&["say", "up"], ReadySpec::Stdout("up".into()));
    spec.trim = Some(TrimSpec::Signal(TrimSignal::Usr1));
    let ctx = context(spec);
    let process = loader.start(ctx.clone()).await.unwrap();
    let error = process.trim().await.unwrap_err().to_string();
    assert_eq!(error, "c: SIGUSR1 failed: the program does not handle it; nothing was sent");
    assert!(log_text(&ctx.logs).contains(&error), "{:?}", log_text(&ctx.logs));
    assert_eq!(process.stop(DEADLINE).await.unwrap(), Exit::Signal(15), "it had not ended by it");
}

async fn trim_posts_the_declared_path() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    for code in ["204", "500"] {
        let mut spec = spec(&["trimmed", "{port}", code], ReadySpec::Connect);
        spec.trim = Some(TrimSpec::Http("/trim".into()));
        let ctx = context(spec);
        let process = loader.start(ctx.clone()).await.unwrap();
        let answer = process.trim().await.map_err(|e| e.to_string());
        let want = "c: POST /trim failed: it answered 500 instead of 2xx";
        assert_eq!(answer, if code == "204" { Ok(()) } else { Err(want.to_owned()) });
        until(|| log_text(&ctx.logs).contains(&"trimmed".into())).await;
    }
}

async fn starts_and_stops(form: GuardForm) {
    let dir = Dir::new();
    let loader = loader(&dir, form).await;
    let ctx = context(spec(&["say", "I am up"], ReadySpec::Stdout("am up".into())));
    let process = loader.start(ctx.clone()).await.unwrap();
    let pid = process.process_group().pgid;
    assert!(lives(pid));
    assert_eq!(process.exited(), None);
    process.probe().await.unwrap();
    assert_eq!(process.stop(DEADLINE).await.unwrap(), Exit::Signal(15));
    assert!(!lives(pid));
    assert!(process.probe().await.unwrap_err().to_string().contains("killed by SIGTERM"));
    assert_eq!(
        log_text(&ctx.logs),
        ["I am up", &format!("ready, process {pid}"), "was killed by SIGTERM"]
    );
}

/// So it has no controlling terminal, into which it could put what its operator seems to type.
async fn has_a_session_of_its_own(form: GuardForm) {
    let dir = Dir::new();
    let loader = loader(&dir, form).await;
    let up = || ReadySpec::Stdout("up".into());
    let process = loader.start(context(spec(&["say", "up"], up()))).await.unwrap();
    let leader = rustix::process::Pid::from_raw(process.process_group().pgid).unwrap();
    assert_eq!(rustix::process::getpgid(Some(leader)), Ok(leader));
    // The shell form needs a program for that, which macOS has not.
    if cfg!(target_os = "linux") {
        assert_eq!(rustix::process::getsid(Some(leader)), Ok(leader));
    }
    process.stop(DEADLINE).await.unwrap();
}

/// A file that the process that started the manager left open to its children does not reach a component.
#[cfg(target_os = "linux")]
async fn stray_descriptors_are_closed() {
    let dir = Dir::new();
    let stray = std::fs::File::create(dir.path("stray")).unwrap();
    rustix::io::fcntl_setfd(&stray, rustix::io::FdFlags::empty()).unwrap();
    let loader = loader(&dir, hidden()).await;
    let up = ReadySpec::Stdout("up".into());
    let process = loader.start(context(spec(&["say", "up"], up))).await.unwrap();
    let open = std::fs::read_dir(format!("/proc/{}/fd", process.process_group().pgid)).unwrap();
    let mut names: Vec<_> = open.map(|fd| fd.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["0", "1", "2"]);
    process.stop(DEADLINE).await.unwrap();
}

async fn exits_at_once(form: GuardForm) {
    let dir = Dir::new();
    let loader = loader(&dir, form).await;
    let ctx = context(spec(&["exit", "3", "no model file"], ReadySpec::Stdout("never".into())));
    let error = loader.start(ctx).await.unwrap_err();
    assert!(matches!(error, ProcessError::ExitedEarly { exit: Exit::Code(3), .. }));
    let text = error.to_string();
    assert!(text.starts_with("c: ") && text.contains("ended with code 3"), "{text}");
    assert!(text.ends_with("; its last output: no model file"), "{text}");
}

/// Executable by its mode, but no program: only the trampoline finds out.
async fn cannot_be_executed(form: GuardForm) {
    let dir = Dir::new();
    let path = dir.path("rubbish");
    std::fs::write(&path, "\x7fELF and then nothing\0").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let loader = loader(&dir, form).await;
    let command = vec![path.display().to_string()];
    let error = loader
        .start(context(ProcessSpec {
            command,
            ready: ReadySpec::Stdout("never".into()),
            ..ProcessSpec::default()
        }))
        .await
        .unwrap_err();
    let text = error.to_string();
    // Which of the two codes depends on the shell.
    assert!(text.contains("ended with code 126") || text.contains("ended with code 127"), "{text}");
    assert!(text.contains("rubbish"), "{text}");
}

async fn never_ready(form: GuardForm) {
    let dir = Dir::new();
    let pid_file = dir.path("pid");
    let loader = loader(&dir, form).await;
    let words = ["stubborn", pid_file.to_str().unwrap(), "waiting for GPU"];
    let mut ctx = context(spec(&words, ReadySpec::Stdout("never".into())));
    ctx.deadline = Duration::from_millis(1500);
    let error = loader.start(ctx).await.unwrap_err();
    assert!(!lives(read_pid(&pid_file)), "start returns only when it is down");
    let text = error.to_string();
    assert!(matches!(error, ProcessError::NeverReady { .. }), "{text}");
    assert!(text.contains("within 1.5s") && text.contains("waiting for GPU"), "{text}");
    assert!(text.contains("a line with \"never\""), "{text}");
}

async fn ignores_term(form: GuardForm) {
    let dir = Dir::new();
    let loader = loader(&dir, form).await;
    let pid_file = dir.path("pid");
    let words = ["stubborn", pid_file.to_str().unwrap(), "up"];
    let ctx = context(spec(&words, ReadySpec::Stdout("up".into())));
    let process = loader.start(ctx.clone()).await.unwrap();
    assert_eq!(process.stop(Duration::from_millis(100)).await.unwrap(), Exit::Signal(9));
    assert!(!lives(read_pid(&pid_file)));
    assert!(log_text(&ctx.logs).iter().any(|l| l.contains("did not stop before its deadline")));
}

async fn a_later_stop_hastens() {
    let dir = Dir::new();
    let loader = loader(&dir, GuardForm::Shell).await;
    let pid_file = dir.path("pid");
    let words = ["stubborn", pid_file.to_str().unwrap(), "up"];
    let process =
        loader.start(context(spec(&words, ReadySpec::Stdout("up".into())))).await.unwrap();
    let day = Duration::from_secs(86_400);
    let (patient, hasty, stretching) =
        (process.stop(day), process.stop(Duration::ZERO), process.stop(day));
    let (a, b, c) = tokio::join!(patient, hasty, stretching);
    assert!([a.unwrap(), b.unwrap(), c.unwrap()].iter().all(|e| *e == Exit::Signal(9)));
}

/// The leader ends on TERM; a child of it ignores TERM and has to be killed.
async fn has_children(form: GuardForm) {
    let dir = Dir::new();
    let loader = loader(&dir, form).await;
    let child_pid = dir.path("child");
    let words = ["parent", child_pid.to_str().unwrap()];
    let process =
        loader.start(context(spec(&words, ReadySpec::Stdout("up".into())))).await.unwrap();
    let child = read_pid(&child_pid);
    assert!(lives(child));
    assert_eq!(process.stop(Duration::from_millis(100)).await.unwrap(), Exit::Signal(15));
    assert!(!lives(child), "down means the whole group");
}

async fn crashes_and_leaves_children(form: GuardForm) {
    let dir = Dir::new();
    let loader = loader(&dir, form).await;
    let child_pid = dir.path("child");
    let words = ["parent", child_pid.to_str().unwrap()];
    let process =
        loader.start(context(spec(&words, ReadySpec::Stdout("up".into())))).await.unwrap();
    let child = read_pid(&child_pid);
    let kill = ["-s", "ABRT", &process.process_group().pgid.to_string()].map(str::to_owned);
    assert!(std::process::Command::new("kill").args(kill).status().unwrap().success());
    assert_eq!(process.wait_exit().await, Exit::Signal(6));
    assert_eq!(process.wait_down().await.unwrap(), Exit::Signal(6));
    assert!(!lives(child));
}

async fn cancelled_while_loading(form: GuardForm) {
    let dir = Dir::new();
    let loader = loader(&dir, form).await;
    let pid_file = dir.path("pid");
    let words = ["stubborn", pid_file.to_str().unwrap(), "loading"];
    let ctx = context(spec(&words, ReadySpec::Stdout("never".into())));
    let mut follower = ctx.logs.follow(0);
    tokio::select! {
        _ = loader.start(ctx) => panic!("it is never ready"),
        // It runs: its first line is there.
        _ = follower.next(1) => {}
    }
    let pid = read_pid(&pid_file);
    until(|| !lives(pid)).await;

    // Dropped after any number of steps, no process stays and the loader keeps working.
    for steps in 0..40 {
        let mut left = steps;
        let ctx = context(spec(&["say", "loading"], ReadySpec::Stdout("never".into())));
        let mut follower = ctx.logs.follow(0);
        let mut start = pin!(loader.start(ctx));
        let some_steps = poll_fn(|cx| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            start.as_mut().poll(cx).map(|_| panic!("it is never ready"))
        });
        tokio::select! {
            () = some_steps => {}
            _ = follower.next(1) => {}
        }
    }
    until(|| std::fs::read_to_string(dir.path("groups")).is_ok_and(|t| !t.contains("\ngroup ")))
        .await;
    let own = std::process::id().to_string();
    let children = || {
        let out =
            std::process::Command::new("ps").args(["-A", "-o", "ppid=,args="]).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let mine = |l: &&str| l.split_whitespace().next() == Some(&own) && l.contains("loading");
        text.lines().filter(mine).map(str::to_owned).collect::<Vec<_>>()
    };
    until(|| children().is_empty()).await;
}

async fn killed_while_running(form: GuardForm) {
    let dir = Dir::new();
    let loader = loader(&dir, form).await;
    let process =
        loader.start(context(spec(&["say", "up"], ReadySpec::Stdout("up".into())))).await.unwrap();
    let pid = process.process_group().pgid;
    process.kill();
    assert_eq!(process.wait_down().await.unwrap(), Exit::Signal(9));
    assert!(!lives(pid));
    // Dropping does the same.
    let process =
        loader.start(context(spec(&["say", "up"], ReadySpec::Stdout("up".into())))).await.unwrap();
    let pid = process.process_group().pgid;
    drop(process);
    until(|| !lives(pid)).await;
}

async fn environment_and_empty_input(form: GuardForm) {
    let dir = Dir::new();
    let loader = loader(&dir, form).await;
    let mut spec = spec(
        &["show", "{state_dir}", "a b", "$(id)", "*"],
        ReadySpec::Stdout("stdin ended".into()),
    );
    spec.env = [("WHERE".to_owned(), "{state_dir}/x".to_owned())].into();
    spec.env_allow = vec!["CARGO_MANIFEST_DIR".into(), "NO_SUCH_VARIABLE".into()];
    spec.cwd = Some("..".into());
    let mut ctx = context(spec);
    ctx.base_dir = dir.path("below");
    std::fs::create_dir(&ctx.base_dir).unwrap();
    let process = loader.start(ctx.clone()).await.unwrap();
    let lines = log_text(&ctx.logs);
    let has = |line: &str| lines.iter().any(|l| l == line);
    let state_dir = dir.path("components").join("c");
    assert!(state_dir.is_dir());
    let words = format!("words {:?}", [state_dir.to_str().unwrap(), "a b", "$(id)", "*"]);
    assert!(has(&words), "{lines:#?}");
    assert!(has(&format!("env WHERE={}/x", state_dir.display())), "{lines:#?}");
    assert!(has(&format!("cwd {}", dir.0.canonicalize().unwrap().display())), "{lines:#?}");
    assert!(has("stdin ended after 0 bytes"));
    let names: Vec<&str> =
        lines.iter().filter_map(|l| l.strip_prefix("env ")?.split('=').next()).collect();
    let known = [
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "TMPDIR",
        "USER",
        "WHERE",
        "CARGO_MANIFEST_DIR",
        "MAJORDOMO_INCARNATION",
        // A shell's own.
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
    ];
    assert!(names.iter().all(|n| known.contains(n)), "{names:?}");
    assert!(names.contains(&"PATH") && names.contains(&"MAJORDOMO_INCARNATION"), "{names:?}");
    process.stop(DEADLINE).await.unwrap();
}

async fn held_input(form: GuardForm) {
    let dir = Dir::new();
    let loader = loader(&dir, form).await;
    let mut spec = spec(&["show"], ReadySpec::Stdout("shown".into()));
    spec.stdin = StdinMode::Hold;
    let ctx = context(spec);
    let process = loader.start(ctx.clone()).await.unwrap();
    // It reads its input now; a stop by TERM ends it, an end of input would have shown.
    process.stop(DEADLINE).await.unwrap();
    assert!(!log_text(&ctx.logs).iter().any(|l| l.contains("stdin ended")));
}

async fn bad_specifications() {
    let dir = Dir::new();
    let loader = loader(&dir, GuardForm::Shell).await;
    let words = |words: &[&str]| ProcessSpec {
        command: words.iter().map(|&w| w.to_owned()).collect(),
        ..ProcessSpec::default()
    };
    let cwd = |dir: &str| ProcessSpec { cwd: Some(dir.into()), ..words(&["sleep", "9"]) };
    let ready = |ready| ProcessSpec { ready, ..words(&["sleep", "9"]) };
    let probe = |how, port| ProcessSpec {
        probe: Some(ProbeSpec {
            how,
            every: DEADLINE,
            timeout: DEADLINE,
            rule: ProbeRule::default(),
        }),
        ..words(&["sleep", port])
    };
    for (spec, expected) in [
        (words(&[]), "c: the command is empty"),
        (
            words(&["no-such-program-here"]),
            "there is no program \"no-such-program-here\"; looked in PATH (",
        ),
        (
            words(&["/no/such/program"]),
            "there is no program \"/no/such/program\"; looked in /no/such/program; install it",
        ),
        (words(&["/etc/passwd"]), "\"/etc/passwd\" cannot be run: it is not marked executable"),
        (words(&["/"]), "it is a directory"),
        (
            words(&["sleep", "{prot}"]),
            "\"{prot}\" has the unknown place-holder {prot}; known are {port}",
        ),
        (cwd("/no/such/dir"), "the working directory \"/no/such/dir\" cannot be used"),
        (cwd("/etc/passwd"), "the working directory \"/etc/passwd\" cannot be used"),
        (
            ready(ReadySpec::Connect),
            "its readiness connects to it, but its command has neither {port} nor",
        ),
        (ready(ReadySpec::Http("/".into())), "has neither {port} nor {socket}; add one"),
        (probe(ReadySpec::Connect, "9"), "its probe connects"),
        (
            probe(ReadySpec::Started, "{port}"),
            "its health probe waits for its start; a probe connects",
        ),
    ] {
        let error = loader.start(context(spec)).await.unwrap_err().to_string();
        assert!(error.starts_with("c: ") && error.contains(expected), "{error}");
    }
    assert_eq!(std::fs::read_to_string(dir.path("groups")).unwrap().matches("group ").count(), 0);
}

async fn floods_its_output() {
    let dir = Dir::new();
    let loader = loader(&dir, GuardForm::Shell).await;
    let progress = dir.path("progress");
    let words = ["flood", progress.to_str().unwrap()];
    let ctx = context(spec(&words, ReadySpec::Stdout("flooding".into())));
    let mut follower = ctx.logs.follow(0);
    let process = loader.start(ctx.clone()).await.unwrap();
    let round = || std::fs::read_to_string(&progress).ok()?.trim().parse::<u64>().ok();
    // It is never held up for good, and what is kept stays bounded.
    until(|| round() > Some(20)).await;
    let config = ctx.logs.config();
    let lines = ctx.logs.tail(usize::MAX);
    assert!(lines.len() <= config.max_lines);
    assert!(lines.iter().map(|l| l.text.len()).sum::<usize>() <= config.max_bytes);
    let long =
        lines.iter().find(|l| l.cut_bytes > 0).expect("a long line is among the last thousand");
    assert_eq!(long.text.len(), config.max_line_bytes);
    assert!(lines.windows(2).all(|w| w[0].number < w[1].number));
    let chunk = follower.next(10).await;
    assert!(chunk.missed > 0 && chunk.lines[0].number >= chunk.missed);
    process.stop(DEADLINE).await.unwrap();
}

async fn many_at_once() {
    let dir = Dir::new();
    let loader = loader(&dir, GuardForm::Shell).await;
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let loader = loader.clone();
        tasks.push(tokio::spawn(async move {
            let ctx = context(spec(&["say", "up"], ReadySpec::Stdout("up".into())));
            let process = loader.start(ctx).await.unwrap();
            process.stop(DEADLINE).await.unwrap();
            process.process_group().pgid
        }));
    }
    for task in tasks {
        let pid = task.await.unwrap();
        eventually(DEADLINE, "it is gone", || !lives(pid));
    }
}
