//! Programs that sleep: servers with the endpoints of vLLM's sleep mode, and one that is asked by signals.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{SignalKind, signal};

/// The memory of a program, with each page written.
fn memory(mib: usize) -> Vec<u8> {
    std::hint::black_box(vec![7u8; mib << 20])
}

#[derive(Default)]
struct State {
    #[expect(dead_code, reason = "measured from outside")]
    held: Vec<u8>,
    sleeps: bool,
    /// So many health checks after a wake are answered 503.
    unready: u32,
}

/// Answers `POST /sleep`, `POST /wake_up`, `GET /is_sleeping` and `GET /health`; holds 4 MiB, and 24 MiB while it sleeps. `codes`
/// has the codes of the answers to sleep and wake; `hang` = no answer. With `saves` it handles TERM.
pub(crate) fn server(port: &str, codes: [&str; 2], saves: bool) -> ExitCode {
    let state = Arc::new(Mutex::new(State { held: memory(4), ..State::default() }));
    if saves {
        std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                signal(SignalKind::terminate()).unwrap().recv().await;
                println!("saved");
                std::process::exit(0);
            });
        });
    }
    let listener = TcpListener::bind(("127.0.0.1", port.parse::<u16>().unwrap())).unwrap();
    println!("up");
    for stream in listener.incoming() {
        let (state, codes) = (Arc::clone(&state), codes.map(str::to_owned));
        std::thread::spawn(move || connection(&stream.unwrap(), &state, &codes));
    }
    ExitCode::SUCCESS
}

fn connection(stream: &TcpStream, state: &Mutex<State>, codes: &[String; 2]) {
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(request)) = lines.next() {
        let mut closes = false;
        for line in lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()) {
            closes |= line == "Connection: close";
        }
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut body = String::new();
        let code = match request.trim_end_matches(" HTTP/1.1") {
            "POST /sleep?level=1" => &codes[0],
            "POST /wake_up" => &codes[1],
            "GET /is_sleeping" => {
                body = format!("{{\"is_sleeping\":{}}}", state.sleeps);
                "200"
            }
            "GET /health" if state.unready > 0 => {
                state.unready -= 1;
                "503"
            }
            "GET /health" => "200",
            "GET /v1/models" if state.sleeps => "503",
            "GET /v1/models" => "200",
            _ => "404",
        };
        if code == "hang" {
            drop(state);
            crate::helper::forever();
        }
        let falls_asleep = request.starts_with("POST /sleep");
        if request.starts_with("POST") && code == "200" {
            *state = State {
                held: memory(if falls_asleep { 24 } else { 4 }),
                sleeps: falls_asleep,
                unready: 2,
            };
            println!("{}", if falls_asleep { "sleeps" } else { "is awake" });
        }
        drop(state);
        let answer = format!("HTTP/1.1 {code} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let mut stream = stream;
        if stream.write_all(answer.as_bytes()).is_err() || closes {
            return;
        }
    }
}

/// Holds 24 MiB; gives 20 of them back at USR1, and takes them again at USR2.
pub(crate) fn by_signals() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut sleep = signal(SignalKind::user_defined1()).unwrap();
        let mut wake = signal(SignalKind::user_defined2()).unwrap();
        for word in std::iter::once("up").chain(std::iter::repeat("is awake")) {
            let held = memory(24);
            println!("{word}");
            sleep.recv().await;
            drop(held);
            println!("sleeps");
            wake.recv().await;
        }
        ExitCode::SUCCESS
    })
}
