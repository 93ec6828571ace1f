//! What is done to a result while it is still in registers: y = act(scale_c · acc + bias_c + residual).
//!
//! Convolution and linear layers take an epilogue as an argument, since closures on a tape cannot be fused
//! later. The channel c is the last axis.

use crate::element::Element;
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
    /// Where it is constant: at `low` and below, at `high` and above. A bound that is not there is NaN, which
    /// nothing is below or above, as NaN itself is below and above nothing: it stays NaN, and its gradient
    /// passes.
    #[inline(always)]
    pub(crate) fn bounds<E: Element>(self) -> [E; 2] {
        let none = E::from_f64(f64::NAN);
        match self {
            Activation::None => [none, none],
            Activation::Relu => [E::ZERO, none],
            Activation::Relu6 => [E::ZERO, E::from_f64(6.0)],
        }
    }

    /// The value at x. NaN stays NaN, and -0 becomes +0 where there is a bound.
    #[inline(always)]
    pub fn apply<E: Element>(self, x: E) -> E {
        bound(x, self.bounds())
    }

    /// Whether the derivative is 1 (else 0) where the *result* was y: 0 at the kinks, 1 at NaN, as in
    /// PyTorch.
    #[inline(always)]
    pub fn passes<E: Element>(self, y: E) -> bool {
        is_between(y, self.bounds())
    }

    /// [`Activation::apply`] in each lane.
    #[inline(always)]
    pub(crate) fn vector<S: Simd<E>, E: Element>(self, s: S, x: S::V) -> S::V {
        match self {
            Activation::None => x,
            Activation::Relu => relu(s, x),
            Activation::Relu6 => s.min(s.splat(E::from_f64(6.0)), relu(s, x)),
        }
    }
}

/// The maximum is x where x is NaN, but -0 where x is: adding 0 makes that +0.
#[inline(always)]
fn relu<S: Simd<E>, E: Element>(s: S, x: S::V) -> S::V {
    s.add(s.max(s.zero(), x), s.zero())
}

/// x between bounds as those of an [`Activation`].
#[inline(always)]
pub(crate) fn bound<E: Element>(x: E, [low, high]: [E; 2]) -> E {
    let x = if x <= low { low } else { x };
    if x >= high { high } else { x }
}

/// Whether [`bound`] leaves x where it is, and all that is near.
#[inline(always)]
pub(crate) fn is_between<E: Element>(x: E, [low, high]: [E; 2]) -> bool {
    !(x <= low || x >= high)
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
    /// Panics, naming the op, where it is too short for so many channels, or for a result of `len` elements.
    /// Kernels rely on it.
    #[track_caller]
    pub(crate) fn check(&self, op: &str, channels: usize, len: usize) {
        for (name, vector) in [("scale", self.scale), ("bias", self.bias)] {
            assert!(
                vector.is_none_or(|v| v.len() >= channels),
                "{op}: {name} is shorter than {channels} columns"
            );
        }
        assert!(
            self.residual.is_none_or(|r| r.len() >= len),
            "{op}: the residual is smaller than the result"
        );
    }

    /// The epilogue of a part of the result: of its `len` elements, whole rows of channels, from `at` on.
    pub(crate) fn of_rows(&self, at: usize, len: usize) -> Self {
        Epilogue { residual: self.residual.map(|r| &r[at..][..len]), ..*self }
    }

    /// The epilogue of n <= LANES elements of channels c .. c + n, which lie at `at` in the result.
    ///
    /// # Safety
    /// n <= LANES. Scale and bias, where they are there, hold at least c + n elements, the residual
    /// at least at + n.
    #[inline(always)]
    pub(crate) unsafe fn vector<S: Simd<E>>(&self, s: S, acc: S::V, c: usize, at: usize, n: usize) -> S::V {
        let mut v = acc;
        // SAFETY: c + n is at most the length of scale and of bias, at + n that of the residual, and n <=
        // LANES.
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
        self.activation.vector(s, v)
    }

    /// Writes the epilogue of n <= LANES elements of channels c .. c + n to their places from `at` on in `y`.
    ///
    /// # Safety
    /// As for [`Epilogue::vector`]; besides, `y` has at least at + n elements, of which nobody else
    /// reads or writes these n meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn store<S: Simd<E>>(&self, s: S, acc: S::V, c: usize, at: usize, n: usize, y: *mut E) {
        // SAFETY: scale, bias and residual are as `vector` asks; at + n is at most the length of `y`, and
        // `store` writes LANES elements where these are n.
        unsafe {
            let (v, p) = (self.vector(s, acc, c, at, n), y.add(at));
            if n == S::LANES { s.store(p, v) } else { s.store_n(p, v, n) }
        }
    }
}

/// n elements.
///
/// # Safety
/// n <= LANES, and `p .. p + n` is readable.
#[inline(always)]
unsafe fn load<S: Simd<E>, E: Element>(s: S, p: *const E, n: usize) -> S::V {
    // SAFETY: `load` reads LANES elements, where these are n, and `load_n` reads n.
    unsafe { if n == S::LANES { s.load(p) } else { s.load_n(p, n) } }
}
