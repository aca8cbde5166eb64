//! Programs that sleep under memory need, and are woken by demands. The need is in a pool of declared memory, as of a graphics
//! card, so that no test depends on the memory of its machine.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use majordomo_core::{ByteSize, ComponentStatus, Config, ParkChoice};
use majordomo_engine::OperatorAction;
use majordomo_registry::{
    AsleepSpec, Catalog, ComponentSpec, LoaderSpec, PoolSpec, ProbeSpec, ProcessSpec, ReadySpec,
    ServiceRequest, StepRequest, StepSpec, StopSpec, TrimSignal,
};
use majordomo_runtime::clock::WallClock;
use majordomo_runtime::{AcquireOptions, AnyLease, Host, ShellParts};

use crate::support::{Dir, add_async, hidden, lives, loader, log_text, spec};

pub(crate) fn tests(tests: &mut Vec<Trial>) {
    macro_rules! add {
        ($($test:ident)*) => {$(
            add_async(tests, concat!("sleeping::", stringify!($test)), $test);
        )*};
    }
    add! {
        program_sleeps_by_requests_for_another_demand_and_keeps_process_address_and_connections
        example_of_the_guide_runs_against_a_stub_of_its_endpoints
        program_that_refuses_to_sleep_is_unloaded_for_the_demand
        program_that_is_never_parked_does_not_sleep
        program_that_does_not_answer_its_request_to_sleep_by_its_timeout_is_unloaded
        program_that_refuses_to_wake_is_loaded_again_for_the_waiting_demand
        program_is_woken_before_its_probe_fails_and_granted_after_it_answers
        end_of_a_sleeping_program_is_its_state_and_the_next_demand_loads_it
        program_sleeps_and_wakes_by_signals_and_its_memory_is_the_answer
        program_sleeps_and_wakes_by_commands
        call_of_a_sleeping_program_follows_its_wake
        unload_of_a_sleeping_program_that_handles_no_term_kills_it_without_a_wake
        unload_of_a_sleeping_program_that_handles_term_lets_it_save
        unload_of_a_sleeping_program_with_the_protocol_of_lines_ends_its_input
        unload_during_a_request_to_sleep_ends_the_request
        unload_of_a_sleeping_program_sends_its_request_to_stop
    }
}

const GPU: &str = "gpu";
const NEVER: Duration = Duration::from_secs(3600);

/// A component of 1 GiB of the card, of which there is room for one, and 40 MiB of main memory.
fn component(name: &str, program: ProcessSpec) -> ComponentSpec {
    ComponentSpec::of_program(name, program)
        .unwrap()
        .memory(ByteSize::mib(40))
        .memory_in(GPU, ByteSize::gib(1))
        .asleep(AsleepSpec { memory: Some(ByteSize::mib(60)), ..AsleepSpec::default() })
}

/// The program that takes the card from the others.
fn other() -> ComponentSpec {
    let program = spec(&["say", "up"], ReadySpec::Stdout("up".into()));
    ComponentSpec::of_program("other", program)
        .unwrap()
        .memory(ByteSize::mib(10))
        .memory_in(GPU, ByteSize::gib(1))
}

fn post(path: &str) -> StepSpec {
    StepSpec::new(StepRequest::Http(ServiceRequest::parse_or_post(path).unwrap()))
}

/// A server with vLLM's endpoints, whose requests to sleep and to wake are answered with these codes.
fn server(codes: [&str; 2]) -> ProcessSpec {
    spec(&["sleeper", "{port}", codes[0], codes[1]], ReadySpec::Http("/health".into()))
        .sleep(post("POST /sleep?level=1"))
        .wake(post("/wake_up"))
        .probe(ProbeSpec::new(ReadySpec::Http("/health".into())))
}

struct World {
    host: Host,
    // Removed after the host has ended.
    _dir: Dir,
}

impl World {
    async fn new(specs: Vec<ComponentSpec>) -> Self {
        let pool = PoolSpec { name: GPU.into(), budget: Some(ByteSize::mib(1500)), declared: true };
        Self::in_pools(specs.into_iter().chain([other()]).collect(), vec![pool]).await
    }

    async fn in_pools(specs: Vec<ComponentSpec>, pools: Vec<PoolSpec>) -> Self {
        let dir = Dir::new();
        let catalog = Catalog::build(specs, pools, None).unwrap();
        let host = Host::start(ShellParts {
            catalog: Arc::new(catalog),
            config: Config::default(),
            budget: ByteSize::gib(64),
            factories: BTreeMap::new(),
            processes: Some(loader(&dir, hidden()).await),
            base_dir: dir.0.clone(),
            store: None,
            pressure: None,
            wall_clock: WallClock::default(),
            start: true,
            sections: Vec::new(),
        });
        Self { host: host.unwrap(), _dir: dir }
    }

