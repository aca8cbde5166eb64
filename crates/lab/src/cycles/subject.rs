//! The programs that are parked and woken: a server with connections that stay open, one with child processes, one with locked
//! memory, and one that is no server. Each answers from memory that a page which was lost or mixed up would show.

use std::io::{BufRead as _, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;

use crate::hog::lock_all;

/// Arguments of `park-subject`.
#[derive(clap::Args)]
pub(crate) struct Args {
    kind: Kind,
    /// The port of a server
    #[arg(default_value_t = 0)]
    port: u16,
    /// Memory to answer from, MiB
    #[arg(long, default_value_t = 16)]
    mib: usize,
}

/// A kind of program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// HTTP/1.1 with connections that stay open.
    Server,
    /// The same, whose answers come from child processes.
    Parent,
    /// The same, with locked memory.
    Locked,
    /// Lines of JSON on standard streams.
    Lines,
    /// A child of [`Kind::Parent`]: a seed on each line, a sum on each line back.
    Child,
}

const PAGE: usize = 4096;
/// The start of a program, which as a rule reads what it needs first. One that starts as fast as it wakes is not parked.
pub(super) const START: Duration = Duration::from_millis(250);
/// Child processes of a parent.
const N_CHILDREN: usize = 2;
/// Pages that an answer reads, spread over the memory.
const N_READ: u64 = 64;

/// The first word of a page: a mix of its number (splitmix64), so that no two pages are alike.
fn word(page: u64) -> u64 {
    let mut z = page.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The pages that the answer to a seed reads.
fn pages(seed: u64, n_pages: u64) -> impl Iterator<Item = u64> {
    (0..N_READ).map(move |i| word(seed.wrapping_mul(N_READ).wrapping_add(i)) % n_pages.max(1))
}

/// The right answer to a seed by a program with so much memory.
pub(super) fn right_answer(kind: Kind, seed: u64, mib: usize) -> u64 {
    let n_pages = |mib: usize| ((mib << 20) / PAGE) as u64;
    let sum = |n_pages| pages(seed, n_pages).map(word).fold(0, u64::wrapping_add);
    match kind {
        Kind::Parent => {
            (0..N_CHILDREN).fold(0, |all, _| sum(n_pages(mib / N_CHILDREN)).wrapping_add(all))
        }
        _ => sum(n_pages(mib)),
    }
}

/// Pages with words.
struct Memory(Vec<u8>);

impl Memory {
    fn new(mib: usize) -> Self {
        let mut bytes = vec![0u8; mib << 20];
        for (i, page) in bytes.chunks_mut(PAGE).enumerate() {
            page[..8].copy_from_slice(&word(i as u64).to_le_bytes());
        }
        Self(bytes)
    }

    /// Reads the pages of a seed, and writes into one of them, as models do.
    fn answer(&mut self, seed: u64) -> u64 {
        let n_pages = (self.0.len() / PAGE) as u64;
        let mut sum = 0u64;
        for page in pages(seed, n_pages) {
            let at = page as usize * PAGE;
            let bytes: [u8; 8] = self.0[at..at + 8].try_into().unwrap_or_default();
            sum = sum.wrapping_add(u64::from_le_bytes(bytes));
            self.0[at + 8] = self.0[at + 8].wrapping_add(1);
        }
        sum
    }
}

/// A child process with its streams.
struct Worker {
    _child: Child,
    seeds: ChildStdin,
    sums: BufReader<ChildStdout>,
}

impl Worker {
    fn start(mib: usize) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["park-subject", "child", "--mib", &mib.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let seeds = child.stdin.take().context("no standard input")?;
        let sums = BufReader::new(child.stdout.take().context("no standard output")?);
        Ok(Self { _child: child, seeds, sums })
    }

    fn answer(&mut self, seed: u64) -> anyhow::Result<u64> {
        writeln!(self.seeds, "{seed}")?;
        let mut line = String::new();
        self.sums.read_line(&mut line)?;
        Ok(line.trim().parse()?)
    }
}

/// Where answers come from.
enum Source {
    Own(Memory),
    Children(Vec<Worker>),
}

impl Source {
    fn answer(&mut self, seed: u64) -> anyhow::Result<u64> {
        match self {
            Self::Own(memory) => Ok(memory.answer(seed)),
            Self::Children(workers) => workers
                .iter_mut()
                .try_fold(0u64, |sum, worker| Ok(sum.wrapping_add(worker.answer(seed)?))),
        }
    }
}

/// Becomes the program.
#[expect(clippy::disallowed_methods, reason = "the start-up of this program is a sleep")]
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.kind != Kind::Child {
        std::thread::sleep(START);
    }
    match args.kind {
        Kind::Lines => lines(&mut Memory::new(args.mib)),
        Kind::Child => child(&mut Memory::new(args.mib)),
        Kind::Server => serve(args.port, Source::Own(Memory::new(args.mib))),
        Kind::Locked => {
            if let Err(error) = lock_all() {
                // It is then a server like the other; the manager's log keeps the reason.
                eprintln!("{error:#}");
            }
            serve(args.port, Source::Own(Memory::new(args.mib)))
        }
        Kind::Parent => {
            let workers = (0..N_CHILDREN).map(|_| Worker::start(args.mib / N_CHILDREN));
            serve(args.port, Source::Children(workers.collect::<anyhow::Result<_>>()?))
        }
    }
}

