//! How long warm components take for each question, asked before the first day while everything is loaded.
//!
//! A wait does not end at the lease: the first answer of a component that was just loaded or woken takes longer than that of
//! a warm one. The time of a warm answer is the reference for both policies alike.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::ask::{self, Asked};
use super::clock;
use super::folder::Folder;
use super::player;
use super::progress::Progress;
use super::rungs::median;
use super::server::Server;

/// Each question is asked so often; the median counts, so that one answer that was disturbed, or the first to such a question,
/// does not.
const TIMES: usize = 3;

/// The median time of a warm answer in milliseconds, by component and number of the question.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct WarmAnswers(BTreeMap<String, Vec<f64>>);

impl WarmAnswers {
    /// Asks every component, all of which are loaded, each of its questions.
    pub(super) async fn measure(
        server: &Server,
        folder: &Folder,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        let mut all = BTreeMap::new();
        for (i, name) in folder.components.iter().enumerate() {
            let mut medians = Vec::new();
            for question in &folder.questions[name] {
                let mut times = Vec::new();
                for _ in 0..TIMES {
                    let lease = player::acquire(&server.client, name).await?;
                    let asked = Asked::of(&server.client, &lease, name, &folder.path);
                    let begin_s = clock::seconds();
                    ask::ask(question, asked)
                        .await
                        .with_context(|| format!("{name} does not answer when it is warm"))?;
                    times.push((clock::seconds() - begin_s) * 1e3);
                    server.client.release(&lease.id).await?;
                }
                medians.push(median(&times).unwrap_or_default());
            }
            all.insert(name.clone(), medians);
            progress.show("measuring warm answers", i + 1, folder.components.len());
        }
        Ok(Self(all))
    }

    /// Of the question with that number; none where warm answers were not measured.
    pub(super) fn of(&self, component: &str, question: usize) -> Option<f64> {
        self.0.get(component)?.get(question).copied()
    }

    /// The median over the questions of a component.
    pub(super) fn of_component(&self, component: &str) -> Option<f64> {
        median(self.0.get(component)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_answer_is_that_of_the_question() {
        let times = [("a".to_owned(), vec![5.0, 90.0, 7.0])];
        let warm = WarmAnswers(times.into());
        assert_eq!((warm.of("a", 1), warm.of("a", 3), warm.of("b", 0)), (Some(90.0), None, None));
        assert_eq!((warm.of_component("a"), warm.of_component("b")), (Some(7.0), None));
    }
}
