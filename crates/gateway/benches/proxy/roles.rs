//! The processes of the bench: a component, a bare proxy and the gateway, each on one thread.

use std::convert::Infallible;

use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use majordomo::{
    ByteSize, ComponentSpec, ExternalSpec, GatewaySpec, ListenAddress, Manager, ServiceUrl,
};
use tokio::net::{TcpListener, TcpStream};

type AnyBody = UnsyncBoxBody<Bytes, hyper::Error>;

/// Runs a role until the process is killed.
pub(crate) fn run(role: &str, behind: u16) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match role {
            "component" => component().await,
            "bare" => bare(behind).await,
            _ => gateway(behind).await,
        }
    });
}

async fn listen() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    listener
}

/// So many bytes, in parts that are shared.
struct Large(usize);

impl Body for Large {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        static PART: [u8; 64 << 10] = [b'x'; 64 << 10];
        let n = self.0.min(PART.len());
        self.0 -= n;
        let part = (n > 0).then(|| Ok(Frame::data(Bytes::from_static(&PART[..n]))));
        std::task::Poll::Ready(part)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0 as u64)
    }
}

async fn component() {
    let listener = listen().await;
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let service = service_fn(async |request: Request<Incoming>| {
            let path = request.uri().path().to_owned();
            if path == "/sink" {
                let mut body = request.into_body();
                while let Some(Ok(_)) = body.frame().await {}
            }
            let large = path.strip_prefix("/large/").and_then(|n| n.parse().ok());
            let body = match large {
                Some(n) => AnyBody::new(Large(n)),
                None => full("hello, world\n"),
            };
            Ok::<_, Infallible>(Response::new(body))
        });
        let serve = hyper::server::conn::http1::Builder::new();
        tokio::spawn(serve.serve_connection(TokioIo::new(stream), service));
    }
}

fn full(text: &'static str) -> AnyBody {
    AnyBody::new(Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}))
}

/// The least that a proxy does: one connection to the component for each of a client, no checks.
async fn bare(behind: u16) {
    let listener = listen().await;
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let upstream = TcpStream::connect(("127.0.0.1", behind)).await.unwrap();
            upstream.set_nodelay(true).unwrap();
            let (sender, connection) = handshake(TokioIo::new(upstream)).await.unwrap();
            tokio::spawn(connection);
            let sender = std::sync::Arc::new(tokio::sync::Mutex::new(sender));
            let service = service_fn(move |request: Request<Incoming>| {
                let sender = std::sync::Arc::clone(&sender);
                async move {
                    let mut sender: tokio::sync::MutexGuard<'_, SendRequest<Incoming>> =
                        sender.lock().await;
                    sender.ready().await?;
                    sender.send_request(request).await
                }
            });
            let serve = hyper::server::conn::http1::Builder::new();
            drop(serve.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn gateway(behind: u16) {
    let mut spec = GatewaySpec::default();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    spec.listen = vec![ListenAddress::Tcp(free)];
    let claimed = majordomo_gateway::claim(&spec, std::path::Path::new("/")).await.unwrap();
    let url = ServiceUrl::parse(&format!("http://127.0.0.1:{behind}")).unwrap();
    let component = ComponentSpec::external("component", ExternalSpec::new(url)).unwrap();
    let builder = Manager::builder().budget(ByteSize::mib(64)).pressure(None);
    let manager = builder.component(component).gateway(spec).start().await.unwrap();
    let section = majordomo_gateway::StatusSection::default();
    let running = claimed.serve(manager, &section).await.unwrap();
    println!("{}", running.addresses()[0].port());
    std::future::pending::<()>().await;
}
