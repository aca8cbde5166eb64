//! The other side: what a component or a manager under test does.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use majordomo_core::{StateStore, StoreOp};
use majordomo_runtime::state::RedbStore;

use crate::managers;
use crate::state::put;

/// The first argument that makes this binary a helper.
pub(crate) const ARG: &str = "__helper";

pub(crate) fn main(words: &[String]) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        // Says the words and lives until it is killed.
        ["say", text @ ..] => {
            println!("{}", text.join(" "));
            forever()
        }
        ["exit", code, text @ ..] => {
            println!("{}", text.join(" "));
            ExitCode::from(code.parse::<u8>().unwrap())
        }
        // Shows its words, environment and directory, then reads its standard input to the end.
        ["show", rest @ ..] => {
            println!("words {rest:?}");
            for (name, value) in std::env::vars() {
                println!("env {name}={value}");
            }
            println!("cwd {}", std::env::current_dir().unwrap().display());
            println!("shown");
            let mut input = Vec::new();
            std::io::stdin().read_to_end(&mut input).unwrap();
            println!("stdin ended after {} bytes", input.len());
            forever()
        }
        // Ignores TERM.
        ["stubborn", pid_file, text] => {
            // A shell, since this language has no safe way to ignore a signal. It waits for a child that
            // ignores TERM as well.
            let script = r#"trap '' TERM; echo $$ >"$1"; echo "$2"; while :; do sleep 1; done"#;
            let words = ["-c", script, "sh", pid_file, text];
            panic!("{}", Command::new("/bin/sh").args(words).exec())
        }
        // Starts a child that ignores TERM, and leaves on TERM itself.
        ["parent", child_pid] => {
            let words = [ARG, "stubborn", child_pid, "up"];
            let mut child =
                Command::new(std::env::current_exe().unwrap()).args(words).spawn().unwrap();
            child.wait().unwrap();
            ExitCode::SUCCESS
        }
        // Has a child that does what `child` says: in a session of its own, or that and forgotten by its parent.
        ["with-child", how, child @ ..] => {
            let words = match *how {
                "session" => vec!["own-session"],
                _ => vec!["leave", "own-session"],
            };
            let mut started = own(&[&words, child].concat()).spawn().unwrap();
            started.wait().unwrap();
            forever()
        }
        ["own-session", rest @ ..] => {
            rustix::process::setsid().unwrap();
            panic!("{}", own(rest).exec())
        }
        // Starts a process and ends at once.
        ["leave", rest @ ..] => leave(rest),
        // Saves a file some time after TERM, then ends.
        ["saver", pid_file, file] => {
            let script = r#"trap 'sleep 0.2; echo saved >"$2"; exit 0' TERM; echo $$ >"$1"; echo up
                while :; do sleep 0.01; done"#;
            panic!("{}", Command::new("/bin/sh").args(["-c", script, "sh", pid_file, file]).exec())
        }
        // Takes connections at an address until it is killed.
        ["listen", ip, port] => {
            let ip: std::net::IpAddr = ip.parse().unwrap();
            let listener = TcpListener::bind((ip, port.parse::<u16>().unwrap())).unwrap();
            for stream in listener.incoming() {
                drop(stream);
            }
            ExitCode::SUCCESS
        }
        // Answers every POST of /trim with the code, and says so.
        ["trimmed", port, code] => {
            let listener = TcpListener::bind(("127.0.0.1", port.parse::<u16>().unwrap())).unwrap();
            loop {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let n = stream.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..n]);
                if !request.starts_with("POST /trim HTTP/1.1\r\n") {
                    continue;
                }
                assert!(request.contains("\r\nContent-Length: 0\r\n"), "{request}");
                println!("trimmed");
                let _ = write!(stream, "HTTP/1.1 {code} X\r\nContent-Length: 0\r\n\r\n");
            }
        }
        // Answers a POST of /shutdown with the code, and ends if that is 2xx; with `none` it closes all connections, and
        // ends some time later.
        ["shutdown", ip, port, code] => {
            let ip: std::net::IpAddr = ip.parse().unwrap();
            let listener = TcpListener::bind((ip, port.parse::<u16>().unwrap())).unwrap();
            loop {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let n = stream.read(&mut request).unwrap_or(0);
                if !request[..n].starts_with(b"POST /shutdown HTTP/1.1\r\n") {
                    continue;
                }
                if *code == "none" {
                    drop((stream, listener));
                    let _ = Command::new("sleep").arg("0.3").status();
                    return ExitCode::from(5);
                }
                let _ = write!(stream, "HTTP/1.1 {code} X\r\nContent-Length: 0\r\n\r\n");
                if code.starts_with('2') {
                    return ExitCode::from(5);
                }
            }
        }
        // Answers HTTP in parts, the second of them when the client has sent all that it will; ends at an answer that
        // cannot be written.
        ["parts", port] => {
            let listener = TcpListener::bind(("127.0.0.1", port.parse::<u16>().unwrap())).unwrap();
            loop {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 1024]);
                let parts = ["HTTP/1.1 200 OK\r\n", "Content-Length: 2\r\n", "\r\n", "ok"];
                for part in parts {
                    if stream.write_all(part.as_bytes()).is_err() {
                        return ExitCode::from(9);
                    }
                    if part == parts[0] {
                        let _ = stream.read_to_end(&mut Vec::new());
                    }
                }
            }
        }
        // Answers HTTP: first the codes of one list, then those of the other, the last of it for ever.
        ["http", port, first, then] => {
            let listener = TcpListener::bind(("127.0.0.1", port.parse::<u16>().unwrap())).unwrap();
            let codes: Vec<&str> = first.split(',').chain(then.split(',')).collect();
            let mut next = 0;
            let mut kept = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let n = stream.read(&mut request).unwrap_or(0);
                if !request[..n].starts_with(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:") {
                    continue;
                }
                let code = codes[next.min(codes.len() - 1)];
                next += 1;
                if code == "hang" {
                    kept.push(stream);
                } else {
                    let _ = write!(stream, "HTTP/1.1 {code} X\r\nContent-Length: 0\r\n\r\n");
                }
            }
        }
        // Answers GET of /health with 200, and says every other request and answers it as `how` says.
        ["warms", port, how] => crate::warming::server(port, how),
        ["sleeper", port, sleep, wake, more @ ..] => {
            crate::sleeper::server(port, [sleep, wake], more == ["saves"])
        }
        ["sleeper-by-signals"] => crate::sleeper::by_signals(),
        ["lines", more @ ..] => lines(more),
        ["unix", path] => {
            let listener = UnixListener::bind(path).unwrap();
            loop {
                drop(listener.accept().unwrap());
            }
        }
        // The first `fail` times it finds its port taken.
        ["bind", port, count_file, fail] => {
            let so_far = std::fs::read_to_string(count_file).unwrap_or_default();
            std::fs::write(count_file, format!("{so_far}x")).unwrap();
            if so_far.len() < fail.parse().unwrap() {
                eprintln!("bind: Address already in use");
                return ExitCode::FAILURE;
            }
            let _listener = TcpListener::bind(("127.0.0.1", port.parse::<u16>().unwrap())).unwrap();
            forever()
        }
        // As fast as it can, one endless line and many short ones in turn; writes its progress to a file.
        ["flood", progress] => {
            let mut out = std::io::stdout().lock();
            let line = [b'x'; 100_000];
            for round in 0u64.. {
                out.write_all(&line).unwrap();
                for _ in 0..1000 {
                    out.write_all(b"\nshort").unwrap();
                }
                out.write_all(b"\nflooding\n").unwrap();
                std::fs::write(progress, format!("{round}\n")).unwrap();
            }
            ExitCode::SUCCESS
        }
        // Has so many MiB.
        ["hog", mib] => {
            let bytes = vec![7u8; mib.parse::<usize>().unwrap() << 20];
            println!("up");
            std::hint::black_box(&bytes);
            forever()
        }
        // Had so many MiB while it started.
        ["spike", mib] => {
            std::hint::black_box(vec![7u8; mib.parse::<usize>().unwrap() << 20]);
            println!("up");
            forever()
        }
        // Has 20 MiB or more; forks while there is the file `go`. A fork waits until the file is removed, writes to
        // all pages that it shares and waits, or ends at once (and the next one is started).
        ["forks", n, go, child] => {
            // A shell, since this language has no safe way to fork.
            let script = r#"x=$(head -c 20000000 /dev/zero | tr '\0' x); echo up
                while [ ! -e "$2" ]; do sleep 0.01; done
                waits() { while [ -e "$go" ]; do sleep 0.05; done; }
                writes() { x=$(printf %s "$x" | tr x y); waits; }
                ends() { sleep 0.2; }
                go=$2 i=0
                while [ $i -lt "$1" ]; do
                    ($3; :) &
                    [ "$3" = ends ] && wait
                    i=$((i + 1))
                done
                echo forked; wait; while :; do sleep 1; done"#;
            panic!("{}", Command::new("/bin/sh").args(["-c", script, "sh", n, go, child]).exec())
        }
        ["open-state", dir] => {
            match RedbStore::open(Path::new(dir)) {
                Ok(_) => println!("opened"),
                Err(e) => println!("{e}"),
            }
            ExitCode::SUCCESS
        }
        // Under a limit on file sizes: a batch too large in between two small ones.
        ["fill-state", dir] => {
            let (store, _) = RedbStore::open(Path::new(dir)).unwrap();
            store.apply(&[put("a", "before", b"1")]).unwrap();
            let big: Vec<StoreOp> =
                (0..64).map(|i| put("big", &i.to_string(), &[7; 1 << 20])).collect();
            println!("{}", store.apply(&big).unwrap_err());
            assert_eq!(store.get("a", "before").unwrap().as_deref(), Some(&b"1"[..]));
            store.apply(&[put("a", "after", b"2")]).unwrap();
            ExitCode::SUCCESS
        }
        [kind, dir, rest @ ..] if kind.contains("manager") => managers::main(kind, dir, rest),
        other => panic!("no such helper: {other:?}"),
    }
}

