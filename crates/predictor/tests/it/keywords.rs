//! Keyword search: boundaries, phrases, folding, evidence; and agreement with Aho-Corasick.

use aho_corasick::{AhoCorasick, MatchKind};
use majordomo_core::ComponentKey;
use majordomo_predictor::{KeywordError, KeywordMatcher, KeywordScratch};
use proptest::prelude::*;

/// (component, matched text, confidence) of every hit.
fn search(entries: &[(u32, &str)], text: &str) -> Vec<(u32, String, f32)> {
    let matcher = KeywordMatcher::build(entries.iter().map(|&(c, p)| (ComponentKey(c), p)))
        .expect("the entries have words");
    let mut scratch = KeywordScratch::default();
    let found = matcher.find(text, &mut scratch);
    let hits: Vec<_> = found.components().flat_map(|c| c.hits.iter().copied()).collect();
    assert_eq!(hits, found.hits());
    hits.iter().map(|h| (h.component.0, text[h.range()].to_owned(), h.confidence().get())).collect()
}

#[track_caller]
fn check(entries: &[(u32, &str)], text: &str, expected: &[(u32, &str, f32)]) {
    let got = search(entries, text);
    let got: Vec<_> = got.iter().map(|(c, t, p)| (*c, t.as_str(), *p)).collect();
    assert_eq!(got, expected, "{text:?}");
}

#[test]
fn keywords_match_whole_words_only() {
    check(&[(0, "lock")], "at five o'clock", &[]);
    check(&[(0, "lock")], "Lock the door, lock!", &[(0, "Lock", 1.0), (0, "lock", 1.0)]);
    check(&[(0, "ask")], "a new task", &[]);
    check(&[(0, "über")], "ÜBER uns", &[(0, "ÜBER", 1.0)]);
    check(&[(0, "c++"), (1, "c")], "c++ or c", &[(0, "c++", 1.0), (1, "c", 1.0)]);
    check(&[(0, "音乐")], "播放音乐吧", &[(0, "音乐", 1.0)]);
    check(&[(0, "🎵")], "more 🎵!", &[(0, "🎵", 1.0)]);
    check(&[(0, "אור")], "הדלק אור", &[(0, "אור", 1.0)]);
}

#[test]
fn ignored_characters_do_not_affect_matches() {
    check(&[(0, "music")], "play music\u{200e}", &[(0, "music", 1.0)]);
    check(&[(0, "music")], "\u{feff}play mu\u{200b}sic now", &[(0, "mu\u{200b}sic", 1.0)]);
    check(&[(0, "mu\u{ad}sic")], "\u{2066}music\u{2069}", &[(0, "music", 1.0)]);
    check(&[(0, "❤\u{fe0f}")], "I ❤ it", &[(0, "❤", 1.0)]);
    check(&[(0, "❤")], "I ❤\u{fe0f} it", &[(0, "❤", 1.0)]);
    check(&[(0, "straße")], "STRAẞE", &[(0, "STRAẞE", 1.0)]);
    check(&[(0, "موسيقى")], "شغل مُوسِيـقَى", &[(0, "مُوسِيـقَى", 1.0)]);
    check(&[(0, "מוּזִיקָה")], "נגן מוזיקה", &[(0, "מוזיקה", 1.0)]);
    check(&[(0, "🏴\u{e0067}\u{e007f}")], "🏴", &[(0, "🏴", 1.0)]);
    check(&[(0, "音\u{fe00}乐")], "播放音乐吧", &[(0, "音乐", 1.0)]);
}

#[test]
fn another_spelling_fits_less_well_than_the_exact_word() {
    check(&[(0, "música")], "pon musica", &[(0, "musica", 0.9)]);
    check(&[(0, "musica")], "pon música", &[(0, "música", 0.9)]);
    check(&[(0, "tür")], "tuer auf", &[(0, "tuer", 0.9)]);
    check(&[(0, "tuer")], "TÜR auf", &[(0, "TÜR", 0.9)]);
    let two = [(0, "papá"), (1, "papa")];
    check(&two, "llama a papá", &[(0, "papá", 1.0)]);
    check(&two, "una papa", &[(1, "papa", 1.0)]);
    check(&two, "PAPÁ y papa", &[(0, "PAPÁ", 1.0), (1, "papa", 1.0)]);
    // Neither keyword has this spelling, so both match equally well.
    check(&two, "papà", &[(0, "papà", 0.5), (1, "papà", 0.5)]);
    check(&[(0, "papá"), (0, "papà")], "papa", &[(0, "papa", 0.9)]);
    // A shared keyword keeps its lower confidence.
    check(&[(0, "luz"), (1, "luz")], "LUZ", &[(0, "LUZ", 0.5), (1, "LUZ", 0.5)]);
    check(&[(0, "canción nueva")], "una cancion nueva", &[(0, "cancion nueva", 0.9)]);
    check(&[(0, "мой")], "мои", &[]);
}

