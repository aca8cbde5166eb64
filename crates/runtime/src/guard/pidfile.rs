//! The list of process groups on disk, for the case that guard and manager die together.
//!
//! Written whole (a new file renamed over the old one) at every change. Read once, at start: what it
//! names and still lives is killed. Invariant: nothing is killed unless machine boot and start time are
//! the recorded ones.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use majordomo_files::{Folder, Owners, Trust};
use rustix::process::Signal;

use super::{GuardError, hidden};
use crate::proctable::{self, ProcessGroup, StartTime};

const HEADER: &str = "majordomo-groups 1";

/// The contents of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) boot: String,
    pub(super) session: String,
    pub(super) manager: ProcessGroup,
    pub(super) guard: Option<ProcessGroup>,
    pub(super) process_groups: Vec<ProcessGroup>,
}

impl Contents {
    fn encode(&self) -> String {
        let mut out = format!("{HEADER}\nboot {}\nsession {}\n", self.boot, self.session);
        let named = [("manager", Some(&self.manager)), ("guard", self.guard.as_ref())];
        let lines = named.iter().filter_map(|(name, g)| g.map(|g| (*name, g)));
        for (name, g) in lines.chain(self.process_groups.iter().map(|g| ("group", g))) {
            out.push_str(&format!("{name} {} {}\n", g.pgid, g.start));
        }
        out
    }

    fn decode(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != HEADER {
            return None;
        }
        let boot = lines.next()?.strip_prefix("boot ")?.to_owned();
        let session = lines.next()?.strip_prefix("session ")?.to_owned();
        let (mut manager, mut guard, mut process_groups) = (None, None, Vec::new());
        for line in lines {
            let mut words = line.split(' ');
            let name = words.next()?;
            let pgid = words.next()?.parse().ok().filter(|id| *id > 1)?;
            let process_group = ProcessGroup { pgid, start: StartTime::new(words.next()?)? };
            match name {
                "manager" => manager = Some(process_group),
                "guard" => guard = Some(process_group),
                "group" => process_groups.push(process_group),
                _ => return None,
            }
        }
        Some(Self { boot, session, manager: manager?, guard, process_groups })
    }
}

fn failed(path: &Path, source: io::Error) -> GuardError {
    GuardError::PidFile { path: path.to_owned(), source }
}

/// The reaction to a removed folder, as cleaners of temporary folders remove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfGone {
    /// It must be there.
    Fail,
    /// Make it again.
    Make,
    /// Write nothing: no process group was added to the list, and the manager itself may have removed the folder at its end.
    Skip,
}

/// The folder and the name of the file.
fn place(path: &Path) -> (&Path, &OsStr) {
    (path.parent().unwrap_or(Path::new("/")), path.file_name().unwrap_or_default())
}

/// Replaces the file.
pub(super) fn write(path: &Path, contents: &Contents, if_gone: IfGone) -> Result<(), GuardError> {
    let (dir, name) = place(path);
    let folder = match (Folder::open(dir, Owners::User), if_gone) {
        (Err(e), IfGone::Skip) if e.is_missing() => return Ok(()),
        (Err(e), IfGone::Make) if e.is_missing() => {
            tracing::warn!(dir = %dir.display(), "the state directory was removed; it is made again");
            Folder::create(dir, Owners::User).map_err(|_| e)
        }
        (folder, _) => folder,
    };
    let folder = folder.map_err(|e| failed(path, e.into()))?;
    let new = path.with_extension("new");
    let (_, new) = place(&new);
    let written = folder
        .write_fresh(new)
        .map_err(io::Error::from)
        .and_then(|mut file| file.write_all(contents.encode().as_bytes()))
        .and_then(|()| Ok(folder.rename(new, name)?));
    written.map_err(|e| {
        // An incomplete file is of no use.
        let _ = folder.remove(new);
        failed(path, e)
    })
}

/// Removes the file, if it is there.
pub(super) fn remove(path: &Path) {
    let (dir, name) = place(path);
    if let Err(e) = Folder::open(dir, Owners::User).and_then(|folder| folder.remove(name))
        && !e.is_missing()
    {
        tracing::warn!(path = %path.display(), error = %e, "the list of process groups was not removed");
    }
}

/// Kills the process groups that a former manager left, and returns them.
pub(super) fn sweep(path: &Path) -> Result<Vec<ProcessGroup>, GuardError> {
    let (dir, name) = place(path);
    let opened = Folder::open(dir, Owners::User)
        .and_then(|folder| folder.read(name, Trust::Own).map(|file| (folder, file)));
    let (folder, mut file) = match opened {
        Err(e) if e.is_missing() => return Ok(Vec::new()),
        opened => opened.map_err(|e| failed(path, e.into()))?,
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|e| failed(path, e))?;
    let Some(old) = Contents::decode(&String::from_utf8_lossy(&bytes)) else {
        let aside: PathBuf = path.with_extension("unreadable");
        folder.rename(name, place(&aside).1).map_err(|e| failed(path, e.into()))?;
        tracing::warn!(path = %path.display(), aside = %aside.display(),
            "the list of process groups is unreadable and was set aside; nothing was swept");
        return Ok(Vec::new());
    };
    if proctable::boot_id().as_deref() != Some(&old.boot) {
        return Ok(Vec::new());
    }
    let lives = |g: &ProcessGroup| proctable::start_time(g.pgid).as_ref() == Some(&g.start);
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    if lives(&old.manager) && old.manager.pgid != own && !is_zombie(old.manager.pgid) {
        return Err(GuardError::InUse { path: path.to_owned(), pid: old.manager.pgid });
    }
    // The former guard may be at its work just now; two kills do no harm.
    let killed: Vec<ProcessGroup> = old.process_groups.into_iter().filter(lives).collect();
    for process_group in &killed {
        process_group.kill();
    }
    if let Some(guard) = old.guard.filter(lives) {
        // Its pipe has ended, so it is on its way out, unless it hangs.
        proctable::signal_process(guard.pgid, Signal::KILL);
    }
    hidden::kill_tagged(&format!("{}/", old.session));
    Ok(killed)
}

fn is_zombie(pid: i32) -> bool {
    proctable::scan().iter().any(|e| e.pid == pid && e.zombie)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_back_and_rubbish_does_not() {
        let process_group =
            |pgid, start| ProcessGroup { pgid, start: StartTime::new(start).unwrap() };
        let contents = Contents {
            boot: "b-1".into(),
            session: "7-9".into(),
            manager: process_group(7, "9"),
            guard: Some(process_group(8, "10")),
            process_groups: vec![process_group(11, "12"), process_group(13, "Mon_Nov")],
        };
        assert_eq!(Contents::decode(&contents.encode()), Some(contents.clone()));
        let without = Contents { guard: None, process_groups: Vec::new(), ..contents };
        assert_eq!(Contents::decode(&without.encode()), Some(without));
        let head = "majordomo-groups 1\nboot b\nsession s\n";
        for bad in [
            "",
            "\0\0",
            "majordomo-groups 2\n",
            head,
            &format!("{head}manager 0 1\n"),
            &format!("{head}manager 5 1\ngroup 1 2\n"),
            &format!("{head}manager 5 1\ngroup -1 2\n"),
            &format!("{head}manager 5 1\ngroup 9\n"),
            &format!("{head}manager 5 1\nwhat 9 9\n"),
        ] {
            assert_eq!(Contents::decode(bad), None, "{bad:?}");
        }
    }
}
