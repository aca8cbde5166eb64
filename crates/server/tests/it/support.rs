//! What the tests share: a served manager of builtins in a folder of its own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use majordomo::{ByteSize, ComponentSpec, Config, Manager, Priority, ServerConfig};
use majordomo_server::{Address, Client, ServeOptions, Server, serve};

/// A running server and its folder, which goes with it.
pub(crate) struct Served {
    pub(crate) server: Server,
    dir: PathBuf,
}

impl Served {
    /// `alarm` (CORE), `music` and `mail`, in a budget for all; `server` are the settings of the interface.
    pub(crate) async fn start(server: ServerConfig) -> Self {
        let config = Config { server, ..Config::default() };
        let mut builder =
            Manager::builder().config(config).budget(ByteSize::mib(64)).pressure(None);
        for (name, priority) in
            [("alarm", Priority::Core), ("music", Priority::Medium), ("mail", Priority::Low)]
        {
            let mut spec = ComponentSpec::builtin(name).unwrap();
            spec.memory = ByteSize::mib(10);
            spec.priority = priority;
            spec.keywords = vec![format!("{name} please")];
            builder = builder.component(spec).builtin(name, |_| Ok(()));
        }
        Self::over(builder.start().await.unwrap()).await
    }

    pub(crate) async fn over(manager: Manager) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        // Short: the system bounds the path of a socket.
        let dir = std::env::temp_dir().join(format!("mj-{}-{n}", std::process::id()));
        let options = ServeOptions { socket: Some(dir.join("s.sock")), ..ServeOptions::default() };
        let server = serve(manager, options).await.unwrap();
        Self { server, dir }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(Address::Unix(self.server.socket().to_path_buf()))
    }

    pub(crate) async fn end(self) {
        assert!(self.server.shutdown(None).await.is_empty());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.dir));
    }
}
