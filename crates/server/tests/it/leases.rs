//! Leases of other processes: their ends, the holders that refusals name, and abandoned waits.

use std::time::Duration;

use majordomo::ServerConfig;
use majordomo_server::Client;
use majordomo_server::wire::{
    Bind, Command, Exchange, Feedback, Lease, LeaseRequest, LeaseState, LeaseTerms, State,
};
use tokio::io::AsyncWriteExt;

use crate::support::{DEADLINE, Served, problem, until};

fn ask(components: &[&str], bind: Bind, ttl_ms: Option<u64>, tag: &str) -> LeaseRequest {
    LeaseRequest {
        components: components.iter().map(|c| (*c).to_owned()).collect(),
        bind,
        ttl_ms,
        tag: Some(tag.to_owned()),
        ..LeaseRequest::default()
    }
}

async fn leases_of(served: &Served, name: &str) -> u32 {
    served.client().component(name).await.unwrap().leases
}

/// Demands that are being met.
async fn demands(client: &Client) -> u64 {
    let status = client.status().await.unwrap();
    let figure = status.sections["engine"].iter().find(|f| f.name == "transactions");
    figure.unwrap().value.as_u64().unwrap()
}

#[tokio::test(flavor = "current_thread")]
async fn a_lease_ends_with_its_connection() {
    // Idle for long, and still there: it holds a lease.
    let config = ServerConfig { idle_time: Duration::from_millis(20), ..ServerConfig::default() };
    let served = Served::start(config).await;
    let holder = served.client();
    let lease = holder.acquire(&ask(&["music"], Bind::Connection, None, "a")).await.unwrap();
    let kept = served.client();
    kept.acquire(&ask(&["music"], Bind::Ttl, None, "b")).await.unwrap();
    let mut idle = tokio::time::interval(Duration::from_millis(30));
    for _ in 0..3 {
        idle.tick().await;
    }
    assert_eq!(leases_of(&served, "music").await, 2);
    drop((holder, kept));
    until("the end of the lease", async || leases_of(&served, "music").await == 1).await;
    let error = served.client().lease(&lease.id).await.unwrap_err();
    assert_eq!(error.problem().unwrap().more["reason"], "disconnected");
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_lease_ends_with_its_time() {
    let served = Served::start(ServerConfig::default()).await;
    let client = served.client();
    let short = client.acquire(&ask(&["mail"], Bind::Ttl, Some(30), "short")).await.unwrap();
    let long = client.acquire(&ask(&["mail"], Bind::Ttl, Some(60_000), "long")).await.unwrap();
    until("the end of its time", async || leases_of(&served, "mail").await == 1).await;
    let error = client.renew(&short.id, None).await.unwrap_err();
    assert_eq!(error.problem().unwrap().more["reason"], "expired");
    // Shortened, it ends too: the first due time has changed.
    client.renew(&long.id, Some(20)).await.unwrap();
    until("the end of the other", async || leases_of(&served, "mail").await == 0).await;
    let tight = client.acquire(&ask(&["mail"], Bind::Connection, Some(20), "both")).await.unwrap();
    until("the end of both", async || client.lease(&tight.id).await.is_err()).await;
    let error = client.lease(&tight.id).await.unwrap_err();
    assert_eq!(error.problem().unwrap().more["reason"], "expired");
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn renewed_lease_outlives_the_time_that_it_was_given_first() {
    let served = Served::start(ServerConfig::default()).await;
    let client = served.client();
    let renewed = client.acquire(&ask(&["music"], Bind::Ttl, Some(200), "renewed")).await.unwrap();
    client.renew(&renewed.id, Some(60_000)).await.unwrap();
    let later = client.acquire(&ask(&["mail"], Bind::Ttl, Some(250), "later")).await.unwrap();
    until("the end of the later one", async || client.lease(&later.id).await.is_err()).await;
    assert_eq!(client.lease(&renewed.id).await.unwrap().state, LeaseState::Active);
    // The time of the renewal counts from the renewal on.
    client.renew(&renewed.id, Some(20)).await.unwrap();
    until("the end of its time", async || client.lease(&renewed.id).await.is_err()).await;
    served.end().await;
}

/// Outcomes that the server has learned from.
async fn learned(client: &Client) -> u64 {
    let status = client.status().await.unwrap();
    let figure = status.sections["intents"].iter().find(|f| f.name == "learned");
    figure.unwrap().value.as_u64().unwrap()
}

/// The lease of a command.
async fn command(client: &Client, text: &str, ttl_ms: Option<u64>, bind: Bind) -> String {
    let terms = LeaseTerms { ttl_ms, bind, ..LeaseTerms::default() };
    let asked = Command { text: text.into(), lease: Some(terms), ..Command::default() };
    client.command(&asked).await.unwrap().lease.unwrap().id
}

#[tokio::test(flavor = "current_thread")]
async fn text_of_a_command_is_learned_when_its_lease_was_used() {
    let served = Served::start(ServerConfig::default()).await;
    let client = served.client();
    // Decisions alone teach nothing: given back at once, expired, or ended with the connection.
    let plain = Command { text: "music please, now".into(), ..Command::default() };
    assert!(client.command(&plain).await.unwrap().refusal.is_none());
    command(&client, "music please, for a moment", Some(20), Bind::Ttl).await;
    let holder = served.client();
    command(&holder, "music please, while connected", None, Bind::Connection).await;
    drop(holder);
    until("the end of both", async || leases_of(&served, "music").await == 0).await;
    let given_back = command(&client, "some music please", None, Bind::Ttl).await;
    client.release(&given_back).await.unwrap();
    until("the first outcome", async || learned(&client).await == 1).await;
    let renewed = command(&client, "music please, again", None, Bind::Ttl).await;
    client.renew(&renewed, Some(20)).await.unwrap();
    until("the second outcome", async || learned(&client).await == 2).await;
    // Feedback has the last word, and once.
    let corrected = command(&client, "music please, or mail", None, Bind::Ttl).await;
    client.renew(&corrected, None).await.unwrap();
    let used = Feedback { lease: corrected, used: vec!["mail".into()], ..Feedback::default() };
    client.feedback(&used).await.unwrap();
    until("the third outcome", async || learned(&client).await == 3).await;
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn old_leases_are_warned_of_and_ended_if_so_set() {
    for ended in [false, true] {
        let config = ServerConfig {
            max_lease_age: Duration::from_millis(20),
            end_old_leases: ended,
            ..ServerConfig::default()
        };
        let served = Served::start(config).await;
        let client = served.client();
        let lease = client.acquire(&ask(&["mail"], Bind::Connection, None, "old")).await.unwrap();
        if ended {
            until("its end", async || client.lease(&lease.id).await.is_err()).await;
            let error = client.lease(&lease.id).await.unwrap_err();
            assert_eq!(error.problem().unwrap().more["reason"], "too_old");
        } else {
            until("its age", async || client.lease(&lease.id).await.unwrap().old).await;
            let holders = client.status().await.unwrap().holders;
            assert!(holders[0].old && holders[0].tag == "old" && holders[0].age_ms >= 20.0);
        }
        served.end().await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn refusal_names_the_tags_of_the_holders() {
    let served = Served::start(ServerConfig::default()).await;
    let client = served.client();
    client.acquire(&ask(&["music", "mail"], Bind::Ttl, None, "editor")).await.unwrap();
    let mut big = ask(&["big"], Bind::Ttl, None, "late");
    big.deadline_ms = Some(50);
    let error = served.client().acquire(&big).await.unwrap_err();
    let problem = error.problem().unwrap();
    assert_eq!(problem.code, "deadline_exceeded");
    assert!(problem.detail.contains("editor"), "{problem}");
    let holders = problem.more["holders"].as_array().unwrap();
    assert!(holders.iter().any(|h| h["component"] == "music" && h["tags"][0] == "editor"));
    let error = client.unload("music", false).await.unwrap_err();
    assert!(error.to_string().contains("1 lease of editor"), "{error}");
    // In the record too.
    let events = client.events(None, None).await.unwrap().events;
    let refused = events.iter().find(|e| e.event == "refused").unwrap();
    assert!(refused.text.contains("editor"), "{}", refused.text);
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_revoked_lease_shows_it() {
    let served = Served::start(ServerConfig::default()).await;
    let client = served.client();
    let lease = client.acquire(&ask(&["music"], Bind::Ttl, None, "a")).await.unwrap();
    assert_eq!(client.lease(&lease.id).await.unwrap().state, LeaseState::Active);
    let mut events = client.follow_events(None).await.unwrap();
    let other = served.client();
    let unloading = tokio::spawn(async move { other.unload("music", true).await });
    until("the word of it", async || {
        client.lease(&lease.id).await.unwrap().state == LeaseState::Revoked
    })
    .await;
    client.release(&lease.id).await.unwrap();
    assert_eq!(unloading.await.unwrap().unwrap().state, State::Unloaded);
    loop {
        let Some(majordomo_server::client::Streamed::Next(event, _)) = events.next().await.unwrap()
        else {
            panic!("no word of it in the events")
        };
        if event.event == "revoked" {
            assert_eq!(event.more["component"], "music");
            break;
        }
    }
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn client_that_disconnects_during_a_load_cancels_its_wait_and_not_the_load() {
    let served = Served::start(ServerConfig::default()).await;
    let client = served.client();
    let request = "POST /v1/leases HTTP/1.1\r\nhost: localhost\r\ncontent-length: 23\r\n\r\n{\"components\":[\"slow\"]}";
    let mut leaver = served.connect().await;
    leaver.write_all(request.as_bytes()).await.unwrap();
    until("the load", async || client.component("slow").await.unwrap().state == State::Loading)
        .await;
    let stayer = served.client();
    let stays = tokio::spawn(async move {
        (stayer.acquire(&ask(&["slow"], Bind::Ttl, None, "s")).await, stayer)
    });
    // One load, two demands.
    until("the second to wait", async || demands(&client).await == 2).await;
    drop(leaver);
    until("the first to be gone", async || demands(&client).await == 1).await;
    let events = client.events(None, None).await.unwrap().events;
    assert!(events.iter().any(|e| e.event == "abandoned"));
    assert_eq!(client.component("slow").await.unwrap().state, State::Loading);
    served.gate.open();
    let (lease, _stayer) = stays.await.unwrap();
    assert_eq!(lease.unwrap().components[0].component.as_str(), "slow");
    assert_eq!(leases_of(&served, "slow").await, 1);
    let loads = client.component("slow").await.unwrap().loads;
    assert_eq!(loads, 1);
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_thousand_leaked_leases_come_back() {
    let served = Served::start(ServerConfig::default()).await;
    let leaker = served.client();
    let request = ask(&["music", "mail"], Bind::Connection, None, "leaker");
    for _ in 0..1000 {
        leaker.acquire(&request).await.unwrap();
    }
    assert_eq!(leases_of(&served, "music").await, 1000);
    drop(leaker);
    until("all of them", async || leases_of(&served, "music").await == 0).await;
    assert_eq!(leases_of(&served, "mail").await, 0);
    assert!(served.client().leases().await.unwrap().leases.is_empty());
    assert!(served.client().unload("music", false).await.is_ok());
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn shutdown_ends_waits_streams_and_leases() {
    let served = Served::start(ServerConfig::default()).await;
    let client = served.client();
    client.acquire(&ask(&["music"], Bind::Ttl, None, "a")).await.unwrap();
    let mut events = client.follow_events(None).await.unwrap();
    let waiter = served.client();
    let waits =
        tokio::spawn(async move { waiter.acquire(&ask(&["slow"], Bind::Ttl, None, "w")).await });
    until("the load", async || client.component("slow").await.unwrap().state == State::Loading)
        .await;
    let down = served.server.shutdown(Some(Duration::from_secs(2)));
    let opened = async {
        let error = waits.await.unwrap().unwrap_err();
        served.gate.open();
        error
    };
    let (stuck, error) = tokio::join!(down, opened);
    assert!(stuck.is_empty());
    assert_eq!(error.problem().unwrap().code, "shutting_down");
    while events.next().await.unwrap().is_some() {}
    assert!(!served.server.socket().exists());
    assert!(client.status().await.is_err());
}

#[tokio::test(flavor = "current_thread")]
async fn a_load_that_ends_during_shutdown_gives_no_lease() {
    let served = Served::start(ServerConfig::default()).await;
    let (client, waiter) = (served.client(), served.client());
    let waits =
        tokio::spawn(async move { waiter.acquire(&ask(&["slow"], Bind::Ttl, None, "w")).await });
    until("the load", async || client.component("slow").await.unwrap().state == State::Loading)
        .await;
    // A lease that comes now would end with nothing but the patience of the shutdown.
    let down = served.server.shutdown(Some(DEADLINE * 4));
    let opened = async {
        served.gate.open();
        waits.await.unwrap().unwrap_err()
    };
    let (stuck, error) = tokio::join!(down, opened);
    assert!(stuck.is_empty());
    assert_eq!(error.problem().unwrap().code, "shutting_down");
}

#[tokio::test(flavor = "current_thread")]
async fn not_ready_names_what_is_missing() {
    use crate::support::{Gate, components};
    use majordomo::{ByteSize, ComponentSpec, LoadError, Priority};
    let gate = Gate::default();
    let mut spec = ComponentSpec::builtin("ears").unwrap();
    spec.priority = Priority::Core;
    spec.memory = ByteSize::mib(1);
    let fails = |_| -> Result<(), LoadError> { Err("no microphone".to_owned().into()) };
    let builder = components(ServerConfig::default(), &gate).builtin(spec, fails);
    let manager = builder.start().await.unwrap();
    let served = Served::over(manager, gate, majordomo_server::ServeOptions::default()).await;
    until("the failure", async || {
        let answer = served.ask("GET", "/readyz", "", "").await;
        let (status, code, value) = problem(&answer);
        assert_eq!((status, code.as_str()), (503, "not_ready"));
        value["detail"].as_str().unwrap().contains("no microphone")
    })
    .await;
    // The back-off grows with each failure, and so does the time after which it is worth asking again.
    until("a later attempt", async || {
        let answer = served.ask("GET", "/readyz", "", "").await;
        let value = problem(&answer).2;
        // The other CORE component may still be loading.
        let missing = value["missing"].as_array().unwrap().iter().filter_map(|m| m.as_str());
        let ears = missing.filter(|m| m.contains("CORE component ears")).collect::<Vec<_>>();
        let [missing] = ears[..] else { panic!("{value}") };
        let seconds = value["retry_after_s"].as_u64().unwrap();
        seconds > 1
            && missing.contains("tried again in")
            && missing.contains("`majordomo load ears`")
    })
    .await;
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_revoked_lease_is_not_renewed() {
    let served = Served::start(ServerConfig::default()).await;
    let client = served.client();
    let lease = client.acquire(&ask(&["music"], Bind::Ttl, Some(60_000), "a")).await.unwrap();
    let other = served.client();
    let unloading = tokio::spawn(async move { other.unload("music", true).await });
    until("the revocation", async || {
        client.lease(&lease.id).await.unwrap().state == LeaseState::Revoked
    })
    .await;
    let status = client.status().await.unwrap();
    assert!(status.holders.iter().all(|h| h.revoked), "{:?}", status.holders);
    let before = client.lease(&lease.id).await.unwrap();
    let error = client.renew(&lease.id, Some(600_000)).await.unwrap_err();
    let problem = error.problem().unwrap();
    assert_eq!((problem.code.as_str(), problem.status), ("lease_revoked", 410));
    // A builtin is still in use by its holder: it has not ended.
    assert!(
        problem.detail.contains("music is being stopped: an operator requested it"),
        "{problem}"
    );
    assert_eq!(problem.more["components"][0]["component"], "music");
    let after = client.lease(&lease.id).await.unwrap();
    assert!(after.expires_in_ms <= before.expires_in_ms, "it is not extended");
    client.release(&lease.id).await.unwrap();
    unloading.await.unwrap().unwrap();
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn client_blocked_by_its_own_lease_is_refused_at_once() {
    let served = Served::start(ServerConfig::default()).await;
    let client = served.client();
    client.acquire(&ask(&["music", "mail"], Bind::Ttl, None, "own")).await.unwrap();
    // By the same connection, and by another of the same tag and process.
    for (client, tag) in [(client, "other"), (served.client(), "own")] {
        let error = client.acquire(&ask(&["big"], Bind::Ttl, None, tag)).await.unwrap_err();
        let problem = error.problem().unwrap();
        assert_eq!((problem.code.as_str(), problem.status), ("own_leases", 409));
        assert_eq!(problem.more["missing"][0], "big");
        assert!(problem.detail.contains("exchange the lease"), "{problem}");
    }
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_command_without_a_lease_is_refused_at_once_for_its_process_own_untagged_lease() {
    let served = Served::start(ServerConfig::default()).await;
    let untagged = LeaseRequest { tag: None, ..ask(&["music", "mail"], Bind::Ttl, None, "") };
    served.client().acquire(&untagged).await.unwrap();
    let command = Command { text: "big please".into(), ..Command::default() };
    let outcome = served.client().command(&command).await.unwrap();
    let problem = outcome.refusal.unwrap();
    assert_eq!(problem.code.as_str(), "own_leases", "{problem}");
    served.end().await;
}

fn exchange_for(components: &[&str]) -> Exchange {
    let components = components.iter().map(|c| (*c).to_owned()).collect();
    Exchange { components, ..Exchange::default() }
}

fn names(lease: &Lease) -> Vec<&str> {
    lease.components.iter().map(|c| c.component.as_str()).collect()
}

#[tokio::test(flavor = "current_thread")]
async fn a_commands_lease_is_exchanged_for_the_place_that_it_holds() {
    let served = Served::start(ServerConfig::default()).await;
    let client = served.client();
    let terms = LeaseTerms { ttl_ms: Some(60_000), ..LeaseTerms::default() };
    let text = "music please and mail please".to_owned();
    let command = Command { text, lease: Some(terms), ..Command::default() };
    let lease = client.command(&command).await.unwrap().lease.unwrap();
    assert_eq!(lease.components.len(), 2);
    let exchanged = client.exchange(&lease.id, &exchange_for(&["big"])).await.unwrap();
    assert_eq!((exchanged.id.as_str(), names(&exchanged)), (lease.id.as_str(), vec!["big"]));
    assert_eq!(leases_of(&served, "music").await + leases_of(&served, "mail").await, 0);
    assert_eq!(names(&client.lease(&lease.id).await.unwrap()), ["big"]);
    // Still a command's: its feedback ends it.
    let feedback =
        Feedback { lease: lease.id.clone(), used: vec!["big".into()], ..Feedback::default() };
    assert!(client.feedback(&feedback).await.unwrap().accepted);
    until("its end", async || leases_of(&served, "big").await == 0).await;
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_refused_exchange_leaves_the_lease_as_it_was() {
    let served = Served::start(ServerConfig::default()).await;
    let client = served.client();
    let lease = client.acquire(&ask(&["music"], Bind::Ttl, None, "a")).await.unwrap();
    let too_large = exchange_for(&["music", "mail", "big"]);
    for (exchange, code) in
        [(too_large, "too_large"), (exchange_for(&["none"]), "unknown_component")]
    {
        let error = client.exchange(&lease.id, &exchange).await.unwrap_err();
        assert_eq!(error.problem().unwrap().code, code);
        let kept = client.lease(&lease.id).await.unwrap();
        assert_eq!((names(&kept), kept.state), (vec!["music"], LeaseState::Active));
        assert_eq!(leases_of(&served, "music").await, 1);
    }
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn exchange_whose_client_disconnects_does_not_change_the_lease() {
    let served = Served::start(ServerConfig::default()).await;
    let client = served.client();
    let lease = client.acquire(&ask(&["music"], Bind::Ttl, None, "a")).await.unwrap();
    let leaver = served.client();
    let id = lease.id.clone();
    let waits = tokio::spawn(async move { leaver.exchange(&id, &exchange_for(&["slow"])).await });
    until("the load", async || client.component("slow").await.unwrap().state == State::Loading)
        .await;
    let error = client.exchange(&lease.id, &exchange_for(&["mail"])).await.unwrap_err();
    assert_eq!(error.problem().unwrap().code, "exchange_under_way");
    waits.abort();
    until("the end of the wait", async || demands(&client).await == 0).await;
    until("the lease to be back", async || leases_of(&served, "music").await == 1).await;
    assert_eq!(names(&client.lease(&lease.id).await.unwrap()), ["music"]);
    // It may be exchanged again.
    client.exchange(&lease.id, &exchange_for(&["mail"])).await.unwrap();
    assert_eq!(leases_of(&served, "music").await, 0);
    served.end().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_command_whose_components_do_not_fit_together_has_those_that_do() {
    let served = Served::start(ServerConfig::default()).await;
    let client = served.client();
    let text = "music please, big please, mail please".to_owned();
    let lease = Some(LeaseTerms::default());
    let outcome = client.command(&Command { text, lease, ..Command::default() }).await.unwrap();
    assert!(outcome.refusal.is_none(), "{outcome:?}");
    let [left] = outcome.left_out.as_slice() else { panic!("{outcome:?}") };
    assert_eq!(left.refusal.code, "too_large");
    let had = outcome.lease.unwrap();
    assert_eq!(had.components.len(), 2);
    assert!(!names(&had).contains(&left.component.as_str()));
    let events = client.events(None, None).await.unwrap().events;
    let granted = events.iter().rfind(|e| e.event == "granted").unwrap();
    assert_eq!(granted.more["left_out"][0]["component"], left.component.as_str());
    assert!(granted.text.contains(&format!("left out: {}", left.component)), "{}", granted.text);
    // Asked for by name it stays all or none.
    let all = ask(&["music", "mail", "big"], Bind::Ttl, None, "b");
    let error = served.client().acquire(&all).await.unwrap_err();
    assert_eq!(error.problem().unwrap().code, "too_large");
    served.end().await;
}
