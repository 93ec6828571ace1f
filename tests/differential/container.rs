//! A file of many cases, one after the other: the length of a head in four bytes, the head, a JSON object
//! `{"name", "op", "attrs", "tensors": [[name, type, shape], ..]}`, and the tensors' numbers in that order,
//! little-endian. A file whose name ends in `.gz` is compressed.

use crate::cases::case::Case;
use flate2::read::GzDecoder;
use gradus_models::checkpoint::{Dtype, RawTensor};
use serde_json::{Map, Value};
use std::io::Read;
use std::path::Path;

/// The head of a case.
#[derive(serde::Deserialize)]
struct Head {
    name: String,
    op: String,
    attrs: Map<String, Value>,
    tensors: Vec<(String, String, Vec<usize>)>,
}

/// All cases of a file.
pub fn read(path: &Path) -> Result<Vec<Case>, String> {
    let wrong = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let mut bytes = std::fs::read(path).map_err(|e| wrong(&e))?;
    if path.extension().is_some_and(|e| e == "gz") {
        let mut plain = Vec::new();
        GzDecoder::new(&bytes[..]).read_to_end(&mut plain).map_err(|e| wrong(&e))?;
        bytes = plain;
    }
    let (mut rest, mut cases) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        cases.push(case(&mut rest).map_err(|e| wrong(&format!("case {}: {e}", cases.len())))?);
    }
    Ok(cases)
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Result<&'a [u8], String> {
    let (taken, left) = rest.split_at_checked(n).ok_or("the file ends early")?;
    *rest = left;
    Ok(taken)
}

fn case(rest: &mut &[u8]) -> Result<Case, String> {
    let length = take(rest, 4)?.try_into().map(u32::from_le_bytes).map_err(|e| format!("{e}"))?;
    let head: Head = serde_json::from_slice(take(rest, length as usize)?).map_err(|e| e.to_string())?;
    let mut tensors = Vec::with_capacity(head.tensors.len());
    for (name, kind, shape) in head.tensors {
        let dtype = match kind.as_str() {
            "f32" => Dtype::F32,
            "f64" => Dtype::F64,
            "i64" => Dtype::I64,
            "u8" => Dtype::U8,
            other => return Err(format!("{name} is of the type {other}")),
        };
        let n = dtype.bytes_of(&shape).ok_or("a shape too large")?;
        tensors.push((name, RawTensor::new(dtype, shape, take(rest, n)?.to_vec())));
    }
    Ok(Case {
        name: head.name,
        op: head.op,
        attrs: head.attrs,
        in_float32: false,
        tensors: tensors.into_iter().collect(),
        folder: None,
    })
}
