//! What the pickle of `torch.save` means: which of its dictionaries holds the weights, and what else is
//! beside them.
//!
//! Training scripts put the weights beside the epoch, the optimiser and so on, under names that have become
//! customary ([`WRAPPERS`]); a key names others. What is no tensor is left where it is: only its name is
//! told.

mod tensor;

pub(super) use tensor::{Storage, Storages, storages};

use super::error::{Problem, quote};
use super::format::{Format, Metadata, StateDict};
use super::loaded::Loaded;
use super::pickle::{Id, Pickle, Value};
use super::select::{Entries, How, Selected, select};
use indexmap::IndexMap;
use std::collections::HashSet;
use tensor::{Reader, TensorView};

/// Where training scripts put the weights, the most telling first; averages of weights come after the
/// weights.
const WRAPPERS: [&str; 10] = [
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "model_ema",
    "state_dict_ema",
    "ema",
];
const DEEPEST_WRAPPER: usize = 2;
/// Names may share one tensor of the pickle, so that few bytes could list many. Large networks have
/// thousands.
const MOST_TENSORS: usize = 100_000;

/// Finds the weights in the pickle, those under `key` where it is given, and builds their tensors. `fetch`
/// reads the storage of a key, whole; `file_len` bounds what all tensors together may take.
pub(super) fn load(
    pickle: &Pickle,
    format: Format,
    how: How<'_>,
    file_len: u64,
    fetch: impl FnMut(&str, Storage) -> Result<Vec<u8>, Problem>,
) -> Result<Loaded, Problem> {
    let finder = Finder { pickle, reader: Reader { pickle, format } };
    let found = match how.key {
        Some(key) => finder.under_key(key)?,
        None => finder.weights(pickle.root)?,
    };
    let (entries, mut ignored) = finder.tensors_of(found.dict)?;
    let selected = select(entries, found.prefix, how)?;
    ignored.extend(selected.ignored);
    let Selected { entries, unread, stripped, .. } = selected;
    check_total(&entries, format, file_len)?;
    Ok(Loaded {
        found_under: found.path,
        others: found.others,
        stripped,
        ignored,
        unread,
        ..Loaded::new(format, gather(&entries, fetch)?, Metadata::new())
    })
}

/// The tensors of the views. One storage at a time is in memory beside the finished tensors.
fn gather(
    entries: &IndexMap<String, TensorView<'_>>,
    mut fetch: impl FnMut(&str, Storage) -> Result<Vec<u8>, Problem>,
) -> Result<StateDict, Problem> {
    let mut users: IndexMap<&str, Vec<usize>> = IndexMap::new();
    for (i, view) in entries.values().enumerate() {
        users.entry(view.storage.key).or_default().push(i);
    }
    let mut tensors = vec![None; entries.len()];
    for (key, users) in users {
        let storage = fetch(key, entries[users[0]].storage.storage)?;
        for i in users {
            tensors[i] = Some(entries[i].gather(&storage));
        }
    }
    Ok(entries.keys().cloned().zip(tensors.into_iter().flatten()).collect())
}

/// A stride of 0 can make a tensor of any size from one element; nothing that was trained does.
fn check_total(
    entries: &IndexMap<String, TensorView<'_>>,
    format: Format,
    file_len: u64,
) -> Result<(), Problem> {
    let allowed = file_len.saturating_mul(4).saturating_add(1 << 20);
    let total: u128 = entries.values().map(|view| view.bytes as u128).sum();
    match total <= u128::from(allowed) {
        true => Ok(()),
        false => Err(Problem::malformed(
            format,
            format!("its tensors would take {total} bytes, from a file of {file_len} bytes"),
        )),
    }
}

/// Where the weights are.
struct Found<'k> {
    /// The keys that lead to the dictionary.
    path: Vec<String>,
    dict: Id,
    /// What is left of the asked key: the beginning of names in the dictionary.
    prefix: Option<&'k str>,
    /// Keys of other dictionaries of tensors beside it.
    others: Vec<String>,
}

struct Finder<'a> {
    pickle: &'a Pickle,
    reader: Reader<'a>,
}

impl<'a> Finder<'a> {
    /// The weights in what is at `id`.
    fn weights<'k>(&self, id: Id) -> Result<Found<'k>, Problem> {
        let mut others = self.state_dicts(id);
        let (path, dict) = match self.wrapped(id, 0) {
            Some(found) => found,
            // No customary name: the only dictionary of tensors that is there.
            None => match others[..] {
                [(key, dict)] => (vec![key.to_owned()], dict),
                [] => return Err(self.no_state_dict(id)),
                _ => {
                    let keys = others.iter().take(8).map(|(key, _)| quote(key)).collect();
                    return Err(Problem::ChooseKey { keys });
                }
            },
        };
        others.retain(|&(key, _)| path.first().is_some_and(|first| first != key));
        let others = others.into_iter().map(|(key, _)| key.to_owned()).collect();
        Ok(Found { path, dict, prefix: None, others })
    }

    /// The dictionary of tensors in what is at `id`, under customary names, and the keys that lead to it.
    fn wrapped(&self, id: Id, depth: usize) -> Option<(Vec<String>, Id)> {
        let Value::Dict(pairs) = &self.pickle[id] else { return None };
        if depth < DEEPEST_WRAPPER {
            for wrapper in WRAPPERS {
                let inner = pairs.iter().rev().find(|(key, _)| self.pickle.str(*key) == Some(wrapper));
                if let Some(&(_, inner)) = inner
                    && let Some((mut path, dict)) = self.wrapped(inner, depth + 1)
                {
                    path.insert(0, wrapper.to_owned());
                    return Some((path, dict));
                }
            }
        }
        self.has_tensors(id).then(|| (vec![], id))
    }

