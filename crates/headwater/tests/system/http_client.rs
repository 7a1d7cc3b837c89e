//! As little of HTTP/1.1, server-sent events and WebSocket as a client needs: it shares no code with the program.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::program::PATIENCE;

pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

/// One connection that is kept alive over requests.
pub struct HttpClient {
    reader: BufReader<TcpStream>,
}

impl HttpClient {
    pub fn connect(addr: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(addr)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(socket) })
    }

    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Response> {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        let mut bytes = (text + "\r\n").into_bytes();
        bytes.extend(body);
        self.reader.get_mut().write_all(&bytes)?;
        self.response(method == "HEAD")
    }

    fn response(&mut self, no_body: bool) -> io::Result<Response> {
        let (status, headers) = read_head(&mut self.reader)?;
        let mut response = Response { status, headers, body: Vec::new() };
        if no_body || status == 304 || status == 204 {
            return Ok(response);
        }
        if response.header("transfer-encoding").is_some() {
            response.body = read_chunks(&mut self.reader)?;
        } else if let Some(len) = response.header("content-length") {
            response.body = vec![0; len.parse().expect("a length")];
            self.reader.read_exact(&mut response.body)?;
        } else {
            self.reader.read_to_end(&mut response.body)?;
        }
        Ok(response)
    }

    /// Sends the head of a POST and waits until the hub asks for the body: what it can refuse without it is behind it then.
    pub fn begin_post(&mut self, topic: &str, body_len: usize) -> io::Result<()> {
        write!(
            self.reader.get_mut(),
            "POST /v1/events/{topic} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {body_len}\r\n\
             Expect: 100-continue\r\n\r\n"
        )?;
        let (status, headers) = read_head(&mut self.reader)?;
        assert_eq!(status, 100, "{headers:?}");
        Ok(())
    }

    /// Sends the body that the hub asked for.
    pub fn send_body(&mut self, body: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(body)
    }

    /// The answer to what was sent.
    pub fn answer(&mut self) -> io::Result<Response> {
        self.response(false)
    }

    pub fn post(&mut self, topic: &str, key: &str, body: &str) -> io::Result<Response> {
        self.request("POST", &format!("/v1/events/{topic}"), &[("Idempotency-Key", key)], body.as_bytes())
    }
}

pub fn get(addr: SocketAddr, path: &str) -> Response {
    HttpClient::connect(addr).and_then(|mut client| client.request("GET", path, &[], b"")).expect("GET")
}

pub fn post(addr: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    HttpClient::connect(addr).and_then(|mut client| client.request("POST", path, headers, body)).expect("POST")
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn read_head(reader: &mut impl BufRead) -> io::Result<(u16, Vec<(String, String)>)> {
    let status = read_line(reader)?.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        match line.split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => return Ok((status, headers)),
        }
    }
}

fn read_chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let len = usize::from_str_radix(&read_line(reader)?, 16).expect("a chunk's length");
        let at = body.len();
        body.resize(at + len, 0);
        reader.read_exact(&mut body[at..])?;
        read_line(reader)?;
        if len == 0 {
            return Ok(body);
        }
    }
}

/// A watcher by server-sent events.
pub struct Sse {
    reader: BufReader<TcpStream>,
}

/// One server-sent event: its kind (`message` when none is written), its id, its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub kind: String,
    pub id: Option<String>,
    pub data: String,
}

impl Sent {
    pub fn payload(&self) -> String {
        let event: serde_json::Value = serde_json::from_str(&self.data).expect("data is JSON");
        event["payload"].as_str().expect("a payload").to_owned()
    }
}

impl Sse {
    pub fn watch(addr: SocketAddr, query: &str, last_event_id: Option<&str>) -> io::Result<Self> {
        let last = last_event_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        Self::with(addr, query, &last)
    }

    /// The same with these lines in the head.
    pub fn with(addr: SocketAddr, query: &str, lines: &str) -> io::Result<Self> {
        let socket = TcpStream::connect(addr)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(socket);
        write!(reader.get_mut(), "GET /v1/live?{query} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")?;
        let (status, headers) = read_head(&mut reader)?;
        assert_eq!(status, 200, "{headers:?}");
        let chunked = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding"));
        assert!(!chunked, "a fresh connection is taken over bare");
        Ok(Self { reader })
    }

    /// The next event; comments and empty events are passed over.
    pub fn next(&mut self) -> io::Result<Sent> {
        let mut sent = Sent { kind: "message".into(), id: None, data: String::new() };
        let mut any = false;
        loop {
            let line = read_line(&mut self.reader)?;
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" if line.is_empty() && any => return Ok(sent),
                "event" => value.clone_into(&mut sent.kind),
                "id" => sent.id = Some(value.to_owned()),
                "data" => {
                    if any {
                        sent.data.push('\n');
                    }
                    sent.data += value;
                    any = true;
                }
                _ => {}
            }
        }
    }
}

/// A watcher and publisher by WebSocket.
pub struct WebSocket {
    reader: BufReader<TcpStream>,
}

impl WebSocket {
    pub fn connect(addr: SocketAddr) -> io::Result<Self> {
        Self::open(addr, "/v1/ws")
    }

    /// The same at another path, where something else is spoken.
    pub fn open(addr: SocketAddr, path: &str) -> io::Result<Self> {
        let socket = TcpStream::connect(addr)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        let mut reader = BufReader::new(socket);
        write!(
            reader.get_mut(),
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )?;
        let (status, headers) = read_head(&mut reader)?;
        assert_eq!(status, 101, "{headers:?}");
        Ok(Self { reader })
    }

    pub fn write(&mut self, text: &str) -> io::Result<()> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![0x81];
        match text.len() {
            len @ 0..126 => frame.push(0x80 | len as u8),
            len => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(len).expect("short enough").to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.reader.get_mut().write_all(&frame)
    }

    /// The next text frame; pings are passed over (a hub that pings takes any traffic as a sign of life).
    pub fn next(&mut self) -> io::Result<serde_json::Value> {
        Ok(serde_json::from_str(&self.text()?).expect("frames are JSON"))
    }

    /// The same as text.
    pub fn text(&mut self) -> io::Result<String> {
        loop {
            let mut head = [0; 2];
            self.reader.read_exact(&mut head)?;
            let mut len = u64::from(head[1] & 0x7f);
            if len >= 126 {
                let mut bytes = [0; 8];
                let from = if len == 126 { 6 } else { 0 };
                self.reader.read_exact(&mut bytes[from..])?;
                len = u64::from_be_bytes(bytes);
            }
            let mut body = vec![0; usize::try_from(len).expect("fits")];
            self.reader.read_exact(&mut body)?;
            match head[0] {
                0x81 => return Ok(String::from_utf8(body).expect("text frames are UTF-8")),
                0x89 => {}
                0x88 => return Err(io::Error::new(io::ErrorKind::ConnectionAborted, format!("closed: {body:?}"))),
                other => panic!("an unexpected frame: {other:#x}"),
            }
        }
    }
}
