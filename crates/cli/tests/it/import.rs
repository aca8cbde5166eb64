//! `import llama-swap`: the configuration that it makes, the account of every key, and what it refuses.

use std::fmt::Write as _;

use crate::support::{Ran, World};

/// Most of what a file can state.
const FULL: &str = r#"
healthCheckTimeout: 300
logLevel: info
startPort: 9000
globalTTL: 600
unloadTimeout: 20
sendLoadingState: true
macros:
  server: >
    /opt/llama/llama-server --port ${PORT} --metrics
  ctx: 8192
  small: "--ctx-size ${ctx} --parallel 2"
apiKeys: ["sk-not-to-be-written", "${env.MJ_IMPORT_UNSET_KEY}"]
models:
  "Qwen2.5-7B:Q4":
    name: Qwen
    description: a small one
    macros: {ctx: 4096}
    cmd: |
      # ${server} is filled in below
      ${server}
      --model "/models/Qwen2.5 7B.gguf" \
      ${small} --alias ${MODEL_ID}
    env: ["CUDA_VISIBLE_DEVICES=0", "HF_HOME=${env.MJ_IMPORT_UNSET}/hf", "MJ_OWN=${env.MJ_OWN}"]
    aliases: [gpt-4o-mini, qwen]
    ttl: 60
    useModelName: Qwen/Qwen2.5-7B
    concurrencyLimit: 4
    filters:
      stripParams: "temperature, model, top_k, top_k"
      setParams: {top_p: 0.9, chat_template_kwargs: {enable_thinking: false}, stop: ~}
  embed:
    proxy: http://127.0.0.1:8999
    checkEndpoint: /v1/models
    cmd: infinity --port 8999
    cmdStop: kill -INT ${PID}
    unlisted: true
    ttl: 0
  tts:
    checkEndpoint: none
    cmd: docker run --rm --name ${MODEL_ID} -p ${PORT}:8000 example/kokoro:1
    cmdStop: docker stop ${MODEL_ID}
  secret:
    cmd: server --port ${PORT} --key ${env.MJ_IMPORT_API_KEY}
groups:
  voice: {swap: false, exclusive: false, persistent: true, members: [tts]}
selectors:
  any: {strategy: warm, targets: [gpt-4o-mini, secret]}
hooks: {on_startup: {preload: [embed]}}
peers:
  other: {proxy: "http://192.168.7.7:8080", models: [far]}
  cloud: {proxy: "https://example.org/api", apiKey: "${env.MJ_IMPORT_API_KEY}", models: [big]}
unknownKey: 1
"#;

fn import(world: &World, text: &str, more: &[&str]) -> Ran {
    world.write("swap.yaml", text);
    let words: Vec<&str> =
        ["import", "llama-swap", "swap.yaml"].iter().chain(more).copied().collect();
    world.run(&words)
}

/// The configuration is made, and passes `check`.
#[track_caller]
fn made(world: &World, text: &str, more: &[&str]) -> (String, String) {
    let more: Vec<&str> = more.iter().copied().chain(["-o", "made.toml", "--force"]).collect();
    let ran = import(world, text, &more);
    ran.check(0, &[], &[]);
    world.run(&["check", "made.toml"]).check(0, &["ok made.toml"], &[]);
    (world.read("made.toml"), ran.err)
}

