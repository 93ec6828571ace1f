//! A YOLO data set's `data.yaml`: which images there are, and what the classes are called.
//!
//! Of YAML it takes what such files have: texts, lists and maps. Each text is taken as it is written, so that
//! a class may be called `no` or `1`. References from one place to another are refused, for a few bytes of
//! them mean billions; size, depth and number of values are bounded.

use saphyr_parser::{Event, Parser};

use crate::data::description::shortened;
use crate::error::{Error, Result};

/// Larger files are refused; one with ten thousand classes has 200 KB.
pub const MAX_BYTES: u64 = 4 << 20;
const DEPTH: usize = 16;
const NODES: usize = 400_000;

/// A value.
#[derive(Debug)]
enum Node {
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// What the file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sets {
    /// What the other paths start from.
    pub path: Option<String>,
    /// For train, val and test: folders of images, or files that list some.
    pub parts: [Vec<String>; 3],
    /// The classes' names.
    pub names: Vec<String>,
    /// Whether the file names them, and not only how many there are.
    pub named: bool,
}

/// What the parts are called, in the file and everywhere.
pub const PARTS: [&str; 3] = ["train", "val", "test"];

impl Sets {
    /// Reads the bytes of such a file. Errors: not YAML, beyond the bounds, names that are no list of texts
    /// and no map from 0, 1, .., a number `nc` that is not theirs.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|e| {
            let what = format!("is not encoded as UTF-8 (byte {})", e.valid_up_to() + 1);
            Error::input(what).remedy("save it as UTF-8")
        })?;
        let Node::Map(fields) = parse(text.strip_prefix('\u{feff}').unwrap_or(text))? else {
            return Err(Error::input("is no map of names to values, as `train: images/train`"));
        };
        let mut sets = Sets::default();
        let (mut names, mut count) = (None, None);
        for (name, value) in fields {
            match name.as_str() {
                "path" => sets.path = texts(value, "path")?.pop(),
                "names" => names = Some(class_names(value)?),
                "nc" => count = texts(value, "nc")?.pop(),
                part => {
                    if let Some(k) = PARTS.iter().position(|p| *p == part) {
                        sets.parts[k] = texts(value, part)?;
                    }
                }
            }
        }
        sets.named = names.is_some();
        sets.names = match (names, count) {
            (Some(names), None) => names,
            (Some(names), Some(count)) if count == names.len().to_string() => names,
            (Some(names), Some(count)) => {
                let what = format!("`nc` is {}, and `names` are {}", shortened(&count), names.len());
                return Err(Error::input(what).remedy("leave out `nc`, or give it the number of names"));
            }
            (None, Some(count)) => match count.parse() {
                Ok(n @ 1..=100_000) => (0..n).map(|k: usize| format!("class {k}")).collect(),
                _ => {
                    return Err(Error::input(format!("`nc` is {}, no number of classes", shortened(&count))));
                }
            },
            (None, None) => {
                return Err(Error::input("`names` is missing").remedy("list the classes' names there"));
            }
        };
        Ok(sets)
    }
}

/// A text or a list of texts; none where nothing stands behind the name.
fn texts(value: Node, name: &str) -> Result<Vec<String>> {
    let wrong = || Error::input(format!("`{name}` must be a text or a list of texts"));
    let text = |node| if let Node::Text(text) = node { Ok(text) } else { Err(wrong()) };
    match value {
        Node::Text(text) if ["", "~", "null"].contains(&text.as_str()) => Ok(Vec::new()),
        Node::Text(text) => Ok(vec![text]),
        Node::List(list) => list.into_iter().map(text).collect(),
        Node::Map(_) => Err(wrong()),
    }
}

/// The classes by their numbers.
fn class_names(value: Node) -> Result<Vec<String>> {
    let Node::Map(entries) = value else { return texts(value, "names") };
    let mut names = vec![None; entries.len()];
    for (number, name) in entries {
        let place = number.parse().ok().and_then(|k: usize| names.get_mut(k)).filter(|place| place.is_none());
        match (place, name) {
            (Some(place), Node::Text(name)) => *place = Some(name),
            _ => {
                let what =
                    format!("`names` has an entry {}, and not each of 0, 1, .. once", shortened(&number));
                return Err(Error::input(what).remedy("number the names from 0 without a gap"));
            }
        }
    }
    Ok(names.into_iter().flatten().collect())
}

