//! Finds the cgroup of this process for a controller from `/proc/self/cgroup` and `/proc/self/mountinfo` (formats: cgroups(7),
//! proc_pid_mountinfo(5)). Knows nothing of limits.

use std::path::{Component, Path, PathBuf};

use super::controller::{CgroupVersion, Controller};
use crate::error::{SourceError, read_text};

struct Mount {
    /// The part of the hierarchy that is mounted.
    root: PathBuf,
    /// Where.
    point: PathBuf,
}

/// The place of this process's cgroup for a controller.
pub(super) struct Place {
    pub(super) version: CgroupVersion,
    /// The top of the mounted hierarchy.
    pub(super) mount: PathBuf,
    pub(super) dir: PathBuf,
}

pub(super) fn own_cgroup(
    root: &Path,
    controller: Controller,
) -> Result<Option<Place>, SourceError> {
    let membership_file = root.join("proc/self/cgroup");
    let membership = read_text(&membership_file)?;
    let mounts_file = root.join("proc/self/mountinfo");
    let mounts = read_text(&mounts_file)?;

    // A v1 hierarchy owns the controller wherever there is one, also beside a unified mount.
    let v1 = membership.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|c| c == controller.name()).then_some(path)
    });
    let v2 = membership.lines().find_map(|line| line.strip_prefix("0::"));
    let (version, path) = match (v1, v2) {
        (Some(path), _) => (CgroupVersion::V1, path),
        (None, Some(path)) => (CgroupVersion::V2, path),
        (None, None) => match membership.lines().find(|l| l.matches(':').count() < 2) {
            Some(line) => {
                return Err(SourceError::malformed(&membership_file, "no list of cgroups", line));
            }
            None => return Ok(None),
        },
    };
    let Some(mount) = find_mount(&mounts, version, controller) else { return Ok(None) };
    let path = Path::new(path.strip_suffix(" (deleted)").unwrap_or(path));
    if path.components().any(|c| c == Component::ParentDir) {
        let what = format!("this process's cgroup {} is outside of the mount", path.display());
        return Err(SourceError::Unavailable { what });
    }
    let inside = match path.strip_prefix(&mount.root) {
        Ok(inside) => inside,
        // A container that sees the host's path, but has its own cgroup mounted as the top.
        Err(_) => Path::new(""),
    };
    let point = root.join(mount.point.strip_prefix("/").unwrap_or(&mount.point));
    let dir = if inside.as_os_str().is_empty() { point.clone() } else { point.join(inside) };
    if !dir.is_dir() {
        let what = format!("this process's cgroup {} does not exist", dir.display());
        return Err(SourceError::Unavailable { what });
    }
    // Below the top of v2 the controller may end above this process's cgroup: the nearest one that has it bounds.
    let bounding = dir
        .ancestors()
        .take_while(|d| d.starts_with(&point))
        .find(|d| version == CgroupVersion::V1 || d.join(controller.mark()).exists());
    Ok(bounding.map(|d| Place { version, mount: point.clone(), dir: d.to_owned() }))
}

fn find_mount(mountinfo: &str, version: CgroupVersion, controller: Controller) -> Option<Mount> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let mut after = after.split(' ');
        let (kind, _device, options) = (after.next()?, after.next()?, after.next().unwrap_or(""));
        let fits = match version {
            CgroupVersion::V1 => {
                kind == "cgroup" && options.split(',').any(|o| o == controller.name())
            }
            CgroupVersion::V2 => kind == "cgroup2",
        };
        fits.then(|| Mount { root: unescape(root), point: unescape(point) })
    })
}

/// Undoes the kernel's octal escapes (`\040` for a space).
fn unescape(field: &str) -> PathBuf {
    let mut out = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = rest.find('\\') {
        let (head, tail) = rest.split_at(at);
        out.push_str(head);
        let code = tail.get(1..4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(byte) if byte.is_ascii() => {
                out.push(char::from(byte));
                rest = &tail[4..];
            }
            _ => {
                out.push('\\');
                rest = &tail[1..];
            }
        }
    }
    out.push_str(rest);
    PathBuf::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undoes_escapes() {
        let check = |field: &str, want: &str| assert_eq!(unescape(field), Path::new(want));
        check("/a\\040b", "/a b");
        check("/a\\134b", "/a\\b");
        check("/a\\", "/a\\");
        check("/a\\09", "/a\\09");
        check("/ä\\011", "/ä\t");
    }

    #[test]
    fn finds_the_mount_of_a_controller() {
        let text = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
             32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
             35 31 0:32 /box /sys/fs/cgroup/mem\\040ory rw shared:9 - cgroup cgroup rw,memory\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let find = |version, controller| find_mount(text, version, controller).unwrap();
        let v1 = find(CgroupVersion::V1, Controller::Memory);
        assert_eq!((v1.root, v1.point), ("/box".into(), "/sys/fs/cgroup/mem ory".into()));
        let cpu = find(CgroupVersion::V1, Controller::Cpu);
        assert_eq!(cpu.point, Path::new("/sys/fs/cgroup/cpu"));
        let v2 = find(CgroupVersion::V2, Controller::Memory);
        assert_eq!(v2.point, Path::new("/sys/fs/cgroup/unified"));
        assert!(find_mount("garbage\n\n", CgroupVersion::V2, Controller::Memory).is_none());
    }
}
