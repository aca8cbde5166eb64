//! The picture: hit share against memory budget, one line a policy, means over the traces.
//!
//! Knows the rows of a replay and nothing of how they came about.

use std::path::Path;

use anyhow::{Context, bail};
use majordomo_sim::replay::{Budget, PolicyName, Report};
use plotters::coord::Shift;
use plotters::prelude::*;

const WIDTH: u32 = 960;
const PANEL: u32 = 520;
/// Room for the legend at the right of a panel.
const LEGEND: u32 = 190;
const FONT: &str = "sans-serif";
/// One colour a policy, in the order of `PolicyName::ALL`, the same in every panel.
const COLOURS: [RGBColor; PolicyName::ALL.len()] = [
    RGBColor(0, 0, 0),       // lru
    RGBColor(120, 120, 120), // lfu
    RGBColor(86, 180, 233),  // s3-fifo
    RGBColor(170, 110, 40),  // gdsf
    RGBColor(204, 121, 167), // lru+markov-1
    RGBColor(250, 190, 190), // keep-alive
    RGBColor(255, 150, 140),
    RGBColor(230, 100, 110),
    RGBColor(128, 128, 0),   // hybrid-histogram
    RGBColor(70, 70, 160),   // belady
    RGBColor(190, 170, 250), // clairvoyant
    RGBColor(213, 94, 0),    // vrank
    RGBColor(0, 114, 178),   // vrank-wait
    RGBColor(0, 158, 115),   // vrank-trim
    RGBColor(160, 70, 0),    // the same through the engine
    RGBColor(0, 70, 120),
    RGBColor(0, 100, 70),
];

/// A policy's points: budget and hit share in percent.
struct Line {
    policy: String,
    points: Vec<(f64, f64)>,
}

/// One panel per kind of budget.
struct Panel {
    axis: &'static str,
    lines: Vec<Line>,
}

fn panels(rows: &[Report]) -> Vec<Panel> {
    let mut panels = [
        Panel { axis: "budget, components of equal size", lines: Vec::new() },
        Panel { axis: "budget, MB", lines: Vec::new() },
    ];
    for row in rows.iter().filter(|r| r.trace == "mean") {
        let (panel, x) = match row.budget.parse() {
            Ok(Budget::Slots(k)) => (&mut panels[0], f64::from(k)),
            Ok(Budget::Megabytes(m)) => (&mut panels[1], m),
            Err(_) => continue,
        };
        match panel.lines.iter_mut().find(|l| l.policy == row.policy) {
            Some(line) => line.points.push((x, row.hit_pct)),
            None => panel
                .lines
                .push(Line { policy: row.policy.clone(), points: vec![(x, row.hit_pct)] }),
        }
    }
    for line in panels.iter_mut().flat_map(|p| &mut p.lines) {
        line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    // The best at the largest budget stands first in the legend.
    for panel in &mut panels {
        let last = |l: &Line| l.points.last().map_or(0.0, |p| p.1);
        panel.lines.sort_by(|a, b| last(b).total_cmp(&last(a)));
    }
    panels.into_iter().filter(|p| !p.lines.is_empty()).collect()
}

fn colour(policy: &str) -> RGBColor {
    let place = PolicyName::ALL.iter().position(|p| p.to_string() == policy);
    place.map_or(BLACK, |place| COLOURS[place])
}

fn draw(area: &DrawingArea<SVGBackend<'_>, Shift>, panel: &Panel) -> anyhow::Result<()> {
    // Budgets stand side by side at equal distances, whatever their ratios.
    let mut budgets: Vec<f64> = panel.lines.iter().flat_map(|l| &l.points).map(|p| p.0).collect();
    budgets.sort_by(f64::total_cmp);
    budgets.dedup();
    let place = |x: f64| budgets.partition_point(|b| *b < x) as f64;
    let width = area.dim_in_pixel().0.saturating_sub(LEGEND);
    let (left, right) = area.split_horizontally(width);
    let mut chart = ChartBuilder::on(&left)
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(52)
        .build_cartesian_2d(-0.2..budgets.len() as f64 - 0.8, 0.0..100.0)?;
    let budget = |x: &f64| match budgets.get(x.round() as usize) {
        Some(b) if (x - x.round()).abs() < 1e-6 => format!("{b}"),
        _ => String::new(),
    };
    let whole = |x: &f64| format!("{x:.0}");
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .x_desc(panel.axis)
        .y_desc("hits, % of events (mean of traces)")
        .x_labels(2 * budgets.len())
        .x_label_formatter(&budget)
        .y_label_formatter(&whole)
        .label_style((FONT, 14))
        .axis_desc_style((FONT, 15))
        .draw()?;
    for (i, line) in panel.lines.iter().enumerate() {
        let ours = line.policy.starts_with("vrank");
        let colour = colour(&line.policy);
        let stroke = if ours { 4 } else { 2 };
        let style = ShapeStyle { color: colour.to_rgba(), filled: true, stroke_width: stroke };
        chart.draw_series(LineSeries::new(line.points.iter().map(|p| (place(p.0), p.1)), style))?;
        let dots = line.points.iter().map(|p| Circle::new((place(p.0), p.1), stroke + 1, style));
        chart.draw_series(dots)?;
        let y = 24 + 22 * i as i32;
        right.draw(&PathElement::new(vec![(4, y), (28, y)], style))?;
        right.draw(&Circle::new((16, y), stroke + 1, style))?;
        right.draw(&Text::new(line.policy.clone(), (36, y - 8), (FONT, 15)))?;
    }
    Ok(())
}

/// Draws the means of the rows into an SVG file.
pub(super) fn write(path: &Path, rows: &[Report]) -> anyhow::Result<()> {
    if path.extension().is_none_or(|e| e != "svg") {
        bail!("--plot writes SVG; {path:?} does not end with .svg");
    }
    let panels = panels(rows);
    let mut text = String::new();
    {
        let size = (WIDTH, PANEL * panels.len().max(1) as u32);
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        area.fill(&WHITE)?;
        for (panel, area) in panels.iter().zip(area.split_evenly((panels.len().max(1), 1))) {
            draw(&area, panel).context("the plot cannot be drawn")?;
        }
        area.present()?;
    }
    std::fs::write(path, text).with_context(|| format!("the plot {path:?} cannot be written"))
}
