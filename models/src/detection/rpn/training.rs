//! What the region proposal network is trained on, and its losses.
//!
//! Of an image's quarter of a million anchors a few hundred are trained on. Where a level's are few, nothing
//! of the head's pass over the whole level is recorded: the head is evaluated once more at their cells alone,
//! as linear layers over patches ([`patches`](crate::detection::patches)), and the gradient goes through
//! those.

use super::head::{Predictions, RpnHead};
use crate::detection::anchors::Anchors;
use crate::detection::boxes;
use crate::detection::choice::Choice;
use crate::detection::coder::BoxCoder;
use crate::detection::matcher::Match;
use crate::detection::target::Target;
use gradus_core::ops::{BceWeights, Reduction};
use gradus_core::{Element, Rng, Tape, Tensor, Var, profile};

/// A level's anchors that are trained on: places in [n, h, w, A].
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Chosen<E> {
    rows: Vec<usize>,
    /// 1 for an object, 0 for background.
    labels: Vec<E>,
    positive: Vec<usize>,
    /// Of the positives, four each.
    codes: Vec<E>,
}

impl<E> Chosen<E> {
    /// The cells in [n, h, w] of anchors, A a cell, in ascending order.
    fn cells(&self, per_location: usize) -> Vec<usize> {
        let mut cells: Vec<usize> = self.rows.iter().map(|row| row / per_location).collect();
        cells.sort_unstable();
        cells.dedup();
        cells
    }

    /// The cells, if their patches are smaller than the level of so many cells.
    fn few(&self, per_location: usize, all: usize) -> Option<Vec<usize>> {
        Some(self.cells(per_location)).filter(|cells| 9 * cells.len() < all)
    }
}

/// n h w
fn cells_of<E: Element>(level: &Var<E>) -> usize {
    level.shape()[..3].iter().product()
}

/// The anchors to train on, for each level, where targets are in the pixels of the batch.
pub(super) fn choose<E: Element>(
    choice: &Choice,
    anchors: &Anchors<E>,
    targets: &[Target<E>],
    rng: &Rng,
) -> Vec<Chosen<E>> {
    let _span = profile::span("choose anchors", "");
    let mut chosen = vec![Chosen::default(); anchors.per_level.len()];
    for (image, target) in targets.iter().enumerate() {
        let objects = boxes::boxes(&target.boxes);
        let (matches, samples) = choice.choose(objects, &anchors.boxes, &mut rng.at(image as u64));
        let labelled = [(&samples.positive, E::ONE), (&samples.negative, E::ZERO)];
        for (&place, label) in labelled.into_iter().flat_map(|(places, l)| places.iter().map(move |p| (p, l)))
        {
            let (level, at) = anchors.level_of(place);
            let row = image * anchors.per_level[level] + at;
            chosen[level].rows.push(row);
            chosen[level].labels.push(label);
            if let Match::Object(o) = matches[place] {
                chosen[level].positive.push(row);
                chosen[level].codes.extend(BoxCoder::ANCHORS.encode(&objects[o], &anchors.boxes[place]));
            }
        }
    }
    chosen
}

impl<E: Element> RpnHead<E> {
    /// The predictions of all levels, recorded only where many anchors of a level are trained on.
    #[track_caller]
    pub(super) fn predict(
        &self,
        g: &mut Tape<E>,
        levels: &[Var<E>],
        chosen: &[Chosen<E>],
    ) -> Vec<Predictions<E>> {
        let predict = |(level, c): (&Var<E>, &Chosen<E>)| {
            if c.few(self.per_location(), cells_of(level)).is_some() {
                self.forward(&mut Tape::infer(), level.detach())
            } else {
                self.forward(g, level.clone())
            }
        };
        levels.iter().zip(chosen).map(predict).collect()
    }

