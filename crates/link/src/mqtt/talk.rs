//! Telling other processes what nobody keeps: over a connection of its own, so that a process under load, whose events wait
//! their turn, isn't taken for a dead one.

use std::sync::Arc;
use std::time::Duration;

use headwater_event::{BusError, Event, Filter, Publication};
use tokio::time::sleep;

use super::names;
use super::packet::{Dialect, Packet, Publish};
use super::shared::{Shared, backoff};
use super::spelling;
use super::wire::{self, Hello, Lost, Wire, sent_away};
use super::write::{WANT_TOLD, Want, write_publish, write_subscribe};
use crate::local::talk::{Hear, Place, Told};

/// The packet id of the one SUBSCRIBE.
const SUBSCRIBE_ID: u16 = 1;

/// The broker owes no deliveries that need an answer.
const RECEIVE_MAX: u16 = 16;

/// Takes one process's place among those that talk; the connection is made, and made again, by itself.
pub(super) fn take(shared: &Arc<Shared>, hears: Option<&Filter>, is_headwater: bool) -> Place {
    let filters = hears.map(|filter| match is_headwater {
        // It has heard them all, and tells what it makes of them under their own names.
        true => vec![filter.to_string()],
        // The latest states that were kept of the same topics, and what is told.
        false => vec![names::of_filter(filter), names::talk_filter(filter)],
    });
    let filters = filters.unwrap_or_default();
    let client_id = format!("hw-{}-talk-{}", shared.instance, uuid::Uuid::new_v4().simple());
    Place::new(is_headwater, |told, hear| {
        let speaker = Speaker { shared: Arc::clone(shared), client_id, filters, told, hear, waiting: None };
        tokio::spawn(speaker.run())
    })
}

/// The task of the connection.
struct Speaker {
    shared: Arc<Shared>,
    client_id: String,
    filters: Vec<String>,
    told: Told,
    hear: Hear,
    waiting: Option<Event>,
}

/// Why a connection is no longer served.
enum End {
    Left(Wire),
    Lost(Lost),
}

impl Speaker {
    async fn run(mut self) {
        let mut stopping = self.shared.stop.subscribe();
        let mut tries = 0;
        loop {
            let hello = Hello {
                client_id: &self.client_id,
                is_clean: true,
                session_expiry: Duration::ZERO,
                receive_maximum: RECEIVE_MAX,
                ..Hello::default()
            };
            let connected = tokio::select! {
                connected = wire::connect(&self.shared.address, &hello) => connected,
                _ = stopping.wait_for(|stop| *stop) => return,
                () = until_left(&mut self.told, &mut self.waiting) => return,
            };
            let lost = match connected {
                Ok((wire, _)) => {
                    tries = 0;
                    match self.serve(wire).await {
                        End::Left(wire) => return wire.leave(true).await,
                        End::Lost(lost) => lost,
                    }
                }
                Err(lost) => lost,
            };
            tracing::debug!("{}", self.shared.sentence(&lost.why));
            let wait = backoff(tries);
            tries += 1;
            tokio::select! {
                () = sleep(wait) => {}
                _ = stopping.wait_for(|stop| *stop) => return,
                () = until_left(&mut self.told, &mut self.waiting) => return,
            }
        }
    }

    async fn serve(&mut self, mut wire: Wire) -> End {
        let wants = self.filters.iter().map(|filter| Want { filter: filter.clone(), options: WANT_TOLD });
        let wants: Vec<_> = wants.collect();
        if !wants.is_empty() {
            write_subscribe(SUBSCRIBE_ID, &wants, Dialect::V5, &mut wire.out);
        }
        // The latest word that could not be told is still worth telling, those before it are not.
        if let Some(event) = self.waiting.take() {
            say(event, &mut wire);
        }
        loop {
            tokio::select! {
                step = wire.step() => match step {
                    Ok(Some(packet)) => if let Err(lost) = self.take(packet) {
                        return End::Lost(lost);
                    },
                    Ok(None) => {}
                    Err(lost) => return End::Lost(lost),
                },
                told = self.told.recv(), if wire.has_room() => match told {
                    Some(event) => say(event, &mut wire),
                    None => return End::Left(wire),
                },
            }
        }
    }

    fn take(&self, packet: Packet) -> Result<(), Lost> {
        match packet {
            Packet::Publish(publish) => self.heard(&publish),
            Packet::SubAck { reasons, .. } if reasons.iter().any(|reason| *reason >= 0x80) => {
                // It still may tell.
                let _ = self.hear.try_send(Err(BusError::Unable("let us hear other processes: we may not subscribe")));
            }
            Packet::Disconnect { reason, why } => return Err(sent_away(reason, why)),
            _ => {}
        }
        Ok(())
    }

    fn heard(&self, publish: &Publish) {
        let Some(topic) = names::told(&publish.topic) else { return };
        let event = spelling::came(publish, topic, self.shared.clock.now()).event;
        // Who doesn't listen in time hears the next word.
        let _ = self.hear.try_send(Ok(event));
    }
}

fn say(event: Event, wire: &mut Wire) {
    let topic = names::talk(&event.topic);
    let told = spelling::publish(&Publication { event, sticky: false });
    write_publish(&Publish { qos: 0, topic, ..told }, Dialect::V5, &mut wire.out);
}

/// Takes what is told meanwhile, the latest alone; resolves when who tells has gone.
async fn until_left(told: &mut Told, waiting: &mut Option<Event>) {
    while let Some(event) = told.recv().await {
        *waiting = Some(event);
    }
}
