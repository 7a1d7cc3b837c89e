//! How old a server is: it says so in its first frame, before anybody has logged in.

use std::time::Duration;

use lapin::protocol::connection::AMQPMethod;
use lapin::protocol::{AMQPClass, parse_class};
use lapin::types::{AMQPValue, FieldTable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::address::Address;
use crate::version;

/// The first one whose quorum queues take back what they handed out under a limit, and let what waits in them expire.
const VERSION_MIN: [u32; 3] = [3, 10, 0];

/// How long the answer may take, and how long it may be: a RabbitMQ says 500 bytes of itself.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
const ANSWER_LEN_MAX: usize = 16 << 10;

/// What a client says first: it speaks AMQP 0-9-1.
const HELLO: &[u8] = b"AMQP\0\0\x09\x01";

/// A frame's kind, its channel (two bytes), its length (four).
const FRAME_HEAD_LEN: usize = 7;
const METHOD: u8 = 1;

/// The version of a RabbitMQ that is too old; `None` where it isn't, or where nobody tells.
pub(super) async fn too_old(address: &Address) -> Option<String> {
    let properties = timeout(ANSWER_TIME_MAX, introduced(address)).await.ok()??;
    let text = |name: &str| match properties.inner().get(name) {
        Some(AMQPValue::LongString(text)) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        _ => None,
    };
    // Others that speak the protocol count their versions in their own way.
    let version = text("version").filter(|_| text("product").as_deref() == Some("RabbitMQ"))?;
    (!version::is_at_least(&version, VERSION_MIN)).then_some(version)
}

/// What the server says of itself. Whoever can't be reached isn't asked here: that is told by who logs in.
async fn introduced(address: &Address) -> Option<FieldTable> {
    let mut stream = TcpStream::connect((address.host.as_str(), address.port)).await.ok()?;
    stream.write_all(HELLO).await.ok()?;
    let mut head = [0; FRAME_HEAD_LEN];
    stream.read_exact(&mut head).await.ok()?;
    let len = usize::try_from(u32::from_be_bytes([head[3], head[4], head[5], head[6]])).ok()?;
    if head[0] != METHOD || len > ANSWER_LEN_MAX {
        return None;
    }
    let mut payload = vec![0; len];
    stream.read_exact(&mut payload).await.ok()?;
    match parse_class(&payload[..]).ok()?.1 {
        AMQPClass::Connection(AMQPMethod::Start(start)) => Some(start.server_properties),
        _ => None,
    }
}
