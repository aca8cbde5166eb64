//! `intents`, `learn` and `feedback`: what is learned from texts, asked and taught without a manager.

mod table;

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use majordomo::{ComponentId, Config, OfflineIntents, StoredState, count, read_config};
use majordomo_server::wire::{Decision, Intents};

use crate::args::{IntentsArgs, LearnArgs};
use crate::lines::InputLines;
use crate::plan::{doubtful, evidence};
use crate::print::{self, Style, styled};
use crate::signals::Interrupts;
use table::{Row, Rows};

/// Problems of a file that are printed.
const MAX_PROBLEMS: usize = 20;
/// Width of the progress bar.
const BAR: usize = 30;

/// The learned texts, with the components of a configuration if there is one. Blocking.
fn open(config: Option<&Path>, state_dir: Option<&Path>) -> anyhow::Result<OfflineIntents> {
    open_with(OfflineIntents::open, config, state_dir)
}

/// How a state directory is opened: to learn, or to ask.
type Open = fn(Option<&Path>, &Config) -> Result<OfflineIntents, majordomo::BuildError>;

fn open_with(
    open: Open,
    config: Option<&Path>,
    state_dir: Option<&Path>,
) -> anyhow::Result<OfflineIntents> {
    let Some(config) = config else {
        return Ok(open(state_dir, &Config::default())?);
    };
    let loaded = read_config(config, majordomo::memory_limit())
        .map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let mut intents = open(state_dir, &loaded.config)?;
    intents.set_catalog(loaded.catalog(None)?)?;
    Ok(intents)
}

/// A directory to be read must have a state: a slip must not make one.
fn must_exist(dir: &Path) -> anyhow::Result<()> {
    if StoredState::is_missing(dir) {
        bail!("{} has no learned data: it contains no state.redb", dir.display());
    }
    Ok(())
}

