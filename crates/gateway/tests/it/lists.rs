//! Lists of models: what they show, and that they load nothing.

use majordomo::{SelectorSpec, Serves};

use crate::component::Component;
use crate::support::{body, status, world};

#[tokio::test]
async fn lists_show_what_serves_something_and_load_nothing() {
    let (one, two, three) =
        (Component::start().await, Component::start().await, Component::start().await);
    let mut chat = one.spec("chat");
    chat.route_mut().serves = vec![Serves::Chat];
    chat.route_mut().aliases = vec!["gpt".to_owned()];
    let mut hidden = two.spec("hidden");
    (hidden.route_mut().serves, hidden.route_mut().unlisted) = (vec![Serves::Chat], true);
    let world = world(vec![chat, hidden, three.spec("tool")], |gateway| {
        let mut selector = SelectorSpec::new("any".to_owned());
        selector.components = vec![majordomo::ComponentId::new("chat").unwrap()];
        gateway.selectors = vec![selector];
    })
    .await;
    let json = async |path: &str| {
        let answer = world.get(path).await;
        assert_eq!(status(&answer), 200, "{answer}");
        serde_json::from_str::<serde_json::Value>(&body(&answer)).unwrap()
    };
    let models = json("/v1/models").await;
    let ids: Vec<_> = models["data"].as_array().unwrap().iter().map(|m| m["id"].clone()).collect();
    assert_eq!(ids, ["chat", "any"]);
    assert_eq!(models["data"][0]["status"]["value"], "unloaded");
    assert_eq!(json("/v1/models/gpt").await["id"], "chat");
    assert_eq!(json("/api/tags").await["models"][0]["name"], "chat");
    let digest = json("/api/tags").await["models"][0]["digest"].as_str().unwrap().len();
    assert_eq!(digest, 64, "clients cut it without looking");
    assert_eq!(json("/api/ps").await["models"].as_array().unwrap().len(), 0);
    assert!(json("/api/version").await["version"].is_string());
    assert_eq!(json("/health").await["status"], "ok");
    assert_eq!(status(&world.get("/v1/models/stranger").await), 404);
    assert_eq!((one.loads(), two.loads(), three.loads()), (0, 0, 0));
    assert_eq!(status(&world.get("/c/hidden/x").await), 200);
    world.end().await;
}
