//! Clauses, the cues in them, and the scope of each cue.

use crate::Words;

use super::cues::{Cues, Reading, Row};
use super::korean;
use super::tokens::{Token, push_tokens};

/// The boundary before a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    /// None: the token before is in the same clause.
    Inside,
    Comma,
    /// Another end of a clause.
    End,
}

#[derive(Debug)]
pub(super) struct Clauses<'a> {
    cues: &'static Cues,
    pub(super) tokens: Vec<Token<'a>>,
    /// By token.
    pub(super) edges: Vec<Edge>,
}

impl<'a> Clauses<'a> {
    /// Reuses the memory of `tokens`, which are empty, and of `edges`.
    pub(super) fn new(
        text: &str,
        words: &'a Words,
        belongs: &impl Fn(usize) -> bool,
        (mut tokens, mut edges): (Vec<Token<'a>>, Vec<Edge>),
    ) -> Self {
        push_tokens(words, belongs, &mut tokens);
        edges.clear();
        edges.resize(tokens.len(), Edge::End);
        let mut out = Self { cues: Cues::get(), tokens, edges };
        for at in 1..out.tokens.len() {
            let (before, this) = (out.tokens[at - 1], out.tokens[at]);
            let from = words.source(before.last).1 as usize;
            let to = words.source(this.first).0 as usize;
            let gap = text.get(from..to).unwrap_or_default();
            out.edges[at] = if gap.contains(is_end) || gap.contains(" - ") {
                Edge::End
            } else if gap.contains([',', '،', '，', '、']) && !out.cues.that.contains(&this.text)
            {
                Edge::Comma
            } else if (out.cues.but.contains(&this.text) && !out.cues.joins(before.text, this.text))
                || (out.cues.and.contains(&this.text) && out.begins_clause(at + 1))
                || out.is_verb_with_and(this.text)
            {
                Edge::End
            } else {
                Edge::Inside
            };
        }
        out
    }

    fn is_verb(&self, at: usize) -> bool {
        let Some(token) = self.tokens.get(at) else { return false };
        self.cues.english_verbs.contains(&token.text) || self.cues.other_verbs.contains(&token.text)
    }

    /// Whether a word is a verb of command with "and" attached, as in Arabic and Hebrew.
    fn is_verb_with_and(&self, word: &str) -> bool {
        let verb = word.strip_prefix(['و', 'ו']);
        verb.is_some_and(|verb| self.cues.other_verbs.contains(&verb))
    }

    /// Whether a new clause begins at a token after "and".
    fn begins_clause(&self, at: usize) -> bool {
        let negates = |(row, _): (&Row, usize)| {
            row.reading == Reading::Clause || row.reading == Reading::Rest
        };
        at < self.tokens.len()
            && (self.is_verb(at) || self.row_at(at, at, self.tokens.len()).is_some_and(negates))
    }

    /// The row that fits best at a token of the clause `start..end`, and how many tokens it takes.
    fn row_at(&self, at: usize, start: usize, end: usize) -> Option<(&'static Row, usize)> {
        let rows = &Cues::get().rows;
        let first = self.tokens[at];
        if first.belongs {
            return None;
        }
        let from = rows.partition_point(|row| row.tokens[0] < first.text);
        let mut best: Option<(&Row, usize)> = None;
        for row in rows[from..].iter().take_while(|row| row.tokens[0] == first.text) {
            let n = row.tokens.len();
            let fits = at + n <= end
                && (!row.at_start || at == start)
                && (!row.at_end || at + n == end)
                && row
                    .tokens
                    .iter()
                    .zip(&self.tokens[at..at + n])
                    .all(|(cue, token)| is_like(cue, token.text));
            let rank = (n, row.reading == Reading::Affirms);
            let is_better = |(other, _): (&Row, usize)| {
                rank > (other.tokens.len(), other.reading == Reading::Affirms)
            };
            if fits && best.is_none_or(is_better) {
                best = Some((row, row.n_taken));
            }
        }
        best
    }

    pub(super) fn mark(&self, negated: &mut [bool]) {
        let mut start = 0;
        while start < self.tokens.len() {
            let end = self.next_edge(start);
            self.mark_clause(start, end, negated);
            // "Don't play music, podcasts or news": a list continues after its commas.
            if negated[end - 1] && self.edges.get(end) == Some(&Edge::Comma) {
                let list_end = self.list_end(end);
                negated[end..list_end].fill(true);
                start = list_end;
                continue;
            }
            start = end;
        }
    }

    /// The end of the clause that begins at `start`.
    fn next_edge(&self, start: usize) -> usize {
        let inside = self.edges[start + 1..].iter().take_while(|e| **e == Edge::Inside).count();
        start + 1 + inside
    }

    /// The end of a list that continues at `from` after a comma; `from` if there is no list.
    fn list_end(&self, from: usize) -> usize {
        let mut at = from;
        while at < self.tokens.len() && (at == from || self.edges[at] == Edge::Comma) {
            let end = self.next_edge(at);
            if (at..end).any(|i| self.is_verb(i)) {
                return from;
            }
            if (at..end).any(|i| self.cues.or.contains(&self.tokens[i].text)) {
                return end;
            }
            at = end;
        }
        from
    }

    fn mark_clause(&self, mut start: usize, end: usize, negated: &mut [bool]) {
        let clause = start;
        let mut at = start;
        while at < end {
            let word = |i: usize| (i < end).then(|| self.tokens[i].text);
            let found = self.row_at(at, clause, end).map(|(row, n)| (row.reading, n));
            let Some((reading, n)) = found.or_else(|| korean::read(word, at)) else {
                at += 1;
                continue;
            };
            let after = at + n;
            match reading {
                Reading::Clause => {
                    let commands =
                        (start..at).any(|i| self.cues.english_verbs.contains(&self.tokens[i].text));
                    let from = if commands { at } else { start };
                    // A cue by itself, as in "no, thanks", negates nothing here.
                    if after < end || from < at {
                        negated[from..end].fill(true);
                    }
                }
                Reading::Rest if after < end => {
                    let until = self.end_of_rest(at, after, end);
                    negated[at..until].fill(true);
                }
                Reading::Before => {
                    negated[start..after].fill(true);
                    start = after;
                }
                Reading::AffirmsClause => {
                    negated[clause..end].fill(false);
                    return;
                }
                Reading::Rest | Reading::Affirms => {}
            }
            at = after;
        }
    }

    /// The end of the negated rest of a clause: in "instead of music play the news" a command follows it.
    fn end_of_rest(&self, at: usize, after: usize, end: usize) -> usize {
        let turns = ["instead", "rather", "without", "never"].contains(&self.tokens[at].text);
        (after + 1..end).find(|i| turns && self.is_verb(*i)).unwrap_or(end)
    }
}

/// Whether a character between two words ends a clause.
fn is_end(c: char) -> bool {
    matches!(
        c,
        ';' | ':'
            | '.'
            | '!'
            | '?'
            | '…'
            | '—'
            | '–'
            | '\n'
            | '('
            | ')'
            | '"'
            | '“'
            | '”'
            | '«'
            | '»'
            | '。'
            | '！'
            | '？'
            | '；'
            | '：'
            | '؛'
            | '؟'
            | '।'
            | '¿'
            | '¡'
    )
}

/// Whether a token fits a token of a cue, in which `*` stands for any end of a word.
fn is_like(cue: &str, token: &str) -> bool {
    cue == token
        || cue == "*"
        || cue.strip_suffix('*').is_some_and(|start| token.starts_with(start))
}
