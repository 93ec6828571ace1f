//! Parameters, and the visit of a network that finds them.
//!
//! One visitor serves loading, saving, stepping and freezing: a module names its children, parameters and
//! buffers once. Names are PyTorch's. Values are in this library's layouts; [`Layout`] says how PyTorch
//! stores the same.

use crate::{element::Element, tensor::Tensor};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Identifies a parameter for its lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamId(u64);

/// How PyTorch lays out what is stored here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The same.
    Plain,
    /// Here HWIO [kh, kw, in/groups, out], there OIHW [out, in/groups, kh, kw].
    Conv,
    /// Here HWIO [kh, kw, in, out/groups], there IOHW [in, out/groups, kh, kw].
    ConvTranspose,
    /// Here [in, out], there [out, in].
    Linear,
    /// Here [pixels·c, out], there [out, c·pixels]: a linear layer on maps, flattened here as they lie.
    LinearOnMap {
        /// Height times width of the maps.
        pixels: usize,
    },
}

impl Layout {
    /// A shape of ours with the axes that [`Layout::axes`] counts.
    pub fn view(self, ours: &[usize]) -> Vec<usize> {
        match (self, ours) {
            (Layout::LinearOnMap { pixels }, &[rows, out]) => vec![pixels, rows / pixels, out],
            _ => ours.to_vec(),
        }
    }

    /// PyTorch's shape of a tensor that has this shape here.
    pub fn torch_shape(self, ours: &[usize]) -> Vec<usize> {
        match self {
            Layout::Plain => ours.to_vec(),
            Layout::LinearOnMap { .. } => Layout::Linear.torch_shape(ours),
            _ => self.axes().iter().map(|&a| ours[a]).collect(),
        }
    }

    /// For each axis of PyTorch's order, the axis of ours (of [`Layout::view`]).
    pub fn axes(self) -> &'static [usize] {
        match self {
            Layout::Plain => &[],
            Layout::Conv => &[3, 2, 0, 1],
            Layout::ConvTranspose => &[2, 3, 0, 1],
            Layout::Linear => &[1, 0],
            Layout::LinearOnMap { .. } => &[2, 1, 0],
        }
    }
}

/// A tensor that training changes.
#[derive(Debug)]
pub struct Param<E: Element = f32> {
    /// The value.
    pub value: Tensor<E>,
    /// Whether gradients are computed for it.
    pub trainable: bool,
    /// PyTorch's layout of it.
    pub layout: Layout,
    id: ParamId,
}

impl<E: Element> Param<E> {
    /// A trainable parameter.
    pub fn new(value: Tensor<E>, layout: Layout) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Param { value, trainable: true, layout, id: ParamId(NEXT.fetch_add(1, Relaxed)) }
    }

    /// Its identity.
    pub fn id(&self) -> ParamId {
        self.id
    }
}

/// What a visitor is shown.
pub enum Slot<'a, E: Element> {
    /// A parameter.
    Param(&'a mut Param<E>),
    /// A tensor that is saved but not trained by gradients: running statistics.
    Buffer(&'a mut Tensor<E>),
}

/// What tells two tensors of one name apart.
#[derive(PartialEq, Eq)]
enum Identity {
    Param(ParamId),
    /// Its address.
    Buffer(usize),
}

/// Walks a module's tensors with their full names. A name is one tensor's: a second one of that name panics.
/// One tensor may have several names, as tied weights do.
pub struct Visitor<'f, E: Element> {
    path: String,
    names: HashMap<String, Identity>,
    f: &'f mut dyn FnMut(&str, Slot<'_, E>),
}

impl<E: Element> Visitor<'_, E> {
    #[track_caller]
    fn show(&mut self, name: &str, identity: Identity, slot: Slot<'_, E>) {
        let at = self.path.len();
        self.enter(name);
        match self.names.get(&self.path) {
            Some(known) => assert!(*known == identity, "visit: two tensors are called {}", self.path),
            None => _ = self.names.insert(self.path.clone(), identity),
        }
        (self.f)(&self.path, slot);
        self.path.truncate(at);
    }

    fn enter(&mut self, name: &str) {
        if !self.path.is_empty() && !name.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
    }

    /// A parameter called `name` here. Panics where another tensor has that name.
    #[track_caller]
    pub fn param(&mut self, name: &str, p: &mut Param<E>) {
        self.show(name, Identity::Param(p.id()), Slot::Param(p));
    }

    /// A buffer called `name` here. Panics where another tensor has that name.
    #[track_caller]
    pub fn buffer(&mut self, name: &str, t: &mut Tensor<E>) {
        self.show(name, Identity::Buffer(std::ptr::from_mut(t).addr()), Slot::Buffer(t));
    }

    /// A module called `name` here; "" adds nothing to the path.
    pub fn child(&mut self, name: &str, m: &mut (impl Module<E> + ?Sized)) {
        let at = self.path.len();
        self.enter(name);
        m.visit(self);
        self.path.truncate(at);
    }
}

/// Something with parameters.
pub trait Module<E: Element = f32> {
    /// Shows every child, parameter and buffer to the visitor, always in the same order.
    fn visit(&mut self, v: &mut Visitor<'_, E>);

    /// Calls `f` with each tensor's full name; a tensor of several names is shown under each.
    fn for_each(&mut self, mut f: impl FnMut(&str, Slot<'_, E>))
    where
        Self: Sized,
    {
        self.visit(&mut Visitor { path: String::new(), names: HashMap::new(), f: &mut f });
    }

    /// Calls `f` once for each parameter, with its full name, the first if it has several.
    fn for_each_param(&mut self, mut f: impl FnMut(&str, &mut Param<E>))
    where
        Self: Sized,
    {
        let mut seen = HashSet::new();
        self.for_each(|name, slot| match slot {
            Slot::Param(p) if seen.insert(p.id()) => f(name, p),
            _ => {}
        });
    }

    /// The number of parameters' elements.
    fn num_params(&mut self) -> usize
    where
        Self: Sized,
    {
        let mut n = 0;
        self.for_each_param(|_, p| n += p.value.len());
        n
    }

    /// Marks all parameters as trainable or not.
    fn set_trainable(&mut self, trainable: bool)
    where
        Self: Sized,
    {
        self.for_each_param(|_, p| p.trainable = trainable);
    }
}