#[test]
fn a_full_file_becomes_a_configuration_that_passes_the_check() {
    let world = World::new();
    let (toml, account) = made(&world, FULL, &[]);
    for part in [
        "[components.qwen2-5-7b-q4]",
        "\"Qwen2.5-7B:Q4\", \"gpt-4o-mini\", \"qwen\"",
        "description = \"Qwen: a small one\"",
        "model_name = \"Qwen/Qwen2.5-7B\"",
        "strip_params = [\"temperature\", \"top_k\"]",
        "set_params = { top_p = 0.9, chat_template_kwargs = { enable_thinking = false } }",
        "max_in_flight = 4",
        "queue = 0",
        "idle_timeout = \"60s\"",
        "idle_timeout = \"10min\"",
        "load_deadline = \"5min\"",
        "'/models/Qwen2.5 7B.gguf'",
        "--ctx-size 4096 --parallel 2 --alias Qwen2.5-7B:Q4",
        "export HF_HOME=\\\"${{MJ_IMPORT_UNSET:?}}\\\"/hf; exec /opt/llama/llama-server --port {port}",
        "[components.embed]",
        "port = 8999",
        "serves = [\"embeddings\"]",
        "ready = { http = \"/v1/models\" }",
        "stop = { signal = \"INT\" }",
        "unlisted = true",
        "lazy_init = false",
        "\"{port}:8000\"",
        "ready = \"connect\"",
        "stop = { command = [\"docker\", \"stop\", \"tts\"] }",
        "stop_deadline = \"40s\"",
        "pinned = true",
        "exec server --port {port} --key \\\"${{MJ_IMPORT_API_KEY:?}}\\\"",
        "[gateway.selectors.any]",
        "components = [\"qwen2-5-7b-q4\", \"secret\"]",
        "external = { url = \"http://192.168.7.7:8080\" }",
    ] {
        assert!(toml.contains(part), "{part} is missing in:\n{toml}");
    }
    for part in ["sk-not-to-be-written", "Qwen2.5-7B:Q4 is filled", "[components.cloud"] {
        assert!(!toml.contains(part), "{part} is in:\n{toml}");
    }
    let outcomes = [
        ("models.\"Qwen2.5-7B:Q4\".cmd", "translated"),
        ("models.\"Qwen2.5-7B:Q4\".filters.setParams.stop", "not supported"),
        ("models.\"Qwen2.5-7B:Q4\".macros.ctx", "translated"),
        ("startPort", "not needed"),
        ("groups.voice.swap", "not needed"),
        ("apiKeys", "not supported"),
        ("peers.cloud", "not supported"),
        ("unknownKey", "not supported"),
    ];
    for (key, outcome) in outcomes {
        let row = account.lines().find(|line| line.split_whitespace().nth(1) == Some(key));
        assert!(row.is_some_and(|row| row.contains(outcome)), "{key}: {row:?} in\n{account}");
    }
}

/// A file with nothing but models, each with a port of its own.
fn models(n: usize) -> String {
    let mut text = "models:\n".to_owned();
    for i in 0..n {
        let _ =
            writeln!(text, "  m{i}:\n    cmd: server --port ${{PORT}} --model m{i}-7B-Q4_0.gguf");
    }
    text
}

#[test]
fn models_exclude_each_other_until_budgets_can_decide() {
    let world = World::new();
    let (toml, _) = made(&world, &models(2), &[]);
    assert!(toml.contains("conflicts = [\"m1\"]"), "{toml}");
    let (toml, _) = made(&world, &models(6), &[]);
    assert!(toml.contains("[pools.one-at-a-time]") && !toml.contains("conflicts"), "{toml}");
    let (toml, _) = made(&world, &models(6), &["--gpu-memory", "24GiB"]);
    assert!(toml.contains("[pools.gpu]") && !toml.contains("one-at-a-time"), "{toml}");
    let unknown = "models:\n  a: {cmd: 's ${PORT}'}\n  b: {cmd: 's ${PORT}'}\n";
    let (toml, account) = made(&world, unknown, &["--cpu-only"]);
    assert!(toml.contains("conflicts = [\"b\"]"), "{toml}");
    assert!(account.contains("memory of [components.a] is not known"), "{account}");
    let one_port = "models:\n  a: {cmd: 's --port 9 7B-Q4_0'}\n  b: {cmd: 's --port 9 7B-Q4_0'}\n";
    made(&world, one_port, &["--gpu-memory", "24GiB"]);
}

