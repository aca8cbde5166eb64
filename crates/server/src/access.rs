//! The token that TCP clients must show: the one in force, and how a reload replaces it.
//!
//! Invariant: from the moment in which a token is replaced no request with the old one passes, and the streams of a client
//! that showed the old one end.

use std::path::PathBuf;
use std::sync::Mutex;

use tokio::sync::watch;

use crate::client::Token;
use crate::error::ServeError;
use crate::lock::locked;

/// The token that TCP clients must show.
#[derive(Debug)]
pub(crate) struct Access {
    token: Mutex<Option<Token>>,
    /// Where it is read again.
    file: Option<PathBuf>,
    /// Notified when it is replaced by another.
    replaced: watch::Sender<()>,
}

impl Access {
    pub(crate) fn new(token: Option<Token>, file: Option<PathBuf>) -> Self {
        Self { token: Mutex::new(token), file, replaced: watch::Sender::new(()) }
    }

    /// The token in force.
    pub(crate) fn token(&self) -> Option<Token> {
        locked(&self.token).clone()
    }

    /// Reads the file again; none without a file.
    pub(crate) async fn read(&self) -> Result<Option<Token>, ServeError> {
        let Some(file) = self.file.clone() else { return Ok(None) };
        let read = tokio::task::spawn_blocking(move || Token::read(&file)).await;
        match read {
            Ok(read) => read.map(Some).map_err(ServeError::from),
            Err(error) => Err(ServeError::Token(error.to_string())),
        }
    }

    /// Puts a token in the place of the one in force.
    pub(crate) fn replace(&self, new: Token) {
        let mut token = locked(&self.token);
        if token.as_ref() != Some(&new) {
            *token = Some(new);
            drop(token);
            tracing::info!("the token of TCP clients was replaced");
            self.replaced.send_replace(());
        }
    }

    /// Waits until the token is replaced.
    pub(crate) fn is_replaced(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut replaced = self.replaced.subscribe();
        async move {
            if replaced.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
