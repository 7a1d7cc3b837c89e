//! `GET /v1/admin/tail`: what happens, as server-sent events. What can't be shown is counted, never dropped silently.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use headwater_edge::accept::Stopping;
use headwater_edge::http::{Problem, Query};
use headwater_event::{Batch, Filter, Principal, Recorded, Refusal, Tail};
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::console::Console;
use crate::console::rights::{Rights, Viewer};
use crate::console::spelling::{event, fault};

/// The shortest time between two frames: a reader's eye sees no more.
const FRAME_EVERY: Duration = Duration::from_millis(200);

/// How often a frame comes when nothing happens: a sign of life.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// How many events one frame shows: a hundred a second, more than anybody reads.
const SHOWN_MAX: usize = 20;

/// How many times the log is read for one frame, at most 256 KiB each. What came beyond that is passed over unread, so that
/// a page costs the hub no more under load than it costs anyway.
const READS_MAX: usize = 4;

/// One page that follows. It is asked for the next frame when the one before is sent, so a slow page costs nothing.
struct Follower {
    console: Console,
    filter: Filter,
    who: Principal,
    rights: Rights,
    tail: Box<dyn Tail>,
    frame_at: Instant,
    beat_at: Instant,
    stopping: Stopping,
    _place: OwnedSemaphorePermit,
}

/// What one frame tells.
#[derive(Default)]
struct Frame {
    events: Vec<Value>,
    /// Wanted events that were read and are not shown.
    skipped: u64,
    /// Places of the log that were passed over unread.
    unread: u64,
}

/// `GET /v1/admin/tail`
pub async fn tail(
    State(console): State<Console>,
    Extension(viewer): Extension<Viewer>,
    request: Request,
) -> Result<Response, Problem> {
    let filter = Query::read(request.uri().query(), &["filter"])?.filter()?;
    let busy = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many pages follow the tail");
    let place = console.0.tails.clone().try_acquire_owned().map_err(|_| busy())?;
    let tail = console.0.log.tail(console.0.log.head()).map_err(fault)?;
    let now = Instant::now();
    let (Viewer { who, rights }, stopping) = (viewer, console.0.facts.stopping.clone());
    let follower =
        Follower { console, filter, who, rights, tail, frame_at: now, beat_at: now, stopping, _place: place };
    let frames = stream::unfold(Some(follower), |follower| async move {
        let mut follower = follower?;
        let mut stopping = follower.stopping.clone();
        let next = tokio::select! {
            next = follower.next() => next,
            // Without a word: the page comes back, and finds the hub again or not.
            () = stopping.requested() => return None,
        };
        match next {
            Ok(frame) => Some((Ok::<_, Infallible>(frame), Some(follower))),
            Err(problem) => Some((Ok(farewell(&problem)), None)),
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(frames)).into_response())
}

impl Follower {
    /// The next frame: what is new, or a sign of life.
    async fn next(&mut self) -> Result<Bytes, Problem> {
        sleep_until(self.frame_at).await;
        let mut frame = Frame::default();
        let filter = &self.filter;
        let wanted = |topic: &str| filter.matches(topic);
        // Waits for the log to grow; what nobody here wants wakes it too, and is no news.
        while let Ok(batch) = timeout_at(self.beat_at, self.tail.next(&wanted)).await {
            let batch = batch.map_err(fault)?;
            if !batch.events.is_empty() {
                let batches = self.read_on(batch).await?;
                // Asked after the wait, so that nothing is told to whom a right was taken meanwhile.
                self.check_rights()?;
                self.choose(&batches, &mut frame);
                break;
            }
        }
        self.check_rights()?;
        self.skip_to_the_end(&mut frame)?;
        let now = Instant::now();
        (self.frame_at, self.beat_at) = (now + FRAME_EVERY, now + BEAT_EVERY);
        let head = self.console.0.hub.head().to_string();
        let told = json!({ "events": frame.events, "skipped": frame.skipped, "unread": frame.unread, "head": head });
        Ok(format!("event: news\ndata: {told}\n\n").into())
    }

    fn check_rights(&mut self) -> Result<(), Problem> {
        self.rights = self.console.rights(&self.who).ok_or(Refusal::NotAllowed)?;
        Ok(())
    }

    /// What else there is, up to the bound of one frame.
    async fn read_on(&mut self, first: Batch) -> Result<Vec<Batch>, Problem> {
        let mut batches = vec![first];
        let filter = &self.filter;
        while batches.len() < READS_MAX {
            match self.tail.next_now(&|topic| filter.matches(topic)).await.map_err(fault)? {
                Some(batch) => batches.push(batch),
                None => break,
            }
        }
        Ok(batches)
    }

    /// One of so many, evenly, and the last one always: what came last is what a person waits for.
    fn choose(&self, batches: &[Batch], frame: &mut Frame) {
        let all: Vec<&Recorded> = batches.iter().flat_map(|batch| &batch.events).collect();
        let step = all.len().div_ceil(SHOWN_MAX).max(1);
        let chosen = all.iter().rev().step_by(step);
        frame.events = chosen.map(|recorded| event(recorded, self.rights)).collect();
        frame.events.reverse();
        frame.skipped += (all.len() - frame.events.len()) as u64;
    }

    /// Whoever is too far behind to read it all goes on at the end.
    fn skip_to_the_end(&mut self, frame: &mut Frame) -> Result<(), Problem> {
        let (at, head) = (self.tail.position(), self.console.0.log.head());
        // A busy log has always grown a little; that is read with the next frame.
        if head.seq.saturating_sub(at.seq) > UNREAD_MIN {
            self.tail = self.console.0.log.tail(head).map_err(fault)?;
            frame.unread = head.seq - at.seq;
        }
        Ok(())
    }
}

/// How far behind a reading may be before it goes on at the end: what one frame reads of small events.
const UNREAD_MIN: u64 = 4_096;

/// Why the tail ends; the page shows the sentence.
fn farewell(problem: &Problem) -> Bytes {
    format!("event: end\ndata: {}\n\n", json!({ "name": problem.name, "detail": problem.detail })).into()
}