fn child(memory: &mut Memory) -> anyhow::Result<()> {
    for line in std::io::stdin().lock().lines() {
        let sum = memory.answer(line?.trim().parse()?);
        let mut out = std::io::stdout().lock();
        writeln!(out, "{sum}")?;
        out.flush()?;
    }
    Ok(())
}

fn lines(memory: &mut Memory) -> anyhow::Result<()> {
    let say = |line: &serde_json::Value| -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}")?;
        Ok(out.flush()?)
    };
    say(&serde_json::json!({"ready": true}))?;
    for line in std::io::stdin().lock().lines() {
        let request: serde_json::Value = serde_json::from_str(&line?)?;
        let seed = request["text"].as_str().unwrap_or_default().parse()?;
        let sum = memory.answer(seed).to_string();
        say(&serde_json::json!({"id": request["id"], "answer": sum}))?;
    }
    Ok(())
}

fn serve(port: u16, source: Source) -> anyhow::Result<()> {
    let listener =
        TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("port {port}"))?;
    let source = Arc::new(Mutex::new(source));
    for stream in listener.incoming().flatten() {
        let source = Arc::clone(&source);
        // A client that disconnects concerns no other one.
        std::thread::spawn(move || drop(answer_all(stream, &source)));
    }
    Ok(())
}

/// Answers `GET /SEED` on one connection until the client closes it.
fn answer_all(mut stream: TcpStream, source: &Mutex<Source>) -> anyhow::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut head = String::new();
        while reader.read_line(&mut head)? > 2 {
            head.clear();
        }
        let path = request.split_whitespace().nth(1).unwrap_or_default();
        let seed = path.trim_start_matches('/').parse().unwrap_or(0);
        let sum = source.lock().unwrap_or_else(PoisonError::into_inner).answer(seed)?.to_string();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{sum}", sum.len())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_from_memory_are_those_that_a_client_expects_and_show_a_wrong_page() {
        let mut memory = Memory::new(2);
        for seed in 0..50 {
            assert_eq!(memory.answer(seed), right_answer(Kind::Server, seed, 2));
        }
        // Seeds together read every page: each is read by one of them at least.
        let mut read = vec![false; (2 << 20) / PAGE];
        (0..100).flat_map(|seed| pages(seed, 512)).for_each(|page| read[page as usize] = true);
        assert!(read.iter().all(|read| *read));
        memory.0[7 * PAGE] ^= 1;
        let is_wrong = |seed| memory.answer(seed) != right_answer(Kind::Server, seed, 2);
        assert!((0..100).any(is_wrong));
        assert_eq!(
            right_answer(Kind::Parent, 3, 4),
            right_answer(Kind::Server, 3, 2).wrapping_mul(2)
        );
    }
}
