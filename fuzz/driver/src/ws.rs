//! The WebSocket edge: frames, the JSON in them, and the handshake.

use headwater_edge::ws::mask::unmask;
use headwater_edge::ws::request::{REF_LEN_MAX, read};
use headwater_edge::ws::{Decoder, Fault, Said, handshake};

/// Small, so that the limit is met.
const MESSAGE_LEN_MAX: usize = 1_000;

/// The first byte says in what pieces the others come; they must be judged as they are in one piece.
pub fn frames(data: &[u8]) {
    let Some((step, bytes)) = data.split_first() else { return };
    let whole = hear(bytes, bytes.len());
    let pieces = hear(bytes, usize::from(*step % 32) + 1);
    assert_eq!(whole, pieces);
}

fn hear(bytes: &[u8], step: usize) -> (Vec<String>, Option<Fault>) {
    let mut decoder = Decoder::new(MESSAGE_LEN_MAX);
    let mut heard = Vec::new();
    for piece in bytes.chunks(step.max(1)) {
        let mut piece = piece.to_vec();
        let mut at = 0;
        loop {
            match decoder.next(&mut piece[at..]) {
                Err(fault) => return (heard, Some(fault)),
                Ok((used, None)) => {
                    assert_eq!(at + used, piece.len(), "nothing may be left over");
                    break;
                }
                Ok((used, Some(said))) => {
                    at += used;
                    check(&said);
                    heard.push(format!("{said:?}"));
                }
            }
        }
    }
    (heard, None)
}

fn check(said: &Said<'_>) {
    match said {
        Said::Text(text) => assert!(text.len() <= MESSAGE_LEN_MAX),
        Said::Binary(bytes) => assert!(bytes.len() <= MESSAGE_LEN_MAX),
        Said::Ping(bytes) => assert!(bytes.len() <= 125),
        Said::Close(closing) => assert!(closing.code.is_none_or(|code| (1000..5000).contains(&code))),
        Said::Pong => {}
    }
}

/// Conversations of good frames in all sizes of head, whole and in fragments.
pub fn frame_seeds() -> Vec<Vec<u8>> {
    let text = |first, payload: &str| client_frame(first, payload.as_bytes());
    let conversations = [
        text(0x81, "hello"),
        client_frame(0x82, &[7; 300]),
        [text(0x01, "grü"), text(0x89, "amid"), text(0x00, "ß"), text(0x80, "e €")].concat(),
        [text(0x8A, ""), client_frame(0x88, b"\x03\xe8bye")].concat(),
        [client_frame(0x02, &[1; 999]), client_frame(0x80, &[2])].concat(),
    ];
    conversations.into_iter().flat_map(|bytes| [1_u8, 7, 31].map(|step| [&[step][..], &bytes].concat())).collect()
}

/// Heads, and cut characters.
pub const FRAME_WORDS: &[&[u8]] = &[
    b"\x81\x80\0\0\0\0",
    b"\x01\x81\0\0\0\0a",
    b"\x80\x80\0\0\0\0",
    b"\x88\x82\0\0\0\0\x03\xe8",
    b"\x89\xfd\0\0\0\0",
    b"\xfe\0\x7e",
    b"\xff\0\0\0\0\0\x01\0\0",
    b"\xf0\x9f\x98\x80",
    b"\xe2\x82",
    b"\xed\xa0\x80",
];

fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0xA1, 0x00, 0x7F, 0xC3];
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | u8::try_from(len).unwrap_or(0)),
        len => {
            frame.push(0xFE);
            frame.extend_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    let start = frame.len();
    frame.extend_from_slice(payload);
    unmask(&mut frame[start..], mask, 0);
    frame
}

/// What is taken for a request must be JSON to an ordinary reader too, and its mark must be there as it was written.
pub fn json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let asked = read(text);
    if let Some(reference) = &asked.reference {
        assert!(reference.len() <= REF_LEN_MAX && text.contains(&**reference));
        serde_json::from_str::<serde_json::Value>(reference).expect("a mark is JSON");
    }
    match asked.request {
        Ok(_) => {
            let value: serde_json::Value = serde_json::from_str(text).expect("a request is JSON");
            assert!(value.is_object());
        }
        Err(refusal) => assert!(refusal.to_string().len() < 400),
    }
}

/// A request of each kind.
pub fn json_seeds() -> Vec<Vec<u8>> {
    [
        r#"{"op":"subscribe","ref":1,"filter":"a/+/#","from":"7:12","behind":"gap"}"#,
        r#"{"op":"subscribe","ref":"x\u00fc\"","filter":"a","sticky":true,"behind":"catch_up"}"#,
        r#"{"op":"unsubscribe","filter":"a/+/#"}"#,
        r#"{"op":"publish","topic":"a/b","payload":"te\\xt","id":"i","headers":{"a":"b","c":["d","e"]},"sticky":false}"#,
        r#"{"op":"publish","ref":18446744073709551615,"topic":"a","payload_base64":"/wA="}"#,
        r#"{"op":"publish","topic":"a","json":{"a":[1,-2.5e3,null,true,{"b":"\ud83d\ude00"}],"c":{}}}"#,
        r#"{"op":"ping","ref":"018f4e9a-6e1c-7d3b-9a52-0c6b1f2d3e4a"}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Members, and what is hard about JSON.
pub const JSON_WORDS: &[&[u8]] = &[
    b"\"op\":\"publish\",",
    b"\"ref\":1,",
    b"\"ref\":\"\\ud800\",",
    b"\"json\":",
    b"\"payload\":\"\",",
    b"\"headers\":{},",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":",
    b"1e999",
    b"-0",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"\"",
    b"\\",
    b"}",
    b",",
];

/// A request that is taken must have had what RFC 6455 section 4.2.1 asks for.
pub fn handshake(data: &[u8]) {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(_)) = request.parse(data) else { return };
    let offers: Vec<_> = handshake::offered(&request).collect();
    assert!(offers.iter().all(|offer| !offer.is_empty()));
    match handshake::check(&request) {
        Ok(fit) => {
            assert_eq!(request.method, Some("GET"));
            let answer = String::from_utf8(fit.answer(None)).expect("an answer is text");
            assert_eq!(answer.matches("\r\n\r\n").count(), 1);
        }
        Err(unfit) => assert!((400..500).contains(&unfit.status().0)),
    }
}

/// Good handshakes, as a browser and as a library write them.
pub fn handshake_seeds() -> Vec<Vec<u8>> {
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    [
        format!("GET /v1/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n"),
        format!(
            "GET /v1/ws HTTP/1.1\r\nHost: a:80\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
             Origin: http://a\r\n{key}Sec-WebSocket-Protocol: headwater.v1, x\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
        ),
    ]
    .map(String::into_bytes)
    .to_vec()
}

/// Names and values of headers.
pub const HANDSHAKE_WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"Host: b\r\n",
    b"Upgrade: h2c, websocket\r\n",
    b"Connection: upgrade\r\n",
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
    b"Sec-WebSocket-Version: 8\r\n",
    b",",
    b"=",
    b"\xff",
];
