//! Two-stage detection: Faster R-CNN (Ren et al. 2015) and Mask R-CNN (He et al. 2017), with torchvision's
//! definitions.
//!
//! Images are made ready ([`transform`]) and seen by a backbone ([`backbone`]) at several scales. The first
//! stage ([`rpn`]) proposes boxes; the second ([`roi_heads`]) says for each what it shows, where exactly,
//! and, with masks, on which pixels ([`mask_head`]). [`postprocess`] keeps the best. A detector's checkpoint
//! is told by its [`names`]; [`pretrain`] begins with one, or with a classifier's.
//!
//! ```
//! use gradus_core::{Rng, Tape, Tensor};
//! use gradus_models::detection::{BackboneKind, Config, Detector, Target};
//! let config = Config { min_size: 64, max_size: 96, ..Config::new(BackboneKind::Resnet18Fpn, 2) };
//! let rng = &mut Rng::seed(0);
//! let net = Detector::<f32>::new(config, rng);
//! let image = Tensor::full([48, 64, 3], 0.5);
//! let target = Target { boxes: Tensor::from_slice([1, 4], &[8.0, 4.0, 40.0, 44.0]), labels: vec![1], masks: None };
//! let mut g = Tape::train(rng);
//! let losses = net.losses(&mut g, &[image.clone()], &[target])?;
//! let total = losses.total(&mut g);
//! let gradients = g.backward(&total);
//! let found = net.detect(&[image]);
//! # let _ = gradients;
//! assert!(found[0].boxes.shape()[0] <= 100);
//! # Ok::<(), gradus_models::detection::TargetError>(())
//! ```

pub mod anchors;
pub mod backbone;
pub mod boxes;
pub mod coder;
mod config;
pub mod mask_head;
pub mod matcher;
pub mod names;
pub mod nms;
pub mod patches;
pub mod pooler;
pub mod postprocess;
mod pretrained;
pub mod roi_heads;
pub mod rpn;
pub mod rpn_loss;
pub mod sampler;
mod target;
pub mod transform;

pub use backbone::{Backbone, BackboneKind};
pub use config::Config;
pub use postprocess::{Pasted, paste_mask};
pub use pretrained::{NORM_EPS, Pretrained, Source, load_pretrained, norm_eps, pretrain, pretrain_key};
pub use target::{Detections, Losses, Masks, Target, TargetError};

