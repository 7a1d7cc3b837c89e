//! How long a PUBLISH takes to read and to write: `cargo run --release --example mqtt_codec`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use headwater_edge::mqtt::packet::{Decoder, Packet, PublishParts, Qos, Version, encode_publish};

/// As many as a read of 16 KiB holds at 64 bytes each, about.
const RUN: usize = 100;
const TOPIC: &str = "plant/7/line/12/sensor/temperature";
const TIME: Duration = Duration::from_millis(300);

fn main() {
    println!("ns a PUBLISH, the best of 7 runs; reading includes a copy into the read buffer");
    println!("{:>8} {:>4} {:>8} {:>8} {:>8}", "version", "QoS", "payload", "read", "write");
    for version in [Version::V311, Version::V5] {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
            for len in [64, 1_024] {
                let payload = vec![7; len];
                let parts =
                    PublishParts { qos, topic: TOPIC, packet_id: 1, payload: &payload, ..PublishParts::default() };
                let (read, write) = (best(|| read(version, &parts)), best(|| write(version, &parts)));
                println!("{version:>8?} {:>4} {len:>8} {read:>8.1} {write:>8.1}", qos.bits());
            }
        }
    }
}

fn best(run: impl Fn() -> f64) -> f64 {
    (0..7).map(|_| run()).fold(f64::MAX, f64::min)
}

fn ns_each(mut once: impl FnMut()) -> f64 {
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < TIME / 7 {
        once();
        count += 1;
    }
    begun.elapsed().as_nanos() as f64 / f64::from(count) / RUN as f64
}

fn read(version: Version, parts: &PublishParts<'_>) -> f64 {
    let mut bytes = Vec::new();
    for _ in 0..RUN {
        encode_publish(version, parts, &mut bytes).expect("short enough");
    }
    let (mut decoder, mut buffer) = (Decoder::new(), BytesMut::new());
    decoder.set(version, 1_024 * 1_024);
    ns_each(|| {
        buffer.reserve(bytes.len());
        buffer.extend_from_slice(&bytes);
        while let Some(packet) = decoder.next(&mut buffer).expect("good packets") {
            let Packet::Publish(publish) = packet else { continue };
            black_box(publish);
        }
    })
}

fn write(version: Version, parts: &PublishParts<'_>) -> f64 {
    let mut out = Vec::new();
    ns_each(|| {
        out.clear();
        for _ in 0..RUN {
            encode_publish(version, black_box(parts), &mut out).expect("short enough");
        }
        black_box(&out);
    })
}
