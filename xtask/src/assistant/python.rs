//! A Python that the pinned wheels are made for.
//!
//! Owns which Pythons are tried and what is asked of them. A Python that does not fit is reported
//! with the reason.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Prints version, implementation, system, machine, C library and its version; then needs what
/// makes environments.
const DESCRIBE: &str = "import platform, sys
print('%d.%d' % sys.version_info[:2], platform.python_implementation(), platform.system(), platform.machine(), *platform.libc_ver())
sys.stdout.flush()
import ensurepip, venv";

/// The systems that the pinned wheels are made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Supported {
    /// Versions of CPython: `3.11`.
    pythons: Vec<String>,
    system: String,
    machine: String,
    /// The oldest version of the GNU C library.
    glibc: (u32, u32),
}

/// A Python that fits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Python {
    pub(crate) program: PathBuf,
    /// `3.11`.
    pub(crate) version: String,
}

impl Supported {
    /// From the head of `requirements.txt`: `3.11 3.12` and `Linux x86_64, glibc 2.28`.
    pub(crate) fn parse(pythons: &str, platform: &str) -> Result<Self> {
        let words: Vec<_> = platform.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        let [system, machine, "glibc", glibc] = words[..] else {
            bail!("`{platform}` is not of the form `Linux x86_64, glibc 2.28`")
        };
        Ok(Self {
            pythons: pythons.split_whitespace().map(str::to_owned).collect(),
            system: system.to_owned(),
            machine: machine.to_owned(),
            glibc: version(glibc).with_context(|| format!("`{glibc}` is no version"))?,
        })
    }

    /// The first of `candidates` that fits: programs by name or path.
    ///
    /// # Errors
    /// None fits; the reason for each, and the way out.
    pub(crate) fn find(&self, candidates: &[PathBuf]) -> Result<Python> {
        let mut reasons = Vec::new();
        for program in candidates {
            match self.ask(program) {
                Ok(version) => return Ok(Python { program: program.clone(), version }),
                Err(reason) => reasons.push(format!("{}: {reason}", program.display())),
            }
        }
        let Self { pythons, system, machine, glibc: (major, minor) } = self;
        let newest = pythons.last().map_or("3", String::as_str);
        // Systems have one version of Python each: naming their packages would name one that others
        // lack.
        bail!(
            "no Python was found that the pinned packages support: CPython {} on {system} {machine} with glibc {major}.{minor} or \
             newer\n  {}\ninstall one with its module venv, by the system's packages or by `uv python install {newest}`, and name it with --python PATH",
            pythons.join(" or "),
            reasons.join("\n  ")
        )
    }

    /// Python 3 as the system names it, then each supported version by its own name.
    pub(crate) fn candidates(&self) -> Vec<PathBuf> {
        let named = self.pythons.iter().rev().map(|version| format!("python{version}").into());
        std::iter::once("python3".into()).chain(named).collect()
    }

    /// Its version, or why it does not fit.
    fn ask(&self, program: &PathBuf) -> Result<String, String> {
        let output = Command::new(program)
            .args(["-c", DESCRIBE])
            .output()
            .map_err(|error| format!("cannot be started ({error})"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        self.judge(said.trim())?;
        if !output.status.success() {
            return Err("has no module venv (Debian: apt-get install python3-venv)".to_owned());
        }
        Ok(said.split_whitespace().next().unwrap_or_default().to_owned())
    }

    fn judge(&self, said: &str) -> Result<(), String> {
        let words: Vec<_> = said.split_whitespace().collect();
        let [python, implementation, system, machine, ref library @ ..] = words[..] else {
            return Err("did not describe itself when it was asked".to_owned());
        };
        if implementation != "CPython" || !self.pythons.iter().any(|known| known == python) {
            return Err(format!("is {implementation} {python}"));
        }
        if system != self.system || machine != self.machine {
            return Err(format!("runs on {system} {machine}"));
        }
        match *library {
            ["glibc", found] if version(found).is_some_and(|found| found >= self.glibc) => Ok(()),
            ["glibc", found] => Err(format!("runs with glibc {found}")),
            _ => Err("does not run with the GNU C library".to_owned()),
        }
    }
}

/// `2.28` as two numbers; what follows is ignored.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supported() -> Supported {
        Supported::parse("3.11 3.12", "Linux x86_64, glibc 2.28").unwrap()
    }

    #[test]
    fn python_fits_by_version_system_and_c_library() {
        let judge = |said: &str| supported().judge(said);
        assert_eq!(judge("3.11 CPython Linux x86_64 glibc 2.36"), Ok(()));
        assert_eq!(judge("3.12 CPython Linux x86_64 glibc 2.28"), Ok(()));
        let cases = [
            ("3.9 CPython Linux x86_64 glibc 2.36", "is CPython 3.9"),
            ("3.11 PyPy Linux x86_64 glibc 2.36", "is PyPy 3.11"),
            ("3.11 CPython Darwin arm64", "runs on Darwin arm64"),
            ("3.11 CPython Linux x86_64 glibc 2.17", "runs with glibc 2.17"),
            ("3.11 CPython Linux x86_64", "does not run with the GNU C library"),
            ("", "did not describe itself when it was asked"),
        ];
        for (said, reason) in cases {
            assert_eq!(judge(said), Err(reason.to_owned()), "{said}");
        }
    }

    #[test]
    fn without_a_fitting_python_the_error_names_each_reason_and_the_way_out() {
        let candidates = ["/nowhere/python3".into(), "true".into()];
        let error = supported().find(&candidates).unwrap_err().to_string();
        for words in [
            "/nowhere/python3: cannot be started",
            "true: did not describe",
            "3.11 or 3.12",
            "uv python install 3.12",
            "--python",
        ] {
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn system_python_is_tried_first() {
        let candidates = supported().candidates();
        assert_eq!(candidates, ["python3", "python3.12", "python3.11"].map(PathBuf::from));
    }
}
