//! Keyword search in texts of about 50 characters with 100 and 10 000 keywords, compared with the automata of
//! the crate `aho-corasick` on the same words (folded beforehand, boundaries not checked: a lower bound).

use std::hint::black_box;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use majordomo_core::ComponentKey;
use majordomo_predictor::{KeywordMatcher, KeywordScratch};

const SYLLABLES: [&str; 16] = [
    "ka", "lo", "mi", "ter", "an", "so", "ri", "ven", "du", "pel", "ash", "no", "gi", "bur", "eth",
    "wo",
];

fn word(mut n: usize) -> String {
    let mut out = String::new();
    for _ in 0..3 {
        out += SYLLABLES[n % 16];
        n /= 16;
    }
    out + SYLLABLES[n % 16]
}

/// `n` keywords, every fifth a phrase of two words.
fn keywords(n: usize) -> Vec<String> {
    (0..n)
        .map(|i| if i % 5 == 0 { format!("{} {}", word(i), word(i / 7)) } else { word(i) })
        .collect()
}

/// 256 texts of about 50 characters; two of eight words are keywords.
fn texts(keywords: &[String]) -> Vec<String> {
    (0..256)
        .map(|i| {
            let (a, b) = (&keywords[i * 37 % keywords.len()], &keywords[i * 91 % keywords.len()]);
            format!("Please go to my {a} and then use the {b} now").chars().take(50).collect()
        })
        .collect()
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("keywords_50_chars");
    for n in [100, 10_000] {
        let keywords = keywords(n);
        let texts = texts(&keywords);
        let folded: Vec<String> = texts.iter().map(|t| t.to_lowercase()).collect();
        let matcher = KeywordMatcher::build(
            keywords.iter().enumerate().map(|(i, k)| (ComponentKey((i % 100) as u32), k.as_str())),
        )
        .expect("every keyword has a word");
        println!("majordomo with {n} keywords: {} KiB", matcher.memory_bytes() / 1024);
        let mut scratch = KeywordScratch::default();
        let mut next = 0;
        group.bench_function(BenchmarkId::new("majordomo", n), |b| {
            b.iter(|| {
                next = (next + 1) % texts.len();
                matcher.find(black_box(&texts[next]), &mut scratch).hits().len()
            });
        });
        for (name, kind) in
            [("contiguous_nfa", AhoCorasickKind::ContiguousNFA), ("dfa", AhoCorasickKind::DFA)]
        {
            let rival = AhoCorasick::builder()
                .kind(Some(kind))
                .match_kind(MatchKind::LeftmostLongest)
                .build(&keywords)
                .expect("the automaton fits");
            println!("{name} with {n} keywords: {} KiB", rival.memory_usage() / 1024);
            group.bench_function(BenchmarkId::new(name, n), |b| {
                b.iter(|| {
                    next = (next + 1) % folded.len();
                    rival.find_iter(black_box(&folded[next])).count()
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
