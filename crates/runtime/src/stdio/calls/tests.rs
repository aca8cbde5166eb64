//! Calls with a program that is a task: which are open, which wait, and what is left of them.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::Poll;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

use super::one::{LONGEST, MAX_WAITING};
use super::*;

fn calls(concurrent: u32) -> (Arc<Calls>, Receiver) {
    let bounds = StdioSpec { concurrent, max_line: ByteSize::mib(16), ..StdioSpec::default() };
    let id = ComponentId::new("c").unwrap();
    let calls = Calls::new(id, bounds, Arc::new(LogBuffer::default()));
    let (sender, receiver) = pipe::pipe().unwrap();
    tokio::spawn(Arc::clone(&calls).write_to(sender));
    (calls, receiver)
}

/// Calls that wait, calls that are open, and lines that are still to be written.
fn counts(calls: &Calls) -> (usize, usize, usize) {
    let state = calls.state();
    (calls.waiting.load(Ordering::Relaxed), state.open.len(), state.to_write.len())
}

async fn line(program: &mut Receiver) -> String {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.push(program.read_u8().await.unwrap());
    }
    String::from_utf8(line).unwrap()
}

fn answer(calls: &Calls, id: u64, json: &str) {
    calls.answered(id, Ok(serde_json::from_str(json).unwrap()));
}

/// Polls a call once: it gets as far as it can without the program.
async fn begin<F: Future>(call: &mut Pin<&mut F>) -> bool {
    poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await
}

fn log(calls: &Calls) -> Vec<String> {
    calls.logs.tail(100).iter().map(|line| line.text.to_string()).collect()
}

#[tokio::test]
async fn ten_thousand_calls_leave_nothing_behind() {
    let (calls, mut program) = calls(4);
    let answerer = tokio::spawn({
        let calls = Arc::clone(&calls);
        async move {
            for n in 1..=10_000 {
                let request = line(&mut program).await;
                assert!(request.starts_with(&format!("{{\"id\":{n},")), "{request}");
                answer(&calls, n, &n.to_string());
            }
            program
        }
    });
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let calls = Arc::clone(&calls);
        tasks.spawn(async move {
            for i in 0..1250 {
                let request = CallRequest::text(format!("question {i}"));
                let answer = calls.call(&request, None).await.unwrap();
                answer.json().parse::<u64>().unwrap();
            }
        });
    }
    tasks.join_all().await;
    answerer.await.unwrap();
    assert_eq!(counts(&calls), (0, 0, 0));
    assert_eq!((log(&calls), calls.slots.available_permits()), (Vec::new(), 4));
}

#[tokio::test(start_paused = true)]
async fn slot_of_a_caller_that_left_is_free_at_the_answer_or_the_deadline() {
    let (calls, mut program) = calls(1);
    let request = CallRequest::text("x");
    for is_answered in [true, false] {
        let mut left = Box::pin(calls.call(&request, Some(Duration::from_secs(9))));
        let id = calls.state().last_id + 1;
        tokio::select! {
            biased;
            _ = &mut left => panic!("it has no answer yet"),
            _ = line(&mut program) => {}
        }
        drop(left);
        let mut next = pin!(calls.call(&request, None));
        assert!(begin(&mut next).await);
        assert_eq!(counts(&calls), (1, 1, 0), "the program still works for the first call");
        if is_answered {
            answer(&calls, id, "1");
        }
        let (answer, ()) = tokio::join!(next, async {
            assert!(line(&mut program).await.contains(&format!("\"id\":{}", id + 1)));
            answer(&calls, id, "\"late\"");
            answer(&calls, id + 1, "2");
        });
        assert_eq!(answer.unwrap().json(), "2");
        assert_eq!(counts(&calls), (0, 0, 0));
    }
    assert_eq!(log(&calls), ["an answer to call 1, which is over, was dropped"], "once a minute");
}

