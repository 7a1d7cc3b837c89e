//! `headwater serve`: builds every part in one visible function, runs until it is told to stop, and ends in order.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use headwater_apps::alerts::topics;
use headwater_edge::accept::{AcceptCounts, Listener, Stop};
use headwater_edge::tls::{Spoken, Tls};
use headwater_edge::{frames, http, mqtt};
use headwater_event::{Health, Replay};
use headwater_hub::{Hub, Lane};
use tokio::task::JoinSet;

use crate::access::{self, Reloading};
use crate::apps::{self, Apps, Ground};
use crate::bridge::Bridges;
use crate::cli::ServeArgs;
use crate::config::{self, App, Config, Loaded, Logging, Role, Sources};
use crate::console::{self, Facts};
use crate::engine::Engine;
use crate::exit;
use crate::listening::{Listening, protocol_name};
use crate::nodes::{self, Lags, Nodes};
use crate::open_files;
use crate::signals::{Asked, Signals};
use crate::socketio;
use crate::start_wait::StartWait;
use crate::tls;

/// How many reads of the log may wait for the disk at once: more would only wait there instead, and each is a thread.
const READERS_MAX: usize = 64;

/// Libraries that tell on their own what is told here in one sentence already. The settings' level comes behind and may name them.
const SILENT: &str = "async_nats=off,lapin=off";

/// Runs the hub until a signal ends it.
///
/// # Errors
/// Settings that can't be used (usage), a taken port, a log that can't be opened, a disk that failed.
pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let loaded = Sources::gather(&args.settings).and_then(|sources| config::load(&sources));
    let loaded = loaded.map_err(|faults| exit::Usage(faults.to_string()))?;
    tell_on_stderr(&loaded.config.logging);
    open_files::raise_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(READERS_MAX)
        .build()
        .context("can't start the runtime")?;
    let done = runtime.block_on(serve(&loaded, args));
    // The log is closed: whoever still waits for something waits in vain, and must not hold up the end.
    runtime.shutdown_background();
    done
}

async fn serve(loaded: &Loaded, args: &ServeArgs) -> anyhow::Result<()> {
    // Before the first line that tells somebody that we are there: from then on a signal must find us listening.
    let mut signals = Signals::listen()?;
    let config = &loaded.config;
    let engine = tokio::select! {
        biased;
        reached = reach(config, args) => reached?,
        name = signals.told_to_end() => {
            tracing::info!("{name}: ended before anything was started");
            return Ok(());
        }
    };
    let mut settings = config.hub.clone();
    let (access, files) = access::open(loaded)?;
    settings.access = access;
    if config.apps.contains(&App::Alerts) {
        settings.limits.lane = Some(Lane::new(&format!("{}/", topics::RAW)));
    }
    let hub = Hub::start(engine.bus.clone(), settings);

    let mut listening = Listening::default();
    let tls = tls::open(config, &config.log.folder, &config.hub.clock)?;
    let bound = Bound::bind(config, &Takes::of(&engine, config), tls.as_ref().map(|(tls, ..)| tls), &mut listening)?;
    let stop = Stop::default();
    let reloading = Reloading::new(files, hub.clone());
    let frames = listening.all().iter().find(|(protocol, _)| protocol.starts_with("frames"));
    let frames = frames.map(|(_, addr)| addr.to_string());
    let apps = Apps::start(&Ground { config, hub: &hub, bus: &engine.bus, frames }).await?;
    let lags = Lags::new(engine.bus.clone(), config.hub.clock.clone());
    let nodes = Nodes::start(nodes::Start {
        config,
        place: &engine.place,
        hub: &hub,
        bus: &engine.bus,
        parts: apps.parts(),
        lags: lags.clone(),
    });
    let bridges = Bridges::start(config, &hub, &engine.bus)?;
    let house = House {
        loaded,
        hub: &hub,
        engine: &engine,
        apps: &apps,
        nodes: &nodes,
        lags: &lags,
        bridges: &bridges,
        listening: &listening,
        stop: &stop,
    };
    let edges = bound.serve(&house, &reloading).await?;
    if let Some((tls, files, read)) = tls {
        tokio::spawn(tls::keep_current(tls, files, read));
    }
    if let Some(path) = ready_file(args) {
        listening.write_ready_file(&path)?;
    }
    let asked = loop {
        match signals.asked().await {
            // Beside the wait for the end, which may be asked for while files are read. What goes wrong is told there, and what
            // was in force stays.
            Asked::Reload => {
                let reloading = Arc::clone(&reloading);
                tokio::spawn(async move { drop(reloading.reload("SIGHUP").await) });
            }
            Asked::End(name) => break name,
        }
    };
    tracing::info!("{asked}: stopping");
    tokio::spawn(signals.insisted());
    stop.request();
    end(edges, bridges, apps, &nodes, &hub, engine).await
}

