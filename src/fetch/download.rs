//! One file over HTTP, going on where an earlier download ended (RFC 9110, section 14: range requests).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use ureq::http::Response;
use ureq::{Agent, Body};

use crate::error::{Error, Result};
use crate::interrupt;
use crate::progress::Progress;

/// Broken connections in a row, without a byte between them, after which it gives up.
const TRIES: usize = 3;
/// More than any file that is fetched.
const MOST: u64 = 4 << 30;
/// The longest wait for a connection and for the head of an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How an attempt ended, where nothing is wrong with the disk.
enum End {
    Whole,
    /// The connection broke; why.
    Broken(String),
}

/// Completes `part` with what `url` gives. Failures: no connection, a refusal, connections that keep
/// breaking.
pub(super) fn download(url: &str, part: &Path, label: &str) -> Result<()> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .user_agent(concat!("gradus/", env!("CARGO_PKG_VERSION")))
        .build();
    let agent = Agent::new_with_config(config);
    let mut failed = 0;
    loop {
        let before = length(part);
        match attempt(&agent, url, part, label)? {
            End::Whole => return Ok(()),
            End::Broken(why) => {
                failed = if length(part) > before { 0 } else { failed + 1 };
                if failed == TRIES {
                    return Err(Error::failure(format!("{url} cannot be fetched: {why}")));
                }
                if interrupt::requested() {
                    return Err(interrupted(part));
                }
            }
        }
    }
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

fn interrupted(part: &Path) -> Error {
    let (so_far, part) = (length(part) >> 20, part.display());
    Error::interrupted(format!("{so_far} MiB are kept in {part}; the same command goes on"))
}

/// One request from the part's end to the file's.
fn attempt(agent: &Agent, url: &str, part: &Path, label: &str) -> Result<End> {
    let have = length(part);
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let response = match request.call() {
        Ok(response) => response,
        Err(e) => return Ok(End::Broken(e.to_string())),
    };
    let start = match response.status().as_u16() {
        200 => 0,
        206 if starts_at(&response, have) => have,
        // The part is as long as the file already, or longer: its hash will tell.
        416 if have > 0 => return Ok(End::Whole),
        code => return Err(Error::failure(format!("{url} cannot be fetched: the server answers {code}"))),
    };
    let open = OpenOptions::new().create(true).append(true).open(part);
    let file = open.and_then(|f| f.set_len(start).map(|()| f)).map_err(|e| Error::write(part, &e))?;
    copy(response, file, start, part, label)
}

/// Whether a partial answer begins with that byte.
fn starts_at(response: &Response<Body>, start: u64) -> bool {
    let range = response.headers().get("content-range").and_then(|v| v.to_str().ok());
    range.and_then(|r| r.strip_prefix("bytes ")).is_some_and(|r| r.starts_with(&format!("{start}-")))
}

fn copy(response: Response<Body>, mut file: File, start: u64, part: &Path, label: &str) -> Result<End> {
    let fail = |e: io::Error| Error::write(part, &e);
    let total = response.body().content_length().map(|n| start.saturating_add(n));
    if total.unwrap_or(0) > MOST {
        return Err(Error::failure(format!("{label} has more than {} GiB", MOST >> 30)));
    }
    let mut progress = Progress::new(label, "bytes", total.unwrap_or(0), start);
    let mut body = response.into_body().into_with_config().limit(MOST).reader();
    let mut block = vec![0; 1 << 16];
    let mut done = start;
    loop {
        if interrupt::requested() {
            file.sync_all().map_err(fail)?;
            return Err(interrupted(part));
        }
        let n = match body.read(&mut block) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Ok(End::Broken(e.to_string())),
        };
        if n == 0 {
            file.sync_all().map_err(fail)?;
            let short = total.is_some_and(|t| done < t);
            return Ok(if short { End::Broken("the connection ended early".into()) } else { End::Whole });
        }
        file.write_all(&block[..n]).map_err(fail)?;
        done += n as u64;
        progress.advance(n as u64, || format!("{} MiB", done >> 20));
    }
}
