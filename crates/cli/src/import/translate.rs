//! A llama-swap configuration as ours, with an account of every key.
//!
//! Owns the order of the steps: environment, macros, ports, names, models, and what models decide together. Reads no file but the
//! sizes of models' files, and writes none.

use std::collections::BTreeSet;

use super::document::{self, Member, Value};
use super::exclusion::{self, Exclusions, Kept, Models};
use super::marks;
use super::memory::{memory, usable};
use super::model::{self, Inherited, Translated};
use super::naming::{name_all, selectors};
use super::out;
use super::prepare::{fill_macros, fill_variables};
use super::problem::Problem;
use super::reader::{Context, Section};
use super::report::Report;
use super::settings;
use super::size::Size;
use super::surroundings::{Device, Surroundings};
use super::writing::{self, Head};

/// The configuration's text, and the account.
#[derive(Debug)]
pub(super) struct Translation {
    pub text: String,
    pub report: Report,
}

/// Variables that model servers read and that llama-swap passes on with all others.
const PASSED: [&str; 16] = [
    "CUDA_DEVICE_ORDER",
    "CUDA_HOME",
    "CUDA_VISIBLE_DEVICES",
    "DOCKER_HOST",
    "GGML_CUDA_ENABLE_UNIFIED_MEMORY",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_TOKEN",
    "HIP_VISIBLE_DEVICES",
    "HSA_OVERRIDE_GFX_VERSION",
    "LD_LIBRARY_PATH",
    "LLAMA_CACHE",
    "ROCR_VISIBLE_DEVICES",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
    "ZES_ENABLE_SYSMAN",
];

/// Translates the text of a file.
///
/// # Errors
/// Every mistake for which no translation can be made.
pub(super) fn translate(
    text: &str,
    around: &Surroundings<'_>,
) -> Result<Translation, Vec<Problem>> {
    if let Some(n) = text.lines().position(|line| line.contains(marks::is_reserved)) {
        let what = "the file has one of the private characters U+E000 to U+E002; remove it";
        return Err(vec![Problem::at(n + 1, what)]);
    }
    let (root, second) = document::read(&marks::mark_variables(text)).map_err(|p| vec![p])?;
    let mut cx = Context::default();
    if let Some(line) = second {
        cx.report.remarks.push(format!("line {line}: further documents of the file were not read; llama-swap reads the first one only"));
    }
    let Some(mut root) = root.filter(|root| matches!(root.value, Value::Map(_))) else {
        return Err(vec![Problem::file(
            "the file has no table with `models`; is it a configuration of llama-swap?",
        )]);
    };
    fill_variables(&mut root, around, &mut cx.report);
    let models = fill_macros(&mut root, &mut cx);
    let section = Section::root(&root);
    if models.is_empty() && cx.problems.is_empty() && section.get("peers").is_none() {
        return Err(vec![Problem::file(
            "the file has no models; is it a configuration of llama-swap?",
        )]);
    }
    let written = assemble(&mut cx, &section, models, around);
    if !cx.problems.is_empty() {
        cx.problems.sort_by_key(|problem| problem.line);
        cx.problems.dedup();
        return Err(cx.problems);
    }
    Ok(Translation { text: written, report: cx.report })
}

