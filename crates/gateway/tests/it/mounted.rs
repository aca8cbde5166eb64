//! The service in a program of its own, behind other routes.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use majordomo::{GatewaySpec, Manager};
use tower_service::Service;

use crate::component::Component;

#[tokio::test]
async fn service_answers_behind_the_routes_of_an_axum_program() {
    let component = Component::start().await;
    let builder = Manager::builder().pressure(None).budget(majordomo::ByteSize::mib(64));
    let builder = builder.component(component.spec("chat")).gateway(GatewaySpec::default());
    let manager = builder.start().await.unwrap();
    let gateway = majordomo_gateway::Gateway::new(manager.clone(), "/".into()).await.unwrap();
    let mut app = Router::new().route("/own", get(async || "own")).fallback_service(gateway);
    for (path, want) in [("/own", "own"), ("/c/chat/x", "GET /x HTTP/1.1")] {
        let request = Request::builder().uri(path).header("host", "localhost");
        let answer = app.call(request.body(Body::empty()).unwrap()).await.unwrap();
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        assert!(String::from_utf8_lossy(&bytes).starts_with(want), "{path}: {bytes:?}");
    }
    manager.shutdown(None).await;
}
