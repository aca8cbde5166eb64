//! Which words of a text are negated: "do not play music" names music and asks for none.
//!
//! Owns clauses, the reading of the cues in [`cues`] and their scope: the clause, what follows in it, or what
//! stands before in it. No grammar stands behind it: negation by inflection (Turkish, Czech) is not seen.
//! Invariant: a text without a word that may negate costs one look at each word.

use std::mem::take;

use crate::Words;

use self::cues::{Cues, Reading, Row};

mod cues;
mod korean;

/// The negated words of a text; kept between texts.
#[derive(Clone, Debug, Default)]
pub struct Negation {
    /// By word; empty where nothing is negated.
    negated: Vec<bool>,
    room: Room,
}

/// Memory kept between texts, so that reading one allocates nothing once it has grown.
#[derive(Clone, Debug, Default)]
struct Room {
    /// Empty between texts.
    tokens: Vec<Token<'static>>,
    edges: Vec<Edge>,
    /// By token.
    negated: Vec<bool>,
}

impl Negation {
    /// Reads a text that was split into `words`. Cues for which `belongs` is true, such as words of a phrase
    /// that is looked for, do not negate.
    pub fn read(&mut self, text: &str, words: &Words, belongs: impl Fn(usize) -> bool) {
        self.negated.clear();
        if !(0..words.len()).any(|i| may_negate(words.folded(i)) && !belongs(i)) {
            return;
        }
        let Room { tokens, edges, negated } = &mut self.room;
        let clauses = Clauses::new(text, words, &belongs, (emptied(take(tokens)), take(edges)));
        negated.clear();
        negated.resize(clauses.tokens.len(), false);
        clauses.mark(negated);
        if negated.contains(&true) {
            self.negated.resize(words.len(), false);
        }
        let marked = clauses.tokens.iter().zip(negated).filter(|(_, is_negated)| **is_negated);
        for (token, _) in marked {
            self.negated[token.first..=token.last].fill(true);
        }
        *tokens = emptied(clauses.tokens);
        *edges = clauses.edges;
    }

    /// Whether a word is negated.
    #[must_use]
    pub fn has(&self, word_idx: usize) -> bool {
        self.negated.get(word_idx).copied().unwrap_or(false)
    }

    /// Whether no word is negated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.negated.is_empty()
    }

    /// Forgets what was read.
    pub fn clear(&mut self) {
        self.negated.clear();
    }

    /// Whether the text asks for something beside what is negated: any word that is more than a filler.
    #[must_use]
    pub fn leaves_content(&self, words: &Words) -> bool {
        let Cues { fillers, but, and, .. } = Cues::get();
        (0..words.len()).any(|i| {
            let word = text_of(words, i);
            !self.has(i) && ![fillers, but, and].iter().any(|list| list.contains(&word))
        })
    }
}

fn text_of(words: &Words, i: usize) -> &str {
    std::str::from_utf8(words.folded(i)).unwrap_or_default()
}

fn may_negate(word: &[u8]) -> bool {
    if Cues::get().negates(word) || word.starts_with(b"n'") {
        return true;
    }
    !word.is_ascii() && std::str::from_utf8(word).is_ok_and(korean::may_negate)
}

/// A word as the rows have it: a contraction may be two words of the text, and one word two tokens.
#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    text: &'a str,
    first: usize,
    last: usize,
    belongs: bool,
}

/// What stands before a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    /// The token before, in the same clause.
    Inside,
    /// A comma.
    Comma,
    /// Another end of a clause.
    End,
}

/// No tokens, with the memory of those before.
fn emptied<'b>(mut tokens: Vec<Token<'_>>) -> Vec<Token<'b>> {
    tokens.clear();
    // Collects in place: only the lifetime changes.
    tokens.into_iter().map(|token| Token { text: "", ..token }).collect()
}

#[derive(Debug)]
struct Clauses<'a> {
    cues: &'static Cues,
    tokens: Vec<Token<'a>>,
    /// By token.
    edges: Vec<Edge>,
}

