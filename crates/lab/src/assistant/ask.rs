//! Asks a leased component a question, over its own endpoint, as a client would.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use majordomo_server::wire::Endpoint;
use serde_json::Value;

use super::http;
use super::questions::{Answer, Ask, Expect, Question};

/// Between two looks at the title of a page.
const LOOK: Duration = Duration::from_millis(20);
/// A page without its title by then has none.
const PATIENCE: Duration = Duration::from_secs(15);

/// Asks and checks; the answer's text, or why it is not real.
pub(super) async fn ask(
    question: &Question,
    endpoint: Option<&Endpoint>,
    folder: &Path,
) -> anyhow::Result<String> {
    let endpoint = endpoint.context("the lease names no endpoint")?;
    let answer = match &question.ask {
        Ask::Http { path, json } => {
            let body = http::request(endpoint, "POST", path, json.to_string().as_bytes()).await?;
            Answer(serde_json::from_slice(&body).context("the answer is no JSON")?)
        }
        Ask::Page(page) => return open_page(endpoint, &folder.join(page), &question.expect).await,
        Ask::Redis(words) => Answer(Value::String(http::redis(endpoint, words).await?)),
        Ask::Call(_) => bail!("this version asks no component through the server"),
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
