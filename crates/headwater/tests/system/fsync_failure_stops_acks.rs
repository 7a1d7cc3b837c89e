//! Promise 11: when the disk says no, nobody is acknowledged any more; reads go on.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::frame_client::{Answer, FrameClient, hello};
use crate::http_client::{HttpClient, get};
use crate::program::{Place, crashed};

/// The kernel refuses writes beyond this many KiB of a file, as a full disk would; the signal that comes with it is ignored.
const FULL: &str = "trap '' XFSZ; ulimit -f";

#[test]
fn fsync_failure_stops_acks_and_reads_go_on() {
    // dash and bash count in blocks of 512 or 1,024 bytes: either way the log can't grow for ever.
    let place = Place::new().wrapper(&format!("{FULL} 65536"));
    let hub = place.start();
    let mut client = HttpClient::connect(hub.http).unwrap();
    let mut frames = FrameClient::connect(hub.frames, [1; 16]).unwrap();
    frames.send(1, b"while the disk is well");
    let body = "x".repeat(512 * 1_024);
    let mut accepted = 0;
    let refusal = loop {
        let response = client.post("big", &format!("k{accepted}"), &body).unwrap();
        if response.status != 200 {
            break response;
        }
        accepted += 1;
        assert!(accepted < 1_000, "the limit of the file's size doesn't bite");
    };
    assert_eq!(refusal.status, 503, "{}", refusal.text());
    assert!(accepted > 0);

    // From now on nothing is acknowledged, on no edge, however small.
    assert_eq!(client.post("small", "s", "x").unwrap().status, 503);
    frames.write(2, b"x").unwrap();
    assert_eq!(frames.answer().unwrap(), Answer::Nack { seq: 2, code: 5 });
    assert_eq!(status_of_welcome(hub.frames), 5, "who comes now hears it at the door");

    let ready = get(hub.http, "/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("log"), "it names the part that fails: {}", ready.text());
    assert_eq!(get(hub.http, "/healthz").status, 200, "the process lives");

    let history = get(hub.http, "/v1/events?filter=big&from=start&limit=1");
    assert_eq!(history.status, 200);
    assert_eq!(history.text().lines().count(), 1);

    let status = hub.stop();
    assert!(!crashed(status) && status.code() == Some(1), "it ends with 1: {status}");

    // With room again, all that was acknowledged is there.
    let place = Place::at(&place.dir);
    let _hub = place.start();
    let kept = place.export().iter().filter(|event| event["topic"] == "big").count();
    assert!(kept >= accepted, "{accepted} were acknowledged, {kept} are there");
}

fn status_of_welcome(addr: SocketAddr) -> u8 {
    let mut socket = TcpStream::connect(addr).unwrap();
    socket.write_all(&hello([2; 16], b"")).unwrap();
    let mut welcome = [0; 17];
    socket.read_exact(&mut welcome).unwrap();
    welcome[4]
}
