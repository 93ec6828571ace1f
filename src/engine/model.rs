//! A trained classifier from a run's folder or a weights file: network, input transform, class names.

use super::culprit;
use super::resume::checkpoint_error;
use super::weights::{Which, must_tell_apart, read, unknown};
use crate::data::Transform;
use crate::error::{Error, Result};
use crate::files;
use crate::numbers::counted;
use gradus_core::gemm::Precision;
use gradus_core::{Rng, Tape, Tensor};
use gradus_models::Network;
use gradus_models::alexnet::{AlexNet, Size};
use gradus_models::checkpoint::{Loaded, Metadata, StateDict};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The two layouts of AlexNet, as the command line names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 32x32 images, the exercise's.
    Cifar,
    /// 224x224 images, torchvision's.
    Imagenet,
}

impl Arch {
    /// The network's size.
    pub fn size(self) -> Size {
        match self {
            Arch::Cifar => Size::Cifar,
            Arch::Imagenet => Size::ImageNet,
        }
    }

    /// How images are prepared for it.
    pub fn transform(self) -> Transform {
        match self {
            Arch::Cifar => Transform::CIFAR,
            Arch::Imagenet => Transform::IMAGENET,
        }
    }

    /// The architecture whose first layer a checkpoint holds.
    pub fn recognise(tensors: &StateDict) -> Option<Self> {
        Some(match Size::recognise(tensors.get("features.0.weight")?.shape())? {
            Size::Cifar => Arch::Cifar,
            Size::ImageNet => Arch::Imagenet,
        })
    }
}

/// A network ready to judge images: AlexNet, or with [`Network`] any classifier.
pub struct Classifier<N = AlexNet> {
    /// The network.
    pub net: N,
    /// AlexNet's layout; of another network the one whose images it shares.
    pub arch: Arch,
    /// The classes' names, as many as it has logits.
    pub classes: Vec<String>,
    /// Whether the classes' names are known; otherwise they are numbered ones.
    pub named: bool,
    /// What its products and convolutions read.
    pub precision: Precision,
}

/// The metadata that lets a weights file speak for itself.
pub fn metadata(arch: Arch, classes: &[String]) -> Metadata {
    let text = |v: serde_json::Value| v.as_str().map_or_else(|| v.to_string(), String::from);
    Metadata::from([
        ("format".into(), "pt".into()),
        ("program".into(), format!("gradus {}", env!("CARGO_PKG_VERSION"))),
        ("arch".into(), text(serde_json::json!(arch))),
        ("classes".into(), serde_json::json!(classes).to_string()),
    ])
}

/// The names that a file gives its classes, or their numbers; and whether they are names.
fn class_names(loaded: &Loaded, count: usize) -> (Vec<String>, bool) {
    let named = loaded.metadata.get("classes").and_then(|t| serde_json::from_str::<Vec<String>>(t).ok());
    match named.filter(|names| names.len() == count) {
        Some(names) => (names, true),
        None => ((0..count).map(|i| format!("class {i}")).collect(), false),
    }
}

impl Classifier {
    /// AlexNet from a run's folder (its best or last `weights`) or a weights file, `.safetensors` or `.pth`.
    pub fn open<'a>(path: &Path, weights: impl Into<Which<'a>>, arch: Option<Arch>) -> Result<Self> {
        let (file, loaded) = read(path, weights.into())?;
        let Some(arch) = arch.or_else(|| Arch::recognise(&loaded.tensors)) else {
            let known =
                "AlexNet's (features.0.weight, ...), for 32x32 or 224x224 images (--arch cifar or imagenet)";
            return Err(unknown(&file, &loaded, known));
        };
        Self::alexnet(&file, &loaded, arch)
    }

    fn alexnet(file: &Path, loaded: &Loaded, arch: Arch) -> Result<Self> {
        let logits = loaded.tensors.get("classifier.6.bias").map(|t| t.numel());
        let Some(count @ 1..=100_000) = logits else {
            let names = loaded.some_names();
            let what = format!("has no classifier.6.bias, AlexNet's last layer: its tensors are {names}");
            return Err(Error::input(what).in_file(file));
        };
        must_tell_apart(count, "classifier.6.weight", file, loaded)?;
        let mut net = AlexNet::new(arch.size(), count, &mut Rng::seed(0));
        loaded.load_exact(&mut net, file).map_err(checkpoint_error)?;
        let (classes, named) = class_names(loaded, count);
        Ok(Classifier { net, arch, classes, named, precision: Precision::F32 })
    }
}

impl Classifier<Network> {
    /// AlexNet, ResNet or MobileNetV2 from a run's folder or a weights file, as [`Classifier::open`] finds
    /// AlexNet. The two others have no layout to choose.
    pub fn open_any<'a>(path: &Path, weights: impl Into<Which<'a>>, arch: Option<Arch>) -> Result<Self> {
        let (file, loaded) = read(path, weights.into())?;
        if let Some(arch) = arch.or_else(|| Arch::recognise(&loaded.tensors)) {
            let Classifier { net, classes, named, precision, .. } =
                Classifier::alexnet(&file, &loaded, arch)?;
            return Ok(Classifier { net: Network::AlexNet(Box::new(net)), arch, classes, named, precision });
        }
        let Some(mut net) = Network::recognise(&loaded.tensors) else {
            let known = "AlexNet's (features.0.weight, ...), ResNet-18's, 34's and 50's (conv1.weight, ...) and \
                         MobileNetV2's (features.0.0.weight, ...)";
            return Err(unknown(&file, &loaded, known));
        };
        loaded.load_exact(&mut net, &file).map_err(checkpoint_error)?;
        let (classes, named) = class_names(&loaded, net.classes());
        Ok(Classifier { net, arch: Arch::Imagenet, classes, named, precision: Precision::F32 })
    }

    /// The probability of each class, of images [n, height, width, 3].
    ///
    /// # Errors
    /// The network's answer is not finite: its first result that is not is named.
    pub fn probabilities(&self, images: &Tensor) -> Result<Tensor> {
        let tape = || Tape::infer().in_precision(self.precision);
        let mut g = tape();
        let logits = self.net.forward(&mut g, images.clone().into());
        if logits.value.is_finite() {
            return Ok(g.softmax(logits, -1).value);
        }
        let mut g = tape().watching();
        self.net.forward(&mut g, images.clone().into());
        let first = culprit::told(g.not_finite());
        Err(Error::failure(format!("the network's answer is not finite{first}")))
    }
}

impl<N> Classifier<N> {
    /// Takes the classes' names from a text file, one a line.
    pub fn name_classes(&mut self, path: &Path) -> Result<()> {
        let text = String::from_utf8_lossy(&files::read(path, 16 << 20)?).into_owned();
        let names: Vec<String> = text
            .trim_start_matches('\u{feff}')
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .map(String::from)
            .collect();
        if names.len() != self.classes.len() {
            let (have, need) = (names.len(), self.classes.len());
            return Err(Error::input(format!(
                "names {}, the network has {need}",
                counted(have, "class", "classes")
            ))
            .in_file(path)
            .remedy("write one class a line, in the order of the network's outputs"));
        }
        (self.classes, self.named) = (names, true);
        Ok(())
    }
}
