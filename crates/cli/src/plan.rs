//! `plan`: what a command would meet with, without loading anything.

use std::path::Path;
use std::process::ExitCode;

use majordomo::{Manager, quoted};
use majordomo_server::wire::{self, Decision, Need, Plan, PlanEviction, PlanLoad, PoolBytes};

use crate::args::PlanArgs;
use crate::exit::Exit;
use crate::print::{self, Style, styled, time};
use crate::remote::span;
use crate::start::start;
use crate::target::split;

pub(crate) async fn run(
    args: PlanArgs,
    socket: Option<&Path>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let exists = |word: &str| Path::new(word).exists();
    let split = split(&args.words, args.config.as_deref(), args.server, exists);
    let (config, text) = match split {
        Ok((Some(_), text)) if text.is_empty() => {
            print::error("the command is missing: majordomo plan CONFIG <TEXT>...");
            return Ok(Exit::Usage.into());
        }
        Ok((Some(config), text)) => (config, text.join(" ")),
        Ok((None, text)) => {
            if args.state_dir.is_some() {
                anyhow::bail!(
                    "--state-dir needs a configuration; the server has its own state directory"
                );
            }
            return crate::remote::plan(&text.join(" "), socket, json).await;
        }
        Err(why) => {
            print::error(&why);
            return Ok(Exit::Usage.into());
        }
    };
    let mut builder = Manager::builder().config_file(&config).dormant();
    if let Some(dir) = &args.state_dir {
        builder = builder.state_dir(dir);
    }
    let manager = match start(builder, json).await? {
        Ok(manager) => manager,
        Err(code) => return Ok(code),
    };
    let plan = manager.plan(&text).await?;
    if json {
        print::json(&serde_json::to_value(&plan)?);
    } else {
        let decision = Some(plan.decision.into());
        print_plan(&wire::Plan { decision, ..wire::Plan::from(&plan) });
    }
    manager.shutdown(None).await;
    Ok(if plan.refusal.is_some() { Exit::Refused.into() } else { ExitCode::SUCCESS })
}

/// Parts of a text that are shown as evidence.
const PARTS: usize = 3;

/// Why a component is needed, in a few words: keywords, else the strongest parts of the text as learned.
pub(crate) fn evidence(need: &Need) -> String {
    let words: Vec<_> =
        need.evidence.iter().map(|e| keyword(&e.keyword, e.shared_by, e.negated)).collect();
    let learned: Vec<_> = parts(need).into_iter().map(|part| quoted(part).to_string()).collect();
    let mut reasons = Vec::new();
    if !words.is_empty() {
        reasons.push(format!("because of {}", words.join(", ")));
    }
    if !learned.is_empty() {
        reasons.push(format!("as learned from {}", learned.join(", ")));
    }
    if need.confirmed.is_some_and(|by_outcomes| by_outcomes.get() >= 0.5) {
        reasons.push("as earlier outcomes of this text confirm".to_owned());
    }
    match reasons.is_empty() {
        true => String::new(),
        false => format!(" {}", reasons.join(" and ")),
    }
}

/// A keyword as evidence, with what weakens it.
pub(crate) fn keyword(keyword: &str, shared_by: u32, negated: bool) -> String {
    let shared = (shared_by > 1).then(|| format!("shared by {shared_by}"));
    let notes: Vec<String> =
        shared.into_iter().chain(negated.then(|| "negated".to_owned())).collect();
    let keyword = quoted(keyword);
    if notes.is_empty() { keyword.to_string() } else { format!("{keyword} ({})", notes.join(", ")) }
}

/// The strongest learned parts, none inside another that is shown already.
fn parts(need: &Need) -> Vec<&str> {
    let mut shown: Vec<&str> = Vec::new();
    for gram in &need.n_grams {
        let part = gram.text.trim_matches(['<', '>']);
        if shown.len() < PARTS && !part.is_empty() && !shown.iter().any(|s| s.contains(part)) {
            shown.retain(|s| !part.contains(s));
            shown.push(part);
        }
    }
    shown
}

/// The candidates that are worth a line: where nothing is sure, or a keyword is evidence for them.
pub(crate) fn doubtful(decision: Decision, candidates: &[Need]) -> impl Iterator<Item = &Need> {
    let unsure = decision == Decision::Unsure;
    candidates.iter().filter(move |need| unsure || !need.evidence.is_empty())
}

/// The memory of a load, and the memory booked after it where that is less.
fn memory(load: &PlanLoad) -> String {
    let own = match load.settled {
        Some(settled) if settled < load.bytes => {
            format!("{} while it loads, then {settled}", load.bytes)
        }
        _ => load.bytes.to_string(),
    };
    with_pools(own, &load.apart)
}

