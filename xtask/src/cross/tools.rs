//! The tools to build and run aarch64 code: Debian packages, unpacked into a private folder.
//!
//! Owns the folder and the environment that makes cargo use it. Nothing is installed system-wide and no right is
//! needed: apt runs on a state of its own, with the system's package sources and keys, and what it fetches is only
//! unpacked. Debian's `rustc-web` has the standard library for aarch64 and its sources, which build it for macOS.
//! Invariant: the folder has its `complete` file only if every step succeeded; without it, the folder is made again.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Cmd, Shell, cmd};

/// Counted up whenever the set of packages changes, so that old folders are made again.
const VERSION: &str = "1";

/// Besides the compiler's own packages, whose names hold its version.
const PACKAGES: &[&str] = &[
    "binutils-aarch64-linux-gnu",
    "binutils-common",
    "libbinutils",
    "libc6-arm64-cross",
    "libc6-dev-arm64-cross",
    "libgcc-s1-arm64-cross",
    "libgmp10",
    "libisl23",
    "libjansson4",
    "libmpc3",
    "libmpfr6",
    "libzstd1",
    "linux-libc-dev-arm64-cross",
    "qemu-user-static",
    "zlib1g",
];

/// Where the tools are.
pub(super) struct Tools {
    /// Wrappers that find their libraries.
    bin: PathBuf,
    /// The root folder of an aarch64 program.
    aarch64: PathBuf,
}

impl Tools {
    /// Finds the tools in `folder`, or fetches them.
    ///
    /// # Errors
    /// Whatever stands in the way: no apt, no network, packages that this release does not have.
    pub(super) fn set_up(sh: &Shell, folder: &Path) -> Result<Self> {
        let system = folder.join("system");
        let tools =
            Self { bin: folder.join("bin"), aarch64: system.join("usr").join("aarch64-linux-gnu") };
        let complete = folder.join("complete");
        if fs::read_to_string(&complete).is_ok_and(|version| version == VERSION) {
            return Ok(tools);
        }
        if folder.exists() {
            fs::remove_dir_all(folder)
                .with_context(|| format!("{} cannot be removed", folder.display()))?;
        }
        println!("-- tools for aarch64 into {}", folder.display());
        let apt = Apt::new(sh, &folder.join("apt"))?;
        let packages = apt.packages(sh)?;
        let archives = folder.join("archives");
        apt.download(sh, &packages, &archives)?;
        sh.create_dir(&system)?;
        for archive in sh.read_dir(&archives)? {
            cmd!(sh, "dpkg -x {archive} {system}").quiet().run()?;
        }
        fs::remove_dir_all(&archives)?;
        tools.write_wrappers(sh, &system)?;
        let rustc = tools.bin.join("rustc");
        let version = cmd!(sh, "{rustc} --version").quiet().read()?;
        println!("{version}");
        sh.write_file(&complete, VERSION)?;
        Ok(tools)
    }

    fn write_wrappers(&self, sh: &Shell, system: &Path) -> Result<()> {
        let usr = system.join("usr");
        let libraries = usr.join("lib").join("x86_64-linux-gnu");
        let newest = |folder: &Path, prefix: &str| -> Result<PathBuf> {
            let mut found: Vec<_> = sh
                .read_dir(folder)?
                .into_iter()
                .filter(|path| path.file_name().is_some_and(|n| starts_with(n, prefix)))
                .collect();
            found.sort();
            found.pop().with_context(|| format!("no `{prefix}` in {}", folder.display()))
        };
        let bin = usr.join("bin");
        let llvm = newest(&usr.join("lib"), "llvm-")?.join("bin");
        let compiler = newest(&bin, "aarch64-linux-gnu-gcc-1")?;
        let wrappers = [
            ("rustc", bin.join("rustc"), String::new()),
            ("clippy-driver", bin.join("clippy-driver"), String::new()),
            ("aarch64-cc", compiler, format!("--sysroot={}", system.display())),
            ("qemu-aarch64", bin.join("qemu-aarch64-static"), String::new()),
            ("llvm-mca", llvm.join("llvm-mca"), String::new()),
            ("llvm-objdump", llvm.join("llvm-objdump"), String::new()),
        ];
        sh.create_dir(&self.bin)?;
        for (name, program, arguments) in wrappers {
            ensure!(program.exists(), "no {} was unpacked", program.display());
            let wrapper = self.bin.join(name);
            let text = format!(
                "#!/bin/sh\nLD_LIBRARY_PATH='{}' exec '{}' {arguments} \"$@\"\n",
                libraries.display(),
                program.display()
            );
            sh.write_file(&wrapper, text)?;
            fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
        }
        // Absolute links of the packages point into the system, not into the folder.
        let loader = system.join("lib");
        if !loader.exists() {
            symlink("usr/lib", &loader)?;
        }
        Ok(())
    }

