//! The frame protocol: acknowledged message logging over TCP, as `docs/frames.md` describes it.

pub mod decode;
pub mod refusal;
pub mod settings;
pub mod wire;

mod connection;
mod ledger;
mod seats;

use std::io;
use std::sync::Arc;

use headwater_hub::Hub;
use tokio::net::TcpStream;

use crate::accept::{Connection, Listener, Stopping};

use connection::Front;
use seats::Seats;
pub use settings::FrameSettings;

/// Serves every connection of this listener until the end is requested; then no more is read, what was read is answered,
/// and the connections are closed. Gives how many had not ended in time.
pub async fn serve(listener: Listener, hub: Arc<Hub>, settings: FrameSettings, stopping: Stopping) -> usize {
    let frames = Frames::new(hub, settings);
    let serve = |Connection { stream, peer, mut stopping }| {
        let frames = frames.clone();
        async move {
            if let Err(error) = frames.connection(stream, stopping.requested()).await {
                // Nobody needs to act on it: the client comes back and learns from WELCOME where it stands.
                tracing::debug!(%peer, %error, "connection lost");
            }
        }
    };
    listener.run(stopping, serve).await
}

/// The frame edge: what all its connections share.
#[derive(Clone)]
struct Frames(Arc<Front>);

impl Frames {
    fn new(hub: Arc<Hub>, settings: FrameSettings) -> Self {
        Self(Arc::new(Front { hub, settings: settings.sane(), seats: Arc::new(Seats::default()) }))
    }

    async fn connection(&self, stream: TcpStream, draining: impl Future<Output = ()> + Send) -> io::Result<()> {
        connection::serve(stream, &self.0, draining).await
    }
}
