//! Whose socket, folder and lock are trusted, by the server and by its clients.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use majordomo::{Manager, ServerConfig};
use majordomo_server::{Address, Client, ServeOptions, Token, serve};

use crate::dir::{Dir, STRANGER, set_mode};
use crate::support::{DEADLINE, Gate, components};

async fn manager() -> Manager {
    components(ServerConfig::default(), &Gate::default()).start().await.unwrap()
}

/// The error of a server that is to listen at a path.
async fn refusal(manager: &Manager, socket: &Path) -> String {
    let options = ServeOptions { socket: Some(socket.to_path_buf()), ..ServeOptions::default() };
    match serve(manager.clone(), options).await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{} was served", socket.display()),
    }
}

async fn client_error(socket: &Path) -> String {
    let client = Client::new(Address::Unix(socket.to_path_buf()));
    let asked = tokio::time::timeout(DEADLINE, client.health()).await;
    asked.expect("the client waits for an answer").unwrap_err().to_string()
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_lock_that_is_another_file_is_refused_before_anything_is_written() {
    let manager = manager().await;
    let dir = Dir::new();
    let (socket, lock) = (dir.path("s"), dir.path("s.lock"));
    let precious = dir.path("precious");
    fs::write(&precious, "precious").unwrap();
    let content = || fs::read_to_string(&precious).unwrap();

    symlink(&precious, &lock).unwrap();
    let error = refusal(&manager, &socket).await;
    says(&error, &["s.lock", "this is a symbolic link", "rm "]);
    assert_eq!(content(), "precious");
    fs::remove_file(&lock).unwrap();
    // Nor is a file made at the other end.
    symlink(dir.path("elsewhere"), &lock).unwrap();
    says(&refusal(&manager, &socket).await, &["this is a symbolic link"]);
    assert!(!dir.path("elsewhere").exists());
    fs::remove_file(&lock).unwrap();

    fs::hard_link(&precious, &lock).unwrap();
    let error = refusal(&manager, &socket).await;
    says(&error, &["s.lock", "it has 2 names (hard links)", "rm "]);
    assert_eq!(content(), "precious");
    fs::remove_file(&lock).unwrap();

    assert!(Command::new("mkfifo").arg(&lock).status().unwrap().success());
    says(&refusal(&manager, &socket).await, &["s.lock", "this is a named pipe, not a file"]);
    fs::remove_file(&lock).unwrap();

    fs::write(&lock, "").unwrap();
    set_mode(&lock, 0o666);
    says(&refusal(&manager, &socket).await, &["s.lock", "every user", "chmod go-w"]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_folder_that_others_may_change_is_refused_by_server_and_client() {
    let manager = manager().await;
    let dir = Dir::new();
    let open = dir.folder("open", 0o777);
    let below = open.join("below");
    fs::create_dir(&below).unwrap();
    set_mode(&below, 0o700);
    symlink(&open, dir.path("link")).unwrap();
    let bound = UnixListener::bind(open.join("s")).unwrap();
    let _below = UnixListener::bind(below.join("s")).unwrap();
    let open_text = format!("{open:?}: every user of this machine may write to it (mode 777)");
    for socket in [open.join("s"), below.join("s"), dir.path("link/s")] {
        for error in [refusal(&manager, &socket).await, client_error(&socket).await] {
            let expected = ["every user of this machine may write to it (mode 777)", "chmod go-w"];
            says(&error, &expected);
            says(&error, &[open.to_str().unwrap()]);
        }
    }
    says(&refusal(&manager, &open.join("s")).await, &[&open_text]);
    // A link in a folder of one's own is no way around.
    symlink(open.join("s"), dir.path("to-s")).unwrap();
    says(&client_error(&dir.path("to-s")).await, &[&open_text, "chmod go-w"]);
    bound.set_nonblocking(true).unwrap();
    assert!(bound.accept().is_err(), "there was no connection");
}

#[tokio::test(flavor = "current_thread")]
async fn sticky_linked_and_missing_folders_can_hold_a_socket() {
    let dir = Dir::new();
    dir.folder("sticky", 0o1777);
    dir.folder("real", 0o700);
    symlink("real", dir.path("link")).unwrap();
    for socket in ["sticky/s", "link/s", "made/below/s"].map(|name| dir.path(name)) {
        let options = ServeOptions { socket: Some(socket.clone()), ..ServeOptions::default() };
        let claimed = majordomo_server::claim(options).await.unwrap();
        let listed = |name: &Path| {
            let names = fs::read_dir(name.parent().unwrap()).unwrap();
            names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        let mut names = listed(&socket);
        names.sort();
        assert_eq!(names, ["s", "s.lock"]);
        drop(claimed);
        assert_eq!(listed(&socket), Vec::<String>::new());
    }
    let mode = fs::metadata(dir.path("made")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test(flavor = "current_thread")]
async fn a_folder_of_another_user_is_refused_by_server_and_client() {
    let manager = manager().await;
    let dir = Dir::new();
    set_mode(&dir.0, 0o711);
    for (name, mode) in [("private", 0o700), ("sticky", 0o1777)] {
        let foreign = dir.folder(name, mode);
        let socket = foreign.join("s");
        // Something of this user's behind the path that the server would write to.
        fs::write(dir.path("precious"), "precious").unwrap();
        symlink(dir.path("precious"), foreign.join("s.lock")).unwrap();
        let bound = UnixListener::bind(&socket).unwrap();
        if chown(&foreign, Some(STRANGER), None).is_err() {
            eprintln!("skipped: only root can give a folder to another user");
            return;
        }
        for error in [refusal(&manager, &socket).await, client_error(&socket).await] {
            let path = format!("{foreign:?}");
            says(&error, &[&path, "it belongs to user 54321, not to user 0", "run this as user"]);
        }
        assert_eq!(fs::read_to_string(dir.path("precious")).unwrap(), "precious");
        bound.set_nonblocking(true).unwrap();
        assert!(bound.accept().is_err(), "there was no connection");
        // One of this user's inside it is no better: the stranger may put another in its place.
        let inside = foreign.join("inside");
        fs::create_dir(&inside).unwrap();
        set_mode(&inside, 0o700);
        for error in
            [refusal(&manager, &inside.join("s")).await, client_error(&inside.join("s")).await]
        {
            says(&error, &["it belongs to user 54321", foreign.to_str().unwrap()]);
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_lock_or_socket_of_another_user_in_a_sticky_folder_is_refused() {
    let manager = manager().await;
    let dir = Dir::new();
    let sticky = dir.folder("sticky", 0o1777);
    fs::write(sticky.join("s.lock"), "theirs").unwrap();
    if chown(sticky.join("s.lock"), Some(STRANGER), None).is_err() {
        eprintln!("skipped: only root can give a file to another user");
        return;
    }
    let error = refusal(&manager, &sticky.join("s")).await;
    says(&error, &["s.lock", "it belongs to user 54321", "choose another path"]);
    assert_eq!(fs::read_to_string(sticky.join("s.lock")).unwrap(), "theirs");
    drop(UnixListener::bind(sticky.join("t")).unwrap());
    chown(sticky.join("t"), Some(STRANGER), None).unwrap();
    let error = refusal(&manager, &sticky.join("t")).await;
    says(&error, &["belongs to user 54321", "choose another --socket"]);
    assert!(sticky.join("t").exists());
}

#[test]
fn a_token_file_that_others_own_read_or_may_replace_is_refused() {
    let dir = Dir::new();
    let token = dir.folder("open", 0o755).join("token");
    fs::write(&token, "0123456789abcdef").unwrap();
    let read = || Token::read(&token).map_err(|error| error.to_string());
    set_mode(&token, 0o640);
    says(&read().unwrap_err(), &["others can read it (mode 640)", "chmod 600"]);
    set_mode(&token, 0o600);
    set_mode(&dir.path("open"), 0o777);
    says(&read().unwrap_err(), &["every user of this machine may write to it (mode 777)"]);
    set_mode(&dir.path("open"), 0o755);
    assert!(read().is_ok());
    // A text that is no token: the file is named, and nothing of what is in it.
    for text in
        [String::new(), "short".to_owned(), "0123456789 abcdef".to_owned(), "x".repeat(1 << 20)]
    {
        fs::write(&token, &text).unwrap();
        let error = read().unwrap_err();
        says(&error, &["open/token", "16 to 1024 visible ASCII characters"]);
        assert!(text.is_empty() || !error.contains(&text), "{error}");
    }
    fs::write(&token, "0123456789abcdef").unwrap();
    if chown(&token, Some(STRANGER), None).is_err() {
        eprintln!("skipped: only root can give a file to another user");
        return;
    }
    says(&read().unwrap_err(), &["token", "it belongs to user 54321, not to user 0"]);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "current_thread")]
async fn a_client_sends_nothing_to_a_server_of_another_user() {
    use std::io::Read as _;
    let dir = Dir::new();
    let socket = dir.folder("sticky", 0o1777).join("s");
    set_mode(&dir.0, 0o711);
    let (listening, is_listening) = std::sync::mpsc::channel();
    let path = socket.clone();
    // The system asks who listens by the thread that does.
    let stranger = std::thread::spawn(move || {
        let id = rustix::process::Uid::from_raw(STRANGER);
        let bound = rustix::thread::set_thread_uid(id).map(|()| UnixListener::bind(path).unwrap());
        listening.send(bound.is_ok()).unwrap();
        let Ok(bound) = bound else { return Vec::new() };
        let mut heard = Vec::new();
        bound.accept().unwrap().0.read_to_end(&mut heard).unwrap();
        heard
    });
    if !is_listening.recv().unwrap() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let error = client_error(&socket).await;
    says(&error, &[socket.to_str().unwrap(), "user 54321 listens there", "run this as user 54321"]);
    assert_eq!(stranger.join().unwrap(), b"");
}
