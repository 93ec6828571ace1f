//! What the pickle of `torch.save` means: tensors as views of storages, and the state dict among the rest.
//!
//! A tensor is a storage (a flat array kept outside the pickle), an offset, a shape and strides: element
//! `(i0, i1, ...)` is `storage[offset + i0 * stride0 + i1 * stride1 + ...]`. Storages may be shared, strides may
//! transpose or repeat (a stride of 0); here every tensor becomes contiguous with a buffer of its own.

use super::error::{Problem, quote};
use super::pickle::{Id, Pickle, Value};
use super::{Dtype, Format, Loaded, Metadata, RawTensor, StateDict};
use indexmap::IndexMap;

/// Functions and classes that a pickle of weights may name.
pub(super) const GLOBALS: &[&str] = &[
    "collections.OrderedDict",
    PARAMETER,
    TENSOR,
    TENSOR_V2,
    "torch.DoubleStorage",
    "torch.FloatStorage",
    "torch.HalfStorage",
    "torch.BFloat16Storage",
    "torch.LongStorage",
    "torch.IntStorage",
    "torch.ShortStorage",
    "torch.CharStorage",
    "torch.ByteStorage",
    "torch.BoolStorage",
];
const PARAMETER: &str = "torch._utils._rebuild_parameter";
const TENSOR: &str = "torch._utils._rebuild_tensor";
const TENSOR_V2: &str = "torch._utils._rebuild_tensor_v2";

fn storage_dtype(class: &str) -> Option<Dtype> {
    Some(match class {
        "torch.DoubleStorage" => Dtype::F64,
        "torch.FloatStorage" => Dtype::F32,
        "torch.HalfStorage" => Dtype::F16,
        "torch.BFloat16Storage" => Dtype::Bf16,
        "torch.LongStorage" => Dtype::I64,
        "torch.IntStorage" => Dtype::I32,
        "torch.ShortStorage" => Dtype::I16,
        "torch.CharStorage" => Dtype::I8,
        "torch.ByteStorage" => Dtype::U8,
        "torch.BoolStorage" => Dtype::Bool,
        _ => return None,
    })
}

/// Under these keys training scripts put the weights beside the epoch, the optimiser and so on.
const WRAPPERS: [&str; 6] = ["state_dict", "model_state_dict", "model", "net", "network", "weights"];
const DEEPEST_WRAPPER: usize = 2;
/// `torch.nn.DataParallel` puts this before every name.
const PARALLEL: &str = "module.";
/// Names may share one tensor of the pickle, so that few bytes could list many. Large networks have thousands.
const MOST_TENSORS: usize = 100_000;
/// PyTorch's own bound on dimensions.
const MOST_DIMENSIONS: usize = 64;

/// A storage, as the pickle describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Storage {
    pub dtype: Dtype,
    /// Elements.
    pub numel: u64,
}

impl Storage {
    /// Its size; `None` where it overflows.
    pub fn bytes(self) -> Option<u64> {
        self.numel.checked_mul(self.dtype.size() as u64)
    }
}

/// Storages by key.
pub(super) type Storages = IndexMap<String, Storage>;

/// All storages that the pickle refers to.
pub(super) fn storages(pickle: &Pickle, format: Format) -> Result<Storages, Problem> {
    let reader = Reader { pickle, format };
    let mut storages = Storages::new();
    for value in pickle.values() {
        if let Value::Persistent(id) = *value {
            let view = reader.storage(id)?;
            if *storages.entry(view.key.to_owned()).or_insert(view.storage) != view.storage {
                return Err(reader.broken(format!("the storage {} has two descriptions", quote(view.key))));
            }
        }
    }
    Ok(storages)
}

