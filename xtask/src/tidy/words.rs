//! One word for each concept: the word list of the project, and two rules about comments.
//!
//! Owns which words are avoided and what is written instead. Reads words wherever they stand: in prose, in strings and
//! as parts of identifiers (`load_ahead`, `LoadAhead`). A phrase may span lines and never spans sentences.
//! A use that is right is listed with its phrase ([`Word::except`]) or with its file ([`DATA`]).

mod comments;
mod parts;

use self::parts::parts;
use super::Findings;
use crate::project::Project;

/// A concept that had several names.
struct Word {
    /// Each a word or a phrase in lower case; words of one phrase are separated by a space.
    avoid: &'static [&'static str],
    /// The word of the project, as advice.
    write: &'static str,
    /// Longer phrases in which the word is right.
    except: &'static [&'static str],
    scope: Scope,
}

#[derive(PartialEq, Eq)]
enum Scope {
    Everywhere,
    /// As a part of a longer identifier: the plain word is ordinary English.
    Identifiers,
    /// Where the phrase stands for a noun that is not named: before a verb or at the end of a clause.
    WithoutNoun,
}

const fn word(
    avoid: &'static [&'static str],
    write: &'static str,
    except: &'static [&'static str],
) -> Word {
    Word { avoid, write, except, scope: Scope::Everywhere }
}

const WORDS: &[Word] = &[
    word(&["ahead"], "preload, preloaded", &["ahead of", "read ahead"]),
    word(
        &["guess", "guesses", "guessed", "guessing"],
        "speculative, preload; or estimate",
        &["cannot be guessed", "can be guessed"],
    ),
    word(
        &["foretell", "foretells", "foretold", "foresee", "foresees", "foreseen", "foresight"],
        "prediction, forecast",
        &[],
    ),
    word(&["vain"], "wasted; or without effect", &[]),
    word(&["in time"], "hit; or before the deadline", &["in time and", "point in time"]),
    word(
        &["send away", "sends away", "sent away", "dismiss", "dismisses", "dismissed"],
        "evict, unload",
        &[],
    ),
    word(&["let go", "lets go", "letting go"], "evict, unload, release", &[]),
    word(&["goes"], "unload, evict; or name the event (is sent, continues, applies)", &[]),
    word(
        &["leaves"],
        "unload, cancel, disconnect",
        &[
            "it leaves",
            "leaves a",
            "leaves all",
            "leaves an",
            "leaves as",
            "leaves every",
            "leaves it",
            "leaves its",
            "leaves no",
            "leaves nothing",
            "leaves of",
            "leaves only",
            "leaves out",
            "leaves the",
            "leaves them",
            "leaves unchanged",
            "all leaves",
            "its leaves",
            "and leaves",
        ],
    ),
    word(&["drain for", "drains for"], "drain", &[]),
    word(&["nobody", "nobodys"], "no caller, no waiter, no holder; expendable", &[]),
    word(
        &["somebody", "anybody", "whoever", "whomever"],
        "name the party: the caller, a waiter, the holder, the client",
        &[],
    ),
    word(
        &["tell", "tells", "told", "telling"],
        "report, return, log, notify, print, say",
        &["tell apart", "tells apart"],
    ),
    // `notes` is also a noun, and the name of a component in examples.
    word(
        &["note", "noted", "noting", "notes that", "notes the", "takes note", "take note"],
        "record; or report",
        &[],
    ),
    Word {
        avoid: &["had"],
        write: "used, leased, requested",
        except: &[],
        scope: Scope::Identifiers,
    },
    word(&["wanted"], "requested, needed, desired", &["wanted by"]),
    word(&["anew"], "again, from the start; restart, reload", &[]),
    word(&["brought back", "brings back", "bring back"], "restart, reload", &[]),
    Word {
        avoid: &["the whole"],
        write: "name it: the manager, the set, the file",
        except: &[],
        scope: Scope::WithoutNoun,
    },
    word(&["drawn into"], "clamp", &[]),
    word(&["complaint", "complaints"], "log throttle; or warning", &[]),
    word(&["speaks no", "speaks"], "supports, does not support", &[]),
    word(&["not of this machine"], "not a loopback address", &[]),
];

