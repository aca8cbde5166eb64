//! Calls of programs that answer lines of JSON.

use std::time::Duration;

use libtest_mimic::Trial;
use majordomo_core::ByteSize;
use majordomo_registry::{ProcessSpec, Protocol, ReadySpec, StdioSpec};
use majordomo_runtime::guard::GuardForm;
use majordomo_runtime::logs::LogBuffer;
use majordomo_runtime::process::{Exit, ProcessError, RunningProcess};
use majordomo_runtime::stdio::{CallAnswer, CallError, CallRequest, CallsEnded};

use crate::eventually::until;
use crate::support::{DEADLINE, Dir, add_async, context, hidden, loader, log_text, spec};

pub(crate) fn tests(tests: &mut Vec<Trial>) {
    macro_rules! add {
        ($($test:ident)*) => {$(
            add_async(tests, concat!("calls::", stringify!($test)), $test);
        )*};
    }
    add! {
        answers_come_to_their_callers_in_any_order
        text_that_is_no_answer_is_logged
        serial_program_gets_one_request_at_a_time
        program_that_does_not_answer_costs_a_call_its_deadline
        program_that_answers_no_call_is_killed
        program_that_ends_answers_open_calls_with_the_cause
        answer_beyond_max_line_fails_its_call_only
        program_that_closes_its_input_is_restarted_as_after_a_failure
        program_that_is_not_ready_takes_no_call
        stop_begins_with_the_end_of_standard_input
    }
    for (form, name) in [(GuardForm::Shell, "shell"), (hidden(), "hidden")] {
        let name = format!("calls::{name}::shell_script_is_a_component");
        add_async(tests, &name, || shell_script_is_a_component(form));
    }
}

fn lines(bounds: StdioSpec) -> ProcessSpec {
    spec(&["lines"], ReadySpec::Line).protocol(Protocol::Stdio(bounds))
}

/// A shell script with the protocol. Its braces are no place-holders.
fn script(text: &str) -> ProcessSpec {
    let text = text.replace('{', "{{").replace('}', "}}");
    ProcessSpec::new(["/bin/sh", "-c", &text]).answers_lines(StdioSpec::default())
}

async fn ask(process: &RunningProcess, text: &str) -> Result<CallAnswer, CallError> {
    let caller = process.caller().unwrap();
    caller.call(&CallRequest::text(text), Some(DEADLINE * 4)).await
}

/// Whether the log has these lines, in this order.
fn has(log: &LogBuffer, want: &[&str]) -> bool {
    let log = log_text(log);
    let mut lines = log.iter();
    want.iter().all(|want| lines.any(|line| line == want))
}

async fn shell_script_is_a_component(form: GuardForm) {
    let dir = Dir::new();
    let loader = loader(&dir, form).await;
    let text = r#"echo '{"ready":true}'
        while read -r line; do
            id=${line#*:} id=${id%%,*}
            echo "{\"id\":$id,\"answer\":\"line $id\"}"
        done"#;
    let process = loader.start(context(script(text))).await.unwrap();
    for n in 1..=100 {
        let answer = ask(&process, "which line is this?").await.unwrap();
        assert_eq!(answer.text(), Some(format!("line {n}")));
    }
    assert_eq!(process.stop(DEADLINE).await.unwrap(), Exit::Code(0));
}

async fn answers_come_to_their_callers_in_any_order() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let bounds = StdioSpec { concurrent: 4, ..StdioSpec::default() };
    let process = loader.start(context(lines(bounds))).await.unwrap();
    let (first, second, third) =
        tokio::join!(ask(&process, "hold"), ask(&process, "hold"), async {
            ask(&process, "release").await
        });
    assert_eq!(first.unwrap().text().as_deref(), Some("released"));
    assert_eq!(second.unwrap().text().as_deref(), Some("released"));
    assert_eq!(third.unwrap().json(), "2");
    let object = CallRequest::object("{\"page\": [3,\n4]}").unwrap();
    let answer = process.caller().unwrap().call(&object, None).await.unwrap();
    assert_eq!(answer.json(), "{\"page\":[3,4]}");
    let error = ask(&process, "fail").await.unwrap_err();
    assert_eq!(error.to_string(), "c answered with an error: there is no page 3");
}

async fn text_that_is_no_answer_is_logged() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let ctx = context(lines(StdioSpec::default()));
    let process = loader.start(ctx.clone()).await.unwrap();
    assert_eq!(ask(&process, "chatter").await.unwrap().text().as_deref(), Some("real"));
    let want = ["starting", "100%", "{\"level\":\"info\",\"id\":1}"];
    assert!(has(&ctx.logs, &want), "{:?}", log_text(&ctx.logs));
    let dropped = "an answer with the id 99, which no call has, was dropped";
    assert!(has(&ctx.logs, &[dropped]), "{:?}", log_text(&ctx.logs));
    until(|| has(&ctx.logs, &["{\"id\":1,\"answer\":\"on standard error\"}"])).await;
    let log = log_text(&ctx.logs);
    assert!(!log.iter().any(|line| line.contains("real") || line.contains("ready\"")), "{log:?}");
}

async fn serial_program_gets_one_request_at_a_time() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let process = loader.start(context(lines(StdioSpec::default()))).await.unwrap();
    let caller = process.caller().unwrap();
    let (hold, say) = (CallRequest::text("hold"), CallRequest::text("say two"));
    let mut first = Box::pin(caller.call(&hold, Some(DEADLINE / 10)));
    tokio::select! {
        biased;
        outcome = &mut first => panic!("{outcome:?}"),
        () = tokio::task::yield_now() => {}
    }
    let second = caller.call(&say, Some(Duration::from_millis(1))).await.unwrap_err();
    assert!(matches!(second, CallError::Deadline { began: false, .. }), "{second}");
    // Its caller cancels it: it still has the slot, until its deadline.
    drop(first);
    let answer = caller.call(&say, Some(DEADLINE * 4)).await.unwrap();
    assert_eq!(answer.text().as_deref(), Some("two"));
    assert_eq!(ask(&process, "release").await.unwrap().json(), "1", "the first call was with it");
}

