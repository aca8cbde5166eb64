//! The calls of one incarnation: slots, open calls, and the task that writes their lines.
//!
//! Invariants: at most `concurrent` calls are open, and at most [`MAX_WAITING`] wait for a slot; a call is answered
//! exactly once; a line whose writing has begun is written to its end, which only the end of the program prevents; an open call is gone
//! at its answer, at its deadline or with the program.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentId, Moment};
use majordomo_registry::StdioSpec;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::unix::pipe;
use tokio::runtime::Handle;
use tokio::sync::oneshot::error::RecvError;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout_at};

use super::silence::Silence;
use super::{CallAnswer, CallError, CallRequest, CallsEnded, codec};
use crate::log_throttle::LogThrottle;
use crate::logs::{LogBuffer, LogStream};

/// Calls that may wait for a slot.
const MAX_WAITING: usize = 256;
/// A program that closes one of its streams has this long to end, which is the better cause for its callers.
const EXIT_GRACE: Duration = Duration::from_secs(1);
/// The longest deadline of a call: 30 days.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

type Outcome = Result<CallAnswer, CallError>;

/// A call whose request is with the program, or is about to be.
#[derive(Debug)]
struct Open {
    /// None once its writing has begun.
    line: Option<Vec<u8>>,
    /// The program is to read it since then.
    since: Instant,
    reply: oneshot::Sender<Outcome>,
    /// Given back with the entry.
    _slot: OwnedSemaphorePermit,
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

    async fn call(self: &Arc<Self>, request: &CallRequest, deadline: Option<Duration>) -> Outcome {
        let span = deadline.unwrap_or(self.bounds.call_deadline).min(LONGEST);
        let until = Instant::now() + span;
        let too_late =
            |began| CallError::Deadline { component: self.component.clone(), waited: span, began };
        if span.is_zero() {
            return Err(too_late(false));
        }
        let slot = {
            let _waiting = Waiting::enter(self)?;
            match timeout_at(until, Arc::clone(&self.slots).acquire_owned()).await {
                Ok(Ok(slot)) => slot,
                // Closed slots are those of a program that has ended.
                Ok(Err(_)) => return Err(self.ended(self.why_ended())),
                Err(_) => return Err(too_late(false)),
            }
        };
        let (reply, answer) = oneshot::channel();
        let id = self.open(request, reply, slot)?;
        let mut left = Left { calls: self, id, until, answer: Some(answer) };
        match left.outcome().await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(self.ended(self.why_ended())),
            Err(_) => {
                self.expire(id);
                Err(too_late(true))
            }
        }
    }

    /// Adds a call, whose line the writer takes next.
    fn open(
        &self,
        request: &CallRequest,
        reply: oneshot::Sender<Outcome>,
        slot: OwnedSemaphorePermit,
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
        state.open.insert(id, Open { line: Some(line), since: Instant::now(), reply, _slot: slot });
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
    pub(crate) fn answered(&self, id: u64, result: Result<&str, std::borrow::Cow<'_, str>>) {
        let Some(open) = self.take_written(id) else { return };
        let outcome = match result {
            Ok(json) => Ok(CallAnswer::new(json)),
            Err(message) => {
                let (component, message) = (self.component.clone(), message.into_owned());
                Err(CallError::Answered { component, message })
            }
        };
        // The caller may have left: the answer is dropped.
        let _ = open.reply.send(outcome);
    }

    /// Records an answer beyond the bound.
    pub(crate) fn too_long(&self, id: Option<u64>, len: u64) {
        let Some(id) = id else {
            self.state().silence.answered(Instant::now());
            return self.log_stray(Stray::TooLong, 0);
        };
        let Some(open) = self.take_written(id) else { return };
        let (component, max) = (self.component.clone(), self.bounds.max_line);
        let _ =
            open.reply.send(Err(CallError::AnswerTooLong { component, len: ByteSize(len), max }));
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
            let _ = open.reply.send(Err(self.ended(why)));
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
        self.input.send_replace(Input::Closed);
        for open in open.into_values() {
            let _ = open.reply.send(Err(self.ended(why)));
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

/// A call that waits for a slot.
struct Waiting<'c>(&'c Calls);

impl<'c> Waiting<'c> {
    fn enter(calls: &'c Calls) -> Result<Self, CallError> {
        // Relaxed: a bound, which nothing is published with.
        let waiting = calls.waiting.fetch_add(1, Ordering::Relaxed);
        let entered = Self(calls);
        if waiting >= MAX_WAITING {
            return Err(CallError::QueueFull { component: calls.component.clone(), waiting });
        }
        Ok(entered)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes a call back whose caller cancels it: at once while its line is not being written, else at its answer, or its deadline,
/// which is then the component's own at the latest.
struct Left<'c> {
    calls: &'c Arc<Calls>,
    id: u64,
    until: Instant,
    /// None once the call is over.
    answer: Option<oneshot::Receiver<Outcome>>,
}

impl Left<'_> {
    /// The answer, or the end of the program without one. An error: the deadline.
    async fn outcome(&mut self) -> Result<Result<Outcome, RecvError>, Elapsed> {
        let Some(answer) = &mut self.answer else { return std::future::pending().await };
        let outcome = timeout_at(self.until, answer).await;
        self.answer = None;
        outcome
    }
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        let Some(answer) = self.answer.take() else { return };
        if self.calls.withdraw(self.id) {
            return;
        }
        let (calls, id) = (Arc::clone(self.calls), self.id);
        let until = self.until.min(Instant::now() + calls.bounds.call_deadline);
        self.calls.runtime.spawn(async move {
            if timeout_at(until, answer).await.is_err() {
                calls.expire(id);
            }
        });
    }
}

/// The way to a running program that takes calls: the one seam between callers of all kinds and the protocol. It keeps
/// no lease; when the program ends, its calls fail.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Calls>);

impl Caller {
    pub(crate) fn new(calls: &Arc<Calls>) -> Self {
        Self(Arc::clone(calls))
    }

    /// Passes a request to the program and waits for its answer, at most `deadline`; without one, `call_deadline` of the
    /// component. Cancel safe: dropping the future takes the call back.
    ///
    /// # Errors
    /// A [`CallError`] with the reason.
    pub async fn call(
        &self,
        request: &CallRequest,
        deadline: Option<Duration>,
    ) -> Result<CallAnswer, CallError> {
        self.0.call(request, deadline).await
    }
}

#[cfg(test)]
mod tests;
