//! Answers to requests: where they're wanted, and what they must carry.

use headwater_event::{Event, Headers};

use crate::body::{Body, Format};
use crate::failure::Failure;
use crate::outgoing::{Outgoing, headers_of};

/// Where an MQTT client wants the answer (MQTT 5.0 section 3.3.2.3.5), and what it must carry (section 3.3.2.3.6): names that
/// the MQTT edge gives these properties.
const MQTT_RESPONSE_TOPIC: &str = "mqtt-response-topic";
const MQTT_CORRELATION: &str = "mqtt-correlation-data";

/// The same for clients of other protocols, who set headers of these names.
const REPLY_TO: &str = "reply-to";
const CORRELATION_ID: &str = "correlation-id";

/// The answer to a request; `None` when it wants none.
pub(crate) fn to(request: &Event, body: Body) -> Result<Option<Outgoing>, Failure> {
    let headers = &request.headers;
    let Some(topic) = headers.get(MQTT_RESPONSE_TOPIC).or_else(|| headers.get(REPLY_TO)) else { return Ok(None) };
    let body = body.into_format(Format::of(headers))?;
    let mut pairs = Vec::with_capacity(3);
    if !body.content_type.is_empty() {
        pairs.push((Headers::CONTENT_TYPE, body.content_type.as_str()));
    }
    for name in [MQTT_CORRELATION, CORRELATION_ID] {
        pairs.extend(headers.get(name).map(|value| (name, value)));
    }
    let headers = headers_of(pairs)?;
    let mut answer = Outgoing::bytes(topic, "", body.bytes)?;
    answer.headers = headers;
    Ok(Some(answer))
}