use crate::conv_norm::Norm;
use anchors::Anchors;
use gradus_core::gemm::Precision;
use gradus_core::{Element, Module, NotFinite, Rng, Tape, Tensor, Var, Visitor};
use roi_heads::{RoiHeads, Selected};
use rpn::Rpn;
use std::sync::Arc;
use transform::{Batch, Transform, resize_boxes, size_of};

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
        let roi_heads = RoiHeads::new(&config, channels, rng);
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

    /// The levels that regions are read from.
    pub fn roi_levels<'a>(&self, levels: &'a [Var<E>]) -> &'a [Var<E>] {
        &levels[..self.backbone.roi_levels()]
    }

    /// The anchors of a batch with these levels.
    pub fn anchors(&self, batch: &Batch<E>, levels: &[Var<E>]) -> Arc<Anchors<E>> {
        let grids: Vec<[usize; 2]> = levels.iter().map(|l| [l.shape()[1], l.shape()[2]]).collect();
        self.rpn.anchors.generate(batch.padded(), &grids)
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
        assert_eq!(images.len(), targets.len(), "losses: images and targets");
        for (i, (image, target)) in images.iter().zip(targets).enumerate() {
            target.check(i, size_of(image), self.config.num_classes, self.config.masks)?;
        }
        let transform = self.transform();
        let batch = transform.batch(images);
        let scaled = images.iter().zip(targets).map(|(i, t)| transform.target(t, size_of(i)));
        let targets: Vec<Target<E>> = scaled.collect();
        let rng = g.rng().stream("samples");

        let levels = self.backbone.forward(g, batch.images.clone().into());
        let anchors = self.anchors(&batch, &levels);
        let objects: Vec<Tensor<E>> = targets.iter().map(|t| t.boxes.clone()).collect();
        let chosen = self.rpn.choose(&anchors, &objects, &rng.stream("rpn"));
        let predictions = self.rpn.predict(g, &levels, &chosen);
        let proposals = self.rpn.proposals(&predictions, &anchors, &batch.sizes, true);
        let [objectness, rpn_box_reg] = self.rpn.losses(g, &levels, &predictions, &chosen);
        drop(predictions);

        let rng = rng.stream("roi_heads");
        let select =
            |i: usize| self.roi_heads.select(&proposals[i].boxes, &targets[i], &mut rng.at(i as u64));
        let selected: Vec<Selected<E>> = (0..targets.len()).map(select).collect();
        let regions: Vec<Tensor<E>> = selected.iter().map(|s| s.boxes.clone()).collect();
        let maps = self.roi_levels(&levels);
        let pooled = pooler::pool(g, maps, &batch.sizes, &regions, roi_heads::POOLED);
        let features = self.roi_heads.features(g, pooled);
        let predicted = self.roi_heads.predict(g, features);
        let [classifier, box_reg] = self.roi_heads.losses(g, predicted, &selected);
        let mask = self.roi_heads.mask_loss(g, maps, &batch.sizes, &selected, &targets);
        Ok(Losses { objectness, rpn_box_reg, classifier, box_reg, mask })
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
        let anchors = self.anchors(&batch, &levels);
        let predictions: Vec<_> = levels.iter().map(|l| self.rpn.head.forward(g, l.clone())).collect();
        let proposals = self.rpn.proposals(&predictions, &anchors, &batch.sizes, false);
        let mut finite =
            predictions.iter().all(|p| p.objectness.value.is_finite() && p.deltas.value.is_finite());
        drop(predictions);
        let regions: Vec<Tensor<E>> = proposals.into_iter().map(|p| p.boxes).collect();
        let maps = self.roi_levels(&levels);
        let (mut found, second) = self.second_stage(g, maps, &batch.sizes, &regions);
        finite &= second;
        if let Some(head) = &self.roi_heads.mask {
            let regions: Vec<Tensor<E>> = found.iter().map(|d| d.boxes.clone()).collect();
            let pooled = pooler::pool(g, maps, &batch.sizes, &regions, mask_head::POOLED);
            let logits = head.forward(g, pooled);
            finite &= logits.value.is_finite();
            let mut first = 0;
            for d in &mut found {
                let (start, end) = (first as isize, (first + d.labels.len()) as isize);
                let own = g.slice(logits.clone(), 0, start, end, 1).value;
                d.masks = Some(mask_head::probabilities(own, &d.labels));
                first += d.labels.len();
            }
        }
        for ((d, image), &size) in found.iter_mut().zip(images).zip(&batch.sizes) {
            d.boxes = resize_boxes(&d.boxes, size, size_of(image));
        }
        (found, finite)
    }

    /// Boxes, classes and scores of each image's proposals, in the pixels of the batch; and whether they are
    /// finite.
    fn second_stage(
        &self,
        g: &mut Tape<E>,
        maps: &[Var<E>],
        sizes: &[[usize; 2]],
        proposals: &[Tensor<E>],
    ) -> (Vec<Detections<E>>, bool) {
        let pooled = pooler::pool(g, maps, sizes, proposals, roi_heads::POOLED);
        let features = self.roi_heads.features(g, pooled);
        let [logits, codes] = self.roi_heads.predict(g, features);
        let finite = logits.value.is_finite() && codes.value.is_finite();
        let mut first = 0;
        let image = |(proposals, &size): (&Tensor<E>, &[usize; 2])| {
            let (start, end) = (first as isize, (first + proposals.shape()[0]) as isize);
            let of = |g: &mut Tape<E>, v: &Var<E>| g.slice(v.clone(), 0, start, end, 1).value;
            first += proposals.shape()[0];
            postprocess::detections(&self.config, proposals, of(g, &logits), &of(g, &codes), size)
        };
        (proposals.iter().zip(sizes).map(image).collect(), finite)
    }
}

impl<E: Element> Module<E> for Detector<E> {
    fn visit(&mut self, v: &mut Visitor<'_, E>) {
        v.child("backbone", &mut self.backbone);
        v.child("rpn", &mut self.rpn);
        v.child("roi_heads", &mut self.roi_heads);
    }
}

/// Some rows of a tensor [n, c].
fn rows<E: Element>(t: &Tensor<E>, which: &[usize]) -> Tensor<E> {
    let [_, c] = t.dims("rows");
    let mut out = Tensor::stale([which.len(), c]);
    for (to, &i) in out.data_mut().chunks_exact_mut(c.max(1)).zip(which) {
        to.copy_from_slice(&t.data()[i * c..][..c]);
    }
    out
}
