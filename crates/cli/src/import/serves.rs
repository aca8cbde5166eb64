//! The kinds of requests that a model serves, for lists of models.

use super::reader::{Context, Section};

/// The kinds of requests that a model serves, and how that is known.
pub(super) fn serves(
    cx: &mut Context,
    section: &Section<'_>,
    id: &str,
    words: &[String],
) -> (Vec<&'static str>, &'static str) {
    const STATED: &str = "from `capabilities`";
    const COMMAND: &str = "as the command looks; correct it where it is wrong";
    if let Some(found) = section.get("capabilities")
        && cx.is_table(&found)
    {
        let stated = found.section();
        let list = |cx: &mut Context, key: &str| {
            let found = stated.get(key);
            let texts = found.as_ref().map(|found| cx.texts(found)).unwrap_or_default();
            if let Some(found) = &found {
                cx.translated(found, "serves");
            }
            texts.into_iter().map(|(text, _)| text).collect::<Vec<_>>()
        };
        let (takes, gives) = (list(cx, "in"), list(cx, "out"));
        let has = |list: &[String], kind: &str| list.iter().any(|item| item == kind);
        let mut kinds = Vec::new();
        if has(&gives, "text") && (has(&takes, "text") || !has(&takes, "audio")) {
            kinds.extend(["chat", "completion"]);
        }
        if has(&gives, "text") && has(&takes, "audio") && !has(&takes, "text") {
            kinds.push("transcription");
        }
        if has(&gives, "audio") {
            kinds.push("speech");
        }
        if has(&gives, "image") {
            kinds.push("images");
        }
        if let Some(found) = stated.get("reranker") {
            if cx.truth(&found) == Some(true) {
                kinds.push("rerank");
            }
            cx.translated(&found, "serves");
        }
        for key in ["tools", "context"] {
            if let Some(found) = stated.get(key) {
                cx.not_supported(&found, "/v1/models does not list it");
            }
        }
        if !kinds.is_empty() {
            return (kinds, STATED);
        }
    }
    let line = words.join(" ").to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| line.contains(part));
    let id = id.to_ascii_lowercase();
    let kinds = if has(&["--rerank", "reranker"]) {
        vec!["rerank"]
    } else if has(&[
        "--embd",
        "--embedding",
        "--pooling",
        "--task embed",
        "infinity",
        "text-embeddings",
        "bge-",
        "nomic-embed",
    ]) {
        vec!["embeddings"]
    } else if has(&["whisper", "parakeet", "speaches"]) || id.contains("whisper") {
        vec!["transcription"]
    } else if has(&["kokoro", "piper", "tts"]) || id.contains("tts") {
        vec!["speech"]
    } else if has(&["sd-server", "stable-diffusion", "comfyui", "--diffusion-model", "flux"]) {
        vec!["images"]
    } else {
        vec!["chat", "completion"]
    };
    (kinds, COMMAND)
}
