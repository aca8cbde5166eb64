//! `demo`: the main job on built-in components, which are real child processes.

mod assistant;
mod control;
mod generator;
mod view;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use majordomo::{
    AcquireOptions, ByteSize, ComponentSpec, Config, GuardForm, Manager, Outcome, count,
};

use crate::args::DemoArgs;
use crate::lines::InputLines;
use crate::parking;
use crate::print;
use crate::signals::Interrupts;
use crate::start::{report_stuck, start};
use crate::summary::Summary;
use control::{Control, Preloads};
use generator::Days;
use view::View;

/// A demand of the demo waits at most this long.
const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) async fn run(args: DemoArgs, json: bool) -> anyhow::Result<ExitCode> {
    let mut interrupts = Interrupts::new()?;
    let program = std::env::current_exe()?;
    let (specs, config) = assistant::components(&program)?;
    let declared: ByteSize = specs.iter().map(|s| s.memory).sum();
    let budget = ByteSize(declared.0 / 3);
    let mut builder = Manager::builder()
        .config(config.clone())
        .budget(budget)
        .guard(GuardForm::this_program()?)
        .adopt_strays();
    for spec in &specs {
        builder = builder.component(spec.clone());
    }
    let manager = match start(builder, json).await? {
        Ok(manager) => manager,
        Err(code) => return Ok(code),
    };
    if !json {
        print::line(&format!(
            "An assistant of {}, {declared} declared, in a budget of {budget}.",
            count(manager.components().len(), "component")
        ));
        print::line(&parking::sentence(&manager).await);
    }
    let mut summary = Summary::new(&manager);
    let mut control = None;
    let mut were_readable = true;
    let interrupted = {
        let beside = Beside { specs: &specs, config, budget, control: &mut control };
        let work = commands(&manager, &args, json, &mut summary, beside);
        tokio::select! {
            done = work => { were_readable = done?; false }
            () = interrupts.next() => true,
            () = print::ended() => false,
        }
    };
    if interrupted {
        print::message("interrupted; stopping (interrupt again to stop at once)");
    }
    summary.catch_up(&manager).await;
    let preloads = Preloads::of(&manager).await;
    if let Some(control) = &mut control {
        control.stop().await;
    }
    let stuck = interrupts.shutdown(&manager).await;
    if json {
        let mut all = summary.json();
        all["preloads"] = preloads.json();
        if let Some(control) = &control {
            all["lru"] = control.summary.json()["summary"].take();
        }
        print::json(&all);
    } else {
        print::line("");
        print::lines(&summary.lines());
        if let Some(control) = &control {
            print::line("");
            print::lines(&control::lines(&summary, &control.summary, preloads));
        }
        print::line("Every process of the demo has ended.");
    }
    report_stuck(&stuck);
    Ok(ExitCode::from(u8::from(!stuck.is_empty() || !were_readable)))
}

/// Lines of standard input when there are any, else generated days; false when lines could not be read.
async fn commands(
    manager: &Manager,
    args: &DemoArgs,
    json: bool,
    summary: &mut Summary,
    beside: Beside<'_>,
) -> anyhow::Result<bool> {
    let terminal = std::io::stdin().is_terminal();
    if args.lines || !terminal {
        let mut lines = InputLines::stdin(json);
        // Piped input arrives soon; an idle pipe holds no command.
        let first = if args.lines {
            lines.next().await
        } else {
            tokio::time::timeout(Duration::from_millis(500), lines.next()).await.ok().flatten()
        };
        if first.is_some() || args.lines || lines.was_unreadable() {
            return from_lines(manager, first, lines, json, summary).await;
        }
    }
    days(manager, args, json, summary, beside).await?;
    Ok(true)
}

async fn from_lines(
    manager: &Manager,
    first: Option<String>,
    mut lines: InputLines,
    json: bool,
    summary: &mut Summary,
) -> anyhow::Result<bool> {
    let mut next = first;
    while let Some(text) = next {
        let outcome = manager.command(&text).await;
        outcome.mark_used();
        summary.command(&outcome);
        let memory = summary.catch_up(manager).await;
        if !json {
            let needs: Vec<_> = outcome.needed().iter().map(|n| n.id.as_str()).collect();
            print::line(&format!("> {text}"));
            print::line(&format!(
                "  {} {}",
                needs.join(", "),
                crate::run::result(&outcome, memory)
            ));
        }
        drop(outcome);
        next = lines.next().await;
    }
    Ok(!lines.was_unreadable())
}

/// The parts of a control for the generated days, and its folder.
struct Beside<'a> {
    specs: &'a [ComponentSpec],
    config: Config,
    budget: ByteSize,
    control: &'a mut Option<Control>,
}

async fn days(
    manager: &Manager,
    args: &DemoArgs,
    json: bool,
    summary: &mut Summary,
    beside: Beside<'_>,
) -> anyhow::Result<()> {
    let control =
        beside.control.insert(Control::start(beside.specs, beside.config, beside.budget).await?);
    let mut days = Days::new(args.seed, &manager.components());
    let mut view = View::new(args.days, json);
    view.say(&format!(
        "{} from seed {}, idle times shortened, compared with a second manager that loads on demand. Ctrl-C stops; pipe lines in to run your own commands.",
        count(args.days, "day"),
        args.seed
    ));
    for day in 1..=args.days {
        for command in days.next_day() {
            tokio::time::sleep(command.pause).await;
            let options = AcquireOptions::within(DEADLINE);
            let (outcome, other) = tokio::join!(
                manager.command_with(&command.text, options.clone()),
                control.command(&command.text, options.clone())
            );
            outcome.mark_used();
            summary.command(&outcome);
            let understood = outcome.needed().iter().map(|n| n.id.as_str()).eq([&*command.needs]);
            summary.understood.push(understood);
            let memory = summary.catch_up(manager).await;
            view.command(day, &command.text, &outcome, memory, manager, summary).await;
            tokio::try_join!(
                correct(manager, outcome, &command.needs, options.clone()),
                correct(control.manager(), other, &command.needs, options)
            )?;
        }
        view.day(day, summary);
    }
    view.end();
    Ok(())
}

/// The user says what was meant, and has it: that is what is learned.
async fn correct(
    manager: &Manager,
    mut outcome: Outcome,
    needs: &str,
    options: AcquireOptions,
) -> anyhow::Result<()> {
    let held = outcome.lease(needs).is_some() || outcome.refusal().is_some();
    outcome.feedback(&[needs])?;
    if !held {
        // Refused a second time, the command is given up.
        drop(manager.acquire_all(&[needs], options).await);
    }
    Ok(())
}
