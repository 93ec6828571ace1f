//! What a file held and what was done beyond reading it.

use super::error::{CheckpointError, Problem, quote, some};
use super::file::CheckpointFile;
use super::format::{Format, Metadata, StateDict};
use super::module::load_exact;
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
    /// What the file's names have before them or between their parts and the names in `tensors` have not:
    /// words of wrappers, such as `module.` of `torch.nn.DataParallel`, or several, such as `module.model.`.
    pub stripped: Option<String>,
    /// Names beside the weights that are no tensors, or a wrapper's own.
    pub ignored: Vec<String>,
    /// Tensors of kinds that are not read here: the name, and the kind, such as `float8_e4m3fn`.
    pub unread: IndexMap<String, String>,
    /// The file, where it was one.
    pub file: Option<CheckpointFile>,
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
            file: None,
        }
    }

    /// What was done beyond reading, in sentences for the user; empty for plain files.
    pub fn notes(&self) -> Vec<String> {
        let quoted = |names: &[String]| some(names.iter().map(|name| quote(name)));
        let mut notes = Vec::new();
        if !self.found_under.is_empty() {
            notes.push(format!("the weights were found under {}", quote(&self.found_under.join("."))));
        }
        if !self.others.is_empty() {
            notes
                .push(format!("other weights in the file, to be had by their key: {}", quoted(&self.others)));
        }
        if let Some(words) = &self.stripped {
            notes.push(format!("what wrappers had put into the names was removed: {}", quote(words)));
        }
        if !self.ignored.is_empty() {
            let n = self.ignored.len();
            notes.push(format!("entries are no weights and were left ({n}): {}", quoted(&self.ignored)));
        }
        if !self.unread.is_empty() {
            let kinds = some(self.unread.iter().map(|(name, kind)| format!("{} ({kind})", quote(name))));
            let n = self.unread.len();
            notes.push(format!("tensors are of kinds that are not read here, and were left ({n}): {kinds}"));
        }
        notes
    }

    /// Loads a network as [`load_exact`] does. A tensor that it needs and that is not read here is named with
    /// its kind.
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
        some(self.tensors.keys().chain(self.unread.keys()).map(|name| quote(name)))
    }
}

/// That none of the network's tensors is among those that are not read here, of the kinds in `unread`.
pub(crate) fn must_be_read<E: Element>(
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
