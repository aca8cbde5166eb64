//! The APIs that clients are made for, by path: the shape of errors, and the member of a body that names the model.

/// An API, as far as the gateway's own answers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    /// OpenAI's, and those of llama.cpp's server, which has the same errors.
    OpenAi,
    /// The messages of Anthropic and their errors.
    Anthropic,
    /// Ollama's, whose errors are texts.
    Ollama,
    /// A component's own.
    Other,
}

impl Api {
    /// The API of a path at the front door.
    pub(crate) fn of(path: &str) -> Self {
        let is_below = |root: &str| {
            path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if is_below("/v1/messages") {
            Self::Anthropic
        } else if is_below("/api") {
            Self::Ollama
        } else {
            Self::OpenAi
        }
    }

    /// The members of a JSON body that name the model, the first one that is there.
    pub(crate) const fn model_members(self) -> &'static [&'static str] {
        match self {
            Self::Ollama => &["model", "name"],
            _ => &["model"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_belong_to_apis() {
        for (path, api) in [
            ("/v1/chat/completions", Api::OpenAi),
            ("/v1/messages", Api::Anthropic),
            ("/v1/messages/count_tokens", Api::Anthropic),
            ("/v1/messagesX", Api::OpenAi),
            ("/api/chat", Api::Ollama),
            ("/apiary", Api::OpenAi),
            ("/completion", Api::OpenAi),
        ] {
            assert_eq!(Api::of(path), api, "{path}");
        }
    }
}
