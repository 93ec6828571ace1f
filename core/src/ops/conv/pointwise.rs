//! What is fused behind a product P [rows, c]: y = act(scale · (P + bias) + shift + residual).
//!
//! dz = dy where the activation passes (seen from y), dP = scale · dz, d residual = dz, d bias = Σ_rows dP. One sweep
//! over dy, in place where its buffer has no other owner. The sums are cut into pieces by shape alone.

use crate::simd::{Kernel, Simd};
use crate::{Activation, Element, Epilogue, NodeId, Slots, Tensor, parallel};

/// y = act(scale · P + bias + residual), in place.
pub(crate) fn apply<E: Element>(mut product: Tensor<E>, epilogue: &Epilogue<'_, E>) -> Tensor<E> {
    if epilogue.is_identity() {
        return product;
    }
    let c = *product.shape().last().expect("an epilogue on a scalar");
    let piece = parallel::GRAIN.next_multiple_of(c.max(1));
    parallel::chunks(product.data_mut(), piece, |i, y| {
        let residual = epilogue.residual.map(|r| &r[i * piece..][..y.len()]);
        E::dispatch(Apply { y, c, epilogue: Epilogue { residual, ..*epilogue } });
    });
    product
}

struct Apply<'a, E> {
    y: &'a mut [E],
    c: usize,
    epilogue: Epilogue<'a, E>,
}

impl<E: Element> Kernel<E> for Apply<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) {
        let Epilogue { scale, bias, residual, activation } = self.epilogue;
        for (i, row) in self.y.chunks_exact_mut(self.c).enumerate() {
            if let Some(scale) = scale {
                for (y, &s) in row.iter_mut().zip(scale) {
                    *y *= s;
                }
            }
            if let Some(bias) = bias {
                for (y, &b) in row.iter_mut().zip(bias) {
                    *y += b;
                }
            }
            if let Some(residual) = residual {
                for (y, &r) in row.iter_mut().zip(&residual[i * self.c..]) {
                    *y += r;
                }
            }
            if activation != Activation::None {
                for y in row.iter_mut() {
                    *y = activation.apply(*y);
                }
            }
        }
    }
}

/// What stands behind a product, as backward sees it.
pub(crate) struct After<E: Element> {
    pub activation: Activation,
    pub scale: Option<Tensor<E>>,
    pub to_residual: Option<NodeId>,
    pub to_bias: Option<NodeId>,
}

impl<E: Element> After<E> {
    /// Whether backward reads the result.
    pub fn needs_result(&self) -> bool {
        self.activation != Activation::None
    }

    /// Sends the residual's and the bias' gradients off and returns dP, unless only they are wanted.
    pub fn backward(
        &self,
        dy: Tensor<E>,
        y: Option<Tensor<E>>,
        wants_product: bool,
        slots: &mut Slots<E>,
    ) -> Tensor<E> {
        let mut g = dy;
        if self.to_residual.is_some() {
            g = masked_scaled(g, y.as_ref(), self.activation, None);
            let dz = g.clone();
            slots.add(self.to_residual, || dz);
            if wants_product || self.to_bias.is_some() {
                g = masked_scaled(g, None, Activation::None, self.scale.as_ref());
            }
        } else {
            g = masked_scaled(g, y.as_ref(), self.activation, self.scale.as_ref());
        }
        slots.add(self.to_bias, || column_sums(&g));
        g
    }
}

/// scale_c · g where the activation passed on the way to y, else 0.
fn masked_scaled<E: Element>(
    mut g: Tensor<E>,
    y: Option<&Tensor<E>>,
    activation: Activation,
    scale: Option<&Tensor<E>>,
) -> Tensor<E> {
    let y = y.filter(|_| activation != Activation::None);
    if y.is_none() && scale.is_none() {
        return g;
    }
    let c = scale.map_or(1, Tensor::len).max(1);
    let piece = parallel::GRAIN.next_multiple_of(c);
    parallel::chunks(g.data_mut(), piece, |i, g| {
        let y = y.map(|y| &y.data()[i * piece..][..g.len()]);
        E::dispatch(MaskScale { g, y, activation, scale: scale.map(Tensor::data) });
    });
    g
}

struct MaskScale<'a, E> {
    g: &'a mut [E],
    y: Option<&'a [E]>,
    activation: Activation,
    scale: Option<&'a [E]>,
}

impl<E: Element> Kernel<E> for MaskScale<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) {
        let MaskScale { g, y, activation, scale } = self;
        match (y, activation) {
            (None, _) | (_, Activation::None) => {}
            (Some(y), Activation::Relu) => {
                for (g, &y) in g.iter_mut().zip(y) {
                    *g = if Activation::Relu.passes(y) { *g } else { E::ZERO };
                }
            }
            (Some(y), Activation::Relu6) => {
                for (g, &y) in g.iter_mut().zip(y) {
                    *g = if Activation::Relu6.passes(y) { *g } else { E::ZERO };
                }
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
pub(crate) fn column_sums<E: Element>(g: &Tensor<E>) -> Tensor<E> {
    let c = *g.shape().last().expect("column sums of a scalar");
    let mut total = Tensor::zeros([c]);
    if g.is_empty() {
        return total;
    }
    let piece = (g.len() / c).div_ceil(64).max(parallel::GRAIN.div_ceil(c)) * c;
    let parts = parallel::map(g.len().div_ceil(piece), |i| {
        let mut sums = crate::buffer::Buffer::zeros(c);
        let rows = &g.data()[i * piece..g.len().min((i + 1) * piece)];
        E::dispatch(SumRows { rows, sums: &mut sums });
        sums
    });
    let sums = total.data_mut();
    for part in &parts {
        sums.iter_mut().zip(&part[..]).for_each(|(s, p)| *s += *p);
    }
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
