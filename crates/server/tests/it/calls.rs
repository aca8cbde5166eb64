//! Calls of components over the socket.

use std::path::{Path, PathBuf};

use majordomo::{
    AcquireOptions, ByteSize, ComponentSpec, Config, Manager, ProcessSpec, ServerConfig, StdioSpec,
};
use majordomo_server::wire::{Call, LeaseCall, LeaseRequest};
use majordomo_server::{Address, Client, ClientError, ServeOptions, Token};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::described::description;
use crate::schema::wrong;
use crate::support::{Gate, Served, folder, until};

/// Returns a request, unless its text is an order.
const ANSWERER: &str = r#"echo '{"ready":true}'
while read -r line; do
    id=${line#*:} id=${id%%,*}
    case $line in
    *fail*) echo "{\"id\":$id,\"error\":\"there is no page 3\"}" ;;
    *exit*) exit 3 ;;
    *long*) printf '{"id":%s,"answer":"%05000d"}\n' "$id" 0 ;;
    *large*) printf '{"id":%s,"answer":"%01047000d"}\n' "$id" 0; echo >>answers ;;
    *hold*) while [ ! -e go ]; do sleep 0.01; done; echo "{\"id\":$id,\"answer\":\"held\"}" ;;
    *) echo "{\"id\":$id,\"answer\":$line}" ;;
    esac
done"#;

/// Serves `echo`, which answers lines; `book`, whose answers may be large; `web`, a program with an address; `plain`, one without; and the value `here`.
async fn served() -> (Served, PathBuf) {
    served_at(ServeOptions::default()).await
}

async fn served_at(options: ServeOptions) -> (Served, PathBuf) {
    let dir = folder();
    std::fs::create_dir_all(&dir).unwrap();
    let script = |text: &str| text.replace('{', "{{").replace('}', "}}");
    let program = |name, words: &[&str]| {
        let program = ProcessSpec::new(words.iter().copied()).cwd(&dir);
        ComponentSpec::of_program(name, program).unwrap().memory(ByteSize::mib(10))
    };
    let mut echo = program("echo", &["/bin/sh", "-c", &script(ANSWERER)]);
    if let majordomo::LoaderSpec::Process(process) = &mut echo.loader {
        let bounds = StdioSpec { max_line: ByteSize::kib(4), ..StdioSpec::default() };
        *process = process.clone().answers_lines(bounds);
    }
    let mut book = program("book", &["/bin/sh", "-c", &script(ANSWERER)]);
    if let majordomo::LoaderSpec::Process(process) = &mut book.loader {
        *process = process.clone().answers_lines(StdioSpec::default());
    }
    let config = Config { server: ServerConfig::default(), ..Config::default() };
    let manager = Manager::builder()
        .config(config)
        .budget(ByteSize::mib(100))
        .pressure(None)
        .component(echo)
        .component(book)
        .component(program("web", &["/bin/sh", "-c", "exec sleep 1000", "sh", "{port}"]))
        .component(program("plain", &["/bin/sh", "-c", "exec sleep 1000"]))
        .builtin(ComponentSpec::builtin("here").unwrap(), |_| Ok(()))
        .start()
        .await
        .unwrap();
    (Served::over(manager, Gate::default(), options).await, dir)
}

async fn leases(served: &Served, name: &str) -> u32 {
    let status = served.server.manager().status().await.unwrap();
    status.components.iter().find(|c| c.id.as_str() == name).unwrap().leases
}

fn code<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> (u16, String) {
    match outcome {
        Err(ClientError::Problem(problem)) => (problem.status, problem.code),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "current_thread")]
async fn call_by_name_loads_the_component_and_leaves_no_lease() {
    let (served, dir) = served().await;
    let client = served.client();
    for n in 1..=3 {
        let answered =
            client.call_component("echo", &Call::text("what is \"this\"?")).await.unwrap();
        let answer: Value = serde_json::from_str(answered.answer.get()).unwrap();
        assert_eq!(answer, json!({ "id": n, "text": "what is \"this\"?" }));
        assert_eq!(leases(&served, "echo").await, 0);
    }
    let object = serde_json::value::to_raw_value(&json!({ "page": 3.0 })).unwrap();
    let answered = client.call_component("echo", &Call::object(object)).await.unwrap();
    let answer: Value = serde_json::from_str(answered.answer.get()).unwrap();
    assert_eq!(answer, json!({ "id": 4, "object": { "page": 3.0 } }));
    let doc = description();
    let schema = &doc["components"]["schemas"]["Answered"];
    let (mut out, value) = (Vec::new(), serde_json::to_value(&answered).unwrap());
    wrong(&doc, schema, &value, "the answer", &mut out);
    assert!(out.is_empty(), "{out:?}");
    served.end().await;
    drop(std::fs::remove_dir_all(dir));
}

