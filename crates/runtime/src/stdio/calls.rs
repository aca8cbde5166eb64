//! The calls of one incarnation: slots, open calls, and the task that writes their lines.
//!
//! Invariants: at most `concurrent` calls are open or keep their slot, and a bounded number waits for one; a call is answered
//! exactly once; a line whose writing has begun is written to its end, which only the end of the program prevents; an open call is gone
//! at its answer, at its deadline or with the program.

mod one;

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentId, Moment};
use majordomo_registry::StdioSpec;
use serde_json::value::RawValue;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::unix::pipe;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{Instant, sleep};

pub use self::one::Caller;
use super::silence::Silence;
use super::{CallAnswer, CallError, CallRequest, CallsEnded, codec};
use crate::log_throttle::LogThrottle;
use crate::logs::{LogBuffer, LogStream};

/// A program that closes one of its streams has this long to end, which is the better cause for its callers.
const EXIT_GRACE: Duration = Duration::from_secs(1);

type Outcome = Result<CallAnswer, CallError>;
/// With the slot of the call, where its caller keeps that.
type Reply = (Outcome, Option<OwnedSemaphorePermit>);

/// A place among the calls that may be with a program at a time (`concurrent`). The program is given no call in its place while
/// this is kept.
#[derive(Debug)]
#[must_use = "the place is free once this is dropped"]
pub struct CallSlot {
    /// None when the place was given back with the answer.
    _permit: Option<OwnedSemaphorePermit>,
    until: Instant,
}

impl CallSlot {
    /// The time until the deadline of the call, which its caller stated or the component has; zero when it has passed.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// A call whose request is with the program, or is about to be.
#[derive(Debug)]
struct Open {
    /// None once its writing has begun.
    line: Option<Vec<u8>>,
    /// The program is to read it since then.
    since: Instant,
    reply: oneshot::Sender<Reply>,
    slot: OwnedSemaphorePermit,
    /// The caller gives the slot back. Otherwise it is free with the answer.
    keeps_slot: bool,
}

impl Open {
    /// The caller may have left: the outcome is dropped.
    fn reply(self, outcome: Outcome) {
        let keeps = self.keeps_slot && outcome.is_ok();
        let _ = self.reply.send((outcome, keeps.then_some(self.slot)));
    }
}

/// Standard input of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Input {
    Open,
    /// The line under way is its last.
    Closing,
    Closed,
}

/// The kinds of answers that belong to no open call.
#[derive(Clone, Copy, Debug)]
enum Stray {
    /// Its call is over, or was answered before.
    Late = 0,
    /// No call had its id.
    Unknown = 1,
    /// It was too long, and its id is not known.
    TooLong = 2,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    open: BTreeMap<u64, Open>,
    /// Ids of open calls whose line is still to be written.
    to_write: VecDeque<u64>,
    /// Why no new call is taken.
    ended: Option<CallsEnded>,
    silence: Silence,
    strays: [LogThrottle; 3],
}

/// All calls of one incarnation.
#[derive(Debug)]
pub(crate) struct Calls {
    component: ComponentId,
    bounds: StdioSpec,
    logs: Arc<LogBuffer>,
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    state: Mutex<State>,
    /// Notified when there is a line to write.
    to_write: Notify,
    /// Notified when the program can take no call any more.
    broken: Notify,
    input: watch::Sender<Input>,
    runtime: Handle,
    since: Instant,
}