/// Finds the state dict in the pickle and builds its tensors. `fetch` reads the storage of a key, whole; `file_len`
/// bounds what all tensors together may take.
pub(super) fn load(
    pickle: &Pickle,
    format: Format,
    file_len: u64,
    mut fetch: impl FnMut(&str, Storage) -> Result<Vec<u8>, Problem>,
) -> Result<Loaded, Problem> {
    let reader = Reader { pickle, format };
    let (path, dict) = reader.find_state_dict(pickle.root, 0)?.ok_or_else(|| reader.no_state_dict())?;
    let (entries, ignored) = reader.tensors_of(dict)?;
    let prefix = entries.keys().all(|name| name.starts_with(PARALLEL)).then_some(PARALLEL);
    check_total(&entries, format, file_len)?;

    let mut users: IndexMap<&str, Vec<usize>> = IndexMap::new();
    for (i, view) in entries.values().enumerate() {
        users.entry(view.storage.key).or_default().push(i);
    }
    // One storage at a time is in memory beside the finished tensors.
    let mut tensors = vec![None; entries.len()];
    for (key, users) in users {
        let storage = fetch(key, entries[users[0]].storage.storage)?;
        for i in users {
            tensors[i] = Some(entries[i].gather(&storage));
        }
    }
    let names = entries.keys().map(|name| name[prefix.map_or(0, str::len)..].to_owned());
    let tensors: StateDict = names.zip(tensors.into_iter().flatten()).collect();
    Ok(Loaded {
        found_under: path,
        stripped: prefix,
        ignored,
        ..Loaded::new(format, tensors, Metadata::new())
    })
}

/// A stride of 0 can make a tensor of any size from one element; nothing that was trained does.
fn check_total(entries: &Views, format: Format, file_len: u64) -> Result<(), Problem> {
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

/// A storage, or a part of one, as a tensor refers to it.
struct StorageView<'a> {
    key: &'a str,
    storage: Storage,
    /// First element and number of elements of the part.
    start: u64,
    numel: u64,
}

/// A tensor, checked: all its elements lie in its storage.
struct TensorView<'a> {
    storage: StorageView<'a>,
    /// Place of the first element in the whole storage.
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
    /// Size once contiguous.
    bytes: usize,
}

/// Tensors by name.
type Views<'a> = IndexMap<String, TensorView<'a>>;

impl TensorView<'_> {
    /// The tensor from the bytes of its whole storage.
    fn gather(&self, storage: &[u8]) -> RawTensor {
        let dtype = self.storage.storage.dtype;
        let size = dtype.size();
        let mut bytes = Vec::with_capacity(self.bytes);
        if self.bytes > 0 {
            // The innermost dimensions that lie densely are copied in one run.
            let mut run = 1;
            let mut outer = self.shape.len();
            while outer > 0 && (self.shape[outer - 1] == 1 || self.strides[outer - 1] == run) {
                run *= self.shape[outer - 1];
                outer -= 1;
            }
            let mut index = vec![0; outer];
            while bytes.len() < self.bytes {
                let at = self.offset
                    + index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum::<usize>();
                bytes.extend_from_slice(&storage[at * size..(at + run) * size]);
                for (i, &dim) in index.iter_mut().zip(&self.shape).rev() {
                    *i = (*i + 1) % dim;
                    if *i != 0 {
                        break;
                    }
                }
            }
        }
        RawTensor::new(dtype, self.shape.clone(), bytes)
    }
}

/// The pickle read as PyTorch means it.
struct Reader<'a> {
    pickle: &'a Pickle,
    format: Format,
}

impl<'a> Reader<'a> {
    /// The dictionary of tensors under `id`, and the keys that lead to it.
    fn find_state_dict(&self, id: Id, depth: usize) -> Result<Option<(Vec<String>, Id)>, Problem> {
        let Value::Dict(pairs) = &self.pickle[id] else { return Ok(None) };
        if depth < DEEPEST_WRAPPER {
            for wrapper in WRAPPERS {
                let inner = pairs.iter().rev().find(|(key, _)| self.str(*key) == Some(wrapper));
                if let Some(&(_, inner)) = inner
                    && let Some((mut path, dict)) = self.find_state_dict(inner, depth + 1)?
                {
                    path.insert(0, wrapper.to_owned());
                    return Ok(Some((path, dict)));
                }
            }
        }
        let has_tensors = pairs.iter().any(|&(_, value)| self.is_tensor(value));
        Ok(has_tensors.then(|| (vec![], id)))
    }

