//! Managers in separate processes, which tests kill.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use majordomo_registry::ReadySpec;
use majordomo_runtime::guard::{Guard, GuardConfig, GuardForm};
use majordomo_runtime::process::{ProcessConfig, ProcessLoader, Subreaper};

use crate::guard::form;
use crate::helper::forever;
use crate::support::{DEADLINE, context, runtime, spec};

fn up() -> ReadySpec {
    ReadySpec::Stdout("up".into())
}

pub(crate) fn main(kind: &str, dir: &str, rest: &[&str]) -> ExitCode {
    let dir = Path::new(dir);
    let path = |name: &str| dir.join(name).display().to_string();
    let write = |name: &str| std::fs::write(dir.join(name), "").unwrap();
    let start = async |form, subreaper| {
        let config = GuardConfig {
            form,
            pid_file: Some(dir.join("groups")),
            temporary: Some(dir.join("temporary")),
        };
        let config = (
            Guard::start(config).await.unwrap(),
            ProcessConfig { subreaper, ..ProcessConfig::new(dir.into()) },
        );
        ProcessLoader::new(config.1, config.0)
    };
    runtime().block_on(async {
        match (kind, rest) {
            // Components that each have a child which ignores TERM.
            ("manager", [name, n]) => {
                let loader = start(form(name), None).await;
                let mut kept = Vec::new();
                for i in 0..n.parse::<usize>().unwrap() {
                    let words = ["parent", &path(&format!("child-{i}"))];
                    kept.push(loader.start(context(spec(&words, up()))).await.unwrap());
                }
                write("ready");
                std::future::pending().await
            }
            // Two components with a limit each, and so with a cgroup where the system offers that; one is stopped at once.
            ("limited-manager", [name]) => {
                let loader = start(form(name), None).await;
                let one = async |op| {
                    let mut ctx = context(spec(&["parent", &path(&format!("child-{op}"))], up()));
                    ctx.op = majordomo_core::OpId(op);
                    ctx.memory_limit = Some(majordomo_core::ByteSize::mib(512));
                    loader.start(ctx).await.unwrap()
                };
                let _kept = one(1).await;
                one(2).await.stop(DEADLINE).await.unwrap();
                let parent = loader.cgroups();
                let own = format!("-{}-", std::process::id());
                let below = parent.iter().flat_map(|parent| std::fs::read_dir(parent.dir()).unwrap());
                let below = below.map(|entry| entry.unwrap().path());
                let cgroups: Vec<_> = below
                    .map(|path| path.display().to_string())
                    .filter(|path| path.contains(&own))
                    .collect();
                std::fs::write(dir.join("cgroups"), cgroups.join("\n")).unwrap();
                write("ready");
                std::future::pending().await
            }
            // Starts components in an endless loop, three at a time.
            ("busy-manager", [name]) => {
                let loader = start(form(name), None).await;
                let mut kept = Vec::new();
                loop {
                    let words = ["say", "up", &path("x")];
                    let one = || loader.start(context(spec(&words, up())));
                    let (a, b, c) = tokio::join!(one(), one(), one());
                    kept.extend([a.unwrap(), b.unwrap(), c.unwrap()]);
                    if kept.len() > 8 {
                        kept.drain(..3);
                    }
                }
            }
            // The guard never answers, so the trampoline never executes the program.
            ("manager-without-answer", []) => {
                let program = dir.join("guard");
                let exe = std::env::current_exe().unwrap();
                let script = format!(
                    "#!/bin/sh\ncase $1 in\n__guard) echo 'guard 1'; while read -r line; do :; done;;\n*) exec {} \"$@\";;\nesac\n",
                    exe.display()
                );
                std::fs::write(&program, script).unwrap();
                std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
                let loader = start(GuardForm::Hidden { program }, None).await;
                let mut touch = spec(&[], ReadySpec::Started);
                touch.command = vec!["touch".into(), path("ran")];
                drop(loader.start(context(touch)).await);
                forever()
            }
            // Two components, each with a child that leaves its group.
            ("stray-manager", [how]) => {
                let loader = start(form("hidden"), Some(Subreaper::enable().unwrap())).await;
                let one = async |name: &str, op| {
                    let script = r#"setsid sh -c 'echo $$ >"$1.new"; mv "$1.new" "$1"; exec sleep 1000' sh "$1" &
                        while [ ! -e "$1" ]; do sleep 0.01; done; echo up; exec sleep 1000"#;
                    let mut spec = spec(&[], up());
                    spec.command = ["/bin/sh", "-c", script, "sh", &path(name)].map(str::to_owned).to_vec();
                    let mut ctx = context(spec);
                    ctx.op = majordomo_core::OpId(op);
                    loader.start(ctx).await.unwrap()
                };
                let process = one("stray", 1).await;
                let _other = one("other", 10).await;
                write("ready");
                if *how == "stop" {
                    process.stop(DEADLINE).await.unwrap();
                    write("stopped");
                }
                std::future::pending().await
            }
            // A marked child that belongs to no component.
            ("marking-manager", []) => {
                let loader = start(form("hidden"), Some(Subreaper::enable().unwrap())).await;
                let (name, value) = loader.guard().mark("aside");
                let script = r#"echo $$ >"$1.new"; mv "$1.new" "$1"; exec sleep 1000"#;
                let mut command = std::process::Command::new("/bin/sh");
                command.args(["-c", script, "sh", &path("aside")]).env(name, value);
                let mut child = majordomo_runtime::children::spawn(&mut command).unwrap();
                child.wait().unwrap();
                std::future::pending().await
            }
            // A component with many orphaned grandchildren, which end at once.
            ("adopting-manager", [n]) => {
                let loader = start(form("hidden"), Some(Subreaper::enable().unwrap())).await;
                let script = r#"i=0; while [ $i -lt "$2" ]; do sh -c '(exit 0) & (exit 0) &'; i=$((i + 1)); done
                    echo >"$1"; exec sleep 1000"#;
                let mut spec = spec(&[], ReadySpec::Started);
                spec.command =
                    ["/bin/sh", "-c", script, "sh", &path("forked"), n].map(str::to_owned).to_vec();
                let _process = loader.start(context(spec)).await.unwrap();
                std::future::pending().await
            }
            other => panic!("no such manager: {other:?}"),
        }
    })
}