#[test]
fn words_that_carry_particles_fit_their_stem() {
    check(&[(0, "음악")], "음악을 틀어줘", &[(0, "음악을", 0.8)]);
    check(&[(0, "거실 불")], "거실의 불을 켜", &[(0, "거실의 불을", 0.8)]);
    check(&[(0, "나")], "나이가 몇 살", &[]);
    check(&[(0, "موسيقى")], "شغل الموسيقي", &[(0, "الموسيقي", 0.8)]);
    check(&[(0, "المصباح")], "مصباح", &[(0, "مصباح", 0.8)]);
    check(&[(0, "אור")], "תדליק את האור", &[(0, "האור", 0.8)]);
    check(&[(0, "agenda")], "ouvre l’agenda", &[(0, "l’agenda", 0.8)]);
    check(&[(0, "weather")], "the weather's fine", &[(0, "weather's", 0.8)]);
    check(&[(0, "clock")], "five o'clock", &[]);
}

#[test]
fn compounds_fit_their_parts_only_where_the_language_joins_words() {
    let entries = [(0, "licht"), (1, "Lampe"), (2, "spiel"), (3, "light")];
    check(&entries, "mach die Wohnzimmerlampe an", &[(1, "Wohnzimmerlampe", 0.7)]);
    check(&entries, "wo ist der Lichtschalter", &[(0, "Lichtschalter", 0.7)]);
    check(&entries, "das ist zum Beispiel meine Pflicht", &[]);
    check(&entries, "turn on the flashlight", &[]);
    check(&[(0, "licht"), (1, "lichtschalter")], "der lichtschalter", &[(1, "lichtschalter", 1.0)]);
}

#[test]
fn traditional_and_simplified_characters_are_spellings() {
    check(&[(0, "开灯")], "請開燈", &[(0, "開燈", 0.9)]);
    check(&[(0, "音樂")], "播放音乐", &[(0, "音乐", 0.9)]);
    check(&[(0, "音樂"), (1, "音乐")], "播放音乐", &[(1, "音乐", 1.0)]);
}

/// Hits of commands in eight languages, by all forms and by exact ones; `majordomo-lab intents --languages`
/// prints the figures.
#[test]
fn keywords_find_commands_in_eight_languages() {
    let rows: Vec<[&str; 4]> = include_str!("../data/languages.tsv")
        .lines()
        .filter(|l| !l.starts_with('#'))
        .map(|l| l.split('\t').collect::<Vec<_>>().try_into().expect("four columns"))
        .collect();
    for language in ["ar", "de", "el", "es", "fr", "he", "ko", "zh"] {
        let own = || rows.iter().filter(move |r| r[0] == language);
        let components: Vec<(&str, &str)> =
            own().filter(|r| r[1] == "keywords").map(|r| (r[2], r[3])).collect();
        let entries = (0..)
            .zip(&components)
            .flat_map(|(i, (_, words))| words.split(',').map(move |word| (ComponentKey(i), word)));
        let matcher = KeywordMatcher::build(entries).expect("words");
        let mut scratch = KeywordScratch::default();
        let mut wrong = Vec::new();
        for [_, _, component, text] in own().filter(|r| r[1] == "command") {
            let found = matcher.find(text, &mut scratch);
            let found: Vec<&str> =
                found.components().map(|c| components[c.component.index()].0).collect();
            let expected: Vec<&str> = if *component == "-" { vec![] } else { vec![component] };
            if found != expected {
                wrong.push((text, found));
            }
        }
        assert!(wrong.is_empty(), "{language}: {wrong:?}");
    }
}

#[test]
fn phrases_are_longest_and_ignore_spacing() {
    let entries = [(0, "turn  on"), (1, "turn on the light"), (2, "light"), (3, "the")];
    check(&entries, "Turn\ton the lights", &[(0, "Turn\ton", 1.0), (3, "the", 1.0)]);
    check(&entries, "turn on the LIGHT", &[(1, "turn on the LIGHT", 1.0)]);
    check(&entries, "turn the light", &[(2, "light", 1.0), (3, "the", 1.0)]);
    check(&[(0, "to-do")], "my to do list", &[(0, "to do", 1.0)]);
}