    fn no_state_dict(&self) -> Problem {
        let holds = match &self.pickle[self.pickle.root] {
            Value::Dict(pairs) if pairs.is_empty() => "it is an empty dictionary".into(),
            Value::Dict(pairs) => {
                let keys =
                    pairs.iter().filter_map(|(key, _)| self.str(*key)).take(8).map(quote).collect::<Vec<_>>();
                format!("it is a dictionary with the keys {}", keys.join(", "))
            }
            Value::Call(..) => "it is a single tensor".into(),
            other => format!("it is {}", other.describe()),
        };
        Problem::NoStateDict { holds }
    }

    /// The tensors of a dictionary by name, and the names of what else it holds.
    fn tensors_of(&self, dict: Id) -> Result<(Views<'a>, Vec<String>), Problem> {
        let Value::Dict(pairs) = &self.pickle[dict] else { return Ok(Default::default()) };
        let (mut tensors, mut ignored) = (Views::new(), Vec::new());
        for &(key, value) in pairs {
            match (self.str(key), self.is_tensor(value)) {
                (Some(_), true) if tensors.len() == MOST_TENSORS => {
                    return Err(self.broken(format!("it has more than {MOST_TENSORS} tensors")));
                }
                (Some(name), true) => {
                    let view = self.tensor(value).map_err(|problem| at_tensor(name, problem))?;
                    tensors.insert(name.to_owned(), view);
                }
                (Some(name), false) => ignored.push(name.to_owned()),
                (None, _) => return Err(self.broken("a name among its tensors is no string")),
            }
        }
        Ok((tensors, ignored))
    }

    fn is_tensor(&self, id: Id) -> bool {
        matches!(self.pickle[id], Value::Call(PARAMETER | TENSOR | TENSOR_V2, _))
    }

