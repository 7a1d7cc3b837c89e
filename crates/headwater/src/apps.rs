//! The applications of this process: their services at work, their routes, and whether they are well.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use axum::Router;
use axum::http::Extensions;
use headwater_apps::alerts::{self, AlertsSettings, ProcessorSettings};
use headwater_apps::intake::{self, IntakeSettings};
use headwater_apps::shop::{self, FrontSettings, ShopSettings, inventory, order};
use headwater_edge::http::{Caller, Part};
use headwater_event::{Bus, Health, Principal};
use headwater_hub::Hub;
use headwater_service::{Running, Service, Store, StoreError};

use crate::config::{App, Config, Role};
use crate::exit;
use crate::start_wait::{Away, StartWait};

/// The applications of this process.
#[derive(Default)]
pub struct Apps {
    services: Vec<(&'static str, Shared)>,
    /// The stores that are open here.
    pub stores: Vec<Store>,
    /// Their routes.
    pub routes: Router,
    /// Those whose page is served here.
    pub shown: Vec<App>,
}

/// A service that /readyz asks about until it has been stopped.
type Shared = Arc<Mutex<Option<Running>>>;

/// What they are started over.
pub struct Ground<'a> {
    /// The settings.
    pub config: &'a Config,
    /// Where events enter.
    pub hub: &'a Arc<Hub>,
    /// Where services take them from.
    pub bus: &'a Arc<dyn Bus>,
    /// Where the frame protocol listens, for people.
    pub frames: Option<String>,
}

impl Apps {
    /// Opens the stores, starts the services that this process's roles name, and puts the routes together. When this gives
    /// `Ok` the tables are there, so routes can be answered.
    ///
    /// # Errors
    /// Which service or store, and why.
    pub async fn start(ground: &Ground<'_>) -> anyhow::Result<Self> {
        let mut apps = Self::default();
        for app in &ground.config.apps {
            match app {
                App::Intake => apps.start_intake(ground),
                App::Shop => apps.start_shop(ground).await?,
                App::Alerts => apps.start_alerts(ground).await?,
            }
        }
        Ok(apps)
    }

    fn start_intake(&mut self, ground: &Ground<'_>) {
        if !ground.has(Role::Edge) || ground.config.engine != crate::config::EMBEDDED {
            return;
        }
        let settings = IntakeSettings { frames: ground.frames.clone(), clock: ground.config.hub.clock.clone() };
        self.add(Some(App::Intake), intake::routes(ground.hub.clone(), settings));
    }

    async fn start_shop(&mut self, ground: &Ground<'_>) -> anyhow::Result<()> {
        let has = |role| ground.has(role);
        if !has(Role::Front) && !has(Role::Inventory) && !has(Role::Order) {
            return Ok(());
        }
        let stock = Self::open(ground, inventory::NAME).await?;
        let orders = Self::open(ground, order::NAME).await?;
        self.stores.extend([stock.clone(), orders.clone()]);
        if has(Role::Inventory) {
            self.run(ground, inventory::service(), &stock).await?;
        }
        if has(Role::Order) {
            let settings = ShopSettings { release_after: ground.config.shop.release_after, ..ShopSettings::default() };
            self.run(ground, order::service(settings), &orders).await?;
        }
        if has(Role::Front) {
            let settings = FrontSettings {
                root_paths: ground.config.shop.root_paths,
                inventory: stock.reader(),
                orders: orders.reader(),
                bus: ground.bus.clone(),
                callers: Arc::new(caller),
            };
            self.add(Some(App::Shop), shop::routes(ground.hub.clone(), settings));
        }
        Ok(())
    }

    async fn start_alerts(&mut self, ground: &Ground<'_>) -> anyhow::Result<()> {
        let has = |role| ground.has(role);
        if !has(Role::Listener) && !has(Role::Processor) && !has(Role::Notifier) {
            return Ok(());
        }
        let settings = &ground.config.alerts;
        let store = if has(Role::Processor) || has(Role::Notifier) {
            Some(Self::open(ground, alerts::NAME).await?)
        } else {
            None
        };
        self.stores.extend(store.clone());
        if let Some(store) = store.as_ref().filter(|_| has(Role::Processor)) {
            let processor = ProcessorSettings { window: settings.window, record_kept: settings.record_kept };
            self.run(ground, alerts::processor(processor), store).await?;
        }
        let settings = AlertsSettings {
            listener: has(Role::Listener),
            notifier: store.as_ref().filter(|_| has(Role::Notifier)).map(Store::reader),
            who: Arc::new(caller),
            clock: ground.config.hub.clock.clone(),
            cap_sender: settings.cap_sender.clone(),
        };
        self.add(has(Role::Notifier).then_some(App::Alerts), alerts::routes(ground.hub.clone(), settings));
        Ok(())
    }

    async fn open(ground: &Ground<'_>, name: &str) -> anyhow::Result<Store> {
        let url = ground.config.store_url()?;
        match Store::open(&url, name).await {
            Err(StoreError::Refused(why)) => exit::usage(format!("the store {name} in {url} refuses us: {why}")),
            opened => opened.with_context(|| format!("can't open the store {name} in {url}")),
        }
    }

    async fn run(&mut self, ground: &Ground<'_>, service: Service, store: &Store) -> anyhow::Result<()> {
        let running = service.start(ground.bus.clone(), store.clone(), ground.config.hub.clock.clone()).await?;
        tracing::info!("the service {} is at work", running.name());
        self.services.push((running.name(), Arc::new(Mutex::new(Some(running)))));
        Ok(())
    }

    /// Takes in routes, and the application whose page is among them.
    fn add(&mut self, shown: Option<App>, routes: Router) {
        self.shown.extend(shown);
        self.routes = std::mem::take(&mut self.routes).merge(routes);
    }

    /// What /readyz asks.
    pub fn parts(&self) -> Vec<Part> {
        let part = |(name, service): &(&'static str, Shared)| {
            let service = Arc::clone(service);
            let health = move || match &*service.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(running) => running.health(),
                None => Health::Failing("it has been stopped".to_owned()),
            };
            Part { name: format!("service/{name}"), health: Arc::new(health) }
        };
        self.services.iter().map(part).collect()
    }

    /// Lets the services finish what they have begun, and settle it.
    pub async fn stop(self) {
        for (_, service) in self.services {
            let running = service.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(running) = running {
                running.stop().await;
            }
        }
    }
}

impl Ground<'_> {
    fn has(&self, role: Role) -> bool {
        self.config.roles.contains(&role)
    }
}

/// Waits until the server of the stores is there, where this process has stores.
///
/// # Errors
/// Usage: it says no, or isn't there in time.
pub async fn reach_store(config: &Config, start_wait: &mut StartWait) -> anyhow::Result<()> {
    let has = |app, roles: &[Role]| config.apps.contains(&app) && roles.iter().any(|role| config.roles.contains(role));
    if !has(App::Shop, &[Role::Front, Role::Inventory, Role::Order])
        && !has(App::Alerts, &[Role::Processor, Role::Notifier])
    {
        return Ok(());
    }
    let url = config.store_url()?;
    start_wait.reach(async || Store::reach(&url).await.map_err(|error| Away::store(&url.to_string(), error))).await
}

/// Who sent a request: the HTTP edge has asked.
fn caller(extensions: &Extensions) -> Principal {
    Caller::of(extensions).map_or_else(Principal::anonymous, |caller| caller.who.clone())
}