async fn program_that_does_not_answer_costs_a_call_its_deadline() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let bounds = StdioSpec { call_deadline: Duration::from_millis(10), ..StdioSpec::default() };
    let process = loader.start(context(lines(bounds))).await.unwrap();
    let never = CallRequest::text("never");
    let error = process.caller().unwrap().call(&never, None).await.unwrap_err();
    assert_eq!(error.to_string(), "c: no answer within 10ms");
    assert_eq!(ask(&process, "say next").await.unwrap().text().as_deref(), Some("next"));
}

async fn program_that_answers_no_call_is_killed() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let bounds = StdioSpec { call_deadline: Duration::from_millis(10), ..StdioSpec::default() };
    let ctx = context(lines(bounds));
    let process = loader.start(ctx.clone()).await.unwrap();
    let (caller, never) = (process.caller().unwrap(), CallRequest::text("never"));
    for _ in 0..3 {
        let error = caller.call(&never, None).await.unwrap_err();
        assert!(matches!(error, CallError::Deadline { .. }), "{error}");
    }
    assert_eq!(process.wait_down().await.unwrap(), Exit::Signal(9));
    let remark = "answered none of its last calls; killing it";
    assert!(has(&ctx.logs, &[remark]), "{:?}", log_text(&ctx.logs));
}

async fn program_that_ends_answers_open_calls_with_the_cause() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let bounds = StdioSpec { concurrent: 2, ..StdioSpec::default() };
    let process = loader.start(context(lines(bounds.clone()))).await.unwrap();
    let ended = |outcome: Result<CallAnswer, CallError>| match outcome {
        Err(CallError::Ended { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    let (hold, exit, waiting) =
        tokio::join!(ask(&process, "hold"), ask(&process, "exit 3"), ask(&process, "say late"));
    let want = CallsEnded::Exited(Exit::Code(3));
    assert_eq!([hold, exit, waiting].map(ended), [want; 3]);
    assert_eq!(ended(ask(&process, "say later").await), want);

    let process = loader.start(context(lines(bounds))).await.unwrap();
    let (hold, ()) = tokio::join!(ask(&process, "hold"), async { process.kill() });
    assert_eq!(ended(hold), CallsEnded::Exited(Exit::Signal(9)));
}

async fn answer_beyond_max_line_fails_its_call_only() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let bounds = StdioSpec { max_line: ByteSize::kib(100), ..StdioSpec::default() };
    let process = loader.start(context(lines(bounds))).await.unwrap();
    let answer = ask(&process, "long 100000").await.unwrap();
    assert_eq!(answer.size(), ByteSize(100_002));
    let error = ask(&process, "long 10000000").await.unwrap_err();
    assert!(matches!(error, CallError::AnswerTooLong { .. }), "{error}");
    let error = ask(&process, &format!("say {}", "x".repeat(102_400))).await.unwrap_err();
    assert!(matches!(error, CallError::RequestTooLong { .. }), "{error}");
    assert_eq!(ask(&process, "say next").await.unwrap().text().as_deref(), Some("next"));
}

async fn program_that_closes_its_input_is_restarted_as_after_a_failure() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    for streams in ["<&-", ">&-"] {
        let text = format!("echo '{{\"ready\":true}}'; read -r go; exec sleep 1000 {streams}");
        let ctx = context(script(&text));
        let process = loader.start(ctx.clone()).await.unwrap();
        let (first, second) = tokio::join!(ask(&process, "go"), ask(&process, "x"));
        for outcome in [first, second] {
            assert!(matches!(outcome, Err(CallError::Ended { .. })), "{outcome:?}");
        }
        assert_eq!(process.wait_down().await.unwrap(), Exit::Signal(9));
        let remark = "closed its standard input or output and takes no calls; killing it";
        assert!(has(&ctx.logs, &[remark]), "{:?}", log_text(&ctx.logs));
    }
}

async fn program_that_is_not_ready_takes_no_call() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let text = "echo ready; echo '{\"ready\":true}' >&2; exec sleep 1000";
    let mut ctx = context(script(text));
    ctx.deadline = Duration::from_millis(300);
    let error = loader.start(ctx).await.unwrap_err();
    assert!(matches!(error, ProcessError::NeverReady { .. }), "{error}");
    assert!(
        error.to_string().contains("the line {\"ready\":true} on its standard output"),
        "{error}"
    );
}

async fn stop_begins_with_the_end_of_standard_input() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    // TERM comes after half of the deadline, which is long for the program that is to end before.
    for (more, deadline, exit) in
        [(&[][..], DEADLINE * 4, Exit::Code(0)), (&["stays"], DEADLINE / 4, Exit::Signal(15))]
    {
        let program =
            spec(&[&["lines"], more].concat(), ReadySpec::Line).answers_lines(StdioSpec::default());
        let ctx = context(program);
        let process = loader.start(ctx.clone()).await.unwrap();
        assert_eq!(process.stop(deadline).await.unwrap(), exit, "{more:?}");
        let term = "did not end after the request to stop; sending TERM";
        assert!(has(&ctx.logs, &["end of input"]), "{:?}", log_text(&ctx.logs));
        assert_eq!(has(&ctx.logs, &["end of input", term]), more == ["stays"]);
    }
}
