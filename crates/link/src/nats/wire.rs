//! A connection to publish over, which is not made again once it's lost: the library would send what it had kept before what was
//! lost on the way, and so turn the order around.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{Auth, AuthError, ConnectOptions, Event};
use tokio::sync::watch;

use super::shared::Shared;
use super::{ACK_TIME_MAX, CONNECT_TIME_MAX, IN_FLIGHT_MAX, PING_AFTER};
use crate::address::Address;

/// The connection.
pub(super) struct Wire {
    pub(super) context: Context,
    lost: watch::Receiver<bool>,
}

impl Wire {
    /// Connects to one of the servers, the next one with each try.
    pub(super) async fn connect(shared: &Shared, tries: usize) -> Result<Self, String> {
        let address = &shared.address;
        let (tell, lost) = watch::channel(false);
        let heard = move |event| {
            if matches!(event, Event::Disconnected | Event::Closed) {
                tell.send_replace(true);
            }
            ready(())
        };
        let options = ConnectOptions::with_auth_callback(once(address)).max_reconnects(1);
        let options = options.connection_timeout(CONNECT_TIME_MAX).ping_interval(PING_AFTER).event_callback(heard);
        let places = places(shared);
        let place = format!("nats://{}", places[tries % places.len()]);
        let client = options.connect(place).await.map_err(|error| error.to_string())?;
        let context = ContextBuilder::new()
            .timeout(ACK_TIME_MAX)
            .ack_timeout(ACK_TIME_MAX)
            .max_ack_inflight(IN_FLIGHT_MAX)
            .build(client);
        Ok(Self { context, lost })
    }

    /// Resolves when it's lost.
    pub(super) async fn lost(&self) {
        // Who would tell is gone with the connection.
        let _ = self.lost.clone().wait_for(|lost| *lost).await;
    }
}

/// The server of the address, and those of its cluster that it has told of: it may be the one that is away.
fn places(shared: &Shared) -> Vec<String> {
    let mut places = vec![format!("{}:{}", shared.address.host, shared.address.port)];
    for told in shared.context.client().server_info().connect_urls {
        if !places.contains(&told) {
            places.push(told);
        }
    }
    places
}

/// Says who we are the first time, and nothing when the library wants to connect again: that ends it.
fn once(address: &Address) -> impl Fn(Vec<u8>) -> std::future::Ready<Result<Auth, AuthError>> + Send + Sync + 'static {
    let is_used = Arc::new(AtomicBool::new(false));
    let user = address.user.clone();
    let password = user.is_some().then(|| address.password.clone().unwrap_or_default());
    move |_| {
        if is_used.swap(true, Ordering::AcqRel) {
            return ready(Err(AuthError::new("this connection is made once")));
        }
        let mut auth = Auth::new();
        (auth.username, auth.password) = (user.clone(), password.clone());
        ready(Ok(auth))
    }
}
