//! Transparent listeners: addresses of a component's own (`listen`), open all the time, whatever the protocol.
//!
//! A client's first byte, or its connection, loads the component; then bytes are passed both ways. Invariant: an address is
//! taken by one component at a time, and taken before anything is loaded; a reload opens and closes what it changed and
//! keeps other listeners and all connections.

mod client;
mod connection;
mod socket;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use majordomo::{ComponentId, ComponentSpec, ListenAddress};
use tokio::task::JoinHandle;

use crate::error::GatewayError;
use crate::gateway::Gateway;
use crate::places::{ACCEPT_PAUSE, Places};
use socket::Socket;

/// A component's address that is taken.
#[derive(Debug)]
pub(crate) struct Bound {
    component: ComponentId,
    address: ListenAddress,
    socket: Socket,
}

/// Takes the addresses of components. `folder` is the one that paths are relative to.
///
/// # Errors
/// [`GatewayError::ComponentListen`] with the component and the address; none is taken then.
pub(crate) async fn bind<'s>(
    components: impl IntoIterator<Item = &'s ComponentSpec>,
    folder: &Path,
) -> Result<Vec<Bound>, GatewayError> {
    let mut all = Vec::new();
    for spec in components {
        for address in &spec.route().listen {
            all.push(bind_one(spec, address, folder).await?);
        }
    }
    Ok(all)
}

async fn bind_one(
    spec: &ComponentSpec,
    address: &ListenAddress,
    folder: &Path,
) -> Result<Bound, GatewayError> {
    let failed = |why: String| GatewayError::ComponentListen {
        component: spec.id.clone(),
        address: address.to_string(),
        why,
    };
    if !address.is_local() && !spec.route().expose {
        return Err(failed("other machines reach it; set expose = true to allow that".to_owned()));
    }
    let socket = Socket::bind(address, folder).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            failed(format!("{error}; stop the program that listens there, or change listen"))
        }
        _ => failed(error.to_string()),
    })?;
    Ok(Bound { component: spec.id.clone(), address: address.clone(), socket })
}

/// The task of a listener; it ends when this is dropped.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Task {
    /// Ends the task; its address is free then.
    async fn end(mut self) {
        self.0.abort();
        drop((&mut self.0).await);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Listeners that run, by component and address.
type Running = BTreeMap<(ComponentId, ListenAddress), Task>;

/// Accepts clients at the addresses of components until the gateway closes, and follows reloads.
pub(crate) async fn run(gateway: Gateway, bound: Vec<Bound>, folder: PathBuf, places: Arc<Places>) {
    let mut running = Running::new();
    for bound in bound {
        start(&mut running, &gateway, bound, &places);
    }
    let closed = gateway.closed();
    tokio::pin!(closed);
    let mut known = gateway.last_table().declared.clone();
    loop {
        tokio::select! {
            () = &mut closed => break,
            declared = gateway.manager().declared_after(&known) => known = declared,
        }
        follow(&mut running, &gateway, &folder, &places).await;
    }
    for task in running.into_values() {
        task.end().await;
    }
}

/// Closes and opens listeners as the configuration in force says.
async fn follow(running: &mut Running, gateway: &Gateway, folder: &Path, places: &Arc<Places>) {
    let table = gateway.table().await;
    let specs = &table.declared.components;
    let is_declared = |(id, address): &(ComponentId, ListenAddress)| {
        specs.iter().any(|spec| spec.id == *id && spec.route().listen.contains(address))
    };
    let removed: Vec<_> = running.keys().filter(|key| !is_declared(key)).cloned().collect();
    for key in removed {
        if let Some(task) = running.remove(&key) {
            task.end().await;
            tracing::info!(component = %key.0, address = %key.1, "no longer listens");
        }
    }
    for spec in specs {
        for address in &spec.route().listen {
            if running.contains_key(&(spec.id.clone(), address.clone())) {
                continue;
            }
            match bind_one(spec, address, folder).await {
                Ok(bound) => {
                    tracing::info!(component = %spec.id, %address, "listens");
                    start(running, gateway, bound, places);
                }
                Err(error) => tracing::error!("{error}; it is tried again at the next reload"),
            }
        }
    }
}

fn start(running: &mut Running, gateway: &Gateway, bound: Bound, places: &Arc<Places>) {
    let key = (bound.component.clone(), bound.address.clone());
    let task = tokio::spawn(accept(gateway.clone(), bound, Arc::clone(places)));
    running.insert(key, Task(task));
}

/// Takes the clients of one address.
async fn accept(gateway: Gateway, bound: Bound, places: Arc<Places>) {
    let Bound { component, address, socket } = bound;
    loop {
        places.free(&gateway).await;
        match socket.accept().await {
            Ok(client) => {
                let place = places.take();
                let Some(member) = gateway.member(component.as_str()) else { continue };
                tokio::spawn(connection::serve(gateway.clone(), member, client, place));
            }
            Err(error) => {
                tracing::warn!(%error, %component, %address, "the gateway cannot take a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
