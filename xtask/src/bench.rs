//! `cargo xtask bench --compare REV`: instruction counts of two revisions, then their criterion benches in turn.
//!
//! Owns the order of runs (other, this, other, this, so that a machine that slows down slows both) and the ratios.
//! Knows no bench: it runs those that both revisions declare, and measures nothing itself.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use crate::project::Project;
use crate::{callgrind, child};

const N_ROUNDS: usize = 2;

/// One benchmark's medians in nanoseconds, by round.
#[derive(Debug, PartialEq)]
struct Row {
    name: String,
    other_ns: [f64; N_ROUNDS],
    this_ns: [f64; N_ROUNDS],
}

/// Compares the working tree with a revision.
pub(crate) fn compare(
    project: &Project,
    revision: &str,
    filter: Option<&str>,
    instructions: bool,
) -> Result<()> {
    let sh = Shell::new()?;
    sh.change_dir(&project.root);
    let requested = format!("{revision}^{{commit}}");
    let commit = cmd!(sh, "git rev-parse --short --verify {requested}")
        .quiet()
        .read()
        .with_context(|| format!("`{revision}` is no revision of this repository"))?;
    let folder = project.target_dir().join("compare");
    let results = folder.join("criterion");
    let tree = folder.join(&commit);
    remove(&results)?;
    extract(&sh, &commit, &tree)?;
    let other = Project::load_from(&tree)?;
    let benches = common_benches(project, &other);
    ensure!(!benches.is_empty(), "no bench is declared both here and in {commit}");

    let builds = folder.join(format!("{commit}-target"));
    callgrind::compare(project, (&tree, &builds), &benches, filter)?;
    if instructions {
        return Ok(());
    }
    let (benches, filter) = chosen(benches, filter);
    for round in 0..N_ROUNDS {
        for (side, root, target) in
            [("other", &tree, &builds), ("this", &project.root, &project.target_dir())]
        {
            sh.change_dir(root);
            let baseline = format!("{side}{round}");
            for (package, bench) in &benches {
                child::run(
                    cmd!(sh, "cargo bench --package {package} --bench {bench} -- --save-baseline {baseline} {filter...}")
                        .env("CARGO_TARGET_DIR", target)
                        .env("CRITERION_HOME", &results),
                )?;
            }
        }
    }
    let mut rows = Vec::new();
    read_rows(&results, &results, &mut rows)?;
    ensure!(
        !rows.is_empty(),
        "no benchmark was measured on both sides: does the filter match one?"
    );
    println!(
        "\nmedians of {N_ROUNDS} rounds in turn; a ratio below 1 means that this tree is faster than {commit}"
    );
    for row in &rows {
        println!("{}", line(row));
    }
    Ok(())
}

/// The revision's files, without touching the working tree or the index.
fn extract(sh: &Shell, commit: &str, tree: &Path) -> Result<()> {
    remove(tree)?;
    sh.create_dir(tree)?;
    let archive = tree.with_extension("tar");
    cmd!(sh, "git archive --output {archive} {commit}").quiet().run()?;
    cmd!(sh, "tar -xf {archive} -C {tree}").quiet().run()?;
    sh.remove_path(&archive)?;
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    Ok(())
}

/// A filter that is part of a bench's own name chooses benches, any other one benchmarks in all of them.
fn chosen(
    benches: Vec<(String, String)>,
    filter: Option<&str>,
) -> (Vec<(String, String)>, Option<&str>) {
    let named = |f: &str| -> Vec<_> {
        benches.iter().filter(|(_, bench)| bench.contains(f)).cloned().collect()
    };
    match filter.map(named) {
        Some(named) if !named.is_empty() => (named, None),
        _ => (benches, filter),
    }
}

fn common_benches(this: &Project, other: &Project) -> Vec<(String, String)> {
    let declared = |project: &Project| -> Vec<(String, String)> {
        let of_package = project.packages.iter().map(|package| (&package.name, package.benches()));
        of_package
            .flat_map(|(name, benches)| {
                benches.into_iter().map(move |bench| (name.clone(), bench.to_owned()))
            })
            .collect()
    };
    let others = declared(other);
    declared(this).into_iter().filter(|bench| others.contains(bench)).collect()
}

