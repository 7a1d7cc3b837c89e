//! Telling other processes what nobody keeps: an exchange of its own, from which each who listens has an exclusive queue.

use std::sync::Arc;

use futures_util::StreamExt as _;
use headwater_event::{Filter, Publication};
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer, ExchangeKind};
use tokio::time::sleep;
use uuid::Uuid;

use super::shared::{Shared, backoff, stopped};
use super::spelling::Stamp;
use super::wire::{Lost, Side, answered, end};
use super::{names, spelling};
use crate::local::talk::{HEARD_MAX, Hear, Place, Told};

/// Not kept on disk.
const TRANSIENT: u8 = 1;

/// Takes one process's place among those that talk.
pub(super) fn take(shared: &Arc<Shared>, hears: Option<&Filter>) -> Place {
    Place::new(false, |told, hear| {
        if let Some(filter) = hears {
            shared.runtime.spawn(listen(Arc::clone(shared), filter.clone(), hear.clone()));
        }
        shared.runtime.spawn(speak(Arc::clone(shared), told, hear))
    })
}

/// A channel of one who talks; the exchange is made when it isn't there.
async fn channel(shared: &Shared, side: Side) -> Result<Channel, Lost> {
    let channel = shared.wires.channel(side).await?;
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let exchange = shared.names.talk().into();
    answered(channel.exchange_declare(exchange, ExchangeKind::Topic, options, FieldTable::default())).await?;
    Ok(channel)
}

/// Tells until the place is left; what can't be told is lost. Who only tells hears nothing for as long.
async fn speak(shared: Arc<Shared>, mut told: Told, _hear: Hear) {
    let mut known: Option<Channel> = None;
    let mut stopping = shared.stop.subscribe();
    while let Some(event) = told.recv().await {
        let telling = async {
            let speaking = match known.take().filter(|channel| channel.status().connected()) {
                Some(channel) => channel,
                None => channel(&shared, Side::Publish).await?,
            };
            let key = names::of_topic(&event.topic);
            // It has no place among those that are kept.
            let stamp = Stamp { by: Uuid::nil(), number: 0, version: 0 };
            let publication = Publication { event, sticky: false };
            let properties = spelling::properties(&publication, stamp).with_delivery_mode(TRANSIENT);
            let (exchange, options) = (shared.names.talk().into(), BasicPublishOptions::default());
            let payload = &publication.event.payload;
            answered(speaking.basic_publish(exchange, key.into(), options, payload, properties)).await?;
            Ok::<_, Lost>(speaking)
        };
        known = tokio::select! {
            told = telling => told.ok(),
            () = stopped(&mut stopping) => return,
        };
    }
    if let Some(channel) = known {
        end(&channel).await;
    }
}

/// Hears what the filter wants until the place is left.
async fn listen(shared: Arc<Shared>, filter: Filter, hear: Hear) {
    let mut stopping = shared.stop.subscribe();
    let mut tries = 0;
    loop {
        let hearing = async {
            let (_channel, mut words) = begin(&shared, &filter).await?;
            tries = 0;
            while let Some(word) = words.next().await {
                let came = spelling::came(&word?, shared.clock.now());
                if let Some(came) = came.filter(|came| filter.matches(came.event.topic.as_str())) {
                    // Who doesn't listen in time hears the next word.
                    let _ = hear.try_send(Ok(came.event));
                }
            }
            Ok::<_, Lost>(())
        };
        tokio::select! {
            heard = hearing => {
                if let Err(lost) = heard {
                    tracing::debug!("{}", shared.sentence(&lost.why));
                }
            }
            () = hear.closed() => return,
            () = stopped(&mut stopping) => return,
        }
        tokio::select! {
            () = sleep(backoff(tries)) => tries += 1,
            () = hear.closed() => return,
            () = stopped(&mut stopping) => return,
        }
    }
}

async fn begin(shared: &Shared, filter: &Filter) -> Result<(Channel, Consumer), Lost> {
    let channel = channel(shared, Side::Take).await?;
    let mut bounds = FieldTable::default();
    bounds.insert("x-max-length".into(), AMQPValue::LongLongInt(i64::try_from(HEARD_MAX).unwrap_or(i64::MAX)));
    let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let queue = answered(channel.queue_declare("".into(), options, bounds)).await?.name().clone();
    for key in names::of_filters([filter]) {
        let (exchange, options) = (shared.names.talk().into(), QueueBindOptions::default());
        answered(channel.queue_bind(queue.clone(), exchange, key.into(), options, FieldTable::default())).await?;
    }
    let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
    let words = answered(channel.basic_consume(queue, "".into(), options, FieldTable::default())).await?;
    Ok((channel, words))
}
