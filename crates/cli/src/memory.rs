//! `memory`: a readable account of memory: bounds, budget, pools, components, pressure.
//!
//! Of a server that runs, or of a configuration without one: then nothing is loaded, and only the static part is printed.

use std::process::ExitCode;
use std::time::Duration;

use majordomo::{ByteSize, Manager, PressureLevel, read_config};
use majordomo_server::wire::{Component, Felt, Figure, Memory, Parking};
use serde::Serialize;

use crate::parking;
use crate::print::{self, Style, styled};

/// The first reading of pressure is waited for this long.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many of the last changes of pressure are shown.
const N_NOTES: usize = 10;

/// The printed figures; with `--json` as they are.
#[derive(Debug, Serialize)]
pub(crate) struct Account {
    pub(crate) memory: Memory,
    pub(crate) components: Vec<Component>,
    /// Files that were read ahead; empty without a server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) read_ahead: Vec<Figure>,
}

/// The account of a configuration, without a server.
pub(crate) async fn run(
    config: std::path::PathBuf,
    state_dir: Option<std::path::PathBuf>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    // A file with problems ends the start below, which reports them.
    let loaded = read_config(&config, majordomo::memory_limit()).ok();
    let n_parkable = loaded.map_or(0, |loaded| parking::n_parkable(&loaded.specs, &loaded.config));
    let mut builder = Manager::builder().config_file(config).dormant();
    if let Some(dir) = state_dir {
        builder = builder.state_dir(dir);
    }
    let manager = match crate::start::start(builder, json).await? {
        Ok(manager) => manager,
        Err(code) => return Ok(code),
    };
    let mut account = with_a_reading(&manager).await?;
    account.memory.parking = Some(offer_for(n_parkable).await?);
    manager.shutdown(None).await;
    account.print(json)?;
    Ok(ExitCode::SUCCESS)
}

/// The offer of this machine to the components of a configuration, none of which runs.
async fn offer_for(n_parkable: usize) -> anyhow::Result<Parking> {
    let offer = tokio::task::spawn_blocking(move || parking::offer(n_parkable)).await?;
    Ok(Parking::from(&offer))
}

