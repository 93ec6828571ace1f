//! The outer form of a JSON file: its encoding, and what it is where it is not the wanted one.
//!
//! A byte order mark, which Windows' tools write, is skipped. Python writes `NaN` and `Infinity`, which JSON
//! lacks: they are read as `null`, and so reported where they matter.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// The text of a file. Errors: it is not UTF-8.
pub(super) fn text(bytes: &[u8]) -> Result<Cow<'_, str>> {
    let save = "save it as UTF-8";
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Error::input("is encoded as UTF-16").remedy(save));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|e| {
        Error::input(format!("is not encoded as UTF-8 (byte {})", e.valid_up_to() + 1)).remedy(save)
    })?;
    Ok(without_nan(text))
}

/// What to say of a file whose outer form is not the wanted one.
pub(super) fn foreign(text: &str, error: &serde_json::Error, wanted: &str) -> Error {
    use serde_json::error::Category;
    let (line, column) = (error.line(), error.column());
    let place = format!("line {line}, column {column}");
    match (error.classify(), text.trim_start().bytes().next()) {
        (Category::Data, Some(b'[')) if wanted == "instances" => {
            Error::input("a list, as of detections, where COCO instances (an object) are wanted")
        }
        (Category::Data, Some(b'{')) if wanted == "results" => {
            Error::input("an object, where COCO results (a list of detections) are wanted")
        }
        (Category::Data, _) => Error::input(format!("not COCO {wanted}: a single value, {place}")),
        (Category::Eof, _) => {
            let what = format!("ends too early, in the middle of its JSON ({place})");
            Error::input(what).remedy("the file is cut off; get it again")
        }
        _ => Error::input(format!("not JSON, from {place} on")),
    }
}

/// The text with `NaN`, `Infinity` and `-Infinity` outside of strings as `null`.
pub(super) fn without_nan(text: &str) -> Cow<'_, str> {
    if !text.contains("NaN") && !text.contains("Infinity") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let (mut rest, mut string) = (text, false);
    while let Some(c) = rest.chars().next() {
        let token = ["NaN", "Infinity", "-Infinity"].into_iter().find(|t| !string && rest.starts_with(t));
        let length = match token {
            Some(token) => {
                out.push_str("null");
                token.len()
            }
            None => {
                // What is escaped ends no string.
                let escaped = if c == '\\' && string { rest.chars().nth(1) } else { None };
                let length = c.len_utf8() + escaped.map_or(0, char::len_utf8);
                out.push_str(&rest[..length]);
                length
            }
        };
        string ^= c == '"';
        rest = &rest[length..];
    }
    Cow::Owned(out)
}
