//! Ways to a component: path, host, header, query, body; and names.

use majordomo::SelectorSpec;

use crate::component::Component;
use crate::support::{body, chat, status, until, world};

#[tokio::test]
async fn component_is_reached_by_path_host_header_query_and_body() {
    let (world, component) = chat(|spec| {
        spec.route_mut().aliases = vec!["org/gpt:7b".to_owned()];
    })
    .await;
    let answer = world.get("/c/chat/a/b?x=1").await;
    assert!(body(&answer).starts_with("GET /a/b?x=1 HTTP/1.1\r\n"), "{answer}");
    assert!(answer.contains("x-forwarded-prefix: /c/chat\r\n"), "{answer}");
    assert!(answer.contains("x-forwarded-for: 127.0.0.1\r\n"), "{answer}");
    assert_eq!(component.loads(), 1);
    for (line, fields, text, want) in [
        ("GET /upstream/org%2Fgpt:7b/y", "", "", "GET /y "),
        ("GET /root", "host: chat.localhost:7422\r\n", "", "GET /root "),
        ("GET /c/other/x", "host: chat.localhost\r\n", "", "GET /c/other/x "),
        ("GET /props", "x-majordomo-component: chat\r\n", "", "GET /props "),
        ("GET /props?model=org/gpt:7b", "", "", "GET /props?model=org/gpt:7b "),
        ("POST /v1/x", "", "{\"model\": \"org/gpt:7b\"}", "POST /v1/x "),
        ("POST /v1/x", "content-type: application/json\r\n", "{\"model\":\"chat\"}", "POST /v1/x "),
        ("GET http://localhost/c/chat/z", "", "", "GET /z "),
    ] {
        let answer = world.ask(line, fields, text).await;
        assert_eq!(status(&answer), 200, "{line}: {answer}");
        let body = body(&answer);
        assert!(body.starts_with(want), "{line}: {body}");
        assert!(body.ends_with(text) && !body.contains("x-majordomo-component"), "{line}: {body}");
    }
    assert_eq!(component.loads(), 1, "a component is loaded once");
    world.end().await;
}

#[tokio::test]
async fn names_that_disagree_or_do_not_exist_are_refused_before_anything_is_loaded() {
    let (one, two) = (Component::start().await, Component::start().await);
    let world = world(vec![one.spec("chat"), two.spec("draw")], |_| {}).await;
    for (line, fields, text, want) in [
        ("GET /c/chat/x", "x-majordomo-component: draw\r\n", "", 400),
        ("GET /x?model=chat", "x-majordomo-component: draw\r\n", "", 400),
        ("GET /x", "host: chat.localhost\r\nx-majordomo-component: draw\r\n", "", 400),
        ("GET http://evil.example/c/chat/x", "", "", 400),
        ("GET /c/chat/../draw", "", "", 400),
        ("GET /c/chat/%2e%2e/draw", "", "", 400),
        ("GET /c/stranger/x", "", "", 404),
        ("GET /x", "host: stranger.localhost\r\n", "", 404),
        ("POST /v1/x", "", "{\"model\":\"stranger\"}", 404),
        ("POST /v1/x", "", "{}", 404),
        ("GET /nothing", "", "", 404),
        ("GET /x", "host: evil.example\r\n", "", 421),
    ] {
        let answer = world.ask(line, fields, text).await;
        assert_eq!(status(&answer), want, "{line} {fields}: {answer}");
        assert!(answer.contains("application/json"), "{answer}");
    }
    let unknown = world.post("/v1/x", "{\"model\":\"cat\"}").await;
    assert!(unknown.contains("chat, draw") && unknown.contains("model_not_found"), "{unknown}");
    assert_eq!((one.loads(), two.loads()), (0, 0));
    world.end().await;
}

#[tokio::test]
async fn page_of_a_component_begins_below_its_name() {
    let (world, component) = chat(|_| {}).await;
    let answer = world.get("/c/chat?a=b").await;
    assert_eq!(status(&answer), 308);
    assert!(answer.contains("location: /c/chat/?a=b\r\n"), "{answer}");
    assert_eq!(component.loads(), 0);
    let answer = world.get("/c/chat/redirect").await;
    assert!(answer.contains("location: /c/chat/login\r\n"), "{answer}");
    world.end().await;
}

#[tokio::test]
async fn selector_takes_one_that_is_ready() {
    let (one, two) = (Component::start().await, Component::start().await);
    let world = world(vec![one.spec("large"), two.spec("small")], |gateway| {
        for (name, select) in
            [("warm", majordomo::Select::Warm), ("first", majordomo::Select::First)]
        {
            let mut selector = SelectorSpec::new(name.to_owned());
            let ids = ["large", "small"].map(|id| majordomo::ComponentId::new(id).unwrap());
            (selector.components, selector.select) = (ids.to_vec(), select);
            gateway.selectors.push(selector);
        }
    })
    .await;
    assert_eq!(status(&world.get("/c/small/x").await), 200);
    until("the status shows it", async || {
        world.state("small").await == majordomo::ComponentState::Ready
    })
    .await;
    assert_eq!(status(&world.post("/v1/x", "{\"model\":\"warm\"}").await), 200);
    assert_eq!((one.loads(), two.asked().len()), (0, 2));
    assert_eq!(status(&world.post("/v1/x", "{\"model\":\"first\"}").await), 200);
    assert_eq!((one.loads(), one.asked().len()), (1, 1));
    world.end().await;
}
