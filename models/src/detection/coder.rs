//! Boxes as corrections of other boxes (Girshick et al., *Rich feature hierarchies*, 2014, appendix C;
//! torchvision's `BoxCoder`).
//!
//! With centres (x, y) and sides (w, h), a box b is seen from a reference a as
//!
//!   t = (ωx (x_b - x_a) / w_a, ωy (y_b - y_a) / h_a, ωw ln(w_b / w_a), ωh ln(h_b / h_a)),
//!
//! with weights ω. Decoding is the inverse, but for t_w / ωw and t_h / ωh, which are cut at ln(1000 / 16)
//! first, so that no exponential overflows: a box grows at most 62.5-fold.

use super::boxes::BBox;
use crate::scalar::Scalar;
use gradus_core::{Element, elementary};

/// The weights ω.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxCoder {
    /// Of x, y, w, h.
    pub weights: [f64; 4],
}

/// Centre and sides.
#[inline(always)]
fn centred<S: Scalar>(b: &BBox<S>) -> [S; 4] {
    let half = S::constant(0.5);
    let (w, h) = (b[2] - b[0], b[3] - b[1]);
    [b[0] + half * w, b[1] + half * h, w, h]
}

impl BoxCoder {
    /// For anchors: weights 1.
    pub const ANCHORS: BoxCoder = BoxCoder { weights: [1.0; 4] };
    /// For proposals: weights 10, 10, 5, 5.
    pub const PROPOSALS: BoxCoder = BoxCoder { weights: [10.0, 10.0, 5.0, 5.0] };

    /// Where smooth L1 of codes turns from a parabola into a line, in both stages.
    pub const BETA: f64 = 1.0 / 9.0;

    /// The greatest logarithm of a growth: ln(1000 / 16).
    pub fn most_growth() -> f64 {
        elementary::ln(1000.0f64 / 16.0)
    }

    /// The code of a box `b`, of positive sides, seen from a reference box, of positive sides.
    #[inline(always)]
    pub fn encode<E: Element>(&self, b: &BBox<E>, reference: &BBox<E>) -> [E; 4] {
        let [x, y, w, h] = centred(b);
        let [rx, ry, rw, rh] = centred(reference);
        let [wx, wy, ww, wh] = self.weights.map(E::from_f64);
        [wx * (x - rx) / rw, wy * (y - ry) / rh, ww * (w / rw).ln(), wh * (h / rh).ln()]
    }

    /// The box that a code means, seen from a reference box.
    #[inline(always)]
    pub fn decode<S: Scalar>(&self, code: &[S; 4], reference: &BBox<S>) -> BBox<S> {
        let [rx, ry, rw, rh] = centred(reference);
        let [wx, wy, ww, wh] = self.weights.map(S::constant);
        let (limit, half) = (S::constant(Self::most_growth()), S::constant(0.5));
        let grown = |t: S| if t > limit { limit.detach() } else { t }.exp();
        let (x, y) = (code[0] / wx * rw + rx, code[1] / wy * rh + ry);
        let (w, h) = (half * (grown(code[2] / ww) * rw), half * (grown(code[3] / wh) * rh));
        [x - w, y - h, x + w, y + h]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // From (0, 0, 4, 2), centre (2, 1), to (4, 2, 12, 6), centre (8, 4): (6/4, 3/2, ln 2, ln 2).
        let (a, b) = ([0.0, 0.0, 4.0, 2.0], [4.0, 2.0, 12.0, 6.0f64]);
        let ln2 = 2f64.ln();
        assert_eq!(BoxCoder::ANCHORS.encode(&b, &a), [1.5, 1.5, ln2, ln2]);
        assert_eq!(BoxCoder::PROPOSALS.encode(&b, &a), [15.0, 15.0, 5.0 * ln2, 5.0 * ln2]);
        assert_eq!(BoxCoder::ANCHORS.decode(&[1.5, 1.5, 0.0, 0.0], &a), [6.0, 3.0, 10.0, 5.0]);
    }

    #[test]
    fn growth_is_cut() {
        let b = BoxCoder::ANCHORS.decode(&[0.0, 0.0, 1e4, 4.0f32], &[-1.0, -1.0, 1.0, 1.0]);
        assert!((b[2] - b[0] - 125.0).abs() < 1e-4 && (b[3] - b[1] - 2.0 * 4f32.exp()).abs() < 1e-3, "{b:?}");
    }
}
