//! The smallest service: somebody's name comes in on `name`, a greeting leaves on `greeting`, and who was greeted is counted.
//!
//! `cargo run -p headwater-service --example greeter` greets three people over a log in a folder of its own, one of them
//! twice by a resent event. `docs/services.md` explains each line.

use std::sync::Arc;

use headwater_event::{Bus as _, Clock, Event, EventId, Headers, Publication};
use headwater_eventlog::{EventLog, OpenOptions};
use headwater_service::{Failure, Migration, Outgoing, Service, Statement, Store, StoreUrl, Tx, body};

static MIGRATIONS: &[Migration] =
    &[Migration { name: "001_greeted", sql: "CREATE TABLE greeted (name TEXT PRIMARY KEY, times BIGINT NOT NULL)" }];

static COUNT: Statement = Statement::new(
    "INSERT INTO greeted (name, times) VALUES ($1, 1)
     ON CONFLICT (name) DO UPDATE SET times = greeted.times + 1 RETURNING times",
);
static STATEMENTS: &[&Statement] = &[&COUNT];

/// Greets, and counts how often.
async fn greet(tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    let name: String = body::read(event)?;
    let times = tx.query(&COUNT, &[name.as_str().into()]).await?[0].int(0)?;
    tx.publish(Outgoing::json("greeting", &format!("Hello, {name}, for the {times}. time"))?)
}

fn greeter() -> Service {
    Service::new("greeter").migrations(MIGRATIONS).statements(STATEMENTS).publishes(&["greeting"]).on("name", greet)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("headwater-greeter-{}", std::process::id()));
    let bus = Arc::new(EventLog::open(OpenOptions::new(&folder))?);
    let store = Store::open(&StoreUrl::sqlite(&folder), "greeter").await?;
    let running = greeter().start(bus.clone(), store, Clock::system()).await?;
    let mut greetings = bus.tail(bus.head())?;
    for (id, name) in [("1", "Anna"), ("2", "Berta"), ("2", "Berta"), ("3", "Anna")] {
        let event = Event {
            id: id.parse::<EventId>()?,
            topic: "name".parse()?,
            headers: Headers::none(),
            payload: serde_json::to_vec(name)?.into(),
            at: Clock::system().now(),
        };
        bus.append(vec![Publication { event, sticky: false }]).await?;
    }
    let mut seen = 0;
    while seen < 3 {
        for greeting in greetings.next(&|topic| topic == "greeting").await?.events {
            println!("{}", body::read::<String>(&greeting.event)?);
            seen += 1;
        }
    }
    running.stop().await;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
