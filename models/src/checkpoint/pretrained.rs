//! A detector that starts from weights trained for something else.
//!
//! Two kinds of file serve. A detector's: all is taken, but for predictors of another number of classes, which stay
//! fresh, both of them, as in torchvision's tutorial. An ImageNet classifier's: it becomes the backbone (`features.0...`
//! is `backbone.0...` or `backbone.body.0...`, `layer1...` is `backbone.body.layer1...`), its last layer is left.
//! [`Pretrained`] says what happened to every tensor.

use super::module::LoadReport;
use super::{CheckpointError, Loaded, Problem, StateDict, hash, load_matching, names};
use gradus_core::{Element, Module};
use std::fmt;
use std::path::Path;

/// What a file held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A whole detector, in torchvision's names or older ones.
    Detector,
    /// A network that names images' classes.
    Classifier,
}

/// What became of a network's tensors, and of a file's.
#[derive(Clone, Debug, PartialEq, Eq)]
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
}

/// What depends on the number of classes.
const PREDICTORS: [&str; 2] = ["roi_heads.box_predictor.", "roi_heads.mask_predictor."];
const CLASSES: &str = "roi_heads.box_predictor.cls_score.bias";

/// Loads a detector (its names begin with `backbone.`, `rpn.`, `roi_heads.`) from a detector's or a classifier's
/// tensors. `path` is for the message.
///
/// # Errors
/// [`Problem::Mismatch`] when a tensor has another shape, the number of classes apart, or when nothing of the backbone
/// is in the file; the network may then be partly loaded.
pub fn load_pretrained<E: Element>(
    net: &mut impl Module<E>,
    state: StateDict,
    path: impl AsRef<Path>,
) -> Result<Pretrained, CheckpointError> {
    let mismatch = |what: String| Problem::Mismatch(what).at(path.as_ref());
    let is_detector = state.keys().any(|name| name.starts_with("backbone."));
    let source = if is_detector { Source::Detector } else { Source::Classifier };
    let mut state = match source {
        Source::Detector => names::modernise(state),
        Source::Classifier => into_backbone(net, state),
    };
    let (classes, replaced) = set_aside_predictors(net, &mut state);
    let LoadReport { loaded, missing, unexpected, misshapen } = load_matching(net, &state);
    if let Some((name, ours, theirs)) = misshapen.first() {
        let more = if misshapen.len() > 1 {
            format!(", and {} more differ", misshapen.len() - 1)
        } else {
            String::new()
        };
        return Err(mismatch(format!("{name} has shape {theirs:?}, the network's is {ours:?}{more}")));
    }
    if !loaded.iter().any(|name| name.starts_with("backbone.")) {
        let first = state
            .keys()
            .next()
            .map_or_else(String::new, |name| format!(", such as {}", super::error::quote(name)));
        return Err(mismatch(format!("none of its {} tensors is one of the backbone's{first}", state.len())));
    }
    let random = missing.into_iter().filter(|name| !replaced.contains(name)).collect();
    Ok(Pretrained { source, loaded, replaced, random, ignored: unexpected, classes })
}

/// A classifier's tensors under the names that a detector's backbone has for them.
fn into_backbone<E: Element>(net: &mut impl Module<E>, state: StateDict) -> StateDict {
    let mut has_body = false;
    net.for_each(|name, _| has_body |= name.starts_with("backbone.body."));
    let prefix = if has_body { "backbone.body." } else { "backbone." };
    let place = |name: String| match name.strip_prefix("features.") {
        Some(feature) => format!("{prefix}{feature}"),
        None if ["conv1.", "bn1.", "layer"].iter().any(|stage| name.starts_with(stage)) => {
            format!("{prefix}{name}")
        }
        None => name,
    };
    state.into_iter().map(|(name, tensor)| (place(name), tensor)).collect()
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
        if PREDICTORS.iter().any(|prefix| name.starts_with(prefix)) {
            predictors.push(name.to_string());
        }
    });
    let theirs = state.get(CLASSES).map(|t| t.numel());
    let (Some(theirs), Some(ours)) = (theirs, ours) else { return (None, Vec::new()) };
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
        Ok(())
    }
}

/// The parts of a network that tensors belong to (two components of their names), each with its number of them.
fn parts(names: &[String]) -> String {
    let mut counts = indexmap::IndexMap::<String, usize>::new();
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

/// ε of the batch norms that a file's weights belong to: what its metadata says under [`NORM_EPS`] (as files written
/// here do), 0 for torchvision's COCO V1 weights, known by their SHA-256, and otherwise 1e-5. A copy of those weights
/// in another format does not tell.
///
/// # Errors
/// [`Problem::Io`] when the file cannot be read, [`Problem::Mismatch`] when its metadata is no number from 0 to 1.
pub fn norm_eps(path: impl AsRef<Path>, loaded: &Loaded) -> Result<f64, CheckpointError> {
    let path = path.as_ref();
    if let Some(text) = loaded.metadata.get(NORM_EPS) {
        let eps = text.parse().ok().filter(|eps| (0.0..=1.0).contains(eps));
        let what = || {
            format!(
                "{NORM_EPS} is {} in its metadata, a number from 0 to 1 expected",
                super::error::quote(text)
            )
        };
        return eps.ok_or_else(|| Problem::Mismatch(what()).at(path));
    }
    let may_be_one = loaded.tensors.contains_key("backbone.body.layer4.2.conv3.weight");
    if !may_be_one {
        return Ok(1e-5);
    }
    let digest = hash::sha256(path).map_err(|problem| problem.at(path))?;
    Ok(if WITHOUT_EPS.iter().any(|start| digest.starts_with(start)) { 0.0 } else { 1e-5 })
}
