//! What follows a product P [.., c]: y = act(scale · (P + bias) + shift + residual), forward and backward.
//!
//! A kernel that makes P applies the tail while P is still in registers ([`Epilogue`]); where P is made
//! otherwise, [`Tail::apply`] does so in one sweep over memory. Backward, dz = dy where the activation
//! passes, which is seen from y. The residual's gradient is dz, dP = scale · dz, and the bias' gradient is
//! Σ_rows dP. That is one sweep over dy, in its own place if its buffer has no other owner. The sums are cut
//! into pieces by the shape alone.

use crate::buffer::{Buffer, add_to};
use crate::epilogue::is_between;
use crate::epilogue::{Activation, Epilogue};
use crate::simd::{Kernel, Simd};
use crate::tape::{NodeId, Slots, Var};
use crate::{element::Element, parallel, tensor::Tensor};

/// A fixed affine map of each channel: frozen batch norm. No gradient flows to it.
#[derive(Clone, Debug)]
pub struct Affine<E: Element = f32> {
    /// `[c]`
    pub scale: Tensor<E>,
    /// `[c]`
    pub shift: Tensor<E>,
}

/// What is done to the product while it is still in registers: y = act(scale · (x ∗ w + bias) + shift +
/// residual).
#[derive(Clone, Debug)]
pub struct Fused<E: Element = f32> {
    /// The identity if absent.
    pub affine: Option<Affine<E>>,
    /// Of the result's shape; 0 if absent.
    pub residual: Option<Var<E>>,
    /// Applied last.
    pub activation: Activation,
}

impl<E: Element> Default for Fused<E> {
    fn default() -> Self {
        Fused { affine: None, residual: None, activation: Activation::None }
    }
}

impl<E: Element> From<Activation> for Fused<E> {
    fn from(activation: Activation) -> Self {
        Fused { activation, ..Fused::default() }
    }
}

/// What follows one product, ready to be applied.
pub(super) struct Tail<E: Element> {
    scale: Option<Tensor<E>>,
    /// scale · bias + shift
    term: Option<Tensor<E>>,
    residual: Option<Tensor<E>>,
    activation: Activation,
    to_bias: Option<NodeId>,
    to_residual: Option<NodeId>,
}

impl<E: Element> Fused<E> {
    /// The tail of a result y with c channels. Panics when a vector has another length than c, or the
    /// residual another shape than y.
    #[track_caller]
    pub(super) fn tail(self, op: &str, bias: Option<&Var<E>>, y: &Tensor<E>) -> Tail<E> {
        let c = y.shape().last().copied().unwrap_or(1);
        let Fused { affine, residual, activation } = self;
        let (bias_value, to_bias) = (bias.map(|b| &b.value), bias.and_then(|b| b.node));
        let vectors = [bias_value, affine.as_ref().map(|a| &a.scale), affine.as_ref().map(|a| &a.shift)];
        for v in vectors.into_iter().flatten() {
            assert_eq!(v.len(), c, "{op}: a bias, scale or shift of shape {:?} for {c} channels", v.shape());
        }
        let to_residual = residual.as_ref().and_then(|r| r.node);
        let residual = residual.map(|r| r.value);
        if let Some(residual) = &residual {
            assert_eq!(residual.shape(), y.shape(), "{op}: residual and result");
        }
        let (scale, term) = match affine {
            None => (None, bias_value.cloned()),
            Some(Affine { scale, shift }) => {
                let folded = bias_value
                    .map(|b| Tensor::from_fn([c], |i| scale.data()[i] * b.data()[i] + shift.data()[i]));
                (Some(scale), Some(folded.unwrap_or(shift)))
            }
        };
        Tail { scale, term, residual, activation, to_bias, to_residual }
    }
}

impl<E: Element> Tail<E> {
    /// For kernels.
    pub fn epilogue(&self) -> Epilogue<'_, E> {
        Epilogue {
            scale: self.scale.as_ref().map(Tensor::data),
            bias: self.term.as_ref().map(Tensor::data),
            residual: self.residual.as_ref().map(Tensor::data),
            activation: self.activation,
        }
    }

    /// y of a product that is there, in its place.
    pub fn apply(&self, mut product: Tensor<E>) -> Tensor<E> {
        let epilogue = self.epilogue();
        if epilogue.is_identity() {
            return product;
        }
        let c = *product.shape().last().expect("an epilogue on a scalar");
        let piece = parallel::GRAIN.next_multiple_of(c.max(1));
        parallel::chunks(product.data_mut(), piece, |i, y| {
            let epilogue = epilogue.of_rows(i * piece, y.len());
            E::dispatch(Apply { y, c, epilogue });
        });
        product
    }

    /// Whose gradients y leads to, beside those of what was multiplied.
    pub fn parents(&self, [a, b]: [Option<NodeId>; 2]) -> [Option<NodeId>; 4] {
        [a, b, self.to_bias, self.to_residual]
    }

    /// What backward needs of it, of a result y; `wants_product` where dP is wanted.
    pub fn back(self, y: &Tensor<E>, wants_product: bool) -> TailBack<E> {
        let Tail { scale, activation, to_bias, to_residual, .. } = self;
        let cut = (activation != Activation::None).then(|| (y.clone(), activation.bounds()));
        TailBack { cut, scale, to_bias, to_residual, wants_product }
    }
}

