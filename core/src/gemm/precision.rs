//! How exact the products of f32 are.
//!
//! In mixed precision the operands of matrix products and convolutions are rounded to bf16 (8 significant bits, the range of
//! f32), and all else stays f32: parameters, sums, activations, gradients, optimisers. A product of two such numbers is
//! exact in f32, so that a result is within γ_k Σ|a||b| of the sum of the rounded products, and those within 2⁻⁷|a b| of the true
//! ones. Where the processor has tiles they take one product instead of six (`planes`), where it has dot products of bf16 two
//! multiply-adds a lane instead of one (but Winograd's, which save more); elsewhere operands are rounded beforehand, and
//! nothing is gained but the same results. Convolutions by channel or of few channels stay f32.

use crate::Element;
use crate::buffer::Buffer;
use crate::parallel;
use crate::simd::{Isa, isa};
use std::any::TypeId;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The precision of products' operands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// Rounded to bf16.
    Bf16,
}

static BF16: AtomicBool = AtomicBool::new(false);

impl Precision {
    /// Both.
    pub const ALL: [Precision; 2] = [Precision::F32, Precision::Bf16];

    /// "f32" or "bf16"
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        }
    }

    /// Makes it the precision of this process's products from now on. Those of f64 are exact in any.
    pub fn set(self) {
        BF16.store(self == Precision::Bf16, Relaxed);
    }

    /// The one in use.
    pub fn get() -> Precision {
        if BF16.load(Relaxed) { Precision::Bf16 } else { Precision::F32 }
    }
}

/// Whether products of bf16 are made by tiles.
pub(crate) fn on_tiles<E: Element>() -> bool {
    isa() == Isa::Amx && super::planes::of::<E>(isa()) == 1
}

/// An operand, or its copy in bf16.
pub(crate) enum Operand<'a, E: Element> {
    AsItIs(&'a [E]),
    Rounded(Buffer<E>),
}

impl<E: Element> Deref for Operand<'_, E> {
    type Target = [E];
    fn deref(&self) -> &[E] {
        match self {
            Operand::AsItIs(x) => x,
            Operand::Rounded(x) => x,
        }
    }
}

/// An operand of a product on `isa`: rounded, if the precision asks for it and the product does not do so itself.
pub(crate) fn operand<E: Element>(isa: Isa, x: &[E]) -> Operand<'_, E> {
    let itself = super::planes::of::<E>(isa) > 0 || TypeId::of::<E>() != TypeId::of::<f32>();
    if Precision::get() == Precision::F32 || itself {
        return Operand::AsItIs(x);
    }
    let mut rounded = Buffer::copy_of(x);
    parallel::chunks(&mut rounded, parallel::GRAIN, |_, chunk| {
        for v in chunk {
            *v = E::from_f64(f64::from(round(v.to_f64() as f32)));
        }
    });
    Operand::Rounded(rounded)
}

/// The nearest number of bf16, the greater in size of two.
fn round(x: f32) -> f32 {
    if x.is_nan() { x } else { f32::from_bits((x.to_bits() + 0x8000) & 0xffff_0000) }
}
