//! Tensors of a pickle as views of storages.
//!
//! A tensor is a storage (a flat array kept outside the pickle), an offset, a shape and strides: element
//! `(i0, i1, ...)` is `storage[offset + i0 * stride0 + i1 * stride1 + ...]`. Storages may be shared, strides
//! may transpose or repeat (a stride of 0); here every tensor becomes contiguous with a buffer of its own.
//!
//! A tensor of another kind, such as a sparse one or one of float8, is told apart and left: what it is stands
//! in the place of its view.

use crate::checkpoint::error::{Problem, quote};
use crate::checkpoint::format::Format;
use crate::checkpoint::pickle::{Id, Pickle, Value};
use crate::checkpoint::raw::{Dtype, RawTensor};
use indexmap::IndexMap;
use std::fmt;

/// PyTorch's own bound on dimensions.
const MOST_DIMENSIONS: usize = 64;
/// A parameter holds a tensor, which may be of a subclass; more depth than that has no meaning.
const DEEPEST_TENSOR: usize = 4;

/// A storage's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Elements {
    Read(Dtype),
    /// Not read here: bytes of each, and what they are.
    Unread(u64, &'static str),
    /// Not known, nor how long.
    Unknown,
}

/// The elements of a storage by its class, in the module `torch`.
const STORAGES: [(&str, Elements); 18] = [
    ("DoubleStorage", Elements::Read(Dtype::F64)),
    ("FloatStorage", Elements::Read(Dtype::F32)),
    ("HalfStorage", Elements::Read(Dtype::F16)),
    ("BFloat16Storage", Elements::Read(Dtype::Bf16)),
    ("LongStorage", Elements::Read(Dtype::I64)),
    ("IntStorage", Elements::Read(Dtype::I32)),
    ("ShortStorage", Elements::Read(Dtype::I16)),
    ("CharStorage", Elements::Read(Dtype::I8)),
    ("ByteStorage", Elements::Read(Dtype::U8)),
    ("BoolStorage", Elements::Read(Dtype::Bool)),
    ("ComplexFloatStorage", Elements::Unread(8, "complex64")),
    ("ComplexDoubleStorage", Elements::Unread(16, "complex128")),
    ("QInt8Storage", Elements::Unread(1, "qint8")),
    ("QUInt8Storage", Elements::Unread(1, "quint8")),
    ("QInt32Storage", Elements::Unread(4, "qint32")),
    ("QUInt4x2Storage", Elements::Unread(1, "quint4x2")),
    ("QUInt2x4Storage", Elements::Unread(1, "quint2x4")),
    // Of the newest types: the tensor says which.
    ("UntypedStorage", Elements::Unread(1, "bytes")),
];

/// A storage, as the pickle describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::checkpoint) struct Storage {
    elements: Elements,
    /// How many elements.
    pub numel: u64,
}

impl Storage {
    /// Its size; `None` where it overflows or is not known.
    pub fn bytes(self) -> Option<u64> {
        let size = match self.elements {
            Elements::Read(dtype) => dtype.size() as u64,
            Elements::Unread(size, _) => size,
            Elements::Unknown => return None,
        };
        self.numel.checked_mul(size)
    }
}

impl fmt::Display for Storage {
    /// `256 elements of float32`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} elements of ", self.numel)?;
        match self.elements {
            Elements::Read(dtype) => dtype.fmt(f),
            Elements::Unread(_, kind) => f.write_str(kind),
            Elements::Unknown => f.write_str("an unknown type"),
        }
    }
}

/// Storages by key.
pub(in crate::checkpoint) type Storages = IndexMap<String, Storage>;

/// All storages that the pickle refers to. What else it keeps outside of itself (older files so keep classes)
/// is none.
pub(in crate::checkpoint) fn storages(pickle: &Pickle, format: Format) -> Result<Storages, Problem> {
    let reader = Reader { pickle, format };
    let mut storages = Storages::new();
    for value in pickle.values() {
        if let Value::Persistent(id) = *value
            && let Value::Tuple(parts) = &pickle[id]
            && parts.first().is_some_and(|&kind| pickle.str(kind) == Some("storage"))
        {
            let view = reader.storage(id)?;
            if *storages.entry(view.key.to_owned()).or_insert(view.storage) != view.storage {
                return Err(reader.broken(format!("the storage {} has two descriptions", quote(view.key))));
            }
        }
    }
    Ok(storages)
}

/// A storage, or a part of one, as a tensor refers to it.
pub(super) struct StorageView<'a> {
    pub key: &'a str,
    pub storage: Storage,
    /// First element and number of elements of the part.
    start: u64,
    numel: u64,
}

/// A tensor, checked: all its elements lie in its storage.
pub(super) struct TensorView<'a> {
    pub storage: StorageView<'a>,
    dtype: Dtype,
    /// Place of the first element in the whole storage.
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
    /// Size once contiguous.
    pub bytes: usize,
}

impl TensorView<'_> {
    /// The tensor from the bytes of its whole storage.
    pub fn gather(&self, storage: &[u8]) -> RawTensor {
        let size = self.dtype.size();
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
        RawTensor::new(self.dtype, self.shape.clone(), bytes)
    }
}

/// The pickle read as PyTorch means it.
pub(super) struct Reader<'a> {
    pub pickle: &'a Pickle,
    pub format: Format,
}

impl<'a> Reader<'a> {
    /// Whether it is a tensor, of whatever kind: the call of one of PyTorch's functions that make them.
    pub fn is_tensor(&self, id: Id) -> bool {
        matches!(self.pickle.call(id), Some((("torch._utils" | "torch._tensor", name), _)) if name.starts_with("_rebuild_"))
    }