struct Apply<'a, E> {
    y: &'a mut [E],
    c: usize,
    epilogue: Epilogue<'a, E>,
}

impl<E: Element> Kernel<E> for Apply<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, s: S) {
        let Apply { y, c, epilogue } = self;
        for (row, y) in y.chunks_exact_mut(c).enumerate() {
            for k in (0..c).step_by(S::LANES) {
                let n = S::LANES.min(c - k);
                // SAFETY: k + n <= c: these are n elements of the row; scale and bias hold c numbers, the
                // residual as many as y.
                unsafe {
                    let p = y.as_mut_ptr().add(k);
                    s.store_n(p, epilogue.vector(s, s.load_n(p, n), k, row * c + k, n), n);
                }
            }
        }
    }
}

/// What backward keeps of a [`Tail`].
pub(super) struct TailBack<E: Element> {
    /// The result, if its activation cuts off, and between which bounds it does not.
    cut: Option<(Tensor<E>, [E; 2])>,
    scale: Option<Tensor<E>>,
    to_bias: Option<NodeId>,
    to_residual: Option<NodeId>,
    wants_product: bool,
}

impl<E: Element> TailBack<E> {
    /// Sends the residual's and the bias' gradients off and returns dP, unless only they are wanted.
    pub fn backward(self, dy: Tensor<E>, slots: &mut Slots<E>) -> Tensor<E> {
        let mut g = dy;
        if self.to_residual.is_some() {
            g = masked_scaled(g, self.cut.as_ref(), None);
            let dz = g.clone();
            slots.add(self.to_residual, || dz);
            if self.wants_product || self.to_bias.is_some() {
                g = masked_scaled(g, None, self.scale.as_ref());
            }
        } else {
            g = masked_scaled(g, self.cut.as_ref(), self.scale.as_ref());
        }
        slots.add(self.to_bias, || column_sums(&g));
        g
    }
}

/// scale_c · g where the activation passed on the way to y, else 0.
fn masked_scaled<E: Element>(
    mut g: Tensor<E>,
    cut: Option<&(Tensor<E>, [E; 2])>,
    scale: Option<&Tensor<E>>,
) -> Tensor<E> {
    if cut.is_none() && scale.is_none() {
        return g;
    }
    let c = scale.map_or(1, Tensor::len).max(1);
    let piece = parallel::GRAIN.next_multiple_of(c);
    parallel::chunks(g.data_mut(), piece, |i, g| {
        let cut = cut.map(|(y, bounds)| (&y.data()[i * piece..][..g.len()], *bounds));
        E::dispatch(MaskScale { g, cut, scale: scale.map(Tensor::data) });
    });
    g
}

struct MaskScale<'a, E> {
    g: &'a mut [E],
    cut: Option<(&'a [E], [E; 2])>,
    scale: Option<&'a [E]>,
}

impl<E: Element> Kernel<E> for MaskScale<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) {
        let MaskScale { g, cut, scale } = self;
        if let Some((y, bounds)) = cut {
            for (g, &y) in g.iter_mut().zip(y) {
                *g = if is_between(y, bounds) { *g } else { E::ZERO };
            }
        }
        if let Some(scale) = scale {
            for row in g.chunks_exact_mut(scale.len()) {
                for (g, &s) in row.iter_mut().zip(scale) {
                    *g *= s;
                }
            }
        }
    }
}

/// The sums over all axes but the last, which has c elements: [c].
fn column_sums<E: Element>(g: &Tensor<E>) -> Tensor<E> {
    let c = *g.shape().last().expect("column sums of a scalar");
    let mut total = Tensor::zeros([c]);
    if g.is_empty() {
        return total;
    }
    let piece = (g.len() / c).div_ceil(64).max(parallel::GRAIN.div_ceil(c)) * c;
    let parts = parallel::map(g.len().div_ceil(piece), |i| {
        let mut sums = Buffer::zeros(c);
        let rows = &g.data()[i * piece..g.len().min((i + 1) * piece)];
        E::dispatch(SumRows { rows, sums: &mut sums });
        sums
    });
    parts.iter().for_each(|part| add_to(total.data_mut(), part));
    total
}

struct SumRows<'a, E> {
    rows: &'a [E],
    sums: &'a mut [E],
}

impl<E: Element> Kernel<E> for SumRows<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) {
        for row in self.rows.chunks_exact(self.sums.len()) {
            for (s, &v) in self.sums.iter_mut().zip(row) {
                *s += v;
            }
        }
    }
}
