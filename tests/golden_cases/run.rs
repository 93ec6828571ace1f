//! Running a case in one precision: inputs in, outputs and gradients out and compared.
//!
//! The files hold PyTorch's layouts, the library has its own. A view is a permutation: axis i of ours is axis
//! `axes[i]` of PyTorch's; an op names the view of each input and output, the rest happens here.

use super::case::Case;
use gradus_core::{Element, NodeId, Rng, Shape, Tape, Tensor, Var};
use gradus_models::checkpoint::RawTensor;

/// NCHW seen as NHWC.
pub const IMAGE: &[usize] = &[0, 2, 3, 1];
/// OIHW seen as HWIO.
pub const CONV: &[usize] = &[2, 3, 1, 0];
/// IOHW seen as HWIO.
pub const CONV_TRANSPOSE: &[usize] = &[2, 3, 0, 1];
/// [out, in] seen as [in, out].
pub const LINEAR: &[usize] = &[1, 0];

/// The axes 0..rank as they are.
pub fn plain(rank: usize) -> Vec<usize> {
    (0..rank).collect()
}

/// [N, C, ...] seen as [N, ..., C]; a single axis is C alone.
pub fn channels_last(rank: usize) -> Vec<usize> {
    match rank {
        0 | 1 => plain(rank),
        _ => std::iter::once(0).chain(2..rank).chain([1]).collect(),
    }
}