/// `intents`.
pub(crate) async fn run(
    args: IntentsArgs,
    socket: Option<&Path>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    // With --state-dir no server is meant, so a word is not mistaken for it.
    let exists = |word: &str| args.state_dir.is_none() && Path::new(word).exists();
    let split = crate::target::split(&args.words, args.config.as_deref(), args.server, exists);
    let (config, words) = match split {
        Ok(split) => split,
        Err(why) => {
            print::error(&why);
            return Ok(crate::exit::Exit::Usage.into());
        }
    };
    if config.is_none() && args.state_dir.is_none() {
        return crate::remote::intents(&words, socket, json).await;
    }
    if let Some(dir) = &args.state_dir {
        must_exist(dir)?;
    }
    let dir = args.state_dir;
    let opened = tokio::task::spawn_blocking(move || {
        open_with(OfflineIntents::open_to_ask, config.as_deref(), dir.as_deref())
    })
    .await?;
    let mut intents = opened?;
    if !words.is_empty() {
        print_offline(&words.join(" "), &mut intents, json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines = InputLines::stdin(json);
    loop {
        let text = tokio::select! {
            text = lines.next() => text,
            () = print::ended() => return Ok(ExitCode::SUCCESS),
        };
        let Some(text) = text else {
            return Ok(ExitCode::from(u8::from(lines.was_unreadable())));
        };
        if !json {
            print::line(&format!("{} {text}", styled(Style::Faint, ">")));
        }
        print_offline(&text, &mut intents, json)?;
    }
}

fn print_offline(text: &str, intents: &mut OfflineIntents, json: bool) -> anyhow::Result<()> {
    let answer = intents.explain(text);
    print_answer(text, &Intents::from(&answer), json.then(|| serde_json::to_value(&answer)))
}

/// Prints what a text is taken for: as the JSON that is given, else in words.
pub(crate) fn print_answer(
    text: &str,
    answer: &Intents,
    json: Option<serde_json::Result<serde_json::Value>>,
) -> anyhow::Result<()> {
    if let Some(value) = json {
        let mut value = value?;
        value["text"] = text.into();
        print::json(&value);
        return Ok(());
    }
    match answer.decision {
        Decision::Confident => {}
        Decision::None => print::line("no component is needed"),
        Decision::Unsure => print::line("unsure; nothing would be loaded"),
    }
    for need in &answer.needed {
        print::line(&format!(
            "needs    {} {} (at least {}){}",
            styled(Style::Strong, need.component.as_str()),
            need.confidence,
            need.threshold,
            evidence(need)
        ));
    }
    let unsure = answer.decision == Decision::Unsure;
    let named: Vec<_> =
        doubtful(answer.decision, &answer.candidates).map(|n| &n.component).collect();
    for need in &answer.candidates {
        let word = if unsure || named.contains(&&need.component) { "unsure" } else { "unlike" };
        print::line(&format!(
            "{word}   {} {} (at least {}){}",
            need.component,
            need.confidence,
            need.threshold,
            evidence(need)
        ));
    }
    print::line(&format!("model    version {}", answer.model_version));
    Ok(())
}

pub(crate) async fn learn(args: LearnArgs, json: bool) -> anyhow::Result<ExitCode> {
    let mut interrupts = Interrupts::new()?;
    let cancel = Arc::new(AtomicBool::new(false));
    let cancelled = Arc::clone(&cancel);
    let work = tokio::task::spawn_blocking(move || learn_file(&args, json, &cancelled));
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => done?,
        () = interrupts.next() => {
            cancel.store(true, Ordering::Relaxed);
            print::message("interrupted; nothing is learned");
            work.await?
        }
    }
}

/// Everything is read and checked before anything is learned, and written only when all is learned.
fn learn_file(args: &LearnArgs, json: bool, cancel: &AtomicBool) -> anyhow::Result<ExitCode> {
    let name = args.file.display().to_string();
    let known = match &args.config {
        None => None,
        Some(config) => Some(open(Some(config), None)?.components()),
    };
    let input: Box<dyn Read> = if name == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(&args.file).with_context(|| format!("{name} cannot be read"))?)
    };
    let mut rows = Rows::read(BufReader::new(input), known.as_deref(), args.skip_unknown)
        .with_context(|| format!("{name} cannot be read"))?;
    if !rows.problems.is_empty() {
        for problem in rows.problems.iter().take(MAX_PROBLEMS) {
            print::error(&format!("{name}:{problem}"));
        }
        if rows.problems.len() > MAX_PROBLEMS {
            print::message(&format!("and {} more", rows.problems.len() - MAX_PROBLEMS));
        }
        bail!("nothing was learned from {name}");
    }
    if args.all {
        rows.train.append(&mut rows.valid);
        rows.train.append(&mut rows.test);
    }
    if rows.train.is_empty() {
        let held_out = rows.valid.len() + rows.test.len();
        if held_out > 0 {
            bail!(
                "{name} has no line to learn from but {held_out} of valid and test; learn from these too with --all"
            );
        }
        bail!("{name} has no line to learn from");
    }
    let mut intents = open(args.config.as_deref(), Some(&args.state_dir))?;
    let mut progress = Progress::new(json);
    let mut without_word = 0;
    for (i, row) in rows.train.iter().enumerate() {
        if cancel.load(Ordering::Relaxed) {
            progress.end();
            return Ok(ExitCode::FAILURE);
        }
        without_word += usize::from(intents.learn(&row.text, &row.labels).is_err());
        progress.show(i + 1, rows.train.len());
    }
    progress.say("training");
    let report = match intents.train(cancel) {
        Ok(report) => report,
        Err(error) => {
            progress.end();
            return Err(error.into());
        }
    };
    progress.end();
    intents.save()?;
    if args.config.is_none() {
        drop(intents);
        // The learned components are now the list of components.
        intents = open(None, Some(&args.state_dir))?;
    }
    let learned = intents.learned();
    let checks: Vec<_> = [("valid", &rows.valid), ("test", &rows.test)]
        .into_iter()
        .filter(|(_, rows)| !rows.is_empty())
        .map(|(split, rows)| (split, rows.len(), accuracy(&mut intents, rows)))
        .collect();
    if json {
        print::json(&serde_json::json!({
            "read": rows.train.len(),
            "skipped_unknown": rows.skipped,
            "skipped_without_word": without_word,
            "report": report,
            "learned": learned,
            "checks": checks.iter().map(|(split, n, exact)| serde_json::json!({
                "split": split, "rows": n, "exact": exact,
            })).collect::<Vec<_>>(),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    print::line(&format!(
        "learned  {} about {}; {} kept",
        count(rows.train.len() - without_word, "line"),
        count(learned.components.len(), "component"),
        count(learned.outcomes, "different text")
    ));
    if rows.skipped + without_word > 0 {
        print::line(&format!(
            "skipped  {} with an unknown label, {without_word} without a word",
            rows.skipped
        ));
    }
    let compared = match report.compared {
        0 => String::new(),
        n => format!(
            "; on {} held out its log-loss is {:.3}, before {:.3}",
            count(n, "text"),
            report.log_loss.0,
            report.log_loss.1
        ),
    };
    print::line(&if report.accepted {
        format!("model    version {}{compared}", learned.version)
    } else {
        format!("model    the new model did worse and was discarded{compared}")
    });
    for (split, n, exact) in checks {
        print::line(&format!(
            "{split:<8} {:.1} % of {} get exactly their components",
            100.0 * exact,
            count(n, "text")
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The share of rows whose decision is exactly their labels.
fn accuracy(intents: &mut OfflineIntents, rows: &[Row]) -> f64 {
    let right = rows.iter().filter(|row| {
        let mut needed: Vec<ComponentId> =
            intents.explain(&row.text).needed.into_iter().map(|n| n.id).collect();
        needed.sort();
        needed == row.labels
    });
    right.count() as f64 / rows.len().max(1) as f64
}

/// `feedback` on a state directory; what is due is trained as well.
pub(crate) async fn feedback(
    text: &str,
    used: &[String],
    dir: PathBuf,
    json: bool,
) -> anyhow::Result<ExitCode> {
    must_exist(&dir)?;
    let used =
        used.iter().map(|name| ComponentId::new(name.trim())).collect::<Result<Vec<_>, _>>()?;
    let text = text.to_owned();
    let work = tokio::task::spawn_blocking(move || {
        let mut intents = open(None, Some(&dir))?;
        intents.learn(&text, &used)?;
        if intents.train_due() {
            intents.train(&AtomicBool::new(false))?;
        }
        intents.save()?;
        anyhow::Ok(intents.learned())
    });
    let learned = work.await??;
    if json {
        print::json(&serde_json::to_value(&learned)?);
    } else {
        print::line(&format!("learned; {} kept", count(learned.outcomes, "different text")));
    }
    Ok(ExitCode::SUCCESS)
}

/// A bar on standard error, if that is a terminal.
struct Progress {
    live: bool,
    shown: usize,
}

impl Progress {
    fn new(json: bool) -> Self {
        Self { live: !json && print::error_is_terminal(), shown: 0 }
    }

    fn show(&mut self, done: usize, all: usize) {
        let filled = done * BAR / all.max(1);
        if self.live && (filled > self.shown || done == all) {
            self.shown = filled;
            let (full, empty) = ("#".repeat(filled), "-".repeat(BAR - filled));
            print::progress(&format!("[{full}{empty}] {done} of {all} lines"));
        }
    }

    fn say(&self, what: &str) {
        if self.live {
            print::progress(&format!("{what} …"));
        }
    }

    fn end(&self) {
        if self.live {
            print::progress("");
        }
    }
}