/// The account once pressure has been read.
async fn with_a_reading(manager: &Manager) -> anyhow::Result<Account> {
    let read = async {
        loop {
            let status = manager.status().await?;
            if status.memory.felt.as_ref().is_none_or(|f| f.readings > 0 || f.failing) {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    };
    let status = match tokio::time::timeout(PATIENCE, read).await {
        Ok(status) => status,
        Err(_) => manager.status().await,
    }?;
    Ok(Account {
        memory: Memory::new(&status.memory, status.at),
        components: status.components.iter().map(|c| Component::new(c, status.at)).collect(),
        read_ahead: Vec::new(),
    })
}

impl Account {
    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            print::json(&serde_json::to_value(self)?);
            return Ok(());
        }
        self.bounds();
        self.budget();
        self.pools();
        self.components();
        match &self.memory.felt {
            Some(felt) => self.pressure(felt),
            None => {
                head("pressure");
                row("level", "not measured");
            }
        }
        if let Some(parking) = &self.memory.parking {
            self.parking(parking);
        }
        self.giving_back();
        if !self.read_ahead.is_empty() {
            head("files read ahead");
            for figure in &self.read_ahead {
                row(&figure.name, &crate::figure::figure(figure));
            }
        }
        Ok(())
    }

    fn bounds(&self) {
        head("bounds");
        for bound in self.memory.felt.iter().flat_map(|f| &f.bounds) {
            let used = bound.used;
            let line = match bound.limit {
                Some(limit) => format!("{used} of {limit} used, {} available", limit - used),
                None => format!("{used} used, no limit"),
            };
            row(&short(&bound.name), &line);
        }
        row("this manager", &format!("{} resident", amount(self.memory.own)));
    }

    fn budget(&self) {
        let m = &self.memory;
        head("budget");
        row("total", &m.budget.to_string());
        row("booked", &m.booked.to_string());
        for (bytes, name) in [
            (m.claimed, "set aside for demands"),
            (m.external, "taken by other programs"),
            (m.unreturned, "held by no component"),
        ] {
            if bytes > ByteSize::ZERO {
                row(name, &bytes.to_string());
            }
        }
        let taken = m.booked + m.claimed + m.external + m.unreturned;
        row("free", &(m.budget - taken).to_string());
        let debt = &m.overdraft;
        if debt.total > ByteSize::ZERO {
            let kinds = [
                (debt.growth, "growth of components"),
                (debt.load, "the peak of a load"),
                (debt.external, "other programs"),
                (debt.unreturned, "unreturned memory"),
                (debt.config, "a smaller budget"),
            ];
            let parts: Vec<_> = kinds
                .into_iter()
                .filter(|(bytes, _)| *bytes > ByteSize::ZERO)
                .map(|(bytes, name)| format!("{bytes} by {name}"))
                .collect();
            let line = format!("{}: {}", debt.total, parts.join(", "));
            row("overdraft", &styled(Style::Bad, &line));
        }
    }

    fn pools(&self) {
        let shown = |p: &&majordomo_server::wire::Pool| {
            p.booked > ByteSize::ZERO || p.budget.is_some() || p.declared
        };
        let pools: Vec<_> = self.memory.pools.iter().filter(shown).collect();
        if pools.is_empty() {
            return;
        }
        head("pools");
        for pool in pools {
            let of = pool.budget.map_or_else(String::new, |b| format!(" of {b}"));
            let kind = if pool.declared { ", no RAM" } else { "" };
            row(&pool.name, &format!("{}{of} booked{kind}", pool.booked));
        }
    }

    fn components(&self) {
        let columns = ["declared", "measured", "load peak", "in use", "shared", "limit", "booked"];
        let width = self.components.iter().map(|c| c.name.as_str().len()).max();
        let width = width.unwrap_or(0).max("component".len());
        let mut line = format!("{:<width$}  {:<11}", "component", "state");
        columns.iter().for_each(|c| line.push_str(&format!(" {c:>10}")));
        print::line("");
        print::line(&styled(Style::Strong, &line));
        let some = |bytes: ByteSize| Some(bytes).filter(|b| *b > ByteSize::ZERO);
        for c in &self.components {
            let mut line = format!("{:<width$}  {:<11}", c.name.as_str(), c.state.name());
            for cell in [
                Some(c.estimate),
                c.measured,
                c.load_peak,
                c.working_peak,
                some(c.shared),
                c.limit,
                some(c.booked),
            ] {
                line.push_str(&format!(" {:>10}", amount(cell)));
            }
            print::line(&line);
            for memory in &c.apart {
                let booked = amount(some(memory.booked));
                print::line(&format!(
                    "{:<width$}  in pool {}: declared {}, not measured, booked {booked}",
                    "", memory.pool, memory.declared
                ));
            }
        }
    }

    fn pressure(&self, felt: &Felt) {
        head("pressure");
        let level = self.memory.pressure.unwrap_or(PressureLevel::Low);
        let style = if level == PressureLevel::Low { Style::Good } else { Style::Bad };
        let failing = if felt.failing { " (no source answers now)" } else { "" };
        let level = styled(style, &level.to_string());
        row("level", &format!("{level}, from {}{failing}", felt.source));
        let (available, limit) = (felt.available, felt.limit);
        row("available", &format!("{available} before the tightest bound; limit {limit}"));
        let levels = PressureLevel::ALL.iter().skip(1);
        let below: Vec<_> =
            levels.zip(felt.thresholds).map(|(level, at)| format!("{level} {at}")).collect();
        row("begins below", &below.join(", "));
        if let Some(hint) = felt.hint {
            row("kernel hint", &hint.to_string());
        }
        for (i, means) in felt.means.iter().enumerate() {
            row(if i == 0 { "woken by" } else { "" }, means);
        }
        for (i, change) in felt.history.iter().rev().take(N_NOTES).enumerate() {
            let ago = print::time(Duration::from_secs_f64(change.ago_ms.max(0.0) / 1e3));
            let what = if change.event.is_empty() {
                format!("{} at {} available", change.level, change.available)
            } else {
                change.event.clone()
            };
            row(if i == 0 { "history" } else { "" }, &format!("{ago} ago: {what}"));
        }
    }

    fn parking(&self, parking: &Parking) {
        head("parking");
        match (&parking.means, &parking.why_not) {
            (Some(means), _) => row("programs", &format!("paged out by {means}")),
            (None, Some(why)) => row("programs", &format!("not parked: {why}")),
            (None, None) => row("programs", "not known yet"),
        }
        if parking.budget > ByteSize::ZERO || parking.swapped > ByteSize::ZERO {
            row("in swap", &format!("{} of {}", parking.swapped, parking.budget));
        }
        if let Some(most) = parking.writes_per_day {
            row("written to swap", &format!("{} of {most} within 24 hours", parking.written));
        }
        for c in &self.components {
            let Some(parks) = &c.parking else { continue };
            if let Some(line) = parking::of_component(parks) {
                row(c.name.as_str(), &line);
            }
        }
    }

    fn giving_back(&self) {
        let m = &self.memory;
        head("giving back");
        let cold = &m.cold;
        row(
            "snapshots",
            &format!(
                "{} with {} of {}; {} handed back, {} dropped, {} corrupt",
                cold.snapshots,
                cold.used,
                cold.budget,
                cold.handed_back,
                cold.dropped,
                cold.corrupt
            ),
        );
        let last = m.last_trim_ms.map_or_else(String::new, |ms| {
            let took = print::time(Duration::from_secs_f64(ms.max(0.0) / 1e3));
            format!(", the last took {took}")
        });
        row("heap trims", &format!("{}{last}", m.trims));
        row("limits of processes", &m.process_limits);
    }
}

/// An amount, or a dash where there is none.
fn amount(bytes: Option<ByteSize>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |b| b.to_string())
}

fn head(text: &str) {
    print::line("");
    print::line(&styled(Style::Strong, text));
}

fn row(name: &str, line: &str) {
    print::line(&format!("  {name:<24} {line}"));
}

/// The path of a cgroup is long; its kind and its last name identify it.
fn short(name: &str) -> String {
    match name.split_once(" /") {
        Some((kind, path)) => {
            let end = path.rsplit('/').next().unwrap_or_default();
            format!("{kind} {}", end.chars().take(12).collect::<String>())
        }
        None => name.to_owned(),
    }
}
