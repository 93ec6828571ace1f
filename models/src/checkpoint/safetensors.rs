//! The safetensors format: `n: u64`, a JSON header of `n` bytes, then the tensors' bytes without holes or
//! overlaps.
//!
//! ```json
//! {"__metadata__": {"epoch": "3"},
//!  "fc.weight": {"dtype": "F32", "shape": [10, 64], "data_offsets": [0, 2560]}}
//! ```
//!
//! All numbers are little-endian, offsets count from the header's end, and the last tensor ends the file.
//! Tensors are read from the file one by one, so that memory holds each once; a size is compared with the
//! file's before anything is allocated for it. The header keeps the order of the [`StateDict`]; the data
//! stands widest elements first, so that every tensor is aligned. The `safetensors` crate would do neither:
//! it wants the whole file in memory, lets a repeated name pass, and its hash maps forget order and shuffle
//! `__metadata__` from run to run.

use super::error::{Problem, quote};
use super::format::{Format, Metadata, StateDict};
use super::loaded::Loaded;
use super::raw::{Dtype, RawTensor};
use super::select::{Entries, How, Selected, select};
use byteorder::{LE, ReadBytesExt, WriteBytesExt};
use gradus_core::memory;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// The format's own bound on its header, 100 MB.
const LONGEST_HEADER: u64 = 100_000_000;
const METADATA: &str = "__metadata__";

#[derive(Serialize, Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

