//! What a file held and what was done beyond reading it.

use super::error::quote;
use super::{CheckpointError, Format, Metadata, Problem, StateDict, load_exact};
use gradus_core::{Element, Module};
use indexmap::IndexMap;
use std::path::Path;

/// What [`load`](super::load) found in a file.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file's format.
    pub format: Format,
    /// The tensors by name.
    pub tensors: StateDict,
    /// The text beside them; PyTorch's own files have none.
    pub metadata: Metadata,
    /// The keys that led to the tensors, such as `["state_dict"]`.
    pub found_under: Vec<String>,
    /// Keys of other tensors in the same file that were not taken, such as `model_ema`.
    pub others: Vec<String>,
    /// What the file's names have before them or between their parts and the names in `tensors` have not: words of
    /// wrappers, such as `module.` of `torch.nn.DataParallel`, or several, such as `module.model.`.
    pub stripped: Option<String>,
    /// Names beside the tensors that are no tensors, or belong to a wrapper.
    pub ignored: Vec<String>,
    /// Tensors of kinds that are not read here: the name, and the kind, such as `float8_e4m3fn`.
    pub unread: IndexMap<String, String>,
}

impl Loaded {
    pub(super) fn new(format: Format, tensors: StateDict, metadata: Metadata) -> Self {
        Loaded {
            format,
            tensors,
            metadata,
            found_under: vec![],
            others: vec![],
            stripped: None,
            ignored: vec![],
            unread: IndexMap::new(),
        }
    }

    /// What was done beyond reading, in sentences for the user; empty for plain files.
    pub fn notes(&self) -> Vec<String> {
        let some =
            |names: &[String]| names.iter().take(8).map(|name| quote(name)).collect::<Vec<_>>().join(", ");
        let mut notes = Vec::new();
        if !self.found_under.is_empty() {
            notes.push(format!("the weights were found under {}", quote(&self.found_under.join("."))));
        }
        if !self.others.is_empty() {
            notes.push(format!("other weights in the file, to be had by their key: {}", some(&self.others)));
        }
        if let Some(prefix) = &self.stripped {
            notes.push(format!("the prefix {} was removed from every name", quote(prefix)));
        }
        if !self.ignored.is_empty() {
            let n = self.ignored.len();
            notes.push(format!("{n} entries are no tensors and were left: {}", some(&self.ignored)));
        }
        if !self.unread.is_empty() {
            let kinds = self.unread.iter().take(8).map(|(name, kind)| format!("{} ({kind})", quote(name)));
            let (n, kinds) = (self.unread.len(), kinds.collect::<Vec<_>>().join(", "));
            notes.push(format!("{n} tensors are of kinds that are not read here, and were left: {kinds}"));
        }
        notes
    }

    /// Loads a network as [`load_exact`] does. A tensor that it needs and that is not read here is named with its kind.
    ///
    /// # Errors
    /// [`Problem::Unread`], and those of [`load_exact`].
    pub fn load_exact<E: Element>(
        &self,
        net: &mut impl Module<E>,
        path: impl AsRef<Path>,
    ) -> Result<(), CheckpointError> {
        must_be_read(net, &self.unread).map_err(|problem| problem.at(path.as_ref()))?;
        load_exact(net, &self.tensors, path)
    }

    /// A few of the names in the file, for a message that nothing is known that has them.
    pub fn some_names(&self) -> String {
        let names = self.tensors.keys().chain(self.unread.keys());
        let shown: Vec<String> = names.take(4).map(|name| quote(name)).collect();
        let more = (self.tensors.len() + self.unread.len()).saturating_sub(shown.len());
        match more {
            0 => shown.join(", "),
            _ => format!("{} and {more} more", shown.join(", ")),
        }
    }
}

/// That none of the network's tensors is among those that are not read here, of the kinds in `unread`.
pub(super) fn must_be_read<E: Element>(
    net: &mut impl Module<E>,
    unread: &IndexMap<String, String>,
) -> Result<(), Problem> {
    let mut wanted = None;
    net.for_each(|name, _| {
        if let Some(kind) = unread.get(name).filter(|_| wanted.is_none()) {
            wanted = Some(Problem::Unread { name: name.into(), kind: kind.clone() });
        }
    });
    wanted.map_or(Ok(()), Err)
}