/// Waits for the servers that the settings name, as far as this process needs them, and opens the engine.
async fn reach(config: &Config, args: &ServeArgs) -> anyhow::Result<Engine> {
    let mut start_wait = StartWait::new(config.start_wait);
    apps::reach_store(config, &mut start_wait).await?;
    Engine::open(config, &mut start_wait, args.test_sync_delay).await
}

/// What the edges are put in front of.
struct House<'a> {
    loaded: &'a Loaded,
    hub: &'a Arc<Hub>,
    engine: &'a Engine,
    apps: &'a Apps,
    nodes: &'a Arc<Nodes>,
    lags: &'a Arc<Lags>,
    bridges: &'a Bridges,
    listening: &'a Listening,
    stop: &'a Stop,
}

/// Whom this process takes in beside HTTP.
struct Takes {
    mqtt: bool,
    frames: bool,
}

impl Takes {
    /// MQTT needs a log that can be read from any place, as sessions go on from where they stood; frames need a log of our own,
    /// which keeps their producers' numbers. Both need the role of an edge.
    fn of(engine: &Engine, config: &Config) -> Self {
        let (is_edge, is_alone) = (config.roles.contains(&Role::Edge), engine.embedded.is_some());
        let has_history = engine.bus.abilities().replay == Replay::Full;
        Self { mqtt: is_edge && (is_alone || has_history), frames: is_edge && is_alone }
    }
}

/// The listeners, bound and not yet served.
struct Bound {
    http: Option<Listener>,
    mqtt: Option<Listener>,
    frames: Option<Listener>,
    counts: Vec<(&'static str, Arc<AcceptCounts>)>,
}

impl Bound {
    /// Binds all that are on, and tells where; who comes now waits in the kernel for a moment.
    fn bind(config: &Config, takes: &Takes, tls: Option<&Arc<Tls>>, listening: &mut Listening) -> anyhow::Result<Self> {
        let mut counts = Vec::new();
        let mut bind = |spoken| -> anyhow::Result<Option<Listener>> {
            let mut all: Option<Listener> = None;
            let is_taken = match spoken {
                Spoken::Http => true,
                Spoken::Mqtt => takes.mqtt,
                Spoken::Frames => takes.frames,
            };
            if !is_taken {
                return Ok(None);
            }
            for (addr, is_encrypted) in config.addresses(spoken) {
                let mut listener = Listener::bind(addr, config.accept)?;
                if let Some(tls) = tls.filter(|_| is_encrypted) {
                    listener = listener.with_tls(Arc::clone(tls), spoken);
                }
                let name = protocol_name(spoken, is_encrypted);
                listening.announce(name, listener.local_addr())?;
                counts.push((name, listener.counts()));
                all = Some(match all {
                    None => listener,
                    Some(all) => all.beside(listener),
                });
            }
            Ok(all)
        };
        let (http, mqtt, frames) = (bind(Spoken::Http)?, bind(Spoken::Mqtt)?, bind(Spoken::Frames)?);
        Ok(Self { http, mqtt, frames, counts })
    }

