//! A file, going on where an earlier download ended (RFC 9110, section 14: range requests).

use ureq::http::response::Parts;
use ureq::http::{HeaderName, StatusCode, header};

use super::part::Part;
use super::transfer::{Link, Stop};
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Broken connections in a row, without a byte between them, after which it gives up; and files that change
/// on the way.
const TRIES: usize = 3;

/// Completes the part of a file of so many bytes. Failures: no connection, a refusal, connections that keep
/// breaking, a file of another length.
pub(super) fn complete(link: &Link, part: &mut Part, bytes: u64, label: &str) -> Result<()> {
    let mut failed = 0;
    while part.len() < bytes {
        let before = part.len();
        let stop = attempt(link, part, bytes, label).err();
        failed = if part.len() > before { 0 } else { failed + 1 };
        let why = match stop {
            None => continue,
            Some(Stop::Other(error)) => return Err(error),
            Some(Stop::Interrupted) => return part.sync().and(Err(Error::interrupted(part.kept()))),
            Some(Stop::Broken(_)) if failed < TRIES && part.lost < TRIES => continue,
            Some(Stop::Broken(why) | Stop::Refused(why)) => why,
        };
        return Err(Error::failure(format!("{} cannot be fetched: {why}", link.url)));
    }
    Ok(())
}

fn text(head: &Parts, name: HeaderName) -> Option<&str> {
    head.headers.get(name)?.to_str().ok()
}

/// What tells the version of the answer's file from every other: its strong entity tag, or, where it has
/// none, the date of its last change, unless that is the second of the answer, in which it could change
/// again.
fn version(head: &Parts) -> Option<String> {
    let version = match text(head, header::ETAG) {
        Some(tag) => Some(tag).filter(|t| !t.starts_with("W/")),
        None => text(head, header::LAST_MODIFIED).filter(|&at| text(head, header::DATE) != Some(at)),
    };
    version.map(String::from)
}

/// Whether a partial answer goes on with the part.
fn goes_on(head: &Parts, part: &Part) -> bool {
    let range = text(head, header::CONTENT_RANGE).and_then(|range| range.strip_prefix("bytes "));
    let here = range.is_some_and(|range| range.starts_with(&format!("{}-", part.len())));
    here && version(head).is_none_or(|version| part.version() == Some(version.as_str()))
}

/// One request from the part's end to the file's.
fn attempt(link: &Link, part: &mut Part, bytes: u64, label: &str) -> Result<(), Stop> {
    let range = part
        .version()
        .map(|version| [("range", format!("bytes={}-", part.len())), ("if-range", version.to_string())]);
    let asked = range.is_some();
    let transfer = link.get(range.as_ref().map_or(&[], |headers| headers))?;
    let (head, length) = transfer.head()?;
    let begins = match head.status {
        StatusCode::OK => true,
        StatusCode::PARTIAL_CONTENT if asked && goes_on(&head, part) => false,
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if asked => {
            part.begin(None)?;
            return Err(Stop::Broken("the server has another file than before".into()));
        }
        code => return Err(Stop::Refused(format!("the server answers {}", code.as_u16()))),
    };
    let start = if begins { 0 } else { part.len() };
    if let Some(length) = length.map(|length| start.saturating_add(length)).filter(|&n| n != bytes) {
        return Err(Stop::Refused(format!("the server's file has {length} bytes, not {bytes}")));
    }
    if begins {
        part.begin(version(&head))?;
    }
    let mut progress = Progress::new(label, "bytes", bytes, start);
    while let Some(block) = transfer.block()? {
        if part.len() + block.len() as u64 > bytes {
            part.begin(None)?;
            return Err(Stop::Refused(format!("the server's file has more than {bytes} bytes")));
        }
        part.append(&block)?;
        progress.advance(block.len() as u64, || format!("{} MiB", part.len() >> 20));
    }
    match part.len() < bytes {
        true => Err(Stop::Broken("the connection ended early".into())),
        false => Ok(()),
    }
}
