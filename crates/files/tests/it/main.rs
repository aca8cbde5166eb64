//! Opened and refused files and folders on disk.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod dir;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use majordomo_files::{Fault, FileError, Folder, LockError, Owners, Trust, open};

use self::dir::{Dir, STRANGER, set_mode};

fn text(mut file: File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}

fn error(path: &Path) -> FileError {
    open(path, Trust::Input).unwrap_err()
}

/// Gives a path to another user; false, and announced, where this user may not.
fn give_away(path: &Path) -> bool {
    let given = std::os::unix::fs::lchown(path, Some(STRANGER), None).is_ok();
    if !given {
        eprintln!("skipped: only root can give a file to another user");
    }
    given
}

#[test]
fn a_file_is_read_through_trusted_links_and_folders() {
    let dir = Dir::new();
    dir.folder("a/b", 0o755);
    dir.folder("sticky", 0o1777);
    let direct = dir.file("a/b/c", 0o644);
    symlink("a", dir.path("relative")).unwrap();
    symlink(dir.path("a/b/../b/c"), dir.path("sticky/absolute")).unwrap();
    let paths = ["relative/b/c", "sticky/absolute", "a/b/.././../sticky/../relative/b//c"];
    for path in [direct].into_iter().chain(paths.map(|p| dir.path(p))) {
        assert_eq!(text(open(&path, Trust::Input).unwrap()), "a/b/c", "{}", path.display());
    }
}

#[test]
fn a_file_below_a_folder_that_others_may_write_is_refused() {
    let dir = Dir::new();
    dir.folder("open/private", 0o700);
    let file = dir.file("open/private/c", 0o600);
    symlink(&file, dir.path("link")).unwrap();
    set_mode(&dir.path("open"), 0o777);
    for path in [file, dir.path("link")] {
        let error = error(&path);
        assert!(matches!(error.fault(), Fault::WritableByAll { mode: 0o777, .. }), "{error}");
        assert_eq!(error.at(), dir.path("open"));
        let (named, open) = (path, dir.path("open"));
        let expected = format!(
            "{named:?}: its folder {open:?}: every user of this machine may write to it (mode 777); run: chmod go-w {}",
            open.display()
        );
        assert_eq!(error.to_string(), expected);
    }
    set_mode(&dir.path("open"), 0o1777);
    assert!(open(&dir.path("link"), Trust::Input).is_ok());
}

#[test]
fn a_file_that_a_link_leads_to_is_the_one_that_is_checked() {
    let dir = Dir::new();
    let file = dir.file("real", 0o666);
    symlink("real", dir.path("link")).unwrap();
    let error = error(&dir.path("link"));
    assert_eq!(error.at(), file);
    let text = error.to_string();
    assert!(text.contains("it leads to ") && text.contains("every user"), "{text}");
}

