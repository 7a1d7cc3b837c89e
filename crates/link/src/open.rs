//! `--engine URL`: which engine, and the way to it.

use std::sync::Arc;

use headwater_event::{Bus, Clock, Durability};

use crate::mqtt::Mqtt;
use crate::mqtt::address::{Address, checked_id};

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

/// How to use an engine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who this process is to the engine, the same after every restart and of no other process: unfinished deliveries are
    /// kept for it under this name. An address with `?id=` comes first.
    pub instance: String,
    /// The clock of leases and retries.
    pub clock: Clock,
    /// What an acknowledgement must mean at the least; `None` takes what the engine has.
    pub require: Option<Durability>,
}

impl Options {
    /// For the process of this name.
    #[must_use]
    pub fn new(instance: impl Into<String>) -> Self {
        Self { instance: instance.into(), clock: Clock::system(), require: None }
    }
}

/// An engine that is connected. Dropping it leaves the engine; [`close`](Self::close) does so in good order.
#[derive(Clone)]
pub struct Engine {
    mqtt: Arc<Mqtt>,
}

impl Engine {
    /// The engine as the seam knows it.
    #[must_use]
    pub fn bus(&self) -> Arc<dyn Bus> {
        Arc::clone(&self.mqtt) as Arc<dyn Bus>
    }

    /// Ends in good order: nothing more is taken, who waits is told so, what is unfinished stays with the engine.
    pub async fn close(&self) {
        self.mqtt.close().await;
    }
}

/// Connects to an engine by its address.
///
/// # Errors
/// In one sentence, which never shows a password: the address is wrong, the engine can't be reached, it says no, or its
/// acknowledgement means less than [`Options::require`].
pub async fn open(url: &str, options: Options) -> Result<Engine, LinkError> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(LinkError::Url("it begins with `mqtt://`".into()));
    };
    let mqtt = match scheme {
        "mqtt" => {
            let address = Address::read(rest)?;
            let instance = match &address.id {
                Some(id) => id.clone(),
                None => checked_id(&options.instance)?,
            };
            Mqtt::open(address, instance, options.clock).await?
        }
        other => return Err(LinkError::Url(format!("there is no engine `{other}`; there is `mqtt`"))),
    };
    let engine = Engine { mqtt: Arc::new(mqtt) };
    let has = engine.bus().abilities().durability;
    if options.require.is_some_and(|wanted| has < wanted) {
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
