//! `plan`: what a command would meet with, without loading anything.

use std::process::ExitCode;

use majordomo::{BuildError, Builder, Manager, Need, Plan};

use crate::args::PlanArgs;
use crate::print::{self, Style, styled, time};

/// A manager's problems are printed as the configuration's own; others as one error.
pub(crate) async fn start(
    builder: Builder,
    json: bool,
) -> anyhow::Result<Result<Manager, ExitCode>> {
    match builder.start().await {
        Ok(manager) => Ok(Ok(manager)),
        Err(BuildError::Config(problems)) => {
            if json {
                problems
                    .as_slice()
                    .iter()
                    .for_each(|p| print::json(&crate::check::problem_json(p)));
            } else {
                print::note(&problems.to_string());
            }
            Ok(Err(ExitCode::FAILURE))
        }
        Err(error) => Err(error.into()),
    }
}

pub(crate) async fn run(args: PlanArgs, json: bool) -> anyhow::Result<ExitCode> {
    let mut builder = Manager::builder().config_file(&args.config).dormant();
    if let Some(dir) = &args.state_dir {
        builder = builder.state_dir(dir);
    }
    let manager = match start(builder, json).await? {
        Ok(manager) => manager,
        Err(code) => return Ok(code),
    };
    let text = args.text.join(" ");
    let plan = manager.plan(&text).await?;
    if json {
        print::json(&serde_json::to_value(&plan)?);
    } else {
        print_plan(&plan);
    }
    manager.shutdown(None).await;
    Ok(if plan.refusal.is_some() { ExitCode::from(3) } else { ExitCode::SUCCESS })
}

/// Why a component is needed, in a few words.
pub(crate) fn evidence(need: &Need) -> String {
    let words: Vec<_> = need
        .evidence
        .iter()
        .map(|e| match e.shared_by {
            0 | 1 => format!("{:?}", e.keyword),
            n => format!("{:?} (shared by {n})", e.keyword),
        })
        .collect();
    words.join(", ")
}

fn print_plan(plan: &Plan) {
    if plan.needed.is_empty() {
        print::line("no component is needed");
    }
    for need in &plan.needed {
        print::line(&format!(
            "needs    {} ({}) because of {}",
            styled(Style::Strong, need.id.as_str()),
            need.confidence,
            evidence(need)
        ));
    }
    for need in &plan.candidates {
        print::line(&format!(
            "unsure   {} ({}) because of {}; not loaded on a guess",
            need.id,
            need.confidence,
            evidence(need)
        ));
    }
    for id in &plan.ready {
        print::line(&format!("ready    {id}"));
    }
    for e in &plan.evictions {
        let why = if e.conflict { "it conflicts" } else { "its memory is needed" };
        print::line(&format!("unload   {} ({}): {why}", e.component, e.bytes));
    }
    for l in &plan.loads {
        print::line(&format!(
            "load     {} in wave {} ({}, about {})",
            l.component,
            l.wave + 1,
            l.bytes,
            time(l.load_time)
        ));
    }
    for holder in &plan.holders {
        print::line(&format!("wait for {holder}"));
    }
    if let Some(refusal) = &plan.refusal {
        print::line(&format!("{}  {refusal}", styled(Style::Bad, "refused")));
    } else if !plan.loads.is_empty() {
        print::line(&format!("wait     about {}", time(plan.wait)));
    }
}
