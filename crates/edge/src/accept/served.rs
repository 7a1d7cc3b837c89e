//! A connection being served at its place, with or without TLS in front of the edge.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use headwater_event::Later;
use pin_project_lite::pin_project;

use super::counts::AcceptCounts;
use super::listener::Connection;
use super::places::Place;
use crate::tls::{Pump, Shaken, Spoken, Tls, Unshaken, shake};

pin_project! {
    /// A connection being served, at its place. An `async` block around the two would hold the future twice.
    pub(super) struct Served<F> {
        #[pin]
        pub(super) served: F,
        // Dropped after the future: a panic in it is counted, and the count is right when the place is free.
        pub(super) place: Place,
    }
}

impl<F: Future<Output = ()>> Future for Served<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().served.poll(cx)
    }
}

/// A connection with TLS: the handshake, then the edge and the pump side by side, in one task.
///
/// Each stage lies in a box of its own size: a handshake that hangs costs what a handshake needs.
pub(super) struct Encrypted<F>(Stage<F>);

enum Stage<F> {
    Shaking(Later<'static, Option<Begun<F>>>),
    Serving { edge: Option<Pin<Box<F>>>, pump: Option<Box<Pump>> },
}

/// What a handshake leads to.
struct Begun<F> {
    edge: Pin<Box<F>>,
    pump: Box<Pump>,
}

impl<F: Future<Output = ()> + Send + 'static> Encrypted<F> {
    pub(super) fn new<S>(
        connection: Connection,
        tls: Arc<Tls>,
        spoken: Spoken,
        counts: Arc<AcceptCounts>,
        serve: Arc<S>,
    ) -> Self
    where
        S: Fn(Connection) -> F + Send + Sync + 'static,
    {
        Self(Stage::Shaking(Box::pin(begin(connection, tls, spoken, counts, serve))))
    }
}

async fn begin<F, S>(
    connection: Connection,
    tls: Arc<Tls>,
    spoken: Spoken,
    counts: Arc<AcceptCounts>,
    serve: Arc<S>,
) -> Option<Begun<F>>
where
    F: Future<Output = ()>,
    S: Fn(Connection) -> F,
{
    let Connection { stream, peer, mut stopping, .. } = connection;
    let shaken = tokio::select! {
        shaken = shake(stream, &tls, spoken) => shaken,
        // Nothing has been asked yet, so nothing is owed.
        () = stopping.requested() => return None,
    };
    match shaken {
        Ok(Shaken { edge, pump, peer: known }) => {
            let edge = serve(Connection { stream: edge, peer, tls: Some(known), stopping });
            return Some(Begun { edge: Box::pin(edge), pump: Box::new(pump) });
        }
        Err(Unshaken::Gone) => {}
        Err(Unshaken::Crowded) => counts.refuse_handshake(),
        Err(why) => {
            counts.fail_handshake();
            tracing::debug!(%peer, %why, "no TLS handshake");
        }
    }
    None
}

impl<F: Future<Output = ()>> Future for Encrypted<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.0 {
                Stage::Shaking(shaking) => match shaking.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Ready(Some(Begun { edge, pump })) => {
                        self.0 = Stage::Serving { edge: Some(edge), pump: Some(pump) };
                    }
                },
                Stage::Serving { edge, pump } => return poll_both(edge, pump, cx),
            }
        }
    }
}

/// The edge first: what it writes now goes out now. Each may end before the other.
fn poll_both<F: Future<Output = ()>>(
    edge: &mut Option<Pin<Box<F>>>,
    pump: &mut Option<Box<Pump>>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    if let Some(serving) = edge
        && serving.as_mut().poll(cx).is_ready()
    {
        // Its socket goes with it, and so the pump finds the end behind the last byte.
        *edge = None;
        if let Some(pump) = pump {
            pump.leave();
        }
    }
    if let Some(pumping) = pump
        && pumping.poll(cx).is_ready()
    {
        // To the edge this looks like a client that went.
        *pump = None;
    }
    if edge.is_none() && pump.is_none() { Poll::Ready(()) } else { Poll::Pending }
}
