//! Cross entropy of logits x with label t, weights w and smoothing ε over C classes, with log p = log softmax
//! x: ℓ = -a log p_t - Σ_c b_c log p_c, where a = (1 - ε) w_t and b_c = ε w_c / C; ∂ℓ/∂x_c = (a + Σ b) p_c -
//! a [c = t] - b_c. Its mean divides by Σ w_t over the rows that are not ignored (PyTorch's definition);
//! where none of them has a weight it is a mean over nothing: NaN, with gradient 0. Forward and this gradient
//! are one pass over the logits. An ignored row has loss and gradient 0 whatever its logits and whatever
//! comes from behind.

use super::reduction::{Reduction, Times};
use crate::ops::elementwise::apply;
use crate::ops::lines::{Lines, lns};
use crate::ops::reduce::sum_all;
use crate::parallel::Shared;
use crate::tape::{Tape, Var};
use crate::{element::Element, profile, shape::Shape, tensor::Tensor};

/// What a loss of classes can be told.
#[derive(Clone, Copy, Debug)]
pub struct ClassLoss<'a, E> {
    /// A factor for each class; 1 if absent.
    pub class_weight: Option<&'a [E]>,
    /// Rows of this label count for nothing.
    pub ignore_index: i64,
    /// ε: this share of the target is spread evenly over all classes. Cross entropy only.
    pub label_smoothing: f64,
    /// How rows become one number.
    pub reduction: Reduction,
}

impl<E> Default for ClassLoss<'_, E> {
    /// PyTorch's defaults: no weights, -100 ignored, no smoothing, the mean.
    fn default() -> Self {
        ClassLoss { class_weight: None, ignore_index: -100, label_smoothing: 0.0, reduction: Reduction::Mean }
    }
}

/// Rows of classes with their validated labels.
struct LabelledRows<E: Element> {
    classes: usize,
    /// A row's label; None where ignored.
    labels: Vec<Option<usize>>,
    weight: Option<Tensor<E>>,
    /// Σ w over the rows that are not ignored; None where no w is but 0.
    total: Option<E>,
    shape: Shape,
}

impl<E: Element> LabelledRows<E> {
    #[track_caller]
    fn new<L: Copy + TryInto<i64>>(op: &str, shape: &Shape, labels: &[L], how: &ClassLoss<'_, E>) -> Self {
        let Some((&classes, leading)) = shape.split_last() else {
            panic!("{op}: logits [.., C] expected, got a scalar")
        };
        let rows: usize = leading.iter().product();
        assert_eq!(labels.len(), rows, "{op}: {} labels for logits of shape {shape:?}", labels.len());
        if let Some(w) = how.class_weight {
            assert_eq!(w.len(), classes, "{op}: {} class weights for logits of shape {shape:?}", w.len());
        }
        let label = |l: L| match l.try_into() {
            Ok(l) if l == how.ignore_index => None,
            Ok(l) if (0..classes as i64).contains(&l) => Some(l as usize),
            Ok(l) => panic!("{op}: label {l} for {classes} classes"),
            Err(_) => panic!("{op}: a label beyond the range of i64"),
        };
        let labels: Vec<Option<usize>> = labels.iter().map(|&l| label(l)).collect();
        let weight = how.class_weight.map(|w| Tensor::from_slice([classes], w));
        let weight_of = |t: usize| weight.as_ref().map_or(1.0, |w: &Tensor<E>| w.data()[t].to_f64());
        let weights = || labels.iter().flatten().map(|&t| weight_of(t));
        let total = weights().any(|w| w != 0.0).then(|| E::from_f64(weights().sum()));
        LabelledRows { classes, labels, weight, total, shape: Shape::new(leading) }
    }

    fn weight(&self, class: usize) -> E {
        self.weight.as_ref().map_or(E::ONE, |w| w.data()[class])
    }

    /// The loss from the rows' losses.
    fn reduce(&self, losses: Tensor<E>, reduction: Reduction) -> Tensor<E> {
        match reduction {
            Reduction::Mean => {
                Tensor::scalar(self.total.map_or(E::from_f64(f64::NAN), |n| sum_all(losses.data()) / n))
            }
            Reduction::Sum => Tensor::scalar(sum_all(losses.data())),
            Reduction::None => losses,
        }
    }

    /// ∂L/∂(each row's loss): a scalar, or one for each row. None where it is 0 for all.
    fn spread(&self, g: Tensor<E>, reduction: Reduction) -> Option<Tensor<E>> {
        match reduction {
            Reduction::Mean => self.total.map(|total| Tensor::scalar(g.item() / total)),
            Reduction::Sum => Some(g.reshape([])),
            Reduction::None => Some(g.reshape([self.labels.len(), 1])),
        }
    }

