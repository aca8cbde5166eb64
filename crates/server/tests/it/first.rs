//! Every call of the client once.

use majordomo::ServerConfig;
use majordomo_server::wire::{
    Bind, Command, Feedback, Hint, LeaseRequest, LeaseTerms, PlanRequest, State,
};

use crate::support::Served;

#[tokio::test(flavor = "current_thread")]
async fn a_day_at_the_socket() {
    let served = Served::start(ServerConfig::default()).await;
    let client = served.client();
    let mut events = client.follow_events(None).await.unwrap();
    assert_eq!(client.health().await.unwrap().status, "ok");
    assert_eq!(client.info().await.unwrap().pid, std::process::id());
    assert_eq!(client.load("music").await.unwrap().state, State::Ready);
    assert!(client.ready().await.is_ok());
    let status = client.status().await.unwrap();
    assert_eq!((status.components.len(), status.ready), (5, true));
    assert_eq!(client.components().await.unwrap().len(), 5);
    let asked = PlanRequest { text: Some("mail please".into()), ..PlanRequest::default() };
    let plan = client.plan(&asked).await.unwrap();
    assert_eq!(plan.loads[0].component.as_str(), "mail");
    let command = Command {
        text: "music please".into(),
        lease: Some(LeaseTerms { tag: Some("a test".into()), ..LeaseTerms::default() }),
        ..Command::default()
    };
    let outcome = client.command(&command).await.unwrap();
    assert!(outcome.hit && outcome.refusal.is_none());
    let lease = outcome.lease.unwrap().id;
    assert_eq!(client.status().await.unwrap().holders[0].tag, "a test");
    let used = Feedback { lease, used: vec!["music".into()], ..Feedback::default() };
    assert!(client.feedback(&used).await.unwrap().accepted);
    let again = client.feedback(&used).await.unwrap_err();
    assert_eq!(again.problem().unwrap().code, "lease_ended");
    let request = LeaseRequest {
        components: vec!["mail".into(), "music".into()],
        bind: Bind::Connection,
        ..LeaseRequest::default()
    };
    let lease = client.acquire(&request).await.unwrap();
    assert_eq!((lease.components.len(), lease.expires_in_ms), (2, None));
    assert_eq!(client.leases().await.unwrap().leases.len(), 1);
    assert!(client.renew(&lease.id, Some(1000)).await.unwrap().expires_in_ms.unwrap() <= 1000.0);
    client.release(&lease.id).await.unwrap();
    assert_eq!(client.component("mail").await.unwrap().leases, 0);
    client.pin("mail", true).await.unwrap();
    let error = client.unload("mail", false).await.unwrap_err();
    assert_eq!(error.problem().unwrap().code, "in_use");
    assert_eq!(client.unload("mail", true).await.unwrap().state, State::Unloaded);
    client.trim("music").await.unwrap();
    let hint = Hint { component: "mail".into(), ..Hint::default() };
    assert!(client.hint(&hint).await.unwrap().accepted);
    assert!(!client.why("music").await.unwrap().events.is_empty());
    assert!(client.logs("music", None).await.unwrap().lines.is_empty());
    let reload = client.reload().await.unwrap_err();
    assert_eq!(reload.problem().unwrap().code, "no_file");
    assert!(!client.events(None, Some(5)).await.unwrap().events.is_empty());
    assert!(events.next().await.unwrap().is_some());
    served.end().await;
}
