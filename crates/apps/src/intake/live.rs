//! `GET /intake/api/live`: the tail as server-sent events. What can't be shown is counted, never dropped silently.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Intake;
use super::board::News;
use crate::problem::Problem;

/// The shortest time between two frames: an eye sees no more.
const FRAME_EVERY: Duration = Duration::from_millis(100);
/// How often the counts come, also when there is nothing new: a sign of life too.
const SUMMARY_EVERY: Duration = Duration::from_secs(1);

/// One page that watches. It is asked for the next frame when the one before is sent, so a slow page costs nothing.
struct Viewer {
    intake: Intake,
    news: watch::Receiver<u64>,
    seen: u64,
    frame_at: Instant,
    summary_at: Instant,
    _place: OwnedSemaphorePermit,
}

/// `GET /intake/api/live`
pub async fn live(State(intake): State<Intake>) -> Result<Response, Problem> {
    let place = intake.0.viewers.clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::busy("too many pages watch the tail"))?;
    intake.0.follower.look();
    let news = intake.0.follower.news();
    let seen = intake.0.follower.board().came();
    let now = Instant::now();
    let viewer = Viewer { intake, news, seen, frame_at: now, summary_at: now, _place: place };
    let frames = stream::unfold(viewer, |mut viewer| async move {
        let frame = viewer.next_frame().await;
        Some((Ok::<_, Infallible>(Bytes::from(frame)), viewer))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, Body::from_stream(frames)).into_response())
}

impl Viewer {
    /// The next frame: what is new, or the counts when it's time for them.
    async fn next_frame(&mut self) -> String {
        self.intake.0.follower.look();
        sleep_until(self.frame_at).await;
        let mut frame = String::new();
        while frame.is_empty() {
            // Out of time or changed: both are looked at below. The sender lives as long as the application.
            let _ = timeout_at(self.summary_at, self.news.changed()).await;
            let news = self.intake.0.follower.board().news(&mut self.seen);
            write_news(&news, &mut frame);
            if Instant::now() >= self.summary_at {
                self.write_summary(&mut frame);
                self.summary_at = Instant::now() + SUMMARY_EVERY;
            }
        }
        self.frame_at = Instant::now() + FRAME_EVERY;
        frame
    }

    fn write_summary(&self, frame: &mut String) {
        let summary = serde_json::to_string(&self.intake.summary()).unwrap_or_default();
        // Writing to a String can't fail, here and below.
        let _ = write!(frame, "event: summary\ndata: {summary}\n\n");
    }
}

fn write_news(news: &News, frame: &mut String) {
    if news.messages.is_empty() && news.skipped == 0 {
        return;
    }
    let messages = news.messages.join(",");
    let _ = write!(frame, "event: messages\ndata: {{\"messages\":[{messages}],\"skipped\":{}}}\n\n", news.skipped);
}
