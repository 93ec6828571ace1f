//! What stands in COCO's JSON files, before it is judged: every field that may be missing is an `Option`, numbers may
//! be `null`, and ids may be written as strings.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

#[derive(Deserialize)]
pub(super) struct RawInstances<'a> {
    #[serde(borrow)]
    pub(super) images: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pub(super) annotations: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pub(super) categories: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
pub(super) struct RawImage {
    pub(super) id: Id,
    pub(super) file_name: Option<String>,
    pub(super) width: Option<f64>,
    pub(super) height: Option<f64>,
}

#[derive(Deserialize)]
pub(super) struct RawCategory {
    pub(super) id: Id,
    pub(super) name: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct RawAnnotation {
    pub(super) id: Id,
    pub(super) image_id: Id,
    pub(super) category_id: Id,
    pub(super) bbox: Option<Vec<Option<f64>>>,
    pub(super) area: Option<f64>,
    pub(super) iscrowd: Option<Flag>,
    pub(super) segmentation: Option<RawSegmentation>,
}

#[derive(Deserialize)]
pub(super) struct RawDetection {
    pub(super) image_id: Id,
    pub(super) category_id: Id,
    pub(super) score: Option<f64>,
    pub(super) bbox: Option<Vec<Option<f64>>>,
    pub(super) segmentation: Option<RawSegmentation>,
}

pub(super) enum RawSegmentation {
    Polygons(Vec<Vec<f64>>),
    Rle { size: [u64; 2], counts: Counts },
}

pub(super) enum Counts {
    Numbers(Vec<i64>),
    Text(String),
}

/// An integer, or one written as a string or as a float.
pub(super) struct Id(pub(super) i64);

/// 0 or 1, false or true.
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct IdVisitor;
        impl Visitor<'_> for IdVisitor {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an integer")
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Id, E> {
                Ok(Id(v))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Id, E> {
                i64::try_from(v).map(Id).map_err(|_| E::custom(format!("id {v} is too large")))
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Id, E> {
                let exact = v.fract() == 0.0 && v.abs() < (1_i64 << 53) as f64;
                if exact { Ok(Id(v as i64)) } else { Err(E::custom(format!("id {v} is not an integer"))) }
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Id, E> {
                v.parse().map(Id).map_err(|_| E::custom(format!("id {v:?} is not an integer")))
            }
        }
        d.deserialize_any(IdVisitor)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct FlagVisitor;
        impl Visitor<'_> for FlagVisitor {
            type Value = Flag;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("0 or 1")
            }
            fn visit_bool<E: de::Error>(self, v: bool) -> Result<Flag, E> {
                Ok(Flag(v))
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Flag, E> {
                Ok(Flag(v != 0))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Flag, E> {
                Ok(Flag(v != 0))
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Flag, E> {
                Ok(Flag(v != 0.0))
            }
        }
        d.deserialize_any(FlagVisitor)
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct CountsVisitor;
        impl<'de> Visitor<'de> for CountsVisitor {
            type Value = Counts;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("run lengths, as a list or a compressed string")
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Counts, E> {
                Ok(Counts::Text(v.to_string()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Counts, A::Error> {
                let mut counts = Vec::new();
                while let Some(Id(count)) = seq.next_element()? {
                    counts.push(count);
                }
                Ok(Counts::Numbers(counts))
            }
        }
        d.deserialize_any(CountsVisitor)
    }
}

impl<'de> Deserialize<'de> for RawSegmentation {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct SegmentationVisitor;
        impl<'de> Visitor<'de> for SegmentationVisitor {
            type Value = RawSegmentation;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("polygons (a list of lists) or run lengths ({size, counts})")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawSegmentation, A::Error> {
                let mut polygons = Vec::new();
                while let Some(polygon) = seq.next_element()? {
                    polygons.push(polygon);
                }
                Ok(RawSegmentation::Polygons(polygons))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawSegmentation, A::Error> {
                let (mut size, mut counts) = (None, None);
                while let Some(key) = map.next_key::<Cow<str>>()? {
                    match &*key {
                        "size" => size = Some(map.next_value()?),
                        "counts" => counts = Some(map.next_value()?),
                        _ => drop(map.next_value::<de::IgnoredAny>()?),
                    }
                }
                let size = size.ok_or_else(|| de::Error::missing_field("size"))?;
                Ok(RawSegmentation::Rle {
                    size,
                    counts: counts.ok_or_else(|| de::Error::missing_field("counts"))?,
                })
            }
        }
        d.deserialize_any(SegmentationVisitor)
    }
}
