//! Paging one component out and in.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::ByteSize;
use majordomo_engine::Need;
use majordomo_paging::{Completed, Left, PagedOut, Pager, PagingError, Process};

use super::{Paged, ParkReport, Subject, WakeReport};
use crate::logs::LogStream;
use crate::process::RunningProcess;
use crate::proctable::start_time;
use crate::rungs::Body;
use crate::rungs::paged::Sampled;

/// Pages that were read ahead are kept for so many looks after a use: the next one is likely to be soon.
const RESTS: u32 = 3;
/// The part of a step's time for paging: the rest is for measuring, and for the probe.
const PAGING: f64 = 0.75;
/// The longest time for freeing them.
const RELEASE: Duration = Duration::from_millis(500);

impl Paged {
    /// Records the pages that the component touched since its last wake, and pages it out. The bytes that it holds
    /// afterwards are measured. Dropping the future leaves a thread that ends within `within`.
    pub(crate) async fn park(
        &self,
        subject: &Subject,
        within: Duration,
    ) -> Result<ParkReport, String> {
        let (process, pager) = (self.process(subject)?, self.pager_or_reason()?);
        let (uses, own_pool, paged) = (subject.uses, subject.own_pool, self.clone());
        let apart: Need = subject.apart.iter().copied().collect();
        blocking(move || {
            let members = open_members(&process);
            if members.is_empty() {
                return Err("it has no process left".to_owned());
            }
            let was_paged = process.stepping().was_paged();
            let step = process.stepping().begin_page_out();
            record_touched(&process, &pager, &members, uses, was_paged);
            let cgroup = process.members().cgroup();
            let prefetched = process.stepping().record().prefetched.take();
            let out = pager.page_out(&members, cgroup, prefetched.as_ref(), within.mul_f64(PAGING));
            let out = match out {
                Ok(out) => out,
                // Other programs have filled swap: nothing was moved.
                Err(full @ (PagingError::SwapFull { .. } | PagingError::CgroupSwapFull { .. })) => {
                    let unmoved = Some(full.to_string());
                    return Ok(ParkReport { unmoved, ..ParkReport::default() });
                }
                Err(error) => return Err(error.to_string()),
            };
            process.stepping().record().swap = out.after.swap;
            drop(step);
            process.logs().push(LogStream::Manager, &in_words(&out));
            if let Some(rates) = &mut paged.machine().rates {
                rates.parked(out.freed, out.took);
            }
            // Memory on a card stays there.
            let mut held = apart;
            // Memory that is not proven free is held, in the system's cache if nowhere else.
            held.add(own_pool, out.after.ram().max(out.before.ram() - out.freed));
            held.add(Need::SWAP, out.after.swap);
            Ok(ParkReport {
                held,
                freed: Some(out.freed),
                written: Some(out.written),
                ..ParkReport::default()
            })
        })
        .await
    }

    /// Reads the pages again that answers after earlier wakes touched; all of them, where none were recorded.
    pub(crate) async fn wake(
        &self,
        subject: &Subject,
        within: Duration,
    ) -> Result<WakeReport, String> {
        let (process, pager) = (self.process(subject)?, self.pager_or_reason()?);
        let paged = self.clone();
        blocking(move || {
            let members = open_members(&process);
            let _step = process.stepping().begin();
            let pages = process.stepping().record().pages.clone();
            let back = pager
                .page_in(&members, pages.as_ref(), within.mul_f64(PAGING))
                .map_err(|error| error.to_string())?;
            if back.completed == Completed::Whole
                && let Some(rates) = &mut paged.machine().rates
            {
                rates.woken(back.asked, back.took);
            }
            let mut record = process.stepping().record();
            (record.prefetched, record.rests) = (Some(back.prefetched), 0);
            // The samples show which pages the program touched: those are not in swap any more.
            Ok(WakeReport { measured: None, swap: record.swap })
        })
        .await
    }

    fn process(&self, subject: &Subject) -> Result<Arc<RunningProcess>, String> {
        match &subject.body {
            Body::Process(process) => Ok(Arc::clone(process)),
            Body::Service(_) | Body::Builtin(_) => Err("it is no program".to_owned()),
        }
    }

    fn pager_or_reason(&self) -> Result<Pager, String> {
        self.pager().ok_or_else(|| "no component is paged out on this machine".to_owned())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    // It fails only when the runtime shuts down.
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|lost| Err(lost.to_string()))
}

/// The living members, each held so that its number cannot come to mean another process.
fn open_members(process: &RunningProcess) -> Vec<Process> {
    let open = |entry: &crate::proctable::Entry| {
        let opened = Process::open(u32::try_from(entry.pid).ok()?).ok()?;
        (start_time(entry.pid).as_ref() == Some(&entry.start)).then_some(opened)
    };
    process.members().find().iter().filter_map(open).collect()
}

/// Merges the pages that were touched into the record, if the component was used since a wake: before the first one all of
/// its memory is there, and what only its health probes touched is no working set.
fn record_touched(
    process: &RunningProcess,
    pager: &Pager,
    members: &[Process],
    uses: u64,
    was_paged: bool,
) {
    let mut record = process.stepping().record();
    let was_used = std::mem::replace(&mut record.uses, uses) != uses;
    if !was_used || !was_paged {
        return;
    }
    let touched = pager.touched(members);
    match &mut record.pages {
        Some(pages) => pages.merge(touched),
        None => record.pages = Some(touched),
    }
}

impl Paged {
    /// Frees pages that were read ahead for a wake and that its uses did not touch, some time after them. Blocks.
    pub(super) fn release_if_due(&self, pager: &Pager, sampled: &Sampled) {
        let Sampled { process, uses, is_leased, .. } = sampled;
        let stepping = process.stepping();
        let mut record = stepping.record();
        let rests = *uses != record.uses && !is_leased && stepping.turns().is_multiple_of(2);
        record.rests = if rests { record.rests + 1 } else { 0 };
        if record.rests < RESTS {
            return;
        }
        let Some(prefetched) = record.prefetched.take() else { return };
        drop(record);
        let freed = pager.release(&open_members(process), &prefetched, RELEASE);
        tracing::trace!(component = %process.component(), %freed, "pages that were read ahead and not touched are freed");
    }
}

/// A line for the component's log.
fn in_words(out: &PagedOut) -> String {
    let PagedOut { freed, expected, after, took, .. } = out;
    let mut line = format!(
        "parked: {freed} of {expected} freed in {took:.1?}, {} held, {} in swap",
        after.ram(),
        after.swap
    );
    let Left { locked, shared, .. } = out.left;
    for (bytes, what) in [(locked, "locked"), (shared, "shared with other processes")] {
        if bytes > ByteSize::ZERO {
            line.push_str(&format!(", {bytes} {what}"));
        }
    }
    match out.completed {
        Completed::SwapFull => line.push_str("; the swap is full"),
        Completed::OutOfTime => line.push_str("; the time was over"),
        _ => {}
    }
    line
}