    /// Makes cargo compile with, link with and run in the tools; clippy's warnings are errors.
    pub(super) fn environment<'a>(&self, command: Cmd<'a>) -> Cmd<'a> {
        command
            .env("RUSTC", self.bin.join("rustc"))
            .env("RUSTC_WORKSPACE_WRAPPER", self.bin.join("clippy-driver"))
            .env("CLIPPY_ARGS", "-Dwarnings")
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", self.bin.join("aarch64-cc"))
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", self.bin.join("qemu-aarch64"))
            .env("QEMU_LD_PREFIX", &self.aarch64)
    }

    /// [`environment`](Self::environment) for a check of macOS code, with compilers for C and Objective-C that write empty files:
    /// a build script compiles a few lines that nothing links.
    ///
    /// # Errors
    /// When the two scripts cannot be written.
    pub(super) fn without_c<'a>(&self, sh: &Shell, command: Cmd<'a>) -> Result<Cmd<'a>> {
        let compiler =
            "#!/bin/sh\nwhile [ $# -gt 0 ]; do [ \"$1\" = -o ] && : > \"$2\"; shift; done\n";
        let archiver = "#!/bin/sh\nfor name; do case $name in *.a) : > \"$name\";; esac; done\n";
        let mut paths = Vec::new();
        for (name, text) in [("empty-cc", compiler), ("empty-ar", archiver)] {
            let path = self.bin.join(name);
            sh.write_file(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            paths.push(path);
        }
        Ok(self
            .environment(command)
            .env("CC_aarch64_apple_darwin", &paths[0])
            .env("AR_aarch64_apple_darwin", &paths[1])
            .env("SDKROOT", "/"))
    }

    /// The format of the objects in a library, as LLVM calls it, and how many fused multiply-adds they have.
    pub(super) fn object_format(&self, sh: &Shell, library: &Path) -> Result<String> {
        let objdump = self.bin.join("llvm-objdump");
        let text = cmd!(sh, "{objdump} --disassemble {library}").quiet().ignore_stderr().read()?;
        let format = text
            .lines()
            .find_map(|line| line.split_once("file format "))
            .map_or("unknown", |(_, format)| format);
        let n_fused = text.lines().filter(|line| line.contains("\tfmla")).count();
        Ok(format!("{format}, {n_fused} vector multiply-adds"))
    }
}

fn starts_with(name: &std::ffi::OsStr, prefix: &str) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(prefix))
}

