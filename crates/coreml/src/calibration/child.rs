//! The child process of one back end, from both sides.
//!
//! Owns the protocol: the parent writes one request to the child's standard input and keeps it open; the child writes one
//! reply to its standard output, which may hold other programs' words before it. Invariants: the parent waits no longer than
//! the plan's deadline and leaves no child behind; a child ends when its input ends, as it does with the parent, and soon
//! after the deadline, whatever its back end does.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use majordomo_predictor::{BackendError, DenseWeights, Head, SimdBackend};
use serde::{Deserialize, Serialize};

use super::measure::{Report, Stopwatch, measure};
use super::{Maker, Plan, Rejection};

/// The first argument that makes a binary a calibration child.
pub const CHILD_ARG: &str = "__calibrate";

const MAGIC: &[u8; 8] = b"MJDCALIB";
/// Bytes of a message, checksum and length not counted.
const MAX_MESSAGE: u64 = 64 << 20;
/// A child outlives the parent's deadline by this at most.
const GRACE: Duration = Duration::from_secs(5);
/// The parent looks this often whether it is to stop waiting.
const LOOK: Duration = Duration::from_millis(100);

/// How a child is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildCommand {
    /// The program: this one, as a rule.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables besides those of this process.
    pub env: Vec<(OsString, OsString)>,
}

impl ChildCommand {
    /// A program whose `main` calls [`child_main`] when its first argument is [`CHILD_ARG`].
    #[must_use]
    pub fn hidden(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), args: vec![CHILD_ARG.into()], env: Vec::new() }
    }
}

/// One back end to check and time.
#[derive(Serialize, Deserialize)]
struct Request {
    back_end: String,
    version: u64,
    is_exclusive: bool,
    hidden_bias: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    probes: Vec<f32>,
    folder: PathBuf,
    plan: Plan,
}

#[derive(Serialize, Deserialize)]
enum Reply {
    Report(Report),
    Failed(String),
}

/// Runs a child for one back end, [`SimdBackend::NAME`] included, and waits for its report, until `is_cancelled`.
pub(crate) fn ask(
    command: &ChildCommand,
    back_end: &str,
    weights: &DenseWeights,
    probes: &[f32],
    folder: &Path,
    plan: Plan,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Report, Rejection> {
    let request = Request {
        back_end: back_end.to_owned(),
        version: weights.version(),
        is_exclusive: weights.head() == Head::Exclusive,
        hidden_bias: weights.hidden_bias().to_vec(),
        weights: weights.weights().to_vec(),
        bias: weights.bias().to_vec(),
        probes: probes.to_vec(),
        folder: folder.to_owned(),
        plan,
    };
    let request = framed(&request).map_err(|e| Rejection::Failed(e.to_string()))?;
    let output = run(command, request, plan.deadline, is_cancelled)?;
    match unframed(&output.bytes) {
        Some(Reply::Report(report)) => Ok(report),
        Some(Reply::Failed(why)) => Err(Rejection::Failed(why)),
        None => Err(Rejection::Crashed(how(output.status))),
    }
}

struct Output {
    bytes: Vec<u8>,
    status: ExitStatus,
}

/// Kills the child at the end of its scope.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail for a child that has ended and was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(
    command: &ChildCommand,
    input: Vec<u8>,
    deadline: Duration,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Output, Rejection> {
    let spawned = Command::new(&command.program)
        .args(&command.args)
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let failed = |error: std::io::Error| Rejection::Failed(format!("no child process: {error}"));
    let mut child = Killed(spawned.map_err(failed)?);
    let (stdin, stdout) = (child.0.stdin.take(), child.0.stdout.take());
    // On threads of their own: a child that hangs neither reads nor writes. Both end with this call.
    let (_open, closed) = channel::<()>();
    std::thread::Builder::new()
        .name("majordomo-calib".into())
        .spawn(move || {
            if let Some(mut stdin) = stdin {
                // A child that ends early says why by its exit code.
                let _ = stdin.write_all(&input);
                // The end of its input is the end of the child.
                let _ = closed.recv();
            }
        })
        .map_err(failed)?;
    let (to, output) = channel();
    std::thread::Builder::new()
        .name("majordomo-calib".into())
        .spawn(move || {
            let mut bytes = Vec::new();
            if let Some(stdout) = stdout {
                let _ = stdout.take(MAX_MESSAGE + 4096).read_to_end(&mut bytes);
            }
            // No receiver: the deadline has passed.
            let _ = to.send(bytes);
        })
        .map_err(failed)?;
    let mut left = deadline;
    loop {
        match output.recv_timeout(left.min(LOOK)) {
            Ok(bytes) => {
                // Its output is closed; a child that lingers has nothing more to say. One that has ended keeps its status.
                let _ = child.0.kill();
                return Ok(Output { bytes, status: child.0.wait().map_err(failed)? });
            }
            Err(RecvTimeoutError::Timeout) if is_cancelled() => {
                return Err(Rejection::Failed("the calibration was cancelled".to_owned()));
            }
            Err(RecvTimeoutError::Timeout) => {
                left = left.saturating_sub(LOOK);
                if left.is_zero() {
                    return Err(Rejection::TimedOut(deadline));
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Rejection::Failed("the reader of a child process ended".to_owned()));
            }
        }
    }
}

fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}, without a report"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown end".to_owned(),
    }
}