#[test]
fn files_are_written_whole_and_never_replaced_unasked() {
    let world = World::new();
    import(&world, &models(1), &[]).check(0, &["[components.m0]"], &["translated"]);
    world.write("made.toml", "mine");
    import(&world, &models(1), &["-o", "made.toml"]).check(
        1,
        &[],
        &["made.toml\" exists", "--force"],
    );
    assert_eq!(world.read("made.toml"), "mine");
    import(&world, "models: [", &["-o", "made.toml", "--force"]).check(1, &[], &["not YAML"]);
    assert_eq!(world.read("made.toml"), "mine");
    import(&world, &models(1), &["-o", "made.toml", "--force"]).check(0, &[], &["written"]);
    import(&world, &models(1), &["-o", "none/made.toml"]).check(1, &[], &["cannot be written"]);
    let left = std::fs::read_dir(world.path(".")).unwrap().flatten();
    assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().ends_with(".part")));
    let ran = import(&world, &models(1), &["--json"]);
    let rows: Vec<serde_json::Value> =
        ran.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.iter().any(|row| row["key"] == "models.m0.cmd" && row["outcome"] == "translated"));
}

#[test]
fn mistakes_name_their_line_and_the_way_out() {
    let world = World::new();
    let deep = format!("models: {}{}", "[".repeat(2000), "]".repeat(2000));
    let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (of, name) in "abcdefgh".chars().zip("bcdefghi".chars()) {
        let _ = writeln!(bomb, "{name}: &{name} [{}]", vec![format!("*{of}"); 10].join(","));
    }
    for (text, parts) in [
        ("", &["has no table with `models`"] as &[&str]),
        ("models: {}", &["has no models"]),
        ("- a", &["has no table with `models`"]),
        ("models: {a: {cmd: x}, a: {cmd: y}}", &["line 1", "\"a\" is in this table twice"]),
        ("models:\n  a: {}", &["line 2", "models.a: it has neither cmd nor proxy"]),
        ("models:\n  a: {cmd: s}", &["line 2", "has no ${PORT}"]),
        ("models:\n  a: {cmd: 's ${PORT} ${nope}'}", &["line 2", "no macro nope"]),
        ("macros: {a: '${b}', b: '${a}'}\nmodels:\n  a: {cmd: 's ${PORT} ${a}'}", &["in a circle"]),
        (
            "models:\n  a: {cmd: 's ${PORT}', ttl: soon}",
            &["models.a.ttl: is a text; write a whole number"],
        ),
        ("models:\n  a: {cmd: 's ${PORT}', ttl: -5}", &["models.a.ttl: is negative"]),
        ("models:\n  a: {cmd: [s]}", &["models.a.cmd: is a list; write a text"]),
        ("models:\n  a: {cmd: 's ${PORT}', proxy: 'http://x:${PORT}'}", &["of another machine"]),
        (
            "models:\n  a: {cmd: 's', proxy: 'http://localhost:${PORT}'}",
            &["has ${PORT}, and its cmd has not"],
        ),
        (
            "models: {a: {cmd: 's ${PORT}', aliases: [z]}, b: {cmd: 's ${PORT}', aliases: [z]}}",
            &["alias \"z\""],
        ),
        ("models: {a: {cmd: \"\\0 ${PORT}\"}}", &["NUL"]),
        (&deep, &["nested more than 64 deep", "line 1"]),
        (&bomb, &["more than 200000 values"]),
    ] {
        import(&world, text, &[]).check(1, &[], parts);
    }
    let ran = import(&world, "models:\n  a: {}\n  b: {}", &["--json"]);
    assert_eq!(ran.err.lines().count(), 2, "{}", ran.err);
    world.write("latin1.yaml", b"models:\n  # caf\xe9\n");
    world.run(&["import", "llama-swap", "latin1.yaml"]).check(1, &[], &["line 2", "UTF-8"]);
    world.run(&["import", "llama-swap", "."]).check(1, &[], &["no regular file"]);
    world.run(&["import", "llama-swap", "none.yaml"]).check(1, &[], &["cannot be read"]);
}

#[test]
fn every_key_of_a_file_has_a_row() {
    let world = World::new();
    let ran = import(&world, FULL, &["--json"]);
    let keys: Vec<String> = ran
        .err
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter_map(|row| Some(row["key"].as_str()?.to_owned()))
        .collect();
    let lines = FULL.lines().filter(|line| !line.starts_with(' ') && line.contains(':'));
    for line in lines {
        let key = line.split(':').next().unwrap();
        assert!(
            keys.iter().any(|k| k.split('.').next() == Some(key)),
            "{key} has no row in {keys:?}"
        );
    }
}
