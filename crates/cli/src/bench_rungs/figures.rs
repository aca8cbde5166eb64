//! Figures of rounds, their medians, and the table of them.

use std::time::Duration;

use majordomo::{ByteSize, ComponentId, Rung};

use crate::print::time;
use crate::table::{self, Cell};

/// One way to a rung and back.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    /// The memory after its first answer.
    pub(super) ready: ByteSize,
    /// The memory that it holds at the rung, as proven.
    pub(super) held: ByteSize,
    /// Bytes in swap at the rung.
    pub(super) swapped: ByteSize,
    /// Bytes that the machine wrote to swap for one round, at most.
    pub(super) written: ByteSize,
    /// The time of the way there.
    pub(super) enter: Duration,
    /// The wait for a lease.
    pub(super) wait: Duration,
    pub(super) first_answer: Option<Duration>,
    pub(super) warm_answers: Vec<Duration>,
}

impl Round {
    /// How much longer the first answer took than a warm one.
    fn beyond_warm(&self) -> Option<Duration> {
        let warm = median(&self.warm_answers)?;
        Some(self.first_answer?.saturating_sub(warm))
    }
}

/// The medians of the rounds at one rung.
#[derive(Debug)]
pub(super) struct Row {
    component: ComponentId,
    rung: Rung,
    ready: ByteSize,
    held: ByteSize,
    swapped: ByteSize,
    written: ByteSize,
    enter: Duration,
    wait: Duration,
    beyond_warm: Option<Duration>,
}

impl Row {
    pub(super) fn json(&self) -> serde_json::Value {
        let ms = |d: Duration| (d.as_secs_f64() * 1e6).round() / 1e3;
        serde_json::json!({
            "component": self.component,
            "rung": self.rung.as_str(),
            "ready_bytes": self.ready,
            "held_bytes": self.held,
            "swapped_bytes": self.swapped,
            "written_bytes": self.written,
            "enter_ms": ms(self.enter),
            "wait_ms": ms(self.wait),
            "first_answer_beyond_warm_ms": self.beyond_warm.map(ms),
        })
    }

    fn cells(&self) -> Vec<Cell> {
        let beyond = self.beyond_warm.map_or("-".to_owned(), time);
        let bytes =
            |b: ByteSize| Cell::right(if b.0 == 0 { "-".to_owned() } else { b.to_string() });
        let sum = self.wait + self.beyond_warm.unwrap_or_default();
        vec![
            Cell::left(self.component.as_str()),
            Cell::left(self.rung.as_str()),
            bytes(self.ready),
            bytes(self.held),
            bytes(self.swapped),
            bytes(self.written),
            Cell::right(time(self.enter)),
            Cell::right(time(self.wait)),
            Cell::right(beyond),
            Cell::right(time(sum)),
        ]
    }
}

const HEADING: [&str; 10] = [
    "NAME",
    "RUNG",
    "ANSWERED",
    "HELD",
    "IN SWAP",
    "WRITTEN",
    "ENTER",
    "WAIT",
    "FIRST ANSWER +",
    "SUM",
];

/// Rows in the order of measurement, and what could not be measured.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Row>,
    remarks: Vec<String>,
    lacks_requests: Vec<ComponentId>,
}

impl Table {
    /// Adds the medians of rounds, if there are any.
    pub(super) fn add(
        &mut self,
        id: &ComponentId,
        rung: Rung,
        rounds: &[Round],
        has_request: bool,
    ) {
        let of = |figure: fn(&Round) -> ByteSize| {
            let figures: Vec<_> = rounds.iter().map(figure).collect();
            median(&figures).unwrap_or_default()
        };
        let times = |figure: fn(&Round) -> Option<Duration>| {
            median(&rounds.iter().filter_map(figure).collect::<Vec<_>>())
        };
        if rounds.is_empty() {
            return;
        }
        if !has_request && !self.lacks_requests.contains(id) {
            self.lacks_requests.push(id.clone());
        }
        self.rows.push(Row {
            component: id.clone(),
            rung,
            ready: of(|r| r.ready),
            held: of(|r| r.held),
            swapped: of(|r| r.swapped),
            written: of(|r| r.written),
            enter: times(|r| Some(r.enter)).unwrap_or_default(),
            wait: times(|r| Some(r.wait)).unwrap_or_default(),
            beyond_warm: times(Round::beyond_warm),
        });
    }

    pub(super) fn add_remark(&mut self, remark: String) {
        self.remarks.push(remark);
    }

    pub(super) fn take_rows(&mut self) -> impl Iterator<Item = Row> {
        std::mem::take(&mut self.rows).into_iter()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        table::lines(&HEADING, &self.rows.iter().map(Row::cells).collect::<Vec<_>>())
    }

    /// Explains the figures, and names those that are missing.
    pub(super) fn remarks(&self) -> Vec<String> {
        let mut remarks = vec![
            "HELD is the main memory left at the rung, WAIT that for a lease; FIRST ANSWER + is how much longer the first answer took than a warm one."
                .to_owned(),
        ];
        if !self.lacks_requests.is_empty() {
            let names: Vec<_> = self.lacks_requests.iter().map(ComponentId::as_str).collect();
            remarks.push(format!(
                "No answer was measured of {}: add --request NAME=REQUEST.",
                names.join(", ")
            ));
        }
        remarks.extend(self.remarks.iter().cloned());
        remarks
    }
}

/// The middle one; of an even number the lower of the two in the middle.
fn median<T: Ord + Copy>(figures: &[T]) -> Option<T> {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_hold_the_medians_of_their_rounds() {
        let ms = Duration::from_millis;
        let round = |wait: u64, first: u64| Round {
            ready: ByteSize::mib(100),
            held: ByteSize::mib(20),
            wait: ms(wait),
            first_answer: Some(ms(first)),
            warm_answers: vec![ms(10), ms(12), ms(50)],
            ..Round::default()
        };
        let id = ComponentId::new("voice").unwrap();
        let mut table = Table::default();
        let rounds = [round(30, 100), round(20, 112), round(90, 62)];
        table.add(&id, Rung::Paged, &rounds, true);
        table.add(&id, Rung::Asleep, &[], true);
        let [row] = &table.rows[..] else { panic!("{:?}", table.rows) };
        assert_eq!((row.wait, row.beyond_warm), (ms(30), Some(ms(88))));
        assert_eq!((row.held, row.ready), (ByteSize::mib(20), ByteSize::mib(100)));
    }

    #[test]
    fn component_without_a_request_is_named() {
        let mut table = Table::default();
        let id = ComponentId::new("voice").unwrap();
        table.add(&id, Rung::Gone, &[Round::default()], false);
        assert!(table.remarks().iter().any(|r| r.contains("voice")), "{:?}", table.remarks());
    }
}
