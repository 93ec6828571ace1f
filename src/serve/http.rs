//! A small HTTP/1.1 server for this machine alone.
//!
//! It listens on 127.0.0.1, answers one request a connection, and trusts nobody: a head of at most 16 KiB and
//! a body of at most 64 KiB within five seconds, a `Host` that names this machine (no other site's page can
//! be pointed here by its DNS), and for a request with a body an `Origin` that does too. What is malformed
//! gets a 4xx and its reason.

use crate::error::{Error, Result};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

const MOST_HEAD: usize = 16 << 10;
const MOST_BODY: usize = 64 << 10;
const MOST_HEADERS: usize = 64;
/// Connections answered at a time.
const MOST_OPEN: usize = 32;
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at whether to stop.
const POLL: Duration = Duration::from_millis(20);

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `HEAD` or `POST`.
    pub method: String,
    /// From `/` on, without the query.
    pub path: String,
    /// Empty where there is none.
    pub body: Vec<u8>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Such as 200.
    pub status: u16,
    /// Its media type.
    pub kind: &'static str,
    /// Its content.
    pub body: Vec<u8>,
}

impl Response {
    /// A page.
    pub fn html(text: impl Into<String>) -> Self {
        Response { status: 200, kind: "text/html; charset=utf-8", body: text.into().into_bytes() }
    }

    /// A picture.
    pub fn png(bytes: Vec<u8>) -> Self {
        Response { status: 200, kind: "image/png", body: bytes }
    }

    /// A value as JSON.
    pub fn json(value: &impl serde::Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Response { status: 200, kind: "application/json", body },
            Err(e) => Self::error(500, format!("JSON: {e}")),
        }
    }

    /// `{"error": why}`
    pub fn error(status: u16, why: impl Into<String>) -> Self {
        let body = serde_json::json!({ "error": why.into() }).to_string().into_bytes();
        Response { status, kind: "application/json", body }
    }

    /// The answer to a path that leads nowhere.
    pub fn not_found(request: &Request) -> Self {
        Self::error(404, format!("there is no {}", request.path))
    }
}

/// A server that listens and has not begun to answer.
pub struct Server {
    listener: TcpListener,
    port: u16,
}

impl Server {
    /// Listens on this port of 127.0.0.1; on any free one for 0.
    ///
    /// # Errors
    /// The port is taken or not allowed.
    pub fn bind(port: u16) -> Result<Self> {
        let refused = |e: io::Error| {
            Error::input(format!("port {port} of this machine cannot be opened: {e}"))
                .remedy("name another with --port, or 0 for any free one")
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let port = listener.local_addr().map_err(refused)?.port();
        Ok(Server { listener, port })
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Answers each request on a thread of its own until `stop` says so.
    ///
    /// # Errors
    /// The system refuses connections or threads.
    pub fn run(
        &self,
        answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
        stop: impl Fn() -> bool,
    ) -> Result<()> {
        let (answer, open) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
        let port = self.port;
        while !stop() {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(POLL);
                    continue;
                }
                // The other side may have left again.
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(e) => return Err(Error::failure(format!("no connection can be accepted: {e}"))),
            };
            if open.fetch_add(1, SeqCst) >= MOST_OPEN {
                open.fetch_sub(1, SeqCst);
                continue;
            }
            let (answer, open) = (answer.clone(), open.clone());
            let worker = move || {
                // A reader that leaves early is no failure of the server.
                let _ = converse(stream, port, &*answer);
                open.fetch_sub(1, SeqCst);
            };
            std::thread::Builder::new()
                .name("http".into())
                .spawn(worker)
                .map_err(|e| Error::failure(format!("no thread can be started to answer: {e}")))?;
        }
        Ok(())
    }
}

/// Reads one request and answers it.
fn converse(mut stream: TcpStream, port: u16, answer: &dyn Fn(&Request) -> Response) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let read = read_request(&mut stream, port);
    let head_only = read.as_ref().is_ok_and(|r| r.method == "HEAD");
    let response = match read {
        Ok(request) => answer(&request),
        Err(refusal) => refusal,
    };
    write_response(&mut stream, &response, head_only)?;
    // What the client still sends is read, a little of it, so that it sees the answer and no reset.
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    io::copy(&mut stream.take(MOST_BODY as u64), &mut io::sink())?;
    Ok(())
}

fn write_response(stream: &mut TcpStream, r: &Response, head_only: bool) -> io::Result<()> {
    let reason = match r.status {
        200 => "OK",
        400..500 => "Bad Request",
        _ => "Error",
    };
    let allow = if r.status == 405 { "Allow: GET, HEAD, POST\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}Cache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n\
         Content-Security-Policy: default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'; connect-src 'self'\r\nConnection: close\r\n\r\n",
        r.status,
        r.kind,
        r.body.len()
    );
    stream.write_all(head.as_bytes())?;
    if !head_only {
        stream.write_all(&r.body)?;
    }
    stream.flush()
}

/// The head's facts that the rest depends on.
struct Head {
    method: String,
    target: String,
    host: String,
    origin: Option<String>,
    length: usize,
    size: usize,
}

fn read_request(stream: &mut TcpStream, port: u16) -> Result<Request, Response> {
    let deadline = Instant::now() + PATIENCE;
    let mut bytes = Vec::new();
    let head = loop {
        match parse(&bytes)? {
            Some(head) => break head,
            None if bytes.len() > MOST_HEAD => return Err(Response::error(431, "the head is too large")),
            None => more(stream, &mut bytes, deadline)?,
        }
    };
    let here =
        |name: &str| [format!("127.0.0.1:{port}"), format!("localhost:{port}")].iter().any(|h| h == name);
    if !here(&head.host) {
        return Err(Response::error(421, "the host asked for is not this server"));
    }
    if head.origin.is_some_and(|o| !o.strip_prefix("http://").is_some_and(here)) {
        return Err(Response::error(403, "another site's page asked"));
    }
    if !["GET", "HEAD", "POST"].contains(&head.method.as_str()) {
        return Err(Response::error(405, format!("{} is not answered here", head.method)));
    }
    while bytes.len() < head.size + head.length {
        more(stream, &mut bytes, deadline)?;
    }
    let body = bytes[head.size..head.size + head.length].to_vec();
    let path = head.target.split(['?', '#']).next().unwrap_or_default().to_string();
    Ok(Request { method: head.method, path, body })
}

