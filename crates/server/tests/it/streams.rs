//! Events: resumption, gaps, and the end of a stream.

use majordomo::ServerConfig;
use majordomo_server::client::{EventStream, Streamed};
use majordomo_server::wire::Event;

use crate::support::Served;

async fn next(stream: &mut EventStream) -> (Event, String) {
    match stream.next().await.unwrap() {
        Some(Streamed::Next(event, id)) => (event, id),
        other => panic!("{other:?} instead of an event"),
    }
}

#[tokio::test(flavor = "current_thread")]
async fn follower_continues_after_the_last_event_that_it_read() {
    let served = Served::start(ServerConfig::default()).await;
    let client = served.client();
    let mut stream = client.follow_events(None).await.unwrap();
    client.load("music").await.unwrap();
    let (first, id) = next(&mut stream).await;
    assert_eq!((first.event.as_str(), &first.more["component"]), ("state", &"music".into()));
    drop(stream);
    client.unload("music", false).await.unwrap();
    let mut again = client.follow_events(Some(&id)).await.unwrap();
    let mut last = first.seq;
    loop {
        let (event, _) = next(&mut again).await;
        assert_eq!(event.seq, last + 1, "nothing is missed, nothing comes twice");
        last = event.seq;
        if event.more.get("to") == Some(&"unloaded".into()) {
            break;
        }
    }
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_number_that_was_never_given_is_a_gap() {
    let served = Served::start(ServerConfig::default()).await;
    let client = served.client();
    let first = client.events(None, None).await.unwrap().events.remove(0);
    // Of a server that ran for longer than this one, which must not keep its followers waiting until it has, too.
    let mut stream = client.follow_events(Some("99999999")).await.unwrap();
    let Some(Streamed::Gap(gap)) = stream.next().await.unwrap() else { panic!("no gap") };
    assert_eq!(gap.missed, None, "the number is unknown");
    assert_eq!(next(&mut stream).await.0.seq, first.seq, "all that there is");
    // The one that comes next is no such number.
    let newest = client.events(None, Some(1)).await.unwrap().events[0].seq;
    let mut stream = client.follow_events(Some(&newest.to_string())).await.unwrap();
    client.load("music").await.unwrap();
    assert_eq!(next(&mut stream).await.0.seq, newest + 1);
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_gone_is_a_gap() {
    let served = Served::start(ServerConfig::default()).await;
    let client = served.client();
    // More records than are kept, while a follower was away after the first.
    let first = client.events(None, None).await.unwrap().events.remove(0);
    let mut newest = first.seq;
    while newest < 4500 {
        client.load("music").await.unwrap();
        client.unload("music", false).await.unwrap();
        newest = client.events(None, Some(1)).await.unwrap().events[0].seq;
    }
    let info = client.info().await.unwrap();
    let id = {
        let mut stream = client.follow_events(None).await.unwrap();
        client.load("music").await.unwrap();
        next(&mut stream).await.1
    };
    let run = id.rsplit_once('-').unwrap().0;
    let mut away = client.follow_events(Some(&format!("{run}-{}", first.seq))).await.unwrap();
    let Some(Streamed::Gap(gap)) = away.next().await.unwrap() else { panic!("no gap") };
    let (event, _) = next(&mut away).await;
    assert_eq!(event.seq, first.seq + 1 + gap.missed.unwrap());
    // Of another run: the number is unknown.
    let mut other = client.follow_events(Some("abc-7")).await.unwrap();
    let Some(Streamed::Gap(gap)) = other.next().await.unwrap() else { panic!("no gap") };
    assert_eq!(gap.missed, None);
    assert_eq!(info.api, "v1");
    served.end().await;
}