    /// ∂L/∂x from g = ∂L/∂(the reduced losses) and d, which holds in each row ∂(its loss)/∂x.
    fn backward(&self, g: Tensor<E>, d: Tensor<E>, reduction: Reduction) -> Tensor<E> {
        let (shape, c) = (*d.shape(), self.classes);
        let Some(spread) = self.spread(g, reduction) else { return Tensor::zeros(shape) };
        let mut d = d.reshape([self.labels.len(), c]);
        apply(&mut d, Some(&spread), None, Times);
        let rows = d.data_mut().chunks_mut(c.max(1)).zip(&self.labels);
        rows.filter(|(_, label)| label.is_none()).for_each(|(row, _)| row.fill(E::ZERO));
        d.reshape(shape)
    }
}

/// How much of a row's target is its label's, and how much every class's.
type Smoothing<E> = (E, E);

impl<E: Element> LabelledRows<E> {
    /// The cross entropies of rows `first`, `first + 1`, .. of logits; the rows become their gradients if
    /// `differentiate`, and are left as they come otherwise.
    fn cross_entropy(
        &self,
        x: &mut [E],
        first: usize,
        smoothing: Option<Smoothing<E>>,
        differentiate: bool,
        losses: &mut [E],
    ) {
        let mut lines = Lines::rows(x, self.classes);
        let m = lines.max();
        let (e, s) = lines.exps_less(m);
        let mut ln_s = s;
        lns(&mut ln_s);
        let rows = x.chunks_mut(self.classes).zip(e.chunks(self.classes)).zip(losses);
        for (k, ((x, e), loss)) in rows.enumerate() {
            *loss = match self.labels[first + k] {
                Some(t) => {
                    let (loss, mass) = self.cross_entropy_of(t, x, ln_s[k], smoothing);
                    if differentiate {
                        self.differentiate(t, x, e, mass / s[k], smoothing);
                    }
                    loss
                }
                None => {
                    x.fill(E::ZERO);
                    E::ZERO
                }
            };
        }
    }

    /// The cross entropy of a row x - max x, and a + Σ b.
    fn cross_entropy_of(&self, label: usize, x: &[E], ln_s: E, smoothing: Option<Smoothing<E>>) -> (E, E) {
        let (keep, share) = smoothing.unwrap_or((E::ONE, E::ZERO));
        let a = keep * self.weight(label);
        let (mut loss, mut mass) = (a * (ln_s - x[label]), a);
        if smoothing.is_some() {
            for (c, &x) in x.iter().enumerate() {
                let b = share * self.weight(c);
                loss += b * (ln_s - x);
                mass += b;
            }
        }
        (loss, mass)
    }

    /// Makes a row its gradient, from its exponentials e and (a + Σ b) / Σ e.
    fn differentiate(&self, label: usize, x: &mut [E], e: &[E], scale: E, smoothing: Option<Smoothing<E>>) {
        let (keep, share) = smoothing.unwrap_or((E::ONE, E::ZERO));
        x.iter_mut().zip(e).for_each(|(x, &e)| *x = e * scale);
        if smoothing.is_some() {
            x.iter_mut().enumerate().for_each(|(c, x)| *x -= share * self.weight(c));
        }
        x[label] -= keep * self.weight(label);
    }
}

impl<E: Element> Tape<E> {
    /// The mean softmax cross entropy of logits [.., C] with one label in 0..C for each row; rows of label
    /// -100 are ignored. Panics on any other label: validate labels where they come from outside.
    #[track_caller]
    pub fn cross_entropy<L: Copy + TryInto<i64>>(&mut self, logits: Var<E>, labels: &[L]) -> Var<E> {
        self.cross_entropy_with(logits, labels, &ClassLoss::default())
    }

