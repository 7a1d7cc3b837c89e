//! The bridges of this process: each a client of another broker there, and a principal of its own here.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use headwater_edge::http::{Figure, Part};
use headwater_edge::tls::{Trust, originate};
use headwater_event::{
    Bus, Epoch, Filter, GroupName, GroupOptions, GroupStat, Later, Login, Member, Principal, Publication, Receipts,
    Recorded, Refusal, Time, Topic,
};
use headwater_hub::Hub;
use headwater_link::bridge::{Bridge, Counts, Home, Told, group_name};
use tokio::net::TcpStream;

use crate::access::users_file::secret_text;
use crate::config::{self, Config};
use crate::exit;

/// Which of a bridge's counts.
type Count = fn(&Counts) -> &std::sync::atomic::AtomicU64;

/// How many groups are looked at at once, for what a bridge's stands at.
const GROUPS_PAGE: usize = 256;

/// How many notes are read at once.
const NOTES_PAGE: usize = 256;

/// The bridges of this process.
#[derive(Default)]
pub struct Bridges {
    running: Vec<Bridge>,
    bus: Option<Arc<dyn Bus>>,
}

impl Bridges {
    /// Starts those that the settings name. A broker that isn't there is no fault: it's tried again.
    ///
    /// # Errors
    /// A file that can't be read, or is open to others (usage).
    pub fn start(config: &Config, hub: &Arc<Hub>, bus: &Arc<dyn Bus>) -> anyhow::Result<Self> {
        let mut running = Vec::new();
        for bridge in &config.bridges {
            let ashore = Ashore::new(bridge, hub, bus)?;
            let mut settings = bridge.settings.clone();
            if settings.client_id.is_empty() {
                // The same after every restart, and another one for each hub.
                settings.client_id = format!("headwater-{}-{}", hub.head().epoch, settings.name);
            }
            running.push(Bridge::start(settings, Arc::new(ashore)));
        }
        tell_orphans(config, bus.as_ref());
        Ok(Self { running, bus: Some(Arc::clone(bus)) })
    }

    /// What /readyz tells beside: a broker that is gone is no reason to send clients away from us.
    pub fn parts(&self) -> Vec<Part> {
        let part = |bridge: &Bridge| {
            let told = Arc::clone(bridge.told());
            Part { name: format!("bridge/{}", told.name()), health: Arc::new(move || told.health()) }
        };
        self.running.iter().map(part).collect()
    }

    /// What /metrics tells, a figure a bridge: their names come from the settings.
    pub fn figures(&self) -> Vec<Figure> {
        let Some(bus) = self.bus.clone().filter(|_| !self.running.is_empty()) else { return Vec::new() };
        let told: Arc<[Arc<Told>]> = self.running.iter().map(|bridge| Arc::clone(bridge.told())).collect();
        let figure = |name, help, is_count, of: Arc<dyn Fn(&Told) -> u64 + Send + Sync>| {
            let told = Arc::clone(&told);
            let read = move || told.iter().map(|told| (told.name().to_owned(), of(told))).collect();
            Figure { name, help, label: "bridge", is_count, read: Arc::new(read) }
        };
        let mut figures = vec![
            figure(
                "bridge_connected",
                "Whether a bridge is connected to its broker",
                false,
                Arc::new(|told| told.is_connected().into()),
            ),
            figure(
                "bridge_backlog_events",
                "How far the log is ahead of what a bridge's broker has acknowledged, in events of any topic",
                false,
                Arc::new(move |told| backlog(bus.as_ref(), told.name())),
            ),
        ];
        let counts: [(&str, &str, Count); 8] = [
            ("bridge_connections", "Connections that a bridge has made", |counts| &counts.connections),
            ("bridge_sent", "Events that a bridge's broker has acknowledged", |counts| &counts.sent),
            ("bridge_refused_there", "Events that became dead letters, as the broker refuses them", |counts| {
                &counts.refused_there
            }),
            ("bridge_taken", "Events that came in by a bridge and are durable", |counts| &counts.taken),
            ("bridge_duplicates", "Events that came in by a bridge and had come before", |counts| &counts.duplicates),
            ("bridge_refused_here", "Events that came in by a bridge and were not taken", |counts| {
                &counts.refused_here
            }),
            ("bridge_returning", "Events that a bridge did not carry back, or too far", |counts| &counts.returning),
            ("bridge_expired", "Events that expired before a bridge could send them", |counts| &counts.expired),
        ];
        for (name, help, of) in counts {
            let of = move |told: &Told| of(&told.counts).load(std::sync::atomic::Ordering::Relaxed);
            figures.push(figure(name, help, true, Arc::new(of)));
        }
        figures
    }

    /// Leaves the brokers in good order.
    pub async fn stop(self) {
        for bridge in self.running {
            bridge.stop().await;
        }
    }
}

