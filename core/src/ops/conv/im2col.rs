//! Convolution as a matrix product with the columns made inside of packing.

use super::ConvSpec;
use crate::{Element, Epilogue};

/// Where output row p and tap r read: input row p·stride + r·dilation − padding, or `None` on padding.
#[inline(always)]
fn source(spec: &ConvSpec, axis: usize, out: usize, tap: usize) -> Option<usize> {
    let at = (out * spec.stride[axis] + tap * spec.dilation[axis]).checked_sub(spec.padding[axis])?;
    (at < [spec.h, spec.w][axis]).then_some(at)
}

/// Calls `f(x offset, w offset, y offset)` for each multiply-add of a pixel, tap and group, of channel runs' starts.
fn taps(spec: &ConvSpec, mut f: impl FnMut(usize, usize, usize)) {
    let [oh, ow] = spec.out_hw();
    let (ci, co) = (spec.group_in(), spec.group_out());
    for n in 0..spec.n {
        for p in 0..oh {
            for q in 0..ow {
                for r in 0..spec.kernel[0] {
                    for s in 0..spec.kernel[1] {
                        let (Some(i), Some(j)) = (source(spec, 0, p, r), source(spec, 1, q, s)) else {
                            continue;
                        };
                        for g in 0..spec.groups {
                            let x = ((n * spec.h + i) * spec.w + j) * spec.c_in + g * ci;
                            let w = (r * spec.kernel[1] + s) * ci * spec.c_out + g * co;
                            f(x, w, ((n * oh + p) * ow + q) * spec.c_out + g * co);
                        }
                    }
                }
            }
        }
    }
}

/// y = act(scale · (x ∗ w) + bias + residual).
#[track_caller]
pub fn forward<E: Element>(spec: &ConvSpec, x: &[E], w: &[E], epilogue: &Epilogue<'_, E>, y: &mut [E]) {
    let (ci, co) = (spec.group_in(), spec.group_out());
    y.fill(E::ZERO);
    taps(spec, |xo, wo, yo| {
        for c in 0..ci {
            for o in 0..co {
                y[yo + o] += x[xo + c] * w[wo + c * spec.c_out + o];
            }
        }
    });
    for (i, v) in y.iter_mut().enumerate() {
        let c = i % spec.c_out;
        let scaled = epilogue.scale.map_or(*v, |s| s[c] * *v);
        let moved =
            scaled + epilogue.bias.map_or(E::ZERO, |b| b[c]) + epilogue.residual.map_or(E::ZERO, |r| r[i]);
        *v = epilogue.activation.apply(moved);
    }
}

/// dx = ∂⟨dy, x ∗ w⟩ / ∂x.
#[track_caller]
pub fn backward_data<E: Element>(spec: &ConvSpec, dy: &[E], w: &[E], dx: &mut [E]) {
    let (ci, co) = (spec.group_in(), spec.group_out());
    dx.fill(E::ZERO);
    taps(spec, |xo, wo, yo| {
        for c in 0..ci {
            for o in 0..co {
                dx[xo + c] += dy[yo + o] * w[wo + c * spec.c_out + o];
            }
        }
    });
}

/// dw = ∂⟨dy, x ∗ w⟩ / ∂w.
#[track_caller]
pub fn backward_weight<E: Element>(spec: &ConvSpec, x: &[E], dy: &[E], dw: &mut [E]) {
    let (ci, co) = (spec.group_in(), spec.group_out());
    dw.fill(E::ZERO);
    taps(spec, |xo, wo, yo| {
        for c in 0..ci {
            for o in 0..co {
                dw[wo + c * spec.c_out + o] += x[xo + c] * dy[yo + o];
            }
        }
    });
}
