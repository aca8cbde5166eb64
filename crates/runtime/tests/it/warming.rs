//! Requests to warm up, which are answered before a program counts as ready.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use majordomo_core::LoadStage;
use majordomo_registry::{ProcessSpec, ReadySpec, StdioSpec, WarmUpRequest, WarmUpSpec};
use majordomo_runtime::process::{Exit, ProcessError};

use crate::support::{DEADLINE, Dir, add_async, context, hidden, loader, log_text, spec};

pub(crate) fn tests(tests: &mut Vec<Trial>) {
    macro_rules! add {
        ($($test:ident)*) => {$(
            add_async(tests, concat!("warming::", stringify!($test)), $test);
        )*};
    }
    add! {
        request_to_warm_up_is_answered_to_its_end_before_a_program_is_ready
        request_to_warm_up_waits_until_a_program_that_counts_as_started_listens
        request_to_warm_up_without_a_good_answer_fails_the_load_and_is_named
        program_that_ends_during_its_request_to_warm_up_is_reported_by_its_end
        deadline_of_the_load_that_passes_in_a_request_to_warm_up_names_it
        call_to_warm_up_is_answered_before_a_program_is_ready
    }
}

/// Answers `GET /health` with 200. Any other request is shown, and answered with a code in chunks, or as a word says: `cut` less than the
/// answer's stated length, `none` no answer, `exit` the end of the program.
pub(crate) fn server(port: &str, how: &str) -> ExitCode {
    let listener = TcpListener::bind(("127.0.0.1", port.parse::<u16>().unwrap())).unwrap();
    let mut kept = Vec::new();
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        let Some((line, kind, body)) = request(&stream) else { continue };
        let mut out = &stream;
        if line.starts_with("GET /health ") {
            let _ = out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            continue;
        }
        println!("{} {kind} {body}", line.trim_end_matches(" HTTP/1.1"));
        match how {
            "exit" => return ExitCode::from(7),
            "none" => kept.push(stream),
            "cut" => {
                let _ = out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok");
            }
            code => {
                let head = format!("HTTP/1.1 {code} X\r\nTransfer-Encoding: chunked\r\n\r\n");
                for part in [head.as_str(), "3\r\nabc\r\n"] {
                    let _ = out.write_all(part.as_bytes());
                }
                println!("answered but for the end");
                let _ = out.write_all(b"0\r\n\r\n");
                // Kept open: the answer has an end of its own.
                kept.push(stream);
            }
        }
    }
    ExitCode::SUCCESS
}

/// The first line of a request, the type of its body, and that.
fn request(stream: &TcpStream) -> Option<(String, String, String)> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let (mut kind, mut length) = ("-".to_owned(), 0);
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).ok()?;
        match header.trim().split_once(": ") {
            Some(("Content-Type", value)) => value.clone_into(&mut kind),
            Some(("Content-Length", value)) => length = value.parse().ok()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((line.trim().to_owned(), kind, String::from_utf8(body).ok()?))
}

fn by_http(how: &str, body: Option<&str>) -> ProcessSpec {
    let request = WarmUpRequest::Http { path: "/go".to_owned(), body: body.map(str::to_owned) };
    spec(&["warms", "{port}", how], ReadySpec::Http("/health".into()))
        .warm_up(WarmUpSpec::new(request))
}

async fn request_to_warm_up_is_answered_to_its_end_before_a_program_is_ready() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    for (body, said) in [
        (None, "GET /go - "),
        (Some("hello"), "POST /go text/plain; charset=utf-8 hello"),
        (Some("{\"a\": [1]}"), "POST /go application/json {\"a\": [1]}"),
    ] {
        let ctx = context(by_http("200", body));
        let clock = Arc::clone(&ctx.clock);
        let process = loader.start(ctx.clone()).await.unwrap();
        let stages: Vec<_> = clock.stages().into_iter().map(|(stage, _)| stage).collect();
        assert_eq!(stages.last(), Some(&LoadStage::WarmUp), "{stages:?}");
        assert!(stages.contains(&LoadStage::Ready), "{stages:?}");
        process.stop(DEADLINE).await.unwrap();
        let log = log_text(&ctx.logs);
        assert!(log.iter().any(|line| line.contains(said)), "{log:?}");
        assert!(log.iter().any(|line| line.contains("answered")), "{log:?}");
    }
}

async fn request_to_warm_up_waits_until_a_program_that_counts_as_started_listens() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let spec = ProcessSpec { ready: ReadySpec::Started, ..by_http("204", None) };
    let process = loader.start(context(spec)).await.unwrap();
    process.stop(DEADLINE).await.unwrap();
}

async fn request_to_warm_up_without_a_good_answer_fails_the_load_and_is_named() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    for (how, why) in [
        ("500", "it was answered 500 instead of 2xx"),
        ("cut", "its answer ended before its end"),
        ("none", "no whole answer within 200ms; raise its timeout if it needs longer"),
    ] {
        let mut spec = by_http(how, Some("hello"));
        if how == "none" {
            spec.warm_up.as_mut().unwrap().timeout = Duration::from_millis(200);
        }
        let error = loader.start(context(spec)).await.unwrap_err();
        assert!(matches!(error, ProcessError::WarmUp { .. }), "{error}");
        let text = error.to_string();
        for part in [why, "its warm_up request, POST /go, failed", "correct warm_up, or remove it"]
        {
            assert!(text.contains(part), "{text}");
        }
    }
}

async fn program_that_ends_during_its_request_to_warm_up_is_reported_by_its_end() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let by_line = StdioSpec::default();
    let call = WarmUpSpec::new(WarmUpRequest::Call("exit 7".to_owned()));
    let lines = spec(&["lines"], ReadySpec::Line).answers_lines(by_line).warm_up(call);
    for spec in [by_http("exit", None), lines] {
        let error = loader.start(context(spec)).await.unwrap_err();
        let ended = matches!(error, ProcessError::ExitedEarly { exit: Exit::Code(7), .. });
        assert!(ended, "{error}");
    }
}

async fn deadline_of_the_load_that_passes_in_a_request_to_warm_up_names_it() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let mut ctx = context(by_http("none", None));
    ctx.deadline = Duration::from_secs(2);
    let error = loader.start(ctx).await.unwrap_err();
    assert!(matches!(error, ProcessError::NeverReady { .. }), "{error}");
    assert!(error.to_string().contains("the answer to its warm_up request, GET /go"), "{error}");
}

async fn call_to_warm_up_is_answered_before_a_program_is_ready() {
    let dir = Dir::new();
    let loader = loader(&dir, hidden()).await;
    let lines = |text: &str| {
        let call = WarmUpSpec::new(WarmUpRequest::Call(text.to_owned()));
        spec(&["lines"], ReadySpec::Line).answers_lines(StdioSpec::default()).warm_up(call)
    };
    let ctx = context(lines("say hello"));
    let process = loader.start(ctx.clone()).await.unwrap();
    assert_eq!(ctx.clock.stages().last().map(|s| s.0), Some(LoadStage::WarmUp));
    process.stop(DEADLINE).await.unwrap();
    let text = loader.start(context(lines("fail"))).await.unwrap_err().to_string();
    let why = "its warm_up request, the call \"fail\", failed: it was answered with an error: there is no page 3";
    assert!(text.contains(why), "{text}");
}
