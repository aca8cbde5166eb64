//! The gateway: the manager whose components it serves, and the configuration in force as a table.
//!
//! Invariant: a request sees one table from its beginning to its end. A table is made again when the manager's configuration is
//! another one; members, with what is under way, stay.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use majordomo::{ComponentId, Declared, GatewaySpec, Manager, StatusValue};
use tokio::sync::{Semaphore, watch};

use crate::access::Access;
use crate::buffer::Room;
use crate::error::GatewayError;
use crate::member::Member;
use crate::names::Names;

/// Texts that wait to be learned; further ones are dropped.
const MAX_TEACHING: usize = 64;

/// The configuration in force.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) declared: Arc<Declared>,
    pub(crate) spec: Arc<GatewaySpec>,
    pub(crate) names: Names,
    pub(crate) access: Access,
    pub(crate) members: BTreeMap<ComponentId, Arc<Member>>,
    pub(crate) room: Arc<Room>,
}

impl Table {
    /// A table of a configuration; members and room of the one before stay. Where other machines reach the gateway, its last tokens
    /// stay until the address is given up, which takes a restart. Blocking: reads tokens.
    fn new(
        declared: Arc<Declared>,
        folder: &std::path::Path,
        before: Option<&Self>,
        is_exposed: bool,
    ) -> Self {
        let spec = match (&declared.gateway, before) {
            (Some(spec), _) => Arc::clone(spec),
            (None, Some(before)) => {
                tracing::warn!("[gateway] was removed; it is served as before until a restart");
                Arc::clone(&before.spec)
            }
            (None, None) => Arc::default(),
        };
        let spec = match before {
            Some(before) if is_exposed && spec.tokens.is_empty() => {
                tracing::warn!(
                    "the tokens of [gateway] were removed, and other machines reach it; they are needed until a restart"
                );
                let mut kept = (*spec).clone();
                kept.tokens.clone_from(&before.spec.tokens);
                Arc::new(kept)
            }
            _ => spec,
        };
        let access = Access::new(&spec, folder, |name, error| {
            tracing::error!(token = name, "{error}; the token opens nothing until it is reloaded");
        });
        let member = |spec: &Arc<majordomo::ComponentSpec>| {
            let kept = before.and_then(|before| before.members.get(&spec.id));
            let member = kept.map_or_else(|| Arc::new(Member::new(spec)), Arc::clone);
            member.configure(spec);
            (spec.id.clone(), member)
        };
        let members = declared.components.iter().map(member).collect();
        let kept = before.map(|before| &before.room).filter(|r| r.total() == spec.max_buffered);
        let room = kept.map_or_else(|| Arc::new(Room::new(spec.max_buffered)), Arc::clone);
        let names = Names::new(&declared.components, &spec);
        Self { declared, spec, names, access, members, room }
    }
}

#[derive(Debug)]
struct Inner {
    manager: Manager,
    /// The folder that the files of tokens are relative to.
    folder: PathBuf,
    /// Other machines reach it, by a listener of its own.
    is_exposed: bool,
    table: ArcSwap<Table>,
    /// Locked while a table is made.
    making: tokio::sync::Mutex<()>,
    closing: watch::Sender<bool>,
    teaching: Arc<Semaphore>,
}

/// The gateway as a service: [`tower_service::Service`] of HTTP requests. Clones share it.
#[derive(Clone, Debug)]
pub struct Gateway {
    inner: Arc<Inner>,
}

/// The gateway's section of the status: given to [`majordomo::Builder::section`] before there is a manager, and filled once a
/// gateway serves it.
#[derive(Clone, Debug, Default)]
pub struct StatusSection(Arc<OnceLock<Weak<Inner>>>);

impl Gateway {
    /// A gateway to the components of a manager, by the configuration of the manager. `folder` is the one that the files of tokens
    /// are relative to. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`GatewayError::Token`] for a token that cannot be used.
    pub async fn new(manager: Manager, folder: PathBuf) -> Result<Self, GatewayError> {
        Self::reached_by(manager, folder, None).await
    }

