//! Addresses of programs, for callers and for the programs that depend on them.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use majordomo::{ComponentSpec, LoaderSpec, Manager, ProcessSpec, Refusal};

use crate::support::{UP, World, lease, run, says, status};

fn process(spec: &mut ComponentSpec) -> &mut ProcessSpec {
    match &mut spec.loader {
        LoaderSpec::Process(process) => process,
        other => panic!("no process: {other:?}"),
    }
}

async fn port(manager: &Manager, name: &str) -> u16 {
    status(manager, name).await.endpoint.unwrap().port.unwrap()
}

#[test]
fn dependents_get_the_addresses_of_their_dependencies() {
    run(async {
        let world = World::new();
        let db = world.command("vector-db", &["/bin/sh", "-c", UP, "{port}", "{socket}"]);
        let mut mid = world.program("mid", UP);
        mid.dependencies = vec![db.id.clone()];
        let script =
            "echo \"$1 $2 $3 $FROM_ENV $MAJORDOMO_VECTOR_DB_URL\" >seen; echo up; exec sleep 1000";
        let words = ["/bin/sh", "-c", script, "sh", "{vector-db.port}", "{vector-db.socket}"];
        let mut app = world.command("app", &[&words[..], &["{vector-db.url}"]].concat());
        process(&mut app).env.insert("FROM_ENV".into(), "<{vector-db.url}>".into());
        app.dependencies = vec![mid.id.clone()];
        let manager = world.manager(vec![db, mid, app]).await;
        for _ in 0..2 {
            drop(lease(&manager, "app").await.unwrap());
            let db = status(&manager, "vector-db").await;
            let endpoint = db.endpoint.unwrap();
            let (url, port) = (endpoint.url().unwrap(), endpoint.port.unwrap());
            let socket = endpoint.socket.unwrap();
            assert_eq!(url, format!("http://127.0.0.1:{port}"));
            let want = format!("{port} {} {url} <{url}> {url}\n", socket.display());
            assert_eq!(world.read("seen"), want);
            assert!(world.processes().contains(&db.pid.unwrap()));
            // A restarted dependency has a new address, which its dependents get.
            manager.operator().unload("vector-db", true).await.unwrap();
            assert_eq!(status(&manager, "vector-db").await.pid, None);
        }
    });
}

#[test]
fn address_variable_set_in_env_is_not_replaced() {
    run(async {
        let world = World::new();
        let db = world.command("db", &["/bin/sh", "-c", UP, "{port}"]);
        let script = "echo \"$MAJORDOMO_DB_URL\" >seen; echo up; exec sleep 1000";
        let mut app = world.program("app", script);
        process(&mut app).env.insert("MAJORDOMO_DB_URL".into(), "elsewhere".into());
        app.dependencies = vec![db.id.clone()];
        let manager = world.manager(vec![db, app]).await;
        drop(lease(&manager, "app").await.unwrap());
        assert_eq!(world.read("seen"), "elsewhere\n");
    });
}

#[test]
fn fixed_port_is_the_endpoint_and_fills_the_placeholder() {
    run(async {
        let world = World::new();
        let fixed = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let script = "echo \"$1\" >seen; echo up; exec sleep 1000";
        let mut a = world.command("a", &["/bin/sh", "-c", script, "sh", "{port}"]);
        process(&mut a).port = Some(fixed);
        let manager = world.manager(vec![a]).await;
        drop(lease(&manager, "a").await.unwrap());
        assert_eq!(port(&manager, "a").await, fixed);
        assert_eq!(world.read("seen"), format!("{fixed}\n"));
    });
}

#[test]
fn taken_fixed_address_is_named_in_the_refusal() {
    run(async {
        let world = World::new();
        let rival = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let taken = rival.local_addr().unwrap().port();
        let _rival = UnixListener::bind(world.path("taken.sock")).unwrap();
        world.write("file", "precious");
        let mut by_port = world.program("by-port", UP);
        process(&mut by_port).port = Some(taken);
        let mut by_socket = world.program("by-socket", UP);
        process(&mut by_socket).socket = Some(world.path("taken.sock"));
        let mut by_file = world.program("by-file", UP);
        process(&mut by_file).socket = Some(world.path("file"));
        let manager = world.manager(vec![by_port, by_socket, by_file]).await;
        let failure = async |name: &str| match lease(&manager, name).await {
            Err(refusal @ Refusal::LoadFailed { .. }) => refusal.to_string(),
            other => panic!("{name}: {other:?}"),
        };
        let of_port = failure("by-port").await;
        says(&of_port, &[&format!("port {taken}"), "taken by another program", "another port"]);
        says(&failure("by-socket").await, &["taken.sock", "another program listens there"]);
        says(&failure("by-file").await, &["file\"", "no socket"]);
        assert_eq!(world.read("file"), "precious");
    });
}

#[test]
fn socket_without_a_listener_is_replaced() {
    run(async {
        let world = World::new();
        drop(UnixListener::bind(world.path("stale.sock")).unwrap());
        assert!(world.path("stale.sock").exists());
        let script = "test -e stale.sock && echo there >seen; echo up; exec sleep 1000";
        let mut a = world.program("a", script);
        process(&mut a).socket = Some(world.path("stale.sock"));
        let manager = world.manager(vec![a]).await;
        drop(lease(&manager, "a").await.unwrap());
        assert_eq!(world.read("seen"), "");
        let endpoint = status(&manager, "a").await.endpoint.unwrap();
        assert_eq!(endpoint.url(), Some(format!("unix:{}", world.path("stale.sock").display())));
    });
}
