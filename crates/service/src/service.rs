//! A service: a name, tables, and functions over a group.

use std::sync::Arc;

use headwater_event::{Bus, Clock, Event, Filter};

use crate::failure::Failure;
use crate::handler::{Handler, Seed, TimerHandler};
use crate::options::ServiceOptions;
use crate::running::{Running, StartError};
use crate::store::{Migration, Statement, Store};
use crate::timers::Timer;
use crate::tx::Tx;

/// Where requests may want their answers unless [`Service::replies`] says otherwise.
const REPLIES: &str = "reply/#";

type KeyOf = Box<dyn Fn(&Event) -> Option<String> + Send + Sync>;

/// A named set of functions over a group; see [`Service::start`].
///
/// ```
/// # use headwater_event::Event;
/// # use headwater_service::*;
/// async fn greet(tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
///     let name: String = body::read(event)?;
///     tx.publish(Outgoing::json("greeting", &format!("Hello, {name}"))?)
/// }
/// let service = Service::new("greeter").publishes(&["greeting"]).on("name", greet);
/// ```
pub struct Service {
    pub(crate) name: &'static str,
    pub(crate) migrations: &'static [Migration],
    pub(crate) statements: &'static [&'static Statement],
    pub(crate) publishes: Vec<Filter>,
    pub(crate) replies: Vec<Filter>,
    pub(crate) routes: Vec<(Filter, Box<dyn Handler>)>,
    pub(crate) timers: Vec<(&'static str, Box<dyn TimerHandler>)>,
    pub(crate) key_of: Option<KeyOf>,
    pub(crate) seed: Option<Box<dyn Seed>>,
    pub(crate) options: ServiceOptions,
    /// What this process is called, for people.
    pub(crate) place: Option<String>,
    /// What was wrong with what the service was told; said by `start`, all at once.
    pub(crate) faults: Vec<String>,
}

impl Service {
    /// A service of this name: its group is `service/NAME`, its tables are in the store of that name.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        let mut service = Self {
            name,
            migrations: &[],
            statements: &[],
            publishes: Vec::new(),
            replies: Vec::new(),
            routes: Vec::new(),
            timers: Vec::new(),
            key_of: None,
            seed: None,
            options: ServiceOptions::default(),
            place: None,
            faults: Vec::new(),
        };
        service.replies = service.filters(&[REPLIES]);
        service
    }

    /// The steps that make its tables, in their order.
    #[must_use]
    pub fn migrations(mut self, all: &'static [Migration]) -> Self {
        self.migrations = all;
        self
    }

    /// All its statements, so that a test can prepare each on both engines
    /// ([`Store::prepare_all`](crate::Store::prepare_all)).
    #[must_use]
    pub fn statements(mut self, all: &'static [&'static Statement]) -> Self {
        self.statements = all;
        self
    }

    /// The topics that it may publish on; anything else is a failure of the handler that tries.
    #[must_use]
    pub fn publishes(mut self, filters: &[&str]) -> Self {
        let filters = self.filters(filters);
        self.publishes.extend(filters);
        self
    }

    /// The topics on which requests may want their answers; `reply/#` unless said here. A request chooses the topic of its
    /// answer, so this must hold nothing on which an event means something.
    #[must_use]
    pub fn replies(mut self, filters: &[&str]) -> Self {
        self.replies = self.filters(filters);
        self
    }

    /// A handler for the events that this filter wants. Of several that want one event the first gets it.
    #[must_use]
    pub fn on<H>(mut self, filter: &str, handler: H) -> Self
    where
        H: AsyncFn(&mut Tx<'_>, &Event) -> Result<(), Failure> + Send + Sync + 'static,
    {
        if let Some(filter) = self.filters(&[filter]).pop() {
            self.routes.push((filter, Box::new(handler)));
        }
        self
    }

    /// A handler for the timers of this name.
    #[must_use]
    pub fn on_timer<H>(mut self, name: &'static str, handler: H) -> Self
    where
        H: AsyncFn(&mut Tx<'_>, &Timer) -> Result<(), Failure> + Send + Sync + 'static,
    {
        self.timers.push((name, Box::new(handler)));
        self
    }

    /// What an event is about: those of one key are handled one after the other, in their order, also when an earlier one
    /// has to be tried again. `None` = in no order.
    #[must_use]
    pub fn key_of(mut self, key_of: impl Fn(&Event) -> Option<String> + Send + Sync + 'static) -> Self {
        self.key_of = Some(Box::new(key_of));
        self
    }

    /// Fills the tables when the service starts for the first time, in one transaction, once.
    #[must_use]
    pub fn seed<H>(mut self, seed: H) -> Self
    where
        H: AsyncFn(&mut Tx<'_>) -> Result<(), Failure> + Send + Sync + 'static,
    {
        self.seed = Some(Box::new(seed));
        self
    }

    /// What can be set of it.
    #[must_use]
    pub fn options(mut self, options: ServiceOptions) -> Self {
        self.options = options;
        self
    }

    /// What this process is called where people see who does what ([`Lease::holder`](crate::Lease::holder)); host and process id
    /// unless said here.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its registered statements.
    #[must_use]
    pub const fn registered(&self) -> &'static [&'static Statement] {
        self.statements
    }

    /// Makes the tables, joins the group, and handles what comes until it's stopped.
    ///
    /// The worker runs on the runtime that this is called on. Several may run for one service, in this process or in others.
    ///
    /// # Errors
    /// When the service contradicts itself, the store or the bus is not there, or the store's tables are of another version.
    pub async fn start(self, bus: Arc<dyn Bus>, store: Store, clock: Clock) -> Result<Running, StartError> {
        Running::start(self, bus, store, clock).await
    }

    fn filters(&mut self, texts: &[&str]) -> Vec<Filter> {
        let mut filters = Vec::with_capacity(texts.len());
        for text in texts {
            match Filter::new(*text) {
                Ok(filter) => filters.push(filter),
                Err(error) => self.faults.push(format!("{text:?} is no filter: {error}")),
            }
        }
        filters
    }

    /// The handler of this topic.
    pub(crate) fn handler(&self, topic: &str) -> Option<&dyn Handler> {
        self.routes.iter().find(|(filter, _)| filter.matches(topic)).map(|(_, handler)| &**handler)
    }

    /// The registered name and the handler of these timers.
    pub(crate) fn timer(&self, name: &str) -> Option<(&'static str, &dyn TimerHandler)> {
        self.timers.iter().find(|(known, _)| *known == name).map(|(known, handler)| (*known, &**handler))
    }

    pub(crate) fn may_publish(&self, topic: &str) -> bool {
        self.publishes.iter().any(|filter| filter.matches(topic))
    }

    pub(crate) fn may_reply(&self, topic: &str) -> bool {
        self.replies.iter().any(|filter| filter.matches(topic))
    }
}
