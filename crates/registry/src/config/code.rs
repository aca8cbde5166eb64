//! Settings, pools and components that were made in code: the checks of a file, without its text.
//!
//! A problem names the path of its value, such as `components.voice.max_leases`, where the problem of a file has a line.

use std::sync::Arc;

use majordomo_core::{ByteSize, ComponentId, Config};

use super::inherit::{Keys, Layers};
use super::keys::component::COMPONENT;
use super::keys::gateway::GATEWAY;
use super::keys::pool::POOL;
use super::keys::requests::{PROBE, STEP, WARM_UP};
use super::keys::{OutOfRange, out_of_range};
use super::node::{Member, Node, Value};
use super::phrases;
use super::sections::{Declared, DeclaredGateway, Draft};
use super::source::{Report, Source, whole_file};
use super::{LoadedConfig, check};
use crate::problem::{BUILDER, Problem, Problems, Severity, sort};
use crate::{ComponentSpec, GatewaySpec, PoolSpec, rules};

impl LoadedConfig {
    /// Checks settings, pools and components that were made in code as [`read_config`](crate::read_config) checks those of
    /// a file. `machine_limit` is the effective memory limit, for a budget that is a share of it.
    ///
    /// # Errors
    /// Every problem, with the path of the value, the value and the rule.
    pub fn from_code(
        mut config: Config,
        specs: Vec<Arc<ComponentSpec>>,
        pools: Vec<PoolSpec>,
        gateway: Option<Arc<GatewaySpec>>,
        machine_limit: Option<ByteSize>,
    ) -> Result<Self, Problems> {
        let mut found = Found(Vec::new());
        let found_in_settings = config.problems();
        for problem in &found_in_settings {
            found.error("out-of-range", problem.to_string(), None, Some(problem.value.to_string()));
        }
        check_values(&mut found, &specs, &pools, Some(&pools));
        let source = Source::new(BUILDER, String::new());
        let nowhere = Node { span: 0..0, value: Value::Table(Vec::new()) };
        let nowhere = Member { key: "".into(), key_span: 0..0, node: nowhere };
        // A value out of range is reported once, and is no base of further problems.
        for problem in found_in_settings {
            config.set(problem.setting, &Config::default().get(problem.setting));
        }
        let is_budget_stated = config.memory.budget != Config::default().memory.budget;
        let declared = specs.iter().map(|spec| Declared {
            spec: Arc::clone(spec),
            file: 0,
            legacy: false,
            name_span: &nowhere.key_span,
            keys: Keys::Own(&nowhere),
        });
        let components = declared.collect();
        let layers = Layers::default();
        for value in gateway.iter().flat_map(|gateway| out_of_range(GATEWAY, gateway)) {
            found.out_of_range("gateway", &value);
        }
        let declared_gateway =
            gateway.clone().map(|spec| DeclaredGateway { spec, member: &nowhere });
        let draft = Draft {
            config,
            is_budget_stated,
            budget_span: None,
            pools,
            gateway: declared_gateway,
            layers,
            components,
        };
        let mut reports = [Report::new(&source)];
        check::whole(&mut reports, &draft, machine_limit, &|_, _| None);
        let [report] = reports;
        let whole =
            report.into_problems().into_iter().filter(|problem| problem.code != "no-component");
        let mut problems = found.0;
        problems.extend(whole.map(|problem| Problem { at: None, ..problem }));
        if problems.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(Problems::new(problems));
        }
        sort(&mut problems);
        let Draft { config, pools, .. } = draft;
        Ok(Self { config, specs, pools, gateway, sources: Vec::new(), warnings: problems })
    }
}

/// The problems of components and pools that were made in code, each looked at by itself: also where the rest of the
/// configuration cannot be read.
#[must_use]
pub fn value_problems(specs: &[Arc<ComponentSpec>], pools: &[PoolSpec]) -> Vec<Problem> {
    let mut found = Found(Vec::new());
    check_values(&mut found, specs, pools, None);
    found.0
}

