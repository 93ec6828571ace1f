//! Where there is no tile unit (see `planes.rs`).

use super::drive::Sweep;
use crate::Element;
use crate::simd::{Isa, Simd};

pub(super) const CHUNK: usize = 32;
pub(super) const ROWS: usize = 32;
pub(super) const VECTORS: usize = 2;

pub(super) struct Source {
    pub data: *const f32,
    pub ld: usize,
    pub transposed: bool,
    pub rows: usize,
    pub cols: usize,
}

pub(super) fn planes() -> usize {
    0
}

pub(super) fn serve<E: Element>(_: Isa) -> bool {
    false
}

pub(super) const fn panel_len(_: usize, depth: usize, vectors: usize) -> usize {
    depth * vectors
}

pub(super) unsafe fn pack_right(_: usize, _: &Source, _: usize, _: usize, _: *mut f32) {
    unreachable!("no product is served here")
}

pub(super) unsafe fn clear_last(_: usize, _: *mut f32, _: usize, _: usize) {
    unreachable!("no product is served here")
}

impl<E: Element> Sweep<'_, E> {
    pub(super) unsafe fn run_on_tiles<S: Simd<E>>(self, _: S) {
        unreachable!("no product is served here")
    }
}
