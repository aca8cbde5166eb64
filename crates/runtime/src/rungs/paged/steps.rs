//! Paging one component out and in.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey};
use majordomo_engine::Need;
use majordomo_paging::{Completed, Left, PagedOut, Pager, PagingError, Process, Stop};

use super::refusals::Refused;
use super::{Paged, ParkReport, Subject, WakeReport};
use crate::logs::LogStream;
use crate::process::RunningProcess;
use crate::proctable::start_time;
use crate::rungs::Body;
use crate::rungs::paged::Sampled;

/// Pages that were read ahead are kept for so many looks after a use: the next one is likely to be soon.
const RESTS: u32 = 3;
/// So many wakes in a row map the pages of a program; then one leaves them in the swap cache, so that the record shows again
/// which of them it touches.
const MAPPED_WAKES: u32 = 3;
/// The part of a step's time for paging: the rest is for measuring, and for the probe.
const PAGING: f64 = 0.75;
/// The longest time for freeing them.
const RELEASE: Duration = Duration::from_millis(500);

impl Paged {
    /// Records the pages that the component touched since its last wake, and pages it out. The bytes that it holds
    /// afterwards are measured. Dropping the future ends the thread after the call of the kernel that is under way.
    pub(crate) async fn park(
        &self,
        subject: &Subject,
        within: Duration,
    ) -> Result<ParkReport, String> {
        let (process, pager) = (self.process(subject)?, self.pager_or_reason()?);
        let (uses, own_pool, paged) = (subject.uses, subject.own_pool, self.clone());
        let (apart, key): (Need, _) = (subject.apart.iter().copied().collect(), subject.key);
        blocking(move |stop| {
            let pager = pager.ended_by(stop);
            let members = open_members(&process);
            if members.is_empty() {
                return Err("it has no process left".to_owned());
            }
            let _alone = process.stepping().page_out_alone();
            let was_paged = process.stepping().was_paged();
            let step = process.stepping().begin_page_out();
            record_touched(&process, &pager, &members, uses, was_paged);
            let cgroup = process.members().cgroup();
            let prefetched = process.stepping().record().prefetched.take();
            let out = pager.page_out(&members, cgroup, prefetched.as_ref(), within.mul_f64(PAGING));
            let out = match out {
                Ok(out) => out,
                Err(error) => return paged.refused(key, &error),
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

    /// Reads the pages again that answers after earlier wakes touched, and maps them but in each fourth wake; all pages, where
    /// none were recorded.
    /// Compressed memory gives its pages faster to the program that touches them: nothing is read from it first when a
    /// use waits for that.
    pub(crate) async fn wake(
        &self,
        subject: &Subject,
        is_awaited: bool,
        within: Duration,
    ) -> Result<WakeReport, String> {
        let (process, pager) = (self.process(subject)?, self.pager_or_reason()?);
        let paged = self.clone();
        blocking(move |stop| {
            let pager = pager.ended_by(stop);
            let _step = process.stepping().begin();
            let members = open_members(&process);
            if !paged.machine().swap.reads_first(is_awaited) {
                let mut record = process.stepping().record();
                record.woken_by_faults();
                return Ok(WakeReport { measured: None, swap: record.swap });
            }
            let record = process.stepping().record();
            let (pages, placement) = (record.pages.clone(), record.placement(MAPPED_WAKES));
            drop(record);
            let back = pager
                .page_in(&members, pages.as_ref(), placement, within.mul_f64(PAGING))
                .map_err(|error| error.to_string())?;
            if back.completed == Completed::Whole
                && let Some(rates) = &mut paged.machine().rates
            {
                rates.woken(back.asked, back.took);
            }
            let mut record = process.stepping().record();
            record.woken(back);
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

    /// The report of a failed page-out. Where the machine is its reason, nothing was moved, and the rung is not on offer for a
    /// while.
    fn refused(&self, key: ComponentKey, error: &PagingError) -> Result<ParkReport, String> {
        if !error.is_of_the_machine() {
            return Err(error.to_string());
        }
        let refused = match error.is_of_all_programs() {
            true => Refused::Every,
            false => Refused::One(key),
        };
        self.machine().refusals.add(refused, error.to_string());
        Ok(ParkReport { unmoved: Some(error.to_string()), ..ParkReport::default() })
    }

    fn pager_or_reason(&self) -> Result<Pager, String> {
        self.pager().ok_or_else(|| "no component is paged out on this machine".to_owned())
    }
}

/// Runs the work of a step on a thread that may block. Dropping the future ends its calls of the pager.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce(Stop) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let ends = EndOnDrop(Stop::default());
    let stop = ends.0.clone();
    // It fails only when the runtime shuts down.
    let done = tokio::task::spawn_blocking(move || work(stop)).await;
    done.unwrap_or_else(|lost| Err(lost.to_string()))
}

struct EndOnDrop(Stop);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
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
    let before = std::mem::replace(&mut process.stepping().record().uses, uses);
    if before == uses || !was_paged {
        return;
    }
    // Without the lock, for which measuring would wait.
    let touched = pager.touched(members);
    let mut record = process.stepping().record();
    let were_mapped = record.n_mapped > 0;
    match &mut record.pages {
        Some(pages) if were_mapped => pages.extend(touched),
        Some(pages) => pages.merge(touched),
        None => record.pages = Some(touched),
    }
}

impl Paged {
    /// Frees pages that were read ahead for a wake and that its uses did not touch, some time after them. Blocks.
    pub(super) fn release_if_due(&self, pager: &Pager, sampled: &Sampled) {
        let Sampled { process, uses, is_leased, .. } = sampled;
        let stepping = process.stepping();
        let Some(_alone) = stepping.try_page_out_alone() else { return };
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
        "parked: {freed} of {expected} freed in {} ms, {} held, {} in swap",
        took.as_millis(),
        after.ram(),
        after.swap
    );
    let Left { locked, shared, mapped_shared, sparse, untraceable, .. } = out.left;
    for (bytes, what) in [
        (locked, "locked"),
        (shared, "shared with other processes"),
        (mapped_shared, "in shared mappings"),
        (sparse, "in sparse mappings"),
    ] {
        if bytes > ByteSize::ZERO {
            line.push_str(&format!(", {bytes} {what}"));
        }
    }
    if untraceable > 0 {
        line.push_str(&format!(", {untraceable} processes may not be traced and are left"));
    }
    match out.completed {
        Completed::SwapFull => line.push_str("; the swap is full"),
        Completed::OutOfTime => line.push_str("; the time was over"),
        _ => {}
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn step_that_is_dropped_ends_its_thread() {
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (ended, has_ended) = tokio::sync::oneshot::channel();
        let step = tokio::spawn(blocking(move |stop| {
            let _ = begun.send(());
            while !stop.is_ended() {
                std::thread::yield_now();
            }
            let _ = ended.send(());
            Ok(())
        }));
        has_begun.await.unwrap();
        step.abort();
        has_ended.await.unwrap();
    }

    #[test]
    fn park_that_the_machine_refuses_withdraws_the_offer_and_others_do_not() {
        let (key, other) = (ComponentKey(1), ComponentKey(2));
        let has = |paged: &Paged| {
            let machine = paged.machine();
            (machine.refusals.has(key), machine.refusals.has(other))
        };
        let paged = Paged::default();
        paged.refused(key, &PagingError::Ended).unwrap_err();
        assert_eq!(has(&paged), (false, false), "its own end");
        paged.refused(key, &PagingError::NeedsCgroup).unwrap();
        assert_eq!(has(&paged), (true, false));
        let (free, total) = (ByteSize::ZERO, ByteSize::gib(1));
        let report = paged.refused(key, &PagingError::SwapFull { free, total }).unwrap();
        let words = report.unmoved.unwrap();
        assert!(words.contains("swap is full"), "{words}");
        assert_eq!(has(&paged), (true, true));
    }
}