#[tokio::test(flavor = "current_thread")]
async fn component_of_a_lease_is_called_by_its_name_or_as_the_only_one() {
    let (served, dir) = served().await;
    let client = served.client();
    let acquire = async |names: &[&str]| {
        let components = names.iter().map(|n| (*n).to_owned()).collect();
        client.acquire(&LeaseRequest { components, ..LeaseRequest::default() }).await.unwrap().id
    };
    let one = acquire(&["echo"]).await;
    let several = acquire(&["echo", "plain"]).await;
    let call = |component: Option<&str>| LeaseCall {
        component: component.map(str::to_owned),
        text: Some("x".to_owned()),
        ..LeaseCall::default()
    };
    for (lease, component) in [(&one, None), (&one, Some("echo")), (&several, Some("echo"))] {
        let answered = client.call_lease(lease, &call(component)).await.unwrap();
        assert_eq!(answered.component.as_str(), "echo");
    }
    for component in [None, Some("web")] {
        let outcome = client.call_lease(&several, &call(component)).await;
        assert_eq!(code(outcome), (422, "bad_value".to_owned()), "{component:?}");
    }
    let outcome = client.call_lease(&several, &call(Some("plain"))).await;
    assert_eq!(code(outcome), (409, "not_callable".to_owned()));
    let exit = LeaseCall { text: Some("exit".to_owned()), ..LeaseCall::default() };
    assert_eq!(code(client.call_lease(&one, &exit).await), (502, "call_ended".to_owned()));
    until("the revocation", async || client.lease(&one).await.unwrap().revocation().is_some())
        .await;
    let outcome = client.call_lease(&one, &call(None)).await;
    assert_eq!(code(outcome), (410, "lease_revoked".to_owned()));
    client.release(&one).await.unwrap();
    let outcome = client.call_lease(&one, &call(None)).await;
    assert_eq!(code(outcome), (410, "lease_ended".to_owned()));
    served.end().await;
    drop(std::fs::remove_dir_all(dir));
}