/// Answers lines of JSON. The text of a request is an order.
fn lines(more: &[&str]) -> ExitCode {
    println!("starting");
    println!("{{\"ready\":true}}");
    let mut held = Vec::new();
    for line in std::io::stdin().lines() {
        let request: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let id = &request["id"];
        let text = request["text"].as_str().unwrap_or("object").to_owned();
        let words: Vec<&str> = text.split(' ').collect();
        match words.as_slice() {
            ["say", rest @ ..] => println!("{{\"id\":{id},\"answer\":{:?}}}", rest.join(" ")),
            ["object"] => println!("{{\"id\":{id},\"answer\":{}}}", request["object"]),
            ["fail"] => println!("{{\"id\":{id},\"error\":\"there is no page 3\"}}"),
            ["chatter"] => {
                println!("thinking\r50%\r100%");
                println!("{{\"level\":\"info\",\"id\":{id}}}");
                eprintln!("{{\"id\":{id},\"answer\":\"on standard error\"}}");
                println!("{{\"id\":99,\"answer\":\"for another\"}}");
                println!("{{\"id\":{id},\"answer\":\"real\"}}");
            }
            ["never"] => {}
            ["long", n] => {
                let long = "x".repeat(n.parse().unwrap());
                println!("{{\"id\":{id},\"answer\":\"{long}\"}}");
            }
            // Answered with the next release, the newest first.
            ["hold"] => held.push(id.clone()),
            ["release"] => {
                println!("{{\"id\":{id},\"answer\":{}}}", held.len());
                for id in held.drain(..).rev() {
                    println!("{{\"id\":{id},\"answer\":\"released\"}}");
                }
            }
            ["exit", code] => {
                println!("{{\"id\":{id}");
                return ExitCode::from(code.parse::<u8>().unwrap());
            }
            other => panic!("no such order: {other:?}"),
        }
    }
    println!("end of input");
    if more == ["stays"] { forever() } else { ExitCode::SUCCESS }
}

#[expect(clippy::zombie_processes, reason = "the test needs a process that loses its parent")]
fn leave(words: &[&str]) -> ExitCode {
    own(words).spawn().unwrap();
    ExitCode::SUCCESS
}

/// This binary as another helper.
fn own(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(ARG).args(words);
    command
}

pub(crate) fn forever() -> ! {
    loop {
        std::thread::park();
    }
}
