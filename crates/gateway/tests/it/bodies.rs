//! Bodies: unchanged, changed, large, in parts, as forms.

use majordomo::ByteSize;

use crate::component::Component;
use crate::support::{body, chat, status, world};

#[tokio::test]
async fn body_is_passed_on_byte_for_byte_unless_the_component_changes_it() {
    let (world, _) = chat(|_| {}).await;
    let text = "{ \"messages\" : [ ],\t\"model\":\"chat\", \"x\": 1.50 }";
    let answer = body(&world.post("/v1/x", text).await);
    assert!(answer.ends_with(&format!("\r\n\r\n{text}")), "{answer}");
    assert!(answer.contains(&format!("content-length: {}\r\n", text.len())), "{answer}");
    world.end().await;
    let (world, _) = chat(|spec| {
        let route = spec.route_mut();
        route.model_name = Some("qwen".to_owned());
        route.set_params.insert("top_k".to_owned(), "5".to_owned());
        route.strip_params.push("seed".to_owned());
    })
    .await;
    let answer = body(&world.post("/v1/x", "{\"model\":\"chat\",\"seed\":1,\"n\":2}").await);
    assert!(answer.ends_with("\r\n\r\n{\"model\":\"qwen\",\"n\":2,\"top_k\":5}"), "{answer}");
    // On a path the body is the component's own, as long as it names no model.
    let answer = body(&world.post("/c/chat/own", "{\"seed\":1}").await);
    assert!(answer.ends_with("\r\n\r\n{\"seed\":1}"), "{answer}");
    world.end().await;
}

#[tokio::test]
async fn json_that_cannot_be_read_is_refused() {
    let (world, component) = chat(|_| {}).await;
    for text in [
        "{\"model\":\"chat\"",
        "{\"model\":\"chat\",\"model\":\"chat\"}",
        "{\"model\":7}",
        "[]",
        "model=chat",
        "\u{0}",
    ] {
        let answer = world.post("/v1/x", text).await;
        assert_eq!(status(&answer), 400, "{text}: {answer}");
    }
    assert_eq!(component.loads(), 0);
    world.end().await;
}

#[tokio::test]
async fn body_beyond_the_bound_needs_another_name_and_is_passed_on_then() {
    let component = Component::start().await;
    let world = world(vec![component.spec("chat")], |gateway| {
        gateway.max_routed_body = ByteSize::kib(16);
    })
    .await;
    let text = format!("{{\"model\":\"chat\",\"x\":\"{}\"}}", "y".repeat(20 << 10));
    let answer = world.post("/v1/x", &text).await;
    assert_eq!(status(&answer), 413, "{answer}");
    assert!(answer.contains("X-Majordomo-Component") && answer.contains("/c/NAME/"), "{answer}");
    let answer = world.ask("POST /v1/x", "x-majordomo-component: chat\r\n", &text).await;
    assert!(body(&answer).ends_with(&text));
    let chunked = format!(
        "POST /v1/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{text}\r\n0\r\n\r\n",
        text.len()
    );
    assert_eq!(status(&world.send(&chunked).await), 413);
    world.end().await;
}

#[tokio::test]
async fn form_is_routed_by_its_field_and_passed_on_whole() {
    let (world, _) = chat(|spec| spec.route_mut().model_name = Some("whisper".to_owned())).await;
    let file = "RIFF\r\n--model\r\n".repeat(500);
    let form = |model: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n{file}\r\n--b\r\n\
            Content-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--b\r\nContent-Disposition: form-data; name=\"z\"\r\n\r\n1\r\n--b--\r\n"
        )
    };
    let fields = "content-type: multipart/form-data; boundary=b\r\n";
    let answer = world.ask("POST /v1/audio/transcriptions", fields, &form("chat")).await;
    assert!(body(&answer).contains(&form("whisper")), "{answer}");
    let answer = world.ask("POST /v1/audio/transcriptions", fields, "--b--\r\n").await;
    assert_eq!(status(&answer), 404, "{answer}");
    let answer = world.ask("POST /v1/audio/transcriptions", fields, "--b\r\nx").await;
    assert_eq!(status(&answer), 400, "{answer}");
    world.end().await;
}

#[tokio::test]
async fn chunks_trailers_and_expectations_pass() {
    let (world, _) = chat(|_| {}).await;
    let answer = world
        .send("POST /c/chat/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        .await;
    let echoed = body(&answer);
    assert!(echoed.contains("transfer-encoding: chunked\r\n"), "{echoed}");
    assert!(echoed.contains("abc") && echoed.contains("de"), "{echoed}");
    let answer = world
        .send("GET /c/chat/trailers HTTP/1.1\r\nhost: localhost\r\nte: trailers\r\nconnection: close, te\r\n\r\n")
        .await;
    assert!(answer.contains("x-sum: 7"), "{answer}");
    let answer = world.ask("POST /c/chat/x", "expect: 100-continue\r\n", "hello").await;
    assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\n"), "{answer}");
    assert!(answer.ends_with("hello") && !body(&answer).contains("expect"), "{answer}");
    world.end().await;
}