    /// A tensor or a parameter, which is a tensor with a flag.
    fn tensor(&self, id: Id) -> Result<TensorView<'a>, Problem> {
        let id = match self.pickle[id] {
            Value::Call(PARAMETER, args) => {
                *self.items(args, "a parameter's arguments")?.first().unwrap_or(&id)
            }
            _ => id,
        };
        let Value::Call(TENSOR | TENSOR_V2, args) = self.pickle[id] else {
            return Err(self.broken("a parameter holds no tensor"));
        };
        let &[storage, offset, shape, strides, ref more @ ..] = self.items(args, "a tensor's arguments")?
        else {
            return Err(self.broken("a tensor has too few arguments"));
        };
        // After requires_grad and the hooks: lazy negation or conjugation.
        if let Some(&flags) = more.get(2)
            && !matches!(&self.pickle[flags], Value::None)
            && !matches!(&self.pickle[flags], Value::Dict(pairs) if pairs.is_empty())
        {
            return Err(Problem::Unsupported {
                format: self.format,
                feature: "a lazily negated tensor".into(),
            });
        }
        let Value::Persistent(storage) = self.pickle[storage] else {
            return Err(self.broken("a tensor has no storage"));
        };
        self.view(self.storage(storage)?, offset, shape, strides)
    }

    fn view(
        &self,
        storage: StorageView<'a>,
        offset: Id,
        shape: Id,
        strides: Id,
    ) -> Result<TensorView<'a>, Problem> {
        let numbers =
            |id| self.items(id, "a shape")?.iter().map(|&id| self.size(id)).collect::<Result<Vec<_>, _>>();
        let (offset, shape, strides) = (self.size(offset)?, numbers(shape)?, numbers(strides)?);
        let dtype = storage.storage.dtype;
        let described = format!("shape {shape:?}, strides {strides:?}, offset {offset}");
        if shape.len() != strides.len() || shape.len() > MOST_DIMENSIONS {
            return Err(self.broken(format!(
                "a tensor has {} dimensions and {} strides",
                shape.len(),
                strides.len()
            )));
        }
        let bytes = dtype.bytes_of(&shape);
        let bytes = bytes.ok_or_else(|| self.broken(format!("a tensor's size overflows: {described}")))?;
        let last = shape.iter().zip(&strides).try_fold(offset, |at, (&dim, &stride)| {
            at.checked_add(stride.checked_mul(dim.saturating_sub(1))?)
        });
        let inside = last.is_some_and(|last| (last as u64) < storage.numel);
        if bytes > 0 && !inside {
            return Err(
                self.broken(format!("a tensor reaches beyond its storage of {}: {described}", storage.numel))
            );
        }
        // In bounds whenever an element is read: below `storage.numel`, which is checked to end in the storage.
        let offset = (storage.start as usize).saturating_add(offset);
        Ok(TensorView { storage, offset, shape, strides, bytes })
    }

    /// `("storage", class, key, device, numel)`, in the legacy form with `None` or `(key, start, numel)` behind it.
    /// The device says where the storage was; here all is on the CPU.
    fn storage(&self, id: Id) -> Result<StorageView<'a>, Problem> {
        let what = "a storage's description";
        let &[kind, class, key, _device, numel, ref part @ ..] = self.items(id, what)? else {
            return Err(self.broken(format!("{what} is too short")));
        };
        let dtype = match self.pickle[class] {
            Value::Global(class) => storage_dtype(class),
            _ => None,
        };
        let (Some("storage"), Some(dtype), Some(key)) = (self.str(kind), dtype, self.str(key)) else {
            return Err(self.broken(format!("{what} makes no sense")));
        };
        let numel = self.size(numel)? as u64;
        let (start, part_numel) = match part.first().map(|&part| (part, &self.pickle[part])) {
            None | Some((_, Value::None)) => (0, numel),
            Some((part, _)) => match *self.items(part, what)? {
                [_, start, part_numel] => (self.size(start)? as u64, self.size(part_numel)? as u64),
                _ => return Err(self.broken(format!("{what} makes no sense"))),
            },
        };
        if start.checked_add(part_numel).is_none_or(|end| end > numel) {
            return Err(self.broken(format!("a part of the storage {} ends beyond it", quote(key))));
        }
        Ok(StorageView { key, storage: Storage { dtype, numel }, start, numel: part_numel })
    }

    fn str(&self, id: Id) -> Option<&'a str> {
        match &self.pickle[id] {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    fn items(&self, id: Id, what: &str) -> Result<&'a [Id], Problem> {
        match &self.pickle[id] {
            Value::Tuple(items) | Value::List(items) => Ok(items),
            _ => Err(self.broken(format!("{what} is no tuple"))),
        }
    }

    fn size(&self, id: Id) -> Result<usize, Problem> {
        let value = match self.pickle[id] {
            Value::Int(value) => usize::try_from(value).ok(),
            _ => None,
        };
        value.ok_or_else(|| self.broken(format!("{} stands for a size", self.pickle[id].describe())))
    }

    fn broken(&self, reason: impl Into<String>) -> Problem {
        Problem::malformed(self.format, reason)
    }
}

fn at_tensor(name: &str, problem: Problem) -> Problem {
    match problem {
        Problem::Malformed { format, reason } => {
            Problem::Malformed { format, reason: format!("at {}, {reason}", quote(name)) }
        }
        Problem::Unsupported { format, feature } => {
            Problem::Unsupported { format, feature: format!("{feature} ({})", quote(name)) }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn gathering_follows_the_strides(
            dims in proptest::collection::vec((0..4usize, 0..13usize), 0..4),
            offset in 0..5usize,
        ) {
            let (shape, strides): (Vec<_>, Vec<_>) = dims.into_iter().unzip();
            let numel: usize = shape.iter().product();
            // Element by element, by the formula at the top of this file.
            let place = |flat: usize| {
                let (mut rest, mut at) = (flat, offset);
                for (dim, stride) in shape.iter().zip(&strides).rev() {
                    at += rest % dim * stride;
                    rest /= dim;
                }
                at as i16
            };
            let expected: Vec<i64> = (0..numel).map(|flat| place(flat).into()).collect();
            let storage: Vec<u8> = (0..128i16).flat_map(i16::to_le_bytes).collect();
            let whole = Storage { dtype: Dtype::I16, numel: 128 };
            let view = TensorView {
                storage: StorageView { key: "0", storage: whole, start: 0, numel: 128 },
                offset,
                shape: shape.clone(),
                strides: strides.clone(),
                bytes: 2 * numel,
            };
            prop_assert_eq!(view.gather(&storage).to_i64().unwrap(), expected);
        }
    }
}
