//! The pictures of a report: waits as a cumulative distribution, memory over time, mean waits by
//! component.
//!
//! Knows figures and nothing of how they came about.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::figures::mean;
use super::goals;
use super::policy::Policy;
use super::record::{SampleLine, Summary};

const SIZE: (u32, u32) = (900, 420);
const LEGEND: u32 = 150;
const FONT: &str = "sans-serif";
const MIB: f64 = (1 << 20) as f64;

fn colour(policy: Policy) -> RGBColor {
    match policy {
        Policy::All => RGBColor(130, 130, 130),
        Policy::Lru => RGBColor(0, 0, 0),
        Policy::Idle => RGBColor(204, 121, 167),
        Policy::TwoState => RGBColor(0, 158, 115),
        Policy::Product => RGBColor(213, 94, 0),
        Policy::ProductEqual => RGBColor(0, 114, 178),
    }
}

/// A line of points with its policy.
type Line = (Policy, Vec<(f64, f64)>);

fn played(summary: &Summary) -> impl Iterator<Item = Policy> {
    Policy::EVERY.into_iter().filter(|p| goals::of(summary, *p).next().is_some())
}

/// Share of commands (in percent) by the logarithm of the wait.
fn waits(summary: &Summary) -> Vec<Line> {
    played(summary)
        .map(|policy| {
            let runs = goals::of(summary, policy);
            let mut waits: Vec<f64> = runs
                .flat_map(|r| &r.commands)
                .filter(|c| c.is_served)
                .map(|c| c.wait_ms.max(0.1).log10())
                .collect();
            waits.sort_by(f64::total_cmp);
            let n = waits.len().max(1) as f64;
            let points = waits.iter().enumerate().map(|(i, w)| (*w, 100.0 * (i + 1) as f64 / n));
            (policy, points.collect())
        })
        .collect()
}

/// Memory of components on the first day, in MiB by seconds.
fn memory(samples: &[SampleLine]) -> Vec<Line> {
    let Some(seed) = samples.iter().map(|s| s.seed).min() else { return Vec::new() };
    let line = |policy: Policy| {
        let of = samples.iter().filter(|s| s.seed == seed && s.policy == policy);
        of.map(|s| (s.sample.at_s, s.sample.components as f64 / MIB)).collect::<Vec<_>>()
    };
    Policy::EVERY.into_iter().map(|p| (p, line(p))).filter(|(_, l)| !l.is_empty()).collect()
}

fn legend(area: &DrawingArea<SVGBackend<'_>, Shift>, lines: &[Policy]) -> anyhow::Result<()> {
    for (i, policy) in lines.iter().enumerate() {
        let y = 40 + 22 * i as i32;
        let style = colour(*policy).stroke_width(3);
        area.draw(&PathElement::new(vec![(4, y), (26, y)], style))?;
        area.draw(&Text::new(policy.name(), (34, y - 8), (FONT, 14)))?;
    }
    Ok(())
}

/// The words around a picture of lines.
struct Frame<'a> {
    title: &'a str,
    x: &'a str,
    y: &'a str,
    /// Whether x has logarithms.
    is_log: bool,
}

fn draw_lines(frame: &Frame<'_>, lines: &[Line]) -> anyhow::Result<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (left, right) = area.split_horizontally(SIZE.0 - LEGEND);
        let points = || lines.iter().flat_map(|l| &l.1);
        let high = points().map(|p| p.1).fold(1.0, f64::max) * 1.04;
        let low_x = if frame.is_log { -1.0 } else { 0.0 };
        let high_x = points().map(|p| p.0).fold(low_x + 1.0, f64::max);
        let mut chart = ChartBuilder::on(&left)
            .caption(frame.title, (FONT, 17))
            .margin(10)
            .x_label_area_size(42)
            .y_label_area_size(56)
            .build_cartesian_2d(low_x..high_x, 0.0..high)?;
        let power = |x: &f64| match x.fract() == 0.0 {
            true if *x < 0.0 => format!("{:.1}", 10f64.powf(*x)),
            true => format!("{:.0}", 10f64.powf(*x)),
            false => String::new(),
        };
        let whole = |x: &f64| format!("{x:.0}");
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc(frame.x)
            .y_desc(frame.y)
            .x_label_formatter(if frame.is_log { &power } else { &whole })
            .y_label_formatter(&whole)
            .label_style((FONT, 13))
            .axis_desc_style((FONT, 14))
            .draw()?;
        for (policy, points) in lines {
            let style = colour(*policy).stroke_width(2);
            // Steps: a value holds until the next.
            let steps = points.windows(2).flat_map(|w| [w[0], (w[1].0, w[0].1)]);
            chart.draw_series(LineSeries::new(steps.chain(points.last().copied()), style))?;
        }
        legend(&right, &lines.iter().map(|l| l.0).collect::<Vec<_>>())?;
        area.present()?;
    }
    Ok(text)
}