/// apt with a state of its own, for both architectures.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    /// Reads the package lists.
    fn new(sh: &Shell, folder: &Path) -> Result<Self> {
        for part in ["state/lists/partial", "cache/archives/partial", "preferences", "sources"] {
            sh.create_dir(folder.join(part))?;
        }
        sh.write_file(folder.join("status"), "")?;
        let sources = system_sources(sh)?;
        sh.write_file(folder.join("sources").join("system.sources"), sources)?;
        let at = |part: &str| folder.join(part).display().to_string();
        let settings = [
            format!("Dir::Etc::sourcelist={}", at("none")),
            format!("Dir::Etc::sourceparts={}", at("sources")),
            format!("Dir::Etc::preferencesparts={}", at("preferences")),
            format!("Dir::State={}", at("state")),
            format!("Dir::State::status={}", at("status")),
            format!("Dir::Cache={}", at("cache")),
            "APT::Architecture=amd64".to_owned(),
            "APT::Architectures=amd64,arm64".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
        ];
        let options = settings.into_iter().flat_map(|setting| ["-o".to_owned(), setting]).collect();
        let apt = Self { options };
        let options = &apt.options;
        cmd!(sh, "apt-get {options...} -qq update").quiet().run()?;
        Ok(apt)
    }

    /// All packages, the compiler's with the one version that they share.
    fn packages(&self, sh: &Shell) -> Result<Vec<String>> {
        let options = &self.options;
        let policy = cmd!(sh, "apt-cache {options...} policy rustc-web").quiet().read()?;
        let version = policy
            .lines()
            .find_map(|line| line.trim().strip_prefix("Candidate: "))
            .filter(|version| *version != "(none)")
            .context("this system's package sources have no rustc-web")?;
        // 1.96.0+dfsg1-1 has packages called 1.96.
        let short = version
            .split(['+', '~', '-'])
            .next()
            .and_then(|number| number.rsplit_once('.'))
            .map(|(short, _)| short)
            .with_context(|| format!("the version {version} of rustc-web is not understood"))?;
        let depends = cmd!(sh, "apt-cache {options...} depends rustc-web gcc-aarch64-linux-gnu");
        let depends = depends.quiet().read()?;
        let needs = |prefix: &str| -> Result<&str> {
            depends
                .lines()
                .filter_map(|line| line.trim().strip_prefix("Depends: "))
                .find(|name| name.starts_with(prefix))
                .with_context(|| format!("no package {prefix}* is needed by those we know"))
        };
        let gcc = needs("gcc-1")?;
        let gcc_version = gcc.trim_start_matches("gcc-").trim_end_matches("-aarch64-linux-gnu");
        let libraries = cmd!(sh, "apt-cache {options...} depends libstd-rust-web-{short}");
        let libraries = libraries.quiet().read()?;
        let llvm = libraries
            .lines()
            .chain(depends.lines())
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .find(|name| name.starts_with("libllvm"))
            .context("the compiler needs no libllvm")?;
        let llvm_version: String = llvm.chars().filter(char::is_ascii_digit).collect();
        let mut packages = vec![
            format!("rustc-web={version}"),
            format!("libstd-rust-web-{short}={version}"),
            format!("libstd-rust-web-dev:amd64={version}"),
            format!("libstd-rust-web-dev:arm64={version}"),
            format!("rust-web-src={version}"),
            format!("rust-web-clippy={version}"),
            llvm.to_owned(),
            format!("llvm-{llvm_version}"),
            gcc.to_owned(),
            format!("{gcc}-base"),
            format!("cpp-{gcc_version}-aarch64-linux-gnu"),
            format!("libgcc-{gcc_version}-dev-arm64-cross"),
        ];
        packages.extend(PACKAGES.iter().map(|&name| name.to_owned()));
        Ok(packages)
    }

    fn download(&self, sh: &Shell, packages: &[String], folder: &Path) -> Result<()> {
        sh.create_dir(folder)?;
        let _there = sh.push_dir(folder);
        let options = &self.options;
        cmd!(sh, "apt-get {options...} -qq download {packages...}").quiet().run()?;
        Ok(())
    }
}

/// The system's own package sources, with amd64 and arm64 asked for.
fn system_sources(sh: &Shell) -> Result<String> {
    let config = cmd!(sh, "apt-config shell FOLDER Dir::Etc::sourceparts/d").quiet().read();
    let config = config.context("this needs Debian's apt")?;
    let folder = config
        .trim()
        .strip_prefix("FOLDER=")
        .map(|path| path.trim_matches('\''))
        .context("apt does not say where its sources are")?;
    let path = Path::new(folder).join("debian.sources");
    let text =
        fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(with_architectures(&text))
}

/// A deb822 file with `Architectures` set in every stanza.
fn with_architectures(sources: &str) -> String {
    let mut out = String::new();
    for line in sources.lines() {
        if line.starts_with("Architectures:") {
            continue;
        }
        out.push_str(line);
        out.push('\n');
        if line.starts_with("Types:") {
            out.push_str("Architectures: amd64 arm64\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stanza_asks_for_both_architectures() {
        let found = with_architectures(
            "Types: deb\n# a comment\nURIs: file:/a\nSuites: x x-updates\nArchitectures: i386\n\nTypes: deb\nURIs: file:/b\n",
        );
        assert_eq!(
            found,
            "Types: deb\nArchitectures: amd64 arm64\n# a comment\nURIs: file:/a\nSuites: x x-updates\n\n\
             Types: deb\nArchitectures: amd64 arm64\nURIs: file:/b\n"
        );
    }
}
