//! From a builder to a running manager.

use std::path::{Path, PathBuf};

use majordomo_core::{BudgetSetting, ByteSize};
use majordomo_memory::{
    bound_retained, effective_limit, has_swap, platform_source, trim_allocator,
};
use majordomo_registry::{
    ComponentSpec, LoadedConfig, LoaderSpec, Problems, base_dir as base_dir_of, value_problems,
};
use majordomo_runtime::guard::{Guard, GuardConfig, GuardForm};
use majordomo_runtime::process::{ProcessConfig, ProcessLoader, Subreaper};
use majordomo_runtime::{Host, ShellParts, StatusSection, check_drivers};

#[cfg(feature = "coreml")]
use crate::back_ends::BackEndService;
use crate::builder::Builder;
use crate::error::BuildError;
#[cfg(feature = "coreml")]
use crate::intents::AfterRetrain;
use crate::intents::{Brain, IntentService, Settings};
use crate::manager::{Declared, Manager, Origin};
use crate::parts::{Checked, Parts, Source};
use crate::state_dir::StateDir;
use crate::without_uses::WithoutUses;

impl Builder {
    /// Checks everything and starts the manager on the current tokio runtime, which needs time and I/O.
    ///
    /// # Errors
    /// A [`BuildError`]; nothing runs then.
    pub async fn start(self) -> Result<Manager, BuildError> {
        check_drivers(false)?;
        #[cfg(feature = "coreml")]
        if majordomo_coreml::is_child() {
            // A second copy of the program would do its work again.
            let why = "this process is a calibration child: its `main` must begin with `calibration_main`";
            return Err(BuildError::Start(std::io::Error::other(why)));
        }
        // Before the learned state is read: large blocks that are freed until then stay with the allocator.
        bound_retained();
        let mut machine = platform_source();
        let limit = effective_limit(&mut machine);
        let base_dir = self.folder()?;
        let (read, mut problems) = match self.read(limit.as_ref().ok().copied()).await? {
            Some(Ok(loaded)) => (Some(loaded), Vec::new()),
            Some(Err(problems)) => (None, problems.into_iter().collect()),
            None => (None, Vec::new()),
        };
        if !problems.is_empty() {
            problems.extend(self.code.factories.problems());
            problems.extend(value_problems(&self.code.specs, &self.code.pools));
            return Err(Problems::new(problems).into());
        }
        for warning in read.iter().flat_map(|loaded| &loaded.warnings) {
            tracing::warn!("{warning:#}");
        }
        let read = read.as_ref().map(Parts::from);
        let mut parts = Parts::new(read.as_ref(), &self.code, self.budget);
        parts.config.speculation.enabled &= !self.measures;
        let limit = match (parts.config.memory.budget, limit) {
            (BudgetSetting::Bytes(bytes), Err(_)) => bytes,
            (_, limit) => limit.map_err(|e| BuildError::Memory(e.to_string()))?,
        };
        problems.extend(self.code.problems(base_dir.clone()).await?);
        problems.extend(self.code.factories.problems());
        let unused = self.code.factories.unused(&parts.specs);
        match self.source {
            // A reload of the file may declare the builtin, and its last change may have removed it.
            Some(Source::File(_)) => unused.iter().for_each(|p| tracing::warn!("{}", p.message)),
            _ => problems.extend(unused),
        }
        if !self.dormant {
            problems.extend(self.code.factories.missing(&parts.specs));
        }
        let Checked { catalog, matchers, budget } = parts.check(limit, None, problems)?;

        let (state, store) = StateDir::open(self.state_dir, self.dormant).await?;
        let store = if self.measures { store.map(WithoutUses::of) } else { store };
        let mut settings = Settings::from(&parts.config);
        // A dormant manager trains nothing.
        settings.intents.learn &= !self.dormant && !self.measures;
        let kept = store.clone();
        let brain = tokio::task::spawn_blocking(move || {
            let brain = Brain::open(matchers, settings, kept);
            trim_allocator();
            brain
        });
        let brain = brain.await;
        let brain = brain.map_err(std::io::Error::other)?;
        let runs_processes = catalog
            .keys()
            .any(|k| catalog.spec(k).is_some_and(|s| matches!(s.loader, LoaderSpec::Process(_))));
        let needs_guard = runs_processes || self.source.is_some() || self.guard.is_some();
        // Before anything that starts processes.
        let guard = if !self.dormant && needs_guard {
            check_drivers(true)?;
            let form = self.guard.unwrap_or(GuardForm::Shell);
            let pid_file = Some(state.path.join("guard.pids"));
            let temporary = state.temporary.then(|| state.path.clone());
            Some(Guard::start(GuardConfig { form, pid_file, temporary }).await?)
        } else {
            None
        };
        let mut sections: Vec<StatusSection> = Vec::new();
        #[cfg(not(feature = "coreml"))]
        let after_retrain = None;
        #[cfg(feature = "coreml")]
        let after_retrain = match self.back_ends.filter(|_| !self.dormant) {
            Some(back_ends) => {
                let mark = guard.as_ref().map(|guard| guard.mark("__calibrate"));
                let service = BackEndService::start(back_ends, &state.path, store.as_ref(), mark)?;
                sections.push(Box::new(service.section()));
                Some(Box::new(service) as Box<dyn AfterRetrain>)
            }
            None => None,
        };
        let intents = IntentService::start(brain, self.releases_program, after_retrain)?;
        sections.insert(0, Box::new(intents.section()));
        sections.extend(self.sections);
        let processes = if let Some(guard) = guard {
            let mut config = ProcessConfig::new(state.path.clone());
            // macOS has no such thing: there strays are out of scope.
            if self.adopt_strays && cfg!(target_os = "linux") {
                config.subreaper = Some(Subreaper::enable()?);
            }
            let loader = ProcessLoader::new(config, guard);
            let (park, has_swap) = (parts.config.parking.park, has_swap(Path::new("/")));
            let bounded = |s: &ComponentSpec| {
                s.memory_limit.is_some() || (s.program().is_some() && s.may_park(park) && has_swap)
            };
            if catalog.keys().any(|k| catalog.spec(k).is_some_and(|s| bounded(s))) {
                let loader = loader.clone();
                // It fails only when the runtime shuts down.
                let _ = tokio::task::spawn_blocking(move || loader.find_limits()).await;
            }
            Some(loader)
        } else {
            None
        };
        let folder = self.base_dir.clone();
        let config = parts.config.clone();
        let declared = Declared::new(parts.specs, parts.gateway);
        let pressure = self.pressure.unwrap_or_else(|| Some(Box::new(machine)));
        let runs_programs = self.dormant || processes.is_some();
        let host = Host::start(ShellParts {
            catalog,
            config: parts.config,
            budget,
            factories: self.code.factories.by_name(&base_dir),
            processes,
            base_dir: base_dir.clone(),
            store,
            pressure,
            wall_clock: self.wall_clock,
            start: !self.dormant,
            sections,
        })?;
        let origin = Origin {
            source: self.source,
            folder,
            base_dir,
            runs_programs,
            budget: self.budget,
            limit,
            read,
            code: self.code,
        };
        Ok(Manager::new(host, intents, (config, declared), origin, state))
    }

    /// The folder that relative paths start from, absolute.
    fn folder(&self) -> std::io::Result<PathBuf> {
        let folder = match (&self.base_dir, &self.source) {
            (Some(dir), _) => dir.clone(),
            (None, Some(Source::File(file))) => base_dir_of(file)?,
            (None, _) => PathBuf::new(),
        };
        match folder.as_os_str().is_empty() {
            true => std::env::current_dir(),
            false => std::path::absolute(folder),
        }
    }

    /// Reads the configuration file or text, if there is one, on a thread of its own: a file system that hangs must
    /// not block the caller's other tasks.
    async fn read(
        &self,
        limit: Option<ByteSize>,
    ) -> std::io::Result<Option<Result<LoadedConfig, Problems>>> {
        let Some(source) = self.source.clone() else { return Ok(None) };
        let folder = self.base_dir.clone();
        let read = tokio::task::spawn_blocking(move || source.read(folder.as_deref(), limit));
        Ok(Some(read.await.map_err(std::io::Error::other)?))
    }
}
