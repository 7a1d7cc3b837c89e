//! MQTT 3.1.1 and 5.0: a file a packet kind in [`packet`], and beside it what a server does with them.
//!
//! A publication becomes an event by `publishing`; a subscription becomes a watch of the hub by `subscribing`, whose frames
//! `spelling` encodes once for all; a shared one becomes a member of a group by `shares`. What survives a broken connection
//! is a `session`, which `keep` keeps in the log. `docs/mqtt.md` tells it from the client's side.

pub mod packet;

mod acknowledging;
mod connection;
mod elsewhere;
mod farewell;
mod front;
mod greeting;
mod headers;
mod hearing;
mod keep;
mod owed;
mod publishing;
mod refusal;
mod seats;
mod session;
mod settings;
mod shares;
mod spelling;
mod subscribing;
mod sweeper;
mod sys;
mod unsubscribing;
mod wills;
mod wire;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;

use crate::accept::{self, Listener, Stopping};
use crate::tls::TlsPeer;
use crate::ws::socket::Socket;

pub use front::{Counts, Front, KeptSession, Origin};
pub use settings::MqttSettings;
use wire::Wire;

/// The subprotocol of MQTT over WebSocket (MQTT 5.0 section 6).
pub const SUBPROTOCOL: &str = "mqtt";

/// Serves every connection of this listener until the end is requested; then no more is heard, what was heard is answered,
/// and the clients are told to go. Gives how many had not ended in time.
pub async fn serve(listener: Listener, front: Front, stopping: Stopping) -> usize {
    let serve = move |accept::Connection { stream, peer, tls, stopping }: accept::Connection| {
        let wire = Wire::bare(Socket(Arc::new(stream)));
        talk(wire, front.clone(), origin(peer, tls), stopping)
    };
    listener.run(stopping, serve).await
}

/// What goes on beside the connections, whatever they come over: sessions end in their time, `$SYS` is told.
///
/// # Errors
/// When the log can't be read.
pub async fn start(front: &Front, stopping: &Stopping) -> Result<(), headwater_event::Refusal> {
    elsewhere::start(front, stopping).await?;
    sweeper::take_up(front).await?;
    tokio::spawn(sweeper::run(front.clone(), stopping.clone()));
    tokio::spawn(sys::run(front.clone(), stopping.clone()));
    Ok(())
}

/// Serves a connection whose WebSocket handshake is to be answered with `answer`; `leftover` came behind the request.
pub(crate) async fn serve_ws(connection: accept::Connection, answer: Vec<u8>, leftover: Vec<u8>, front: Front) {
    let accept::Connection { mut stream, peer, tls, stopping } = connection;
    let answered = tokio::time::timeout(front.settings.connect_timeout, stream.write_all(&answer)).await;
    if !matches!(answered, Ok(Ok(()))) {
        return;
    }
    let wire = Wire::framed(Socket(Arc::new(stream)), front.settings.packet_len_max, leftover);
    talk(wire, front, origin(peer, tls), stopping).await;
}

fn origin(peer: SocketAddr, tls: Option<Arc<TlsPeer>>) -> Origin {
    Origin { peer, names: tls.map(|known| known.sans.clone()).unwrap_or_default() }
}

/// One client, from its first byte to the moment when its session is saved.
///
/// Each stage lies in a box of its own and is gone when the next begins, so that an idle client costs what waiting needs.
fn talk(wire: Wire, front: Front, origin: Origin, stopping: Stopping) -> impl Future<Output = ()> + Send {
    let greeting = Box::pin(greeting::greet(wire, front, origin, stopping));
    async move {
        let Some(connection) = greeting.await else { return };
        let connection = connection::Talk::new(connection).await;
        let ending = Box::pin(connection.finish());
        if let Some(wire) = ending.await {
            Box::pin(farewell::linger(wire)).await;
        }
    }
}