#[test]
fn only_regular_files_are_opened_and_nothing_is_waited_for() {
    let dir = Dir::new();
    assert!(Command::new("mkfifo").arg(dir.path("pipe")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(dir.path("socket")).unwrap();
    dir.folder("folder", 0o700);
    symlink("pipe", dir.path("link")).unwrap();
    symlink("loop", dir.path("loop")).unwrap();
    let message = |name: &str| error(&dir.path(name)).message();
    assert_eq!(message("pipe"), "this is a named pipe, not a file");
    assert!(message("link").ends_with("this is a named pipe, not a file"));
    assert_eq!(message("socket"), "this is a socket, not a file");
    assert_eq!(message("folder"), "this is a directory, not a file");
    assert_eq!(error(Path::new("/dev/null")).message(), "this is a device, not a file");
    for name in ["loop", "missing", "missing/below"] {
        assert!(matches!(error(&dir.path(name)).fault(), Fault::Io(_)), "{name}");
    }
    let file = dir.file("file", 0o600);
    let below = error(&file.join("below"));
    assert!(below.message().ends_with("this is a file, not a directory"), "{below}");
}

#[test]
fn files_folders_and_links_of_another_user_are_refused() {
    let dir = Dir::new();
    let own = dir.file("own", 0o600);
    dir.folder("sticky", 0o1777);
    dir.folder("foreign", 0o1777);
    let file = dir.file("sticky/file", 0o644);
    let below = dir.file("foreign/file", 0o644);
    let link = dir.path("link");
    symlink(&own, &link).unwrap();
    for (at, path) in [(&file, &file), (&dir.path("foreign"), &below), (&link, &link)] {
        if !give_away(at) {
            return;
        }
        let error = error(path);
        let is_owner = matches!(error.fault(), Fault::Owner { owner: STRANGER, user: 0 });
        assert!(is_owner && error.at() == at, "{error}");
        let text = error.to_string();
        // The owner of a link is another one than that of what it leads to.
        let command = if *at == link { "chown -h 0 " } else { "chown 0 " };
        assert!(text.contains("run this as user 54321") && text.contains(command), "{text}");
    }
    for owners in [Owners::User, Owners::UserOrRoot] {
        let error = Folder::open(&dir.path("foreign"), owners).unwrap_err();
        assert!(matches!(error.fault(), Fault::Owner { .. }), "root is not exempt");
    }
    chown(dir.path("foreign"), Some(0), Some(0)).unwrap();
    assert!(open(&below, Trust::Input).is_ok());
}

#[cfg(target_os = "linux")]
#[test]
fn open_pipe_named_by_its_descriptor_is_refused_as_a_pipe() {
    use std::os::fd::AsRawFd;

    let dir = Dir::new();
    let (reader, _writer) = std::io::pipe().unwrap();
    let error = error(Path::new(&format!("/proc/self/fd/{}", reader.as_raw_fd())));
    assert!(error.message().ends_with("this is a named pipe, not a file"), "{error}");
    let file = File::open(dir.file("file", 0o600)).unwrap();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    assert_eq!(text(open(Path::new(&path), Trust::Input).unwrap()), "file");
}

#[test]
fn folder_of_this_program_alone_admits_no_names_of_others() {
    let dir = Dir::new();
    let sticky = dir.folder("sticky", 0o1777);
    assert!(Folder::open(&sticky, Owners::UserOrRoot).is_ok());
    for folder in [Folder::open(&sticky, Owners::User), Folder::create(&sticky, Owners::User)] {
        assert!(matches!(folder.unwrap_err().fault(), Fault::WritableByAll { .. }));
    }
}

#[test]
fn a_second_name_in_a_folder_that_others_may_write_is_refused() {
    let dir = Dir::new();
    dir.folder("sticky", 0o1777);
    let own = dir.file("own", 0o600);
    fs::hard_link(&own, dir.path("other")).unwrap();
    assert!(open(&dir.path("other"), Trust::Secret).is_ok());
    fs::hard_link(&own, dir.path("sticky/planted")).unwrap();
    let error = error(&dir.path("sticky/planted"));
    assert!(matches!(error.fault(), Fault::Names { count: 3 }), "{error}");
}

#[test]
fn a_secret_that_others_may_read_is_refused() {
    let dir = Dir::new();
    let path = dir.file("token", 0o640);
    let error = open(&path, Trust::Secret).unwrap_err();
    assert!(error.to_string().ends_with(&format!("chmod 600 {}", path.display())), "{error}");
    set_mode(&path, 0o400);
    assert!(open(&path, Trust::Secret).is_ok());
}

#[test]
fn an_open_folder_stays_the_one_that_was_checked() {
    let dir = Dir::new();
    dir.folder("folder", 0o700);
    dir.file("folder/name", 0o600);
    let folder = Folder::open(&dir.path("folder"), Owners::User).unwrap();
    let file = folder.read("name", Trust::Own).unwrap();
    // A swap between the check and the use would do this.
    fs::rename(dir.path("folder"), dir.path("checked")).unwrap();
    dir.folder("folder", 0o777);
    fs::write(dir.path("folder/name"), "planted").unwrap();
    assert_eq!(text(file), "folder/name");
    assert_eq!(text(folder.read("name", Trust::Own).unwrap()), "folder/name");
    folder.write_fresh("new").unwrap().write_all(b"new").unwrap();
    folder.rename("new", "name").unwrap();
    assert_eq!(fs::read_to_string(dir.path("checked/name")).unwrap(), "new");
    assert_eq!(fs::read_to_string(dir.path("folder/name")).unwrap(), "planted");
    folder.remove("name").unwrap();
    folder.remove("name").unwrap();
    assert!(!dir.path("checked/name").exists() && dir.path("folder/name").exists());
}

#[test]
fn an_open_file_stays_the_one_that_was_checked() {
    let dir = Dir::new();
    let path = dir.file("good", 0o600);
    let opened = open(&path, Trust::Input).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "planted").unwrap();
    assert_eq!(text(opened), "good");
}

#[test]
fn names_in_a_folder_are_not_followed() {
    let dir = Dir::new();
    dir.file("precious", 0o600);
    symlink("precious", dir.path("link")).unwrap();
    symlink("made", dir.path("dangling")).unwrap();
    let folder = Folder::open(&dir.0, Owners::User).unwrap();
    for name in ["link", "dangling"] {
        assert!(matches!(folder.write(name).unwrap_err().fault(), Fault::Link));
        assert!(matches!(folder.read(name, Trust::Input).unwrap_err().fault(), Fault::Link));
    }
    folder.write_fresh("dangling").unwrap();
    assert!(!dir.path("made").exists());
    assert!(folder.read("../precious", Trust::Input).is_err());
}

#[test]
fn missing_folders_are_made_private() {
    let dir = Dir::new();
    let folder = Folder::create(&dir.path("a/b/c"), Owners::User).unwrap();
    assert_eq!(folder.path(), dir.path("a/b/c"));
    for name in ["a", "a/b", "a/b/c"] {
        let mode = fs::metadata(dir.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{name}");
    }
    dir.file("file", 0o600);
    let error = Folder::create(&dir.path("file"), Owners::User).unwrap_err();
    assert_eq!(error.message(), "this is a file, not a directory");
    let error = Folder::open(&dir.path("missing"), Owners::User).unwrap_err();
    assert!(matches!(error.fault(), Fault::Io(_)) && !dir.path("missing").exists());
}

#[test]
fn a_lock_has_one_owner_and_names_it() {
    let dir = Dir::new();
    let folder = Folder::open(&dir.0, Owners::User).unwrap();
    assert!(folder.lock_shared("lock").unwrap().is_none() && !dir.path("lock").exists());
    // A longer number of an owner before.
    fs::write(dir.path("lock"), "4194304999\n").unwrap();
    let lock = folder.lock("lock").unwrap();
    let pid = std::process::id();
    assert_eq!(fs::read_to_string(dir.path("lock")).unwrap(), format!("{pid}\n"));
    let is_taken = |e: LockError| matches!(e, LockError::Taken { pid: Some(by) } if by == pid);
    assert!(is_taken(folder.lock("lock").unwrap_err()));
    assert!(is_taken(folder.lock_shared("lock").unwrap_err()));
    drop(lock);
    let reading = [folder.lock_shared("lock").unwrap(), folder.lock_shared("lock").unwrap()];
    assert!(reading.iter().all(Option::is_some) && is_taken(folder.lock("lock").unwrap_err()));
    drop(reading);
    fs::hard_link(dir.path("lock"), dir.path("other")).unwrap();
    let error = folder.lock("lock").unwrap_err();
    assert!(error.to_string().contains("2 names"), "{error}");
}
