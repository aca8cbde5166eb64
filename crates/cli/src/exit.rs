//! How the program ends: every exit code, once.
//!
//! Owns the table that `--help` prints and `docs/operating.md` repeats (a test compares them). `majordomo lease …
//! -- COMMAND` is the exception: it ends as its command does.

use std::process::ExitCode;

use majordomo_server::ClientError;

/// Why the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well.
    Success,
    /// An error.
    Failure,
    /// Wrong arguments; also said by the parser itself.
    Usage,
    /// The manager said no.
    Refused,
    /// No server listens, or the connection broke.
    NotRunning,
    /// The server is of another version.
    Version,
    /// A component or lease of that name does not exist.
    Unknown,
    /// A leased component has ended or was stopped.
    Lost,
}

/// The codes and what they mean.
pub(crate) const TABLE: [(Exit, &str); 8] = [
    (Exit::Success, "success"),
    (Exit::Failure, "an error, or a configuration with problems"),
    (Exit::Usage, "wrong arguments"),
    (
        Exit::Refused,
        "refused: a command, a demand or an operator's request cannot be carried out now",
    ),
    (Exit::NotRunning, "no server listens at the socket, or the connection to it broke"),
    (Exit::Version, "the server has another version"),
    (Exit::Unknown, "no component or lease has this name"),
    (Exit::Lost, "a leased component ended or was stopped while the lease was held"),
];

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::NotRunning => 4,
            Self::Version => 5,
            Self::Unknown => 6,
            Self::Lost => 7,
        }
    }

    /// The code for a client's error.
    pub(crate) fn of(error: &ClientError) -> Self {
        match error {
            ClientError::NotRunning { .. } | ClientError::Broken { .. } => Self::NotRunning,
            ClientError::Version { .. } => Self::Version,
            ClientError::Crowded { .. } => Self::Refused,
            ClientError::Problem(problem) => match problem.code.as_str() {
                "unknown_component" | "unknown_lease" | "lease_ended" | "removed" => Self::Unknown,
                "lease_revoked" => Self::Lost,
                "version_mismatch" => Self::Version,
                "bad_configuration" | "no_file" | "internal" => Self::Failure,
                // The component had the request: a script that repeats it repeats its effect.
                "call_failed"
                | "call_ended"
                | "answer_too_large"
                | "answer_dropped"
                | "call_deadline_exceeded" => Self::Failure,
                _ => Self::Refused,
            },
            _ => Self::Failure,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The table as `--help` shows it.
pub(crate) fn help() -> String {
    let rows: Vec<_> =
        TABLE.iter().map(|(exit, text)| format!("  {}  {text}", exit.code())).collect();
    format!("Exit codes:\n{}", rows.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_that_a_component_may_have_acted_on_is_a_failure_and_no_refusal() {
        let exit = |code: &str| {
            let problem = serde_json::json!({
                "type": "", "title": "", "status": 504, "detail": "", "code": code,
            });
            Exit::of(&ClientError::Problem(serde_json::from_value(problem).unwrap()))
        };
        for code in [
            "call_failed",
            "call_ended",
            "answer_too_large",
            "answer_dropped",
            "call_deadline_exceeded",
        ] {
            assert_eq!(exit(code), Exit::Failure, "{code}");
        }
        assert_eq!(exit("call_queue_full"), Exit::Refused);
    }

    #[test]
    fn the_document_has_the_same_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operating.md");
        let text = std::fs::read_to_string(path).unwrap();
        for (n, (exit, meaning)) in TABLE.iter().enumerate() {
            assert_eq!(usize::from(exit.code()), n);
            let row = format!("| {n} | {meaning} |");
            assert!(text.contains(&row), "docs/operating.md lacks: {row}");
        }
    }
}