/// Elements in the order of the permuted axes, and the permuted shape.
pub fn permute<T: Copy>(shape: &[usize], data: &[T], axes: &[usize]) -> (Vec<usize>, Vec<T>) {
    assert_eq!(shape.len(), axes.len(), "a view {axes:?} of {shape:?}");
    let to: Vec<usize> = axes.iter().map(|&a| shape[a]).collect();
    let strides = Shape::new(shape).strides();
    let mut index = vec![0; to.len()];
    let mut out = Vec::with_capacity(data.len());
    for _ in 0..data.len() {
        out.push(data[index.iter().zip(axes).map(|(i, &a)| i * strides[a]).sum::<usize>()]);
        for axis in (0..to.len()).rev() {
            index[axis] += 1;
            if index[axis] < to[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    (to, out)
}

/// The permutation that undoes one.
pub fn inverse(axes: &[usize]) -> Vec<usize> {
    let mut back = vec![0; axes.len()];
    axes.iter().enumerate().for_each(|(i, &a)| back[a] = i);
    back
}

fn floats<E: Element>(t: &Tensor<E>) -> Vec<f64> {
    t.data().iter().map(|v| v.to_f64()).collect()
}

struct Input<E: Element> {
    name: String,
    var: Var<E>,
    axes: Vec<usize>,
}

pub enum Values {
    Floats(Vec<f64>),
    Integers(Vec<i64>),
}

/// An output or a gradient in PyTorch's shape and order, under the full name it has in files.
pub struct Computed {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Values,
    /// What an error is relative to, where it is not the greatest expected magnitude.
    scale: Option<f64>,
}

struct Output {
    computed: Computed,
    node: Option<NodeId>,
    /// Our shape, for the upstream gradient.
    ours: Shape,
    axes: Vec<usize>,
}

/// A case on its way in the precision of E.
pub struct Run<'c, E: Element> {
    pub case: &'c Case,
    pub tape: Tape<E>,
    inputs: Vec<Input<E>>,
    outputs: Vec<Output>,
    /// Tensors whose names begin so may be off by so many unit roundoffs, whatever the op's own bound is.
    allowances: Vec<(&'static str, f64)>,
}

impl<'c, E: Element> Run<'c, E> {
    pub fn new(case: &'c Case) -> Self {
        let tape = if case.flag("training") { Tape::train(&mut Rng::seed(0)) } else { Tape::eval() };
        Run { case, tape, inputs: Vec::new(), outputs: Vec::new(), allowances: Vec::new() }
    }

    /// Another bound, in unit roundoffs, for tensors whose names begin so. The reason stands where it is
    /// called.
    pub fn allow(&mut self, prefix: &'static str, roundoffs: f64) {
        self.allowances.push((prefix, roundoffs));
    }

    /// The other bounds.
    pub fn allowances(&self) -> Vec<(&'static str, f64)> {
        self.allowances.clone()
    }

    /// A tensor of the file in a view.
    pub fn read(&self, raw: &RawTensor, axes: &[usize]) -> Tensor<E> {
        let (shape, data) = permute(raw.shape(), &raw.to_f64(), axes);
        Tensor::from_fn(&shape[..], |i| E::from_f64(data[i]))
    }

    /// An input's extents in PyTorch's order.
    pub fn shape(&self, name: &str) -> &'c [usize] {
        self.case.tensor(&format!("in.{name}")).shape()
    }

    /// Whether the input is there.
    pub fn has(&self, name: &str) -> bool {
        self.case.has(&format!("in.{name}"))
    }

    /// An input in a view, live if the file has its gradient.
    pub fn input(&mut self, name: &str, axes: &[usize]) -> Var<E> {
        let value = self.read(self.case.tensor(&format!("in.{name}")), axes);
        if !self.case.has(&format!("grad.{name}")) {
            return value.into();
        }
        let var = self.tape.input(value);
        self.inputs.push(Input { name: name.into(), var: var.clone(), axes: axes.to_vec() });
        var
    }

    /// An input as it is.
    pub fn plain(&mut self, name: &str) -> Var<E> {
        let axes = plain(self.shape(name).len());
        self.input(name, &axes)
    }

    /// An input as it is, if it is there.
    pub fn optional(&mut self, name: &str) -> Option<Var<E>> {
        self.has(name).then(|| self.plain(name))
    }

    /// An input that no gradient is wanted of, as it is.
    pub fn constant(&self, name: &str) -> Tensor<E> {
        let raw = self.case.tensor(&format!("in.{name}"));
        self.read(raw, &plain(raw.shape().len()))
    }

    /// Images [N, C, H, W] or one image [C, H, W], as NHWC.
    pub fn images(&mut self, name: &str) -> Var<E> {
        match self.shape(name).len() {
            3 => {
                let v = self.input(name, &[1, 2, 0]);
                let [h, w, c] = v.value.dims("one image");
                reshaped(&mut self.tape, v, Shape::new(&[1, h, w, c]))
            }
            _ => self.input(name, IMAGE),
        }
    }

    /// An output in a view; a leading axis of 1 that PyTorch has not is dropped.
    pub fn output(&mut self, name: &str, var: &Var<E>, axes: &[usize]) {
        let values = Values::Floats(floats(&var.value));
        self.put(name, var.node, *var.shape(), values, axes);
    }

    /// An output as it is.
    pub fn output_plain(&mut self, name: &str, var: &Var<E>) {
        self.output(name, var, &plain(var.shape().len()));
    }

    /// NHWC images, of which there is no N where the inputs had none.
    pub fn output_images(&mut self, name: &str, var: &Var<E>) {
        let axes = self.image_axes(name);
        self.output(name, var, axes);
    }

    /// Integers in the view of [`Run::output_images`].
    pub fn integer_images(&mut self, name: &str, shape: &[usize], values: Vec<i64>) {
        let axes = self.image_axes(name);
        self.put(name, None, Shape::new(shape), Values::Integers(values), axes);
    }

    /// Integers as they are.
    pub fn integers(&mut self, name: &str, shape: &[usize], values: Vec<i64>) {
        self.put(name, None, Shape::new(shape), Values::Integers(values), &plain(shape.len()));
    }

    /// Numbers that are no tensor of E.
    pub fn numbers(&mut self, name: &str, shape: &[usize], values: Vec<f64>) {
        self.numbers_of_scale(name, shape, values, None);
    }

    /// Numbers whose error is relative to `scale`, where there is one.
    pub fn numbers_of_scale(&mut self, name: &str, shape: &[usize], values: Vec<f64>, scale: Option<f64>) {
        self.put(name, None, Shape::new(shape), Values::Floats(values), &plain(shape.len()));
        self.outputs.last_mut().expect("what was just put").computed.scale = scale;
    }

    fn image_axes(&self, name: &str) -> &'static [usize] {
        let expected = self.case.get(&format!("out.{name}"));
        if expected.is_some_and(|t| t.shape().len() == 3) { &[1, 2, 0] } else { IMAGE }
    }

    fn put(&mut self, name: &str, node: Option<NodeId>, ours: Shape, values: Values, axes: &[usize]) {
        let mut shape = ours.to_vec();
        if shape.len() == axes.len() + 1 && shape[0] == 1 {
            shape.remove(0);
        }
        let back = inverse(axes);
        let (shape, values) = match values {
            Values::Floats(v) => {
                let (s, v) = permute(&shape, &v, &back);
                (s, Values::Floats(v))
            }
            Values::Integers(v) => {
                let (s, v) = permute(&shape, &v, &back);
                (s, Values::Integers(v))
            }
        };
        let computed = Computed { name: format!("out.{name}"), shape, values, scale: None };
        self.outputs.push(Output { computed, node, ours, axes: axes.to_vec() });
    }

    /// Goes back from the upstream gradients: every output and the gradient of every live input, under their
    /// full names, and the greatest upstream gradient.
    pub fn finish(self) -> (Vec<Computed>, f64) {
        let mut seeds = Vec::new();
        let mut upstream: f64 = 0.0;
        for o in &self.outputs {
            let name = o.computed.name.replacen("out.", "up.", 1);
            let Some(up) = self.case.get(&name) else { continue };
            if up.shape() == o.computed.shape {
                upstream = up.to_f64().iter().fold(upstream, |m, v| m.max(v.abs()));
                let seed = self.read(up, &o.axes).reshape(o.ours);
                seeds.push((o.node, seed));
            }
        }
        let gradients = self.tape.backward_from(seeds);
        let mut computed: Vec<Computed> = self.outputs.into_iter().map(|o| o.computed).collect();
        for input in &self.inputs {
            let back = inverse(&input.axes);
            // The input itself has the shape where nothing reached it.
            let zeros = || Tensor::zeros(*input.var.shape());
            let g = gradients.of(&input.var).cloned().unwrap_or_else(zeros);
            let (shape, values) = permute(g.shape(), &floats(&g), &back);
            let name = format!("grad.{}", input.name);
            computed.push(Computed { name, shape, values: Values::Floats(values), scale: None });
        }
        (computed, upstream)
    }

    /// Compares everything the file expects with what was computed. `bound(name)` is the greatest relative
    /// error allowed of a tensor.
    pub fn check(self, relative_to_upstream: bool, bound: &dyn Fn(&str) -> f64) -> Vec<Difference> {
        let case = self.case;
        let (computed, upstream) = self.finish();
        // A gradient that is zero by structure is rounding noise beside the upstream one, whatever the
        // reference says.
        let scale = (if relative_to_upstream { upstream } else { 1e-10 * upstream }, upstream);
        let mut found = Vec::new();
        for full in case.expected() {
            let expected = case.tensor(full);
            match computed.iter().find(|c| c.name == full) {
                Some(c) => found.push(c.compare(expected, scale, bound(full))),
                None if full.starts_with("grad.") => {
                    found.push(Difference::fatal(full, "is no input of this op"))
                }
                None if case.flag("partial") => {}
                None => found.push(Difference::fatal(full, "was not computed")),
            }
        }
        found
    }
}

/// The same variable under another shape of as many elements, recorded.
pub fn reshaped<E: Element>(tape: &mut Tape<E>, v: Var<E>, to: Shape) -> Var<E> {
    let (from, node) = (*v.shape(), v.node);
    let value = v.value.reshape(to);
    tape.record("reshape", value, &[node], move |g, slots| slots.add(node, || g.reshape(from)))
}

impl Computed {
    /// The error is relative to the greatest expected magnitude; a gradient's as [`compare_floats`] is told.
    fn compare(&self, expected: &RawTensor, gradient: (f64, f64), bound: f64) -> Difference {
        let full = &self.name;
        if self.shape != expected.shape() {
            let message = format!("has the shape {:?}, expected {:?}", self.shape, expected.shape());
            return Difference::fatal(full, &message);
        }
        match (&self.values, expected.to_i64()) {
            (Values::Integers(got), Some(want)) => {
                let wrong = got.iter().zip(&want).filter(|(g, w)| g != w).count();
                let message = format!("{wrong} of {} integers differ", want.len());
                if wrong > 0 { Difference::fatal(full, &message) } else { Difference::none(full) }
            }
            (Values::Floats(got), Some(want)) => {
                let same = got.iter().zip(&want).all(|(g, w)| *g == *w as f64);
                if same { Difference::none(full) } else { Difference::fatal(full, "integers differ") }
            }
            (Values::Floats(got), None) => {
                let scale = match self.scale {
                    Some(s) => (f64::INFINITY, s),
                    None if full.starts_with("grad.") => gradient,
                    None => (0.0, 0.0),
                };
                compare_floats(full, got, &expected.to_f64(), scale, bound)
            }
            (Values::Integers(_), None) => Difference::fatal(full, "integers where numbers are expected"),
        }
    }
}

/// How one tensor compares with what is expected.
pub struct Difference {
    pub tensor: String,
    /// max|difference| / max|expected|.
    pub error: f64,
    /// What is allowed.
    pub bound: f64,
    /// What is wrong beyond numbers.
    pub fatal: Option<String>,
}

impl Difference {
    fn none(tensor: &str) -> Self {
        Difference { tensor: tensor.into(), error: 0.0, bound: 0.0, fatal: None }
    }

    pub fn fatal(tensor: &str, message: &str) -> Self {
        Difference { fatal: Some(message.into()), ..Difference::none(tensor) }
    }

    /// What is wrong, if anything is.
    pub fn failure(&self) -> Option<String> {
        match &self.fatal {
            Some(message) => Some(format!("{} {message}", self.tensor)),
            None if self.error > self.bound || self.error.is_nan() => Some(format!(
                "{}: relative error {:.2e}, allowed {:.2e}",
                self.tensor, self.error, self.bound
            )),
            None => None,
        }
    }
}

/// max|got − want| / scale, where scale is max|want|, or `upstream` where all that is expected is less than
/// `least`.
pub fn compare_floats(
    tensor: &str,
    got: &[f64],
    want: &[f64],
    (least, upstream): (f64, f64),
    bound: f64,
) -> Difference {
    if got.len() != want.len() {
        return Difference::fatal(tensor, &format!("{} values, {} expected", got.len(), want.len()));
    }
    let (mut worst, mut scale): (f64, f64) = (0.0, 0.0);
    for (&g, &w) in got.iter().zip(want) {
        if w.is_finite() && g.is_finite() {
            worst = worst.max((g - w).abs());
            scale = scale.max(w.abs());
        } else if !(g == w || g.is_nan() && w.is_nan()) {
            return Difference::fatal(tensor, &format!("{g} where {w} is expected"));
        }
    }
    if scale < least {
        scale = upstream;
    }
    let error = if worst == 0.0 { 0.0 } else { worst / scale };
    Difference { tensor: tensor.into(), error, bound, fatal: None }
}