/// Mean waits by component: one bar for each policy.
fn draw_components(summary: &Summary) -> anyhow::Result<String> {
    let mut waits: BTreeMap<(&str, Policy), Vec<f64>> = BTreeMap::new();
    for run in &summary.runs {
        for c in &run.commands {
            if c.is_served {
                waits.entry((&c.component, run.policy)).or_default().push(c.wait_ms);
            }
        }
    }
    let mut names: Vec<&str> = waits.keys().map(|(name, _)| *name).collect();
    names.dedup();
    let policies: Vec<Policy> = played(summary).collect();
    let high = waits.values().map(|w| mean(w)).fold(1.0, f64::max) * 1.05;
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (left, right) = area.split_horizontally(SIZE.0 - LEGEND);
        let mut chart = ChartBuilder::on(&left)
            .caption("Mean wait by needed component", (FONT, 17))
            .margin(10)
            .x_label_area_size(42)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..names.len().max(1) as f64, 0.0..high)?;
        let name = |x: &f64| match x.fract() == 0.5 {
            true => names.get(*x as usize).map_or_else(String::new, |n| (*n).to_owned()),
            false => String::new(),
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .x_labels(2 * names.len() + 1)
            .x_label_formatter(&name)
            .y_desc("ms")
            .y_label_formatter(&|y: &f64| format!("{y:.0}"))
            .label_style((FONT, 12))
            .draw()?;
        let width = 0.8 / policies.len().max(1) as f64;
        for (place, component) in names.iter().enumerate() {
            for (bar, policy) in policies.iter().enumerate() {
                let Some(waits) = waits.get(&(component, *policy)) else { continue };
                let x = place as f64 + 0.1 + width * bar as f64;
                let corners = [(x, 0.0), (x + width * 0.9, mean(waits))];
                chart.draw_series([Rectangle::new(corners, colour(*policy).filled())])?;
            }
        }
        legend(&right, &policies)?;
        area.present()?;
    }
    Ok(text)
}

/// Draws every picture into a folder; the names of the files.
pub(super) fn draw(
    folder: &Path,
    summary: &Summary,
    samples: &[SampleLine],
) -> anyhow::Result<Vec<&'static str>> {
    let waited = Frame {
        title: "Waits, all days",
        x: "wait in ms, logarithmic",
        y: "% of commands that waited no longer",
        is_log: true,
    };
    let over_time = Frame {
        title: "Memory of all components, first day",
        x: "seconds",
        y: "PSS, MiB",
        is_log: false,
    };
    let pictures = [
        ("waits.svg", draw_lines(&waited, &waits(summary))),
        ("memory.svg", draw_lines(&over_time, &memory(samples))),
        ("components.svg", draw_components(summary)),
    ];
    let mut names = Vec::new();
    for (name, text) in pictures {
        let path = folder.join(name);
        std::fs::write(&path, text.with_context(|| format!("{name} cannot be drawn"))?)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        names.push(name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::goals::testing::{run, summary};
    use super::super::sampler::Sample;
    use super::*;

    #[test]
    fn pictures_can_be_drawn_of_any_measurement() {
        let sample = |at_s, policy| {
            let sample =
                Sample { at_s, components: 5 << 20, manager: 1, guard: 1, swapped: 0, group: None };
            SampleLine { seed: 1, policy, sample }
        };
        let samples = [sample(0.0, Policy::Lru), sample(0.3, Policy::Lru)];
        let runs = vec![run(Policy::Lru, 1, &[0.0, 100.0]), run(Policy::Product, 1, &[3.0, 9.0])];
        for (summary, samples) in [(summary(runs), &samples[..]), (summary(Vec::new()), &[])] {
            for text in [
                draw_lines(&Frame { title: "t", x: "x", y: "y", is_log: true }, &waits(&summary)),
                draw_lines(&Frame { title: "t", x: "x", y: "y", is_log: false }, &memory(samples)),
                draw_components(&summary),
            ] {
                let text = text.unwrap();
                assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
            }
        }
    }
}
