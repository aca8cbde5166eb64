//! `bench-rungs`: measures the rungs of real components: the memory left at each, the ways there and back, and the first
//! answer after it.
//!
//! Components are taken one after another, with their dependencies and what is always loaded. The manager learns from the
//! parks and wakes as in normal use, and keeps the figures in its state directory, but not the uses, which are no user's.

mod figures;
mod request;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use majordomo::{
    AcquireOptions, AnyLease, ByteSize, ComponentId, EventKind, Followed, Follower, Manager,
    Refusal, Rung, count,
};
use tokio::time::{Instant, sleep, timeout};

use crate::args::BenchRungsArgs;
use crate::exit::Exit;
use crate::parking;
use crate::print;
use crate::signals::Interrupts;
use crate::start::{builder, report_stuck, start_or_interrupt};
use figures::{Round, Table};
use request::Request;

/// A load, or a wake, is waited for this long.
const DEADLINE: Duration = Duration::from_secs(300);
/// An answer is waited for this long.
const ANSWER: Duration = Duration::from_secs(120);
/// Answers of a warm component in each round.
const WARM_ANSWERS: usize = 3;

pub(crate) async fn run(args: BenchRungsArgs, json: bool) -> anyhow::Result<ExitCode> {
    let builder = builder(&args.config, args.state_dir.as_deref())?.measuring();
    let mut interrupts = Interrupts::new()?;
    let started =
        start_or_interrupt(builder, json, &mut interrupts, print::message, Exit::Failure).await?;
    let manager = match started {
        Ok(manager) => manager,
        Err(code) => return Ok(code),
    };
    let work = measure(&manager, &args, json);
    let done = tokio::select! {
        done = work => Some(done),
        () = interrupts.next() => {
            print::message("interrupted; stopping (interrupt again to stop at once)");
            None
        }
        () = print::ended() => None,
    };
    let stuck = interrupts.shutdown(&manager).await;
    report_stuck(&stuck);
    match done {
        Some(Ok(exit)) if stuck.is_empty() => Ok(exit.into()),
        Some(Err(error)) => Err(error),
        _ => Ok(Exit::Failure.into()),
    }
}

async fn measure(manager: &Manager, args: &BenchRungsArgs, json: bool) -> anyhow::Result<Exit> {
    let names = chosen(manager, &args.names)?;
    let mut requests = requests(manager, args)?;
    let offer = parking::sentence(manager).await;
    if !json {
        print::line(&format!(
            "{}, {} each; medians. {offer}",
            count(names.len(), "component"),
            count(args.repeats as usize, "round")
        ));
    }
    let mut table = Table::default();
    let mut exit = Exit::Success;
    for id in names {
        let request = requests.remove(&id).unwrap_or_else(|| Request::default_of(manager, &id));
        let mut subject = Subject { manager, id, request, follower: manager.events(None) };
        match subject.measure(args.repeats, &mut table).await {
            Ok(()) => {}
            Err(error) => {
                print::error(&format!("{}: {error:#}", subject.id));
                exit = Exit::Failure;
            }
        }
        // Nothing of it stays in memory beside the next one.
        drop(manager.operator().unload(subject.id.as_str(), false).await);
        if json {
            table.take_rows().for_each(|row| print::json(&row.json()));
        }
    }
    if !json {
        print::lines(&table.lines());
        print::lines(&table.remarks());
    }
    Ok(exit)
}

/// The components named, or all of the configuration.
fn chosen(manager: &Manager, names: &[String]) -> anyhow::Result<Vec<ComponentId>> {
    let specs = manager.components();
    if names.is_empty() {
        return Ok(specs.iter().map(|spec| spec.id.clone()).collect());
    }
    let find = |name: &String| {
        let found = specs.iter().find(|spec| spec.id.as_str() == name);
        let all = || specs.iter().map(|s| s.id.as_str()).collect::<Vec<_>>().join(", ");
        found.map(|spec| spec.id.clone()).ok_or_else(|| {
            anyhow::anyhow!(
                "{} is no component of the configuration, which has {}",
                majordomo::quoted(name),
                all()
            )
        })
    };
    names.iter().map(find).collect()
}

fn requests(
    manager: &Manager,
    args: &BenchRungsArgs,
) -> anyhow::Result<BTreeMap<ComponentId, Request>> {
    let mut requests = BTreeMap::new();
    for stated in &args.requests {
        let (name, text) = stated.split_once('=').ok_or_else(|| {
            anyhow::anyhow!(
                "--request {} has no component: write NAME=REQUEST",
                majordomo::quoted(stated)
            )
        })?;
        let [id] = &chosen(manager, &[name.to_owned()])?[..] else { continue };
        requests.insert(id.clone(), Request::parse(manager, id, text)?);
    }
    Ok(requests)
}

