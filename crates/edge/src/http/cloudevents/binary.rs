//! Binary mode: the body is the data, the attributes are headers `ce-*` (HTTP binding 1.0.2 section 3.1).

use axum::extract::Request;
use headwater_event::{Event, Topic};

use super::super::body;
use super::super::escape::unescape;
use super::super::problem::Problem;
use super::super::publish::{caller, text_of};
use super::super::routes::App;
use super::attributes::{Attributes, wrong};

/// How attributes are named among the headers.
const PREFIX: &str = "ce-";

/// The event of a request. What its headers say is judged before its body is read.
pub(super) async fn one(app: &App, request: Request) -> Result<Event, Problem> {
    let who = caller(&request);
    let (parts, body) = request.into_parts();
    let mut attributes = Attributes::default();
    for (name, value) in &parts.headers {
        let name = match name.as_str() {
            "content-type" => "datacontenttype",
            name => match name.strip_prefix(PREFIX) {
                // The media type has the header of its own; beside it, this would be a second word on it.
                Some("datacontenttype") => return Err(wrong("datacontenttype", "is told by Content-Type")),
                Some(name) => name,
                None => continue,
            },
        };
        // Section 3.1.3.2: what ASCII can't write is percent-encoded.
        let text = unescape(text_of(value)?).ok_or_else(|| wrong(name, "is not percent-encoded UTF-8"))?;
        attributes.add(name, text)?;
    }
    let judged: Topic = super::event(&attributes, bytes::Bytes::new())?.topic;
    app.hub.precheck(&who, &judged, body::told_len(&body))?;
    let payload = body::read(body, app.hub.limits().payload_max, &app.limits).await?;
    super::event(&attributes, payload)
}