#[test]
fn failed_longer_phrase_hides_no_shorter_keyword() {
    check(&[(0, "a b c"), (1, "b")], "a b d", &[(1, "b", 1.0)]);
    check(&[(0, "a b c"), (1, "a"), (2, "b c d")], "a b c d", &[(0, "a b c", 1.0)]);
}

#[test]
fn shared_keywords_have_lower_confidence() {
    let entries = [(7, "play"), (2, "play"), (2, "PLAY"), (2, "song")];
    check(&entries, "play a song", &[(2, "play", 0.5), (2, "song", 1.0), (7, "play", 0.5)]);
    let matcher = KeywordMatcher::build(entries.map(|(c, p)| (ComponentKey(c), p))).expect("valid");
    let mut scratch = KeywordScratch::default();
    let best: Vec<_> = matcher
        .find("play a song", &mut scratch)
        .components()
        .map(|c| (c.component.0, c.confidence().get()))
        .collect();
    assert_eq!(best, [(2, 1.0), (7, 0.5)]);
    assert_eq!(matcher.n_phrases(), 2);
}

#[test]
fn texts_without_keywords_have_no_hits() {
    check(&[], "play", &[]);
    check(&[(0, "play")], "", &[]);
    check(&[(0, "play")], "\0\u{7}\u{202e}", &[]);
    let megabyte = "word ".repeat(200_000) + "play";
    check(&[(0, "play"), (1, "word word x")], &megabyte, &[(0, "play", 1.0)]);
}

#[test]
fn keyword_without_a_word_is_refused() {
    for phrase in ["", "  ", "...", "\u{feff}"] {
        let error = KeywordMatcher::build([(ComponentKey(3), phrase)]).expect_err("no word");
        assert_eq!(
            error,
            KeywordError::NoWord { component: ComponentKey(3), phrase: phrase.into() }
        );
        assert!(error.to_string().contains("component 3"), "{error}");
    }
}

#[test]
fn ten_thousand_keywords_fit_in_four_mebibytes() {
    let phrases: Vec<String> =
        (0..10_000).map(|i| format!("keyword{i} of some{}", i % 977)).collect();
    let matcher = KeywordMatcher::build(
        phrases.iter().enumerate().map(|(i, p)| (ComponentKey(i as u32), p.as_str())),
    )
    .expect("valid");
    assert_eq!(matcher.n_phrases(), 10_000);
    assert!(matcher.memory_bytes() <= 4 << 20, "{} bytes", matcher.memory_bytes());
}

proptest! {
    /// The oracle: Aho-Corasick, leftmost-longest, over words joined and wrapped by one space. Words
    /// are single letters, so that a match of bytes is a match of words; overlap of the separators is
    /// avoided by writing each of them twice.
    #[test]
    fn agrees_with_aho_corasick(
        phrases in prop::collection::vec(prop::collection::vec(0u8..4, 1..4), 1..12),
        text in prop::collection::vec(0u8..5, 0..40),
    ) {
        let spell = |ids: &[u8], gap: &str| {
            ids.iter().map(|&i| char::from(b'a' + i).to_string()).collect::<Vec<_>>().join(gap)
        };
        let wrap = |ids: &[u8]| format!(" {} ", spell(ids, "  "));
        let mut unique = phrases.clone();
        unique.sort();
        unique.dedup();
        let oracle = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(unique.iter().map(|p| wrap(p)))
            .expect("small");
        let haystack = wrap(&text);
        let mut expected: Vec<(u32, usize)> = oracle
            .find_iter(&haystack)
            .map(|m| (m.pattern().as_u32(), m.start() / 3))
            .collect();
        expected.sort_unstable();
        let plain: Vec<String> = unique.iter().map(|p| spell(p, " ")).collect();
        let matcher = KeywordMatcher::build(
            plain.iter().enumerate().map(|(i, p)| (ComponentKey(i as u32), p.as_str())),
        ).expect("valid");
        let mut scratch = KeywordScratch::default();
        let got: Vec<(u32, usize)> = matcher
            .find(&spell(&text, " "), &mut scratch)
            .hits()
            .iter()
            .map(|h| (h.component.0, h.start as usize / 2))
            .collect();
        prop_assert_eq!(got, expected);
    }
}
