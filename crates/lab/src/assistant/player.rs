//! Plays a day against a server as a client: text in, lease, a question to the component, an answer
//! that is checked, use confirmed.
//!
//! Closed loop: each pause begins after the previous command, so a wait shortens no pause. If the
//! chosen components lack the needed one, the lease is exchanged for it, or it is leased by name,
//! and all of that counts as the command's wait. After a refusal the needed component is leased by
//! name once; if that is refused too, the command stays without an answer.

use std::collections::BTreeSet;
use std::time::Duration;

use majordomo_server::wire::{
    Command, Exchange, Feedback, Lease, LeaseRequest, LeaseTerms, Leased,
};
use majordomo_server::{Client, ClientError};
use majordomo_sim::Rng;

use super::ask::{self, Asked};
use super::clock;
use super::events::Seen;
use super::folder::Folder;
use super::pause::Pause;
use super::played::Played;
use super::questions::Question;
use super::steps::UseStep;
use crate::follower::Follower;

/// How the client names itself.
const TAG: &str = "assistant-day";
/// The longest answer that is kept.
const SHOWN: usize = 120;

/// A day's commands, in order.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) lines: Vec<Line>,
    /// How long a lease is kept after the answer.
    pub(super) hold: Duration,
}

/// One command.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) pause: Pause,
    pub(super) component: String,
    pub(super) text: String,
    /// Whether an earlier line has the same text.
    pub(super) is_repeat: bool,
    /// The place of the question among those of the component.
    pub(super) question_number: usize,
    pub(super) question: Question,
}

/// The steps of a day with their texts and questions, drawn with a seed.
pub(super) fn script(
    folder: &Folder,
    day: &[UseStep],
    places: &[usize],
    seed: u64,
    hold: Duration,
) -> Script {
    let mut draw = super::commands::Draw::new(&folder.commands, Rng::new(&[seed, 0x7e47]));
    let mut rng = Rng::new(&[seed, 0xa5c]);
    let mut seen = BTreeSet::new();
    let lines = day.iter().map(|step| {
        let place = places[step.place];
        let component = folder.components[place].clone();
        let questions = &folder.questions[&component];
        let question_number = rng.below(questions.len());
        let question = questions[question_number].clone();
        let text = draw.next(place);
        let is_repeat = !seen.insert(text);
        let text = text.to_owned();
        Line { pause: step.pause, component, text, is_repeat, question_number, question }
    });
    Script { lines: lines.collect(), hold }
}

/// The lease on a needed component.
struct Got {
    /// The lease's id, for its return.
    id: String,
    components: Vec<Leased>,
    /// Whether the lease was given by the command; then its feedback is about the command's text.
    is_of_command: bool,
}

/// Leases components by name.
pub(super) async fn acquire(client: &Client, component: &str) -> Result<Lease, ClientError> {
    let request = LeaseRequest {
        components: vec![component.to_owned()],
        tag: Some(TAG.to_owned()),
        ..LeaseRequest::default()
    };
    client.acquire(&request).await
}

/// The code of a refusal; an error of another kind ends the day.
pub(super) fn refusal<T>(result: Result<T, ClientError>) -> anyhow::Result<Result<T, String>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(ClientError::Problem(problem)) => Ok(Err(problem.code.to_string())),
        Err(error) => Err(error.into()),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// The client of a day.
pub(super) struct Player<'a> {
    pub(super) client: &'a Client,
    pub(super) follower: &'a Follower<Seen>,
    pub(super) folder: &'a Folder,
}

