//! A detector that starts from weights trained for something else.
//!
//! Two kinds of file serve. A detector's: all is taken, but for predictors of another number of classes,
//! which stay fresh, both of them, as in torchvision's tutorial. An ImageNet classifier's: it becomes the
//! backbone (`features.0...` is `backbone.0...` or `backbone.body.0...`, `layer1...` is
//! `backbone.body.layer1...`), its last layers are left. [`Pretrained`] says what happened to every tensor.

use super::detector::Detector;
use super::names::{BOX_PREDICTOR, CLASSES, MASK_PREDICTOR, modern_name, must_be_known, num_classes};
use crate::checkpoint::{
    CheckpointError, CheckpointFile, LoadReport, Loaded, Problem, StateDict, load_matching, must_be_read,
    quote,
};
use gradus_core::{Element, Module};
use indexmap::IndexMap;
use serde::Serialize;
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

/// What a file held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A whole detector, in torchvision's names or older ones.
    Detector,
    /// A network that names images' classes.
    Classifier,
}

/// What became of a network's tensors, and of a file's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pretrained {
    /// What the file was.
    pub source: Source,
    /// Taken from the file.
    pub loaded: Vec<String>,
    /// In both, for other classes: left as they were.
    pub replaced: Vec<String>,
    /// Not in the file: left as they were.
    pub random: Vec<String>,
    /// In the file, without use here.
    pub ignored: Vec<String>,
    /// The numbers of classes, the file's and the network's, where predictors were replaced.
    pub classes: Option<[usize; 2]>,
    /// What was done in reading the file, see [`Loaded::notes`].
    pub notes: Vec<String>,
}

/// Loads a detector from the file at `path`, and sets its batch norms' ε (see [`norm_eps`]).
///
/// # Errors
/// What cannot be read, a hash in the file's name that is not its content's, and what [`load_pretrained`]
/// refuses.
pub fn pretrain<E: Element>(
    net: &mut Detector<E>,
    path: impl AsRef<Path>,
) -> Result<Pretrained, CheckpointError> {
    pretrain_file(net, &CheckpointFile::open(path)?, None)
}

/// [`pretrain`] from a file that is open, and from what stands under a key of it (see
/// [`load_key`](crate::checkpoint::load_key)).
///
/// # Errors
/// Those of [`pretrain`].
pub fn pretrain_file<E: Element>(
    net: &mut Detector<E>,
    file: &CheckpointFile,
    key: Option<&str>,
) -> Result<Pretrained, CheckpointError> {
    file.verify_name()?;
    let loaded = file.load(key)?;
    let eps = norm_eps(file.path(), &loaded)?;
    let notes = loaded.notes();
    let report = load_from(net, loaded.tensors, loaded.unread).map_err(|problem| problem.at(file.path()))?;
    net.backbone.set_norm_eps(eps);
    Ok(Pretrained { notes, ..report })
}

/// Loads a detector (its names begin with `backbone.`, `rpn.`, `roi_heads.`) from a detector's or a
/// classifier's tensors.
///
/// # Errors
/// [`Problem::NotFinite`] for NaN or infinity; [`Problem::Mismatch`] when a tensor has another shape, the
/// number of classes apart, or one of the backbone's body is not in the file; [`Problem::UnknownNetwork`] for
/// a detector with other heads, [`Problem::Unread`] for a tensor of a kind that is not read here. The network
/// may then be partly loaded.
pub fn load_pretrained<E: Element>(
    net: &mut impl Module<E>,
    state: StateDict,
) -> Result<Pretrained, Problem> {
    load_from(net, state, IndexMap::new())
}

/// [`load_pretrained`] with the kinds of the tensors that were not read.
fn load_from<E: Element>(
    net: &mut impl Module<E>,
    tensors: StateDict,
    unread: IndexMap<String, String>,
) -> Result<Pretrained, Problem> {
    must_be_known(tensors.keys().chain(unread.keys()))?;
    let is_detector = tensors.keys().any(|name| name.starts_with("backbone."));
    let source = if is_detector { Source::Detector } else { Source::Classifier };
    let body = body_of(net);
    let place = |name: &str| match source {
        Source::Detector => modern_name(name),
        Source::Classifier => in_body(&body, name),
    };
    let unread = unread.into_iter().map(|(name, kind)| (place(&name), kind)).collect();
    must_be_read(net, &unread)?;
    let mut state = tensors.into_iter().map(|(name, tensor)| (place(&name), tensor)).collect();
    let (classes, replaced) = set_aside_predictors(net, &mut state);
    let report = load_matching(net, &state);
    let LoadReport { loaded, missing, unexpected, misshapen, not_finite, conflicting } = report;
    if let Some([first, second]) = conflicting.first() {
        let what = format!("{first} and {second} are one parameter of the network and differ");
        return Err(Problem::Mismatch(what));
    }
    if let Some(name) = not_finite.first() {
        return Err(Problem::NotFinite(name.clone()));
    }
    if let Some((name, ours, theirs)) = misshapen.first() {
        let others = misshapen.len() - 1;
        let more = if others > 0 { format!(", and {others} more differ") } else { String::new() };
        let what = format!("{name} has shape {theirs:?}, the network's is {ours:?}{more}");
        return Err(Problem::Mismatch(what));
    }
    let in_body = |name: &&String| name.starts_with("backbone.") && !name.starts_with("backbone.fpn.");
    if let Some(name) = missing.iter().find(in_body) {
        return Err(Problem::Mismatch(format!("{name} is not among its {} tensors", state.len())));
    }
    let random = missing.into_iter().filter(|name| !replaced.contains(name)).collect();
    Ok(Pretrained { source, loaded, replaced, random, ignored: unexpected, classes, notes: Vec::new() })
}

