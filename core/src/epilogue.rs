//! What is done to a result while it is still in registers: y = act(scale_c · acc + bias_c + residual).
//!
//! Convolution and linear layers take an epilogue as an argument, since closures on a tape cannot be fused later. The
//! channel c is the last axis.

use crate::Element;
use crate::simd::Simd;

/// A pointwise non-linearity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// x
    #[default]
    None,
    /// max(x, 0)
    Relu,
    /// min(max(x, 0), 6)
    Relu6,
}

impl Activation {
    /// The value at x; NaN stays NaN.
    #[inline(always)]
    pub fn apply<E: Element>(self, x: E) -> E {
        match self {
            Activation::None => x,
            Activation::Relu => E::ZERO.max(x),
            Activation::Relu6 => E::from_f64(6.0).min(E::ZERO.max(x)),
        }
    }

    /// Whether the derivative is 1 (else 0) where the *result* was y: 0 at the kinks, as in PyTorch.
    #[inline(always)]
    pub fn passes<E: Element>(self, y: E) -> bool {
        match self {
            Activation::None => true,
            Activation::Relu => y > E::ZERO,
            Activation::Relu6 => y > E::ZERO && y < E::from_f64(6.0),
        }
    }
}

/// The epilogue of a product with C channels in its last axis.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a, E> {
    /// C factors, 1 if absent.
    pub scale: Option<&'a [E]>,
    /// C terms, 0 if absent.
    pub bias: Option<&'a [E]>,
    /// A term for each element of the result, in its layout; 0 if absent.
    pub residual: Option<&'a [E]>,
    /// Applied last.
    pub activation: Activation,
}

impl<E> Default for Epilogue<'_, E> {
    fn default() -> Self {
        Epilogue { scale: None, bias: None, residual: None, activation: Activation::None }
    }
}

impl<E> Epilogue<'_, E> {
    /// Whether y = acc.
    pub fn is_identity(&self) -> bool {
        self.scale.is_none()
            && self.bias.is_none()
            && self.residual.is_none()
            && self.activation == Activation::None
    }
}

impl<E: Element> Epilogue<'_, E> {
    /// The epilogue of n <= LANES elements of channels c .. c + n, which lie at `at` in the result.
    ///
    /// # Safety
    /// Scale and bias hold c + n elements, the residual at + n.
    #[inline(always)]
    pub(crate) unsafe fn vector<S: Simd<E>>(&self, s: S, acc: S::V, c: usize, at: usize, n: usize) -> S::V {
        let mut v = acc;
        // SAFETY: the caller's.
        unsafe {
            if let Some(scale) = self.scale {
                v = s.mul(v, load(s, scale.as_ptr().add(c), n));
            }
            if let Some(bias) = self.bias {
                v = s.add(v, load(s, bias.as_ptr().add(c), n));
            }
            if let Some(residual) = self.residual {
                v = s.add(v, load(s, residual.as_ptr().add(at), n));
            }
        }
        match self.activation {
            Activation::None => v,
            Activation::Relu => s.max(v, s.zero()),
            Activation::Relu6 => s.min(s.max(v, s.zero()), s.splat(E::from_f64(6.0))),
        }
    }
}

/// # Safety
/// p .. p + n is readable.
#[inline(always)]
unsafe fn load<S: Simd<E>, E: Element>(s: S, p: *const E, n: usize) -> S::V {
    // SAFETY: the caller's.
    unsafe { if n == S::LANES { s.load(p) } else { s.load_n(p, n) } }
}