/// The header in the order of the file.
#[derive(Default)]
struct Header {
    metadata: Metadata,
    entries: Vec<(String, Entry)>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header::default();
                let mut seen = std::collections::HashSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    if !seen.insert(name.clone()) {
                        return Err(A::Error::custom(format!("the name {} stands twice", quote(&name))));
                    }
                    if name == METADATA {
                        header.metadata = map.next_value()?;
                    } else {
                        header.entries.push((name, map.next_value()?));
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Reads a file of `len` bytes: the tensors that are meant.
pub(super) fn read(file: &mut (impl Read + Seek), len: u64, how: How<'_>) -> Result<Loaded, Problem> {
    let (header, data_start) = read_header(file, len)?;
    check_coverage(&header.entries, len - data_start)?;
    let mut entries = Entries::with_capacity(header.entries.len());
    for (name, entry) in header.entries {
        let place = match layout(&name, &entry)? {
            Some((dtype, bytes)) => Ok((dtype, bytes, entry)),
            None => Err(quote(&entry.dtype)),
        };
        entries.insert(name, place);
    }
    let Selected { entries, unread, stripped, ignored } = select(entries, how.key, how)?;
    let mut tensors = StateDict::with_capacity(entries.len());
    for (name, (dtype, bytes, entry)) in entries {
        let mut buffer = memory::filled("weights", 0, bytes);
        file.seek(SeekFrom::Start(data_start + entry.data_offsets[0])).map_err(reading)?;
        file.read_exact(&mut buffer).map_err(reading)?;
        tensors.insert(name, RawTensor::new(dtype, entry.shape, buffer));
    }
    let found_under = how.key.map(String::from).into_iter().collect();
    let loaded = Loaded::new(Format::Safetensors, tensors, header.metadata);
    Ok(Loaded { found_under, unread, stripped, ignored, ..loaded })
}

fn read_header(file: &mut (impl Read + Seek), len: u64) -> Result<(Header, u64), Problem> {
    file.seek(SeekFrom::Start(0)).map_err(reading)?;
    let n = file.read_u64::<LE>().map_err(reading)?;
    let available = len.saturating_sub(8);
    if n > available || n > LONGEST_HEADER {
        return Err(broken(format!(
            "its header claims {n} bytes, of {available} in the file and {LONGEST_HEADER} allowed"
        )));
    }
    let mut json = memory::filled("the header", 0, n as usize);
    file.read_exact(&mut json).map_err(reading)?;
    let header = serde_json::from_slice(&json).map_err(|e| broken(format!("its header: {e}")))?;
    Ok((header, 8 + n))
}

/// The tensors' ranges, in the order of their offsets, must tile the data exactly.
fn check_coverage(entries: &[(String, Entry)], data_len: u64) -> Result<(), Problem> {
    let mut by_offset: Vec<_> = entries.iter().collect();
    by_offset.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut end = 0;
    for (name, entry) in by_offset {
        let [from, to] = entry.data_offsets;
        // What has a type that is not known here may be as long as it says.
        let bytes = layout(name, entry)?.map_or(to.saturating_sub(from), |(_, bytes)| bytes as u64);
        if from != end || from.checked_add(bytes) != Some(to) {
            return Err(broken(format!(
                "the tensor {} of {} {:?} needs {bytes} bytes from {end}, but its offsets are {from} to {to}",
                quote(name),
                entry.dtype,
                entry.shape
            )));
        }
        end = to;
    }
    if end != data_len {
        return Err(broken(format!("its tensors take {end} bytes, and {data_len} follow the header")));
    }
    Ok(())
}

/// The element type and the number of bytes of a tensor; `None` for a type that is not read here.
fn layout(name: &str, entry: &Entry) -> Result<Option<(Dtype, usize)>, Problem> {
    let Some(&(dtype, _)) = DTYPES.iter().find(|(_, named)| *named == entry.dtype) else { return Ok(None) };
    let overflows = || broken(format!("the shape {:?} of {} overflows", entry.shape, quote(name)));
    Ok(Some((dtype, dtype.bytes_of(&entry.shape).ok_or_else(overflows)?)))
}

fn reading(source: io::Error) -> Problem {
    Problem::reading(Format::Safetensors, source)
}

fn broken(reason: String) -> Problem {
    Problem::malformed(Format::Safetensors, reason)
}

const DTYPES: [(Dtype, &str); 10] = [
    (Dtype::F64, "F64"),
    (Dtype::F32, "F32"),
    (Dtype::F16, "F16"),
    (Dtype::Bf16, "BF16"),
    (Dtype::I64, "I64"),
    (Dtype::I32, "I32"),
    (Dtype::I16, "I16"),
    (Dtype::I8, "I8"),
    (Dtype::U8, "U8"),
    (Dtype::Bool, "BOOL"),
];

/// Writes `tensors` and `metadata`. The same input gives the same bytes.
pub(super) fn write(tensors: &StateDict, metadata: &Metadata, out: &mut impl Write) -> io::Result<()> {
    let mut by_width: Vec<_> = (0..tensors.len()).collect();
    by_width.sort_by_key(|&i| std::cmp::Reverse(tensors[i].dtype().size()));
    let mut offsets = vec![[0; 2]; tensors.len()];
    let mut end = 0;
    for &i in &by_width {
        let from = end;
        end += tensors[i].bytes().len() as u64;
        offsets[i] = [from, end];
    }
    let header = header_json(tensors, metadata, &offsets)?;
    out.write_u64::<LE>(header.len() as u64)?;
    out.write_all(&header)?;
    by_width.iter().try_for_each(|&i| out.write_all(tensors[i].bytes()))
}

fn header_json(tensors: &StateDict, metadata: &Metadata, offsets: &[[u64; 2]]) -> io::Result<Vec<u8>> {
    if tensors.contains_key(METADATA) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no tensor may be named __metadata__"));
    }
    let mut header = Vec::new();
    let mut json = serde_json::Serializer::new(&mut header);
    let mut map = json.serialize_map(None)?;
    if !metadata.is_empty() {
        map.serialize_entry(METADATA, metadata)?;
    }
    for ((name, tensor), &data_offsets) in tensors.iter().zip(offsets) {
        let (_, dtype) =
            DTYPES.iter().find(|(dtype, _)| *dtype == tensor.dtype()).expect("the table is complete");
        let entry = Entry { dtype: dtype.to_string(), shape: tensor.shape().to_vec(), data_offsets };
        map.serialize_entry(name, &entry)?;
    }
    map.end()?;
    // The data starts aligned for its widest elements.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// A file whose header claims to be so long.
    fn file(claim: u64, rest: &[&[u8]]) -> Vec<u8> {
        let mut file = Vec::new();
        file.write_u64::<LE>(claim).unwrap();
        file.extend(rest.concat());
        file
    }

    fn parse(header: &str, data: &[u8]) -> Result<Loaded, Problem> {
        let file = file(header.len() as u64, &[header.as_bytes(), data]);
        let len = file.len() as u64;
        read(&mut Cursor::new(file), len, How::default())
    }

    fn reason(header: &str, data: &[u8]) -> String {
        parse(header, data).unwrap_err().at("f".as_ref()).to_string()
    }

    #[test]
    fn every_type_survives_a_round_trip_in_order_with_aligned_data() {
        let mut tensors = StateDict::new();
        for (i, (dtype, name)) in DTYPES.into_iter().rev().enumerate() {
            let bytes = (0..3 * dtype.size()).map(|b| (i * 37 + b * 101) as u8).collect();
            tensors.insert(format!("{name}.\"é\""), RawTensor::new(dtype, vec![3, 1], bytes));
        }
        tensors.insert("scalar".into(), RawTensor::from_i64(&[], &[-7]));
        tensors.insert("empty".into(), RawTensor::from_f32(&[2, 0], &[]));
        let metadata: Metadata = (0..20).map(|i| (format!("key {i}"), format!("{i}\n"))).collect();
        let mut file = Vec::new();
        write(&tensors, &metadata, &mut file).unwrap();
        let loaded = read(&mut Cursor::new(&file), file.len() as u64, How::default()).unwrap();
        assert!(loaded.tensors.iter().eq(&tensors), "same names, same bits, same order");
        assert_eq!(loaded.metadata, metadata);

        let (header, start) = read_header(&mut Cursor::new(&file), file.len() as u64).unwrap();
        for (name, entry) in &header.entries {
            assert_eq!(
                (start + entry.data_offsets[0]) % loaded.tensors[name].dtype().size() as u64,
                0,
                "{name}"
            );
        }
        let mut again = Vec::new();
        write(&loaded.tensors, &loaded.metadata, &mut again).unwrap();
        assert_eq!(file, again);
    }

    #[test]
    fn nothing_is_a_checkpoint_too() {
        let mut file = Vec::new();
        write(&StateDict::new(), &Metadata::new(), &mut file).unwrap();
        assert_eq!(file, *b"\x08\0\0\0\0\0\0\0{}      ");
        assert!(read(&mut Cursor::new(&file), 16, How::default()).unwrap().tensors.is_empty());
    }

    #[test]
    fn tensors_must_tile_the_data() {
        let two = |a: &str, b: &str| {
            let entry = |o: &str| format!(r#"{{"dtype":"U8","shape":[2],"data_offsets":{o}}}"#);
            reason(&format!(r#"{{"a":{},"b":{}}}"#, entry(a), entry(b)), &[0; 4])
        };
        assert!(
            two("[0,2]", "[1,3]")
                .contains(r#""b" of U8 [2] needs 2 bytes from 2, but its offsets are 1 to 3"#)
        );
        assert!(two("[0,2]", "[0,2]").contains("its offsets are 0 to 2"));
        assert!(two("[2,4]", "[1,2]").contains(r#""b""#));
        assert!(two("[0,2]", "[2,1]").contains("2 to 1"));
        assert!(two("[0,2]", "[2,18446744073709551615]").contains("2 to 18446744073709551615"));
        assert!(two("[0,2]", "[-1,1]").contains("its header: invalid value"));
        let one = r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#;
        assert!(parse(one, &[0; 2]).is_ok());
        assert!(reason(one, &[0; 3]).contains("its tensors take 2 bytes, and 3 follow the header"));
        assert!(reason(one, &[0; 1]).contains("its tensors take 2 bytes, and 1 follow the header"));
    }

    #[test]
    fn lies_in_the_header_are_found_before_memory_is_taken() {
        let claim = |n: u64| {
            let file = file(n, &[b"{}"]);
            read(&mut Cursor::new(file), 10, How::default()).unwrap_err().at("f".as_ref()).to_string()
        };
        assert!(claim(3).contains("its header claims 3 bytes, of 2 in the file"));
        assert!(claim(u64::MAX).contains("claims 18446744073709551615 bytes"));
        let huge = r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}"#;
        assert!(reason(huge, &[0; 4]).contains(r#"the shape [4294967296, 4294967296] of "a" overflows"#));
        let large = r#"{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}"#;
        assert!(reason(large, &[0; 4]).contains("its tensors take 4398046511104 bytes, and 4 follow"));
        let twice = r#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#;
        assert!(reason(twice, &[]).contains(r#"the name "a" stands twice"#));
        assert!(reason("{", &[]).contains("EOF while parsing"));
        assert!(reason("{}}", &[]).contains("trailing characters"));
        assert!(reason(&"[".repeat(5000), &[]).contains("its header: invalid type: sequence"));
    }

    #[test]
    fn types_that_are_not_read_are_passed_over() {
        let header = |to: u64| {
            format!(
                r#"{{"f8":{{"dtype":"F8_E4M3","shape":[3],"data_offsets":[0,{to}]}},
                    "w":{{"dtype":"F32","shape":[1],"data_offsets":[{to},{}]}}}}"#,
                to + 4
            )
        };
        let loaded = parse(&header(3), &[0, 0, 0, 0, 0, 128, 63]).unwrap();
        assert_eq!((loaded.tensors.len(), loaded.tensors["w"].to_f32()), (1, vec![1.0]));
        assert_eq!(loaded.unread["f8"], "\"F8_E4M3\"");
        assert!(reason(&header(9), &[0; 7]).contains("its tensors take 13 bytes, and 7 follow"));
        let backwards = r#"{"a":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[0,-1]}}"#;
        assert!(reason(backwards, &[0; 3]).contains("its header"));
        let hole = r#"{"a":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[1,4]}}"#;
        assert!(reason(hole, &[0; 4]).contains("its offsets are 1 to 4"));
    }

    #[test]
    fn the_name_of_the_metadata_is_taken() {
        let tensors = StateDict::from([(METADATA.to_owned(), RawTensor::from_i64(&[], &[1]))]);
        let e = write(&tensors, &Metadata::new(), &mut Vec::new()).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::InvalidInput);
    }
}