fn assemble(
    cx: &mut Context,
    root: &Section<'_>,
    models: Vec<Member>,
    around: &Surroundings<'_>,
) -> String {
    let mut names = name_all(cx, root, models);
    let load = settings::seconds(cx, root, "healthCheckTimeout", 120).max(15);
    let ttl = settings::seconds(cx, root, "globalTTL", 0);
    let unload_timeout = match settings::seconds(cx, root, "unloadTimeout", 10) {
        0 => 10,
        seconds => seconds,
    };
    settings_rows(cx, root, ttl);
    settings::fixed(cx, root);
    let inherited = Inherited { ttl, unload_timeout, env_allow: &PASSED, folder: around.folder };
    let mut made: Vec<Option<Translated>> =
        names.models.iter().map(|model| model::translate(cx, model, &inherited)).collect();
    for (model, made) in names.models.iter_mut().zip(&made) {
        model.is_left_out = made.is_none();
    }
    if made.iter().all(Option::is_none) && names.peers.is_empty() {
        cx.problems.append(&mut cx.left_out);
    }
    let priorities = settings::priorities(cx, root, &|id| names.index(id));
    let sizes: Vec<Size> = made
        .iter()
        .map(|made| made.as_ref().map_or(Size::Unknown, |made| usable(made, around)))
        .collect();
    let known = Models {
        ids: names.models.iter().map(|model| model.id.as_str()).collect(),
        is_bounded: sizes.iter().map(|size| size.bytes().is_some()).collect(),
        by_budget: around.device != Device::Unknown,
    };
    let exclusions = exclusion::read(cx, root, &known);
    let kept = kept(&exclusions, &known, &made);
    for model in settings::preloaded(cx, root, &|id| names.index(id)) {
        if let Some(made) = &mut made[model] {
            made.table.set("lazy_init", "false");
        }
    }
    let is_pinned = pins_fit(&exclusions, &sizes, around.device);
    if !is_pinned {
        let what = "the members of persistent groups are not pinned, but have priority = \"HIGH\": the card does not hold all of them, as far as their memory is known";
        cx.report.remarks.push(what.to_owned());
    }
    for (model, priority) in priorities {
        if let Some(made) =
            made[model].as_mut().filter(|_| is_pinned || !exclusions.pinned.contains(&model))
        {
            made.table.set("priority", out::text(priority));
        }
    }
    for model in &exclusions.pinned {
        match &mut made[*model] {
            Some(made) if is_pinned => made.table.set("pinned", "true"),
            Some(made) => made.table.set("priority", "\"HIGH\""),
            None => {}
        }
    }
    for (model, rivals) in &kept.conflicts {
        let rivals: Vec<&String> = rivals.iter().map(|rival| &names.models[*rival].name).collect();
        if let Some(made) = &mut made[*model] {
            made.table.set("conflicts", out::list("conflicts", &rivals));
        }
    }
    for (model, size) in sizes.iter().enumerate() {
        if let Some(made) = &mut made[model] {
            let pool = kept.one_at_a_time.iter().position(|set| set.contains(&model));
            memory(cx, made, &names.models[model].name, size, around.device, pool);
        }
    }
    let selectors = selectors(cx, root, &names);
    let n_keys = settings::api_keys(cx, root);
    let ignored = settings::ignored_paths(cx, root);
    let stop = made
        .iter()
        .flatten()
        .map(|made| made.stop_deadline)
        .max()
        .unwrap_or_default()
        .max(unload_timeout);
    let head = Head {
        load,
        stop,
        unload_timeout,
        device: around.device,
        n_pools: kept.one_at_a_time.len(),
        n_keys,
        ignored,
        passed: &PASSED,
    };
    let mut trees = vec![(Vec::new(), root.node)];
    let models = names.models.iter();
    trees.extend(models.map(|model| (vec!["models".to_owned(), model.id.clone()], &model.node)));
    cx.report.complete(&trees);
    writing::write(&head, &made, &selectors, &names)
}

fn settings_rows(cx: &mut Context, root: &Section<'_>, ttl: u64) {
    if let Some(found) = root.get("healthCheckTimeout") {
        cx.translated(&found, "load_deadline in [defaults]");
    }
    if let Some(found) = root.get("globalTTL") {
        match ttl {
            0 => cx.not_needed(
                &found,
                "without idle_timeout a component is unloaded only when its memory is needed",
            ),
            _ => cx.translated(&found, "idle_timeout of each model without a ttl of its own"),
        }
    }
    if let Some(found) = root.get("unloadTimeout") {
        cx.translated(&found, "stop_deadline in [defaults]");
    }
}

/// Whether a card holds all components that are pinned; one of unknown memory takes all of it.
fn pins_fit(exclusions: &Exclusions, sizes: &[Size], device: Device) -> bool {
    let Device::Gpu(all) = device else { return true };
    let bytes = |model: &usize| sizes[*model].bytes().unwrap_or(all.0).min(all.0);
    exclusions.pinned.iter().map(bytes).fold(0, u64::saturating_add) <= all.0
}

/// The exclusions that no budget replaces, and those of one port.
fn kept(exclusions: &Exclusions, known: &Models<'_>, made: &[Option<Translated>]) -> Kept {
    let is_made = |(a, b): &(usize, usize)| made[*a].is_some() && made[*b].is_some();
    let is_replaced =
        |(a, b): &(usize, usize)| known.by_budget && known.is_bounded[*a] && known.is_bounded[*b];
    let pairs: BTreeSet<_> = exclusions
        .pairs
        .iter()
        .copied()
        .filter(|pair| is_made(pair) && !is_replaced(pair))
        .collect();
    let mut fixed = BTreeSet::new();
    let port = |model: usize| made[model].as_ref().and_then(|made| made.port);
    for a in 0..made.len() {
        let shared = (a + 1..made.len()).filter(|b| port(a).is_some() && port(a) == port(*b));
        fixed.extend(shared.map(|b| (a, b)));
    }
    exclusion::kept(&pairs, &fixed)
}
