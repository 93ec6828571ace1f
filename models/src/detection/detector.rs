//! The detector in five steps: images are made ready ([`transform`](super::transform)) and seen by a
//! [`Backbone`] at several scales, the first stage ([`rpn`](super::rpn)) proposes boxes, the
//! second ([`roi_heads`](super::roi_heads)) says what they show, and [`postprocess`] puts what is found onto
//! the images. In training both stages give losses instead.

use super::backbone::Backbone;
use super::config::Config;
use super::postprocess;
use super::roi_heads::RoiHeads;
use super::rpn::Rpn;
use super::target::{Detections, Losses, Target, TargetError};
use super::transform::{Transform, size_of};
use crate::conv_norm::Norm;
use gradus_core::gemm::Precision;
use gradus_core::{Element, Module, NotFinite, Rng, Tape, Tensor, Visitor};

/// Faster R-CNN, or Mask R-CNN where [`Config::masks`] says so. Parameters have torchvision's names.
#[derive(Debug)]
pub struct Detector<E: Element = f32> {
    config: Config,
    /// What sees images.
    pub backbone: Backbone<E>,
    /// The first stage.
    pub rpn: Rpn<E>,
    /// The second stage.
    pub roi_heads: RoiHeads<E>,
    /// What products and convolutions read in detection; in training it is the tape's.
    pub precision: Precision,
}

impl<E: Element> Detector<E> {
    /// With random weights.
    #[track_caller]
    pub fn new(config: Config, rng: &mut Rng) -> Self {
        let norm = if config.freeze_bn { Norm::Frozen } else { Norm::Trained };
        let backbone = Backbone::new(config.backbone, config.trainable_layers, norm, rng);
        let channels = backbone.out_channels();
        let rpn = Rpn::new(&config, channels, rng);
        let roi_heads = RoiHeads::new(&config, backbone.roi_levels(), channels, rng);
        Detector { config, backbone, rpn, roi_heads, precision: Precision::F32 }
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What becomes of images before the backbone sees them.
    pub fn transform(&self) -> Transform {
        Transform::new(&self.config)
    }

    /// The losses of images [h, w, 3] in 0..1 with their targets, on a tape of [`Tape::train`], whose random
    /// stream chooses what is trained on. A mean over nothing is 0. Panics when images and targets are not of
    /// one number, or an image is of another shape.
    ///
    /// # Errors
    /// [`Target::check`]'s, of the first bad target.
    #[track_caller]
    pub fn losses(
        &self,
        g: &mut Tape<E>,
        images: &[Tensor<E>],
        targets: &[Target<E>],
    ) -> Result<Losses<E>, TargetError> {
        self.check(images, targets)?;
        let rng = g.rng().stream("samples");
        let (batch, targets) = self.transform().training(images, targets);
        let levels = self.backbone.forward(g, batch.images.clone().into());
        let (proposals, first) = self.rpn.losses(g, &batch, &levels, &targets, &rng.stream("rpn"));
        let rng = rng.stream("roi_heads");
        let second = self.roi_heads.losses(g, &batch, &levels, &proposals, &targets, &rng);
        Ok(Losses::new(first, second))
    }

    #[track_caller]
    fn check(&self, images: &[Tensor<E>], targets: &[Target<E>]) -> Result<(), TargetError> {
        assert_eq!(images.len(), targets.len(), "losses: images and targets");
        let &Config { num_classes, masks, .. } = &self.config;
        let mut pairs = images.iter().zip(targets).enumerate();
        pairs.try_for_each(|(i, (image, t))| t.check(i, size_of(image), num_classes, masks))
    }

    /// What is found in images [h, w, 3] in 0..1. Panics when an image is of another shape. Where the network
    /// predicts NaN, nothing is found: [`Detector::detect_finite`] says so.
    #[track_caller]
    pub fn detect(&self, images: &[Tensor<E>]) -> Vec<Detections<E>> {
        self.detect_on(&mut self.tape(), images).0
    }

    /// [`Detector::detect`], where all predictions are finite.
    ///
    /// # Errors
    /// The first of the images, or else of the ops' results, that holds NaN or infinity.
    #[track_caller]
    pub fn detect_finite(&self, images: &[Tensor<E>]) -> Result<Vec<Detections<E>>, NotFinite> {
        let (found, finite) = self.detect_on(&mut self.tape(), images);
        if finite {
            return Ok(found);
        }
        if let Some(i) = images.iter().position(|image| !image.is_finite()) {
            return Err(NotFinite::new(format!("image {i} of the batch")));
        }
        let mut g = self.tape().watching();
        self.detect_on(&mut g, images);
        Err(g.not_finite().unwrap_or_else(|| NotFinite::new("what the network predicts")))
    }

    fn tape(&self) -> Tape<E> {
        Tape::infer().in_precision(self.precision)
    }

    /// What is found, and whether all that was predicted on the way is finite.
    fn detect_on(&self, g: &mut Tape<E>, images: &[Tensor<E>]) -> (Vec<Detections<E>>, bool) {
        if images.is_empty() {
            return (Vec::new(), true);
        }
        let batch = self.transform().batch(images);
        let levels = self.backbone.forward(g, batch.images.clone().into());
        let (proposals, first) = self.rpn.propose(g, &batch, &levels);
        let (found, second) = self.roi_heads.detect(g, &batch, &levels, &proposals);
        (postprocess::onto_images(found, &batch.sizes, images), first && second)
    }
}

impl<E: Element> Module<E> for Detector<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        v.child("backbone", &mut self.backbone);
        v.child("rpn", &mut self.rpn);
        v.child("roi_heads", &mut self.roi_heads);
    }
}
