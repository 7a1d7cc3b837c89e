//! `headwater pub`: publishes one event and says where it stands, once it is on disk there.

use std::io::{Read, Write};

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use headwater_event::{EventId, Topic};
use http_body_util::{BodyExt, Full};
use hyper::{Request, header};

use crate::client::{self, HubArgs};
use crate::exit;

/// What `headwater pub` takes.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  headwater pub greetings/world hello
  headwater pub clinic/3/slot/9 taken --sticky
  headwater pub orders '{\"no\":17}' --id order-17 --header content-type=application/json
  headwater pub backups/today - < backup.tar

Prints the position (EPOCH:SEQ) once the event is on disk. With --id, asking again adds nothing.")]
pub struct PubArgs {
    /// Where it belongs, e.g. clinic/3/slot/9
    topic: String,
    /// The payload, or `-` for all of stdin; left out it is empty (with --sticky: the topic's state ends)
    #[arg(allow_hyphen_values = true)]
    payload: Option<String>,
    /// Make it the topic's latest state, given first to everyone who comes
    #[arg(long)]
    sticky: bool,
    /// The event's id: the same id again adds nothing
    #[arg(long)]
    id: Option<String>,
    /// A header that travels with it; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    header: Vec<String>,
    /// Print the whole receipt as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hub: HubArgs,
}

/// Runs the command.
///
/// # Errors
/// Usage for what can't be sent; otherwise why the hub didn't take it.
pub fn run(args: PubArgs) -> anyhow::Result<()> {
    let hub = args.hub.hub()?;
    let request = request(&args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let receipt = runtime.block_on(async {
        let answer = hub.ask(request).await?;
        anyhow::Ok(
            answer.into_body().collect().await.context("the connection broke before the receipt came")?.to_bytes(),
        )
    })?;
    let mut out = std::io::stdout().lock();
    if args.json {
        out.write_all(receipt.trim_ascii_end())?;
        out.write_all(b"\n")?;
        return Ok(());
    }
    let receipt: serde_json::Value = serde_json::from_slice(&receipt).context("the receipt is no JSON")?;
    writeln!(out, "{}:{}", receipt["epoch"], receipt["seq"])?;
    Ok(())
}

fn request(args: &PubArgs) -> anyhow::Result<Request<Full<Bytes>>> {
    let topic = Topic::new(args.topic.as_str()).map_err(|error| exit::Usage(format!("{:?}: {error}", args.topic)))?;
    let path = client::escaped(topic.as_str(), b"/");
    let sticky = if args.sticky { "?sticky=true" } else { "" };
    let mut request = Request::post(format!("/v1/events/{path}{sticky}"));
    if let Some(id) = &args.id {
        id.parse::<EventId>().map_err(|error| exit::Usage(error.to_string()))?;
        request = request.header("idempotency-key", id);
    }
    for pair in &args.header {
        let Some((name, value)) = pair.split_once('=') else {
            return exit::usage(format!("--header {pair:?} is not of the form NAME=VALUE"));
        };
        request = request.header(header_name(name), value);
    }
    let request = request.body(Full::new(payload(args.payload.as_deref())?));
    request.map_err(|error| exit::Usage(format!("this can't be sent: {error}")).into())
}

/// The event's headers travel under names of their own beside HTTP's (docs/http.md); the content type is in both worlds.
fn header_name(name: &str) -> String {
    if name.eq_ignore_ascii_case(header::CONTENT_TYPE.as_str()) { name.to_owned() } else { format!("headwater-{name}") }
}

fn payload(said: Option<&str>) -> anyhow::Result<Bytes> {
    match said {
        Some("-") => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes).context("can't read stdin")?;
            Ok(bytes.into())
        }
        said => Ok(said.unwrap_or_default().to_owned().into()),
    }
}
