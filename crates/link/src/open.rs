//! `--engine URL`: which engine, and the way to it.

use std::sync::Arc;

use headwater_event::{Bus, Clock, Durability};

use crate::address::{Address, checked_id};
#[cfg(feature = "engines")]
use crate::amqp::Amqp;
use crate::mqtt::Mqtt;
#[cfg(feature = "engines")]
use crate::nats::Nats;

/// Why an engine can't be used: one sentence for the person who started the program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The address is wrong.
    #[error("the engine's address is wrong: {0}")]
    Url(String),
    /// It doesn't answer now; trying again may help.
    #[error("{0}")]
    Unreachable(String),
    /// It says no: trying again doesn't help until something was changed.
    #[error("{0}")]
    Refused(String),
    /// Its acknowledgement means less than was asked for.
    #[error("{0}")]
    NotDurable(String),
}

/// The longest sentence of ours: what a server says of itself stands in it, and whoever that is may say anything.
const SENTENCE_LEN_MAX: usize = 400;

impl LinkError {
    /// In one line and no more, whatever a server has said.
    fn tidied(self) -> Self {
        let tidy = |why: String| {
            let words: Vec<&str> =
                why.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
            let mut line = words.join(" ");
            line.truncate(line.floor_char_boundary(SENTENCE_LEN_MAX));
            line
        };
        match self {
            Self::Url(why) => Self::Url(why),
            Self::Unreachable(why) => Self::Unreachable(tidy(why)),
            Self::Refused(why) => Self::Refused(tidy(why)),
            Self::NotDurable(why) => Self::NotDurable(tidy(why)),
        }
    }
}

/// Where MQTT brokers, NATS servers and RabbitMQ listen.
const MQTT_PORT: u16 = 1_883;
#[cfg(feature = "engines")]
const NATS_PORT: u16 = 4_222;
#[cfg(feature = "engines")]
const AMQP_PORT: u16 = 5_672;

/// How to use an engine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who this process is to the engine, the same after every restart and of no other process: unfinished deliveries are
    /// kept for it under this name. An address with `?id=` comes first.
    pub instance: String,
    /// The clock of leases and retries.
    pub clock: Clock,
    /// What an acknowledgement must mean at the least; `None` takes what an MQTT broker has, and wants a quorum of NATS.
    pub require: Option<Durability>,
    /// Where RabbitMQ's latest states and marks are kept: `redis://...`.
    pub state: Option<String>,
}

impl Options {
    /// For the process of this name.
    #[must_use]
    pub fn new(instance: impl Into<String>) -> Self {
        Self { instance: instance.into(), clock: Clock::system(), require: None, state: None }
    }
}

/// An engine that is connected. Dropping it leaves the engine; [`close`](Self::close) does so in good order.
#[derive(Clone)]
pub struct Engine(Kind);

#[derive(Clone)]
enum Kind {
    Mqtt(Arc<Mqtt>),
    #[cfg(feature = "engines")]
    Nats(Arc<Nats>),
    #[cfg(feature = "engines")]
    Amqp(Arc<Amqp>),
}

impl Engine {
    /// The engine as the seam knows it.
    #[must_use]
    pub fn bus(&self) -> Arc<dyn Bus> {
        match &self.0 {
            Kind::Mqtt(mqtt) => Arc::clone(mqtt) as Arc<dyn Bus>,
            #[cfg(feature = "engines")]
            Kind::Nats(nats) => Arc::clone(nats) as Arc<dyn Bus>,
            #[cfg(feature = "engines")]
            Kind::Amqp(amqp) => Arc::clone(amqp) as Arc<dyn Bus>,
        }
    }

    /// Ends in good order: nothing more is taken, who waits is told so, what is unfinished stays with the engine.
    pub async fn close(&self) {
        match &self.0 {
            Kind::Mqtt(mqtt) => mqtt.close().await,
            #[cfg(feature = "engines")]
            Kind::Nats(nats) => nats.close().await,
            #[cfg(feature = "engines")]
            Kind::Amqp(amqp) => amqp.close().await,
        }
    }
}

