//! Requests with one component: how many at a time, and those that wait for a place.
//!
//! Knows no component and no request. Invariant: there are never more places out than the limit that was in force when each was
//! given, and a place that is given back is passed to the longest waiter that is still there.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::lock::locked;

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// Too many wait.
    QueueFull,
    /// None became free before the deadline.
    TooLate,
}

#[derive(Debug, Default)]
struct State {
    in_flight: u32,
    waiting: VecDeque<oneshot::Sender<Place>>,
}

/// The places of one component.
#[derive(Debug, Default)]
pub(crate) struct Flow(Mutex<State>);

/// A place; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Option<Arc<Flow>>);

impl Flow {
    /// A place, of `max` at a time; none = any number. At most `queue` wait.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        (max, queue): (Option<u32>, u32),
        within: Duration,
    ) -> Result<Place, NoPlace> {
        let waits = {
            let mut state = locked(&self.0);
            if max.is_none_or(|max| state.in_flight < max) {
                state.in_flight += 1;
                return Ok(Place(Some(Arc::clone(self))));
            }
            state.waiting.retain(|waiter| !waiter.is_closed());
            if state.waiting.len() >= queue as usize {
                return Err(NoPlace::QueueFull);
            }
            let (give, waits) = oneshot::channel();
            state.waiting.push_back(give);
            waits
        };
        match tokio::time::timeout(within, waits).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(NoPlace::TooLate),
        }
    }

    /// A place that is free now.
    pub(crate) fn try_enter(self: &Arc<Self>, max: Option<u32>) -> Option<Place> {
        let mut state = locked(&self.0);
        let is_free = max.is_none_or(|max| state.in_flight < max);
        is_free.then(|| {
            state.in_flight += 1;
            Place(Some(Arc::clone(self)))
        })
    }

    /// Places that are out.
    pub(crate) fn in_flight(&self) -> u32 {
        locked(&self.0).in_flight
    }

    /// Those that wait for a place.
    pub(crate) fn waiting(&self) -> usize {
        locked(&self.0).waiting.iter().filter(|waiter| !waiter.is_closed()).count()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(mut flow) = self.0.take() else { return };
        loop {
            let next = {
                let mut state = locked(&flow.0);
                let next = state.waiting.pop_front();
                if next.is_none() {
                    state.in_flight -= 1;
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(Self(Some(flow))) {
                Ok(()) => return,
                Err(mut place) => match place.0.take() {
                    Some(back) => flow = back,
                    None => return,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(9);

    #[tokio::test(start_paused = true)]
    async fn place_is_passed_to_the_longest_waiter_that_is_still_there() {
        let flow = Arc::new(Flow::default());
        let enter = |flow: &Arc<Flow>| {
            let flow = Arc::clone(flow);
            tokio::spawn(async move { flow.enter((Some(1), 2), LONG).await })
        };
        let first = flow.enter((Some(1), 2), LONG).await.unwrap();
        let (gone, second) = (enter(&flow), enter(&flow));
        tokio::task::yield_now().await;
        assert_eq!((flow.in_flight(), flow.waiting()), (1, 2));
        assert_eq!(flow.enter((Some(1), 2), LONG).await.unwrap_err(), NoPlace::QueueFull);
        gone.abort();
        assert!(gone.await.is_err());
        assert_eq!(flow.waiting(), 1);
        drop(first);
        let second = second.await.unwrap().unwrap();
        assert_eq!((flow.in_flight(), flow.waiting()), (1, 0));
        assert_eq!(flow.enter((Some(1), 2), LONG).await.unwrap_err(), NoPlace::TooLate);
        drop(second);
        assert_eq!(flow.in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_places_are_only_counted() {
        let flow = Arc::new(Flow::default());
        let mut places = Vec::new();
        for _ in 0..9 {
            places.push(flow.enter((None, 0), LONG).await.unwrap());
        }
        assert_eq!(flow.in_flight(), 9);
        places.clear();
        assert_eq!(flow.in_flight(), 0);
        let none = flow.enter((Some(1), 0), LONG).await.unwrap();
        assert_eq!(flow.enter((Some(1), 0), LONG).await.unwrap_err(), NoPlace::QueueFull);
        drop(none);
    }
}
