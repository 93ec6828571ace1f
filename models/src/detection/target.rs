//! What goes into a detector besides images, and what comes out of it.

use super::boxes;
use gradus_core::{Element, Tape, Tensor, Var};
use std::fmt;

/// The objects of an image.
#[derive(Clone, Debug)]
pub struct Target<E: Element = f32> {
    /// [n, 4]: x1, y1, x2, y2 in the image's pixels, x1 < x2 and y1 < y2.
    pub boxes: Tensor<E>,
    /// Each in 1 .. the number of classes; 0 is the background.
    pub labels: Vec<usize>,
    /// As large as the image; needed where masks are trained.
    pub masks: Option<Masks>,
}

/// Bitmaps of equal size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masks {
    /// How many.
    pub n: usize,
    /// In pixels.
    pub height: usize,
    /// In pixels.
    pub width: usize,
    /// [n, height, width]: 1 where the object is, else 0.
    pub bits: Vec<u8>,
}

impl Masks {
    /// The bitmap of object i, row-major.
    pub fn of(&self, i: usize) -> &[u8] {
        let each = self.height * self.width;
        &self.bits[i * each..][..each]
    }
}

/// Why images and targets are refused.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetError {
    /// The image's place in the batch.
    pub image: usize,
    /// The object's place in the image, if one is at fault.
    pub object: Option<usize>,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "image {} of the batch", self.image)?;
        self.object.map_or(Ok(()), |o| write!(f, ", object {o}"))?;
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for TargetError {}

impl<E: Element> Target<E> {
    /// An image without objects.
    pub fn empty(masks: Option<[usize; 2]>) -> Self {
        let masks = masks.map(|[height, width]| Masks { n: 0, height, width, bits: Vec::new() });
        Target { boxes: Tensor::zeros([0, 4]), labels: Vec::new(), masks }
    }

    /// Checks the target of image number `image`, of that size, for a detector of so many classes, with masks
    /// or without.
    ///
    /// # Errors
    /// Boxes, labels and masks are not of one number; a box is not finite, or has no width or no height; a
    /// label is no class; masks are missing or not of the image's size.
    pub fn check(
        &self,
        image: usize,
        [height, width]: [usize; 2],
        num_classes: usize,
        masks: bool,
    ) -> Result<(), TargetError> {
        let fault = |object: Option<usize>, problem: String| Err(TargetError { image, object, problem });
        let n = self.labels.len();
        if self.boxes.shape()[..] != [n, 4] {
            return fault(None, format!("boxes of shape {:?} for {n} labels", self.boxes.shape()));
        }
        for (i, b) in boxes::boxes(&self.boxes).iter().enumerate() {
            if let Err(problem) = boxes::check(b) {
                return fault(Some(i), problem);
            }
            if b[2] <= b[0] || b[3] <= b[1] {
                return fault(Some(i), format!("box {b:?} has no width or no height"));
            }
            let label = self.labels[i];
            if !(1..num_classes).contains(&label) {
                return fault(Some(i), format!("label {label} is not in 1 .. {}", num_classes - 1));
            }
        }
        if !masks {
            return Ok(());
        }
        let Some(m) = &self.masks else { return fault(None, "its objects have no masks".into()) };
        if m.n != n || [m.height, m.width] != [height, width] || m.bits.len() != n * height * width {
            let found = format!("{} masks of {} x {} pixels", m.n, m.width, m.height);
            return fault(None, format!("{found}, but {n} objects in an image of {width} x {height}"));
        }
        Ok(())
    }
}

/// What training minimises: scalars.
#[derive(Clone, Debug)]
pub struct Losses<E: Element = f32> {
    /// Of the proposals' objectness: binary cross-entropy.
    pub objectness: Var<E>,
    /// Of the proposals' boxes: smooth L1.
    pub rpn_box_reg: Var<E>,
    /// Of the classes: cross-entropy.
    pub classifier: Var<E>,
    /// Of the boxes: smooth L1.
    pub box_reg: Var<E>,
    /// Of the masks' pixels: binary cross-entropy.
    pub mask: Option<Var<E>>,
}

impl<E: Element> Losses<E> {
    /// Those of the first stage, and of the second with its masks.
    pub(super) fn new(
        [objectness, rpn_box_reg]: [Var<E>; 2],
        ([classifier, box_reg], mask): ([Var<E>; 2], Option<Var<E>>),
    ) -> Self {
        Losses { objectness, rpn_box_reg, classifier, box_reg, mask }
    }

    fn parts(&self) -> impl Iterator<Item = (&'static str, &Var<E>)> {
        [
            ("loss_objectness", Some(&self.objectness)),
            ("loss_rpn_box_reg", Some(&self.rpn_box_reg)),
            ("loss_classifier", Some(&self.classifier)),
            ("loss_box_reg", Some(&self.box_reg)),
            ("loss_mask", self.mask.as_ref()),
        ]
        .into_iter()
        .filter_map(|(name, v)| Some((name, v?)))
    }

    /// Their sum.
    pub fn total(&self, g: &mut Tape<E>) -> Var<E> {
        let mut parts = self.parts().map(|(_, v)| v.clone());
        let first = parts.next().unwrap_or_else(|| Tensor::scalar(E::ZERO).into());
        parts.fold(first, |sum, v| g.add(sum, v))
    }

    /// Each by torchvision's name.
    pub fn values(&self) -> Vec<(&'static str, f64)> {
        self.parts().map(|(name, v)| (name, v.value.item().to_f64())).collect()
    }
}

/// What is found in an image, the surest first.
#[derive(Clone, Debug)]
pub struct Detections<E: Element = f32> {
    /// [n, 4]: x1, y1, x2, y2 in the image's own pixels.
    pub boxes: Tensor<E>,
    /// Each in 1 .. the number of classes.
    pub labels: Vec<usize>,
    /// Probabilities.
    pub scores: Vec<E>,
    /// [n, 28, 28]: the probability that the object covers each cell of its box; see
    /// [`paste_mask`](super::paste_mask).
    pub masks: Option<Tensor<E>>,
}
