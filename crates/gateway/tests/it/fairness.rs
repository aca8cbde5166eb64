//! Requests for more components than fit at a time: few loads, and no request is left behind.

use majordomo::ByteSize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::component::Component;
use crate::support::{status, until, world};

#[tokio::test]
async fn mixed_requests_for_components_that_do_not_fit_together_cost_at_most_one_load_too_many() {
    let mut components = Vec::new();
    for _ in 0..3 {
        let component = Component::start().await;
        component.shut();
        components.push(component);
    }
    let specs = ["a", "b", "c"].iter().zip(&components);
    let specs = specs.map(|(name, c)| c.spec(name).memory(ByteSize::mib(40))).collect();
    let world = world(specs, |_| {}).await;
    let mut answers = JoinSet::new();
    for name in ["a", "b", "a", "a", "c", "a", "b", "c"] {
        let mut client = TcpStream::connect(world.address).await.unwrap();
        let request =
            format!("GET /c/{name}/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        answers.spawn(async move {
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            status(&answer)
        });
    }
    until("those wait that the load under way is not for", async || {
        world.manager.status().await.is_ok_and(|status| status.waiting >= 4)
    })
    .await;
    components.iter().for_each(Component::let_in);
    assert_eq!(answers.join_all().await, [200; 8]);
    let loads: usize = components.iter().map(Component::loads).sum();
    assert!(loads <= 4, "{loads} loads");
    world.end().await;
}
