//! Asks a leased component a question as a client would: over its own endpoint, or through the
//! server where it has none.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use majordomo_server::Client;
use majordomo_server::wire::{Endpoint, Lease, LeaseCall, Leased};
use serde_json::Value;

use super::http;
use super::questions::{Answer, Ask, Expect, Question};

/// Between two looks at the title of a page.
const LOOK: Duration = Duration::from_millis(20);
/// A page without its title by then has none.
const PATIENCE: Duration = Duration::from_secs(15);

/// A component that a lease has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) client: &'a Client,
    /// The lease's id.
    pub(super) lease: &'a str,
    pub(super) components: &'a [Leased],
    pub(super) name: &'a str,
    /// The assistant's folder.
    pub(super) folder: &'a Path,
}

impl<'a> Asked<'a> {
    /// The component `name` of a lease that the server granted.
    pub(super) fn of(
        client: &'a Client,
        lease: &'a Lease,
        name: &'a str,
        folder: &'a Path,
    ) -> Self {
        Self { client, lease: &lease.id, components: &lease.components, name, folder }
    }

    fn endpoint(&self) -> anyhow::Result<&Endpoint> {
        let leased = self.components.iter().find(|l| l.component.as_str() == self.name);
        let leased = leased.with_context(|| format!("the lease has no {}", self.name))?;
        leased.endpoint.as_ref().with_context(|| format!("{} has no endpoint", self.name))
    }

    async fn call(&self, request: &Value) -> anyhow::Result<Value> {
        // By way of its text: a raw value cannot be taken out of another.
        let call: LeaseCall = serde_json::from_str(&request.to_string())
            .context("the question is no call of the server's interface")?;
        let call = LeaseCall { component: Some(self.name.to_owned()), ..call };
        let answered = self.client.call_lease(self.lease, &call).await?;
        serde_json::from_str(answered.answer.get()).context("the answer is no JSON")
    }
}

/// Asks and checks; the answer's text, or why it is not real.
pub(super) async fn ask(question: &Question, asked: Asked<'_>) -> anyhow::Result<String> {
    let answer = match &question.ask {
        Ask::Http { path, json } => {
            let body = json.to_string();
            let body = http::request(asked.endpoint()?, "POST", path, body.as_bytes()).await?;
            Answer(serde_json::from_slice(&body).context("the answer is no JSON")?)
        }
        Ask::Page(page) => {
            let page = asked.folder.join(page);
            return open_page(asked.endpoint()?, &page, &question.expect).await;
        }
        Ask::Redis(words) => Answer(Value::String(http::redis(asked.endpoint()?, words).await?)),
        Ask::Call(request) => Answer(asked.call(request).await?),
    };
    question.expect.check(&answer).map_err(anyhow::Error::msg)?;
    Ok(answer.text())
}

/// Opens a page in a browser by its debugging protocol, reads its title, and closes it.
async fn open_page(endpoint: &Endpoint, page: &Path, expect: &Expect) -> anyhow::Result<String> {
    let page = page.canonicalize().with_context(|| format!("{} is missing", page.display()))?;
    let path = format!("/json/new?file://{}", page.display());
    let opened = http::request(endpoint, "PUT", &path, b"").await?;
    let opened: Value =
        serde_json::from_slice(&opened).context("the browser's answer is no JSON")?;
    let id = opened["id"].as_str().context("the browser opened no page")?.to_owned();
    let titled = tokio::time::timeout(PATIENCE, async {
        loop {
            let pages = http::request(endpoint, "GET", "/json/list", b"").await?;
            let pages: Vec<Value> = serde_json::from_slice(&pages)?;
            let title = pages.iter().find(|p| p["id"] == id.as_str()).map(|p| p["title"].clone());
            let answer = Answer(title.unwrap_or_default());
            if expect.check(&answer).is_ok() {
                return Ok(answer.text());
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    let titled =
        titled.await.unwrap_or_else(|_| bail!("the page has no such title within {PATIENCE:?}"));
    http::request(endpoint, "GET", &format!("/json/close/{id}"), b"").await?;
    titled
}
