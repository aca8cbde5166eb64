//! Lists that grow with what clients do: bounded in the status, and whole page by page.

use majordomo::ServerConfig;
use majordomo_server::wire::{Exchange, LeaseRequest};

use crate::support::Served;

fn of(names: &[&str]) -> LeaseRequest {
    let components = names.iter().map(ToString::to_string).collect();
    LeaseRequest { components, ..LeaseRequest::default() }
}

#[tokio::test(flavor = "current_thread")]
async fn status_stays_small_and_counts_what_it_leaves_out() {
    let served = Served::start(ServerConfig::default()).await;
    let client = served.client();
    for _ in 0..700 {
        client.acquire(&of(&["music", "mail"])).await.unwrap();
    }
    let status = client.status().await.unwrap();
    assert_eq!((status.holders.len(), status.holders_left_out), (256, 1400 - 256));
    assert_eq!(status.leases, 700);
    let music = status.components.iter().find(|c| c.name.as_str() == "music").unwrap();
    assert_eq!(music.leases, 700);
    assert!(client.raw_status().await.unwrap().len() < 80_000);
    // All, in the order of their ages, page by page.
    let page = client.leases_after(None).await.unwrap();
    assert_eq!((page.total, page.components, page.leases.len()), (700, 1400, 512));
    let all = client.leases().await.unwrap();
    assert_eq!((all.leases.len(), all.next), (700, None));
    let ids: std::collections::BTreeSet<_> = all.leases.iter().map(|l| &l.id).collect();
    assert_eq!(ids.len(), 700);
    let number = |id: &str| id.rsplit_once('-').unwrap().1.parse::<u64>().unwrap();
    assert!(all.leases.is_sorted_by_key(|l| number(&l.id)));
    // The lease at which a page ended may be gone when the next one is asked for.
    let last = page.next.unwrap();
    client.release(&last).await.unwrap();
    assert_eq!(client.leases_after(Some(&last)).await.unwrap().leases.len(), 700 - 512);
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn max_leases_counts_components() {
    let config = ServerConfig { max_leases: 4, ..ServerConfig::default() };
    let served = Served::start(config).await;
    let client = served.client();
    let first = client.acquire(&of(&["music", "mail", "alarm"])).await.unwrap();
    let refused = client.acquire(&of(&["music", "mail"])).await.unwrap_err();
    assert_eq!(refused.problem().unwrap().code, "too_many_leases");
    let second = client.acquire(&of(&["music"])).await.unwrap();
    client.acquire(&of(&["music"])).await.unwrap_err();
    // An exchange counts by what it ends with.
    let fewer = Exchange { components: vec!["mail".into()], ..Exchange::default() };
    client.exchange(&first.id, &fewer).await.unwrap();
    let more = Exchange { components: vec!["mail".into(), "alarm".into()], ..Exchange::default() };
    let wide = Exchange {
        components: ["music", "mail", "alarm", "slow"].map(String::from).to_vec(),
        ..Exchange::default()
    };
    client.exchange(&second.id, &more).await.unwrap();
    let refused = client.exchange(&second.id, &wide).await.unwrap_err();
    assert_eq!(refused.problem().unwrap().code, "too_many_leases");
    client.exchange(&second.id, &fewer).await.unwrap();
    let third = client.acquire(&of(&["music", "mail"])).await.unwrap();
    for lease in [first, second, third] {
        client.release(&lease.id).await.unwrap();
    }
    assert_eq!(client.leases().await.unwrap().components, 0);
    client.acquire(&of(&["music", "mail", "alarm"])).await.unwrap();
    served.end().await;
}
