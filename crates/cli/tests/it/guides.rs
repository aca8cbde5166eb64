//! The guides, followed step by step: every example of `docs/write-a-component.md` and `docs/write-a-client.md` is taken
//! from the document, its files are written, and its commands are typed and print what the document shows.
//!
//! An example begins with a comment `<!-- example NAME needs TOOL TOOL -->` and ends at the next one or the next heading
//! of the second level. A fenced block whose first line is "LANGUAGE FILE" is written to FILE; in a block `console`,
//! each line after `$ ` is typed, and the lines that follow are parts of what it prints, in their order, with `...` for
//! anything. A typed command ends with 0: one that fails has its code printed. A command that ends in ` &` continues in the background. Files that are shown before the first example belong to
//! every example. Without its tools an example is skipped, and says so.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::eventually::eventually;
use crate::support::{DEADLINE, Running, World};

const COMPONENT: &str = "write-a-component.md";
const CLIENT: &str = "write-a-client.md";

#[derive(Debug, Default)]
struct Example {
    name: String,
    needs: Vec<String>,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Write { file: String, text: String },
    Type { command: String, prints: Vec<String> },
}

fn guide(name: &str) -> Vec<Example> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    examples(&std::fs::read_to_string(path).unwrap())
}

fn examples(document: &str) -> Vec<Example> {
    let mut all: Vec<Example> = Vec::new();
    // Files that stand before the first example belong to all.
    let mut common = Vec::new();
    let mut is_open = false;
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("<!-- example ") {
            let mut words = rest.trim_end_matches(" -->").split(' ');
            let name = words.next().unwrap().to_owned();
            let needs = words.skip_while(|w| *w == "needs").map(str::to_owned).collect();
            all.push(Example { name, needs, steps: Vec::new() });
            is_open = true;
        } else if line.starts_with("## ") {
            is_open = false;
        } else if let Some(info) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            match all.last_mut() {
                None => common.push((info, block)),
                Some(example) if is_open => example.steps.extend(steps(info, &block)),
                Some(_) => {}
            }
        }
    }
    for example in &mut all {
        let common = common.iter().flat_map(|(info, block)| steps(info, block));
        let own = std::mem::take(&mut example.steps);
        example.steps = common.chain(own).collect();
    }
    all
}

fn steps(info: &str, block: &[&str]) -> Vec<Step> {
    match info.split_once(' ') {
        Some((_, file)) => {
            vec![Step::Write { file: file.to_owned(), text: block.join("\n") + "\n" }]
        }
        None if info == "console" => {
            let mut steps = Vec::new();
            for line in block {
                match (line.strip_prefix("$ "), steps.last_mut()) {
                    (Some(command), _) => {
                        steps.push(Step::Type { command: command.to_owned(), prints: Vec::new() });
                    }
                    (None, Some(Step::Type { prints, .. })) => prints.push((*line).to_owned()),
                    (None, _) => panic!("{line:?} is printed by no command"),
                }
            }
            steps
        }
        // A part that is shown and stands in no file, such as a form of a setting.
        None => Vec::new(),
    }
}

/// Whether a text has these lines in this order, each as a part of a line of the text with `...` for anything.
fn has(text: &str, expected: &[String]) -> bool {
    let mut lines = text.lines();
    let fits = |line: &str, expected: &str| {
        let mut rest = Some(line);
        for part in expected.split("...").map(str::trim) {
            rest = rest.and_then(|rest| Some(&rest[rest.find(part)? + part.len()..]));
        }
        rest.is_some()
    };
    expected.iter().all(|expected| lines.any(|line| fits(line, expected)))
}

fn is_there(tool: &str) -> bool {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "command -v \"$1\"", "sh", tool]).stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Types a command in the folder of the example, where `majordomo` is the program under test.
fn typed<'w>(world: &'w World, command: &str) -> Running<'w> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(world.path("")).chain(std::env::split_paths(&folders));
    let path = std::env::join_paths(path.collect::<Vec<PathBuf>>()).unwrap();
    let mut shell = Command::new("/bin/sh");
    // The command's errors are what a reader sees, too.
    shell.args(["-c", &format!("{{ {command}\n}} 2>&1")]).env("PATH", path);
    world.start_as(&mut shell, Stdio::null())
}

