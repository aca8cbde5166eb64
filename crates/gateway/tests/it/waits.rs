//! Clients that wait: for a load, for a place, as a stream, as a browser.

use std::time::Duration;

use majordomo::ComponentState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::component::Component;
use crate::support::{body, chat, status, until, world};

#[tokio::test]
async fn simultaneous_first_requests_cost_one_load() {
    let (world, component) = chat(|_| {}).await;
    component.shut();
    let all = async {
        let mut answers = Vec::new();
        let mut set = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let address = world.address;
            set.spawn(async move {
                let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
                client
                    .write_all(
                        b"GET /c/chat/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
                    )
                    .await
                    .unwrap();
                let mut answer = String::new();
                client.read_to_string(&mut answer).await.unwrap();
                status(&answer)
            });
        }
        until("the load is under way", async || component.loads() == 1).await;
        component.let_in();
        while let Some(answer) = set.join_next().await {
            answers.push(answer.unwrap());
        }
        answers
    };
    assert_eq!(all.await, [200; 100]);
    assert_eq!(component.loads(), 1);
    world.end().await;
}

#[tokio::test]
async fn stream_begins_with_comments_while_its_component_is_loaded() {
    let (world, component) = chat(|_| {}).await;
    component.shut();
    let mut client = world.connect().await;
    let text = "{\"model\":\"chat\",\"stream\":true}";
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains(": chat is loading") {
        let mut part = [0; 1024];
        let n = client.read(&mut part).await.unwrap();
        assert!(n > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&part[..n]);
    }
    component.let_in();
    client.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("text/event-stream"), "{answer}");
    assert!(body(&answer).ends_with("data: 1\n\ndata: 2\n\ndata: 3\n\n"), "{answer}");
    world.end().await;
}

#[tokio::test]
async fn failure_after_the_stream_began_is_an_event_of_the_api() {
    let component = Component::start().await;
    let world = world(vec![component.spec("chat")], |gateway| {
        gateway.wait = Some(Duration::from_millis(900));
    })
    .await;
    component.shut();
    for (path, want) in
        [("/v1/chat/completions", "data: {\"error\":{"), ("/v1/messages", "event: error\ndata: ")]
    {
        let answer = world.post(path, "{\"model\":\"chat\",\"stream\":true}").await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(body(&answer).contains(want), "{answer}");
    }
    // Without a stream the refusal has its status.
    let answer = world.post("/v1/chat/completions", "{\"model\":\"chat\"}").await;
    assert_eq!(status(&answer), 503, "{answer}");
    component.let_in();
    world.end().await;
}

/// The answer to a request for a stream whose component is loaded once comments have begun.
async fn after_comments(path: &str, fields: &str) -> String {
    let (world, component) = chat(|_| {}).await;
    component.shut();
    let mut client = world.connect().await;
    let text = "{\"model\":\"chat\",\"stream\":true}";
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{fields}content-length: {}\r\n\r\n{text}",
        text.len()
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1024];
    let n = client.read(&mut answer).await.unwrap();
    answer.truncate(n);
    component.let_in();
    client.read_to_end(&mut answer).await.unwrap();
    world.end().await;
    body(&String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn answer_that_is_no_stream_is_never_cut_after_comments() {
    let large = after_comments("/v1/large-json", "").await;
    assert!(large.contains("data: {\"error\":{") && !large.contains("xxxx"), "{large:.300}");
    let stream = after_comments("/v1/capitals", "").await;
    assert!(stream.ends_with("\n\ndata: 1\n\n"), "{stream}");
}

#[tokio::test]
async fn component_compresses_no_stream_that_began_with_comments() {
    // The component answers with the request as it came.
    let asked = after_comments("/v1/x", "accept-encoding: gzip\r\n").await;
    assert!(asked.contains("POST /v1/x") && !asked.contains("gzip"), "{asked}");
}

#[tokio::test]
async fn browser_sees_the_progress_and_the_load_continues_without_it() {
    let (world, component) = chat(|_| {}).await;
    component.shut();
    let fields = "accept: text/html,*/*\r\nsec-fetch-mode: navigate\r\n";
    let answer = world.ask("GET /c/chat/page", fields, "").await;
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.contains("text/html") && answer.contains("http-equiv=\"refresh\""), "{answer}");
    assert!(answer.contains("chat is loading"), "{answer}");
    component.let_in();
    until("it is ready", async || world.state("chat").await == ComponentState::Ready).await;
    let answer = world.ask("GET /c/chat/page", fields, "").await;
    assert!(body(&answer).starts_with("GET /page "), "{answer}");
    assert_eq!(component.loads(), 1);
    let answer = world.ask("GET /c/stranger/", fields, "").await;
    assert!(status(&answer) == 404 && answer.contains("<h1>404</h1>"), "{answer}");
    world.end().await;
}

#[tokio::test]
async fn requests_beyond_the_limit_wait_and_beyond_the_queue_are_refused() {
    let (world, component) = chat(|spec| {
        let route = spec.route_mut();
        (route.max_in_flight, route.queue) = (Some(1), 1);
    })
    .await;
    let begin = async |path: &str| {
        let mut client = world.connect().await;
        let request =
            format!("GET /c/chat{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        client
    };
    let first = begin("/endless").await;
    until("the first is with the component", async || component.asked().len() == 1).await;
    let mut second = begin("/x").await;
    until("one waits", async || {
        let status = world.manager.status().await.unwrap();
        let rows = &status.sections["gateway"];
        rows.iter().any(|(n, v)| n == "chat queue" && *v == majordomo::StatusValue::Count(1))
    })
    .await;
    let third = world.get("/c/chat/x").await;
    assert_eq!(status(&third), 429, "{third}");
    assert!(third.contains("retry-after: 1"), "{third}");
    assert_eq!(component.asked().len(), 1);
    drop(first);
    let mut answer = String::new();
    second.read_to_string(&mut answer).await.unwrap();
    assert_eq!(status(&answer), 200, "{answer}");
    world.end().await;
}

#[tokio::test]
async fn ignored_paths_load_nothing_and_pass_when_the_component_is_ready() {
    let (world, component) = chat(|_| {}).await;
    let answer = world.get("/c/chat/metrics").await;
    assert_eq!(status(&answer), 503, "{answer}");
    assert_eq!(component.loads(), 0);
    assert_eq!(status(&world.get("/c/chat/x").await), 200);
    until("the status shows it", async || world.state("chat").await == ComponentState::Ready).await;
    assert_eq!(status(&world.get("/c/chat/metrics").await), 200);
    world.end().await;
}
