//! What stands in COCO's JSON files, field by field.
//!
//! An entry is a map from its fields' names to their raw text, and each field is read by itself when it is
//! asked for: so a mistake is one of a field, told in the field's words, and fields that nobody asks for may
//! hold anything. A field that is `null` counts as missing, and of a field that stands twice the last counts,
//! as in Python.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::data::description::shortened;

/// What is wrong with a field: what it must be, and the text that it has instead (empty where it is missing).
#[derive(Debug)]
pub(super) struct Wrong {
    pub must: String,
    pub has: String,
}

impl Wrong {
    pub fn missing(field: &str) -> Self {
        Wrong { must: format!("`{field}` is missing"), has: String::new() }
    }

    fn new(field: &str, must: &str, text: &str) -> Self {
        Wrong { must: format!("`{field}` must be {must}"), has: shortened(text) }
    }
}

/// An identifier: a whole number, also one written as a string or as a float, or else a string.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Id {
    Number(i64),
    Text(String),
}

impl Id {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Number(n) => n.as_i64().or_else(|| n.as_f64().and_then(whole)).map(Id::Number),
            Value::String(s) => Some(s.parse().map_or_else(|_| Id::Text(s.clone()), Id::Number)),
            _ => None,
        }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Id::Number(n) => n.fmt(f),
            Id::Text(t) => t.fmt(f),
        }
    }
}

fn whole(v: f64) -> Option<i64> {
    (v.fract() == 0.0 && v.abs() < (1_i64 << 53) as f64).then_some(v as i64)
}

/// A mask as it is written.
pub(super) enum RawSegmentation {
    /// Lists of x0, y0, x1, y1, ...
    Polygons(Vec<Vec<f64>>),
    /// One such list where a list of them belongs.
    Flat(Vec<f64>),
    /// Rows and columns; run lengths as numbers.
    Counts([u64; 2], Vec<i64>),
    /// Rows and columns; run lengths as a compressed string.
    Compressed([u64; 2], String),
}

/// An object of JSON.
pub(super) struct Entry<'a>(HashMap<String, &'a RawValue>);

impl<'a> Entry<'a> {
    /// Error: it is none.
    pub fn parse(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text).map(Entry)
    }

    /// The field's text.
    fn field(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|raw| raw.get()).filter(|text| *text != "null")
    }

    pub fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    /// The field, if it is there. Error: it is not what `must` says.
    fn read<T: Deserialize<'a>>(&self, name: &str, must: &str) -> Result<Option<T>, Wrong> {
        let Some(text) = self.field(name) else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|_| Wrong::new(name, must, text))
    }

    /// The entries of a list.
    pub fn list(&self, name: &str) -> Result<Option<Vec<&'a RawValue>>, Wrong> {
        self.read(name, "a list")
    }

    /// An identifier, and the string where it is written as one.
    pub fn id(&self, name: &str) -> Result<Option<(Id, Option<String>)>, Wrong> {
        let Some(text) = self.field(name) else { return Ok(None) };
        let value = serde_json::from_str::<Value>(text).ok();
        let id = value.as_ref().and_then(Id::of);
        let id = id.ok_or_else(|| Wrong::new(name, "a whole number or a string", text))?;
        let written = value.and_then(|v| if let Value::String(s) = v { Some(s) } else { None });
        Ok(Some((id, written)))
    }

    /// An identifier that must be there.
    pub fn needed_id(&self, name: &str) -> Result<Id, Wrong> {
        self.id(name)?.map(|(id, _)| id).ok_or_else(|| Wrong::missing(name))
    }

    /// A whole number that must be there.
    pub fn number_id(&self, name: &str) -> Result<i64, Wrong> {
        match self.needed_id(name)? {
            Id::Number(n) => Ok(n),
            Id::Text(t) => Err(Wrong::new(name, "a whole number", &format!("{t:?}"))),
        }
    }

    pub fn text(&self, name: &str) -> Result<Option<String>, Wrong> {
        self.read(name, "a string")
    }

    pub fn number(&self, name: &str) -> Result<Option<f64>, Wrong> {
        let number: Option<f64> = self.read(name, "a number")?;
        Ok(number.filter(|v| v.is_finite()))
    }

    /// A number of pixels, at least 1 and at most a billion; anything else is as good as nothing.
    pub fn side(&self, name: &str) -> Option<u64> {
        let v = self.number(name).ok()??;
        (v.fract() == 0.0 && (1.0..=1e9).contains(&v)).then_some(v as u64)
    }

    /// 0 or 1, false or true; false where it is missing.
    pub fn flag(&self, name: &str) -> Result<bool, Wrong> {
        let Some(text) = self.field(name) else { return Ok(false) };
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Bool(b)) => Ok(b),
            Ok(Value::Number(n)) => Ok(n.as_f64() != Some(0.0)),
            _ => Err(Wrong::new(name, "0 or 1", text)),
        }
    }

    /// x, y, width, height; none where it is missing or an empty list.
    pub fn bbox(&self) -> Result<Option<[f64; 4]>, Wrong> {
        let must = "four finite numbers x, y, width, height";
        let numbers: Option<Vec<Option<f64>>> = self.read("bbox", must)?;
        match numbers.as_deref() {
            None | Some([]) => Ok(None),
            Some(&[Some(x), Some(y), Some(w), Some(h)]) if [x, y, w, h].iter().all(|v| v.is_finite()) => {
                Ok(Some([x, y, w, h]))
            }
            Some(_) => Err(Wrong::new("bbox", must, self.field("bbox").unwrap_or_default())),
        }
    }

    /// The mask; none where it is missing or an empty list.
    pub fn segmentation(&self) -> Result<Option<RawSegmentation>, Wrong> {
        let Some(text) = self.field("segmentation") else { return Ok(None) };
        if let Ok(polygons) = serde_json::from_str::<Vec<Vec<f64>>>(text) {
            return Ok((!polygons.is_empty()).then_some(RawSegmentation::Polygons(polygons)));
        }
        if let Ok(polygon) = serde_json::from_str(text) {
            return Ok(Some(RawSegmentation::Flat(polygon)));
        }
        let run_lengths = || {
            let entry = Entry::parse(text).ok()?;
            let size: [u64; 2] = entry.read("size", "").ok()??;
            if let Ok(Some(text)) = entry.text("counts") {
                return Some(RawSegmentation::Compressed(size, text));
            }
            let counts: Vec<f64> = entry.read("counts", "").ok()??;
            Some(RawSegmentation::Counts(size, counts.into_iter().map(whole).collect::<Option<_>>()?))
        };
        let must = "polygons (a list of lists of numbers) or run lengths (`size`, two numbers, and `counts`, \
                    numbers or a string)";
        run_lengths().map(Some).ok_or_else(|| Wrong::new("segmentation", must, text))
    }
}
