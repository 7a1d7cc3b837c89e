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
    let front = Arc::new(Front { hub, settings: settings.sane(), seats: Arc::new(Seats::default()) });
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