fn follow(document: &str, name: &str) {
    let example = guide(document).into_iter().find(|example| example.name == name);
    let Example { needs, steps, .. } = example.unwrap_or_else(|| panic!("no example {name}"));
    if let Some(missing) = needs.iter().find(|tool| !is_there(tool)) {
        eprintln!("skipped: {missing} is not there");
        return;
    }
    assert!(!steps.is_empty(), "the example {name} has no step");
    let world = World::new();
    let mut servers = Vec::new();
    for step in &steps {
        match step {
            Step::Write { file, text } => world.write(file, text),
            Step::Type { command, prints } => match command.strip_suffix(" &") {
                Some(command) => {
                    let running = typed(&world, &format!("exec {command}"));
                    eventually(DEADLINE, command, || has(&running.out(), prints));
                    servers.push(running);
                }
                None => {
                    let ran = typed(&world, command).end();
                    assert_eq!(ran.code, Some(0), "{command}\n{}", ran.out);
                    assert!(has(&ran.out, prints), "{command}\n{}\nis not\n{prints:#?}", ran.out);
                }
            },
        }
    }
    for server in servers {
        server.stop().check(0, &[], &[]);
    }
}

macro_rules! followed {
    ($($document:ident: $($test:ident = $name:literal),+;)+) => {
        $($(
            #[test]
            fn $test() {
                follow($document, $name);
            }
        )+)+

        const FOLLOWED: &[(&str, &[&str])] = &[$(($document, &[$($name),+])),+];
    };
}

followed! {
    COMPONENT:
        component_in_shell = "shell",
        component_that_answers_lines = "lines",
        component_that_answers_lines_in_python = "lines-python",
        component_in_python = "python",
        component_in_node = "node",
        component_in_rust = "rust",
        component_that_warms_up = "warm-up",
        component_that_depends_on_another = "dependency",
        components_of_one_template = "template";
    CLIENT:
        client_in_shell = "shell",
        client_with_curl = "curl",
        client_in_python = "python",
        client_in_node = "node";
}

#[test]
fn every_example_of_the_guides_is_followed() {
    for (document, names) in FOLLOWED {
        let in_document: Vec<String> = guide(document).into_iter().map(|e| e.name).collect();
        assert_eq!(in_document, *names, "{document}");
    }
}

#[test]
fn printed_lines_are_compared_in_order_with_gaps() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let text = "a server, pid 12, up\nb\nc 1.5 ms";
    for (expected, fits) in
        [("pid ..., up\nc ... ms", true), ("c\nb", false), ("pid\n...\nc", true), ("pid 13", false)]
    {
        assert_eq!(has(text, &lines(expected)), fits, "{expected}");
    }
    let document = "<!-- example one needs sh -->\n```sh a.sh\necho a\n```\n```console\n$ sh a.sh\na\n```\n\
                    ## Next\n```console\n$ false\n```\n";
    let [example] = &examples(document)[..] else { panic!("one example") };
    assert_eq!((example.name.as_str(), example.needs.len(), example.steps.len()), ("one", 1, 2));
}

#[test]
fn every_tool_of_the_guides_is_in_the_list_of_ci() {
    let ci = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.ci/run");
    let text = std::fs::read_to_string(ci).unwrap();
    let (_, list) = text.split_once("<<'TOOLS'\n").unwrap();
    let (list, _) = list.split_once("\nTOOLS\n").unwrap();
    let listed: Vec<&str> = list.lines().filter_map(|line| line.split(' ').next()).collect();
    let examples = [COMPONENT, CLIENT].into_iter().flat_map(guide);
    let mut needs: Vec<String> = examples.flat_map(|example| example.needs).collect();
    // `.ci/run` itself needs a shell.
    needs.retain(|tool| tool != "sh");
    needs.sort();
    needs.dedup();
    assert_eq!(needs, listed);
}
