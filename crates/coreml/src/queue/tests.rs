//! The queue against a fake session.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::*;

/// Doubles its inputs; waits for a word before each call where it has a gate.
struct Fake {
    id: u64,
    max_rows: usize,
    gate: Option<Receiver<Act>>,
    calls: Sender<usize>,
}

enum Act {
    Answer,
    Fail,
    Panic,
}

impl Session for Fake {
    fn n_inputs(&self) -> usize {
        2
    }

    fn n_outputs(&self) -> usize {
        2
    }

    fn weights_id(&self) -> WeightsId {
        WeightsId(self.id)
    }

    fn max_rows(&self) -> usize {
        self.max_rows
    }

    fn predict(
        &mut self,
        rows: usize,
        inputs: &[f32],
        out: &mut [f32],
    ) -> Result<(), BackendError> {
        let _ = self.calls.send(rows);
        match self.gate.as_ref().and_then(|gate| gate.recv().ok()) {
            Some(Act::Fail) => return Err(BackendError::Failed("planted".to_owned())),
            Some(Act::Panic) => panic!("planted"),
            Some(Act::Answer) | None => {}
        }
        out.iter_mut().zip(inputs).for_each(|(out, x)| *out = self.id as f32 * x);
        Ok(())
    }
}

fn opening(id: u64, max_rows: usize, gate: Option<Receiver<Act>>) -> (Opening, Receiver<usize>) {
    let (calls, seen) = channel();
    (Box::new(move || Ok(Box::new(Fake { id, max_rows, gate, calls }))), seen)
}

fn start(
    limits: QueueLimits,
    max_rows: usize,
    gate: Option<Receiver<Act>>,
) -> (QueuedBackend, Receiver<usize>) {
    let (opening, seen) = opening(2, max_rows, gate);
    (QueuedBackend::start("fake", 32, limits, opening).expect("a thread"), seen)
}

#[test]
fn answers_are_their_callers_and_long_batches_are_split() {
    let (back_end, seen) = start(QueueLimits::default(), 4, None);
    let units: Vec<f32> = (0..20).map(|i| i as f32).collect();
    let mut out = vec![0.0; 20];
    back_end.infer_batch(&units, 10, &mut out).expect("an answer");
    assert!(out.iter().zip(&units).all(|(out, x)| *out == 2.0 * x));
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), [4, 4, 2]);
    assert_eq!(back_end.capabilities(), Capabilities { max_rows: 4, bits: 32 });
    back_end.infer_batch(&[], 0, &mut []).expect("nothing to do");
    let wrong = back_end.infer_batch(&units, 9, &mut out);
    assert!(matches!(wrong, Err(BackendError::Shape { .. })), "{wrong:?}");
    assert!(back_end.infer_batch(&units, usize::MAX, &mut out).is_err());
}

#[test]
fn waiting_batches_are_joined_into_one_call() {
    let (word, gate) = channel();
    let (back_end, seen) = start(QueueLimits::default(), 8, Some(gate));
    let send = |from: f32| {
        let (reply, answer) = channel();
        let inputs = vec![from, 1.0, 2.0, 3.0];
        back_end.send(Work { rows: 2, inputs, reply }).expect("room");
        answer
    };
    let first = send(1.0);
    assert_eq!(seen.recv(), Ok(2), "the first call is under way");
    let others = [5.0, 6.0, 7.0].map(|from| (from, send(from)));
    word.send(Act::Answer).expect("it waits");
    word.send(Act::Answer).expect("it waits");
    assert_eq!(first.recv().expect("a reply"), Ok(vec![2.0, 2.0, 4.0, 6.0]));
    for (from, other) in others {
        assert_eq!(other.recv().expect("a reply"), Ok(vec![2.0 * from, 2.0, 4.0, 6.0]));
    }
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), [6], "one call for all three");
}

#[test]
fn full_queue_and_time_outs_are_errors() {
    let limits =
        QueueLimits { waiting: 1, time_out: Duration::from_millis(50), ..QueueLimits::default() };
    let (word, gate) = channel();
    let (back_end, seen) = start(limits, 1, Some(gate));
    let mut out = [0.0; 2];
    let mut ask = || back_end.infer_batch(&[1.0, 2.0], 1, &mut out);
    assert_eq!(ask(), Err(BackendError::TimedOut(limits.time_out)));
    assert_eq!(seen.recv(), Ok(1), "the first is at the session");
    assert_eq!(ask(), Err(BackendError::TimedOut(limits.time_out)));
    assert_eq!(ask(), Err(BackendError::Busy(1)), "the second still waits");
    drop(word);
    // Both are answered now, with no receiver: the thread lives.
    assert_eq!(seen.recv(), Ok(1));
}

