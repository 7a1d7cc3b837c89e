//! How a listener and its connections are told that it's time to end.

use std::future::pending;

use tokio::sync::watch;

/// In the hand of whoever ends the program. Clones pull the same rope.
#[derive(Clone, Debug)]
pub struct Stop(watch::Sender<bool>);

impl Default for Stop {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Stop {
    /// Tells everyone who listens; it can't be taken back.
    pub fn request(&self) {
        self.0.send_replace(true);
    }

    /// What a listener or a connection gets.
    #[must_use]
    pub fn listen(&self) -> Stopping {
        Stopping(self.0.subscribe())
    }
}

/// In the hand of a listener or a connection. When every [`Stop`] is gone, nobody can ask any more, and nothing ends.
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Waits until the end is requested; at once when it already was. Dropping the future loses nothing.
    pub async fn requested(&mut self) {
        if self.0.wait_for(|requested| *requested).await.is_err() {
            pending::<()>().await;
        }
    }

    /// Whether the end was requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}