    async fn lease(&self, name: &str) -> AnyLease {
        let key = self.host.key(name).unwrap();
        let leases = self.host.acquire_all(&[key], AcquireOptions::default()).await;
        leases.unwrap().remove(0)
    }

    /// Loads a component, and takes the card from it.
    async fn press(&self, name: &str) -> ComponentStatus {
        drop(self.lease(name).await);
        let before = self.status(name).await;
        drop(self.lease("other").await);
        before
    }

    async fn status(&self, name: &str) -> ComponentStatus {
        let status = self.host.status().await.unwrap();
        status.components.iter().find(|c| c.id.as_str() == name).unwrap().clone()
    }

    async fn state(&self, name: &str) -> String {
        self.status(name).await.state.to_string()
    }

    /// Waits until a component is in a state.
    async fn until(&self, name: &str, state: &str) {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        while self.state(name).await != state {
            looks.tick().await;
        }
    }

    fn log(&self, name: &str) -> Vec<String> {
        log_text(&self.host.logs(self.host.key(name).unwrap()).unwrap())
    }

    fn said(&self, name: &str, words: &str) -> usize {
        self.log(name).iter().filter(|line| line.contains(words)).count()
    }

    /// The texts of all events.
    fn events(&self) -> Vec<String> {
        let catalog = self.host.catalog();
        let name = |key| catalog.id(key).to_string();
        let records = self.host.events().tail(usize::MAX);
        records.iter().map(|record| record.kind.text(&name)).collect()
    }

    async fn unload(&self, name: &str) {
        let key = self.host.key(name).unwrap();
        self.host.operate(key, OperatorAction::Unload { force: false }).await.unwrap();
    }

    async fn end(self) {
        assert!(self.host.shutdown(None).await.is_empty());
    }
}

/// A connection that a client keeps.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(port: u16) -> Self {
        Self(BufReader::new(TcpStream::connect(("127.0.0.1", port)).unwrap()))
    }

    /// The code of the answer.
    fn get(&mut self, path: &str) -> String {
        write!(self.0.get_mut(), "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut status = String::new();
        self.0.read_line(&mut status).unwrap();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            if line == "\r\n" {
                return status.split(' ').nth(1).unwrap().to_owned();
            }
        }
    }
}

async fn program_sleeps_by_requests_for_another_demand_and_keeps_process_address_and_connections() {
    let world = World::new(vec![component("chat", server(["200", "200"]))]).await;
    drop(world.lease("chat").await);
    let before = world.status("chat").await;
    assert_eq!(before.apart[0].booked, ByteSize::gib(1));
    let port = before.endpoint.clone().unwrap().port.unwrap();
    let mut client = Client::connect(port);
    assert_eq!(client.get("/v1/models"), "200");

    drop(world.lease("other").await);
    let asleep = world.status("chat").await;
    assert_eq!((asleep.state.to_string().as_str(), asleep.pid), ("asleep", before.pid));
    assert_eq!(asleep.apart[0].booked, ByteSize::ZERO, "the card is free");
    let measured = asleep.measured.unwrap();
    assert!(measured >= ByteSize::mib(24), "what moved to main memory is measured: {measured}");
    assert!(asleep.booked >= measured, "and booked: {}", asleep.booked);
    assert_eq!(client.get("/v1/models"), "503", "its connection is served all the while");
    let parked = "chat: asleep in ";
    let events: Vec<String> = world.events();
    let event = events.iter().find(|event| event.starts_with(parked)).unwrap();
    assert!(event.ends_with("expected, 1 GiB free in other pools"), "{event}");

    let lease = world.lease("chat").await;
    let awake = world.status("chat").await;
    assert_eq!((awake.state.to_string().as_str(), awake.pid), ("ready", before.pid));
    assert_eq!((awake.apart[0].booked, awake.loads), (ByteSize::gib(1), 1));
    assert_eq!((&awake.endpoint, awake.leases), (&before.endpoint, 1));
    assert_eq!(client.get("/v1/models"), "200", "by the connection from before");
    assert_eq!((world.said("chat", "sleeps"), world.said("chat", "is awake")), (1, 1));
    drop((lease, client));
    world.end().await;
}

async fn example_of_the_guide_runs_against_a_stub_of_its_endpoints() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/write-a-component.md");
    let text = std::fs::read_to_string(guide).unwrap();
    let (_, section) = text.split_once("\n## Sleep\n").unwrap();
    let (_, example) = section.split_once("```toml assistant.toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let loaded = majordomo_registry::parse_toml(example, "assistant.toml", None).unwrap();
    let mut chat = (*loaded.specs[0]).clone();
    let stub = server(["200", "200"]).command;
    let LoaderSpec::Process(program) = &mut chat.loader else { panic!("{:?}", chat.loader) };
    program.command = stub;
    let gpu = chat.memory_in[GPU];
    let world = World::in_pools(vec![chat, other().memory_in(GPU, gpu)], loaded.pools).await;
    let before = world.press("chat").await;
    let asleep = world.status("chat").await;
    assert_eq!((asleep.state.to_string().as_str(), asleep.pid), ("asleep", before.pid));
    assert_eq!(asleep.apart[0].booked, ByteSize::gib(1));
    drop(world.lease("chat").await);
    assert_eq!(world.status("chat").await.pid, before.pid);
    world.end().await;
}