#[tokio::test(start_paused = true)]
async fn slot_of_a_caller_that_left_is_free_at_the_deadline_of_the_component_at_the_latest() {
    let (calls, mut program) = calls(1);
    let request = CallRequest::text("x");
    let left = calls.call(&request, Some(Duration::from_secs(24 * 3600)));
    tokio::select! {
        biased;
        _ = left => panic!("it has no answer yet"),
        _ = line(&mut program) => {}
    }
    let since = Instant::now();
    let (answer, ()) = tokio::join!(calls.call(&request, Some(LONGEST)), async {
        line(&mut program).await;
        answer(&calls, 2, "2");
    });
    assert_eq!(answer.unwrap().json(), "2");
    assert!(since.elapsed() <= calls.bounds.call_deadline + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn cancelled_call_leaves_nothing_behind_after_its_answer() {
    let (calls, mut program) = calls(1);
    let request = CallRequest::text("x");
    let n_before = Arc::strong_count(&calls);
    for id in 1..=1000 {
        tokio::select! {
            biased;
            _ = calls.call(&request, Some(LONGEST)) => panic!("it has no answer yet"),
            _ = line(&mut program) => {}
        }
        answer(&calls, id, "1");
    }
    // Time passes only when no task can go on.
    sleep(Duration::from_millis(1)).await;
    assert_eq!((Arc::strong_count(&calls), counts(&calls)), (n_before, (0, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn slot_that_a_caller_keeps_has_the_time_left_of_its_call() {
    let (calls, mut program) = calls(1);
    let (caller, request) = (Caller::new(&calls), CallRequest::text("x"));
    for (id, deadline) in [(1, Some(Duration::from_secs(5))), (2, None)] {
        let (kept, ()) = tokio::join!(caller.call_with_slot(&request, deadline), async {
            line(&mut program).await;
            sleep(Duration::from_secs(2)).await;
            answer(&calls, id, "1");
        });
        let (_, slot) = kept.unwrap();
        let whole = deadline.unwrap_or(calls.bounds.call_deadline);
        assert_eq!(slot.time_left(), whole.checked_sub(Duration::from_secs(2)).unwrap());
        sleep(whole).await;
        assert_eq!(slot.time_left(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn call_that_gets_its_slot_at_its_own_deadline_is_not_written() {
    let (calls, mut program) = calls(1);
    let (request, second) = (CallRequest::text("x"), Some(Duration::from_secs(1)));
    let (first, next) =
        tokio::join!(biased; calls.call(&request, second), calls.call(&request, second));
    assert!(matches!(first, Err(CallError::Deadline { began: true, .. })), "{first:?}");
    assert!(matches!(next, Err(CallError::Deadline { began: false, .. })), "{next:?}");
    line(&mut program).await;
    assert_eq!((calls.state().last_id, calls.slots.available_permits()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn program_that_answers_nothing_any_more_is_given_up() {
    let (calls, mut program) = calls(1);
    let request = CallRequest::text("x");
    let late = calls.call(&request, None).await.unwrap_err();
    assert!(matches!(late, CallError::Deadline { began: true, .. }), "{late}");
    line(&mut program).await;
    answer(&calls, 1, "\"late\"");
    for _ in 0..100 {
        calls.call(&request, Some(Duration::from_millis(1))).await.unwrap_err();
    }
    for _ in 0..2 {
        assert!(calls.state().ended.is_none(), "too early");
        calls.call(&request, None).await.unwrap_err();
    }
    assert_eq!(calls.broken().await, CallsEnded::NoAnswer);
    let error = calls.call(&request, None).await.unwrap_err().to_string();
    assert_eq!(error, "c: the call has no answer, because it answered none of its last calls");
}

#[tokio::test]
async fn line_under_way_is_finished_before_the_end_of_standard_input() {
    let (calls, mut program) = calls(1);
    // Larger than a pipe.
    let large = CallRequest::text("x".repeat(1 << 20));
    let (answer, ()) = tokio::join!(calls.call(&large, None), async {
        program.readable().await.unwrap();
        calls.close_input(CallsEnded::Stopping);
        assert!(line(&mut program).await.len() > 1 << 20);
        assert_eq!(program.read(&mut [0]).await.unwrap(), 0);
        answer(&calls, 1, "1");
    });
    assert_eq!(answer.unwrap().json(), "1");
}

#[tokio::test]
async fn call_that_was_not_written_is_withdrawn_with_its_caller() {
    let (calls, mut program) = calls(2);
    // Larger than a pipe, so that the next line is not begun.
    let (large, small) = (CallRequest::text("x".repeat(1 << 20)), CallRequest::text("y"));
    let mut first = pin!(calls.call(&large, None));
    assert!(begin(&mut first).await);
    while counts(&calls).2 > 0 {
        tokio::task::yield_now().await;
    }
    {
        let mut second = pin!(calls.call(&small, None));
        assert!(begin(&mut second).await);
        assert_eq!(counts(&calls), (0, 2, 1));
    }
    assert_eq!(counts(&calls), (0, 1, 0));
    let third = calls.call(&small, None);
    let (first, third, ()) = tokio::join!(first, third, async {
        assert!(line(&mut program).await.len() > 1 << 20, "a line that was begun is written whole");
        assert_eq!(line(&mut program).await, "{\"id\":3,\"text\":\"y\"}\n");
        answer(&calls, 3, "3");
        answer(&calls, 1, "1");
    });
    assert_eq!((first.unwrap().json(), third.unwrap().json()), ("1", "3"));
}

#[tokio::test(start_paused = true)]
async fn program_that_does_not_read_costs_its_callers_their_deadline_and_no_memory() {
    let (calls, _program) = calls(1);
    let large = CallRequest::text("x".repeat(1 << 20));
    for _ in 0..100 {
        let error = calls.call(&large, Some(Duration::from_secs(1))).await.unwrap_err();
        assert!(matches!(error, CallError::Deadline { began: true, .. }), "{error}");
        assert_eq!(counts(&calls), (0, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_the_queue_are_refused_and_those_in_it_get_their_deadline() {
    let (calls, _program) = calls(1);
    let request = CallRequest::text("x");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..MAX_WAITING + 3 {
        let (calls, request) = (Arc::clone(&calls), request.clone());
        tasks.spawn(async move { calls.call(&request, None).await.unwrap_err().code() });
    }
    let codes = tasks.join_all().await;
    let count = |code: &str| codes.iter().filter(|c| **c == code).count();
    assert_eq!((count("call_queue_full"), count("call_deadline_exceeded")), (2, MAX_WAITING + 1));
    assert_eq!(counts(&calls).0, 0);
}

#[tokio::test]
async fn call_without_time_is_not_passed_on() {
    let (calls, _program) = calls(1);
    let error = calls.call(&CallRequest::text("x"), Some(Duration::ZERO)).await.unwrap_err();
    assert!(matches!(error, CallError::Deadline { began: false, .. }), "{error}");
    assert_eq!(calls.state().last_id, 0);
}

#[tokio::test]
async fn answers_that_no_call_waits_for_are_dropped_and_logged_once() {
    let (calls, mut program) = calls(1);
    let request = CallRequest::text("x");
    let (answer, ()) = tokio::join!(calls.call(&request, None), async {
        line(&mut program).await;
        for id in [2, 0, 3, 2] {
            answer(&calls, id, "0");
        }
        answer(&calls, 1, "1");
        answer(&calls, 1, "2");
        calls.too_long(None, 1);
        calls.too_long(Some(1), 1);
    });
    assert_eq!(answer.unwrap().json(), "1");
    let want = [
        "an answer with the id 2, which no call has, was dropped",
        "an answer to call 1, which is over, was dropped",
        "a line without an id at its edges, longer than max_line (16 MiB), was skipped",
    ];
    assert_eq!(log(&calls), want);
}

#[tokio::test]
async fn calls_end_with_the_program_and_its_end_is_the_cause() {
    let (calls, mut program) = calls(1);
    let request = CallRequest::text("x");
    let (open, waiting, ()) =
        tokio::join!(calls.call(&request, None), calls.call(&request, None), async {
            line(&mut program).await;
            calls.close_input(CallsEnded::Stopping);
            assert_eq!(program.read(&mut [0]).await.unwrap(), 0, "standard input is closed");
            calls.end(CallsEnded::Exited(crate::process::Exit::Code(3)));
        });
    let words = |outcome: Outcome| outcome.unwrap_err().to_string();
    assert_eq!(words(open), "c: the call has no answer, because it ended with code 3");
    assert_eq!(words(waiting), "c: the call has no answer, because it ended with code 3");
    let late = calls.call(&request, None).await;
    assert_eq!(words(late), "c: the call has no answer, because it ended with code 3");
}

#[tokio::test]
async fn request_beyond_the_bound_is_refused_and_an_answer_beyond_it_fails_its_call() {
    let (calls, mut program) = calls(1);
    let large = CallRequest::text("x".repeat(16 << 20));
    let error = calls.call(&large, None).await.unwrap_err();
    assert!(matches!(error, CallError::RequestTooLong { .. }), "{error}");
    let small = CallRequest::text("x");
    let (answer, ()) = tokio::join!(calls.call(&small, None), async {
        line(&mut program).await;
        calls.too_long(Some(2), 20 << 20);
    });
    let error = answer.unwrap_err().to_string();
    assert_eq!(
        error,
        "c: the answer has 20 MiB, and its lines may have 16 MiB (max_line of the component)"
    );
    assert_eq!(calls.slots.available_permits(), 1);
}

#[tokio::test]
async fn slot_that_a_caller_keeps_is_free_once_it_is_dropped_or_without_an_answer() {
    let (calls, mut program) = calls(1);
    let (caller, request) = (Caller::new(&calls), CallRequest::text("x"));
    let (kept, ()) = tokio::join!(caller.call_with_slot(&request, None), async {
        line(&mut program).await;
        answer(&calls, 1, "1");
    });
    let (answered, slot) = kept.unwrap();
    assert_eq!(answered.json(), "1");
    let mut next = pin!(caller.call_with_slot(&request, None));
    assert!(begin(&mut next).await);
    assert_eq!(counts(&calls), (1, 0, 0), "it waits for the slot");
    drop(slot);
    let (failed, ()) = tokio::join!(next, async {
        line(&mut program).await;
        calls.answered(2, Err("there is no page 3".into()));
    });
    assert_eq!(failed.unwrap_err().code(), "call_failed");
    let mut last = pin!(caller.call(&request, None));
    assert!(begin(&mut last).await);
    assert_eq!(counts(&calls).1, 1);
    calls.end(CallsEnded::Stopping);
}
