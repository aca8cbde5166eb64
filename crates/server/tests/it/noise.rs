//! Whatever bytes come: the server answers the next client.

use majordomo::ServerConfig;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::Served;

fn request() -> impl Strategy<Value = Vec<u8>> {
    let method =
        prop_oneof![Just("GET"), Just("POST"), Just("DELETE"), Just("OPTIONS"), Just("\0")];
    let path = prop_oneof![
        Just("/v1/commands".to_owned()),
        Just("/v1/leases".to_owned()),
        Just("/v1/leases/x/renew".to_owned()),
        Just("/v1/components/music/unload".to_owned()),
        Just("/v1/components/music/logs?from=18446744073709551615".to_owned()),
        Just("/v1/events?follow=false&from=18446744073709551615".to_owned()),
        "/[ -~]{0,40}",
    ];
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        Just(b"{\"components\":[\"music\"],\"ttl_ms\":1}".to_vec()),
        Just(b"{\"text\":\"music please\",\"deadline_ms\":1}".to_vec()),
        Just("[".repeat(5000).into_bytes()),
        Just(b"{\"component\":\"music\",\"confidence\":1e400}".to_vec()),
    ];
    let structured = (method, path, body, -3i64..3).prop_map(|(method, path, body, off)| {
        let length = i64::try_from(body.len()).unwrap_or(0) + off;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n"
        );
        [head.into_bytes(), body].concat()
    });
    prop_oneof![4 => structured, 1 => proptest::collection::vec(any::<u8>(), 0..400)]
}

#[test]
fn any_bytes_leave_it_standing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let served = runtime.block_on(Served::start(ServerConfig::default()));
    let config =
        ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(bytes in request())| {
        runtime.block_on(async {
            let mut stream = served.connect().await;
            drop(stream.write_all(&bytes).await);
            drop(stream.shutdown().await);
            let mut answer = Vec::new();
            drop(stream.read_to_end(&mut answer).await);
            // Nothing, or a whole head; never an error of ours.
            prop_assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "));
            prop_assert!(!answer.starts_with(b"HTTP/1.1 500"), "{}", String::from_utf8_lossy(&answer));
            prop_assert!(served.client().health().await.is_ok());
            Ok(())
        })?;
    });
    runtime.block_on(served.end());
}
