//! The guard: whatever happens to a manager, nothing it started outlives it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use libtest_mimic::Trial;
use majordomo_registry::ReadySpec;
use majordomo_runtime::guard::{Guard, GuardConfig, GuardError, GuardForm};
use majordomo_runtime::process::{ProcessConfig, ProcessError, ProcessLoader};

use crate::eventually::eventually;
use crate::helper;
use crate::support::{
    DEADLINE, Dir, add, add_async, context, hidden, lives, loader, read_pid, runtime, spec,
};

/// The promise of the product after a SIGKILL.
const GONE_WITHIN: Duration = Duration::from_secs(2);

pub(crate) fn tests(tests: &mut Vec<Trial>) {
    for form in ["shell", "hidden"] {
        let name = |test| format!("guard::{form}::{test}");
        add(tests, &name("manager_killed"), move || manager_killed(form));
        add(tests, &name("manager_killed_at_any_moment"), move || killed_at_any_moment(form));
        add(tests, &name("manager_killed_while_it_waits"), move || killed_while_it_waits(form));
        add(tests, &name("guard_killed_first"), move || guard_killed_first(form));
        add(tests, &name("both_killed_and_swept"), move || both_killed_and_swept(form));
        add(tests, &name("runtime_ends"), move || runtime_ends(form));
        add(tests, &name("cgroup_of_a_killed_component"), move || cgroup_is_removed(form));
    }
    add(tests, "guard::trampoline_without_word_ends", trampoline_without_word_ends);
    add(tests, "guard::list_of_another_boot_or_process", list_of_another_boot_or_process);
    add(
        tests,
        "guard::untrusted_list_of_process_groups_is_refused",
        untrusted_list_of_process_groups_is_refused,
    );
    add_async(tests, "guard::programs_that_are_no_guard", programs_that_are_no_guard);
    add_async(
        tests,
        "guard::list_that_cannot_be_written_any_more_fails_no_load",
        list_that_cannot_be_written_any_more_fails_no_load,
    );
    add_async(tests, "guard::closed", closed);
    #[cfg(target_os = "linux")]
    for form in ["stop", "kill"] {
        add(tests, &format!("guard::strays_after_{form}"), move || strays(form));
    }
    #[cfg(target_os = "linux")]
    add(tests, "guard::marked_process_ends_after_kill", marked_process_ends_after_kill);
}

pub(crate) fn form(name: &str) -> GuardForm {
    if name == "shell" { GuardForm::Shell } else { hidden() }
}

/// A manager in a process of its own; killed at the latest when dropped.
pub(crate) struct Manager {
    child: Child,
    dir: Dir,
}

