//! One call for each route.

use axum::body::Bytes;
use axum::http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connection::Connection;
use super::{Client, EventStream, LogStream};
use crate::error::ClientError;
use crate::wire::{
    Accepted, Answered, Call, Command, CommandOutcome, Component, EventPage, Exchange, Feedback,
    Forget, Forgotten, Health, Hint, Info, Intents, IntentsRequest, Lease, LeaseCall, LeaseRequest,
    Leases, LogPage, Pin, Plan, PlanRequest, Reload, Reloaded, Remembered, Renew, Status, Unload,
    Why,
};

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const DELETE: Method = Method::DELETE;

/// A name as part of a path: what is no letter, digit, `-`, `_` or `.` is escaped.
fn part(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    // An empty part, `.` or `..` would be another path.
    if out.chars().all(|c| c == '.') { format!("%20{out}") } else { out }
}

fn component(name: &str, verb: &str) -> String {
    format!("/v1/components/{}{verb}", part(name))
}

impl Client {
    async fn raw(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let mut kept = self.kept.lock().await;
        // A connection that the server closed meanwhile is no error: nothing was sent on it yet.
        let usable = match &mut *kept {
            Some(connection) => connection.is_usable().await,
            None => false,
        };
        if !usable {
            *kept = Some(Connection::open(&self.address).await?);
        }
        // Taken out: a call that is dropped half-way leaves no connection with half an answer on it.
        let Some(mut connection) = kept.take() else {
            return Err(ClientError::Broken {
                address: self.address.to_string(),
                why: "there is none".to_owned(),
            });
        };
        let sent = connection.send(&method, path, &[], body).await;
        let result = match sent {
            Ok(response) => connection.bytes(response).await,
            Err(error) => Err(error),
        };
        if matches!(result, Ok(_) | Err(ClientError::Problem(_))) {
            *kept = Some(connection);
        }
        result
    }

    async fn call<B: Serialize, A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<A, ClientError> {
        let unreadable = |e: serde_json::Error| ClientError::Answer {
            address: self.address.to_string(),
            why: e.to_string(),
        };
        let body = body.map(serde_json::to_vec).transpose().map_err(unreadable)?;
        let bytes = self.raw(method, path, body.unwrap_or_default().into()).await?;
        serde_json::from_slice(&bytes).map_err(unreadable)
    }

    async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, ClientError> {
        self.call(GET, path, None::<&()>).await
    }

    async fn post<B: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<A, ClientError> {
        self.call(POST, path, Some(body)).await
    }

    /// The version and the process of the server.
    ///
    /// # Errors
    /// A [`ClientError`]; so with every call.
    pub async fn info(&self) -> Result<Info, ClientError> {
        self.get("/v1").await
    }

