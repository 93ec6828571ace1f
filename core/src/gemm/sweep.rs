//! A sweep: what an engine does at one go, rows by panels over one block of the depth.

use super::kernel::Panel;
use super::lhs::{DepthBlock, Lhs};
use super::matrix::Matrix;
use super::output::Output;
use super::plan::Plan;
use crate::element::Element;
use crate::element::Over;
use std::ops::Range;

/// Rows by panels, over one block of the depth.
pub(super) struct Sweep<'a, E: Element> {
    pub plan: Plan,
    /// The left operand, and the block of its depth.
    pub a: &'a dyn Lhs<E>,
    pub block: &'a DepthBlock,
    /// The right operand's panels, from the block's first row on, but of pairs, which begin at a chunk.
    pub panels: &'a [Panel<E>],
    /// The right operand's row where the block begins.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only pairs ask"))]
    pub k: usize,
    pub rows: Range<usize>,
    pub out: Output<'a, E>,
    /// What is packed next, where it lies in one matrix: vectors fetch it while they multiply.
    pub coming: Option<Matrix<'a, E>>,
}

impl<'a> Over for Sweep<'a, f32> {
    type Of<E: Element> = Sweep<'a, E>;
}
