//! Where there is no tile unit (see `planes.rs`): `of` says so, and nothing else is called.

use super::Matrix;
use super::drive::Sweep;
use crate::Element;
use crate::simd::{Isa, Simd};

pub(super) const CHUNK: usize = 1;
pub(super) const ROWS: usize = 1;
pub(super) const VECTORS: usize = 1;

pub(super) fn of<E: Element>(_: Isa) -> usize {
    0
}

pub(super) const fn panel_len(_: usize, _: usize, _: usize) -> usize {
    0
}

pub(super) unsafe fn pack_right(_: usize, _: &Matrix<'_, f32>, _: usize, _: usize, _: *mut f32) {
    unreachable!("there is no tile unit")
}

pub(super) unsafe fn clear_last(_: usize, _: *mut f32, _: usize, _: usize) {
    unreachable!("there is no tile unit")
}

impl<E: Element> Sweep<'_, E> {
    pub(super) unsafe fn run_on_tiles<S: Simd<E>>(self, _: S) {
        unreachable!("there is no tile unit")
    }
}