impl Player<'_> {
    /// Plays one command, after its pause; `began_s` is the begin of the day.
    pub(super) async fn play(
        &self,
        index: usize,
        line: &Line,
        hold: Duration,
        began_s: f64,
    ) -> anyhow::Result<Played> {
        let asked_s = clock::seconds();
        let mut played = Played {
            index,
            at_s: asked_s - began_s,
            component: line.component.clone(),
            text: line.text.clone(),
            is_repeat: line.is_repeat,
            ..Played::default()
        };
        let got = self.lease(line, &mut played).await?;
        let leased_s = clock::seconds();
        played.wait_ms = (leased_s - asked_s) * 1e3;
        played.is_served = got.is_some();
        if let Some(got) = got {
            let asked = Asked {
                client: self.client,
                lease: &got.id,
                components: &got.components,
                name: &line.component,
                folder: &self.folder.path,
            };
            let answer = ask::ask(&line.question, asked).await;
            played.answer_ms = (clock::seconds() - leased_s) * 1e3;
            played.is_real = answer.is_ok();
            played.answer = cut(&answer.unwrap_or_else(|error| format!("{error:#}")));
            tokio::time::sleep(hold).await;
            self.give_back(&got, &played).await?;
        }
        let mut concerned = self.folder.closure(&line.component);
        concerned.extend(played.leased.iter().flat_map(|name| self.folder.closure(name)));
        let (from, to) = (asked_s * 1e3, leased_s * 1e3);
        played.before_load_ms = self.follower.seen().before_load(&concerned, from, to);
        Ok(played)
    }

    /// From the text to a lease on the needed component.
    async fn lease(&self, line: &Line, played: &mut Played) -> anyhow::Result<Option<Got>> {
        let lease = LeaseTerms { tag: Some(TAG.to_owned()), ..LeaseTerms::default() };
        let command = Command { text: line.text.clone(), lease: Some(lease), ..Command::default() };
        let outcome = match refusal(self.client.command(&command).await)? {
            Ok(outcome) => outcome,
            Err(code) => {
                played.refusal = Some(code);
                return self.by_name(line, played).await;
            }
        };
        played.chosen = outcome.needed.iter().map(|n| n.component.to_string()).collect();
        played.leased = outcome.components.iter().map(|l| l.component.to_string()).collect();
        for left in &outcome.left_out {
            let code = left.refusal.code.to_string();
            if left.component.as_str() == line.component {
                played.refusal.get_or_insert_with(|| code.clone());
            }
            played.left_out.push(format!("{}: {code}", left.component));
        }
        if let Some(refused) = &outcome.refusal {
            played.refusal.get_or_insert_with(|| refused.code.to_string());
        }
        let Some(lease) = outcome.lease else { return self.by_name(line, played).await };
        if played.leased.contains(&line.component) {
            let got = Got { id: lease.id, components: outcome.components, is_of_command: true };
            return Ok(Some(got));
        }
        self.exchange(&lease.id, line, played).await
    }

    /// The needed component instead of those of a lease.
    async fn exchange(
        &self,
        id: &str,
        line: &Line,
        played: &mut Played,
    ) -> anyhow::Result<Option<Got>> {
        let exchange = Exchange { components: vec![line.component.clone()], ..Exchange::default() };
        match refusal(self.client.exchange(id, &exchange).await)? {
            Ok(lease) => {
                let components = lease.components;
                Ok(Some(Got { id: lease.id, components, is_of_command: true }))
            }
            Err(code) => {
                played.refusal.get_or_insert(code);
                // The lease may have ended with the exchange.
                let _ = refusal(self.client.release(id).await)?;
                self.by_name(line, played).await
            }
        }
    }

    async fn by_name(&self, line: &Line, played: &mut Played) -> anyhow::Result<Option<Got>> {
        match refusal(acquire(self.client, &line.component).await)? {
            Ok(lease) => {
                let components = lease.components;
                Ok(Some(Got { id: lease.id, components, is_of_command: false }))
            }
            Err(code) => {
                played.refusal.get_or_insert(code);
                Ok(None)
            }
        }
    }

    /// Gives a lease back, so that the server learns: a right choice by the return, a wrong one by
    /// feedback.
    async fn give_back(&self, got: &Got, played: &Played) -> anyhow::Result<()> {
        let used = vec![played.component.clone()];
        if got.is_of_command && !played.is_exact() {
            let feedback = Feedback { lease: got.id.clone(), used, ..Feedback::default() };
            let _ = refusal(self.client.feedback(&feedback).await)?;
            return Ok(());
        }
        let _ = refusal(self.client.release(&got.id).await)?;
        if !got.is_of_command {
            let feedback = Feedback { text: played.text.clone(), used, ..Feedback::default() };
            let _ = refusal(self.client.feedback(&feedback).await)?;
        }
        Ok(())
    }
}
