//! The frame protocol: acknowledged message logging over TCP, as `docs/frames.md` describes it.

pub mod decode;
pub mod refusal;
pub mod settings;
pub mod wire;

mod connection;
mod ledger;
mod seats;

use std::sync::Arc;

use headwater_hub::Hub;

use crate::accept::{Connection, Listener, Stopping};

use connection::Front;
use seats::Seats;
pub use settings::FrameSettings;

/// Serves every connection of this listener until the end is requested; then no more is read, what was read is answered,
/// and the connections are closed. Gives how many had not ended in time.
pub async fn serve(listener: Listener, hub: Arc<Hub>, settings: FrameSettings, stopping: Stopping) -> usize {
    let mut settings = settings.sane();
    // WELCOME promises what is taken; the hub would refuse what is longer than its own limit.
    settings.payload_max = settings.payload_max.min(hub.limits().payload_max);
    let front = Arc::new(Front { hub, settings, seats: Arc::new(Seats::default()) });
    let serve = move |connection: Connection| {
        let front = Arc::clone(&front);
        async move {
            let peer = connection.peer;
            if let Err(error) = connection::serve(connection, &front).await {
                // Nobody needs to act on it: the client comes back and learns from WELCOME where it stands.
                tracing::debug!(%peer, %error, "connection lost");
            }
        }
    };
    listener.run(stopping, serve).await
}
