//! All processes of a component: those that leave its process group as well.

use std::time::Duration;

use libtest_mimic::Trial;
use majordomo_registry::ReadySpec;
use majordomo_runtime::guard::GuardForm;
use majordomo_runtime::process::{ProcessLoader, RunningProcess};

use crate::eventually::eventually;
use crate::guard::{Manager, signal};
use crate::support::{
    DEADLINE, Dir, add, add_async, context, hidden, lives, loader, read_pid, spec,
};

pub(crate) fn tests(tests: &mut Vec<Trial>) {
    for (name, form) in [("sh", GuardForm::Shell), ("hidden", hidden())] {
        for how in ["session", "double-fork"] {
            let name = |rule: &str| format!("members::{how}_child_{rule}_{name}");
            let (a, b, c) = (form.clone(), form.clone(), form.clone());
            add_async(tests, &name("gets_term_and_the_rest_of_the_deadline"), move || {
                saves_on_term(a, how)
            });
            add_async(tests, &name("that_ignores_term_is_killed_before_down"), move || {
                is_killed(b, how, true)
            });
            add_async(tests, &name("is_killed_when_its_leader_crashes"), move || {
                is_killed(c, how, false)
            });
        }
    }
    add(tests, "members::adopted_zombies_are_reaped_without_a_measurement", adopted_zombies);
}

/// A component whose child, detached in the way `how`, does what `child` says.
async fn start(
    dir: &Dir,
    form: GuardForm,
    how: &str,
    child: &[&str],
) -> (ProcessLoader, RunningProcess) {
    let loader = loader(dir, form).await;
    let words = [&["with-child", how], child].concat();
    let ctx = context(spec(&words, ReadySpec::Stdout("up".into())));
    let process = loader.start(ctx).await.unwrap();
    (loader, process)
}

async fn saves_on_term(form: GuardForm, how: &str) {
    let dir = Dir::new();
    let (pid_file, file) = (dir.path("child"), dir.path("saved"));
    let words = ["saver", pid_file.to_str().unwrap(), file.to_str().unwrap()];
    let (_loader, process) = start(&dir, form, how, &words).await;
    let child = read_pid(&pid_file);
    process.stop(DEADLINE * 10).await.unwrap();
    assert!(!lives(child), "down means all members");
    assert!(file.exists(), "it had the rest of the deadline");
}

/// The child ignores TERM; its component is stopped, or its leader crashes.
async fn is_killed(form: GuardForm, how: &str, is_stopped: bool) {
    let dir = Dir::new();
    let pid_file = dir.path("child");
    let words = ["stubborn", pid_file.to_str().unwrap(), "up"];
    let (_loader, process) = start(&dir, form, how, &words).await;
    let child = read_pid(&pid_file);
    if is_stopped {
        process.stop(Duration::from_millis(100)).await.unwrap();
    } else {
        signal("KILL", process.process_group().pgid);
        process.wait_down().await.unwrap();
    }
    assert!(!lives(child), "down means all members");
}

/// A component starts and forgets many grandchildren that end at once; its manager adopts them.
fn adopted_zombies() {
    let mut manager = Manager::start("adopting-manager", &["200"]);
    manager.wait_for("forked");
    let pid = manager.pid().to_string();
    let zombies = || {
        let out = std::process::Command::new("ps")
            .args(["-o", "stat=", "--ppid", &pid])
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stdout).lines().filter(|l| l.starts_with('Z')).count()
    };
    eventually(DEADLINE, "all adopted children are reaped", || zombies() == 0);
    manager.kill();
}