    /// A tensor, or a parameter, which is a tensor with a flag; or what kind it is of that is not read here.
    pub fn tensor(&self, id: Id) -> Result<Result<TensorView<'a>, String>, Problem> {
        let (mut function, mut args) = self.made_by(id)?;
        for _ in 0..DEEPEST_TENSOR {
            let items = self.items(args, "a tensor's arguments")?;
            match (function, items) {
                ("_rebuild_tensor" | "_rebuild_tensor_v2", items) => return self.dense(items),
                ("_rebuild_parameter" | "_rebuild_parameter_with_state", &[tensor, ..]) => {
                    (function, args) = self.made_by(tensor)?;
                }
                // A tensor of a class of one's own: the function that makes the tensor, the class, the
                // arguments.
                ("_rebuild_from_type_v2", &[inner, _class, inner_args, ..]) => {
                    (function, args) = (self.pickle.global(inner).map_or("", |(_, name)| name), inner_args);
                }
                ("_rebuild_tensor_v3", &[_, _, _, _, _, _, dtype, ..]) => {
                    let dtype = self.pickle.global(dtype).map_or("another type", |(_, name)| name);
                    return Ok(Err(dtype.to_owned()));
                }
                ("_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor", _) => {
                    return Ok(Err("sparse".into()));
                }
                ("_rebuild_qtensor", _) => return Ok(Err("quantised".into())),
                ("_rebuild_nested_tensor", _) => return Ok(Err("nested".into())),
                ("_rebuild_meta_tensor_no_storage", _) => return Ok(Err("a tensor without values".into())),
                (other, _) => return Ok(Err(format!("what {} makes", quote(other)))),
            }
        }
        Err(self.broken("a parameter holds a parameter without end"))
    }

    /// The function that makes a tensor, and its arguments.
    fn made_by(&self, id: Id) -> Result<(&'a str, Id), Problem> {
        match self.pickle.call(id) {
            Some(((_, function), args)) if self.is_tensor(id) => Ok((function, args)),
            _ => Err(self.broken("a parameter holds no tensor")),
        }
    }

    /// An ordinary tensor: storage, offset, shape, strides.
    fn dense(&self, args: &[Id]) -> Result<Result<TensorView<'a>, String>, Problem> {
        let &[storage, offset, shape, strides, ref more @ ..] = args else {
            return Err(self.broken("a tensor has too few arguments"));
        };
        // After requires_grad and the hooks: lazy negation or conjugation.
        if let Some(&flags) = more.get(2)
            && !matches!(&self.pickle[flags], Value::None)
            && !matches!(&self.pickle[flags], Value::Dict(pairs) if pairs.is_empty())
        {
            return Ok(Err("a lazily negated tensor".into()));
        }
        let Value::Persistent(storage) = self.pickle[storage] else {
            return Err(self.broken("a tensor has no storage"));
        };
        let storage = self.storage(storage)?;
        match storage.storage.elements {
            Elements::Read(dtype) => self.view(storage, dtype, offset, shape, strides).map(Ok),
            Elements::Unread(_, kind) => Ok(Err(kind.into())),
            Elements::Unknown => Ok(Err("elements of an unknown type".into())),
        }
    }

    fn view(
        &self,
        storage: StorageView<'a>,
        dtype: Dtype,
        offset: Id,
        shape: Id,
        strides: Id,
    ) -> Result<TensorView<'a>, Problem> {
        let numbers =
            |id| self.items(id, "a shape")?.iter().map(|&id| self.size(id)).collect::<Result<Vec<_>, _>>();
        let (offset, shape, strides) = (self.size(offset)?, numbers(shape)?, numbers(strides)?);
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
        // In bounds whenever an element is read: below `storage.numel`, which is checked to end in the
        // storage.
        let offset = (storage.start as usize).saturating_add(offset);
        Ok(TensorView { storage, dtype, offset, shape, strides, bytes })
    }

    /// `("storage", class, key, device, numel)`, in the legacy form with `None` or `(key, start, numel)`
    /// behind it. The device says where the storage was; here all is on the CPU.
    fn storage(&self, id: Id) -> Result<StorageView<'a>, Problem> {
        let what = "a storage's description";
        let &[kind, class, key, _device, numel, ref part @ ..] = self.items(id, what)? else {
            return Err(self.broken(format!("{what} is too short")));
        };
        let elements = self.pickle.global(class).and_then(|(module, class)| {
            let known = STORAGES.iter().find(|&&(name, _)| name == class);
            known.filter(|_| module == "torch" || module == "torch.storage").map(|&(_, elements)| elements)
        });
        let (Some("storage"), Some(key)) = (self.pickle.str(kind), self.pickle.str(key)) else {
            return Err(self.broken(format!("{what} makes no sense")));
        };
        let elements = elements.unwrap_or(Elements::Unknown);
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
        Ok(StorageView { key, storage: Storage { elements, numel }, start, numel: part_numel })
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
        value.ok_or_else(|| self.broken(format!("{} stands for a size", self.pickle.describe(id))))
    }

    pub fn broken(&self, reason: impl Into<String>) -> Problem {
        Problem::malformed(self.format, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use byteorder::{ByteOrder, LE};
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
            let mut storage = vec![0; 256];
            LE::write_i16_into(&(0..128).collect::<Vec<i16>>(), &mut storage);
            let whole = Storage { elements: Elements::Read(Dtype::I16), numel: 128 };
            let view = TensorView {
                storage: StorageView { key: "0", storage: whole, start: 0, numel: 128 },
                dtype: Dtype::I16,
                offset,
                shape: shape.clone(),
                strides: strides.clone(),
                bytes: 2 * numel,
            };
            prop_assert_eq!(view.gather(&storage).to_i64().unwrap(), expected);
        }
    }
}
