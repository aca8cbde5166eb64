//! The child process of one back end, from both sides.
//!
//! Owns the protocol: the parent writes one request to the child's standard input and keeps it open; the child writes one
//! reply to its standard output, which may hold other programs' words before it. Invariants: the parent waits no longer than
//! the plan's deadline and leaves no child behind; a child ends when its input ends, as it does with the parent, and soon
//! after the deadline, whatever its back end does.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use majordomo_predictor::{Backend, BackendError, DenseWeights, Head, Probes, SimdBackend};
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

use super::measure::{Report, Stopwatch, check, measure};
use super::spawn::{CHILD_ARG, ChildCommand, Children};
use super::{Maker, Plan, Rejection};

const MAGIC: &[u8; 8] = b"MJDCALIB";
/// Bytes of a message, checksum and length not counted.
const MAX_MESSAGE: u64 = 64 << 20;
/// A child outlives the parent's deadline by this at most.
const GRACE: Duration = Duration::from_secs(5);
/// The parent looks this often whether it is to stop waiting.
const LOOK: Duration = Duration::from_millis(100);

/// One back end to check, and to time where that is asked for.
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
    is_timed: bool,
}

#[derive(Serialize, Deserialize)]
enum Reply {
    Report(Report),
    Failed(String),
}

/// The parent's side: children are started for back ends of the same weights.
pub(crate) struct Parent<'a> {
    pub(crate) command: &'a ChildCommand,
    pub(crate) children: &'a dyn Children,
    pub(crate) probes: &'a Probes,
    pub(crate) folder: &'a Path,
    pub(crate) plan: Plan,
    pub(crate) is_cancelled: &'a dyn Fn() -> bool,
}

impl Parent<'_> {
    /// Runs a child for one back end, [`SimdBackend::NAME`] included, and waits for its report.
    pub(crate) fn ask(&self, back_end: &str, is_timed: bool) -> Result<Report, Rejection> {
        let weights = self.probes.weights();
        let request = Request {
            back_end: back_end.to_owned(),
            version: weights.version(),
            is_exclusive: weights.head() == Head::Exclusive,
            hidden_bias: weights.hidden_bias().to_vec(),
            weights: weights.weights().to_vec(),
            bias: weights.bias().to_vec(),
            probes: self.probes.units().to_vec(),
            folder: self.folder.to_owned(),
            plan: self.plan,
            is_timed,
        };
        let request = framed(&request).map_err(|e| Rejection::Failed(e.to_string()))?;
        let output = self.run(request)?;
        match unframed(&output.bytes) {
            Some(Reply::Report(report)) => Ok(report),
            Some(Reply::Failed(why)) => Err(Rejection::Failed(why)),
            None => Err(Rejection::Crashed(how(output.status))),
        }
    }

    fn run(&self, input: Vec<u8>) -> Result<Output, Rejection> {
        let failed =
            |error: std::io::Error| Rejection::Failed(format!("no child process: {error}"));
        let mut child = self.command.spawn(self.children).map_err(failed)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        // On threads of their own: a child that hangs neither reads nor writes. Both end with this call.
        let (open, closed) = channel::<()>();
        // Dropped in this order: the child is killed before its input ends.
        let mut child = Killed { child, children: self.children, _open: open };
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
        let mut left = self.plan.deadline;
        loop {
            match output.recv_timeout(left.min(LOOK)) {
                Ok(bytes) => {
                    // Its output is closed; a child that lingers has nothing more to say. One that has ended keeps its status.
                    let _ = child.child.kill();
                    return Ok(Output { bytes, status: child.child.wait().map_err(failed)? });
                }
                Err(RecvTimeoutError::Timeout) if (self.is_cancelled)() => {
                    return Err(Rejection::Failed("the calibration was cancelled".to_owned()));
                }
                Err(RecvTimeoutError::Timeout) => {
                    left = left.saturating_sub(LOOK);
                    if left.is_zero() {
                        return Err(Rejection::TimedOut(self.plan.deadline));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Rejection::Failed(
                        "the reader of a child process ended".to_owned(),
                    ));
                }
            }
        }
    }
}

struct Output {
    bytes: Vec<u8>,
    status: ExitStatus,
}

/// Kills the child at the end of its scope, then lets its input end.
struct Killed<'a> {
    child: Child,
    children: &'a dyn Children,
    _open: Sender<()>,
}

impl Drop for Killed<'_> {
    fn drop(&mut self) {
        // Both fail for a child that has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.children.reaped(self.child.id());
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
        end_now();
    });
}

/// Ends this process without a report of a crash, which an abort makes, and without the exit hooks of libraries, which may
/// hang.
fn end_now() {
    // A process may always end itself.
    let _ = kill_process(getpid(), Signal::KILL);
}

