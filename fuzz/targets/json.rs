//! A valid document of which some values are others. What is JSON inside of JSON, or has to have thirty right
//! fields before one wrong one is looked at, no blind change of bytes gets through.

use super::bytes::Bytes;
use serde_json::{Map, Number, Value};

/// Changes of a document.
const MOST: usize = 6;
/// Nodes that a change adds, about.
const LARGEST: usize = 1000;

/// The document with some values changed as the bytes say; the words stand where words are wanted.
pub fn edited(mut value: Value, bytes: &mut Bytes, words: &[&str]) -> Value {
    for _ in 0..MOST {
        if bytes.is_empty() {
            break;
        }
        let at = bytes.below(nodes(&value));
        let other = nth(&mut value, &mut bytes.below(64)).map(|node| node.clone());
        if let Some(node) = nth(&mut value, &mut { at }) {
            edit(node, bytes, words, other);
        }
    }
    value
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(nodes).sum(),
        Value::Object(map) => map.values().map(nodes).sum(),
        _ => 0,
    }
}

/// A node by its number from the top.
fn nth<'a>(value: &'a mut Value, left: &mut usize) -> Option<&'a mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(list) => list.iter_mut().find_map(|inner| nth(inner, left)),
        Value::Object(map) => map.values_mut().find_map(|inner| nth(inner, left)),
        _ => None,
    }
}

fn edit(node: &mut Value, bytes: &mut Bytes, words: &[&str], other: Option<Value>) {
    match bytes.byte() % 12 {
        0 => remove(node, bytes),
        1 => *node = Value::Null,
        2 => *node = Value::Bool(bytes.byte().is_multiple_of(2)),
        3..=5 => *node = integer(bytes),
        6 | 7 => *node = bytes.float().into(),
        8 => *node = Value::String(word(bytes, words)),
        9 => grow(node, bytes),
        10 => *node = other.unwrap_or_default(),
        _ => {
            *node =
                if bytes.byte().is_multiple_of(2) { Value::Array(vec![]) } else { Value::Object(Map::new()) }
        }
    }
}

fn integer(bytes: &mut Bytes) -> Value {
    let value = bytes.integer();
    let number = i64::try_from(value).map(Number::from).or_else(|_| u64::try_from(value).map(Number::from));
    number.map_or(Value::Null, Value::Number)
}

fn word(bytes: &mut Bytes, words: &[&str]) -> String {
    match words.get(usize::from(bytes.byte())) {
        Some(word) => word.to_string(),
        None => bytes.text(12),
    }
}

/// One of its own away.
fn remove(node: &mut Value, bytes: &mut Bytes) {
    match node {
        Value::Array(list) if !list.is_empty() => drop(list.remove(bytes.below(list.len()))),
        Value::Object(map) => {
            let name = map.keys().nth(bytes.below(map.len())).cloned();
            name.map(|name| map.remove(&name));
        }
        _ => *node = Value::Null,
    }
}

/// More of the same, or one that nobody knows.
fn grow(node: &mut Value, bytes: &mut Bytes) {
    match node {
        Value::Array(list) if !list.is_empty() => {
            let more = list[bytes.below(list.len())].clone();
            let times = usize::from(bytes.byte()).min(LARGEST / nodes(&more));
            list.extend(std::iter::repeat_n(more, times));
        }
        Value::Object(map) => drop(map.insert(bytes.text(4), integer(bytes))),
        _ => *node = Value::Array(vec![node.clone(); 1 + usize::from(bytes.byte() % 8)]),
    }
}