/// Words after which a phrase of [`Scope::WithoutNoun`] is known to name nothing.
const NO_NOUN: &[&str] = &[
    "and", "as", "at", "by", "can", "does", "ends", "fails", "has", "in", "is", "may", "must",
    "not", "of", "or", "was", "with",
];

/// Texts that are data, or in which one of the words is a term: path prefix, the words (none: all), and the reason.
const DATA: &[(&str, &[&str], &str)] = &[
    ("xtask/src/tidy/words", &[], "the word list and its rules"),
    ("xtask/src/tidy", &["note"], "a level of findings"),
    ("examples/assistant/assistant.toml", &["note", "tell"], "keywords of commands"),
    ("examples/assistant/media.json", &[], "texts that are spoken and shown to models"),
    ("examples/assistant/questions.json", &[], "texts that models are asked"),
];

/// Names that were replaced stand here as code.
const CHANGELOG: &str = "CHANGELOG.md";

pub(super) fn check(project: &Project, findings: &mut Findings) {
    for (path, text) in &project.files {
        check_file(path, text, findings);
    }
}

/// All findings under a path.
pub(super) fn check_under(project: &Project, prefix: &str, findings: &mut Findings) {
    for (path, text) in &project.files {
        if is_under(path, prefix.trim_end_matches('/')) {
            check_file(path, text, findings);
        }
    }
}

fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn check_file(path: &str, text: &str, findings: &mut Findings) {
    let is_rust = path.ends_with(".rs");
    let is_prose = path.ends_with(".md");
    if !is_rust
        && !is_prose
        && ![".toml", ".sh", ".json", ".py", ".js"].iter().any(|end| path.ends_with(end))
    {
        return;
    }
    let data =
        DATA.iter().find(|(prefix, ..)| path.starts_with(prefix)).map(|(_, words, _)| *words);
    if data == Some(&[]) {
        return;
    }
    let tokens = if path == CHANGELOG { tokens(&without_code(text)) } else { tokens(text) };
    for word in WORDS {
        for avoid in word.avoid {
            if !data.is_some_and(|words| words.contains(avoid)) {
                find_phrase(path, &tokens, word, avoid, findings);
            }
        }
    }
    if is_rust || is_prose {
        comments::check_openings(path, text, is_rust, findings);
    }
    if is_rust {
        comments::check_repetitions(path, text, findings);
    }
}

/// The text with its code between backticks blanked out.
fn without_code(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let shown = parts.map(|(part_idx, part)| match part_idx % 2 {
        0 => part.to_owned(),
        _ => part.chars().map(|char| if char == '\n' { char } else { ' ' }).collect(),
    });
    shown.collect()
}

/// One word of a text, whether it stands alone or is a part of an identifier.
struct Token {
    /// In lower case.
    text: String,
    /// From 1.
    line: usize,
    /// Whether a clause or sentence ended before it.
    begins_clause: bool,
    /// Whether it is joined to the word before or after it: `load_ahead`, `LoadAhead`.
    is_part: bool,
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for (line_idx, line) in text.lines().enumerate() {
        let mut begins_clause = line.trim().is_empty();
        let mut run = String::new();
        // A space ends the last run.
        for char in line.chars().chain([' ']) {
            if char.is_alphanumeric() || char == '_' || char == '\'' || char == '’' {
                run.push(char);
                continue;
            }
            push_run(&mut tokens, &run, line_idx + 1, &mut begins_clause);
            run.clear();
            begins_clause |=
                matches!(char, '.' | ',' | ';' | ':' | '?' | '!' | '(' | ')' | '|' | '"');
        }
        // What ends a line ends no phrase, except punctuation, which counts for the next word.
        if begins_clause {
            tokens.push(Token {
                text: String::new(),
                line: line_idx + 1,
                begins_clause,
                is_part: false,
            });
        }
    }
    tokens
}

fn push_run(tokens: &mut Vec<Token>, run: &str, line: usize, begins_clause: &mut bool) {
    let run = run.replace(['\'', '’'], "");
    let parts = parts(&run);
    let is_part = parts.len() > 1;
    for part in parts {
        tokens.push(Token { text: part, line, begins_clause: *begins_clause, is_part });
        *begins_clause = false;
    }
}

