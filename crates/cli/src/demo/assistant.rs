//! The demo's assistant: twelve components that really use the memory and the time they declare.

use std::path::Path;
use std::time::Duration;

use majordomo::{ByteSize, ComponentId, ComponentSpec, Config, Priority, ProcessSpec, ReadySpec};

struct Part {
    name: &'static str,
    description: &'static str,
    priority: Priority,
    mib: u64,
    load_ms: u64,
    needs: &'static [&'static str],
    conflicts: &'static [&'static str],
    keywords: &'static [&'static str],
}

const fn part(
    name: &'static str,
    description: &'static str,
    priority: Priority,
    mib: u64,
    load_ms: u64,
) -> Part {
    Part { name, description, priority, mib, load_ms, needs: &[], conflicts: &[], keywords: &[] }
}

/// In the order of their popularity in the generated days.
const PARTS: &[Part] = &[
    Part {
        keywords: &["music", "song", "album"],
        ..part("music", "plays music", Priority::Medium, 25, 50)
    },
    Part {
        keywords: &["weather", "rain", "umbrella"],
        ..part("weather", "reports the weather", Priority::Medium, 10, 20)
    },
    Part {
        keywords: &["lights", "heating", "thermostat"],
        ..part("home", "runs the house", Priority::High, 20, 40)
    },
    Part {
        keywords: &["chat", "what do you think"],
        conflicts: &["essayist"],
        ..part("chat", "small language model", Priority::Medium, 50, 90)
    },
    Part {
        keywords: &["email", "inbox"],
        ..part("email", "reads and writes mail", Priority::Medium, 20, 40)
    },
    Part {
        keywords: &["calendar", "meeting", "appointment"],
        ..part("calendar", "keeps appointments", Priority::Medium, 15, 30)
    },
    Part {
        keywords: &["say it", "read aloud"],
        ..part("speech", "reads text aloud", Priority::Medium, 40, 60)
    },
    Part { keywords: &["camera", "look at"], ..part("vision", "sees", Priority::Medium, 60, 120) },
    Part {
        needs: &["speech"],
        keywords: &["translate"],
        ..part("translate", "translates and reads aloud", Priority::Medium, 40, 70)
    },
    Part {
        keywords: &["route", "traffic"],
        ..part("navigation", "finds the way", Priority::Medium, 30, 60)
    },
    Part {
        needs: &["vision"],
        keywords: &["scan", "text on the page"],
        ..part("ocr", "reads what vision sees", Priority::Medium, 45, 80)
    },
    Part {
        conflicts: &["chat"],
        keywords: &["essay", "explain in depth"],
        ..part(
            "essayist",
            "large language model; not beside the small one",
            Priority::Medium,
            60,
            150,
        )
    },
];

/// Sayings without a keyword: understood only once they are learned.
pub(super) fn sayings(name: &str) -> &'static [&'static str] {
    match name {
        "music" => &["play something quiet", "put on some jazz", "turn it up a bit", "next track"],
        "weather" => {
            &["is it cold outside", "do i need a coat", "how hot will it get", "any storm"]
        }
        "home" => {
            &["make it brighter in here", "it is freezing in the hall", "lock up for tonight"]
        }
        "chat" => &["do you know a joke", "i am bored", "cheer me up", "who would win"],
        "email" => &["did anyone write to me", "reply to my boss", "send a line to anna"],
        "calendar" => &["what is on for friday", "am i free at noon", "move lunch to one"],
        "speech" => &["louder, i did not hear you", "speak to me", "repeat that slowly"],
        "vision" => &["what is in front of me", "who is at the door", "watch the cat"],
        "translate" => &["how do i say good evening in french", "what does danke mean"],
        "navigation" => &["how do i get to the airport", "is the motorway jammed", "take me home"],
        "ocr" => &["what does this letter say", "copy the bill for me", "read the label"],
        "essayist" => &["write three pages about rome", "compare the two plans at length"],
        _ => &[],
    }
}

/// The components and the settings that go with scaled-down idle times.
pub(super) fn components(program: &Path) -> anyhow::Result<(Vec<ComponentSpec>, Config)> {
    let program = program.to_str().ok_or_else(|| {
        anyhow::anyhow!("the path of this program is no UTF-8: {}", program.display())
    })?;
    let ids =
        |names: &[&str]| names.iter().map(|n| ComponentId::new(n)).collect::<Result<Vec<_>, _>>();
    let mut specs = Vec::new();
    for p in PARTS {
        let mib = p.mib.to_string();
        let load = p.load_ms.to_string();
        let mut spec = ComponentSpec::process(p.name, &[])?;
        spec.loader = majordomo::LoaderSpec::Process(ProcessSpec {
            command: [program, "worker", "--mib", &mib, "--load-ms", &load]
                .map(String::from)
                .to_vec(),
            ready: ReadySpec::Stdout("ready".to_owned()),
            ..ProcessSpec::default()
        });
        spec.description = p.description.to_owned();
        spec.priority = p.priority;
        spec.memory = ByteSize::mib(p.mib);
        spec.load_time = Duration::from_millis(p.load_ms);
        spec.dependencies = ids(p.needs)?;
        spec.conflicts = ids(p.conflicts)?;
        spec.keywords = p.keywords.iter().map(|k| (*k).to_owned()).collect();
        specs.push(spec);
    }
    let mut config = Config::default();
    config.speculation.delay = Duration::from_millis(1);
    Ok((specs, config))
}
