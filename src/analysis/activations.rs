//! What a classifier computes on images: features, logits, errors, and the pictures its first layer makes.

use crate::data::{Labelled, Loader, Normalise, Transform};
use crate::error::{Error, Result};
use crate::image::{Color, Image, caption_grid};
use crate::interrupt;
use crate::metrics::confusion::predictions;
use crate::plot::{Chart, Series, Style};
use crate::progress::Progress;
use gradus_core::ops::conv::{Conv, Fused};
use gradus_core::{Tape, Tensor};
use gradus_models::AlexNet;

/// Images that go through the network at a time.
const BATCH: usize = 256;

/// What a network says of some images, in their order.
pub struct Outputs {
    /// The last feature maps, flattened: [n, 1024] (or [n, 9216]).
    pub features: Tensor,
    /// [n, classes]
    pub logits: Tensor,
    /// The true classes.
    pub labels: Vec<usize>,
}

impl Outputs {
    /// Of the images of a subset.
    ///
    /// # Errors
    /// An image cannot be read, there is none, or Ctrl-C.
    pub fn of(net: &AlexNet, subset: &Labelled, transform: Transform) -> Result<Self> {
        if subset.is_empty() {
            return Err(Error::input("there are no images to look at"));
        }
        let loader = Loader::evaluation(subset.clone(), transform, BATCH);
        let mut progress = Progress::new("features", "images", subset.len() as u64, 0);
        let (mut features, mut logits, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for batch in loader.epoch(0, 0) {
            let batch = batch?;
            let mut g = Tape::infer();
            let x = net.features(&mut g, batch.images.into());
            features.extend_from_slice(x.value.data());
            logits.extend_from_slice(net.classify(&mut g, x).value.data());
            progress.advance(batch.labels.len() as u64, String::new);
            labels.extend(batch.labels);
            interrupt::check("nothing was changed")?;
        }
        let matrix = |v: &[f32]| Tensor::from_slice([labels.len(), v.len() / labels.len()], v);
        Ok(Outputs { features: matrix(&features), logits: matrix(&logits), labels })
    }

    /// The probabilities, [n, classes].
    pub fn probabilities(&self) -> Tensor {
        Tape::infer().softmax(self.logits.clone().into(), -1).value
    }

    /// The images that are taken for another class, those first where the wrong class's probability is
    /// greatest: (image, predicted class).
    pub fn errors(&self) -> Vec<(usize, usize)> {
        let p = self.probabilities();
        let classes = p.shape()[1];
        let guesses = predictions(&self.logits).enumerate();
        let mut wrong: Vec<(usize, usize)> = guesses.filter(|&(i, guess)| guess != self.labels[i]).collect();
        let sure = |&(i, guess): &(usize, usize)| p.data()[i * classes + guess];
        wrong.sort_by(|a, b| sure(b).total_cmp(&sure(a)).then(a.0.cmp(&b.0)));
        wrong
    }
}

/// The n images that the network is surest of and wrong about; below each the true class and its probability,
/// then the one it was taken for.
pub fn confident_errors(outputs: &Outputs, subset: &Labelled, n: usize) -> Result<Image> {
    let p = outputs.probabilities();
    let classes = p.shape()[1];
    let item = |&(i, guess): &(usize, usize)| {
        let line = |class: usize| format!("{:.3} {}", p.data()[i * classes + class], subset.classes()[class]);
        Ok((subset.image(i)?, format!("{}\n{}", line(outputs.labels[i]), line(guess))))
    };
    let items: Vec<(Image, String)> = outputs.errors().iter().take(n).map(item).collect::<Result<_>>()?;
    Ok(caption_grid("", &items, 6, 128))
}

/// Ten colours that are told apart by everybody, for as many classes: those of P. Tol, "Colour schemes" (2021), muted,
/// and black.
const TEN: [[u8; 3]; 10] = [
    [0x33, 0x22, 0x88],
    [0xcc, 0x66, 0x77],
    [0x11, 0x77, 0x33],
    [0x88, 0xcc, 0xee],
    [0xdd, 0xcc, 0x77],
    [0x88, 0x22, 0x55],
    [0x44, 0xaa, 0x99],
    [0x99, 0x99, 0x33],
    [0xaa, 0x44, 0x99],
    [0x26, 0x2a, 0x30],
];

/// Points of the plane, [n, 2] or more columns of which the first two count, coloured by class; a class's name
/// stands amid its points, at the median of each coordinate.
#[track_caller]
pub fn scatter(title: &str, axes: [&str; 2], points: &Tensor, labels: &[usize], classes: &[String]) -> Chart {
    let [n, columns] = points.dims("scatter");
    assert!(n == labels.len() && columns >= 2, "scatter: {n} points, {} labels", labels.len());
    let mut chart = Chart::new(title, axes[0], axes[1]);
    for (class, name) in classes.iter().enumerate() {
        let own = points.data().chunks(columns).zip(labels).filter(|(_, label)| **label == class);
        let own: Vec<_> = own.map(|(row, _)| (f64::from(row[0]), f64::from(row[1]))).collect();
        let median = |of: fn(&(f64, f64)) -> f64| {
            let mut all: Vec<f64> = own.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied()
        };
        if let (Some(x), Some(y)) = (median(|p| p.0), median(|p| p.1)) {
            chart = chart.note((x, y), name);
        }
        let [r, g, b] = TEN[class % TEN.len()];
        chart = chart.with(Series::new(name, own, Style::Dots).color(Color::rgb(r, g, b)));
    }
    chart
}

/// The first layer's filters as coloured pictures, each spread over the full range by itself.
pub fn first_filters(net: &AlexNet) -> Image {
    let weight = &net.convolutions()[0].weight.value;
    let [side, _, _, count] = weight.dims("first_filters");
    let picture = |f: usize| {
        let values: Vec<f32> = weight.data().chunks(count).map(|taps| taps[f]).collect();
        (Image::from_f32(side, side, 3, &spread(&values)), String::new())
    };
    caption_grid("", &(0..count).map(picture).collect::<Vec<_>>(), 16, 44)
}

/// A row an image: the image, and what the first layer's first `filters` filters make of it at every pixel
/// (stride 1, before ReLU), each spread over the full range by itself.
pub fn responses(net: &AlexNet, subset: &Labelled, transform: Transform, filters: usize) -> Result<Image> {
    let weight = &net.convolutions()[0].weight.value;
    let [k, _, _, count] = weight.dims("responses");
    let filters = filters.min(count);
    let some = Tensor::from_fn([k, k, 3, filters], |i| weight.data()[i / filters * count + i % filters]);
    let side = transform.side();
    let mut items = Vec::new();
    for item in subset.named() {
        let (image, name) = item?;
        let mut x = Tensor::stale([1, side, side, 3]);
        transform.evaluate(&image, x.data_mut())?;
        items.push((transform.normalise.picture(side, side, x.data()), name));
        let mut g = Tape::infer();
        let maps =
            g.conv2d(x.into(), &some.clone().into(), None, Conv::new(1, k / 2), Fused::default()).value;
        for f in 0..filters {
            let map: Vec<f32> = maps.data().chunks(filters).map(|pixel| pixel[f]).collect();
            items.push((Image::from_f32(side, side, 1, &spread(&map)), format!("filter {}", f + 1)));
        }
    }
    Ok(caption_grid("", &items, filters + 1, 96))
}

/// Values brought to 0..1, the least to 0 and the greatest to 1.
pub(super) fn spread(values: &[f32]) -> Vec<f32> {
    let (low, high) =
        values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    values.iter().map(|v| (v - low) / (high - low).max(f32::MIN_POSITIVE)).collect()
}

/// Normalised values as they are, each image spread over the full range: how the notebook shows them.
pub(super) fn normalised(image: &Image, normalise: &Normalise) -> Image {
    let values: Vec<f32> =
        image.as_u8().iter().enumerate().map(|(i, &v)| normalise.apply(v, i % 3)).collect();
    Image::from_f32(image.width(), image.height(), 3, &spread(&values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::SyntheticShapes;
    use gradus_core::Rng;

    fn small() -> (AlexNet, Labelled) {
        let splits = SyntheticShapes::with_len(1, 24).split();
        (AlexNet::cifar(10, &mut Rng::seed(1)), splits.train.take(12))
    }

    #[test]
    fn outputs_are_the_networks_in_order() {
        let (net, subset) = small();
        let outputs = Outputs::of(&net, &subset, Transform::CIFAR).unwrap();
        assert_eq!(
            (&outputs.features.shape()[..], &outputs.logits.shape()[..]),
            (&[12, 1024][..], &[12, 10][..])
        );
        let batch = Loader::evaluation(subset.clone(), Transform::CIFAR, 12).batch(0, 0).unwrap();
        let logits = net.forward(&mut Tape::infer(), batch.images.into()).value;
        assert_eq!((outputs.logits.data(), &outputs.labels), (logits.data(), &batch.labels));
    }

    #[test]
    fn errors_are_wrong_and_the_surest_come_first() {
        let logits =
            Tensor::from_slice([4, 3], &[5.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 1.0]);
        let outputs = Outputs { features: logits.clone(), logits, labels: vec![0, 0, 0, 1] };
        // The first image is right; the third is the surest of the wrong ones.
        assert_eq!(outputs.errors(), [(2, 1), (1, 1), (3, 2)]);
    }

    #[test]
    fn pictures_show_every_filter_and_response() {
        let (net, subset) = small();
        assert_eq!(first_filters(&net).width(), 16 * 54 + 10);
        let picture = responses(&net, &subset.take(2), Transform::CIFAR, 7).unwrap();
        assert_eq!(picture.width(), 8 * 106 + 10);
        assert_eq!(spread(&[2.0, 4.0, 3.0]), [0.0, 1.0, 0.5]);
        assert_eq!(spread(&[7.0; 2]), [0.0; 2]);
    }
}
