//! One client of a transparent listener, from its first byte to its end.

use std::sync::Arc;

use majordomo::LoadOn;

use super::client::{Client, Stream};
use crate::activity::{Farewell, Tracker, splice};
use crate::figures::Counted;
use crate::gateway::Gateway;
use crate::member::Member;
use crate::places::Place;

/// Serves a client to its end. Nothing of it is left then but the component's own use.
pub(super) async fn serve(gateway: Gateway, member: Arc<Member>, stream: Stream, place: Place) {
    let mut client = Client::new(stream);
    let closed = gateway.closed();
    tokio::pin!(closed);
    let began = async {
        if member.spec().route().load_on == LoadOn::Bytes {
            let idle = gateway.last_table().spec.idle_time;
            let first = tokio::time::timeout(idle, client.first_byte()).await;
            if !matches!(first, Ok(Ok(true))) {
                // A probe of the port, or a client that has nothing to say.
                return None;
            }
        }
        tokio::select! {
            held = gateway.hold(&member) => Some(held),
            () = client.gone() => None,
        }
    };
    let held = tokio::select! {
        held = began => held,
        () = &mut closed => None,
    };
    let held = match held {
        Some(Ok(held)) => held,
        Some(Err(refused)) => {
            // The protocol is not known: the end of the connection is the only answer.
            tracing::warn!(component = %member.id(), ?refused, "a connection was refused");
            return;
        }
        None => return,
    };
    let component = match held.connect().await {
        Ok(component) => component,
        Err(error) => {
            member.figures.count(Counted::Failed);
            tracing::warn!(component = %member.id(), %error, "the component takes no connection");
            return;
        }
    };
    member.figures.count(Counted::Connection);
    let tracker = Tracker::new(gateway.clone(), held);
    splice(client, component, tracker, Farewell::None).await;
    drop(place);
}
