//! How a product is made: decided once, where it is entered, and handed on as a small value.
//!
//! There are two engines. *Vectors* make any product: a tile of the result in registers, from elements as
//! they are (`kernel`, `vectors`). *Pairs* make products of bf16 where the processor multiplies them two at a
//! time, by tiles or by dot products (`pairs`); they need a product that fills their tiles. All that depends
//! on the choice (the shape of a tile, how the right operand is packed, whether operands are rounded first)
//! stands in the plan, and nothing asks again.
//!
//! In mixed precision the operands of matrix products and convolutions are rounded to bf16 (8 significant
//! bits, the range of f32), and all else stays f32: parameters, sums, activations, gradients, optimisers. A
//! product of two such numbers is exact in f32, so that a result is within γ_k Σ|a||b| of the sum of the
//! rounded products, and those are within 2⁻⁷|a b| of the true ones. Where there are no pairs operands are
//! rounded beforehand, and nothing is gained but the same results. Winograd's products are made by vectors
//! always, since they save more than pairs would; convolutions by channel or of few channels stay f32.

use super::kernel::tile_shape;
use crate::buffer::Buffer;
use crate::element::Element;
use crate::parallel;
use crate::simd::{Isa, Kernel, Simd, isa};
use std::any::TypeId;
use std::ops::{Deref, Range};

/// The precision of products' operands. It belongs to what computes: a [`Tape`](crate::Tape) has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// Rounded to bf16. Products of f64 are exact all the same.
    Bf16,
}

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

    /// Whether products are made by the tile unit, which is so fast that no convolution algorithm saves
    /// anything.
    pub(crate) fn is_on_tiles(self) -> bool {
        self == Precision::Bf16 && isa() == Isa::Amx
    }

    /// An operand of this precision: the slice itself, or a rounded copy.
    pub(crate) fn operand<E: Element>(self, x: &[E]) -> Operand<'_, E> {
        if self == Precision::F32 || !rounds::<E>() {
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
}

/// Whether mixed precision rounds the element: f32 alone.
fn rounds<E: Element>() -> bool {
    TypeId::of::<E>() == TypeId::of::<f32>()
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

/// The nearest number of bf16, the greater in size of two.
fn round(x: f32) -> f32 {
    if x.is_nan() { x } else { f32::from_bits((x.to_bits() + 0x8000) & 0xffff_0000) }
}

/// What multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Multiply-adds on vectors.
    Vectors,
    /// Products of pairs of bf16.
    #[cfg(target_arch = "x86_64")]
    Pairs(PairUnit),
}

/// What makes products of pairs of bf16.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairUnit {
    /// The tile unit (AMX).
    Tiles,
    /// Dot products on vectors (AVX512-BF16).
    Dots,
}

/// How a product is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub(super) engine: Engine,
    /// The instruction set whose vectors copy, pack and, by their engine, multiply.
    pub(super) isa: Isa,
    /// What operands are rounded to beforehand; pairs round what they pack.
    rounded: Precision,
    /// Rows of a tile.
    pub(super) rows: usize,
    /// Elements of a vector, and the most vectors of a panel.
    pub(super) lanes: usize,
    pub(super) vectors: usize,
    /// Steps of the depth that are multiplied together.
    pub(super) chunk: usize,
}

/// How columns are cut into panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PanelWidths {
    pub cols: usize,
    pub lanes: usize,
    pub count: usize,
}

impl PanelWidths {
    /// The vectors before panel p.
    pub fn start(&self, p: usize) -> usize {
        (p * self.cols.div_ceil(self.lanes)).checked_div(self.count).unwrap_or(0)
    }

    /// The panel's first column, columns and vectors.
    pub fn extent(&self, p: usize) -> (usize, usize, usize) {
        let (from, to) = (self.start(p), self.start(p + 1));
        (from * self.lanes, self.cols.min(to * self.lanes) - from * self.lanes, to - from)
    }

    /// The columns of some panels.
    pub fn columns(&self, panels: Range<usize>) -> Range<usize> {
        self.start(panels.start) * self.lanes..self.cols.min(self.start(panels.end) * self.lanes)
    }

    /// The columns of a panel, at most.
    pub fn widest(&self) -> usize {
        self.cols.div_ceil(self.lanes).div_ceil(self.count.max(1)) * self.lanes
    }
}

/// The rows of the left operand up to which the right one is read in place, and no tile of 32 x 32 is of use:
/// two tiles of rows, or half of one of pairs. Not measured.
pub(super) const FEW_ROWS: usize = 16;
/// The depth below which pairs are not worth their packing: little more than one chunk. Not measured.
#[cfg(target_arch = "x86_64")]
const LEAST_DEPTH: usize = 35;
/// Steps of the depth that pairs multiply together, the rows, and the vectors of columns.
#[cfg(target_arch = "x86_64")]
pub(super) const CHUNK: usize = 32;
#[cfg(target_arch = "x86_64")]
pub(super) const PAIR_ROWS: usize = 32;
#[cfg(target_arch = "x86_64")]
pub(super) const PAIR_VECTORS: usize = 2;

impl Plan {
    /// The plan of a product in this precision, on this machine.
    pub(crate) fn new<E: Element>(precision: Precision, [rows, depth, cols]: [usize; 3]) -> Plan {
        #[cfg(target_arch = "x86_64")]
        if precision == Precision::Bf16
            && rounds::<E>()
            && rows > FEW_ROWS
            && depth >= LEAST_DEPTH
            && cols >= 16
            && let Some(plan) = Plan::on_pairs(isa())
        {
            return plan;
        }
        let _ = (rows, depth, cols);
        Plan::on_vectors::<E>(isa(), precision)
    }

    /// By vectors of this instruction set.
    pub(crate) fn on_vectors<E: Element>(isa: Isa, rounded: Precision) -> Plan {
        let (lanes, rows, vectors) = E::dispatch_on(isa, Geometry);
        Plan { engine: Engine::Vectors, isa, rounded, rows, lanes, vectors, chunk: 1 }
    }

    /// By products of pairs, if the instruction set has them.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn on_pairs(isa: Isa) -> Option<Plan> {
        let unit = match isa {
            Isa::Amx => PairUnit::Tiles,
            Isa::Avx512Bf16 => PairUnit::Dots,
            _ => return None,
        };
        let (engine, rounded) = (Engine::Pairs(unit), Precision::F32);
        Some(Plan { engine, isa, rounded, rows: PAIR_ROWS, lanes: 16, vectors: PAIR_VECTORS, chunk: CHUNK })
    }

    /// How it cuts so many columns into panels.
    pub(super) fn panels(&self, cols: usize) -> PanelWidths {
        PanelWidths { cols, lanes: self.lanes, count: cols.div_ceil(self.lanes).div_ceil(self.vectors) }
    }

    /// An operand as the engine reads it.
    pub(crate) fn operand<'a, E: Element>(&self, x: &'a [E]) -> Operand<'a, E> {
        self.rounded.operand(x)
    }
}

/// Lanes, rows of a tile, vectors of a tile.
struct Geometry;
impl<E: Element> Kernel<E> for Geometry {
    type Output = (usize, usize, usize);
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) -> Self::Output {
        let (mr, nv) = tile_shape(S::REGISTERS);
        (S::LANES, mr, nv)
    }
}