    /// [`Tape::cross_entropy`] with weights, smoothing, another ignored label or another reduction. The
    /// result is a scalar, or has the shape of the labels for [`Reduction::None`]. The mean over no rows, or
    /// over none with a weight, is NaN, and its gradient 0.
    #[track_caller]
    pub fn cross_entropy_with<L: Copy + TryInto<i64>>(
        &mut self,
        logits: Var<E>,
        labels: &[L],
        how: &ClassLoss<'_, E>,
    ) -> Var<E> {
        let _span = profile::span("cross_entropy", "forward");
        let Var { value: mut x, node } = logits;
        let reduction = how.reduction;
        let rows = LabelledRows::new("cross_entropy", x.shape(), labels, how);
        let (c, epsilon) = (rows.classes, how.label_smoothing);
        assert!((0.0..=1.0).contains(&epsilon), "cross_entropy: label smoothing {epsilon} is not in [0, 1]");
        let smoothing =
            (epsilon > 0.0).then(|| (E::from_f64(1.0 - epsilon), E::from_f64(epsilon / c as f64)));
        let records = self.records(&[node]);
        let mut losses = Tensor::zeros(rows.shape);
        let out = Shared::new(losses.data_mut());
        Lines::blocks(x.data_mut(), c, |first, block| {
            // SAFETY: each row belongs to one block of logits, and so to this call.
            let losses = unsafe { out.slice(first..first + block.len() / c) };
            rows.cross_entropy(block, first, smoothing, records, losses);
        });
        let loss = rows.reduce(losses, reduction);
        self.record("cross_entropy", loss, &[node], move |g, slots| {
            slots.add(node, || rows.backward(g, x, reduction));
        })
    }

