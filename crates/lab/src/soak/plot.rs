//! One picture a resource: its course over the run, nights as dots, with marks of what was done to the manager.
//!
//! Knows rows and marks, nothing of verdicts.

use std::path::Path;

use anyhow::Context;
use plotters::prelude::*;

use super::record::{Record, Row};

const SIZE: (u32, u32) = (960, 330);
const FONT: &str = "sans-serif";
const PALETTE: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(130, 130, 130),
    RGBColor(86, 180, 233),
];
const PRESSURE: RGBColor = RGBColor(255, 225, 180);
const BLOW: RGBColor = RGBColor(190, 30, 30);
/// Lines of more points are thinned: they are not visible, and the files grow.
const MAX_POINTS: usize = 1_500;

/// The content of a picture.
pub(crate) struct Picture {
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    /// One unit of the axis in the columns' unit.
    pub(crate) unit: f64,
    pub(crate) axis: &'static str,
    pub(crate) columns: &'static [(&'static str, &'static str)],
    pub(crate) log: bool,
}

const MIB: f64 = (1 << 20) as f64;

/// Every picture of a report.
pub(crate) const PICTURES: [Picture; 9] = [
    Picture {
        file: "heap.svg",
        title: "Heap of the manager's process",
        unit: MIB,
        axis: "MiB",
        columns: &[("heap_used", "in use"), ("heap_retained", "freed and kept")],
        log: false,
    },
    Picture {
        file: "memory.svg",
        title: "Memory of the manager's process",
        unit: MIB,
        axis: "MiB",
        columns: &[("rss", "resident"), ("pss", "proportional")],
        log: false,
    },
    Picture {
        file: "descriptors.svg",
        title: "Open descriptors",
        unit: 1.0,
        axis: "count",
        columns: &[("descriptors", "descriptors")],
        log: false,
    },
    Picture {
        file: "tasks.svg",
        title: "Tasks and threads",
        unit: 1.0,
        axis: "count",
        columns: &[("tasks", "tokio tasks"), ("threads", "threads")],
        log: false,
    },
    Picture {
        file: "children.svg",
        title: "Processes of components",
        unit: 1.0,
        axis: "count",
        columns: &[("children", "processes")],
        log: false,
    },
    Picture {
        file: "ledger.svg",
        title: "Ledger",
        unit: MIB,
        axis: "MiB",
        columns: &[
            ("booked", "booked in all"),
            ("pool_ml", "pool ml"),
            ("pool_gpu", "pool gpu"),
            ("pool_general", "pool general"),
            ("claimed", "claimed"),
            ("overdraft", "overdraft"),
        ],
        log: false,
    },
    Picture {
        file: "queues.svg",
        title: "Queues",
        unit: 1.0,
        axis: "count",
        columns: &[
            ("waiting", "demands that wait"),
            ("hints_waiting", "hints"),
            ("loads_running", "loads under way"),
        ],
        log: false,
    },
    Picture {
        file: "ready.svg",
        title: "Lease on a ready component",
        unit: 1.0,
        axis: "µs, logarithmic",
        columns: &[("ready_p50_us", "p50"), ("ready_p99_us", "p99"), ("ready_p999_us", "p999")],
        log: true,
    },
    Picture {
        file: "wait.svg",
        title: "Demand that waits for a load",
        unit: 1.0,
        axis: "ms, logarithmic",
        columns: &[("wait_p50_ms", "p50"), ("wait_p99_ms", "p99"), ("wait_p999_ms", "p999")],
        log: true,
    },
];

/// Blows that get a line of their own; others are ticks at the lower edge.
fn is_blow(what: &str) -> Option<&'static str> {
    match what {
        "SIGKILL" => Some("SIGKILL"),
        "stopped for seconds" => Some("stop"),
        "disk full" => Some("disk"),
        _ => None,
    }
}