/// What is before the names of the body in a detector, and the first parts of its names behind that: `conv1`
/// and `layer1`, or the numbers of features.
fn body_of<E: Element>(net: &mut impl Module<E>) -> (&'static str, HashSet<String>) {
    let mut names = Vec::new();
    net.for_each(|name, _| names.push(name.to_owned()));
    let has_body = names.iter().any(|name| name.starts_with("backbone.body."));
    let prefix = if has_body { "backbone.body." } else { "backbone." };
    let parts = names.iter().filter_map(|name| name.strip_prefix(prefix)?.split('.').next());
    (prefix, parts.map(String::from).collect())
}

/// The name that a detector's body has for a classifier's tensor.
fn in_body((prefix, parts): &(&str, HashSet<String>), name: &str) -> String {
    let own = name.strip_prefix("features.").unwrap_or(name);
    let is_of_body = own.split('.').next().is_some_and(|part| parts.contains(part));
    if is_of_body { format!("{prefix}{own}") } else { name.to_owned() }
}

/// Takes the predictors out of a file that knows another number of classes: both numbers, and the names.
fn set_aside_predictors<E: Element>(
    net: &mut impl Module<E>,
    state: &mut StateDict,
) -> (Option<[usize; 2]>, Vec<String>) {
    let (mut ours, mut predictors) = (None, Vec::new());
    net.for_each_param(|name, p| {
        if name == CLASSES {
            ours = Some(p.value.len());
        }
        // What depends on the number of classes.
        if [BOX_PREDICTOR, MASK_PREDICTOR].iter().any(|prefix| name.starts_with(prefix)) {
            predictors.push(name.to_string());
        }
    });
    let (Some(theirs), Some(ours)) = (num_classes(state), ours) else { return (None, Vec::new()) };
    if theirs == ours {
        return (None, Vec::new());
    }
    predictors.retain(|name| state.contains_key(name));
    state.retain(|name, _| !predictors.contains(name));
    (Some([theirs, ours]), predictors)
}

impl fmt::Display for Pretrained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.source {
            Source::Detector => "a detector's weights",
            Source::Classifier => "a classifier's weights, for the backbone",
        };
        write!(f, "{what}: {} tensors loaded", self.loaded.len())?;
        if let Some([theirs, ours]) = self.classes {
            write!(f, "\nfresh, for {ours} classes where the file has {theirs}: {}", parts(&self.replaced))?;
        }
        if !self.random.is_empty() {
            write!(f, "\nnot in the file, left random: {}", parts(&self.random))?;
        }
        if !self.ignored.is_empty() {
            write!(f, "\nin the file, not used: {}", parts(&self.ignored))?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "\n{note}"))
    }
}

/// The parts of a network that tensors belong to (two components of their names), each with its number of
/// them.
fn parts(names: &[String]) -> String {
    let mut counts = IndexMap::<String, usize>::new();
    for name in names {
        let part: Vec<&str> =
            name.rsplit_once('.').map_or("", |(module, _)| module).split('.').take(2).collect();
        *counts.entry(part.join(".")).or_default() += 1;
    }
    let listed = counts.iter().map(|(part, n)| format!("{part} ({n})"));
    listed.collect::<Vec<_>>().join(", ")
}

/// The key of a file's metadata that tells ε of its batch norms.
pub const NORM_EPS: &str = "norm_eps";

/// How the SHA-256 begins of torchvision's COCO V1 weights (`fasterrcnn_resnet50_fpn_coco-258fb6c6.pth`,
/// `maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth`): they were trained when frozen batch norm had no ε.
const WITHOUT_EPS: [&str; 2] = ["258fb6c6", "bf2d0c1e"];

/// ε of the batch norms that a file's weights belong to: what its metadata says under [`NORM_EPS`] (as files
/// written here do), 0 for torchvision's COCO V1 weights, known by their SHA-256, and otherwise 1e-5. A copy
/// of those weights in another format does not tell.
///
/// # Errors
/// [`Problem::Io`] when the file cannot be read, [`Problem::Mismatch`] when its metadata is no number from 0
/// to 1.
pub fn norm_eps(path: impl AsRef<Path>, loaded: &Loaded) -> Result<f64, CheckpointError> {
    let path = path.as_ref();
    if let Some(text) = loaded.metadata.get(NORM_EPS) {
        let eps = text.parse().ok().filter(|eps| (0.0..=1.0).contains(eps));
        let what = || format!("{NORM_EPS} is {} in its metadata, a number from 0 to 1 expected", quote(text));
        return eps.ok_or_else(|| Problem::Mismatch(what()).at(path));
    }
    match &loaded.file {
        Some(file) if loaded.tensors.contains_key("backbone.body.layer4.2.conv3.weight") => {
            Ok(eps_by_hash(file.sha256()?))
        }
        _ => Ok(1e-5),
    }
}

fn eps_by_hash(sha256: &str) -> f64 {
    if WITHOUT_EPS.iter().any(|start| sha256.starts_with(start)) { 0.0 } else { 1e-5 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torchvisions_weights_without_eps_are_known_by_their_hash() {
        assert_eq!(eps_by_hash("258fb6c6380192d1"), 0.0);
        assert_eq!(eps_by_hash("bf2d0c1efbaa4f54"), 0.0);
        assert_eq!(eps_by_hash("0258fb6c6380192d"), 1e-5);
    }

    #[test]
    fn parts_are_counted() {
        let names =
            ["rpn.head.conv.0.0.weight", "rpn.head.conv.0.0.bias", "fc.bias", "roi_heads.box_head.fc6.bias"];
        let names = names.map(String::from);
        assert_eq!(parts(&names), "rpn.head (2), fc (1), roi_heads.box_head (1)");
    }
}