impl<'a> Clauses<'a> {
    /// In memory that was used before: tokens, of which there are none yet, and edges.
    fn new(
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

    /// Whether a word is a verb of command that has "and" written on it, as in Arabic and Hebrew.
    fn is_verb_with_and(&self, word: &str) -> bool {
        let verb = word.strip_prefix(['و', 'ו']);
        verb.is_some_and(|verb| self.cues.other_verbs.contains(&verb))
    }

    /// Whether a clause of its own begins at a token behind "and".
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
                    .all(|(want, has)| is_like(want, has.text));
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

    fn mark(&self, negated: &mut [bool]) {
        let mut start = 0;
        while start < self.tokens.len() {
            let end = self.next_edge(start);
            self.mark_clause(start, end, negated);
            // "Don't play music, podcasts or news": a list goes on behind its commas.
            if negated[end - 1] && self.edges.get(end) == Some(&Edge::Comma) {
                let list_end = self.list_end(end);
                negated[end..list_end].fill(true);
                start = list_end;
                continue;
            }
            start = end;
        }
    }

    /// Where the clause ends that begins at `start`.
    fn next_edge(&self, start: usize) -> usize {
        let inside = self.edges[start + 1..].iter().take_while(|e| **e == Edge::Inside).count();
        start + 1 + inside
    }

    /// Where a list ends that goes on at `from` behind a comma; `from` if it is no list.
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
}

impl Clauses<'_> {
    /// Where the rest of a clause ends that is negated: "instead of music play the news" goes on with a command.
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

fn is_like(want: &str, has: &str) -> bool {
    want == has || want == "*" || want.strip_suffix('*').is_some_and(|start| has.starts_with(start))
}

/// English verbs that join with "not", and how they are written then.
const CONTRACTIONS: &[(&str, &str)] = &[
    ("do", "don't"),
    ("does", "doesn't"),
    ("did", "didn't"),
    ("should", "shouldn't"),
    ("must", "mustn't"),
    ("need", "needn't"),
    ("is", "isn't"),
    ("are", "aren't"),
    ("was", "wasn't"),
    ("were", "weren't"),
    ("have", "haven't"),
    ("has", "hasn't"),
    ("had", "hadn't"),
    ("can", "can't"),
    ("could", "couldn't"),
    ("will", "won't"),
    ("would", "wouldn't"),
];

/// Spellings of one word.
const SPELLINGS: &[(&str, &str)] =
    &[("cannot", "can't"), ("nao", "não"), ("im", "i'm"), ("ive", "i've")];

fn push_tokens<'a>(words: &'a Words, belongs: &impl Fn(usize) -> bool, out: &mut Vec<Token<'a>>) {
    let mut i = 0;
    while i < words.len() {
        let text = text_of(words, i);
        let next = if i + 1 < words.len() { text_of(words, i + 1) } else { "" };
        let mut push = |text, last| out.push(Token { text, first: i, last, belongs: belongs(i) });
        let joined = CONTRACTIONS.iter().find(|(verb, short)| {
            let apart = short.strip_suffix("'t").unwrap_or_default();
            (*verb == text && ["not", "n't"].contains(&next)) || (apart == text && next == "t")
        });
        if let Some((_, short)) = joined {
            push(short, i + 1);
            i += 2;
            continue;
        }
        // `dont`; no other word is written like one of them but `wont`, which is not used.
        let without = |short: &str| {
            short.len() == text.len() + 1
                && short.ends_with("'t")
                && text.ends_with('t')
                && short[..short.len() - 2] == text[..text.len() - 1]
        };
        if let Some((_, short)) = CONTRACTIONS.iter().find(|(_, short)| without(short)) {
            push(short, i);
        } else if let Some((_, usual)) = SPELLINGS.iter().find(|(other, _)| *other == text) {
            push(usual, i);
        } else if let Some(rest) = text.strip_prefix("n'").filter(|rest| !rest.is_empty()) {
            push("ne", i);
            push(rest, i);
        } else {
            push(text, i);
        }
        i += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The negated words of a text.
    fn negated(text: &str) -> String {
        let mut words = Words::default();
        words.split(text);
        let mut negation = Negation::default();
        negation.read(text, &words, |_| false);
        let found: Vec<&str> =
            (0..words.len()).filter(|i| negation.has(*i)).map(|i| text_of(&words, i)).collect();
        found.join(" ")
    }

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(negated(text), want, "{text}");
    }