    /// Whether the server lives.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.get("/healthz").await
    }

    /// Whether everything that must be is ready.
    ///
    /// # Errors
    /// A problem `not_ready` that names what is missing.
    pub async fn ready(&self) -> Result<Health, ClientError> {
        self.get("/readyz").await
    }

    /// The status of the manager and its components.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// The bytes of [`Self::status`], for those who hand them on.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn raw_status(&self) -> Result<Vec<u8>, ClientError> {
        self.raw(GET, "/v1/status", Bytes::new()).await.map(Vec::from)
    }

    /// All components.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn components(&self) -> Result<Vec<Component>, ClientError> {
        self.get("/v1/components").await
    }

    /// One component.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn component(&self, name: &str) -> Result<Component, ClientError> {
        self.get(&component(name, "")).await
    }

    /// Why a component is in its state.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn why(&self, name: &str) -> Result<Why, ClientError> {
        self.get(&component(name, "/why")).await
    }

    /// A component's output from line `from` on; none = the oldest that is kept.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn logs(&self, name: &str, from: Option<u64>) -> Result<LogPage, ClientError> {
        let query = from.map(|n| format!("?from={n}")).unwrap_or_default();
        self.get(&component(name, &format!("/logs{query}"))).await
    }

    /// The last lines of a component's output.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn last_logs(&self, name: &str, last: u64) -> Result<LogPage, ClientError> {
        self.get(&component(name, &format!("/logs?last={last}"))).await
    }

    /// Follows a component's output from line `from` on, over a connection of its own.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn follow_logs(&self, name: &str, from: u64) -> Result<LogStream, ClientError> {
        let path = component(name, &format!("/logs?follow=true&from={from}"));
        LogStream::open(&self.address, &path, None).await
    }

    /// Loads a component and waits for it.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn load(&self, name: &str) -> Result<Component, ClientError> {
        self.call(POST, &component(name, "/load"), None::<&()>).await
    }

    /// Unloads a component with everything that depends on it, and waits for it.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn unload(&self, name: &str, force: bool) -> Result<Component, ClientError> {
        self.post(&component(name, "/unload"), &Unload { force }).await
    }

    /// Parks a component with everything that depends on it, and waits until it is parked.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn park(&self, name: &str) -> Result<Component, ClientError> {
        self.call(POST, &component(name, "/park"), None::<&()>).await
    }

    /// Pins a component, or takes the pin away.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn pin(&self, name: &str, pinned: bool) -> Result<Component, ClientError> {
        self.post(&component(name, "/pin"), &Pin { pinned }).await
    }

    /// Asks a component to give back what it can spare.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn trim(&self, name: &str) -> Result<Component, ClientError> {
        self.call(POST, &component(name, "/trim"), None::<&()>).await
    }

    /// Loads the components that a command needs.
    ///
    /// # Errors
    /// A [`ClientError`]; a command that is refused is no error but part of the outcome.
    pub async fn command(&self, command: &Command) -> Result<CommandOutcome, ClientError> {
        self.post("/v1/commands", command).await
    }

    /// The plan for a command, or for a demand, as it would be made now.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn plan(&self, request: &PlanRequest) -> Result<Plan, ClientError> {
        self.post("/v1/plan", request).await
    }

    /// The intents of a text; loads nothing and learns nothing.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn intents(&self, request: &IntentsRequest) -> Result<Intents, ClientError> {
        self.post("/v1/intents", request).await
    }

    /// Hints that a component is likely to be needed.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn hint(&self, hint: &Hint) -> Result<Accepted, ClientError> {
        self.post("/v1/hints", hint).await
    }

    /// Reports the components that a command really used.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn feedback(&self, feedback: &Feedback) -> Result<Accepted, ClientError> {
        self.post("/v1/feedback", feedback).await
    }

    /// Reads the configuration again.
    ///
    /// # Errors
    /// A problem `bad_configuration` with everything that is wrong with it; nothing is changed then.
    pub async fn reload(&self) -> Result<Reloaded, ClientError> {
        self.post("/v1/reload", &Reload { dry_run: false }).await
    }

    /// The changes that reading the configuration again would make; changes nothing.
    ///
    /// # Errors
    /// A problem `bad_configuration` with everything that is wrong with it.
    pub async fn reload_preview(&self) -> Result<Reloaded, ClientError> {
        self.post("/v1/reload", &Reload { dry_run: true }).await
    }

    /// The learned store: figures and values that survive restarts.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn remembered(&self) -> Result<Remembered, ClientError> {
        self.get("/v1/state").await
    }

    /// Forgets what was measured of a component, or everything that was learned.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn forget(&self, forget: &Forget) -> Result<Forgotten, ClientError> {
        self.post("/v1/state/forget", forget).await
    }

    /// The events that are kept, from number `from` on, or the last so many.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn events(
        &self,
        from: Option<u64>,
        last: Option<usize>,
    ) -> Result<EventPage, ClientError> {
        let from = from.map(|n| format!("&from={n}")).unwrap_or_default();
        let last = last.map(|n| format!("&last={n}")).unwrap_or_default();
        self.get(&format!("/v1/events?follow=false{from}{last}")).await
    }

    /// Follows events over a connection of its own: after the one named `after` (an id that a stream gave), or
    /// from now on.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn follow_events(&self, after: Option<&str>) -> Result<EventStream, ClientError> {
        EventStream::open(&self.address, "/v1/events", after).await
    }

    /// All leases, page by page.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn leases(&self) -> Result<Leases, ClientError> {
        let mut all = self.leases_after(None).await?;
        while let Some(next) = all.next.take() {
            let page = self.leases_after(Some(&next)).await?;
            all.leases.extend(page.leases);
            (all.total, all.components, all.next) = (page.total, page.components, page.next);
        }
        Ok(all)
    }

    /// A page of the leases after one; none = from the oldest on.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn leases_after(&self, lease: Option<&str>) -> Result<Leases, ClientError> {
        let query = lease.map(|id| format!("?after={}", part(id))).unwrap_or_default();
        self.get(&format!("/v1/leases{query}")).await
    }

    /// Leases a set of components; loads what is missing, and waits for it.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn acquire(&self, request: &LeaseRequest) -> Result<Lease, ClientError> {
        self.post("/v1/leases", request).await
    }

    /// One lease.
    ///
    /// # Errors
    /// A problem `unknown_lease`, or `lease_ended` with the reason.
    pub async fn lease(&self, id: &str) -> Result<Lease, ClientError> {
        self.get(&format!("/v1/leases/{}", part(id))).await
    }

    /// Extends a lease from now on; none = by the time that was first asked for.
    ///
    /// # Errors
    /// A problem `unknown_lease`, `lease_ended` with the reason, or `lease_revoked` when a component of it has ended
    /// or is being stopped.
    pub async fn renew(&self, id: &str, ttl_ms: Option<u64>) -> Result<Lease, ClientError> {
        self.post(&format!("/v1/leases/{}/renew", part(id)), &Renew { ttl_ms }).await
    }

    /// Exchanges a lease for other components; it keeps its name.
    ///
    /// # Errors
    /// A refusal's problem with `lease_kept`: whether the lease is as it was; `unknown_lease`, or `lease_ended`.
    pub async fn exchange(&self, id: &str, exchange: &Exchange) -> Result<Lease, ClientError> {
        self.post(&format!("/v1/leases/{}/exchange", part(id)), exchange).await
    }

    /// Calls a component of a lease.
    ///
    /// # Errors
    /// A problem `not_callable`, `call_failed` with the component's `message`, or another of the table.
    pub async fn call_lease(&self, id: &str, call: &LeaseCall) -> Result<Answered, ClientError> {
        self.post(&format!("/v1/leases/{}/call", part(id)), call).await
    }

    /// Calls a component, which is leased for the length of the call.
    ///
    /// # Errors
    /// A refusal's problem, `not_callable`, `call_failed` with the component's `message`, or another of the table.
    pub async fn call_component(&self, name: &str, call: &Call) -> Result<Answered, ClientError> {
        self.post(&component(name, "/call"), call).await
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// A problem `unknown_lease`, or `lease_ended` with the reason.
    pub async fn release(&self, id: &str) -> Result<(), ClientError> {
        self.raw(DELETE, &format!("/v1/leases/{}", part(id)), Bytes::new()).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_one_part_of_a_path() {
        let check = |name, want| assert_eq!(part(name), want);
        check("music", "music");
        check("a/b?c", "a%2Fb%3Fc");
        check("é", "%C3%A9");
        check("..", "%20..");
        check("", "%20");
    }
}