fn find_phrase(path: &str, tokens: &[Token], word: &Word, avoid: &str, findings: &mut Findings) {
    let phrase: Vec<&str> = avoid.split(' ').collect();
    for at in 0..tokens.len() {
        if !stands_at(tokens, at, &phrase) {
            continue;
        }
        let Some(found) = tokens.get(at) else { continue };
        let after = tokens.get(at + phrase.len());
        let is_meant = match word.scope {
            Scope::Everywhere => true,
            Scope::Identifiers => found.is_part,
            Scope::WithoutNoun => after
                .is_none_or(|after| after.begins_clause || NO_NOUN.contains(&after.text.as_str())),
        };
        if is_meant && !word.except.iter().any(|except| is_within(tokens, at, avoid, except)) {
            findings.error(path, found.line, format!("`{avoid}`: instead {}", word.write));
        }
    }
}

/// Whether the phrase begins at a token, inside one clause.
fn stands_at(tokens: &[Token], at: usize, phrase: &[&str]) -> bool {
    phrase.iter().enumerate().all(|(offset, part)| {
        tokens
            .get(at + offset)
            .is_some_and(|token| token.text == *part && (offset == 0 || !token.begins_clause))
    })
}

/// Whether the word at a token stands inside a longer phrase.
fn is_within(tokens: &[Token], at: usize, avoid: &str, longer: &str) -> bool {
    let longer_parts: Vec<&str> = longer.split(' ').collect();
    let n_before = longer
        .find(avoid)
        .and_then(|start| longer.get(..start))
        .map_or(0, |before| before.split_whitespace().count());
    at.checked_sub(n_before).is_some_and(|start| stands_at(tokens, start, &longer_parts))
}

#[cfg(test)]
mod tests {
    use super::super::testing;

    /// The messages for one file.
    fn check(path: &str, text: &str, expected: &[&str]) {
        testing::check(super::check, &[(path, text)], expected);
    }

    #[test]
    fn words_are_found_in_prose_identifiers_and_strings() {
        let text = "//! A file.\nfn load_ahead() {}\nstruct LoadAhead;\n// It is told.\nlet a = \"nobody\";\n";
        check(
            "a.rs",
            text,
            &["a.rs:2: `ahead`", "a.rs:3: `ahead`", "a.rs:5: `nobody`", "a.rs:4: `told`"],
        );
    }

    #[test]
    fn phrases_span_lines_and_no_sentences() {
        check("a.md", "The manager may let\ngo of it.\n", &["a.md:1: `let go`"]);
        check("a.md", "This is what we let. Go on.\n\nIt is let\n\ngo\n", &[]);
    }

    #[test]
    fn listed_uses_and_words_within_words_pass() {
        check("a.md", "Ahead of the queue, a noteworthy retelling.\nA tree and its leaves.\n", &[]);
        check("a.md", "WantedBy=default.target\n", &[]);
    }

    #[test]
    fn some_words_are_avoided_in_identifiers_alone_or_without_a_noun() {
        check("a.rs", "//! It had been so.\nlet who_had_it = 1;\n", &["a.rs:2: `had`"]);
        check("a.md", "Read the whole file.\n", &[]);
        check("a.md", "Then the whole is sent.\nSend the whole.\n", &["a.md:1", "a.md:2"]);
    }

    #[test]
    fn sentences_without_a_subject_are_found_and_questions_are_not() {
        check(
            "a.rs",
            "//! What it owns.\n//! And more. Who asks\n//! is answered.\n// What is\n// it?\n",
            &[
                "a.rs:1: a sentence that begins with `What`",
                "a.rs:2: a sentence that begins with `Who`",
            ],
        );
        check("a.md", "# What it is\n\nIt says\nWhat is new.\n", &[]);
    }

    #[test]
    fn comments_that_repeat_the_name_are_found() {
        check(
            "a.rs",
            "//! A.\n/// The component.\npub component: Component,\n/// Its names, sorted.\npub names: Vec<String>,\n\
             /// The size\n/// in bytes.\npub size: u64,\n",
            &["a.rs:2: the comment repeats"],
        );
    }
}