impl Manager {
    pub(crate) fn start(kind: &str, words: &[&str]) -> Self {
        let dir = Dir::new();
        let child = Command::new(std::env::current_exe().unwrap())
            .args([helper::ARG, kind, dir.0.to_str().unwrap()])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, dir }
    }

    /// Waits until it says so by a file.
    pub(crate) fn wait_for(&self, file: &str) {
        eventually(DEADLINE, file, || self.dir.path(file).exists());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Every living process with this manager's directory among its words, but itself.
    fn left(&self) -> Vec<String> {
        let out = Command::new("ps").args(["-A", "-o", "pid=,stat=,args="]).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let own = self.child.id().to_string();
        let marker = self.dir.0.to_str().unwrap();
        let ours = |l: &&str| {
            let mut words = l.split_whitespace();
            let (pid, stat) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            l.contains(marker) && pid != own && !stat.starts_with('Z')
        };
        text.lines().filter(ours).map(str::to_owned).collect()
    }

    fn all_gone(&self) {
        eventually(GONE_WITHIN, "everything is gone", || self.left().is_empty());
    }

    /// A number from the pid file.
    fn listed(&self, name: &str) -> Vec<i32> {
        let text = fs::read_to_string(self.dir.path("groups")).unwrap_or_default();
        let line = |l: &str| l.strip_prefix(name)?.split_whitespace().next()?.parse().ok();
        text.lines().filter_map(line).collect()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn signal(name: &str, pid: i32) {
    assert!(Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap().success());
}

fn manager_killed(form: &str) {
    let mut manager = Manager::start("manager", &[form, "3"]);
    manager.wait_for("ready");
    // Three times a leader and its child, at least.
    assert!(manager.left().len() >= 6, "{:?}", manager.left());
    let guard = manager.listed("guard ")[0];
    for name in ["HUP", "INT", "TERM"] {
        signal(name, guard);
    }
    assert!(lives(guard), "the guard ignores what ends others");
    fs::create_dir_all(manager.dir.path("temporary/run")).unwrap();
    manager.kill();
    manager.all_gone();
    eventually(GONE_WITHIN, "the guard ends as well", || !lives(guard));
    assert!(!manager.dir.path("temporary").exists(), "the guard removes the temporary folder");
}

/// The kernel keeps an empty cgroup until it is removed.
fn cgroup_is_removed(form: &str) {
    let mut manager = Manager::start("limited-manager", &[form]);
    manager.wait_for("ready");
    let listed = fs::read_to_string(manager.dir.path("cgroups")).unwrap();
    let Some(cgroup) = listed.lines().next().map(Path::new) else {
        eprintln!("skipped: a component has no cgroup here");
        return;
    };
    assert_eq!(listed.lines().count(), 1, "that of the one that stopped is removed: {listed}");
    manager.kill();
    manager.all_gone();
    eventually(GONE_WITHIN, "its cgroup is removed", || !cgroup.exists());
}

fn killed_at_any_moment(form: &str) {
    for n in 0..8usize {
        let mut manager = Manager::start("busy-manager", &[form]);
        eventually(DEADLINE, "its groups", || manager.listed("group ").len() >= n.min(5));
        manager.kill();
        manager.all_gone();
    }
}

/// The guard has an announcement to answer and no manager to answer to.
fn killed_while_it_waits(form: &str) {
    let mut manager = Manager::start("busy-manager", &[form]);
    eventually(DEADLINE, "its groups", || manager.listed("group ").len() >= 3);
    let guard = manager.listed("guard ")[0];
    signal("STOP", guard);
    let waits = || manager.left().iter().any(|l| l.contains("__exec"));
    eventually(DEADLINE, "a trampoline waits", waits);
    manager.kill();
    signal("CONT", guard);
    manager.all_gone();
}

fn guard_killed_first(form: &str) {
    let mut manager = Manager::start("manager", &[form, "2"]);
    manager.wait_for("ready");
    let guard = manager.listed("guard ")[0];
    signal("KILL", guard);
    // The manager replaces it; the pid file is written at the next change, so it is looked for by parent.
    let own = manager.child.id().to_string();
    let another = || {
        let out = Command::new("ps").args(["-A", "-o", "ppid=,pid=,stat=,args="]).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        text.lines().any(|l| {
            let w: Vec<&str> = l.split_whitespace().collect();
            w[0] == own
                && w[1] != guard.to_string()
                && !w[2].starts_with('Z')
                && (l.contains("__guard") || l.contains("majordomo-guard"))
        })
    };
    eventually(DEADLINE, "another guard", another);
    assert!(manager.left().len() >= 4, "the components did not notice");
    signal("STOP", manager.child.id().try_into().unwrap());
    manager.kill();
    manager.all_gone();
}

fn both_killed_and_swept(name: &str) {
    let mut manager = Manager::start("manager", &[name, "2"]);
    manager.wait_for("ready");
    let pid = i32::try_from(manager.child.id()).unwrap();
    let config = || GuardConfig {
        form: form(name),
        pid_file: Some(manager.dir.path("groups")),
        temporary: None,
    };
    let runtime = runtime();
    let error = runtime.block_on(Guard::start(config())).unwrap_err();
    assert!(matches!(error, GuardError::InUse { pid: p, .. } if p == pid), "{error}");
    assert!(
        error.to_string().contains(&format!("in use by the manager with pid {pid}")),
        "{error}"
    );

    // It must not replace the guard before it dies itself.
    signal("STOP", pid);
    signal("KILL", manager.listed("guard ")[0]);
    let config = config();
    manager.kill();
    assert!(manager.left().len() >= 4, "no process was left to kill them");
    let guard = runtime.block_on(Guard::start(config)).unwrap();
    assert_eq!(guard.swept().len(), 2);
    manager.all_gone();
}

/// The listed process groups are killed, so only this user's own list is believed, and no list is written through a link.
fn untrusted_list_of_process_groups_is_refused() {
    let dir = Dir::new();
    let runtime = runtime();
    let start = || {
        let config = GuardConfig {
            form: form("shell"),
            pid_file: Some(dir.path("st/groups")),
            temporary: None,
        };
        runtime.block_on(Guard::start(config))
    };
    let refused = |what: &str| {
        let text = start().err().map(|e| e.to_string()).unwrap_or_default();
        assert!(text.contains("groups") && text.contains(what), "{what}: {text}");
    };
    let mode = |name: &str, mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(dir.path(name), permissions).unwrap();
    };
    fs::create_dir(dir.path("st")).unwrap();
    fs::write(dir.path("precious"), "precious").unwrap();
    std::os::unix::fs::symlink("../precious", dir.path("st/groups")).unwrap();
    refused("this is a symbolic link");
    fs::remove_file(dir.path("st/groups")).unwrap();
    fs::write(dir.path("st/groups"), "").unwrap();
    mode("st/groups", 0o666);
    refused("every user of this machine may write to it (mode 666)");
    mode("st/groups", 0o600);
    mode("st", 0o777);
    refused("every user of this machine may write to it (mode 777)");
    mode("st", 0o700);
    if std::os::unix::fs::chown(dir.path("st/groups"), Some(54_321), None).is_ok() {
        refused("belongs to user 54321");
    } else {
        eprintln!("skipped: only root can give a file to another user");
    }
    fs::remove_file(dir.path("st/groups")).unwrap();
    // The new list is made beside the old one.
    std::os::unix::fs::symlink("../precious", dir.path("st/groups.new")).unwrap();
    drop(start().unwrap());
    assert_eq!(fs::read_to_string(dir.path("precious")).unwrap(), "precious");
}

/// The manager's process lives on, its runtime does not.
fn runtime_ends(name: &str) {
    let dir = Dir::new();
    let runtime = runtime();
    let guard = || {
        let text = fs::read_to_string(dir.path("groups")).unwrap();
        let line = text.lines().find_map(|l| l.strip_prefix("guard ")).unwrap();
        line.split(' ').next().unwrap().to_owned()
    };
    let process = runtime.block_on(async {
        let loader = loader(&dir, form(name)).await;
        let process =
            loader.start(context(spec(&["say", "up"], ReadySpec::Stdout("up".into())))).await;
        std::mem::forget(loader);
        process.unwrap()
    });
    let pid = process.process_group().pgid;
    std::mem::forget(process);
    assert!(lives(pid));
    let guard = guard();
    drop(runtime);
    eventually(GONE_WITHIN, "it is gone", || !lives(pid));
    let reaped = || {
        Command::new("ps").args(["-o", "pid=", "-p", &guard]).output().unwrap().stdout.is_empty()
    };
    eventually(GONE_WITHIN, "its guard is gone and reaped", reaped);
}

/// The manager dies between the trampoline's start and the guard's answer, which never comes here.
fn trampoline_without_word_ends() {
    let mut manager = Manager::start("manager-without-answer", &[]);
    let trampoline = || manager.left().iter().any(|l| l.contains("__exec"));
    eventually(DEADLINE, "the trampoline waits", trampoline);
    assert!(!manager.dir.path("ran").exists());
    manager.kill();
    manager.all_gone();
    assert!(!manager.dir.path("ran").exists(), "the program never ran");
}

fn list_of_another_boot_or_process() {
    let mut manager = Manager::start("manager", &["shell", "1"]);
    manager.wait_for("ready");
    let good = fs::read_to_string(manager.dir.path("groups")).unwrap();
    let own = manager.child.id().to_string();
    let process_group = manager.listed("group ")[0];
    let start_of = |text: &str, name: &str| {
        let line = text.lines().find(|l| l.starts_with(name)).unwrap();
        line.split(' ').nth(2).unwrap().to_owned()
    };
    // As if the manager had died: its entry means no process.
    let dead = good.replace(&format!("manager {own} "), &format!("manager {own} 9"));
    let other_boot = dead.replacen("boot ", "boot x", 1);
    let start = start_of(&good, "group ");
    let other_process = dead
        .replace(
            &format!("group {process_group} {start}"),
            &format!("group {process_group} 9{start}"),
        )
        .lines()
        .filter(|l| !l.starts_with("guard "))
        .map(|l| if l.starts_with("session ") { "session none" } else { l })
        .collect::<Vec<_>>()
        .join("\n");
    let rubbish = "majordomo-groups 1\nboot \u{0}".to_owned();
    let runtime = runtime();
    for (n, text) in [other_boot, other_process, rubbish].into_iter().enumerate() {
        let path = manager.dir.path(&format!("list-{n}"));
        fs::write(&path, text).unwrap();
        let guard = runtime.block_on(Guard::start(GuardConfig {
            form: GuardForm::Shell,
            pid_file: Some(path),
            temporary: None,
        }));
        assert_eq!(guard.unwrap().swept(), []);
        assert!(lives(process_group));
    }
    assert!(manager.dir.path("list-2.unreadable").exists());
    manager.kill();
    manager.all_gone();
}

async fn programs_that_are_no_guard() {
    let start = |program: &str| {
        Guard::start(GuardConfig {
            form: GuardForm::Hidden { program: program.into() },
            pid_file: None,
            temporary: None,
        })
    };
    let text = start("/no/such/binary").await.unwrap_err().to_string();
    assert!(text.contains("\"/no/such/binary\" could not be started"), "{text}");
    let text = start("/bin/echo").await.unwrap_err().to_string();
    assert!(text.contains("answered \"__guard\"") && text.contains("hidden_main"), "{text}");
    let config = GuardConfig {
        form: GuardForm::Shell,
        pid_file: Some("/no/such/dir/groups".into()),
        temporary: None,
    };
    let text = Guard::start(config).await.unwrap_err().to_string();
    assert!(text.contains("\"/no/such/dir/groups\" cannot be used"), "{text}");
}

/// The list is for the case that manager and guard die together; the guard knows the groups without it.
async fn list_that_cannot_be_written_any_more_fails_no_load() {
    let dir = Dir::new();
    fs::create_dir(dir.path("st")).unwrap();
    let config = GuardConfig {
        form: GuardForm::Shell,
        pid_file: Some(dir.path("st/groups")),
        temporary: Some(dir.path("st")),
    };
    let guard = Guard::start(config).await.unwrap();
    fs::set_permissions(dir.path("st"), fs::Permissions::from_mode(0o777)).unwrap();
    let loader = ProcessLoader::new(ProcessConfig::new(dir.0.clone()), guard);
    let process = loader.start(context(spec(&["say", "x"], ReadySpec::Started))).await.unwrap();
    process.stop(DEADLINE).await.unwrap();
    fs::set_permissions(dir.path("st"), fs::Permissions::from_mode(0o700)).unwrap();
    loader.guard().close().await;
    assert!(!dir.path("st/groups").exists());
    assert!(dir.path("st").exists(), "a manager that lives removes its temporary folder itself");
}

async fn closed() {
    let dir = Dir::new();
    let loader = loader(&dir, GuardForm::Shell).await;
    assert!(dir.path("groups").exists());
    loader.guard().close().await;
    assert!(!dir.path("groups").exists());
    let error = loader.start(context(spec(&["say", "x"], ReadySpec::Started))).await.unwrap_err();
    assert!(matches!(error, ProcessError::Guard { .. }), "{error}");
    assert!(error.to_string().contains("c: not started, because the guard"), "{error}");
}

/// A process of no component, such as one that measures something, is found by its mark.
#[cfg(target_os = "linux")]
fn marked_process_ends_after_kill() {
    let mut manager = Manager::start("marking-manager", &[]);
    manager.wait_for("aside");
    let aside = read_pid(&manager.dir.path("aside"));
    assert!(lives(aside));
    manager.kill();
    eventually(GONE_WITHIN, "the marked process is gone", || !lives(aside));
}

/// A child that leaves its group is found when its component stops, or when the manager is killed.
#[cfg(target_os = "linux")]
fn strays(how: &str) {
    let mut manager = Manager::start("stray-manager", &[how]);
    manager.wait_for("ready");
    let stray = read_pid(&manager.dir.path("stray"));
    if how == "kill" {
        assert!(lives(stray));
        manager.kill();
    } else {
        manager.wait_for("stopped");
    }
    eventually(GONE_WITHIN, "the stray is gone", || !lives(stray));
    if how == "stop" {
        eventually(GONE_WITHIN, "the manager that adopted it reaps it", || {
            let pid = stray.to_string();
            Command::new("ps").args(["-o", "pid=", "-p", &pid]).output().unwrap().stdout.is_empty()
        });
        let other = read_pid(&manager.dir.path("other"));
        assert!(lives(other), "another component's stray stays");
        manager.kill();
        eventually(GONE_WITHIN, "that ends with its own", || !lives(other));
    }
}
