//! HTTP/1.1: where one request ends and the next begins.

use headwater_edge::http::framing::{Body, Fault, Framing, read_head};

/// The first byte says in what pieces the others come; the same must be found wrong as in one piece. (Where exactly a
/// fault is told differs with the pieces, as bytes that came before can't be taken back.)
pub fn framing(data: &[u8]) {
    let Some((step, bytes)) = data.split_first() else { return };
    let whole = follow(bytes, bytes.len());
    assert_eq!(whole, follow(bytes, usize::from(*step % 64) + 1));
    if let Ok(Some(head)) = read_head(bytes) {
        plainly(&bytes[..head.len], head.body);
    }
}

fn follow(bytes: &[u8], step: usize) -> Option<Fault> {
    let mut framing = Framing::default();
    // A head that drips in is judged at each line's end, so both get one.
    bytes.chunks(step.max(1)).chain([&b"\n"[..]]).find_map(|piece| {
        let (before, fault) = framing.follow(piece).err()?;
        assert!(before <= piece.len());
        Some(fault)
    })
}

/// What a head that was taken says of its body, read by the plainest reader: no second opinion may be possible.
fn plainly(head: &[u8], body: Body) {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let values = |name: &str| -> Vec<String> {
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(have, _)| have.trim() == name).map(|(_, value)| value.trim().to_owned()).collect()
    };
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    match body {
        Body::Chunks => assert_eq!((lengths.len(), codings), (0, vec!["chunked".to_owned()])),
        Body::Bytes(len) => {
            assert!(codings.is_empty() && lengths.len() <= 1, "{lengths:?} {codings:?}");
            assert_eq!(lengths.first().map_or(Ok(0), |text| text.parse()), Ok(len));
        }
    }
}

/// Requests behind one another, with bodies of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let requests = [
        "GET /b HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n",
        "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nT: v\r\n\r\n",
        "PUT /d HTTP/1.0\r\nContent-Length: 1\r\n\r\nxGET / HTTP/1.1\r\nHost: [::1]\r\n\r\n",
    ];
    requests.into_iter().flat_map(|text| [0_u8, 6, 40].map(|step| [&[step], text.as_bytes()].concat())).collect()
}

/// What smugglers use.
pub const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\r",
    b"Host: a\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: +3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b" chunked",
    b" HTTP/1.1\r\n",
    b"0\r\n\r\n",
    b"FFFFFFFFFFFFFFFF\r\n",
    b"\t",
    b"\0",
];
