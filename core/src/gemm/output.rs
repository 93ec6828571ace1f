//! The result of a product: where its rows lie, and what is done to the sums.

use super::kernel::{MAX_MR, Target};
use crate::parallel::Shared;
use crate::{element::Element, epilogue::Epilogue};

/// Rows that are the pixels of images.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pixels {
    pub images: usize,
    pub extent: [usize; 2],
    /// Whether consecutive rows are the same pixel of consecutive images, not consecutive pixels of an image.
    pub images_inner: bool,
}

impl Pixels {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.images * self.extent[0] * self.extent[1]
    }

    /// Row i's image, vertical and horizontal place.
    #[inline(always)]
    pub fn at(&self, i: usize) -> (usize, usize, usize) {
        let [h, w] = self.extent;
        if self.images_inner {
            let (pixel, n) = (i / self.images, i % self.images);
            (n, pixel / w, pixel % w)
        } else {
            (i / (h * w), i / w % h, i % w)
        }
    }
}

/// Where C's rows begin.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RowMap {
    /// Row i at i·ld.
    Even { ld: usize },
    /// Row i, pixel (n, y, x), at base + n·image + y·row + x·col.
    Grid { pixels: Pixels, base: usize, image: usize, row: usize, col: usize },
}

impl RowMap {
    #[inline(always)]
    pub fn offset(&self, i: usize) -> usize {
        match *self {
            RowMap::Even { ld } => i * ld,
            RowMap::Grid { pixels, base, image, row, col } => {
                let (n, y, x) = pixels.at(i);
                base + n * image + y * row + x * col
            }
        }
    }

    /// The end of the furthest of `rows` rows of `cols` elements.
    fn end(&self, rows: usize, cols: usize) -> usize {
        match *self {
            _ if rows == 0 => 0,
            RowMap::Even { ld } => (rows - 1) * ld + cols,
            RowMap::Grid { pixels, base, image, row, col } => {
                let [h, w] = pixels.extent;
                base + (pixels.images - 1) * image + (h - 1) * row + (w - 1) * col + cols
            }
        }
    }
}

/// What becomes of the product P = A·B: C = epilogue(P), or epilogue(C + P) where it adds.
#[derive(Clone, Copy, Debug)]
pub struct Finish<'a, E> {
    pub add: bool,
    pub epilogue: Option<&'a Epilogue<'a, E>>,
}

impl<'a, E> Finish<'a, E> {
    /// C = P
    pub const SET: Self = Finish { add: false, epilogue: None };
    /// C += P
    pub const ADD: Self = Finish { add: true, epilogue: None };

    /// C = epilogue(P)
    pub fn with(epilogue: &'a Epilogue<'a, E>) -> Self {
        Finish { add: false, epilogue: Some(epilogue) }
    }

    /// What becomes of the sum over one block of the depth.
    pub fn of_block(self, first: bool, last: bool) -> Self {
        Finish { add: self.add || !first, epilogue: self.epilogue.filter(|_| last) }
    }
}

/// The result's place.
#[derive(Clone, Copy)]
pub(crate) struct Output<'a, E> {
    pub c: Shared<'a, E>,
    pub map: RowMap,
    pub finish: Finish<'a, E>,
}

impl<'a, E: Element> Output<'a, E> {
    /// Rows `row .. row + height`, as a tile writes them.
    #[inline(always)]
    pub(super) fn target(&self, row: usize, height: usize) -> Target<'a, E> {
        let Finish { add, epilogue } = self.finish;
        let c = self.c.as_mut_ptr().cast_const();
        let mut target = Target { results: [c; MAX_MR], residuals: [c; MAX_MR], height, add, epilogue };
        let residual = epilogue.and_then(|e| e.residual);
        // One by one: a copy of what was just written in parts waits for all that was written before.
        for i in 0..height.min(MAX_MR) {
            let offset = self.map.offset(row + i);
            target.results[i] = c.wrapping_add(offset);
            if let Some(residual) = residual {
                target.residuals[i] = residual.as_ptr().wrapping_add(offset);
            }
        }
        target
    }

    /// Panics when C, or a part of the epilogue, is too small.
    #[track_caller]
    pub fn check(&self, rows: usize, cols: usize) {
        let end = self.map.end(rows, cols);
        assert!(end <= self.c.len(), "gemm: the result needs {end} elements, has {}", self.c.len());
        if let Some(e) = self.finish.epilogue {
            e.check("gemm", cols, end);
        }
    }
}
