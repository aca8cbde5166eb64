//! The components of park cycles and their configuration: more than fit into the budget, so that each demand parks another one.

use std::fmt::Write as _;
use std::path::Path;

use super::subject::{Kind, START};

/// How a component is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Over a connection that stays open.
    Connection(Kind),
    /// By a call through the manager.
    Call,
    /// By a call to the shell, which has forks that share its memory; the answer is the length of a text in it.
    Shell,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) name: &'static str,
    pub(super) way: Way,
}

pub(super) const SUBJECTS: [Subject; 6] = [
    Subject { name: "server", way: Way::Connection(Kind::Server) },
    Subject { name: "lines", way: Way::Call },
    Subject { name: "parent", way: Way::Connection(Kind::Parent) },
    Subject { name: "second-server", way: Way::Connection(Kind::Server) },
    Subject { name: "forks", way: Way::Shell },
    Subject { name: "locked", way: Way::Connection(Kind::Locked) },
];

/// A shell with a long text, and two forks of it that live as long; each answer is by one more.
const SHELL: &str = r#"sleep START; x=$(head -c BYTES /dev/zero | tr '\0' x); for i in 1 2; do (while :; do sleep 3600; done) & done; echo '{"ready":true}'; while read -r line; do id=${line#*\"id\":}; n=$(echo ${#x}); echo "{\"id\":${id%%[,\}]*},\"answer\":\"$n\"}"; done"#;

/// Memory of a program beside what it answers from, MiB.
const PROGRAM_MIB: usize = 24;

/// The length of the shell's text, which it has several times.
pub(super) const fn shell_bytes(mib: usize) -> usize {
    (mib << 20) / 4
}

fn command(subject: &Subject, program: &Path, mib: usize) -> String {
    let program = program.display();
    match subject.way {
        Way::Connection(kind) => {
            let kind = match kind {
                Kind::Parent => "parent",
                Kind::Locked => "locked",
                _ => "server",
            };
            format!(
                "command = [{:?}, \"park-subject\", \"{kind}\", \"{{port}}\", \"--mib={mib}\"]\nready = \"connect\"\n\
                 probe = {{ http = \"/1\", every = \"1s\", timeout = \"1s\" }}\n",
                program.to_string()
            )
        }
        Way::Call => format!(
            "command = [{:?}, \"park-subject\", \"lines\", \"--mib={mib}\"]\nprotocol = \"stdio\"\n",
            program.to_string()
        ),
        Way::Shell => {
            let script = SHELL.replace("BYTES", &shell_bytes(mib).to_string());
            let script = script.replace("START", &START.as_secs_f64().to_string());
            let script = script.replace('{', "{{").replace('}', "}}");
            format!("command = [\"sh\", \"-c\", '''{script}''']\nprotocol = \"stdio\"\n")
        }
    }
}

/// The configuration: the budget holds one program with its first estimate, and two or three once they are measured.
/// Swap and writes are not bounded, since cycles write more than a day of use.
pub(super) fn text(program: &Path, mib: usize) -> String {
    let memory = mib + PROGRAM_MIB;
    let mut text = format!(
        "[manager]\nbudget = \"{}MiB\"\npolicy = \"lru\"\nspeculation = false\nswap_budget = \"100%\"\n\
         swap_writes_per_day = \"4TiB\"\n",
        3 * memory / 2
    );
    for subject in &SUBJECTS {
        let _ = write!(
            text,
            "[components.{}]\nmemory = \"{memory}MiB\"\n{}",
            subject.name,
            command(subject, program, mib)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_of_cycles_is_valid_and_its_budget_holds_any_component_and_not_all() {
        let dir = std::env::temp_dir().join(format!("majordomo-cycles-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join("cycles.toml");
        std::fs::write(&file, text(&std::env::current_exe().unwrap(), 16)).unwrap();
        let loaded = majordomo::read_config(&file, majordomo::memory_limit()).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(loaded.specs.len(), SUBJECTS.len());
        let each = loaded.specs[0].memory.bytes() as f64 * loaded.config.memory.estimate_margin;
        let budget = 60.0 * f64::from(1 << 20);
        assert!(each <= budget && 2.0 * each > budget, "{each}");
    }
}
