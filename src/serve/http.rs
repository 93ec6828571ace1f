//! The part of HTTP/1.1 that pages on this machine need (RFC 9112): a request read off bytes, an answer as
//! bytes.
//!
//! One request a connection, and no trust in who asks: a head of at most 16 KiB and a body of at most 64 KiB,
//! a `Host` that names this machine (no other site's page can be pointed here by its DNS), and an `Origin`,
//! if there is one, that does too. What is malformed gets a 4xx and its reason.

const MOST_HEAD: usize = 16 << 10;
const MOST_BODY: usize = 64 << 10;
const MOST_HEADERS: usize = 64;
/// No request has more bytes.
pub const MOST: usize = MOST_HEAD + MOST_BODY;

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

impl Request {
    /// The request that these bytes begin with, sent to `port`; `None` where more of it must come.
    ///
    /// # Errors
    /// The answer to what is no such request.
    pub fn read(bytes: &[u8], port: u16) -> Result<Option<Self>, Response> {
        let Some(head) = parse(bytes)? else {
            let large = bytes.len() > MOST_HEAD;
            return if large { Err(Response::error(431, "the head is too large")) } else { Ok(None) };
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
        let Some(body) = bytes.get(head.size..head.size + head.length) else { return Ok(None) };
        let path = head.target.split(['?', '#']).next().unwrap_or_default().to_string();
        Ok(Some(Request { method: head.method, path, body: body.to_vec() }))
    }
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

    /// As it is sent; without its content where only the head was asked for.
    pub fn bytes(&self, head_only: bool) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            400..500 => "Bad Request",
            _ => "Error",
        };
        let allow = if self.status == 405 { "Allow: GET, HEAD, POST\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}Cache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n\
             Content-Security-Policy: default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; \
             script-src 'unsafe-inline'; connect-src 'self'\r\nConnection: close\r\n\r\n",
            self.status,
            self.kind,
            self.body.len()
        );
        let body = if head_only { &[][..] } else { &self.body };
        [head.as_bytes(), body].concat()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: u16 = 8000;

    fn read(request: &str) -> Result<Option<Request>, u16> {
        Request::read(request.replace("HERE", "127.0.0.1:8000").as_bytes(), PORT).map_err(|refusal| {
            assert!(refusal.body.starts_with(b"{\"error\":"));
            refusal.status
        })
    }

    fn request(method: &str, path: &str, body: &[u8]) -> Result<Option<Request>, u16> {
        Ok(Some(Request { method: method.into(), path: path.into(), body: body.to_vec() }))
    }

    #[test]
    fn what_is_well_formed_is_read_when_it_is_whole() {
        assert_eq!(read("GET /a?b=c HTTP/1.1\r\nHost: HERE\r\n\r\n"), request("GET", "/a", b""));
        assert_eq!(read("HEAD / HTTP/1.1\r\nhost: localhost:8000\r\n\r\n"), request("HEAD", "/", b""));
        let posted = "POST /x HTTP/1.1\r\nHost: HERE\r\nOrigin: http://HERE\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(read(posted), request("POST", "/x", b"abc"));
        for end in 0..posted.len() {
            assert_eq!(read(&posted[..end]), Ok(None), "{end} bytes");
        }
    }

    #[test]
    fn what_is_malformed_or_foreign_gets_its_4xx() {
        let many = format!("GET / HTTP/1.1\r\nHost: HERE\r\n{}\r\n", "a: b\r\n".repeat(MOST_HEADERS));
        let long = format!("GET /{} HTTP/1.1\r\nHost: HERE", "a".repeat(MOST_HEAD));
        for (status, request) in [
            (400, "hello\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\n\r\n"),
            (400, "GET / HTTP/7.0\r\nHost: HERE\r\n\r\n"),
            (400, "GET x HTTP/1.1\r\nHost: HERE\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: HERE\r\nHost: HERE\r\n\r\n"),
            (400, "POST / HTTP/1.1\r\nHost: HERE\r\nContent-Length: -1\r\n\r\n"),
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
            assert_eq!(read(request), Err(status), "{request:.60}");
        }
    }
}
