//! Tables for people: columns as wide as what is in them, the last one cut to the terminal.

use majordomo::printable;
use majordomo_server::wire::State;

use crate::print::{self, Style, styled};

/// A state in its colour.
pub(crate) fn state(state: State) -> String {
    match style_of(state) {
        Some(style) => styled(style, state.name()),
        None => state.name().to_owned(),
    }
}

fn style_of(state: State) -> Option<Style> {
    match state {
        State::Ready => Some(Style::Good),
        State::Queued | State::Loading | State::Draining | State::Unloading => {
            Some(Style::Doubtful)
        }
        State::Failed | State::Quarantined | State::Stuck => Some(Style::Bad),
        State::Unloaded => Some(Style::Faint),
        // A state that is newer than this file.
        _ => None,
    }
}

/// One cell: its text, how it is coloured, and whether it stands at the right of its column.
#[derive(Debug)]
pub(crate) struct Cell {
    text: String,
    style: Option<Style>,
    right: bool,
}

impl Cell {
    /// Escaped already here, so that the column is as wide as what is printed.
    pub(crate) fn left(text: impl Into<String>) -> Self {
        let text: String = text.into();
        Self { text: printable(&text).into_owned(), style: None, right: false }
    }

    pub(crate) fn right(text: impl Into<String>) -> Self {
        Self { right: true, ..Self::left(text) }
    }

    pub(crate) fn state(state: State) -> Self {
        Self { style: style_of(state), ..Self::left(state.name()) }
    }
}

/// Lines of a table with a heading.
pub(crate) fn lines(heading: &[&str], rows: &[Vec<Cell>]) -> Vec<String> {
    let n_columns = heading.len();
    let mut widths: Vec<usize> = heading.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text.chars().count());
        }
    }
    let before_last: usize = widths.iter().take(n_columns - 1).map(|w| w + 2).sum();
    let room = print::width().map(|w| w.saturating_sub(before_last).max(8));
    let is_right = |i: usize| rows.first().is_some_and(|r| r[i].right);
    let head: Vec<_> = heading
        .iter()
        .enumerate()
        .map(|(i, h)| padded(h, widths[i], is_right(i), i + 1 == n_columns))
        .collect();
    let mut out = vec![styled(Style::Faint, &head.join("  "))];
    for row in rows {
        let cells = row.iter().enumerate().map(|(i, cell)| {
            let is_last = i + 1 == n_columns;
            let text = match room {
                Some(room) if is_last => print::cut(&cell.text, room),
                _ => cell.text.clone(),
            };
            let text = padded(&text, widths[i], cell.right, is_last);
            cell.style.map_or(text.clone(), |style| styled(style, &text))
        });
        out.push(cells.collect::<Vec<_>>().join("  "));
    }
    out
}

fn padded(text: &str, width: usize, right: bool, is_last: bool) -> String {
    match (right, is_last) {
        (true, _) => format!("{text:>width$}"),
        (false, true) => text.to_owned(),
        (false, false) => format!("{text:<width$}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |a: &str, b: &str, c: &str| vec![Cell::left(a), Cell::right(b), Cell::left(c)];
        let rows = [row("media", "1 MiB", "because"), row("é", "10 MiB", "")];
        assert_eq!(
            lines(&["NAME", "MEM", "WHY"], &rows),
            ["NAME      MEM  WHY", "media   1 MiB  because", "é      10 MiB  "]
        );
    }
}