/// Checks components and pools each by itself; the names of pools where all pools are known.
fn check_values(
    found: &mut Found,
    specs: &[Arc<ComponentSpec>],
    pools: &[PoolSpec],
    all_pools: Option<&[PoolSpec]>,
) {
    pools.iter().for_each(|pool| check_pool(found, pool));
    specs.iter().for_each(|spec| check_component(found, spec, all_pools));
}

/// Collects problems.
struct Found(Vec<Problem>);

impl Found {
    fn error(
        &mut self,
        code: &'static str,
        message: String,
        suggestion: Option<String>,
        value: Option<String>,
    ) {
        self.0.push(Problem { value, ..whole_file(BUILDER, code, message, suggestion) });
    }

    fn out_of_range(&mut self, path: &str, OutOfRange { key, value, domain }: &OutOfRange) {
        let message = format!("{path}.{key} is {value}; it must {}", domain.rule());
        self.error("out-of-range", message, None, Some(value.to_string()));
    }
}

fn check_pool(found: &mut Found, pool: &PoolSpec) {
    let path = format!("pools.{}", pool.name);
    // Pools follow the rules of component names.
    if let Err(error) = ComponentId::new(&pool.name) {
        found.error("bad-name", format!("{path}: {error}"), None, Some(pool.name.to_string()));
    }
    for value in out_of_range(POOL, pool) {
        found.out_of_range(&path, &value);
    }
    if let Some((message, help)) = rules::unbounded_pool(pool) {
        found.error("missing-key", format!("{path}: {message}"), Some(help.to_owned()), None);
    }
}

fn check_component(found: &mut Found, spec: &ComponentSpec, pools: Option<&[PoolSpec]>) {
    let path = format!("components.{}", spec.id);
    for value in out_of_range(COMPONENT, spec) {
        found.out_of_range(&path, &value);
    }
    if let Some(probe) = spec.probe() {
        for value in out_of_range(PROBE, probe) {
            found.out_of_range(&format!("{path}.probe"), &value);
        }
    }
    let steps = spec.program().into_iter().flat_map(|p| [("sleep", &p.sleep), ("wake", &p.wake)]);
    for (key, step) in steps {
        for value in step.iter().flat_map(|step| out_of_range(STEP, step)) {
            found.out_of_range(&format!("{path}.{key}"), &value);
        }
    }
    let warm_up = spec.program().and_then(|p| p.warm_up.as_deref());
    for value in warm_up.into_iter().flat_map(|warm_up| out_of_range(WARM_UP, warm_up)) {
        found.out_of_range(&format!("{path}.warm_up"), &value);
    }
    for breach in rules::check(spec) {
        let message = format!("{path}.{}: {}", breach.place, breach.message);
        found.error(breach.code, message, breach.help, None);
    }
    if let Some((message, help)) = pools.and_then(|pools| rules::unknown_pool(&spec.pool, pools)) {
        found.error("unknown-pool", format!("{path}.pool: {message}"), Some(help), None);
    }
    for breach in pools.iter().flat_map(|pools| rules::check_memory(spec, pools)) {
        let message = format!("{path}.{}: {}", breach.place, breach.message);
        found.error(breach.code, message, breach.help, None);
    }
    if spec.health_every.is_some() && !spec.loader.is_in_process() {
        let kind = spec.loader.kind();
        let message = format!(
            "{path}.health_every: health_every belongs to loader = \"builtin\", not to \"{kind}\""
        );
        let help = Some("remove it, or change the loader".to_owned());
        found.error("foreign-key", message, help, None);
    }
    let lists = [("keywords", &spec.keywords), ("preload_triggers", &spec.preload_triggers)];
    for (key, list) in lists {
        for (idx, phrase) in list.iter().enumerate() {
            // A file's phrase without a word is left out with a warning; code is not rewritten.
            if let Some((_, code, message, help)) = phrases::without_word(key, phrase) {
                let message = format!("{path}.{key}[{idx}]: {message}");
                found.error(code, message, Some(help.to_owned()), Some(phrase.clone()));
            }
        }
    }
}