/// An amount of a component's own pool, and those of other pools.
fn with_pools(own: String, apart: &[PoolBytes]) -> String {
    let more = apart.iter().map(|PoolBytes { pool, bytes }| format!("{bytes} of {pool}"));
    std::iter::once(own).chain(more).collect::<Vec<_>>().join(" and ")
}

/// A component that would be parked or unloaded, and why.
fn eviction(e: &PlanEviction) -> String {
    let why = if e.conflict { "it conflicts" } else { "its memory is needed" };
    let way = if e.to.is_some() { "park  " } else { "unload" };
    format!("{way}   {} ({}): {why}", e.component, with_pools(e.bytes.to_string(), &e.apart))
}

/// A component that would be loaded or woken, and what that takes.
fn load(l: &PlanLoad) -> String {
    let (way, from) = match l.from {
        Some(state) => ("wake", format!(" since it is {state}")),
        None => ("load", String::new()),
    };
    let (wave, took) = (l.wave + 1, time(span(l.load_time_ms)));
    format!("{way}     {} in wave {wave} ({}, about {took}{from})", l.component, memory(l))
}

/// How long a demand would wait, and how much of that for parks.
fn wait(plan: &Plan) -> String {
    let parks = plan.parking_ms.map(|ms| format!(", {} of it for parks", time(span(ms))));
    format!("wait     about {}{}", time(span(plan.wait_ms)), parks.unwrap_or_default())
}

/// Prints the plan of a text.
pub(crate) fn print_plan(plan: &Plan) {
    let decision = plan.decision.unwrap_or(Decision::Confident);
    match decision {
        Decision::Confident => {}
        Decision::None => print::line("no component is needed"),
        Decision::Unsure => {
            print::line("too little evidence for any component; nothing is loaded");
        }
    }
    for need in &plan.needed {
        print::line(&format!(
            "needs    {} ({}){}",
            styled(Style::Strong, need.component.as_str()),
            need.confidence,
            evidence(need)
        ));
    }
    for need in doubtful(decision, &plan.candidates) {
        print::line(&format!(
            "unsure   {} ({}){}",
            need.component,
            need.confidence,
            evidence(need)
        ));
    }
    for id in &plan.ready {
        print::line(&format!("ready    {id}"));
    }
    for e in &plan.evictions {
        print::line(&eviction(e));
    }
    for l in &plan.loads {
        print::line(&load(l));
        if let Some(beyond) = l.beyond {
            print::line(&format!(
                "         {} alone, since the peak of its load is {beyond} more than the budget has; raise the budget to avoid that",
                l.component
            ));
        }
    }
    for left in &plan.left_out {
        print::line(&format!("leave out {}: {}", left.component, left.refusal));
    }
    for holder in &plan.in_the_way {
        print::line(&format!("wait for {holder}"));
    }
    if let Some(refusal) = &plan.refusal {
        print::line(&format!("{}  {refusal}", styled(Style::Bad, "refused")));
    } else if !plan.loads.is_empty() {
        print::line(&wait(plan));
    }
}

#[cfg(test)]
mod tests {
    use majordomo::{ByteSize, ComponentId};
    use majordomo_server::wire::State;

    use super::*;

    #[test]
    fn plan_names_wakes_parks_and_their_part_of_the_wait() {
        let component = ComponentId::new("listen").unwrap();
        let bytes = ByteSize::mib(90);
        let mut l = PlanLoad {
            component: component.clone(),
            bytes,
            settled: None,
            apart: Vec::new(),
            beyond: None,
            from: Some(State::Paged),
            load_time_ms: 200.0,
            wave: 0,
            under_way: false,
        };
        assert_eq!(load(&l), "wake     listen in wave 1 (90 MiB, about 200 ms since it is paged)");
        l.from = None;
        assert_eq!(load(&l), "load     listen in wave 1 (90 MiB, about 200 ms)");
        let to = Some(State::Asleep);
        let mut e = PlanEviction { component, to, bytes, apart: Vec::new(), conflict: false };
        assert_eq!(eviction(&e), "park     listen (90 MiB): its memory is needed");
        (e.to, e.conflict) = (None, true);
        assert_eq!(eviction(&e), "unload   listen (90 MiB): it conflicts");
        let mut plan = Plan { wait_ms: 300.0, parking_ms: Some(100.0), ..Plan::default() };
        assert_eq!(wait(&plan), "wait     about 300 ms, 100 ms of it for parks");
        plan.parking_ms = None;
        assert_eq!(wait(&plan), "wait     about 300 ms");
    }
}