async fn program_is_woken_before_its_probe_fails_and_granted_after_it_answers() {
    let world = World::new(vec![component("chat", server(["200", "200"]))]).await;
    world.press("chat").await;
    assert_eq!(world.state("chat").await, "asleep");
    let lease = world.lease("chat").await;
    // The stub answers two probes after a wake badly.
    let port = world.status("chat").await.endpoint.unwrap().port.unwrap();
    assert_eq!(Client::connect(port).get("/health"), "200");
    drop(lease);
    world.end().await;
}

async fn program_that_refuses_to_sleep_is_unloaded_for_the_demand() {
    let world = World::new(vec![component("chat", server(["500", "200"]))]).await;
    let before = world.press("chat").await;
    let after = world.status("chat").await;
    assert_eq!((after.state.to_string().as_str(), after.pid), ("unloaded", None));
    assert!(!lives(before.pid.unwrap()));
    let line = "sleep failed: POST /sleep?level=1 was answered 500 instead of 2xx";
    assert_eq!(world.said("chat", line), 1, "{:?}", world.log("chat"));
    world.end().await;
}

async fn program_that_is_never_parked_does_not_sleep() {
    let chat = component("chat", server(["200", "200"])).park(ParkChoice::Never);
    let world = World::new(vec![chat]).await;
    world.press("chat").await;
    assert_eq!(world.state("chat").await, "unloaded");
    world.end().await;
}

async fn program_that_does_not_answer_its_request_to_sleep_by_its_timeout_is_unloaded() {
    let mut program = server(["hang", "200"]);
    program.sleep.as_mut().unwrap().timeout = Duration::from_millis(20);
    let world = World::new(vec![component("chat", program)]).await;
    world.press("chat").await;
    assert_eq!(world.state("chat").await, "unloaded");
    assert_eq!(world.said("chat", "sleep failed: no answer within 20ms"), 1);
    world.end().await;
}

async fn program_that_refuses_to_wake_is_loaded_again_for_the_waiting_demand() {
    let world = World::new(vec![component("chat", server(["200", "500"]))]).await;
    let before = world.press("chat").await;
    assert_eq!(world.state("chat").await, "asleep");
    let lease = world.lease("chat").await;
    let after = world.status("chat").await;
    assert_eq!((after.state.to_string().as_str(), after.loads, after.failures), ("ready", 2, 0));
    assert_ne!(after.pid, before.pid);
    drop(lease);
    world.end().await;
}