/// Begin and end of pressure, in minutes.
fn pressed(record: &Record) -> Vec<(f64, f64)> {
    let mut spans: Vec<(f64, f64)> = Vec::new();
    let mut since = None;
    for (at, what) in &record.marks {
        match what.as_str() {
            "memory pressure" => since = Some(*at),
            "memory pressure ends" | "start" => {
                spans.extend(since.take().map(|s| (s / 60.0, at / 60.0)));
            }
            _ => {}
        }
    }
    spans.extend(since.map(|s| (s / 60.0, record.elapsed_s / 60.0)));
    spans
}

fn round_up(value: f64) -> f64 {
    let step = 10f64.powf(value.max(1e-9).log10().floor());
    [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|k| k * step)
        .find(|v| *v >= value)
        .unwrap_or(value)
}

/// Draws a picture.
pub(crate) fn draw(
    path: &Path,
    picture: &Picture,
    record: &Record,
    rows: &[Row],
) -> anyhow::Result<()> {
    let mut text = String::new();
    svg(&mut text, picture, record, rows)
        .with_context(|| format!("{} cannot be drawn", picture.file))?;
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

fn svg(text: &mut String, picture: &Picture, record: &Record, rows: &[Row]) -> anyhow::Result<()> {
    let values = |column: &str| -> Vec<(f64, f64, bool, u32)> {
        let all = rows.iter().map(|r| {
            let y = r.get(column) / picture.unit;
            // Logarithms show positions on the axis.
            let y = if picture.log { y.log10() } else { y };
            (r.get("at_s") / 60.0, y, r.is_resting(), r.get("epoch") as u32)
        });
        all.filter(|v| v.1.is_finite()).collect()
    };
    let lines: Vec<_> = picture.columns.iter().map(|(c, name)| (*name, values(c))).collect();
    let all = || lines.iter().flat_map(|l| &l.1).map(|v| v.1);
    let (low, high) = (all().fold(f64::MAX, f64::min), all().fold(f64::MIN, f64::max));
    let (low, high) = match (picture.log, low <= high) {
        (_, false) => (0.0, 1.0),
        (true, true) => (low.floor(), high.ceil().max(low.floor() + 1.0)),
        (false, true) => (0.0, round_up(high * 1.02).max(1.0)),
    };
    let end =
        rows.last().map_or(1.0, |r| r.get("at_s") / 60.0).max(record.elapsed_s / 60.0).max(0.1);
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (left, right) = area.split_horizontally(SIZE.0 - 160);
    let mut chart = ChartBuilder::on(&left)
        .caption(picture.title, (FONT, 17))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..end, low..high)?;
    let spans = pressed(record);
    chart.draw_series(spans.iter().map(|(from, to)| {
        // Seconds of pressure must be seen on hours of run.
        let to = to.max(from + end / 400.0);
        Rectangle::new([(*from, low), (to, high)], PRESSURE.filled())
    }))?;
    let log_label = |y: &f64| match y.fract() == 0.0 {
        true if *y < 0.0 => format!("{:.*}", -*y as usize, 10f64.powf(*y)),
        true => format!("{:.0}", 10f64.powf(*y)),
        false => String::new(),
    };
    let label = |y: &f64| if high < 5.0 { format!("{y:.1}") } else { format!("{y:.0}") };
    let minutes = |x: &f64| if end < 5.0 { format!("{x:.1}") } else { format!("{x:.0}") };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("minutes")
        .y_desc(picture.axis)
        .y_labels(if picture.log { (high - low) as usize + 1 } else { 6 })
        .x_label_formatter(&minutes)
        .y_label_formatter(if picture.log { &log_label } else { &label })
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 14))
        .draw()?;
    for (at, _) in record.marks.iter().filter(|m| is_blow(&m.1).is_some()) {
        let x = at / 60.0;
        chart.draw_series([PathElement::new(
            [(x, low), (x, high)],
            BLOW.mix(0.55).stroke_width(1),
        )])?;
    }
    let tick = (high - low) / 40.0;
    let faults = record.marks.iter().filter(|m| m.1.parse::<super::faults::Fault>().is_ok());
    chart.draw_series(faults.map(|(at, _)| {
        PathElement::new(
            [(at / 60.0, low), (at / 60.0, low + tick)],
            BLACK.mix(0.6).stroke_width(1),
        )
    }))?;
    for (i, (name, points)) in lines.iter().enumerate() {
        let colour = PALETTE[i % PALETTE.len()];
        // A process that was started again begins a new line.
        for part in points.chunk_by(|a, b| a.3 == b.3) {
            let step = part.len().div_ceil(MAX_POINTS).max(1);
            let awake = part.iter().filter(|v| !v.2).step_by(step).map(|v| (v.0, v.1));
            chart.draw_series(LineSeries::new(awake, colour.mix(0.75).stroke_width(1)))?;
        }
        let nights: Vec<_> = points.iter().filter(|v| v.2).collect();
        let step = nights.len().div_ceil(MAX_POINTS).max(1);
        if !picture.log {
            chart.draw_series(
                nights.iter().step_by(step).map(|v| Circle::new((v.0, v.1), 2, colour.filled())),
            )?;
        }
        let y = 40 + 20 * i as i32;
        right.draw(&PathElement::new([(4, y), (26, y)], colour.stroke_width(3)))?;
        right.draw(&Text::new((*name).to_owned(), (34, y - 7), (FONT, 13)))?;
    }
    legend(&right, 52 + 20 * lines.len() as i32, picture.log, !spans.is_empty())?;
    area.present()?;
    Ok(())
}

