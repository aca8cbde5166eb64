//! The gateway's own listeners: where clients connect, how many may, and how it ends.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use majordomo::{ComponentSpec, GatewaySpec, ListenAddress, Manager};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tower_service::Service;

use crate::answer::{Body, BodyError};
use crate::api::Api;
use crate::error::{GatewayError, check_tokens, needs_token};
use crate::gateway::{Gateway, StatusSection};
use crate::listener::{self, Bound};
use crate::peer::Peer;
use crate::places::{ACCEPT_PAUSE, Place, Places};
use crate::strict::{Shared, Strict, Times};

/// Addresses that are held before there is a manager: clients that connect meanwhile wait.
#[derive(Debug)]
pub struct Claimed {
    listeners: Vec<TcpListener>,
    /// Addresses of components.
    bound: Vec<Bound>,
    folder: PathBuf,
}

/// Takes the addresses of a gateway, and reads its tokens, so that what is wrong with either is known before anything is loaded.
/// `folder` is the one that the files of tokens are relative to.
///
/// # Errors
/// A [`GatewayError`]; nothing listens then.
pub async fn claim(spec: &GatewaySpec, folder: &Path) -> Result<Claimed, GatewayError> {
    let (checked, base) = (spec.clone(), folder.to_path_buf());
    let tokens = tokio::task::spawn_blocking(move || check_tokens(&checked, &base)).await;
    tokens.map_err(|_| GatewayError::ShuttingDown)??;
    let mut listeners = Vec::new();
    for address in &spec.listen {
        let ListenAddress::Tcp(address) = address else { continue };
        let failed = |why: String| GatewayError::Listen { address: *address, why };
        needs_token(spec, *address)?;
        let listener = TcpListener::bind(address).await;
        listeners.push(listener.map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => failed(format!(
                "{error}; stop the program that listens there, or change gateway.listen"
            )),
            _ => failed(error.to_string()),
        })?);
    }
    Ok(Claimed { listeners, bound: Vec::new(), folder: folder.to_path_buf() })
}

/// A running gateway with its listeners. Dropping it leaves it running; end it with [`Self::close`].
#[derive(Debug)]
pub struct Running {
    gateway: Gateway,
    addresses: Vec<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

impl Claimed {
    /// Takes the addresses that are the components' own (`listen`), too. Components that are added by a reload take theirs then.
    ///
    /// # Errors
    /// [`GatewayError::ComponentListen`] with the component and the address; nothing listens then.
    pub async fn with_components<S: Borrow<ComponentSpec> + Sync>(
        mut self,
        specs: &[S],
    ) -> Result<Self, GatewayError> {
        let specs = specs.iter().map(Borrow::borrow);
        self.bound = listener::bind(specs, &self.folder).await?;
        Ok(self)
    }

    /// Serves the components of a manager, by the gateway of its configuration, until [`Running::close`].
    ///
    /// # Errors
    /// A [`GatewayError`]; nothing listens then.
    pub async fn serve(
        self,
        manager: Manager,
        section: &StatusSection,
    ) -> Result<Running, GatewayError> {
        let addresses: Vec<_> = self.listeners.iter().filter_map(|l| l.local_addr().ok()).collect();
        let others = addresses.iter().find(|address| !address.ip().is_loopback()).copied();
        let gateway = Gateway::reached_by(manager, self.folder.clone(), others).await?;
        section.show(&gateway);
        let places = Arc::new(Places::default());
        let accept =
            |listener| tokio::spawn(accept(gateway.clone(), listener, Arc::clone(&places)));
        let mut tasks: Vec<_> = self.listeners.into_iter().map(accept).collect();
        let own = listener::run(gateway.clone(), self.bound, self.folder, Arc::clone(&places));
        tasks.push(tokio::spawn(own));
        Ok(Running { gateway, addresses, tasks })
    }
}

impl Running {
    /// Where clients connect.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The service behind the listeners.
    #[must_use]
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Stops listening. Requests under way go on until they end, or until the manager stops their components.
    pub fn close(&self) {
        self.gateway.close();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.gateway.is_closing() {
            self.tasks.iter().for_each(JoinHandle::abort);
        }
    }
}

/// Takes connections until the gateway closes.
async fn accept(gateway: Gateway, listener: TcpListener, places: Arc<Places>) {
    let closed = gateway.closed();
    tokio::pin!(closed);
    loop {
        let next = async {
            places.free(&gateway).await;
            listener.accept().await
        };
        let accepted = tokio::select! {
            () = &mut closed => return,
            accepted = next => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let place = places.take();
                drop(stream.set_nodelay(true));
                tokio::spawn(connection(gateway.clone(), stream, peer, place));
            }
            Err(error) => {
                tracing::warn!(%error, "the gateway cannot take a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves a connection to its end.
async fn connection(gateway: Gateway, stream: TcpStream, peer: SocketAddr, place: Place) {
    let spec = Arc::clone(&gateway.last_table().spec);
    let times = Times { header: spec.header_time, idle: spec.idle_time, stall: spec.stall_time };
    let shared = Arc::new(Shared::default());
    // An end with RST.
    let reset = |stream: &TcpStream| drop(stream.set_zero_linger());
    let io = TokioIo::new(Strict::new(stream, Arc::clone(&shared), times, reset));
    let closed = gateway.closed();
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        let (refused, shared) = (shared.begin(), Arc::clone(&shared));
        let mut gateway = gateway.clone();
        // It has no chunks, so that the end of the connection is that of the answer.
        let ends_with_connection = request.version() == http::Version::HTTP_10;
        async move {
            let response = match refused {
                Some(refused) => refused.response(Api::Other),
                None => {
                    request.extensions_mut().insert(Peer(peer));
                    let Ok(response) = gateway.call(request).await;
                    response
                }
            };
            if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
                shared.changes_protocol();
            }
            Ok::<_, Infallible>(response.map(|body| Tracked { body, shared, ends_with_connection }))
        }
    });
    let served =
        hyper::server::conn::http1::Builder::new().serve_connection(io, service).with_upgrades();
    tokio::pin!(served, closed);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = &mut closed => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "a connection ended");
    }
    drop(place);
}

/// An answer's body; when it is sent, the connection waits for its next request.
struct Tracked {
    body: Body,
    shared: Arc<Shared>,
    ends_with_connection: bool,
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if self.ends_with_connection && matches!(frame, Some(Err(_))) {
            self.shared.ends_broken();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.shared.answered();
    }
}
