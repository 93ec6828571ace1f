//! `Tensor`: a shape and a shared, contiguous, row-major buffer.
//!
//! No strides and no views with holes: every op reads and writes plain slices. Cloning shares the buffer;
//! writing to a shared one copies it first. Images are NHWC, convolution weights HWIO, linear weights [in,
//! out].

use crate::buffer::{Buffer, add_to};
use crate::memory::OutOfMemory;
use crate::{element::Element, shape::Shape};
use std::fmt;
use std::sync::Arc;

/// A block of numbers with a shape. Cheap to clone.
#[derive(Clone)]
pub struct Tensor<E: Element = f32> {
    shape: Shape,
    data: Arc<Buffer<E>>,
}

impl<E: Element> Tensor<E> {
    /// A tensor over a buffer. Panics when the shape's product is not the buffer's length.
    #[track_caller]
    pub fn new(shape: impl Into<Shape>, data: Buffer<E>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.numel(), data.len(), "Tensor::new: shape {shape:?} and {} elements", data.len());
        Tensor { shape, data: Arc::new(data) }
    }

    /// Unspecified (but initialised) values: for what is written before it is read. Panics where there is no
    /// memory for them.
    #[track_caller]
    pub fn stale(shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        Tensor { shape, data: Arc::new(Self::room("tensor", shape)) }
    }

    /// [`Tensor::stale`] for the result of an op, whose name a panic tells.
    #[track_caller]
    pub fn result(op: &str, dims: &[usize]) -> Self {
        let shape = Shape::of_result(op, dims);
        Tensor { shape, data: Arc::new(Self::room(op, shape)) }
    }

    #[track_caller]
    fn room(op: &str, shape: Shape) -> Buffer<E> {
        Buffer::try_stale(shape.numel()).unwrap_or_else(|| {
            let what = format!("{op}: no memory for a tensor of shape {shape:?} in {}", E::NAME);
            OutOfMemory::panic(what, shape.numel() as f64 * size_of::<E>() as f64)
        })
    }

    /// Zeros.
    #[track_caller]
    pub fn zeros(shape: impl Into<Shape>) -> Self {
        Self::full(shape, E::ZERO)
    }

    /// One value everywhere.
    #[track_caller]
    pub fn full(shape: impl Into<Shape>, value: E) -> Self {
        let shape = shape.into();
        Tensor { shape, data: Arc::new(Self::room("tensor", shape).filled(value)) }
    }

    /// A copy of a slice. Panics when the shape's product is not its length.
    #[track_caller]
    pub fn from_slice(shape: impl Into<Shape>, data: &[E]) -> Self {
        Self::new(shape, Buffer::copy_of(data))
    }

    /// `f(i)` at each flat index i.
    #[track_caller]
    pub fn from_fn(shape: impl Into<Shape>, f: impl FnMut(usize) -> E) -> Self {
        let mut t = Self::stale(shape);
        t.data_mut().iter_mut().zip((0..).map(f)).for_each(|(d, v)| *d = v);
        t
    }

    /// A scalar: shape [].
    pub fn scalar(value: E) -> Self {
        Self::full([], value)
    }

    /// The extents.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The extents as an array. Panics, naming `op`, when the rank is another.
    #[track_caller]
    pub fn dims<const N: usize>(&self, op: &str) -> [usize; N] {
        self.shape[..]
            .try_into()
            .unwrap_or_else(|_| panic!("{op}: {N} axes expected, got shape {:?}", self.shape))
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The elements, row-major.
    pub fn data(&self) -> &[E] {
        &self.data
    }

    /// The elements for writing; a shared buffer is copied first.
    pub fn data_mut(&mut self) -> &mut [E] {
        let buffer: &mut Buffer<E> = Arc::make_mut(&mut self.data);
        buffer
    }

    /// Whether no other tensor shares the buffer, so that writing happens in place.
    pub fn is_unique(&mut self) -> bool {
        Arc::get_mut(&mut self.data).is_some()
    }

    /// The one element. Panics when there is not exactly one.
    #[track_caller]
    pub fn item(&self) -> E {
        assert_eq!(self.len(), 1, "item() of a tensor of shape {:?}", self.shape);
        self.data[0]
    }

    /// The same elements under another shape of the same product; shares the buffer.
    #[track_caller]
    pub fn reshape(mut self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.numel(), self.len(), "reshape: {:?} to {shape:?}", self.shape);
        self.shape = shape;
        self
    }

    /// Each element through `f`, in place where the buffer is not shared.
    pub fn map(mut self, f: impl Fn(E) -> E) -> Self {
        self.data_mut().iter_mut().for_each(|v| *v = f(*v));
        self
    }

    /// In another precision.
    pub fn cast<F: Element>(&self) -> Tensor<F> {
        Tensor::from_fn(self.shape, |i| F::from_f64(self.data[i].to_f64()))
    }

    /// self += other, element by element. Panics when the shapes differ.
    #[track_caller]
    pub fn add_assign(&mut self, other: &Self) {
        assert_eq!(self.shape, other.shape, "add_assign");
        let src = other.data();
        crate::parallel::chunks(self.data_mut(), crate::parallel::GRAIN, |i, dst| {
            add_to(dst, &src[i * crate::parallel::GRAIN..][..dst.len()]);
        });
    }
}

impl<E: Element> fmt::Debug for Tensor<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor<{}>{:?} ", E::NAME, self.shape)?;
        let shown = self.len().min(12);
        f.debug_list().entries(&self.data[..shown]).finish()?;
        if shown < self.len() { write!(f, " and {} more", self.len() - shown) } else { Ok(()) }
    }
}

impl<E: Element> PartialEq for Tensor<E> {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.data() == other.data()
    }
}
