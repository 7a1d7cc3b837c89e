//! The one accept loop of every TCP edge: how fast, how many, and what happens when one of them fails.
//!
//! ```no_run
//! # use headwater_edge::accept::{AcceptSettings, Listener, Stop};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let stop = Stop::default();
//! let listener = Listener::bind("127.0.0.1:7007".parse()?, AcceptSettings::default())?;
//! println!("listening echo {}", listener.local_addr());
//! let left = listener
//!     .run(stop.listen(), |mut connection| async move {
//!         let (mut reading, mut writing) = connection.stream.split();
//!         tokio::select! {
//!             _ = tokio::io::copy(&mut reading, &mut writing) => {}
//!             () = connection.stopping.requested() => {}
//!         }
//!     })
//!     .await;
//! # Ok(())
//! # }
//! ```

mod bucket;
mod counts;
mod listener;
mod places;
mod served;
mod stop;

pub use counts::AcceptCounts;
pub use listener::{AcceptSettings, BindError, Connection, Listener};
pub use stop::{Stop, Stopping};
