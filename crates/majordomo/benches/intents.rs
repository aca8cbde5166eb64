//! The cost of predicting the components of a text, through the whole manager: time, allocations, memory.
//!
//! Twelve components, texts of fifty characters, evidence off. Memory is what the allocator gave, all of the
//! manager's included. `cargo bench` measures; run otherwise (or with `--test`) it runs once with little.

#[path = "../tests/it/counting.rs"]
mod counting;
#[path = "shared/measure.rs"]
mod measure;

use std::time::Duration;

use counting::{allocations, live, take_peak};
use majordomo::{ByteSize, ComponentSpec, Config, Decision, Manager, Prediction, StatusValue};
use measure::now;

/// As many components as an assistant has, each with what is said of it.
const TOPICS: [(&str, [&str; 6]); 12] = [
    ("alarm", ["wake me", "alarm", "morning", "snooze", "ring", "get up"]),
    ("calendar", ["meeting", "appointment", "agenda", "schedule", "invite", "thursday"]),
    ("camera", ["picture", "photo", "selfie", "camera", "record", "zoom"]),
    ("email", ["inbox", "reply", "mail", "attachment", "subject", "forward"]),
    ("lights", ["lamp", "brighter", "dim", "kitchen", "switch off", "bulb"]),
    ("music", ["song", "jazz", "playlist", "album", "louder", "singer"]),
    ("news", ["headline", "election", "newspaper", "politics", "report", "article"]),
    ("recipe", ["cook", "dinner", "oven", "ingredients", "bake", "soup"]),
    ("taxi", ["cab", "ride", "pick me up", "driver", "airport", "station"]),
    ("timer", ["countdown", "minutes", "timer", "seconds", "stopwatch", "egg"]),
    ("translate", ["french", "spanish", "meaning", "language", "say in", "word for"]),
    ("weather", ["rain", "umbrella", "forecast", "cold", "sunny", "storm"]),
];
const FILLERS: [&str; 12] = [
    "please",
    "could you",
    "for me",
    "right now",
    "later today",
    "i would like",
    "about the",
    "again",
    "with the",
    "my",
    "some more",
    "in a while",
];
const N_CHARS: usize = 50;

struct Scale {
    n_outcomes: usize,
    n_queries: usize,
}

fn main() {
    let scale = if measure::is_measured() {
        Scale { n_outcomes: 9_000, n_queries: 200_000 }
    } else {
        Scale { n_outcomes: 120, n_queries: 240 }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the system gives what a runtime needs").block_on(bench(&scale));
}

/// The next of a fixed sequence of numbers (SplitMix64).
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 33) as usize
}

/// A text of fifty characters about a topic.
fn text(topic: usize, state: &mut u64) -> String {
    let mut out = String::new();
    while out.len() < N_CHARS {
        let words = if next(state).is_multiple_of(3) { &TOPICS[topic].1[..] } else { &FILLERS };
        out += words[next(state) % words.len()];
        out.push(' ');
    }
    out.truncate(N_CHARS);
    out
}

async fn manager() -> Manager {
    let mut config = Config::default();
    config.intents.evidence = false;
    let builder = Manager::builder().config(config).budget(ByteSize::mib(64)).pressure(None);
    let builder = TOPICS.into_iter().fold(builder, |builder, (name, words)| {
        let mut spec = ComponentSpec::builtin(name).expect("the names are good");
        spec.memory = ByteSize::mib(1);
        spec.keywords = words[..2].iter().map(|w| (*w).to_owned()).collect();
        builder.builtin(spec, |_| Ok(()))
    });
    builder.start().await.expect("the catalog is good")
}

/// Waits until a retrain has ended since `n_before` had, and none runs. Gives how many have ended ever.
async fn retrained(manager: &Manager, n_before: u64) -> u64 {
    let mut n_quiet = 0;
    loop {
        // Longer than a status is kept.
        tokio::time::sleep(Duration::from_millis(60)).await;
        let learned = manager.intents().learned().await.expect("the manager lives");
        let n = learned.retrains + learned.retrains_rejected;
        let status = manager.status().await.expect("the manager lives");
        let running = status.sections["intents"]
            .iter()
            .any(|row| row.0 == "retraining" && row.1 == StatusValue::Bool(true));
        n_quiet = if n > n_before && !running { n_quiet + 1 } else { 0 };
        if n_quiet == 3 {
            return n;
        }
    }
}

fn quantile(sorted: &[u64], q: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * q).round() as usize] as f64 / 1e3
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

async fn bench(scale: &Scale) {
    let before = live();
    let manager = manager().await;
    let started = live();
    let mut state = 1;
    let mut known = Vec::new();
    for i in 0..scale.n_outcomes {
        let text = text(i % TOPICS.len(), &mut state);
        manager.intents().teach(&text, &[TOPICS[i % TOPICS.len()].0]).await.expect("it has words");
        if i < TOPICS.len() {
            known.push(text);
        }
    }
    let n_retrains = retrained(&manager, 0).await;
    let learned = manager.intents().learned().await.expect("the manager lives");
    queries(&manager, scale, &mut state);

    println!("memory with {} outcomes kept, all of the manager's included", learned.outcomes);
    println!("  {:44} {:9.2} MiB", "started, nothing learned", mib(started - before));
    println!(
        "  {:44} {:9.2} MiB  (target <= 16); {} by its own count",
        "at rest",
        mib(live() - before),
        learned.bytes
    );
    // Forgetting retrains the model in full.
    take_peak();
    manager.intents().forget(&known[0]).await.expect("it can be forgotten");
    retrained(&manager, n_retrains).await;
    let peak = take_peak();
    println!("  {:44} {:9.2} MiB  (target <= 40)", "most while retraining", mib(peak - before));
    manager.shutdown(None).await;
}

fn queries(manager: &Manager, scale: &Scale, state: &mut u64) {
    let texts: Vec<String> = (0..1200).map(|i| text(i % TOPICS.len(), state)).collect();
    let mut prediction = Prediction::default();
    for text in &texts {
        manager.intents().predict(text, &mut prediction);
    }
    let mut ns = Vec::with_capacity(scale.n_queries);
    let mut n_confident = 0;
    let n_before = allocations();
    for i in 0..scale.n_queries {
        let text = &texts[i * 7 % texts.len()];
        let start = now();
        manager.intents().predict(std::hint::black_box(text), &mut prediction);
        ns.push(start.elapsed().as_nanos() as u64);
        n_confident += usize::from(prediction.decision == Decision::Confident);
    }
    let n_allocations = allocations() - n_before;
    ns.sort_unstable();
    println!(
        "decide on {N_CHARS} characters, {} components (target p50 <= 10 us, p99 <= 50 us)",
        TOPICS.len()
    );
    println!(
        "  p50 {:.2} us   p99 {:.2} us   {n_allocations} allocations   {:.1} % confident",
        quantile(&ns, 0.5),
        quantile(&ns, 0.99),
        100.0 * n_confident as f64 / scale.n_queries as f64
    );
    assert_eq!(n_allocations, 0, "a query allocates");
}