/// Serves one request from standard input: the whole life of a calibration child.
#[must_use]
pub fn child_main(maker: &dyn Maker, clock: &dyn Stopwatch) -> ExitCode {
    let Some(request) = read_request(&mut std::io::stdin().lock()) else {
        eprintln!("usage: {CHILD_ARG} is run by the manager only");
        return ExitCode::from(2);
    };
    end_after(request.plan.deadline.saturating_add(GRACE));
    end_with_the_input();
    let reply = match serve(maker, clock, &request) {
        Ok(report) => Reply::Report(report),
        Err(error) => Reply::Failed(error.to_string()),
    };
    let mut out = std::io::stdout().lock();
    let written = framed(&reply)
        .map_err(std::io::Error::other)
        .and_then(|bytes| out.write_all(&bytes))
        .and_then(|()| out.flush());
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The request at the start of the input, which stays open.
fn read_request(input: &mut impl Read) -> Option<Request> {
    let mut bytes = vec![0; MAGIC.len() + 8];
    input.read_exact(&mut bytes).ok()?;
    let length = u32::from_le_bytes(*bytes[MAGIC.len()..].first_chunk::<4>()?);
    let sound = bytes.starts_with(MAGIC) && u64::from(length) <= MAX_MESSAGE;
    let read = sound.then(|| input.take(length.into()).read_to_end(&mut bytes))?;
    read.ok().and_then(|_| unframed(&bytes))
}

/// Ends this process with its input: the parent has stopped waiting, or is gone.
fn end_with_the_input() {
    // Without the thread the deadline is left.
    let _ = std::thread::Builder::new().name("majordomo-watch".into()).spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::abort();
    });
}

/// Ends this process after a time, whatever its other threads do.
fn end_after(time: Duration) {
    // Without the thread the parent's own deadline is left.
    let _ = std::thread::Builder::new().name("majordomo-watch".into()).spawn(move || {
        let (_never, nothing) = channel::<()>();
        let _ = nothing.recv_timeout(time);
        std::process::abort();
    });
}

fn serve(
    maker: &dyn Maker,
    clock: &dyn Stopwatch,
    request: &Request,
) -> Result<Report, BackendError> {
    let head = if request.is_exclusive { Head::Exclusive } else { Head::Independent };
    let Request { version, hidden_bias, weights, bias, .. } = request;
    let weights = DenseWeights::new(*version, head, &hidden_bias[..], &weights[..], &bias[..])
        .map_err(|error| BackendError::Failed(error.to_string()))?;
    let Request { back_end: name, probes, folder, plan, .. } = request;
    if name == SimdBackend::NAME {
        return measure(&SimdBackend::new(weights.clone()), &weights, probes, *plan, clock);
    }
    let back_end = maker.make(name, &weights, folder)?;
    let mut report = measure(&*back_end, &weights, probes, *plan, clock)?;
    report.placement = maker.placement(name, folder);
    Ok(report)
}

fn framed(message: &impl Serialize) -> Result<Vec<u8>, postcard::Error> {
    let body = postcard::to_allocvec(message)?;
    let mut out = Vec::with_capacity(body.len() + 16);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    out.extend_from_slice(&body);
    Ok(out)
}

/// The first whole message in `bytes`.
fn unframed<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Option<T> {
    let starts = bytes.windows(MAGIC.len()).enumerate().filter(|(_, window)| *window == MAGIC);
    starts.map(|(at, _)| &bytes[at + MAGIC.len()..]).find_map(|rest| {
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let body = rest.get(..u32::from_le_bytes(*length) as usize)?;
        (crc32fast::hash(body) == u32::from_le_bytes(*crc))
            .then(|| postcard::from_bytes(body).ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_is_found_among_other_words() {
        let framed = framed(&Reply::Failed("why".to_owned())).expect("it fits");
        let of = |bytes: &[u8]| match unframed(bytes) {
            Some(Reply::Failed(why)) => Some(why),
            _ => None,
        };
        let noisy = [b"running 1 test\nMJDCALIB", &framed[..], b"\nok"].concat();
        assert_eq!(of(&noisy).as_deref(), Some("why"));
        for n in 0..framed.len() {
            assert_eq!(of(&framed[..n]), None, "cut to {n}");
            let mut damaged = framed.clone();
            damaged[n] ^= 1;
            assert_eq!(of(&damaged), None, "byte {n}");
        }
    }
}
