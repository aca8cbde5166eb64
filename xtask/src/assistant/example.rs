//! Tests of the example's own files: they agree with each other, so that a prepared folder is
//! complete.

use std::collections::BTreeSet;

use super::config::{self, Config, SOURCE};
use super::packages;
use crate::project::Project;

/// The longest program of a component; what they share is in `component.py`.
const MAX_GLUE_LINES: usize = 40;
/// So that a line of a program is one.
const MAX_GLUE_COLUMNS: usize = 120;
const MIN_QUESTIONS: usize = 5;
const MIN_TRAIN_ROWS: usize = 25;
const MIN_TEST_ROWS: usize = 10;

struct Example {
    project: Project,
    config: Config,
}

impl Example {
    fn load() -> Self {
        let project = Project::load().unwrap();
        let config = Config::parse(&text(&project, "assistant.toml")).unwrap();
        Self { project, config }
    }

    fn text(&self, name: &str) -> String {
        text(&self.project, name)
    }
}

fn text(project: &Project, name: &str) -> String {
    let path = format!("{SOURCE}/{name}");
    project.file(&path).unwrap_or_else(|| panic!("{path} is missing")).to_owned()
}

#[test]
fn each_component_has_a_short_program_of_its_name() {
    let example = Example::load();
    let names = example.config.names();
    assert!(names.len() >= 12, "{names:?}");
    for name in names {
        let program = ["py", "sh"]
            .iter()
            .find_map(|end| example.project.file(&format!("{SOURCE}/{name}.{end}")))
            .unwrap_or_else(|| panic!("no program of {name}"));
        let n_lines = program.lines().count();
        assert!((5..=MAX_GLUE_LINES).contains(&n_lines), "{name}: {n_lines} lines");
        let shared = example.text("component.py");
        for line in program.lines().chain(shared.lines()) {
            let n_columns = line.chars().count();
            assert!(n_columns <= MAX_GLUE_COLUMNS, "{name}: {n_columns} columns: {line}");
        }
    }
}

#[test]
fn each_component_has_questions_one_on_each_line() {
    let example = Example::load();
    let questions = example.text("questions.json");
    for name in example.config.names() {
        let of_it = questions.split_once(&format!("\"{name}\": [\n"));
        let of_it = of_it.unwrap_or_else(|| panic!("no questions for {name}")).1;
        let n = of_it.lines().take_while(|line| !line.starts_with(']')).count();
        assert!(n >= MIN_QUESTIONS, "{name}: {n} questions");
    }
}

#[test]
fn media_of_the_questions_are_described() {
    let example = Example::load();
    let media = example.text("media.json");
    let questions = example.text("questions.json");
    let asked: BTreeSet<_> =
        questions.split("\"media/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(asked.len() >= 20, "{asked:?}");
    for name in asked {
        assert!(media.contains(&format!("\"{name}\":")), "{name}");
    }
}

#[test]
fn commands_cover_each_component_and_no_text_is_in_two_splits() {
    let example = Example::load();
    let commands = example.text("commands.tsv");
    let names = example.config.names();
    assert_eq!(config::commands_for(&commands, &names), commands, "a row names no component");
    let rows: Vec<Vec<&str>> = commands.lines().map(|row| row.split('\t').collect()).collect();
    let texts: BTreeSet<_> = rows.iter().map(|row| row[2]).collect();
    assert_eq!(texts.len(), rows.len(), "a text occurs twice");
    for name in names {
        let count = |split: &str| {
            rows.iter()
                .filter(|row| row[0] == split && row[1].split(',').any(|n| n == name))
                .count()
        };
        assert!(count("train") >= MIN_TRAIN_ROWS, "{name}: {} train rows", count("train"));
        assert!(count("test") >= MIN_TEST_ROWS, "{name}: {} test rows", count("test"));
    }
}

#[test]
fn each_package_is_pinned_with_a_hash_for_components_of_the_configuration() {
    let example = Example::load();
    let pinned = example.text("requirements.txt");
    let requirements = packages::Requirements::parse(&pinned).unwrap();
    let names = example.config.names();
    let n_pinned = |text: &str| text.lines().filter(|line| line.contains("==")).count();
    assert_eq!(n_pinned(&requirements.text_for(&names)), n_pinned(&pinned));
    assert_eq!(n_pinned(&pinned), n_pinned(&example.text("requirements.in")));
    for block in pinned.split("# for: ").skip(1) {
        assert!(block.contains("--hash=sha256:"), "{block}");
        let components = block.lines().next().unwrap_or_default();
        for name in components.split_whitespace() {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
    }
}

#[test]
fn readme_names_each_component_and_each_package_with_its_version() {
    let example = Example::load();
    let readme = example.text("README.md");
    let words = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    for name in example.config.names() {
        assert!(readme.contains(&format!("| `{name}` |")), "{name} has no row");
    }
    for pin in example.text("requirements.in").lines().filter(|line| !line.starts_with('#')) {
        let (package, version) = pin.split_once("==").unwrap();
        let version = version.split_whitespace().next().unwrap();
        assert!(words.contains(&format!("{package} {version}")), "{package} {version}");
    }
}
