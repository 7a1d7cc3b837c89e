//! RabbitMQ with a quorum queue of one member, and Redis for what the bus keeps beside it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use headwater_event::{GroupName, GroupOptions};
use headwater_link::{Options, open};
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};

use crate::rabbit::{Rabbit, Redis};
use crate::{IN_FLIGHT, PAYLOAD_LEN, ROUNDS, Side, tell, through_the_bus};

/// How many events a round has: a few seconds.
const EVENTS: usize = 50_000;

const EXCHANGE: &str = "bare";

/// An exchange and a queue like ours, without us.
async fn bare(server: &Rabbit) -> (Connection, Channel) {
    let url = format!("amqp://127.0.0.1:{}/%2f", server.port());
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let exchange = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, exchange, FieldTable::default()).await.unwrap();
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("bare.group".into(), durable, quorum).await.unwrap();
    let (options, none) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind("bare.group".into(), EXCHANGE.into(), "rate.*".into(), options, none).await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    (connection, channel)
}

/// Waits for the oldest.
async fn confirmed(waiting: &mut VecDeque<impl Future<Output = lapin::Result<Confirmation>>>) {
    if let Some(oldest) = waiting.pop_front() {
        assert!(oldest.await.unwrap().is_ack());
    }
}

async fn without_us(channel: &Channel) -> Duration {
    let began = Instant::now();
    let mut waiting = VecDeque::with_capacity(IN_FLIGHT);
    let payload = vec![b'x'; PAYLOAD_LEN];
    for at in 0..EVENTS {
        if waiting.len() == IN_FLIGHT {
            confirmed(&mut waiting).await;
        }
        let key = format!("rate.{}", at % 32);
        let properties = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish(EXCHANGE.into(), key.into(), options, &payload, properties);
        waiting.push_back(sent.await.unwrap());
    }
    while !waiting.is_empty() {
        confirmed(&mut waiting).await;
    }
    began.elapsed()
}

/// Rounds in turns. Nobody reads either queue.
pub async fn measure() {
    let (rabbit, redis) = (Rabbit::start(), Redis::start());
    let options = Options { state: Some(redis.url()), ..Options::new("rate") };
    let engine = open(&format!("amqp://127.0.0.1:{}", rabbit.port()), options).await.unwrap();
    let bus = engine.bus();
    let group = GroupName::new("service/rate").unwrap();
    drop(bus.join(&group, GroupOptions::new(vec!["rate/+".parse().unwrap()])).await.unwrap());
    let (_connection, channel) = bare(&rabbit).await;
    let mut sides = [Side::new("bare lapin"), Side::new("our bus, its marks in Redis")];
    for round in 0..=ROUNDS {
        let times = [without_us(&channel).await, through_the_bus(&bus, EVENTS).await];
        // The first warms up.
        if round > 0 {
            sides.iter_mut().zip(times).for_each(|(side, time)| side.took(EVENTS, time));
        }
    }
    for queue in ["bare.group", "headwater.group.service/rate"] {
        let look = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let found = channel.queue_declare(queue.into(), look, FieldTable::default()).await.unwrap();
        assert_eq!(found.message_count() as usize, (ROUNDS + 1) * EVENTS, "{queue} has all");
    }
    tell("RabbitMQ, one node, a quorum queue with publisher confirms", &sides);
}
