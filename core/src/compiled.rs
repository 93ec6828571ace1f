//! The largest kernels, compiled once for each element, in this crate.
//!
//! A generic function is compiled anew in every crate that uses it; a function pointer is not. Matrix products and
//! convolutions, in three instruction sets each, are by far the most code: they are reached through this table, which
//! [`Element::compiled`] gives, so that whoever depends on this crate compiles none of them.

use crate::gemm::output::Finish;
use crate::gemm::{self, Matrix, Packed};
use crate::ops::conv::{self, Algorithm, ConvSpec};
use crate::{Element, Epilogue};

type Product<E> = fn(Matrix<'_, E>, Matrix<'_, E>, &mut [E], Finish<'_, E>);
type PackedProduct<E> = fn(Matrix<'_, E>, &Packed<'_, E>, &mut [E], usize, Finish<'_, E>, bool);
type Forward<E> = fn(Algorithm, &ConvSpec, &[E], &[E], &Epilogue<'_, E>, &mut [E]);
type Backward<E> = fn(Algorithm, &ConvSpec, &[E], &[E], &mut [E]);

/// Entry points of the kernels for one element.
pub struct Compiled<E: Element> {
    pub(crate) product: Product<E>,
    pub(crate) packed_product: PackedProduct<E>,
    pub(crate) forward: Forward<E>,
    pub(crate) backward_data: Backward<E>,
    pub(crate) backward_weight: Backward<E>,
}

impl<E: Element> Compiled<E> {
    pub(crate) const fn new() -> Self {
        Compiled {
            product: gemm::run,
            packed_product: gemm::product,
            forward: conv::forward_by,
            backward_data: conv::backward_data_by,
            backward_weight: conv::backward_weight_by,
        }
    }
}