/// One component under measurement.
struct Subject<'m> {
    manager: &'m Manager,
    id: ComponentId,
    request: Request,
    follower: Follower,
}

impl Subject<'_> {
    /// Rounds of cold loads, then rounds of parks and wakes.
    async fn measure(&mut self, rounds: u32, table: &mut Table) -> anyhow::Result<()> {
        // The files of the first load may be on disk alone; it belongs to no round.
        self.lease_and_answer(None).await?;
        let mut cold = Vec::new();
        for _ in 0..rounds {
            let begun = Instant::now();
            self.manager.operator().unload(self.id.as_str(), false).await?;
            let enter = begun.elapsed();
            cold.push(self.lease_and_answer(Some(Round { enter, ..Round::default() })).await?);
        }
        table.add(&self.id, Rung::Gone, &cold, self.request.is_some());
        let mut parked = Vec::new();
        let written = self.written().await;
        for _ in 0..rounds {
            let begun = Instant::now();
            match self.manager.operator().park(self.id.as_str()).await {
                Ok(()) => {}
                Err(refusal) if parked.is_empty() => {
                    table.add_remark(format!("{} is not parked: {refusal}", self.id));
                    return Ok(());
                }
                Err(refusal) => return Err(refusal.into()),
            }
            let enter = begun.elapsed();
            let (rung, swapped) = self.park_report().unwrap_or_default();
            let held = self.memory().await;
            let round = Round { enter, swapped, held, ..Round::default() };
            parked.push((rung, self.lease_and_answer(Some(round)).await?));
        }
        let written = ByteSize((self.written().await - written).0 / u64::from(rounds.max(1)));
        parked.iter_mut().for_each(|(_, round)| round.written = written);
        for rung in [Rung::Asleep, Rung::Paged] {
            let of_rung = parked.iter().filter(|(r, _)| *r == rung);
            let rounds: Vec<_> = of_rung.map(|(_, round)| round.clone()).collect();
            table.add(&self.id, rung, &rounds, self.request.is_some());
        }
        Ok(())
    }

    /// Leases the component, and asks it once, then again when it is warm.
    async fn lease_and_answer(&self, round: Option<Round>) -> anyhow::Result<Round> {
        let mut round = round.unwrap_or_default();
        let begun = Instant::now();
        let lease = self.lease().await?;
        round.wait = begun.elapsed();
        round.first_answer = self.answer(&lease).await?;
        round.ready = self.memory().await;
        for _ in 0..WARM_ANSWERS {
            round.warm_answers.extend(self.answer(&lease).await?);
        }
        Ok(round)
    }

    async fn lease(&self) -> Result<AnyLease, Refusal> {
        let options = AcquireOptions::within(DEADLINE);
        let mut leases = self.manager.acquire_all(&[self.id.as_str()], options).await?;
        leases.pop().ok_or(Refusal::Abandoned)
    }

    /// How long the answer to its request takes; none without a request.
    async fn answer(&self, lease: &AnyLease) -> anyhow::Result<Option<Duration>> {
        if !self.request.is_some() {
            return Ok(None);
        }
        let begun = Instant::now();
        match timeout(ANSWER, self.request.send(lease)).await {
            Ok(answered) => answered?,
            Err(_) => anyhow::bail!("no answer within {ANSWER:?}"),
        }
        Ok(Some(begun.elapsed()))
    }

    /// The rung of the park that has just ended, and the bytes in swap.
    fn park_report(&mut self) -> Option<(Rung, ByteSize)> {
        let mut found = None;
        while let Some(followed) = self.follower.try_next() {
            let Followed::Record(record) = followed else { continue };
            if let EventKind::Parked { component, rung, swapped, .. } = &record.kind
                && self.manager.name_of(*component).as_ref() == Some(&self.id)
            {
                found = Some((*rung, *swapped));
            }
        }
        found
    }

    /// The main memory that it takes now, as measured.
    async fn memory(&self) -> ByteSize {
        let look = async {
            loop {
                let status = self.manager.status().await.ok()?;
                let measured = status.components.iter().find(|c| c.id == self.id)?.measured;
                match measured {
                    Some(bytes) => break Some(bytes),
                    None => sleep(Duration::from_millis(50)).await,
                }
            }
        };
        timeout(Duration::from_secs(3), look).await.ok().flatten().unwrap_or_default()
    }

    /// Bytes that the machine has written to swap within a day.
    async fn written(&self) -> ByteSize {
        // The manager looks at it once a second.
        sleep(Duration::from_millis(1500)).await;
        let status = self.manager.status().await;
        status.map_or(ByteSize::ZERO, |status| status.memory.parking.written)
    }
}