#[test]
fn answer_ends_a_row_of_time_outs() {
    let limits = QueueLimits { time_out: Duration::from_secs(60), ..QueueLimits::default() };
    let (back_end, _seen) = start(limits, 1, None);
    back_end.shared.n_time_outs.store(MAX_TIME_OUTS - 1, Ordering::Relaxed);
    let mut out = [0.0; 2];
    back_end.infer_batch(&[1.0, 2.0], 1, &mut out).expect("an answer");
    assert_eq!((out, back_end.shared.n_time_outs.load(Ordering::Relaxed)), ([2.0, 4.0], 0));
}

#[test]
fn callers_that_wait_together_have_one_time_out_together() {
    let limits = QueueLimits { time_out: Duration::from_millis(200), ..QueueLimits::default() };
    let (_word, gate) = channel();
    let (back_end, _seen) = start(limits, 1, Some(gate));
    let n_callers = 2 * MAX_TIME_OUTS;
    // All of them have sent before the first has waited its time.
    let ready = std::sync::Barrier::new(n_callers as usize);
    thread::scope(|scope| {
        for _ in 0..n_callers {
            scope.spawn(|| {
                let (reply, answer) = channel();
                let before = back_end.shared.n_time_outs.load(Ordering::Relaxed);
                back_end.send(Work { rows: 1, inputs: vec![1.0, 2.0], reply }).expect("room");
                ready.wait();
                let late = back_end.wait(&answer, before);
                assert_eq!(late, Err(BackendError::TimedOut(limits.time_out)));
            });
        }
    });
    assert_eq!(back_end.shared.n_time_outs.load(Ordering::Relaxed), 1);
    assert!(back_end.shared.ended.get().is_none(), "it is not given up");
}

#[test]
fn hung_session_is_given_up() {
    let limits = QueueLimits { time_out: Duration::from_millis(10), ..QueueLimits::default() };
    let (_word, gate) = channel();
    let (back_end, _seen) = start(limits, 1, Some(gate));
    let mut out = [0.0; 2];
    for _ in 0..MAX_TIME_OUTS {
        let result = back_end.infer_batch(&[1.0, 2.0], 1, &mut out);
        assert_eq!(result, Err(BackendError::TimedOut(limits.time_out)));
    }
    let ended = back_end.infer_batch(&[1.0, 2.0], 1, &mut out);
    assert!(
        matches!(&ended, Err(BackendError::Ended(why)) if why.contains("in a row")),
        "{ended:?}"
    );
}

#[test]
fn failure_of_a_call_is_reported_and_a_panic_ends_it() {
    let (word, gate) = channel();
    let (back_end, _seen) = start(QueueLimits::default(), 1, Some(gate));
    let mut out = [0.0; 2];
    for act in [Act::Fail, Act::Answer, Act::Panic] {
        word.send(act).expect("it listens");
    }
    let mut ask = || back_end.infer_batch(&[1.0, 2.0], 1, &mut out);
    assert_eq!(ask(), Err(BackendError::Failed("planted".to_owned())));
    assert_eq!(ask(), Ok(()));
    assert!(matches!(ask(), Err(BackendError::Ended(_))));
    let after = ask();
    assert!(
        matches!(&after, Err(BackendError::Ended(why)) if why.contains("planted")),
        "{after:?}"
    );
}

#[test]
fn opening_that_fails_is_the_error_of_the_start() {
    let failing: Opening = Box::new(|| Err(BackendError::Failed("no such model".to_owned())));
    let started = QueuedBackend::start("fake", 16, QueueLimits::default(), failing);
    assert_eq!(started.err(), Some(BackendError::Failed("no such model".to_owned())));
    let panicking: Opening = Box::new(|| panic!("planted"));
    let started = QueuedBackend::start("fake", 16, QueueLimits::default(), panicking);
    assert!(matches!(started.err(), Some(BackendError::Ended(_))));
}