/// The head where it is whole, `None` where more must come.
fn parse(bytes: &[u8]) -> Result<Option<Head>, Response> {
    let bad = |why: &str| Response::error(400, why);
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let size = match request.parse(bytes) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Response::error(431, "there are too many headers"));
        }
        Err(e) => return Err(bad(&format!("this is not HTTP: {e}"))),
    };
    let one = |name: &str| -> Result<Option<String>, Response> {
        let mut found = request.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name));
        let value = found.next().map(|h| String::from_utf8_lossy(h.value).trim().to_string());
        if found.next().is_some() { Err(bad(&format!("{name} is given twice"))) } else { Ok(value) }
    };
    if one("Transfer-Encoding")?.is_some() {
        return Err(Response::error(411, "send the body with a Content-Length"));
    }
    let length = match one("Content-Length")? {
        Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().unwrap_or(usize::MAX),
        Some(_) => return Err(bad("Content-Length is not a number")),
        None if request.method == Some("POST") => {
            return Err(Response::error(411, "Content-Length is missing"));
        }
        None => 0,
    };
    if length > MOST_BODY {
        return Err(Response::error(413, format!("the body is larger than {MOST_BODY} bytes")));
    }
    let target = request.path.unwrap_or_default().to_string();
    if !target.starts_with('/') {
        return Err(bad("the path does not begin with /"));
    }
    let host = one("Host")?.ok_or_else(|| bad("Host is missing"))?;
    let method = request.method.unwrap_or_default().to_string();
    Ok(Some(Head { method, target, host, origin: one("Origin")?, length, size }))
}

/// Some more bytes, before the deadline.
fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>, deadline: Instant) -> Result<(), Response> {
    let late = || Response::error(408, "the request did not come in time");
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
        return Err(late());
    }
    let mut part = [0; 4096];
    match stream.read(&mut part) {
        Ok(0) => Err(Response::error(400, "the request ends early")),
        Ok(n) => {
            bytes.extend_from_slice(&part[..n]);
            Ok(())
        }
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(()),
        Err(_) => Err(late()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status that a server which echoes gives to these bytes, and its answer's body.
    fn ask(request: &str) -> (u16, String) {
        let server = Server::bind(0).unwrap();
        let (port, done) = (server.port, Arc::new(AtomicUsize::new(0)));
        let stop = done.clone();
        let echo = |r: &Request| Response::html(format!("{} {} {}", r.method, r.path, r.body.len()));
        let thread = std::thread::spawn(move || server.run(echo, || stop.load(SeqCst) > 0).unwrap());
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.write_all(request.replace("HERE", &format!("127.0.0.1:{port}")).as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        done.store(1, SeqCst);
        thread.join().unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_string())
    }

    #[test]
    fn what_is_well_formed_is_answered() {
        assert_eq!(ask("GET /a?b=c HTTP/1.1\r\nHost: HERE\r\n\r\n"), (200, "GET /a 0".into()));
        assert_eq!(ask("HEAD / HTTP/1.1\r\nhost: HERE\r\n\r\n"), (200, String::new()));
        let posted = "POST /x HTTP/1.1\r\nHost: HERE\r\nOrigin: http://HERE\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(ask(posted), (200, "POST /x 3".into()));
    }

    #[test]
    fn what_is_malformed_or_foreign_gets_its_4xx() {
        let many = format!("GET / HTTP/1.1\r\nHost: HERE\r\n{}\r\n", "a: b\r\n".repeat(MOST_HEADERS));
        let long = format!("GET /{} HTTP/1.1\r\nHost: HERE", "a".repeat(MOST_HEAD));
        for (status, request) in [
            (400, "hello\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: HERE\r\n"),
            (400, "GET / HTTP/7.0\r\nHost: HERE\r\n\r\n"),
            (400, "GET x HTTP/1.1\r\nHost: HERE\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: HERE\r\nHost: HERE\r\n\r\n"),
            (400, "POST / HTTP/1.1\r\nHost: HERE\r\nContent-Length: -1\r\n\r\n"),
            (400, "POST / HTTP/1.1\r\nHost: HERE\r\nContent-Length: 9\r\n\r\nshort"),
            (
                403,
                "POST / HTTP/1.1\r\nHost: HERE\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n",
            ),
            (405, "DELETE / HTTP/1.1\r\nHost: HERE\r\n\r\n"),
            (411, "POST / HTTP/1.1\r\nHost: HERE\r\n\r\n"),
            (411, "POST / HTTP/1.1\r\nHost: HERE\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            (413, "POST / HTTP/1.1\r\nHost: HERE\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
            (421, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
            (431, &many),
            (431, &long),
        ] {
            let (got, body) = ask(request);
            assert_eq!(got, status, "{request:.60}: {body}");
            assert!(body.starts_with("{\"error\":"), "{body}");
        }
    }

    #[test]
    fn only_loopback_listens() {
        let server = Server::bind(0).unwrap();
        assert!(server.listener.local_addr().unwrap().ip().is_loopback());
        let taken = Server::bind(server.port).map(|_| ()).unwrap_err();
        assert!(taken.exit_code() == 2 && taken.to_string().contains("--port"));
    }
}