async fn end_of_a_sleeping_program_is_its_state_and_the_next_demand_loads_it() {
    let world = World::new(vec![component("chat", server(["200", "200"]))]).await;
    let before = world.press("chat").await;
    assert_eq!(world.state("chat").await, "asleep");
    let pid = rustix::process::Pid::from_raw(before.pid.unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    world.until("chat", "unloaded").await;
    assert_eq!(world.status("chat").await.cause, "it was killed by SIGKILL");
    drop(world.lease("chat").await);
    assert_eq!(world.status("chat").await.loads, 2);
    world.end().await;
}

async fn program_sleeps_and_wakes_by_signals_and_its_memory_is_the_answer() {
    let step = |signal| StepSpec::new(StepRequest::Signal(signal));
    let program = spec(&["sleeper-by-signals"], ReadySpec::Stdout("up".into()))
        .sleep(step(TrimSignal::Usr1))
        .wake(step(TrimSignal::Usr2));
    let asleep = AsleepSpec::from(ByteSize::mib(15));
    let world = World::new(vec![component("chat", program).asleep(asleep)]).await;
    let before = world.press("chat").await;
    let parked = world.status("chat").await;
    assert_eq!((parked.state.to_string().as_str(), parked.pid), ("asleep", before.pid));
    let (was, is) = (before.measured.unwrap(), parked.measured.unwrap());
    assert!(is + ByteSize::mib(15) < was, "{was} before, {is} asleep");
    drop(world.lease("chat").await);
    assert_eq!(world.status("chat").await.pid, before.pid);
    world.end().await;
}

async fn program_sleeps_and_wakes_by_commands() {
    let step = |word: &str| {
        let words = ["/bin/sh", "-c", "echo \"$0\" at \"$1\"", word, "{port}"];
        StepSpec::new(StepRequest::Command(words.map(str::to_owned).to_vec()))
    };
    let program = spec(&["sleeper", "{port}", "200", "200"], ReadySpec::Http("/health".into()))
        .sleep(step("dozes"))
        .wake(step("rises"));
    let world = World::new(vec![component("chat", program)]).await;
    let before = world.press("chat").await;
    assert_eq!(world.state("chat").await, "asleep");
    drop(world.lease("chat").await);
    assert_eq!(world.status("chat").await.pid, before.pid);
    let port = before.endpoint.unwrap().port.unwrap();
    for line in ["dozes", "rises"] {
        assert_eq!(world.said("chat", &format!("{line} at {port}")), 1, "{:?}", world.log("chat"));
    }
    world.end().await;
}

/// A program with the protocol of lines that sleeps and wakes by commands that do nothing.
fn lines() -> ProcessSpec {
    let step = || StepSpec::new(StepRequest::Command(vec!["true".to_owned()]));
    spec(&["lines"], ReadySpec::Line)
        .answers_lines(majordomo_registry::StdioSpec::default())
        .sleep(step())
        .wake(step())
}

async fn call_of_a_sleeping_program_follows_its_wake() {
    let world = World::new(vec![component("chat", lines())]).await;
    let before = world.press("chat").await;
    assert_eq!(world.state("chat").await, "asleep");
    // As `majordomo call` and `POST /v1/components/NAME/call` do: a lease first.
    let lease = world.lease("chat").await;
    let request = majordomo_runtime::stdio::CallRequest::text("say hello");
    assert_eq!(lease.call(&request, None).await.unwrap().json(), "\"hello\"");
    assert_eq!(world.status("chat").await.pid, before.pid);
    drop(lease);
    world.end().await;
}

async fn unload_of_a_sleeping_program_with_the_protocol_of_lines_ends_its_input() {
    let world = World::new(vec![component("chat", lines())]).await;
    world.press("chat").await;
    assert_eq!(world.state("chat").await, "asleep");
    world.unload("chat").await;
    assert_eq!(world.said("chat", "end of input"), 1, "{:?}", world.log("chat"));
    world.end().await;
}

async fn unload_of_a_sleeping_program_that_handles_no_term_kills_it_without_a_wake() {
    let world = World::new(vec![component("chat", server(["200", "200"]))]).await;
    world.press("chat").await;
    world.unload("chat").await;
    assert_eq!(world.state("chat").await, "unloaded");
    assert_eq!(world.said("chat", "was killed by SIGKILL"), 1, "{:?}", world.log("chat"));
    assert_eq!(world.said("chat", "is awake"), 0);
    world.end().await;
}

async fn unload_of_a_sleeping_program_that_handles_term_lets_it_save() {
    let mut program = server(["200", "200"]);
    program.command.push("saves".to_owned());
    let world = World::new(vec![component("chat", program)]).await;
    world.press("chat").await;
    assert_eq!(world.state("chat").await, "asleep");
    world.unload("chat").await;
    assert_eq!(world.said("chat", "saved"), 1, "{:?}", world.log("chat"));
    world.end().await;
}

async fn unload_of_a_sleeping_program_sends_its_request_to_stop() {
    let stop = ["/bin/sh", "-c", "echo asked to stop"].map(str::to_owned).to_vec();
    let program = server(["200", "200"]).stop(StopSpec::Command(stop));
    let world = World::new(vec![component("chat", program)]).await;
    world.press("chat").await;
    assert_eq!(world.state("chat").await, "asleep");
    world.unload("chat").await;
    assert_eq!(world.said("chat", "asked to stop"), 1, "{:?}", world.log("chat"));
    world.end().await;
}

async fn unload_during_a_request_to_sleep_ends_the_request() {
    let mut program = server(["200", "200"]);
    let words = ["/bin/sh", "-c", "echo \"dozing $$\"; exec sleep 1000"];
    let how = StepRequest::Command(words.map(str::to_owned).to_vec());
    program.sleep = Some(Box::new(StepSpec { how, timeout: NEVER }));
    let world = World::new(vec![component("chat", program)]).await;
    drop(world.lease("chat").await);
    let key = world.host.key("other").unwrap();
    let host = world.host.guest();
    let waiting =
        tokio::spawn(
            async move { host.acquire_all(&[key], AcquireOptions::default()).await.map(drop) },
        );
    world.until("chat", "parking").await;
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let pid = loop {
        looks.tick().await;
        let log = world.log("chat");
        if let Some(pid) = log.iter().find_map(|line| line.strip_prefix("dozing ")) {
            break pid.parse().unwrap();
        }
    };
    assert!(lives(pid));
    world.unload("chat").await;
    waiting.await.unwrap().unwrap();
    assert_eq!(world.state("chat").await, "unloaded");
    while lives(pid) {
        looks.tick().await;
    }
    world.end().await;
}