    /// What stands under a key: keys of dictionaries one after another, with dots between, and then, where
    /// the rest is none, the beginning of names.
    fn under_key<'k>(&self, key: &'k str) -> Result<Found<'k>, Problem> {
        let (mut path, mut at, mut rest) = (Vec::new(), self.pickle.root, key);
        while !rest.is_empty() {
            let Value::Dict(pairs) = &self.pickle[at] else { break };
            let leads = |&(key, value): &(Id, Id)| {
                let name = self.pickle.str(key)?;
                let rest = rest.strip_prefix(name)?;
                let is_end = rest.is_empty() || rest.starts_with('.');
                let is_container = matches!(self.pickle[value], Value::Dict(_));
                (is_end && is_container && !name.is_empty()).then_some((name, value))
            };
            let Some((name, value)) = pairs.iter().filter_map(leads).max_by_key(|(name, _)| name.len())
            else {
                break;
            };
            path.push(name.to_owned());
            (at, rest) = (value, rest[name.len()..].trim_start_matches('.'));
        }
        if rest.is_empty() {
            let mut found = self.weights(at)?;
            path.append(&mut found.path);
            return Ok(Found { path, ..found });
        }
        let (path, prefix) = if self.has_tensors(at) {
            (path, rest)
        } else {
            // The key's end may also be of names in the dictionary that customary names lead to.
            let Some((mut inner, dict)) = self.wrapped(at, 0) else {
                return Err(Problem::NoSuchKey { key: key.into(), keys: self.keys(at) });
            };
            at = dict;
            path.append(&mut inner);
            (path, rest)
        };
        Ok(Found { path, dict: at, prefix: Some(prefix), others: vec![] })
    }

    /// The dictionaries of tensors in the one at `id`, each once, as is each key.
    fn state_dicts(&self, id: Id) -> Vec<(&'a str, Id)> {
        let Value::Dict(pairs) = &self.pickle[id] else { return vec![] };
        let mut seen = HashSet::new();
        let last = pairs.iter().rev().filter(|&&(key, value)| seen.insert(value) && seen.insert(key));
        let named = last.filter_map(|&(key, value)| Some((self.pickle.str(key)?, value)));
        let mut found: Vec<_> = named.filter(|&(_, value)| self.has_tensors(value)).collect();
        found.reverse();
        found
    }

    fn has_tensors(&self, id: Id) -> bool {
        let Value::Dict(pairs) = &self.pickle[id] else { return false };
        pairs.iter().any(|&(key, value)| self.pickle.str(key).is_some() && self.reader.is_tensor(value))
    }

    fn keys(&self, id: Id) -> Vec<String> {
        let Value::Dict(pairs) = &self.pickle[id] else { return vec![] };
        let named = |&(key, value): &(Id, Id)| {
            let name = quote(self.pickle.str(key)?);
            Some(match self.pickle[value] {
                Value::Call(..) if !self.reader.is_tensor(value) => {
                    format!("{name} ({})", self.pickle.describe(value))
                }
                _ => name,
            })
        };
        pairs.iter().filter_map(named).take(8).collect()
    }

    fn no_state_dict(&self, id: Id) -> Problem {
        let holds = match &self.pickle[id] {
            Value::Dict(pairs) if pairs.is_empty() => "it is an empty dictionary".into(),
            Value::Dict(_) => format!("it is a dictionary with the keys {}", self.keys(id).join(", ")),
            Value::Call(..) if self.reader.is_tensor(id) => "it is a single tensor".into(),
            _ => format!("it is {}", self.pickle.describe(id)),
        };
        Problem::NoStateDict { holds }
    }

    /// The tensors of a dictionary by name, and the names of what else it holds. A key that comes again is
    /// named once: so all names together are no longer than the file.
    fn tensors_of(&self, dict: Id) -> Result<(Entries<TensorView<'a>>, Vec<String>), Problem> {
        let Value::Dict(pairs) = &self.pickle[dict] else { return Ok(Default::default()) };
        let (mut tensors, mut ignored, mut named) = (Entries::new(), Vec::new(), HashSet::new());
        for &(key, value) in pairs {
            match self.pickle.str(key) {
                Some(_) if tensors.len() == MOST_TENSORS => {
                    return Err(self.reader.broken(format!("it has more than {MOST_TENSORS} tensors")));
                }
                Some(name) if self.reader.is_tensor(value) => {
                    let view = self.reader.tensor(value).map_err(|problem| at_tensor(name, problem))?;
                    tensors.insert(name.to_owned(), view);
                }
                _ if !named.insert(key) => {}
                Some(name) => ignored.push(name.to_owned()),
                None => ignored.push(self.pickle.describe(key)),
            }
        }
        Ok((tensors, ignored))
    }
}

fn at_tensor(name: &str, problem: Problem) -> Problem {
    match problem {
        Problem::Malformed { format, reason } => {
            Problem::Malformed { format, reason: format!("at {}, {reason}", quote(name)) }
        }
        other => other,
    }
}