#[tokio::test(flavor = "current_thread")]
async fn call_without_an_answer_is_a_problem_with_its_own_code() {
    let (served, dir) = served().await;
    let client = served.client();
    let ask = async |name: &str, call: Call| code(client.call_component(name, &call).await);
    for (name, way_out) in [("web", "use the address"), ("plain", "protocol"), ("here", "a value")]
    {
        match client.call_component(name, &Call::text("x")).await {
            Err(ClientError::Problem(problem)) => {
                assert_eq!((problem.status, &*problem.code), (409, "not_callable"));
                assert!(problem.detail.contains(way_out), "{problem}");
            }
            other => panic!("{other:?}"),
        }
        let status = served.server.manager().status().await.unwrap();
        let component = status.components.iter().find(|c| c.id.as_str() == name).unwrap();
        assert_eq!(
            component.state,
            majordomo::ComponentState::UNLOADED,
            "nothing is loaded for it"
        );
    }
    let words = |status, code: &str| (status, code.to_owned());
    assert_eq!(ask("nothing", Call::text("x")).await, words(404, "unknown_component"));
    assert_eq!(ask("echo", Call::default()).await, words(422, "bad_value"));
    assert_eq!(ask("echo", Call::text("x".repeat(5000))).await, words(413, "call_too_large"));
    match client.call_component("echo", &Call::text("fail")).await {
        Err(ClientError::Problem(problem)) => {
            assert_eq!((problem.status, &*problem.code), (502, "call_failed"));
            assert_eq!(problem.more["message"], "there is no page 3");
            assert_eq!(problem.more["component"], "echo");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(ask("echo", Call::text("long")).await, words(502, "answer_too_large"));
    let hold = Call { deadline_ms: Some(20), ..Call::text("hold") };
    assert_eq!(ask("echo", hold).await, words(504, "call_deadline_exceeded"));
    std::fs::write(dir.join("go"), "").unwrap();
    client.call_component("echo", &Call::text("x")).await.unwrap();
    served.end().await;
    drop(std::fs::remove_dir_all(dir));
}

/// A call as it is sent.
fn request(name: &str, text: &str) -> String {
    let body = format!("{{\"text\":\"{text}\"}}");
    let head = format!("POST /v1/components/{name}/call HTTP/1.1\r\nhost: localhost\r\n");
    format!("{head}content-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test(flavor = "current_thread")]
async fn client_that_disconnects_takes_its_call_back() {
    let (served, dir) = served().await;
    let mut stream = served.connect().await;
    stream.write_all(request("echo", "hold").as_bytes()).await.unwrap();
    until("the lease of the call", async || leases(&served, "echo").await == 1).await;
    drop(stream);
    until("the end of the lease", async || leases(&served, "echo").await == 0).await;
    std::fs::write(dir.join("go"), "").unwrap();
    let answered = served.client().call_component("echo", &Call::text("next")).await.unwrap();
    assert!(answered.answer.get().contains("next"), "{answered:?}");
    served.end().await;
    drop(std::fs::remove_dir_all(dir));
}

/// Answers of about a MiB that have room while clients do not read them.
const ROOM: usize = 8;
/// Answers that wait for room.
const WAITING: usize = 16;

/// Clients of the Unix socket that have large answers of `book` and do not read them.
async fn unread(served: &Served, dir: &Path, n: usize) -> Vec<UnixStream> {
    let mut unread = Vec::new();
    for _ in 0..n {
        let mut stream = served.connect().await;
        stream.write_all(request("book", "large").as_bytes()).await.unwrap();
        unread.push(stream);
    }
    let n_answers = || std::fs::read_to_string(dir.join("answers")).unwrap_or_default().len();
    until("the answers of the program", async || n_answers() == n).await;
    unread
}

async fn read(unread: Vec<UnixStream>) {
    for mut stream in unread {
        let mut part = vec![0; 1_047_000];
        stream.read_exact(&mut part).await.unwrap();
        assert!(part.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test(flavor = "current_thread")]
async fn small_answer_waits_for_no_large_one_and_large_ones_wait_for_room() {
    let (served, dir) = served().await;
    let unread = unread(&served, &dir, ROOM + 1).await;
    let client = served.client();
    let small = Call { deadline_ms: Some(5000), ..Call::text("x") };
    client.call_component("book", &small).await.unwrap();
    read(unread).await;
    client.call_component("book", &Call::text("large")).await.unwrap();
    served.end().await;
    drop(std::fs::remove_dir_all(dir));
}

#[tokio::test(flavor = "current_thread")]
async fn answer_without_room_is_dropped_at_the_deadline_of_its_call() {
    let (served, dir) = served().await;
    let unread = unread(&served, &dir, ROOM).await;
    let client = served.client();
    let large = Call { deadline_ms: Some(1000), ..Call::text("large") };
    until("an answer that finds no room", async || {
        let code = code(client.call_component("book", &large).await);
        assert!(matches!(&*code.1, "answer_dropped" | "call_deadline_exceeded"), "{code:?}");
        code == (504, "answer_dropped".to_owned())
    })
    .await;
    read(unread).await;
    client.call_component("book", &Call::text("large")).await.unwrap();
    served.end().await;
    drop(std::fs::remove_dir_all(dir));
}

#[tokio::test(flavor = "current_thread")]
async fn slow_readers_of_one_listener_stop_no_call_of_the_other() {
    let token = Token::new("0123456789abcdef0123").unwrap();
    let options = ServeOptions {
        tcp: Some("127.0.0.1:0".parse().unwrap()),
        token: Some(token.clone()),
        ..ServeOptions::default()
    };
    let (served, dir) = served_at(options).await;
    let unread = unread(&served, &dir, ROOM + WAITING).await;
    let large = Call { deadline_ms: Some(20_000), ..Call::text("large") };
    let problem = match served.client().call_component("book", &large).await {
        Err(ClientError::Problem(problem)) => problem,
        other => panic!("{other:?}"),
    };
    assert_eq!((problem.status, &*problem.code), (504, "answer_dropped"));
    assert_eq!(problem.retry_after_s(), None, "the component has carried out the request");
    assert!(problem.detail.contains("16 others wait"), "{problem}");
    let other = Client::new(Address::Tcp(served.server.tcp().unwrap(), token));
    other.call_component("book", &large).await.unwrap();
    read(unread).await;
    served.end().await;
    drop(std::fs::remove_dir_all(dir));
}

#[tokio::test(flavor = "current_thread")]
async fn call_beyond_those_that_may_wait_is_a_problem_that_invites_a_repeat() {
    /// One is with the program, and 256 wait.
    const TAKEN: usize = 257;
    let (served, dir) = served().await;
    let client = served.client();
    let mut taken = tokio::task::JoinSet::new();
    for _ in 0..TAKEN {
        let manager = served.server.manager().clone();
        taken.spawn(async move {
            let hold = majordomo::CallRequest::text("hold");
            manager.call("echo", &hold, AcquireOptions::default()).await.unwrap()
        });
    }
    let short = Call { deadline_ms: Some(1), ..Call::text("x") };
    until("a full queue", async || {
        code(client.call_component("echo", &short).await) == (503, "call_queue_full".to_owned())
    })
    .await;
    std::fs::write(dir.join("go"), "").unwrap();
    taken.join_all().await;
    client.call_component("echo", &Call::text("x")).await.unwrap();
    served.end().await;
    drop(std::fs::remove_dir_all(dir));
}