/// Connects to an engine by its address.
///
/// # Errors
/// In one sentence, which never shows a password: the address is wrong, the engine can't be reached, it says no, or its
/// acknowledgement means less than [`Options::require`].
pub async fn open(url: &str, options: Options) -> Result<Engine, LinkError> {
    try_open(url, options).await.map_err(LinkError::tidied)
}

async fn try_open(url: &str, options: Options) -> Result<Engine, LinkError> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(LinkError::Url("it begins with `mqtt://`, `nats://` or `amqp://`".into()));
    };
    if options.state.is_some() && matches!(scheme, "mqtt" | "nats") {
        return Err(LinkError::Url(format!("`{scheme}://` keeps its own state: `--state` is for `amqp://` alone")));
    }
    let (kind, require) = match scheme {
        "mqtt" => {
            let address = Address::read("mqtt", MQTT_PORT, &["id"], rest)?;
            let instance = checked_id(address.option("id").unwrap_or(&options.instance))?;
            (Kind::Mqtt(Arc::new(Mqtt::open(address, instance, options.clock).await?)), options.require)
        }
        #[cfg(feature = "engines")]
        "nats" => {
            let address = Address::read("nats", NATS_PORT, crate::nats::OPTIONS, rest)?;
            // What a server acknowledges without more said is lost with its machine's power.
            let require = options.require.or(Some(Durability::Quorum));
            // Boxed: asking a server takes many steps, each with its place in the future.
            let nats = Box::pin(Nats::open(address, options.clock)).await?;
            (Kind::Nats(Arc::new(nats)), require)
        }
        #[cfg(feature = "engines")]
        "amqp" => {
            let Some(state) = &options.state else {
                let why = "`amqp://` needs `--state redis://HOST:PORT` beside it, as RabbitMQ keeps no latest states";
                return Err(LinkError::Url(why.into()));
            };
            let (rest, vhost) = crate::amqp::with_vhost(rest)?;
            let address = Address::read("amqp", AMQP_PORT, crate::amqp::OPTIONS, &rest)?;
            let amqp = Box::pin(Amqp::open(address, vhost, state, options.clock)).await?;
            (Kind::Amqp(Arc::new(amqp)), options.require.or(Some(Durability::Quorum)))
        }
        "amqps" => return Err(LinkError::Url("`amqps` is not there yet: `amqp://` alone, without TLS".into())),
        #[cfg(not(feature = "engines"))]
        "nats" | "amqp" => return Err(LinkError::Url("this program was built without the feature `engines`".into())),
        other => {
            return Err(LinkError::Url(format!("there is no engine `{other}`; there are `mqtt`, `nats` and `amqp`")));
        }
    };
    let engine = Engine(kind);
    let has = engine.bus().abilities().durability;
    if require.is_some_and(|wanted| has < wanted) {
        engine.close().await;
        let sentence = format!("the engine {scheme}:// acknowledges what is {}, and more is required", word(has));
        return Err(LinkError::NotDurable(sentence));
    }
    Ok(engine)
}

const fn word(durability: Durability) -> &'static str {
    match durability {
        Durability::Written => "written but not on a disk for certain",
        Durability::Quorum => "with a quorum of machines",
        Durability::Synced => "on a disk",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_one_line_whatever_a_server_says() {
        let said = format!("the engine nats://x says: 'HTTP/1.1 400\r\n\u{1b}[2J  {}", "ü".repeat(1_000));
        let LinkError::Unreachable(line) = LinkError::Unreachable(said).tidied() else { panic!("another kind") };
        assert!(line.starts_with("the engine nats://x says: 'HTTP/1.1 400 [2J üü"), "{line}");
        assert!(line.len() <= SENTENCE_LEN_MAX && !line.contains(char::is_control));
    }
}