    /// The same, where other machines reach it at an address.
    pub(crate) async fn reached_by(
        manager: Manager,
        folder: PathBuf,
        others: Option<SocketAddr>,
    ) -> Result<Self, GatewayError> {
        let declared = manager.declared();
        let (spec, base) = (declared.gateway.clone().unwrap_or_default(), folder.clone());
        let table = tokio::task::spawn_blocking(move || {
            crate::error::check_tokens(&spec, &base)?;
            // The file may be another one than when the address was taken.
            if let Some(address) = others {
                crate::error::needs_token(&spec, address)?;
            }
            Ok::<_, GatewayError>(Table::new(declared, &base, None, others.is_some()))
        });
        let table = table.await.map_err(|_| GatewayError::ShuttingDown)??;
        let inner = Inner {
            manager,
            folder,
            is_exposed: others.is_some(),
            table: ArcSwap::from_pointee(table),
            making: tokio::sync::Mutex::default(),
            closing: watch::Sender::new(false),
            teaching: Arc::new(Semaphore::new(MAX_TEACHING)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The manager whose components it serves.
    #[must_use]
    pub fn manager(&self) -> &Manager {
        &self.inner.manager
    }

    /// The configuration in force.
    pub(crate) async fn table(&self) -> Arc<Table> {
        let table = self.inner.table.load_full();
        let declared = self.inner.manager.declared();
        if Arc::ptr_eq(&table.declared, &declared) {
            return table;
        }
        let _making = self.inner.making.lock().await;
        let before = self.inner.table.load_full();
        let declared = self.inner.manager.declared();
        if Arc::ptr_eq(&before.declared, &declared) {
            return before;
        }
        let (old, folder) = (Arc::clone(&before), self.inner.folder.clone());
        let is_exposed = self.inner.is_exposed;
        let made = tokio::task::spawn_blocking(move || {
            Arc::new(Table::new(declared, &folder, Some(&old), is_exposed))
        });
        // The runtime ends.
        let Ok(made) = made.await else { return before };
        self.inner.table.store(Arc::clone(&made));
        made
    }

    /// The table as it was made last.
    pub(crate) fn last_table(&self) -> Arc<Table> {
        self.inner.table.load_full()
    }

    /// The components, as they were configured when the last request came.
    #[must_use]
    pub fn members(&self) -> Vec<Arc<Member>> {
        self.last_table().members.values().cloned().collect()
    }

    /// A component by its own name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Arc<Member>> {
        let table = self.last_table();
        table.members.values().find(|member| member.id.as_str() == name).cloned()
    }

    /// How long a request waits for a component.
    pub(crate) fn wait_for(&self, member: &Member) -> Duration {
        let deadlines = &self.inner.manager.config().deadlines;
        self.last_table().spec.wait.unwrap_or_else(|| {
            member.spec().load_deadline.unwrap_or(deadlines.load) + deadlines.demand
        })
    }

    pub(crate) fn use_gap(&self) -> Duration {
        self.last_table().spec.use_gap
    }

    /// Stops taking requests: connections end after what they have under way.
    pub(crate) fn close(&self) {
        self.inner.closing.send_replace(true);
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.inner.closing.borrow()
    }

    /// Resolves when the gateway stops.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut closing = self.inner.closing.subscribe();
        async move {
            // The sender lives as long as the gateway.
            drop(closing.wait_for(|c| *c).await);
        }
    }

    /// Learns that a text needed a component, in the background.
    pub(crate) fn learn(&self, text: String, member: &Member) {
        let Ok(place) = Arc::clone(&self.inner.teaching).try_acquire_owned() else { return };
        let (manager, id) = (self.inner.manager.clone(), member.id.clone());
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = manager.intents().teach(&text, &[id.as_str()]).await {
                tracing::debug!(component = %id, %error, "a text was not learned");
            }
        });
    }

    fn rows(&self) -> Vec<(String, StatusValue)> {
        let members = self.members();
        let busy = members.iter().filter(|m| !m.figures.is_empty() || m.flow.in_flight() > 0);
        let row =
            |m: &Arc<Member>| m.figures.rows(m.id.as_str(), m.flow.in_flight(), m.flow.waiting());
        busy.flat_map(row).collect()
    }
}

impl StatusSection {
    /// Shows this gateway from now on; the first one that is given stays.
    pub fn show(&self, gateway: &Gateway) {
        drop(self.0.set(Arc::downgrade(&gateway.inner)));
    }

    /// The section as the builder takes it.
    #[must_use]
    pub fn rows(&self) -> (String, Vec<(String, StatusValue)>) {
        let inner = self.0.get().and_then(Weak::upgrade);
        let rows = inner.map(|inner| Gateway { inner }.rows()).unwrap_or_default();
        ("gateway".to_owned(), rows)
    }
}