fn legend(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    from: i32,
    log: bool,
    pressed: bool,
) -> anyhow::Result<()> {
    let mut y = from;
    let mut line =
        |name: &str, element: &dyn Fn(i32) -> anyhow::Result<()>| -> anyhow::Result<()> {
            element(y)?;
            area.draw(&Text::new(name.to_owned(), (34, y - 7), (FONT, 12)))?;
            y += 18;
            Ok(())
        };
    if !log {
        line("night, all unloaded", &|y| {
            Ok(area.draw(&Circle::new((15, y), 3, BLACK.mix(0.7).filled()))?)
        })?;
    }
    line("kill, stop, full disk", &|y| {
        Ok(area.draw(&PathElement::new([(15, y - 7), (15, y + 7)], BLOW.stroke_width(2)))?)
    })?;
    line("fault injected", &|y| {
        Ok(area.draw(&PathElement::new([(15, y), (15, y + 6)], BLACK.stroke_width(1)))?)
    })?;
    if pressed {
        line("memory pressure", &|y| {
            Ok(area.draw(&Rectangle::new([(5, y - 6), (25, y + 6)], PRESSURE.filled()))?)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::plan::Profile;
    use crate::soak::record::COLUMNS;
    use crate::soak::sample::Sample;
    use std::time::Duration;

    #[test]
    fn every_picture_is_of_columns_that_there_are_and_can_be_drawn() {
        let mut record = Record::new(Profile::Mixed, 1, Duration::from_secs(60));
        record.mark(5.0, "SIGKILL");
        record.mark(6.0, "memory pressure");
        record.mark(7.0, "floods");
        let rows: Vec<_> = (0..30)
            .map(|i| {
                let mut s = Sample { at_s: f64::from(i), resting: i % 5 == 0, ..Sample::default() };
                s.wait.record(Duration::from_micros(80 * (1 + i as u64)));
                s.levels.tasks = 3;
                Row::new(&s)
            })
            .collect();
        for picture in &PICTURES {
            assert!(picture.columns.iter().all(|(c, _)| COLUMNS.contains(c)), "{}", picture.file);
            for rows in [&rows[..], &[]] {
                let mut text = String::new();
                svg(&mut text, picture, &record, rows).unwrap();
                assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
                assert!(text.contains("memory pressure"));
            }
        }
        assert_eq!(pressed(&record), [(0.1, 0.0)]);
    }

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!([3.4, 13.0, 41.0, 99.0].map(round_up), [4.0, 20.0, 50.0, 100.0]);
    }
}