    /// -w_t x_t of log-probabilities [.., C] with one label for each row, reduced as `how` says; see
    /// [`Tape::cross_entropy_with`].
    #[track_caller]
    pub fn nll_loss<L: Copy + TryInto<i64>>(
        &mut self,
        log_probabilities: Var<E>,
        labels: &[L],
        how: &ClassLoss<'_, E>,
    ) -> Var<E> {
        let _span = profile::span("nll_loss", "forward");
        let Var { value: x, node } = log_probabilities;
        assert!(how.label_smoothing == 0.0, "nll_loss: label smoothing is for cross_entropy");
        let (shape, reduction) = (*x.shape(), how.reduction);
        let rows = LabelledRows::new("nll_loss", &shape, labels, how);
        let c = rows.classes;
        let loss_of = |i: usize| rows.labels[i].map_or(E::ZERO, |t| -rows.weight(t) * x.data()[i * c + t]);
        let losses = Tensor::from_fn(rows.shape, loss_of);
        let loss = rows.reduce(losses, reduction);
        self.record("nll_loss", loss, &[node], move |g, slots| {
            slots.add(node, || {
                let mut d = Tensor::zeros(shape);
                let Some(spread) = rows.spread(g, reduction) else { return d };
                let shares = spread.data().iter().cycle();
                for ((row, label), &g) in d.data_mut().chunks_mut(c.max(1)).zip(&rows.labels).zip(shares) {
                    label.iter().for_each(|&t| row[t] = -rows.weight(t) * g);
                }
                d
            });
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::reduction::close;
    use super::*;
    use crate::ops::testing::gradients;

    fn t(shape: &[usize], data: &[f64]) -> Tensor<f64> {
        Tensor::from_slice(shape, data)
    }

    #[test]
    fn uniform_logits_cost_ln_c() {
        let (y, [g]) = gradients([Tensor::zeros([2, 4])], |t, [x]| t.cross_entropy(x, &[1u8, 3]));
        close(y.data(), &[4f64.ln()]);
        close(g.data(), &[0.125, -0.375, 0.125, 0.125, 0.125, 0.125, 0.125, -0.375]);
    }

    #[test]
    fn ignored_rows_count_for_nothing() {
        let x = t(&[3, 2], &[0.0, 0.0, 50.0, -3.0, 0.0, 0.0]);
        let how = ClassLoss { ignore_index: 9, ..Default::default() };
        let (y, [g]) = gradients([x.clone()], |t, [x]| t.cross_entropy_with(x, &[0, 9, 1], &how));
        close(y.data(), &[2f64.ln()]);
        close(g.data(), &[-0.25, 0.25, 0.0, 0.0, 0.25, -0.25]);
        assert!(Tape::infer().cross_entropy_with(x.into(), &[9, 9, 9], &how).value.item().is_nan());
    }

    #[test]
    fn weights_and_smoothing_are_pytorchs() {
        // Two classes at equal logits: every log-probability is -ln 2.
        let how = ClassLoss { class_weight: Some(&[1.0, 3.0]), label_smoothing: 0.5, ..Default::default() };
        let (y, [g]) = gradients([Tensor::zeros([1, 2])], |t, [x]| t.cross_entropy_with(x, &[1], &how));
        // (0.5 · 3 + 0.25 (1 + 3)) ln 2 / 3
        close(y.data(), &[2.5 * 2f64.ln() / 3.0]);
        close(g.data(), &[(1.25 - 0.25) / 3.0, (1.25 - 1.5 - 0.75) / 3.0]);
    }

    #[test]
    fn nll_of_log_softmax_is_cross_entropy() {
        let x = Tensor::from_fn([2, 3, 5], |i| (i * 7919 % 31) as f64 / 10.0);
        let labels = [0, 4, 2, -1, 1, 3];
        let w = [0.5, 1.0, 2.0, 0.25, 1.5];
        for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
            let how = ClassLoss { class_weight: Some(&w), ignore_index: -1, reduction, ..Default::default() };
            let (a, [ga]) = gradients([x.clone()], |t, [x]| t.cross_entropy_with(x, &labels, &how));
            let (b, [gb]) = gradients([x.clone()], |t, [x]| {
                let l = t.log_softmax(x, -1);
                t.nll_loss(l, &labels, &how)
            });
            assert_eq!(a.shape(), b.shape());
            close(a.data(), b.data());
            close(ga.data(), gb.data());
        }
    }

    type Loss<'a> = &'a dyn Fn(&mut Tape<f64>, Var<f64>, &[i32], &ClassLoss<'_, f64>) -> Var<f64>;

    /// Values of PyTorch 2.15; its gradient is 0 where rows are ignored and NaN where their weights are 0:
    /// here it is 0.
    #[test]
    fn a_mean_over_nothing_has_gradient_0() {
        let ce: Loss = &|t, x, labels, how| t.cross_entropy_with(x, labels, how);
        let nll: Loss = &|t, x, labels, how| t.nll_loss(x, labels, how);
        let x = t(&[2, 3], &[1.0, 2.0, 3.0, f64::NAN, f64::INFINITY, 1.0]);
        let finite = t(&[2, 3], &[1.0, 2.0, 3.0, 0.0, -1.0, 1.0]);
        let plain = ClassLoss::default();
        let (none, some) = ([0.0; 3], [0.0, 0.0, 1.0]);
        for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
            let case =
                |f: Loss, x: &Tensor<f64>, labels: [i32; 2], weight: Option<&[f64]>, smoothing: f64| {
                    let how =
                        ClassLoss { class_weight: weight, label_smoothing: smoothing, reduction, ..plain };
                    // What memory held before shows.
                    drop(Tensor::<f64>::full([2], 7.0));
                    let (y, [g]) = gradients([x.clone()], |t, [x]| f(t, x, &labels, &how));
                    if reduction == Reduction::Mean {
                        assert!(y.item().is_nan());
                    } else {
                        assert!(y.data().iter().all(|&v| v == 0.0), "{y:?}");
                    }
                    assert!(g.data().iter().all(|&v| v == 0.0), "{reduction:?}: {g:?}");
                };
            for f in [ce, nll] {
                case(f, &x, [-100, -100], None, 0.0);
                case(f, &x, [-100, -100], Some(&[1.0, 2.0, 3.0]), 0.0);
                case(f, &finite, [0, 1], Some(&none), 0.0);
                case(f, &Tensor::zeros([2, 0]), [-100, -100], None, 0.0);
            }
            case(ce, &finite, [0, 1], Some(&none), 0.1);
            if reduction == Reduction::Mean {
                case(ce, &finite, [0, 1], Some(&some), 0.1);
            }
        }
        let (y, [g]) = gradients([Tensor::zeros([0, 3])], |t, [x]| t.cross_entropy(x, &[0i32; 0]));
        assert!(y.item().is_nan() && g.shape()[..] == [0, 3]);
    }

    #[test]
    fn nothing_reaches_an_ignored_row_nor_leaves_it() {
        let x = t(&[3, 2], &[0.0, 0.0, f64::NAN, f64::INFINITY, 0.0, 0.0]);
        let how = ClassLoss { reduction: Reduction::None, ..ClassLoss::default() };
        for nll in [false, true] {
            let mut tape = Tape::eval();
            let x = tape.input(x.clone());
            let labels = [0, -100, 1];
            let y = match nll {
                true => tape.nll_loss(x.clone(), &labels, &how),
                false => tape.cross_entropy_with(x.clone(), &labels, &how),
            };
            assert_eq!(y.value.data()[1], 0.0);
            let seed = t(&[3], &[2.0, f64::NAN, 1.0]);
            let g = tape.backward_from([(y.node, seed)]);
            let p = if nll { 0.0 } else { 0.5 };
            assert_eq!(g.of(&x).unwrap().data(), [2.0 * (p - 1.0), 2.0 * p, 0.0, 0.0, p, p - 1.0]);
        }
    }

    #[test]
    #[should_panic(expected = "cross_entropy: label 4 for 4 classes")]
    fn a_label_out_of_range_panics() {
        Tape::<f32>::infer().cross_entropy(Tensor::zeros([1, 4]).into(), &[4]);
    }
}
