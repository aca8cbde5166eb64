//! Which words of a text are negated: "do not play music" names music and requests none.
//!
//! Splits a text into [clauses] and marks the scope of each [cue](cues) in them: the clause, the rest of it, or the
//! part before the cue. There is no grammar: negation by inflection (Turkish, Czech) is not recognised.
//! Invariant: a text without a word that may negate costs one look at each word.

use std::mem::take;

use crate::Words;

use self::clauses::{Clauses, Edge};
use self::cues::Cues;
use self::tokens::{Token, emptied, text_of};

mod clauses;
mod cues;
mod korean;
mod tokens;

/// The negated words of a text; kept between texts so that reading does not allocate.
#[derive(Clone, Debug, Default)]
pub struct Negation {
    /// By word; empty where nothing is negated.
    negated: Vec<bool>,
    room: Room,
}

/// Memory kept between texts.
#[derive(Clone, Debug, Default)]
struct Room {
    /// Empty between texts.
    tokens: Vec<Token<'static>>,
    edges: Vec<Edge>,
    /// By token.
    negated: Vec<bool>,
}

impl Negation {
    /// Reads a text that was split into `words`. A cue for which `belongs` is true is part of a keyword, and does not
    /// negate.
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

    /// Whether a word stands in the scope of a negation.
    #[must_use]
    pub fn has(&self, word_idx: usize) -> bool {
        self.negated.get(word_idx).copied().unwrap_or(false)
    }

    /// Whether no word is negated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.negated.is_empty()
    }

    /// Removes every negation.
    pub fn clear(&mut self) {
        self.negated.clear();
    }

    /// Whether the text requests something beside the negated words: any word that is not a filler.
    #[must_use]
    pub fn has_other_content(&self, words: &Words) -> bool {
        let Cues { fillers, but, and, .. } = Cues::get();
        (0..words.len()).any(|i| {
            let word = text_of(words, i);
            !self.has(i) && ![fillers, but, and].iter().any(|list| list.contains(&word))
        })
    }
}

fn may_negate(word: &[u8]) -> bool {
    if Cues::get().negates(word) || word.starts_with(b"n'") {
        return true;
    }
    !word.is_ascii() && std::str::from_utf8(word).is_ok_and(korean::may_negate)
}

#[cfg(test)]
mod tests {
    use super::cues::Reading;
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
    fn check(text: &str, expected: &str) {
        assert_eq!(negated(text), expected, "{text}");
    }

    #[test]
    fn scope_of_a_cue_is_the_clause_or_a_part_of_it() {
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
    fn phrases_that_only_look_negated_are_not() {
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
    fn cue_inside_a_keyword_does_not_negate() {
        let mut words = Words::default();
        let text = "turn on do not disturb";
        words.split(text);
        let mut negation = Negation::default();
        negation.read(text, &words, |i| i >= 2);
        assert!(negation.is_empty());
    }

    #[test]
    fn every_negating_cue_has_a_word_of_the_first_look() {
        for row in &Cues::get().rows {
            let negates = matches!(row.reading, Reading::Clause | Reading::Rest | Reading::Before);
            let known = |token: &&str| may_negate(token.as_bytes());
            assert!(!negates || row.tokens.iter().any(known), "{row:?}");
        }
    }

    #[test]
    fn cues_are_spelled_as_texts_are_folded() {
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