/// The first document. A stack of what is open holds it, so that no depth of nesting is one of calls.
fn parse(text: &str) -> Result<Node> {
    let bound = |what: &str| Error::input(format!("is no data.yaml: {what}"));
    let mut open: Vec<(Node, Option<String>)> = Vec::new();
    let mut nodes = 0;
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|e| {
            let at = e.marker();
            Error::input(format!("is not YAML, from line {}, column {} on", at.line(), at.col() + 1))
        })?;
        nodes += 1;
        let whole = match event {
            Event::Alias(_) => return Err(bound("it refers from one place to another (`*name`)")),
            _ if nodes > NODES || open.len() > DEPTH => return Err(bound("it holds too much")),
            Event::SequenceStart(..) => {
                open.push((Node::List(Vec::new()), None));
                continue;
            }
            Event::MappingStart(..) => {
                open.push((Node::Map(Vec::new()), None));
                continue;
            }
            Event::Scalar(text, ..) => Node::Text(text.into_owned()),
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some((node, None)) => node,
                _ => return Err(bound("a name has no value")),
            },
            Event::StreamEnd | Event::DocumentEnd => break,
            _ => continue,
        };
        match open.last_mut() {
            None => return Ok(whole),
            Some((Node::List(list), _)) => list.push(whole),
            Some((Node::Map(map), key)) => match (key.take(), whole) {
                (Some(key), value) => map.push((key, value)),
                (None, Node::Text(text)) => *key = Some(text),
                (None, _) => return Err(bound("a name is no text")),
            },
            Some((Node::Text(_), _)) => return Err(bound("a text holds something")),
        }
    }
    Err(bound("it is empty"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        Sets::parse(text.as_bytes()).unwrap().names
    }

    #[test]
    fn names_are_lists_or_maps_and_texts_as_they_are_written() {
        for text in [
            "names: [no, '1', \"a: b\"]\nnc: 3\n",
            "names:\n  - no\n  - 1\n  - 'a: b'\n",
            "names:\n  1: 1\n  0: no\n  2: 'a: b' # the third\ndownload: |\n  import os\n",
            "\u{feff}%YAML 1.2\n---\nnames: {0: no, 1: 1, 2: 'a: b'}\n...\n",
        ] {
            assert_eq!(names(text), ["no", "1", "a: b"], "{text}");
        }
        assert_eq!(names("nc: 2"), ["class 0", "class 1"]);
        let sets = Sets::parse(b"path: ../x\ntrain: [a, b.txt]\nval: c\ntest: # none\nnames: [x]").unwrap();
        assert_eq!(sets.parts, [vec!["a".to_string(), "b.txt".into()], vec!["c".into()], vec![]]);
        assert_eq!(sets.path.as_deref(), Some("../x"));
    }

    #[test]
    fn what_is_no_such_file_is_explained_and_bounded() {
        let deep = format!("names: {}", "[".repeat(100_000));
        let many = format!("names: [{}]", "a,".repeat(500_000));
        let laughs = "a: &a [x, x]\nb: &b [*a, *a]\nnames: [*b, *b]";
        for (text, word) in [
            ("", "empty"),
            ("just words", "no map"),
            ("train: x", "`names` is missing"),
            ("names: [a, b]\nnc: 3", "`nc` is 3, and `names` are 2"),
            ("nc: many", "`nc` is many"),
            ("nc: 100001", "`nc` is 100001"),
            ("names: {0: a, 2: b}", "entry 2"),
            ("names: {0: a, 0: b}", "entry 0"),
            ("names: {-1: a}", "entry -1"),
            ("names: [[a]]", "`names` must be"),
            ("train: {a: b}\nnames: [a]", "`train` must be"),
            ("names: [a", "not YAML, from line 2"),
            ("{[a]: b}", "no data.yaml"),
            (laughs, "refers from one place"),
            // The parser has a bound of its own.
            (&deep, "not YAML"),
            (&many, "too much"),
        ] {
            let said = Sets::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(word) && said.len() < 300, "{}: {said}", shortened(text));
        }
        assert!(Sets::parse(b"names: [\xff]").unwrap_err().to_string().contains("UTF-8 (byte 9)"));
    }
}
