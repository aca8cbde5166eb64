//! Services that run elsewhere: woken, probed, put to sleep, and never started.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use majordomo::{
    CallError, CallRequest, ComponentSpec, ComponentState, ExternalSpec, Factory, LoaderSpec,
    Manager, ProbeSpec, ReadySpec, Refusal, ServiceRequest, ServiceUrl,
};

use crate::eventually::until;
use crate::support::{UP, World, lease, mib, ms, run, says, status};

/// The code of a request that is never answered.
const HANGS: u16 = 0;

/// A service of this test: answers each path with the code that it has, and keeps what it was asked.
#[derive(Clone)]
struct Service {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    codes: Arc<Mutex<Vec<(&'static str, u16)>>>,
}

impl Service {
    fn start(codes: &[(&'static str, u16)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let service =
            Self { port, asked: Arc::default(), codes: Arc::new(Mutex::new(codes.to_vec())) };
        let shared = service.clone();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut request = [0; 1024];
                let n = stream.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..n]).into_owned();
                let Some((line, _)) = request.split_once(" HTTP/1.1\r\n") else { continue };
                assert!(request.contains(&format!("\r\nHost: localhost:{port}\r\n")), "{request}");
                let codes = shared.codes.lock().unwrap();
                let code =
                    codes.iter().find(|(ask, _)| *ask == line).map_or(404, |(_, code)| *code);
                drop(codes);
                shared.asked.lock().unwrap().push(line.to_owned());
                if code == HANGS {
                    kept.push(stream);
                } else {
                    let _ = write!(stream, "HTTP/1.1 {code} X\r\nContent-Length: 0\r\n\r\n");
                }
            }
        });
        service
    }

    fn url(&self) -> ServiceUrl {
        ServiceUrl::parse(&format!("http://localhost:{}", self.port)).unwrap()
    }

    fn set(&self, ask: &'static str, code: u16) {
        let mut codes = self.codes.lock().unwrap();
        codes.retain(|(known, _)| *known != ask);
        codes.push((ask, code));
    }

    fn asked(&self, ask: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == ask).count()
    }

    /// The component `far` of this service, with every request.
    fn spec(&self) -> ComponentSpec {
        let request = |text| Some(ServiceRequest::parse(text).unwrap());
        let probe = ProbeSpec {
            every: ms(20),
            timeout: ms(20),
            ..ProbeSpec::new(ReadySpec::Http("/up".into()))
        };
        let service = ExternalSpec {
            probe,
            wake: request("POST /wake"),
            sleep: request("POST /sleep"),
            ..ExternalSpec::new(self.url())
        };
        ComponentSpec::external("far", service).unwrap()
    }
}

const HEALTHY: [(&str, u16); 3] = [("POST /wake", 204), ("GET /up", 200), ("POST /sleep", 200)];

#[test]
fn service_is_woken_by_a_load_and_put_to_sleep_by_an_unload_and_by_shutdown() {
    run(async {
        let (world, service) = (World::new(), Service::start(&HEALTHY));
        let manager = world.manager(vec![service.spec()]).await;
        assert_eq!(service.asked("POST /wake"), 0);
        let lease = lease(&manager, "far").await.unwrap();
        assert_eq!(lease.endpoint().unwrap().url(), Some(service.url().to_string()));
        let error = lease.call(&CallRequest::text("x"), None).await.unwrap_err();
        assert!(matches!(error, CallError::NotCallable { .. }), "{error}");
        says(&error.to_string(), &[&service.url().to_string()]);
        drop(lease);
        let far = status(&manager, "far").await;
        assert_eq!((far.state, far.pid, far.booked.bytes()), (ComponentState::Ready, None, 0));
        assert_eq!((service.asked("POST /wake"), service.asked("POST /sleep")), (1, 0));
        manager.operator().unload("far", false).await.unwrap();
        assert_eq!(service.asked("POST /sleep"), 1);
        manager.operator().load("far").await.unwrap();
        assert!(manager.shutdown(None).await.is_empty());
        assert_eq!((service.asked("POST /wake"), service.asked("POST /sleep")), (2, 2));
    });
}