impl Calls {
    /// Without calls. Needs a tokio runtime.
    pub(crate) fn new(
        component: ComponentId,
        bounds: StdioSpec,
        logs: Arc<LogBuffer>,
    ) -> Arc<Self> {
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(bounds.concurrent.max(1) as usize)),
            component,
            bounds,
            logs,
            waiting: AtomicUsize::new(0),
            state: Mutex::default(),
            to_write: Notify::new(),
            broken: Notify::new(),
            input: watch::Sender::new(Input::Open),
            runtime: Handle::current(),
            since: Instant::now(),
        })
    }

    pub(crate) fn max_line(&self) -> usize {
        usize::try_from(self.bounds.max_line.bytes()).unwrap_or(usize::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change leaves the state whole, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self, source: CallsEnded) -> CallError {
        CallError::Ended { component: self.component.clone(), source }
    }

    /// Adds a call, whose line the writer takes next.
    fn open(
        &self,
        request: &CallRequest,
        reply: oneshot::Sender<Reply>,
        slot: OwnedSemaphorePermit,
        keeps_slot: bool,
    ) -> Result<u64, CallError> {
        let id = {
            let mut state = self.state();
            state.last_id += 1;
            state.last_id
        };
        let line = codec::encode(id, request.content());
        if line.len() > self.max_line().saturating_add(1) {
            return Err(CallError::RequestTooLong {
                component: self.component.clone(),
                len: ByteSize(line.len() as u64 - 1),
                max: self.bounds.max_line,
            });
        }
        let mut state = self.state();
        if let Some(why) = state.ended {
            return Err(self.ended(why));
        }
        let since = Instant::now();
        state.open.insert(id, Open { line: Some(line), since, reply, slot, keeps_slot });
        state.to_write.push_back(id);
        drop(state);
        self.to_write.notify_one();
        Ok(id)
    }

    /// Removes a call at its deadline. A program that answers nothing any more is given up.
    fn expire(&self, id: u64) {
        let mut state = self.state();
        state.to_write.retain(|unwritten| *unwritten != id);
        let Some(open) = state.open.remove(&id) else { return };
        let (now, call_deadline) = (Instant::now(), self.bounds.call_deadline);
        let hangs =
            state.silence.unanswered(open.since, now, call_deadline) && state.ended.is_none();
        drop(state);
        drop(open);
        if hangs {
            self.end(CallsEnded::NoAnswer);
            self.broken.notify_one();
        }
    }

    /// Removes a call, unless the writer has begun with its line. Whether it is gone.
    fn withdraw(&self, id: u64) -> bool {
        let mut state = self.state();
        let n_before = state.to_write.len();
        state.to_write.retain(|unwritten| *unwritten != id);
        if state.to_write.len() == n_before {
            return !state.open.contains_key(&id);
        }
        let open = state.open.remove(&id);
        drop(state);
        drop(open);
        true
    }

    fn why_ended(&self) -> CallsEnded {
        self.state().ended.unwrap_or(CallsEnded::Stopping)
    }

    /// Passes an answer to its caller.
    pub(crate) fn answered(&self, id: u64, result: Result<&RawValue, Cow<'_, str>>) {
        let Some(open) = self.take_written(id) else { return };
        let outcome = match result {
            Ok(json) => Ok(CallAnswer::new(json)),
            Err(message) => {
                let (component, message) = (self.component.clone(), message.into_owned());
                Err(CallError::Answered { component, message })
            }
        };
        open.reply(outcome);
    }

    /// Records an answer beyond the bound.
    pub(crate) fn too_long(&self, id: Option<u64>, len: u64) {
        let Some(id) = id else {
            self.state().silence.answered(Instant::now());
            return self.log_stray(Stray::TooLong, 0);
        };
        let Some(open) = self.take_written(id) else { return };
        let (component, max) = (self.component.clone(), self.bounds.max_line);
        open.reply(Err(CallError::AnswerTooLong { component, len: ByteSize(len), max }));
    }

    /// The open call of an answer: its request was written.
    fn take_written(&self, id: u64) -> Option<Open> {
        let mut state = self.state();
        let is_written = state.open.get(&id).is_some_and(|open| open.line.is_none());
        let open = if is_written { state.open.remove(&id) } else { None };
        let was_open = (1..=state.last_id).contains(&id) && !state.open.contains_key(&id);
        if was_open {
            state.silence.answered(Instant::now());
        }
        drop(state);
        if open.is_none() {
            self.log_stray(if was_open { Stray::Late } else { Stray::Unknown }, id);
        }
        open
    }

    fn log_stray(&self, stray: Stray, id: u64) {
        let now = Moment::ZERO + self.since.elapsed();
        let Some(suppressed) = self.state().strays[stray as usize].failed("", now) else { return };
        let what = match stray {
            Stray::Late => format!("an answer to call {id}, which is over, was dropped"),
            Stray::Unknown => format!("an answer with the id {id}, which no call has, was dropped"),
            Stray::TooLong => format!(
                "a line without an id at its edges, longer than max_line ({}), was skipped",
                self.bounds.max_line
            ),
        };
        let more = match suppressed {
            0 => String::new(),
            n => format!("; so were {n} others since the last message"),
        };
        self.logs.push(LogStream::Manager, &format!("{what}{more}"));
    }

    /// Closes standard input after the line under way: no call is taken from now on, and calls whose request was not written are
    /// answered.
    pub(crate) fn close_input(&self, why: CallsEnded) {
        let mut state = self.state();
        let why = *state.ended.get_or_insert(why);
        let unwritten: Vec<u64> = state.to_write.drain(..).collect();
        let open: Vec<Open> = unwritten.iter().filter_map(|id| state.open.remove(id)).collect();
        drop(state);
        self.slots.close();
        self.input.send_modify(|input| *input = (*input).max(Input::Closing));
        for open in open {
            open.reply(Err(self.ended(why)));
        }
    }

    /// Ends all calls: no answer comes from now on.
    pub(crate) fn end(&self, why: CallsEnded) {
        let mut state = self.state();
        // Its end is a better cause than the stop before it.
        state.ended = Some(why);
        state.to_write.clear();
        let open = std::mem::take(&mut state.open);
        drop(state);
        self.slots.close();
        // A program that hangs is killed next. At the end of its input it could end with success before that.
        if why != CallsEnded::NoAnswer {
            self.input.send_replace(Input::Closed);
        }
        for open in open.into_values() {
            open.reply(Err(self.ended(why)));
        }
    }

    /// Standard output is at its end.
    pub(crate) fn output_closed(self: &Arc<Self>) {
        self.closed_by_program(CallsEnded::ClosedOutput);
    }

    /// Ends all calls, unless the program has ended by then, which is the better cause.
    fn closed_by_program(self: &Arc<Self>, why: CallsEnded) {
        let calls = Arc::clone(self);
        self.runtime.spawn(async move {
            sleep(EXIT_GRACE).await;
            if calls.state().ended.is_none() {
                calls.end(why);
                calls.broken.notify_one();
            }
        });
    }

    /// Waits until the program can take no calls any more, though it did not end, and gives the reason.
    pub(crate) async fn broken(&self) -> CallsEnded {
        self.broken.notified().await;
        self.why_ended()
    }

    /// Writes the lines of calls until standard input is closed, here or by the program.
    pub(crate) async fn write_to(self: Arc<Self>, mut pipe: pipe::Sender) {
        let mut input = self.input.subscribe();
        loop {
            let Some(line) = self.next_line() else {
                tokio::select! {
                    biased;
                    _ = input.wait_for(|input| *input != Input::Open) => return,
                    // An error without a write: the other end is closed.
                    _ = pipe.ready(Interest::ERROR) => {
                        return self.closed_by_program(CallsEnded::ClosedInput);
                    }
                    () = self.to_write.notified() => continue,
                }
            };
            tokio::select! {
                biased;
                _ = input.wait_for(|input| *input == Input::Closed) => return,
                written = pipe.write_all(&line) => {
                    if written.is_err() {
                        return self.closed_by_program(CallsEnded::ClosedInput);
                    }
                }
            }
        }
    }

    fn next_line(&self) -> Option<Vec<u8>> {
        let mut state = self.state();
        let id = state.to_write.pop_front()?;
        // A call that is over has no id there.
        state.open.get_mut(&id)?.line.take()
    }
}

#[cfg(test)]
mod tests;