    #[test]
    fn the_scope_is_the_clause_or_a_part_of_it() {
        check("do not play music", "do not play music");
        check("Please don\u{2019}t play music, turn on the lights", "please don't play music");
        check("don't play music and turn on the lights", "don't play music");
        check("don't play music or turn on the lights", "don't play music or turn on the lights");
        check("play jazz, not rock", "not rock");
        check("play jazz instead of rock", "instead of rock");
        check("turn on the lights without music", "without music");
        check("the lights should not be on", "the lights should not be on");
        check("no music, podcasts or news", "no music podcasts or news");
        check("turn off the lights but don't play music", "but don't play music");
        check("Spiel keine Musik", "spiel keine musik");
        check("ne mets pas la musique, allume la lumière", "ne mets pas la musique");
        check("ich will nicht, dass du Musik spielst", "ich will nicht dass du musik spielst");
        check("instead of music play the news", "instead of music");
        check("不要开灯，播放音乐", "不 要 开 灯");
        check("音楽をかけないで電気をつけて", "音 楽 を か け な い で");
        check("음악 말고 뉴스 틀어줘", "음악 말고");
        check("음악 틀지 마", "음악 틀지 마");
        check("never mind the music", "never mind the music");
        check("never mind the lights play music", "never mind the lights");
        check("anything but music", "anything but music");
        check("make sure the music doesn't play", "make sure the music doesn't play");
        check("the light doesn't matter, play music", "the light doesn't matter");
        check("لا تشغل الموسيقى وشغل النور", "لا تشغل الموسيقى");
        check("אל תנגן מוזיקה ותדליק את האור", "אל תנגן מוזיקה");
        check("né musica né luce", "né musica né luce");
        check("ingen musik tack", "ingen musik tack");
        check("tänd ljuset utan musik", "utan musik");
        check("spela inte musik utan tänd ljuset", "spela inte musik utan");
        check("tidak mau musik", "tidak mau musik");
        check("没有必要放音乐", "没 有 必 要 放 音 乐");
        check("音楽なしで電気をつけて", "音 楽 な し で");
        check("音楽を聞きたくない", "音 楽 を 聞 き た く な い");
        check("음악 없이 뉴스 틀어줘", "음악 없이");
        check("음악 듣고 싶지 않아", "음악 듣고 싶지 않아");
    }

    #[test]
    fn no_clause_begins_inside_a_cue() {
        for row in &Cues::get().rows {
            let text = row.tokens.join(" ").replace('*', "x");
            let mut words = Words::default();
            words.split(&text);
            let clauses = Clauses::new(&text, &words, &|_| false, (Vec::new(), Vec::new()));
            let inside = &clauses.edges[1..];
            assert!(inside.iter().all(|edge| *edge == Edge::Inside), "{row:?}");
        }
    }

    #[test]
    fn what_only_looks_negated_is_not() {
        for text in [
            "don't forget to play music",
            "why don't you play music",
            "why not turn on the lights",
            "not only the music but the lights",
            "no, play music",
            "no play music",
            "no no turn it down",
            "can't you play music",
            "won't you turn on the lights",
            "if you don't mind play music",
            "stop the music",
            "wake me up no later than six",
            "i must not miss the news",
            "if it's not raining turn on the sprinkler",
            "i'm not hearing the music turn it up",
            "i don't know what's on my calendar",
            "i can't live without music",
            "i don't want anything but music",
            "vergiss die Musik nicht",
            "no quiero más que música",
            "音楽しか聞きたくない",
            "ليس الموسيقى فقط بل النور",
            "i've never heard that song play it",
            "play music not too loud",
            "vergiss nicht die Musik zu spielen",
            "Warum spielst du nicht Musik",
            "n'oublie pas de mettre la musique",
            "¿por qué no pones música?",
            "no te olvides de poner música",
            "non dimenticare la musica",
            "не забудь включить музыку",
            "почему бы не включить музыку",
            "لا تنس تشغيل الموسيقى",
            "אל תשכח לנגן מוזיקה",
            "שלח הודעה אל דני",
            "别忘了开灯",
            "能不能开灯",
            "我特别想听音乐",
            "電気をつけてくれない？",
            "電気を消し忘れないで",
            "불 끄는 거 잊지 마",
        ] {
            check(text, "");
        }
    }

    #[test]
    fn cues_of_a_phrase_that_is_looked_for_do_not_negate() {
        let mut words = Words::default();
        let text = "turn on do not disturb";
        words.split(text);
        let mut negation = Negation::default();
        negation.read(text, &words, |i| i >= 2);
        assert!(negation.is_empty());
    }

    #[test]
    fn every_negating_row_has_a_word_that_is_looked_for_first() {
        for row in &Cues::get().rows {
            let negates = matches!(row.reading, Reading::Clause | Reading::Rest | Reading::Before);
            let known = |token: &&str| may_negate(token.as_bytes());
            assert!(!negates || row.tokens.iter().any(known), "{row:?}");
        }
    }

    #[test]
    fn rows_are_written_as_texts_are_folded() {
        for row in &Cues::get().rows {
            for token in
                row.tokens.iter().map(|t| t.trim_end_matches('*')).filter(|t| !t.is_empty())
            {
                let mut words = Words::default();
                words.split(token);
                let folded: Vec<&str> = (0..words.len()).map(|i| text_of(&words, i)).collect();
                assert_eq!(folded, [token], "{row:?}");
            }
        }
    }
}