#[test]
fn service_that_does_not_get_ready_fails_the_load_and_is_put_to_sleep() {
    run(async {
        let (world, service) = (World::new(), Service::start(&HEALTHY));
        service.set("GET /up", 503);
        let spec = service.spec().load_deadline(ms(300));
        let manager = world.manager(vec![spec]).await;
        match lease(&manager, "far").await {
            Err(refusal @ Refusal::LoadFailed { .. }) => {
                says(&refusal.to_string(), &["not ready", "it answered 503 instead of 200"]);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(service.asked("POST /sleep"), 1);
    });
}

#[test]
fn reason_of_a_failed_load_does_not_depend_on_the_answer_to_sleep() {
    run(async {
        let (world, service) = (World::new(), Service::start(&HEALTHY));
        service.set("GET /up", 503);
        service.set("POST /sleep", HANGS);
        let manager = world.manager(vec![service.spec().load_deadline(ms(1500))]).await;
        let refusal = lease(&manager, "far").await.unwrap_err();
        says(&refusal.to_string(), &["not ready", "it answered 503 instead of 200"]);
        assert_eq!(service.asked("POST /sleep"), 1);
    });
}

#[test]
fn wake_that_is_not_answered_is_the_reason_and_is_followed_by_sleep() {
    run(async {
        let (world, service) = (World::new(), Service::start(&HEALTHY));
        service.set("POST /wake", HANGS);
        let manager = world.manager(vec![service.spec().load_deadline(ms(1500))]).await;
        let refusal = lease(&manager, "far").await.unwrap_err();
        says(&refusal.to_string(), &["not ready", "no answer to POST /wake"]);
        assert_eq!(service.asked("POST /sleep"), 1);
    });
}

#[test]
fn service_that_does_not_answer_sleep_does_not_prolong_a_shutdown() {
    run(async {
        let (world, service) = (World::new(), Service::start(&HEALTHY));
        service.set("POST /sleep", HANGS);
        let manager = world.manager(vec![service.spec().stop_deadline(ms(60_000))]).await;
        drop(lease(&manager, "far").await.unwrap());
        assert!(manager.shutdown(Some(ms(3000))).await.is_empty());
        assert_eq!(service.asked("POST /sleep"), 1);
    });
}

#[test]
fn wake_that_is_refused_fails_the_load_at_once_and_is_followed_by_sleep() {
    run(async {
        let (world, service) = (World::new(), Service::start(&HEALTHY));
        service.set("POST /wake", 500);
        let manager = world.manager(vec![service.spec()]).await;
        match lease(&manager, "far").await {
            Err(refusal @ Refusal::LoadFailed { .. }) => {
                says(&refusal.to_string(), &["POST /wake", "it answered 500 instead of 2xx"]);
            }
            other => panic!("{other:?}"),
        }
        // It may be half awake.
        assert_eq!((service.asked("GET /up"), service.asked("POST /sleep")), (0, 1));
    });
}

#[test]
fn sleep_that_fails_is_logged_and_the_component_is_unloaded() {
    run(async {
        let (world, service) = (World::new(), Service::start(&HEALTHY));
        service.set("POST /sleep", 500);
        let manager = world.manager(vec![service.spec()]).await;
        drop(lease(&manager, "far").await.unwrap());
        manager.operator().unload("far", false).await.unwrap();
        assert_eq!(status(&manager, "far").await.state, ComponentState::UNLOADED);
        let log = manager.operator().logs("far", 0, 100).unwrap();
        let log: Vec<_> = log.lines.iter().map(|line| line.text.to_string()).collect();
        says(&log.join("\n"), &["POST /sleep failed: it answered 500 instead of 2xx"]);
    });
}

#[test]
fn failed_probes_take_a_service_out_and_a_demand_wakes_it_again() {
    run(async {
        let (world, service) = (World::new(), Service::start(&HEALTHY));
        let mut config = crate::support::config();
        config.back_off.base = ms(1);
        let builder = world.builder(vec![service.spec()]).config(config);
        let manager = builder.start().await.unwrap();
        drop(lease(&manager, "far").await.unwrap());
        service.set("GET /up", 500);
        until(|| service.asked("POST /sleep") == 1).await;
        service.set("GET /up", 200);
        drop(lease(&manager, "far").await.unwrap());
        assert_eq!(service.asked("POST /wake"), 2);
    });
}

#[test]
fn dependents_get_the_url_of_a_service_that_takes_connections() {
    run(async {
        let world = World::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("tcp://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let far = ExternalSpec::new(ServiceUrl::parse(&url).unwrap());
        let far = ComponentSpec::external("far", far).unwrap();
        let mut app =
            world.program("app", &format!("echo \"$FAR $MAJORDOMO_FAR_URL\" >seen; {UP}"));
        if let LoaderSpec::Process(process) = &mut app.loader {
            process.env.insert("FAR".into(), "{far.url}".into());
        }
        app.dependencies = vec![far.id.clone()];
        let manager = world.manager(vec![far, app]).await;
        drop(lease(&manager, "app").await.unwrap());
        assert_eq!(world.read("seen"), format!("{url} {url}\n"));
    });
}

/// The component `far`, which takes 80 MiB of this machine, and 10 MiB while it sleeps, and one that needs what it frees.
async fn pressed(world: &World, service: &Service) -> Manager {
    let far = service.spec().memory(mib(80)).asleep(mib(10));
    let near = ComponentSpec::builtin("near").unwrap().memory(mib(80));
    let builder = world.builder(vec![far, near]).budget(mib(150));
    let manager = builder.factory("near", Factory::new(|_| Ok(1u8))).start().await.unwrap();
    drop(lease(&manager, "far").await.unwrap());
    drop(lease(&manager, "near").await.unwrap());
    assert_eq!((service.asked("POST /wake"), service.asked("POST /sleep")), (1, 1));
    manager
}

#[test]
fn service_that_states_its_memory_asleep_sleeps_for_a_demand_and_is_woken_by_its_own() {
    run(async {
        let (world, service) = (World::new(), Service::start(&HEALTHY));
        let manager = pressed(&world, &service).await;
        let far = status(&manager, "far").await;
        assert_eq!((far.state.to_string().as_str(), far.booked), ("asleep", mib(10)));
        let lease = lease(&manager, "far").await.unwrap();
        assert_eq!(lease.endpoint().unwrap().url(), Some(service.url().to_string()));
        let far = status(&manager, "far").await;
        assert_eq!((far.state, far.loads), (ComponentState::Ready, 1));
        assert_eq!(far.booked, far.settled_need, "as after a load");
        assert_eq!((service.asked("POST /wake"), service.asked("POST /sleep")), (2, 1));
    });
}

#[test]
fn unload_of_a_service_that_sleeps_sends_nothing_more() {
    run(async {
        let (world, service) = (World::new(), Service::start(&HEALTHY));
        let manager = pressed(&world, &service).await;
        manager.operator().unload("far", false).await.unwrap();
        assert_eq!(status(&manager, "far").await.state, ComponentState::UNLOADED);
        assert_eq!((service.asked("POST /wake"), service.asked("POST /sleep")), (1, 1));
    });
}

#[test]
fn service_that_refuses_to_wake_is_loaded_for_the_waiting_demand_by_its_next_wake() {
    run(async {
        let (world, service) = (World::new(), Service::start(&HEALTHY));
        let manager = pressed(&world, &service).await;
        service.set("POST /wake", 500);
        let refusal = lease(&manager, "far").await.unwrap_err();
        assert!(matches!(refusal, Refusal::LoadFailed { .. }), "{refusal:?}");
        assert_eq!(service.asked("POST /wake"), 3, "one ends the step, one begins the load");
    });
}