    /// Starts the edges behind them.
    async fn serve(self, house: &House<'_>, reloading: &Arc<Reloading>) -> anyhow::Result<JoinSet<usize>> {
        let House { loaded, hub, engine, stop, .. } = *house;
        let config = &loaded.config;
        let mut edges = JoinSet::new();
        let is_alone = engine.embedded.is_some();
        let mqtt_front = if is_alone {
            Some(mqtt::Front::new(hub.clone(), config.mqtt_edge))
        } else {
            Takes::of(engine, config)
                .mqtt
                .then(|| mqtt::Front::beside_others(hub.clone(), config.mqtt_edge, &engine.place))
        };
        if let Some(front) = &mqtt_front {
            mqtt::start(front, &stop.listen()).await.context("can't take up the MQTT sessions")?;
        }
        let mut settings = house.http_settings(mqtt_front.as_ref(), self.counts);
        settings.extra_routes = settings.extra_routes.merge(access::routes(reloading.clone()));
        settings.hosts.is_checked = reloading.is_open_here() || !config.hosts.is_empty();
        if let Some(listener) = self.http {
            edges.spawn(http::serve(listener, hub.clone(), settings, stop.listen()));
        }
        if let (Some(listener), Some(front)) = (self.mqtt, mqtt_front) {
            edges.spawn(mqtt::serve(listener, front, stop.listen()));
        }
        if let Some(listener) = self.frames {
            edges.spawn(frames::serve(listener, hub.clone(), config.frames_edge.clone(), stop.listen()));
        }
        Ok(edges)
    }
}

impl House<'_> {
    /// What the HTTP edge is told: limits, the console, and the applications' routes.
    fn http_settings(
        &self,
        mqtt: Option<&mqtt::Front>,
        listeners: Vec<(&'static str, Arc<AcceptCounts>)>,
    ) -> http::ServeSettings {
        let Self { loaded, hub, engine, apps, nodes, lags, bridges, listening, stop } = *self;
        let config = &loaded.config;
        let logins = http::Logins::new(config.hub.clock.clone());
        let cookies: http::Cookies = {
            let logins = logins.clone();
            Arc::new(move |headers| logins.find(headers))
        };
        let facts = Facts {
            listening: listening.all().to_vec(),
            counts: listeners.clone(),
            apps: apps.shown.clone(),
            open: loaded.open(),
            embedded: engine.embedded.clone(),
            logins,
            mqtt: mqtt.cloned(),
            nodes: nodes.clone(),
            stores: apps.stores.clone(),
            stopping: stop.listen(),
        };
        let mut routes = apps.routes.clone();
        if config.roles.contains(&Role::Console) {
            routes = routes.merge(console::routes(hub.clone(), engine.bus.clone(), facts));
        }
        http::ServeSettings {
            extra_routes: routes,
            limits: config.http_edge,
            origins: config.ws.origins.clone(),
            ws: config.ws.clone(),
            mqtt: mqtt.cloned(),
            hosts: http::Hosts { is_checked: false, allowed: config.hosts.clone() },
            cookies: Some(cookies),
            listeners,
            parts: apps.parts(),
            groups: Some(lags.for_metrics()),
            beside: bridges.parts(),
            figures: bridges.figures(),
            socketio: socketio::front(config, hub),
        }
    }
}

/// Ends in order: the edges first, then bridges and services, then it's said that this node ends, then the log, which makes
/// durable what all of them had begun.
async fn end(
    mut edges: JoinSet<usize>,
    bridges: Bridges,
    apps: Apps,
    nodes: &Nodes,
    hub: &Hub,
    engine: Engine,
) -> anyhow::Result<()> {
    let mut left = 0;
    while let Some(ended) = edges.join_next().await {
        left += ended.context("an edge ended by a fault of ours")?;
    }
    if left > 0 {
        tracing::warn!("{left} connections had not ended in time and were closed");
    }
    bridges.stop().await;
    apps.stop().await;
    nodes.end().await;
    let health = hub.health();
    let closed = engine.close().await;
    if let Health::Failing(why) = health {
        bail!("the log failed while the hub ran: {why}");
    }
    closed?;
    tracing::info!("ended in good order");
    Ok(())
}

fn ready_file(args: &ServeArgs) -> Option<PathBuf> {
    args.ready_file.clone().or_else(|| std::env::var_os("HEADWATER_READY_FILE").map(PathBuf::from))
}

/// From now on what happens is told on stderr, as the settings say.
pub fn tell_on_stderr(logging: &Logging) {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(tracing_subscriber::EnvFilter::new(format!("{SILENT},{}", logging.level)));
    if logging.json {
        subscriber.json().init();
    } else {
        subscriber.init();
    }
}
