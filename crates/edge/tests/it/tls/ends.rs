//! The ends of a connection, from either side, and a lot of bytes between.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Instant;

use super::{Client, PATIENCE, Place, plain};

#[test]
fn a_clients_last_word_reaches_the_edge_and_the_edges_answer_the_client() {
    let place = Place::new();
    let mut client = place.client();
    client.say(b"last");
    client.finish();
    assert_eq!(client.rest(), b"lastbye");
    drop(client);
    place.wait_until_empty();
}

#[test]
fn a_client_that_ends_its_side_without_a_last_word_is_answered_too() {
    let place = Place::new();
    let mut client = place.client();
    client.say(b"last");
    client.wire.sock.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"lastbye");
}

#[test]
fn an_edge_that_goes_says_its_last_word_in_full() {
    let place = Place::new();
    let mut client = place.client();
    client.say(b".");
    // `rest` fails where the end comes without TLS's own last word.
    assert_eq!(client.rest(), b"bye");
    let mut client = place.client();
    client.say(b"x");
    assert_eq!(client.rest(), b"");
    place.wait_until_empty();
}

#[test]
fn a_client_that_vanishes_ends_its_connection() {
    let place = Place::new();
    let client = place.client();
    assert_eq!(place.counts.open(), 1);
    let socket = socket2::SockRef::from(&client.wire.sock);
    socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(client);
    place.wait_until_empty();
}

#[test]
fn megabytes_go_both_ways_at_once_and_come_back_as_they_were() {
    let place = Place::new();
    let mut client = place.client();
    // A client that writes all before it reads anything would wait for ever: the echo would wait for it. So it is bounded
    // by what the way holds, and what comes back is read between.
    let piece: Vec<u8> = (0..60_000_u32).map(|n| b"abcdefghijklmnopqrstuvw"[(n % 23) as usize]).collect();
    for _ in 0..30 {
        client.say(&piece);
        assert_eq!(client.hear(piece.len()), piece);
    }
    for len in (1..=200).chain([16_384, 16_385, 65_535, 65_536, 65_537]) {
        client.say(&piece.repeat(2)[..len]);
        assert_eq!(client.hear(len), piece.repeat(2)[..len], "{len}");
    }
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody_else_and_gets_all_when_it_does() {
    let place = Place::new();
    let mut slow = place.client();
    slow.wire.sock.set_nonblocking(true).unwrap();
    let mut said = 0_u64;
    // Until all buffers between are full: the edge's, the lent socket's, the pump's, the system's.
    loop {
        said += slow.wire.conn.writer().write(&[b'a'; 16_384]).unwrap() as u64;
        if !flush(&mut slow) {
            break;
        }
        assert!(said < 256 << 20, "somebody takes without end");
    }
    let mut neighbour = place.client();
    neighbour.say(b"quick");
    assert_eq!(neighbour.hear(5), b"quick");
    let (mut heard, mut room, begun) = (0_u64, vec![0; 65_536], Instant::now());
    while heard < said {
        assert!(begun.elapsed() < PATIENCE, "{heard} of {said} bytes came back");
        flush(&mut slow);
        match slow.wire.conn.read_tls(&mut slow.wire.sock) {
            Ok(0) => panic!("the end came after {heard} of {said} bytes"),
            Ok(_) => drop(slow.wire.conn.process_new_packets().unwrap()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
        while let Ok(len @ 1..) = slow.wire.conn.reader().read(&mut room) {
            heard += len as u64;
        }
    }
    assert_eq!(heard, said);
}

/// Writes what the socket takes; gives whether that was all.
fn flush(client: &mut Client) -> bool {
    while client.wire.conn.wants_write() {
        match client.wire.conn.write_tls(&mut client.wire.sock) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            other => drop(other.unwrap()),
        }
    }
    true
}

#[test]
fn a_panic_ends_its_connection_alone_and_is_counted() {
    let place = Place::new();
    let mut neighbour = place.client();
    let mut faulty = place.client();
    faulty.say(b"!");
    assert!(faulty.wire.read(&mut [0]).is_err(), "the end comes without a word");
    neighbour.say(b"a");
    assert_eq!(neighbour.hear(1), b"a");
    assert_eq!((place.counts.panicked(), place.counts.open()), (1, 1));
}

#[test]
fn the_end_of_the_program_reaches_clients_and_does_not_wait_for_handshakes() {
    let place = Place::new();
    let mut client = place.client();
    let mut half_open = plain(place.addr);
    half_open.write_all(&[0x16]).unwrap();
    while place.counts.open() < 2 {
        std::thread::yield_now();
    }
    place.stop.request();
    assert_eq!(client.rest(), b"bye");
    drop(client);
    assert_eq!(half_open.read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(place.runtime.block_on(place.running).unwrap(), 0);
}
