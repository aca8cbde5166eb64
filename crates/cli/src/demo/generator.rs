//! Days of commands from a seed: popularity by Zipf, habits as an order-1 chain, some novelty.

use std::sync::Arc;
use std::time::Duration;

use majordomo::ComponentSpec;

use super::assistant::sayings;

/// Exponent of Zipf's law.
const ZIPF: f64 = 0.9;
/// Share of commands that follow the habit of the one before.
const HABIT: f64 = 0.5;
/// Share of commands that are about anything at all.
const NOVELTY: f64 = 0.1;
/// Share of commands without a keyword.
const FREE: f64 = 0.3;
const COMMANDS_A_DAY: u64 = 30;

const FORMS: [&str; 5] = ["{}", "please {}", "hey, {} now", "well, {}", "{} today"];

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize % n.max(1)
    }
}

/// One command and the pause before it.
#[derive(Debug)]
pub(super) struct Command {
    pub text: String,
    /// The component that is meant.
    pub needs: String,
    pub pause: Duration,
}

/// The generator. The same seed gives the same days.
#[derive(Debug)]
pub(super) struct Days {
    random: Random,
    keywords: Vec<Vec<String>>,
    names: Vec<String>,
    popularity: Vec<f64>,
    habit: Vec<usize>,
    last: usize,
}

impl Days {
    pub(super) fn new(seed: u64, specs: &[Arc<ComponentSpec>]) -> Self {
        let n = specs.len();
        let mut random = Random(seed);
        let popularity = (1..=n).map(|rank| (rank as f64).powf(-ZIPF)).collect();
        // After each component one other follows by habit.
        let habit =
            (0..n).map(|i| (i + 1 + random.below(n.saturating_sub(1).max(1))) % n.max(1)).collect();
        let keywords = specs.iter().map(|s| s.keywords.clone()).collect();
        let names = specs.iter().map(|s| s.id.to_string()).collect();
        Self { random, keywords, names, popularity, habit, last: 0 }
    }

    fn popular(&mut self) -> usize {
        let sum: f64 = self.popularity.iter().sum();
        let mut at = self.random.unit() * sum;
        for (i, p) in self.popularity.iter().enumerate() {
            at -= p;
            if at < 0.0 {
                return i;
            }
        }
        self.popularity.len() - 1
    }

    /// The commands of one day: the first after a night, bursts with pauses between.
    pub(super) fn next_day(&mut self) -> Vec<Command> {
        let n = COMMANDS_A_DAY - 5 + self.random.next() % 11;
        (0..n)
            .map(|i| {
                let dice = self.random.unit();
                self.last = if dice < NOVELTY {
                    self.random.below(self.keywords.len())
                } else if dice < NOVELTY + HABIT {
                    self.habit[self.last]
                } else {
                    self.popular()
                };
                let needs = self.names[self.last].clone();
                let free = sayings(&needs);
                let word = if !free.is_empty() && self.random.unit() < FREE {
                    free[self.random.below(free.len())].to_owned()
                } else {
                    let words = &self.keywords[self.last];
                    words[self.random.below(words.len())].clone()
                };
                let form = FORMS[self.random.below(FORMS.len())];
                // At least 60 ms, 150 ms in the mean, about two loads: people pause far longer, and a demo must
                // end. A night is 200 ms.
                let pause =
                    if i == 0 { 0.2 } else { 0.06 - 0.09 * (1.0 - self.random.unit()).ln() };
                Command {
                    text: form.replace("{}", &word),
                    needs,
                    pause: Duration::from_secs_f64(pause.min(0.5)),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs() -> Vec<Arc<ComponentSpec>> {
        ["a", "b", "c"]
            .iter()
            .map(|n| {
                let mut s = ComponentSpec::builtin(n).unwrap();
                s.keywords = vec![format!("word-{n}")];
                Arc::new(s)
            })
            .collect()
    }

    #[test]
    fn a_seed_gives_the_same_days_and_another_seed_others() {
        let texts = |seed| {
            let mut days = Days::new(seed, &specs());
            (0..3).flat_map(|_| days.next_day()).map(|c| c.text).collect::<Vec<_>>()
        };
        assert_eq!(texts(7), texts(7));
        assert_ne!(texts(7), texts(8));
        assert!((70..=110).contains(&texts(7).len()));
    }
}