/// Criterion writes `<benchmark>/<baseline>/estimates.json`, the benchmark's name being one or more folders.
fn read_rows(results: &Path, folder: &Path, rows: &mut Vec<Row>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("{} cannot be listed", folder.display()))?;
    let mut folders: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path()).filter(|path| path.is_dir())).collect();
    folders.sort();
    let medians = |side: &str| -> Option<[f64; N_ROUNDS]> {
        let mut medians = [0.0; N_ROUNDS];
        for (round, median) in medians.iter_mut().enumerate() {
            let path = folder.join(format!("{side}{round}")).join("estimates.json");
            *median = median_ns(&fs::read_to_string(path).ok()?)?;
        }
        Some(medians)
    };
    if let (Some(other_ns), Some(this_ns)) = (medians("other"), medians("this")) {
        let name = folder.strip_prefix(results).unwrap_or(folder).display().to_string();
        rows.push(Row { name, other_ns, this_ns });
    }
    for folder in folders {
        read_rows(results, &folder, rows)?;
    }
    Ok(())
}

/// The point estimate of the median in criterion's estimates.
fn median_ns(estimates: &str) -> Option<f64> {
    let (_, median) = estimates.split_once("\"median\":")?;
    let (_, estimate) = median.split_once("\"point_estimate\":")?;
    estimate.split([',', '}']).next()?.trim().parse().ok()
}

/// The mean ratio, and how far the rounds are apart: the noise that a difference must exceed to mean something.
fn line(row: &Row) -> String {
    let ratios: Vec<f64> =
        row.this_ns.iter().zip(&row.other_ns).map(|(this, other)| this / other).collect();
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    let apart = ratios.iter().copied().fold(f64::MIN, f64::max)
        - ratios.iter().copied().fold(f64::MAX, f64::min);
    let n_rounds = N_ROUNDS as f64;
    format!(
        "{:<50} {:>12.1} ns -> {:>12.1} ns  ratio {mean:.3} (rounds {apart:.3} apart)",
        row.name,
        row.other_ns.iter().sum::<f64>() / n_rounds,
        row.this_ns.iter().sum::<f64>() / n_rounds,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_read_and_not_the_mean() {
        let estimates = r#"{"mean":{"confidence_interval":{"lower_bound":1.0},"point_estimate":9.5,"standard_error":0.1},
            "median":{"confidence_interval":{"lower_bound":2.0},"point_estimate":8.25,"standard_error":0.1},"slope":null}"#;
        assert_eq!(median_ns(estimates), Some(8.25));
        assert_eq!(median_ns("{}"), None);
    }

    #[test]
    fn a_filter_chooses_benches_or_benchmarks() {
        let all = || -> Vec<_> {
            [("a", "manager"), ("b", "sequence")].map(|(p, b)| (p.to_owned(), b.to_owned())).into()
        };
        assert_eq!(chosen(all(), None), (all(), None));
        assert_eq!(chosen(all(), Some("seq")), (all()[1..].to_vec(), None));
        assert_eq!(chosen(all(), Some("acquire/1")), (all(), Some("acquire/1")));
    }

    #[test]
    fn rows_are_found_where_criterion_writes_them() {
        let folder = std::env::temp_dir().join(format!("xtask-bench-{}", std::process::id()));
        let put = |benchmark: &str, baseline: &str, ns: f64| {
            let at = folder.join(benchmark).join(baseline);
            fs::create_dir_all(&at).unwrap();
            let text = format!("{{\"median\":{{\"point_estimate\":{ns}}}}}");
            fs::write(at.join("estimates.json"), text).unwrap();
        };
        for (baseline, ns) in [("other0", 10.0), ("other1", 12.0), ("this0", 5.0), ("this1", 6.0)] {
            put("group/acquire", baseline, ns);
        }
        // Measured on one side only.
        put("new", "this0", 1.0);
        let mut rows = Vec::new();
        read_rows(&folder, &folder, &mut rows).unwrap();
        let name = "group/acquire".to_owned();
        assert_eq!(rows, [Row { name, other_ns: [10.0, 12.0], this_ns: [5.0, 6.0] }]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn row_shows_ratio_and_noise() {
        let row =
            Row { name: "acquire".to_owned(), other_ns: [100.0, 100.0], this_ns: [50.0, 60.0] };
        assert!(
            line(&row).ends_with("100.0 ns ->         55.0 ns  ratio 0.550 (rounds 0.100 apart)"),
            "{}",
            line(&row)
        );
    }
}