/// Says which groups belong to bridges that the settings no longer name: nothing is thrown away for a line that was left out
/// by mistake.
fn tell_orphans(config: &Config, bus: &dyn Bus) {
    let prefix = "bridge/";
    for stat in groups(bus) {
        let orphan = stat.name.as_str().strip_prefix(prefix);
        let orphan = orphan.filter(|name| config.bridges.iter().all(|bridge| bridge.settings.name != **name));
        if let Some(name) = orphan {
            tracing::warn!("the settings name no bridge {name} any more; what it had still to send is kept");
        }
    }
}

fn groups(bus: &dyn Bus) -> Vec<GroupStat> {
    let mut all: Vec<GroupStat> = Vec::new();
    loop {
        let page = bus.groups(all.last().map(|stat| &stat.name), GROUPS_PAGE);
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

fn standing(bus: &dyn Bus, group: &GroupName) -> Option<GroupStat> {
    groups(bus).into_iter().find(|stat| stat.name == *group)
}

fn backlog(bus: &dyn Bus, bridge: &str) -> u64 {
    let stat = group_name(bridge).and_then(|group| standing(bus, &group));
    stat.map_or(0, |stat| bus.head().seq.saturating_sub(stat.settled.seq))
}

/// Our side of a bridge.
struct Ashore {
    who: Principal,
    hub: Arc<Hub>,
    bus: Arc<dyn Bus>,
    host: String,
    port: u16,
    trust: Option<Trust>,
    password_file: Option<PathBuf>,
}

impl Ashore {
    fn new(bridge: &config::Bridge, hub: &Arc<Hub>, bus: &Arc<dyn Bus>) -> anyhow::Result<Self> {
        let name = &bridge.settings.name;
        let trust = match &bridge.ca_file {
            None => None,
            Some(path) => {
                let pem = std::fs::read(path);
                let pem = pem.with_context(|| format!("the bridge {name}: can't read {}", path.display()))?;
                let trust = Trust::new(&pem, None, hub.clock().clone());
                Some(trust.map_err(|error| exit::Usage(format!("the bridge {name}: {}: {error}", path.display())))?)
            }
        };
        let roles = bridge.roles.iter().map(|role| role.as_str().into()).collect();
        let ashore = Self {
            // No user can have a name with a slash.
            who: Principal::named(&format!("bridge/{name}"), roles, Login::Settings),
            hub: Arc::clone(hub),
            bus: Arc::clone(bus),
            host: bridge.host.clone(),
            port: bridge.port,
            trust,
            password_file: bridge.password_file.clone(),
        };
        ashore.password().map_err(|why| exit::Usage(format!("the bridge {name}: {why}")))?;
        Ok(ashore)
    }
}

impl Home for Ashore {
    fn log(&self) -> Epoch {
        self.hub.head().epoch
    }

    fn now(&self) -> Time {
        self.hub.now()
    }

    fn payload_max(&self) -> usize {
        self.hub.limits().payload_max
    }

    fn may_publish(&self, topic: &Topic) -> Result<(), Refusal> {
        self.hub.may_publish(&self.who, topic)
    }

    fn may_watch(&self, filter: &Filter) -> Result<(), Refusal> {
        self.hub.may_watch(&self.who, filter)
    }

    fn publish(
        &self,
        batch: Vec<Publication>,
        note: Publication,
    ) -> Result<Later<'static, Result<Receipts, Refusal>>, Refusal> {
        self.hub.publish_with_note(&self.who, batch, note)
    }

    fn note(&self, note: Publication) -> Later<'static, Result<(), Refusal>> {
        let noting = self.hub.note(vec![note]);
        Box::pin(async move { noting?.await.map(drop) })
    }

    fn recall(&self, filter: &Filter) -> Later<'_, Result<Vec<Recorded>, Refusal>> {
        let filter = filter.clone();
        Box::pin(async move {
            let (mut all, mut after) = (Vec::new(), None);
            loop {
                let page = self.hub.recall(&filter, after.as_ref(), NOTES_PAGE).await?;
                all.extend(page.events);
                match page.next {
                    Some(next) => after = Some(next),
                    None => return Ok(all),
                }
            }
        })
    }

    fn join(
        &self,
        filters: &[Filter],
        group: &GroupName,
        options: GroupOptions,
    ) -> Later<'_, Result<Box<dyn Member>, Refusal>> {
        let (filters, group) = (filters.to_vec(), group.clone());
        Box::pin(async move { self.hub.join_all(&self.who, &filters, &group, options).await })
    }

    fn standing(&self, group: &GroupName) -> Option<GroupStat> {
        standing(self.bus.as_ref(), group)
    }

    fn end_group(&self, group: &GroupName) -> Later<'_, Result<(), Refusal>> {
        let group = group.clone();
        Box::pin(async move { self.hub.end_group(&group).await })
    }

    fn dial(&self) -> Later<'_, io::Result<TcpStream>> {
        Box::pin(async move {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            stream.set_nodelay(true)?;
            match &self.trust {
                None => Ok(stream),
                Some(trust) => originate(stream, &self.host, trust).await,
            }
        })
    }

    fn password(&self) -> Result<Option<String>, String> {
        let Some(path) = &self.password_file else { return Ok(None) };
        let text = secret_text(path).map_err(|why| format!("{}: {why}", path.display()))?;
        // An editor's last newline is no part of it.
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}
