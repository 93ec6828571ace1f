//! The classifiers of this crate as one type, and which of them a checkpoint is of.

use crate::alexnet::{AlexNet, Size};
use crate::checkpoint::StateDict;
use crate::mobilenet::MobileNetV2;
use crate::resnet::{Depth, ResNet};
use gradus_core::{Element, Module, Rng, Tape, Var, Visitor};

/// A network that names an image's class.
#[derive(Debug)]
pub enum Network<E: Element = f32> {
    /// Of either size.
    AlexNet(Box<AlexNet<E>>),
    /// Of any depth.
    ResNet(Box<ResNet<E>>),
    /// The one width.
    MobileNetV2(Box<MobileNetV2<E>>),
}

/// The most classes that a network is made for on a file's word.
const MOST_CLASSES: usize = 100_000;

impl<E: Element> Network<E> {
    /// The network whose tensors these are, told by their names, with random weights; `None` where it is not
    /// known here or has no class.
    pub fn recognise(state: &StateDict) -> Option<Self> {
        let has = |name: &str| state.contains_key(name);
        let classes =
            |bias: &str| state.get(bias).map(|t| t.numel()).filter(|n| (1..=MOST_CLASSES).contains(n));
        let rng = &mut Rng::seed(0);
        if let Some(first) = state.get("features.0.weight") {
            let size = Size::recognise(first.shape())?;
            return Some(Network::AlexNet(Box::new(AlexNet::new(size, classes("classifier.6.bias")?, rng))));
        }
        if has("features.18.0.weight") {
            return Some(Network::MobileNetV2(Box::new(MobileNetV2::new(
                classes("classifier.1.bias")?,
                rng,
            ))));
        }
        let depth = Depth::recognise(has)?;
        Some(Network::ResNet(Box::new(ResNet::new(depth, classes("fc.bias")?, rng))))
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        match self {
            Network::AlexNet(net) => net.classes(),
            Network::ResNet(net) => net.classes(),
            Network::MobileNetV2(net) => net.classes(),
        }
    }

    /// Images [n, h, w, 3], normalised, to logits [n, classes].
    #[track_caller]
    pub fn forward(&self, g: &mut Tape<E>, x: Var<E>) -> Var<E> {
        match self {
            Network::AlexNet(net) => net.forward(g, x),
            Network::ResNet(net) => net.forward(g, x),
            Network::MobileNetV2(net) => net.forward(g, x),
        }
    }

    /// Images [n, h, w, 3], normalised, to what the last convolution gives, [n, p, q, channels].
    #[track_caller]
    pub fn maps(&self, g: &mut Tape<E>, x: Var<E>) -> Var<E> {
        match self {
            Network::AlexNet(net) => net.maps(g, x),
            Network::ResNet(net) => net.maps(g, x),
            Network::MobileNetV2(net) => net.maps(g, x),
        }
    }

    /// Maps, as [`Network::maps`] gives them, to logits [n, classes].
    #[track_caller]
    pub fn head(&self, g: &mut Tape<E>, maps: Var<E>) -> Var<E> {
        match self {
            Network::AlexNet(net) => net.head(g, maps),
            Network::ResNet(net) => net.head(g, maps),
            Network::MobileNetV2(net) => net.head(g, maps),
        }
    }
}

impl<E: Element> Module<E> for Network<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        match self {
            Network::AlexNet(net) => net.visit(v),
            Network::ResNet(net) => net.visit(v),
            Network::MobileNetV2(net) => net.visit(v),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{load_exact, state_dict};

    #[test]
    fn a_networks_own_tensors_tell_which_it_is() {
        let rng = &mut Rng::seed(1);
        let same = |state: StateDict| {
            let mut found = Network::<f32>::recognise(&state).expect("a network that is known");
            load_exact(&mut found, &state, "x.pth").unwrap();
            assert_eq!(found.classes(), 7);
        };
        same(state_dict(&mut AlexNet::<f32>::cifar(7, rng)));
        same(state_dict(&mut MobileNetV2::<f32>::new(7, rng)));
        for depth in [Depth::R18, Depth::R34, Depth::R50] {
            same(state_dict(&mut ResNet::<f32>::new(depth, 7, rng)));
        }
        // ResNet-101 has 23 blocks where ResNet-50 has 6.
        let mut deeper = state_dict(&mut ResNet::<f32>::new(Depth::R50, 7, rng));
        deeper.insert("layer3.6.conv2.weight".into(), deeper["layer3.5.conv2.weight"].clone());
        assert!(Network::<f32>::recognise(&deeper).is_none());
        let mut trunk = state_dict(&mut ResNet::<f32>::new(Depth::R18, 7, rng));
        trunk.shift_remove("fc.bias");
        assert!(Network::<f32>::recognise(&trunk).is_none());
    }
}