/// Ends this process after a time, whatever its other threads do.
fn end_after(time: Duration) {
    // Without the thread the parent's own deadline is left.
    let _ = std::thread::Builder::new().name("majordomo-watch".into()).spawn(move || {
        let (_never, nothing) = channel::<()>();
        let _ = nothing.recv_timeout(time);
        end_now();
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
    let Request { back_end: name, probes, folder, plan, is_timed, .. } = request;
    let back_end: Arc<dyn Backend> = match name == SimdBackend::NAME {
        true => Arc::new(SimdBackend::new(weights.clone())),
        false => maker.make(name, &weights, folder)?,
    };
    if !is_timed {
        return check(&*back_end, &weights, probes);
    }
    let mut report = measure(&*back_end, &weights, probes, *plan, clock)?;
    if name != SimdBackend::NAME {
        report.placement = maker.placement(name, folder);
    }
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
    use std::sync::Mutex;

    use super::super::spawn::PlainChildren;
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

    /// Makes a back end that never answers.
    struct Hanging;

    impl Maker for Hanging {
        fn names(&self) -> Vec<String> {
            vec!["hanging".to_owned()]
        }

        fn prepare(&self, _: &DenseWeights, _: &Path) -> Result<(), BackendError> {
            Ok(())
        }

        fn make(
            &self,
            _: &str,
            _: &DenseWeights,
            _: &Path,
        ) -> Result<Arc<dyn Backend>, BackendError> {
            loop {
                std::thread::park();
            }
        }
    }

    const CHILD: &str = "MAJORDOMO_TEST_HANGING_CHILD";

    /// The life of a child; in the parent's run of the tests it does nothing.
    #[test]
    fn hanging_child_entry() {
        if std::env::var_os(CHILD).is_some() {
            let code = child_main(&Hanging, &super::super::measure::RealTime::start());
            std::process::exit(i32::from(code != ExitCode::SUCCESS));
        }
    }

    fn hanging() -> ChildCommand {
        let name = "calibration::child::tests::hanging_child_entry";
        ChildCommand {
            program: std::env::current_exe().expect("a program"),
            args: ["--exact", name, "--nocapture"].map(Into::into).into(),
            env: vec![(CHILD.into(), "1".into())],
        }
    }

    fn probes() -> Probes {
        let weights =
            DenseWeights::new(1, Head::Exclusive, vec![0.0], vec![1.0, 2.0], vec![0.0; 2]);
        Probes::of_scores(weights.expect("they fit"), vec![1.0])
    }

    /// Records its children.
    #[derive(Default)]
    struct Recorded(Mutex<Vec<(u32, &'static str)>>);

    impl Children for Recorded {
        fn spawn(&self, command: &mut std::process::Command) -> std::io::Result<Child> {
            let child = command.spawn()?;
            self.0.lock().expect("not poisoned").push((child.id(), "started"));
            Ok(child)
        }

        fn reaped(&self, pid: u32) {
            self.0.lock().expect("not poisoned").push((pid, "reaped"));
        }
    }

    #[test]
    fn child_ends_with_its_input_and_without_a_report_of_a_crash() {
        use std::os::unix::process::ExitStatusExt as _;
        let mut child = hanging().spawn(&PlainChildren).expect("a child");
        let probes = probes();
        let request = Request {
            back_end: "hanging".into(),
            version: 1,
            is_exclusive: true,
            hidden_bias: vec![0.0],
            weights: vec![1.0, 2.0],
            bias: vec![0.0; 2],
            probes: probes.units().to_vec(),
            folder: PathBuf::new(),
            plan: Plan::default(),
            is_timed: true,
        };
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(&framed(&request).expect("it fits")).expect("it listens");
        drop(stdin);
        assert_eq!(child.wait().expect("it ends").signal(), Some(9));
    }

    #[test]
    fn cancelled_child_is_killed_before_its_input_ends_and_reported_as_reaped() {
        let place = std::env::temp_dir().join(format!("majordomo-input-{}", std::process::id()));
        let script = "cat > /dev/null; : > \"$1\"";
        let command = ChildCommand {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into(), "sh".into(), place.clone().into()],
            env: Vec::new(),
        };
        let (children, probes) = (Recorded::default(), probes());
        let parent = Parent {
            command: &command,
            children: &children,
            probes: &probes,
            folder: Path::new(""),
            plan: Plan::default(),
            is_cancelled: &|| true,
        };
        let rejected = parent.ask("any", true).map(drop).expect_err("no report");
        assert_eq!(rejected.to_string(), "the calibration was cancelled");
        let seen = children.0.into_inner().expect("not poisoned");
        assert!(matches!(&seen[..], [(a, "started"), (b, "reaped")] if a == b), "{seen:?}");
        assert!(!place.exists(), "it went on after the end of its input");
    }
}
