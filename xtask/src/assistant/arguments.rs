//! The arguments of `setup` and `run`. Those of `day` and `report` are read by `majordomo-lab`.

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::needless_pass_by_value,
    reason = "written by xflags"
)]
pub(super) mod flags {
    use std::path::PathBuf;

    xflags::xflags! {
        /// The assistant of public packages in examples/assistant. `day` plays a day of commands
        /// and `report` writes its figures; both are commands of majordomo-lab (`cargo xtask
        /// assistant day --help`).
        cmd assistant {
            /// Makes a folder with everything the assistant needs: packages, questions, media; then
            /// asks each component a question.
            cmd setup {
                /// The folder; without it, target/assistant.
                optional --dir dir: PathBuf
                /// Only these components, separated by commas, and those that they depend on.
                optional --only names: String
                /// The Python that makes the environment; without it, python3 or another supported
                /// one of PATH.
                optional --python program: PathBuf
                /// This program `majordomo` instead of one that is built in release mode.
                optional --majordomo program: PathBuf
                /// Asks each component a question even if nothing changed.
                optional --check
            }
            /// Serves a prepared folder in the foreground, until Ctrl-C.
            cmd run {
                /// The folder; without it, target/assistant.
                optional --dir dir: PathBuf
                /// This program `majordomo` instead of one that is built in release mode.
                optional --majordomo program: PathBuf
            }
        }
    }
}