    /// The two losses, of objectness and of boxes. `predictions` are [`RpnHead::predict`]'s of these levels
    /// and anchors.
    #[track_caller]
    pub(super) fn losses(
        &self,
        g: &mut Tape<E>,
        levels: &[Var<E>],
        predictions: &[Predictions<E>],
        chosen: &[Chosen<E>],
    ) -> [Var<E>; 2] {
        let per_location = self.per_location();
        let (mut logits, mut codes) = (Vec::new(), Vec::new());
        for ((level, p), c) in levels.iter().zip(predictions).zip(chosen) {
            let few = c.few(per_location, cells_of(level));
            let place = |&row: &usize| match &few {
                Some(cells) => {
                    cells.partition_point(|&k| k < row / per_location) * per_location + row % per_location
                }
                None => row,
            };
            let [rows, positive] =
                [&c.rows, &c.positive].map(|list| list.iter().map(place).collect::<Vec<_>>());
            let p = match &few {
                Some(cells) => self.at(g, level.clone(), cells),
                None => p.clone(),
            };
            let all = g.reshape(p.objectness, &[-1]);
            logits.push(g.index_select(all, 0, &rows));
            let all = g.reshape(p.deltas, &[-1, 4]);
            codes.push(g.index_select(all, 0, &positive));
        }
        let (logits, codes) = (g.concat(logits, 0), g.concat(codes, 0));
        let labels: Vec<E> = chosen.iter().flat_map(|c| c.labels.iter().copied()).collect();
        let want: Vec<E> = chosen.iter().flat_map(|c| c.codes.iter().copied()).collect();
        let (labels, want) =
            (Tensor::from_slice([labels.len()], &labels), Tensor::from_slice(*codes.shape(), &want));
        let n: Var<E> = Tensor::scalar(E::from_usize(labels.len().max(1))).into();
        let objectness = g.bce_with_logits(logits, labels, BceWeights::default(), Reduction::Sum);
        let boxes = g.smooth_l1(codes, want, BoxCoder::BETA, Reduction::Sum);
        [objectness, boxes].map(|sum| g.div(sum, n.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detection::anchors::AnchorGenerator;
    use crate::detection::matcher::Matcher;
    use crate::detection::sampler::Sampler;
    use gradus_core::{Module, init};

    #[test]
    fn few_cells_give_the_losses_and_gradients_of_whole_levels() {
        let rng = &mut Rng::seed(8);
        let choice = Choice {
            matcher: Matcher { high: 0.7, low: 0.3, allow_low_quality: true },
            sampler: Sampler { batch_size: 8, positive_fraction: 0.5 },
        };
        let mut head = RpnHead::<f64>::new(4, 3, rng);
        head.for_each_param(|_, p| p.value = init::normal(*p.value.shape(), 0.0, 0.3, rng));
        let maps: Vec<Tensor<f64>> =
            [[2, 16, 20, 4], [2, 8, 10, 4]].map(|s| init::normal(s, 0.0, 1.0, rng)).into();
        let generator = AnchorGenerator::new(&[vec![16], vec![32]], &[0.5, 1.0, 2.0]);
        let anchors = generator.generate([64, 80], &[[16, 20], [8, 10]]);
        let object =
            |b: [f64; 4]| Target { boxes: Tensor::from_slice([1, 4], &b), labels: vec![1], masks: None };
        let objects = [object([10.0, 8.0, 40.0, 42.0]), object([30.0, 20.0, 47.0, 35.0])];
        let chosen = choose(&choice, &anchors, &objects, &Rng::seed(1));
        assert!(chosen[0].few(3, 640).is_some() && chosen.iter().map(|c| c.rows.len()).sum::<usize>() == 16);
        assert!(chosen.iter().any(|c| !c.positive.is_empty()));

        let mut run = |sparse: bool| {
            let mut g = Tape::eval();
            let levels: Vec<Var<f64>> = maps.iter().map(|m| g.input(m.clone())).collect();
            let [a, b] = if sparse {
                let p = head.predict(&mut g, &levels, &chosen);
                assert!(p[0].objectness.node.is_none());
                head.losses(&mut g, &levels, &p, &chosen)
            } else {
                // Levels of no more cells than are chosen: the whole is recorded.
                let p: Vec<_> = levels.iter().map(|l| head.forward(&mut g, l.clone())).collect();
                let rows = |c: &Chosen<f64>, v: &Var<f64>, width: isize, g: &mut Tape<f64>| {
                    let all = g.reshape(v.clone(), &[-1, width]);
                    g.index_select(all, 0, if width == 1 { &c.rows } else { &c.positive })
                };
                let logits = p.iter().zip(&chosen).map(|(p, c)| rows(c, &p.objectness, 1, &mut g)).collect();
                let codes = p.iter().zip(&chosen).map(|(p, c)| rows(c, &p.deltas, 4, &mut g)).collect();
                let (logits, codes) = (g.concat(logits, 0), g.concat(codes, 0));
                let labels: Vec<f64> = chosen.iter().flat_map(|c| c.labels.clone()).collect();
                let want: Vec<f64> = chosen.iter().flat_map(|c| c.codes.clone()).collect();
                let labels = Tensor::from_slice(*logits.shape(), &labels);
                let want = Tensor::from_slice(*codes.shape(), &want);
                let a = g.bce_with_logits(logits, labels, BceWeights::default(), Reduction::Mean);
                let b = g.smooth_l1(codes, want, BoxCoder::BETA, Reduction::Sum);
                let n: Var<f64> = Tensor::scalar(16.0).into();
                [a, g.div(b, n)]
            };
            let total = g.add(a, b);
            let loss = total.value.item();
            let gradients = g.backward(&total);
            let mut found: Vec<Tensor<f64>> =
                levels.iter().map(|l| gradients.of(l).unwrap().clone()).collect();
            head.for_each_param(|_, p| found.push(gradients.param(p).unwrap().clone()));
            (loss, found)
        };
        let ((few, few_gradients), (all, all_gradients)) = (run(true), run(false));
        assert!((few - all).abs() < 1e-12 && few > 0.0, "{few} {all}");
        for (a, b) in few_gradients.iter().zip(&all_gradients) {
            assert!(a.data().iter().zip(b.data()).all(|(a, b)| (a - b).abs() < 1e-12));
        }
    }
}
