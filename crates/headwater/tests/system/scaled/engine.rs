//! The servers of an engine, started for one test; each is killed and started again on its port and folder.

use std::net::SocketAddr;

use crate::mosquitto::free_port;
#[cfg(feature = "engines")]
use crate::nats_server::NatsServer;
use crate::program::Place;
#[cfg(feature = "engines")]
use crate::rabbit::{Rabbit, Redis};
use crate::worker::Worker;

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Headwater over MQTT.
    Hub,
    #[cfg(feature = "engines")]
    Nats,
    #[cfg(feature = "engines")]
    Rabbit,
}

/// Its servers.
pub enum Engine {
    Hub {
        hub: Box<Worker>,
        mqtt: SocketAddr,
    },
    #[cfg(feature = "engines")]
    Nats(NatsServer),
    #[cfg(feature = "engines")]
    Rabbit {
        rabbit: Rabbit,
        redis: Redis,
    },
}

impl Engine {
    pub fn start(kind: Kind) -> Self {
        match kind {
            Kind::Hub => {
                let mqtt = SocketAddr::from(([127, 0, 0, 1], free_port()));
                let place = Place::new().arg("--roles").arg("edge").arg("--apps").arg("intake").mqtt_at(mqtt);
                Self::Hub { hub: Box::new(Worker::at(place)), mqtt }
            }
            #[cfg(feature = "engines")]
            Kind::Nats => Self::Nats(NatsServer::start()),
            #[cfg(feature = "engines")]
            Kind::Rabbit => Self::Rabbit { rabbit: Rabbit::start(), redis: Redis::start() },
        }
    }

    /// What a process is told of it.
    pub fn arguments(&self) -> Vec<String> {
        match self {
            Self::Hub { mqtt, .. } => vec!["--engine".to_owned(), format!("mqtt://{mqtt}")],
            #[cfg(feature = "engines")]
            Self::Nats(server) => vec!["--engine".to_owned(), server.url()],
            #[cfg(feature = "engines")]
            Self::Rabbit { rabbit, redis } => {
                let engine = format!("amqp://127.0.0.1:{}", rabbit.port());
                vec!["--engine".to_owned(), engine, "--state".to_owned(), redis.url()]
            }
        }
    }

    /// Whether what was told before can be asked for.
    pub const fn has_history(&self) -> bool {
        match self {
            Self::Hub { .. } => true,
            #[cfg(feature = "engines")]
            Self::Nats(_) => true,
            #[cfg(feature = "engines")]
            Self::Rabbit { .. } => false,
        }
    }

    /// How many servers it has.
    pub const fn servers(&self) -> usize {
        match self {
            Self::Hub { .. } => 1,
            #[cfg(feature = "engines")]
            Self::Nats(_) => 1,
            #[cfg(feature = "engines")]
            Self::Rabbit { .. } => 2,
        }
    }

    /// `kill -9` of the first one, which hands events on, or of the second.
    pub fn kill(&mut self, server: usize) {
        match (self, server) {
            (Self::Hub { hub, .. }, _) => hub.kill(),
            #[cfg(feature = "engines")]
            (Self::Nats(nats), _) => nats.kill(),
            #[cfg(feature = "engines")]
            (Self::Rabbit { rabbit, .. }, 0) => rabbit.kill(),
            #[cfg(feature = "engines")]
            (Self::Rabbit { redis, .. }, _) => redis.kill(),
        }
    }

    pub fn start_again(&mut self, server: usize) {
        match (self, server) {
            (Self::Hub { hub, .. }, _) => hub.start_again(),
            #[cfg(feature = "engines")]
            (Self::Nats(nats), _) => nats.start_again(),
            #[cfg(feature = "engines")]
            (Self::Rabbit { rabbit, .. }, 0) => rabbit.start_again(),
            #[cfg(feature = "engines")]
            (Self::Rabbit { redis, .. }, _) => redis.start_again(),
        }
    }
}
