//! Orders to a load that it ends: the time span that it has left.

use std::time::Duration;

use tokio::sync::watch;

/// The next time span that is ordered: each order once. Never ends once there is no sender of orders. Cancel safe.
pub(crate) async fn next_order(orders: &mut watch::Receiver<Option<Duration>>) -> Duration {
    while orders.changed().await.is_ok() {
        if let Some(grace) = *orders.borrow_and_update() {
            return grace;
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn every_order_is_seen_once() {
        let (sender, mut orders) = watch::channel(None);
        for grace in [Duration::from_secs(9), Duration::ZERO] {
            sender.send_replace(Some(grace));
            assert_eq!(next_order(&mut orders).await, grace);
        }
        for sender in [Some(sender), None] {
            let mut next = pin!(next_order(&mut orders));
            let is_pending = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx).is_pending())).await;
            assert!(is_pending, "{sender:?}");
        }
    }
}
