//! Pooling of images [N, H, W, C].
//!
//! Maximum: y[p, q] = max over taps (r, s) of x[p·stride + r·dilation - padding, ..], where padding counts as
//! -∞. The first maximum in row-major order wins and receives the gradient. Backward keeps which tap it was,
//! in one byte for each output where the window is small enough. It gathers: each row of the input looks at
//! the outputs whose windows cover it, so that rows can be computed independently.
//!
//! Average: what a window sees, and the number that the sum is divided by, are products of what they are on
//! each axis, so that it is a separable map.

use super::taps::Taps;
use super::window::Window;
use crate::buffer::{Indices, Word};
use crate::parallel;
use crate::simd::{Kernel, Simd};
use crate::tape::{Tape, Var};
use crate::{element::Element, epilogue::Activation, profile, tensor::Tensor};

/// Windows that slide over an image; pairs are [vertical, horizontal].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolSpec {
    /// Taps.
    pub kernel: [usize; 2],
    /// Steps of the window.
    pub stride: [usize; 2],
    /// Border on each side, at most half of the window.
    pub padding: [usize; 2],
    /// Distance of taps.
    pub dilation: [usize; 2],
    /// Whether a last window that reaches over the edge counts, if it starts inside of the image or its left
    /// padding. The first one may reach over both edges, by less than a stride.
    pub ceil_mode: bool,
}

impl PoolSpec {
    /// A square window without padding or dilation.
    pub fn square(kernel: usize, stride: usize) -> Self {
        PoolSpec {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [0; 2],
            dilation: [1; 2],
            ceil_mode: false,
        }
    }

    /// The same with a border on all sides.
    pub fn padded(self, padding: usize) -> Self {
        PoolSpec { padding: [padding; 2], ..self }
    }

    /// The output's height and width for an image of [height, width]. Panics, naming the spec, where there is
    /// no window or no pixel, or the padding is more than half of a window.
    #[track_caller]
    pub fn out_hw(&self, size: [usize; 2]) -> [usize; 2] {
        let places = |a: usize| {
            let window = self.window(a, size);
            match window.reach() {
                _ if size[a] == 0 => Err("an image without pixels"),
                Some(reach) if self.padding[a] > reach / 2 => Err("more padding than half of the window"),
                _ => window.outputs(self.ceil_mode),
            }
        };
        match (places(0), places(1)) {
            (Ok(h), Ok(w)) => [h, w],
            (Err(e), _) | (_, Err(e)) => panic!("pooling: {e}: images {size:?}, {self:?}"),
        }
    }

    /// The window along axis a of images of [height, width].
    fn window(&self, a: usize, size: [usize; 2]) -> Window {
        Window::along(a, size, self.kernel, self.stride, self.padding, self.dilation)
    }
}

/// The number of a tap in its window, row-major; the largest number stands for "none": no gradient.
trait TapNumber: Word + PartialEq + Into<u32> {
    const NONE: Self;
    fn new(number: usize) -> Self;
}
impl TapNumber for u8 {
    const NONE: u8 = u8::MAX;
    #[inline(always)]
    fn new(number: usize) -> u8 {
        number as u8
    }
}
impl TapNumber for u32 {
    const NONE: u32 = u32::MAX;
    #[inline(always)]
    fn new(number: usize) -> u32 {
        number as u32
    }
}

/// One output row of the maximum; with each output's tap, if `KEEP`.
struct MaxRow<'a, E, T, const KEEP: bool> {
    x: &'a [E],
    /// What the row's windows see of the image's rows: (the row's first pixel, the number of its first tap).
    rows: &'a [(usize, usize)],
    /// What each output's window sees of a row: (column, tap of the row).
    columns: &'a Taps<usize>,
    c: usize,
    activation: Activation,
    y: &'a mut [E],
    best: &'a mut [T],
}

impl<E: Element, T: TapNumber, const KEEP: bool> Kernel<E> for MaxRow<'_, E, T, KEEP> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(mut self, _: S) {
        let columns = self.columns;
        for q in 0..columns.outputs() {
            let columns = columns.row(q);
            let mut c = 0;
            while c + 64 <= self.c {
                self.channels::<64>(columns, q, c);
                c += 64;
            }
            while c + 16 <= self.c {
                self.channels::<16>(columns, q, c);
                c += 16;
            }
            while c < self.c {
                self.channels::<1>(columns, q, c);
                c += 1;
            }
        }
    }
}

impl<E: Element, T: TapNumber, const KEEP: bool> MaxRow<'_, E, T, KEEP> {
    #[inline(always)]
    #[allow(clippy::eq_op)]
    fn channels<const V: usize>(&mut self, columns: &[(usize, usize)], q: usize, c: usize) {
        let first = self.rows.first().zip(columns.first()).map_or(T::NONE, |(r, s)| T::new(r.1 + s.1));
        let (mut max, mut best) = ([E::NEG_INFINITY; V], [first; V]);
        for &(row, number) in self.rows {
            for &(column, s) in columns {
                let tap = T::new(number + s);
                let x = &self.x[(row + column) * self.c + c..][..V];
                for k in 0..V {
                    let wins = x[k] > max[k] || x[k] != x[k];
                    max[k] = if wins { x[k] } else { max[k] };
                    if KEEP {
                        best[k] = if wins { tap } else { best[k] };
                    }
                }
            }
        }
        if self.activation != Activation::None {
            for k in 0..V {
                max[k] = self.activation.apply(max[k]);
                if KEEP {
                    best[k] = if self.activation.passes(max[k]) { best[k] } else { T::NONE };
                }
            }
        }
        self.y[q * self.c + c..][..V].copy_from_slice(&max);
        if KEEP {
            self.best[q * self.c + c..][..V].copy_from_slice(&best);
        }
    }
}

/// The maximum, and each output's tap if `KEEP`.
fn max_forward<E: Element, T: TapNumber, const KEEP: bool>(
    x: &Tensor<E>,
    spec: PoolSpec,
    activation: Activation,
) -> (Tensor<E>, Indices<T>) {
    let [n, h, w, c] = x.dims("max_pool2d");
    let [oh, ow] = spec.out_hw([h, w]);
    let mut y = Tensor::result("max_pool2d", &[n, oh, ow, c]);
    let mut best = Indices::<T>::stale(if KEEP { y.len() } else { 0 });
    let winners = parallel::Shared::new(&mut best);
    let image = h * w * c;
    let [down, across] = [0, 1].map(|a| spec.window(a, [h, w]));
    let columns = &Taps::new("max_pool2d", w, ow, |q| across.inputs(q));
    parallel::chunks(y.data_mut(), ow * c, |i, y| {
        let rows: Vec<_> = down.inputs(i % oh).map(|(y, r)| (y * w, r * spec.kernel[1])).collect();
        // SAFETY: i is an output row of one image, and its winners are this call's alone.
        let best = unsafe { winners.slice(if KEEP { i * ow * c..(i + 1) * ow * c } else { 0..0 }) };
        let x = &x.data()[i / oh * image..][..image];
        E::dispatch(MaxRow::<E, T, KEEP> { x, rows: &rows, columns, c, activation, y, best });
    });
    (y, best)
}

/// One input row of the maximum's gradient.
struct MaxBackRow<'a, E, T> {
    /// What sees the row: (the first output of a row of them, the number of the first tap).
    rows: &'a [(usize, usize)],
    /// What sees a pixel of it: (pixel, output of the row, tap of the row).
    columns: &'a [(usize, usize, usize)],
    c: usize,
    g: &'a [E],
    best: &'a [T],
    d: &'a mut [E],
}

impl<E: Element, T: TapNumber> Kernel<E> for MaxBackRow<'_, E, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<E>>(self, _: S) {
        let c = self.c;
        self.d.fill(E::ZERO);
        for &(row, number) in self.rows {
            for &(pixel, q, s) in self.columns {
                let (output, tap) = (row + q, T::new(number + s));
                let d = &mut self.d[pixel * c..][..c];
                let (g, best) = (&self.g[output * c..][..c], &self.best[output * c..][..c]);
                for ((d, &g), &best) in d.iter_mut().zip(g).zip(best) {
                    *d += if best == tap { g } else { E::ZERO };
                }
            }
        }
    }
}

fn max_backward<E: Element, T: TapNumber>(
    g: &Tensor<E>,
    best: &Indices<T>,
    spec: PoolSpec,
    [n, h, w, c]: [usize; 4],
) -> Tensor<E> {
    let [_, oh, ow, _] = g.dims("max_pool2d");
    let mut d = Tensor::stale([n, h, w, c]);
    let image = oh * ow * c;
    let [down, across] = [0, 1].map(|a| spec.window(a, [h, w]));
    let columns: Vec<_> = (0..w).flat_map(|x| across.readers(x, ow).map(move |(q, s)| (x, q, s))).collect();
    parallel::chunks(d.data_mut(), w * c, |i, d| {
        let rows = down.readers(i % h, oh).map(|(p, r)| (p * ow, r * spec.kernel[1]));
        let (rows, columns) = (&rows.collect::<Vec<_>>(), &columns);
        let images = i / h * image..(i / h + 1) * image;
        E::dispatch(MaxBackRow { rows, columns, c, g: &g.data()[images.clone()], best: &best[images], d });
    });
    d
}

/// Taps of equal weight: the mean of what each of them reads, as if that were `divisor` numbers.
fn mean<E: Element>(
    read: impl ExactSizeIterator<Item = usize>,
    divisor: usize,
) -> impl ExactSizeIterator<Item = (usize, E)> {
    read.map(move |i| (i, E::from_f64(1.0 / divisor as f64)))
}

impl<E: Element> Tape<E> {
    /// The maximum over windows, then an activation: [N, H, W, C] to [N, P, Q, C]. A window with NaN yields
    /// NaN. Source: `torch.nn.MaxPool2d`.
    #[track_caller]
    pub fn max_pool2d(&mut self, x: Var<E>, spec: PoolSpec, activation: Activation) -> Var<E> {
        if spec.kernel[0].saturating_mul(spec.kernel[1]) < usize::from(u8::MAX) {
            self.max_pool::<u8>(x, spec, activation, None)
        } else {
            self.max_pool::<u32>(x, spec, activation, None)
        }
    }

    /// [`Tape::max_pool2d`] and, for each output in its own order [N, P, Q, C], the place h · W + w of its
    /// maximum in the image (0 for a window that sees nothing but padding).
    #[track_caller]
    pub fn max_pool2d_with_indices(&mut self, x: Var<E>, spec: PoolSpec) -> (Var<E>, Vec<usize>) {
        let mut indices = Vec::new();
        let y = self.max_pool::<u32>(x, spec, Activation::None, Some(&mut indices));
        (y, indices)
    }

    #[track_caller]
    fn max_pool<T: TapNumber>(
        &mut self,
        x: Var<E>,
        spec: PoolSpec,
        activation: Activation,
        indices: Option<&mut Vec<usize>>,
    ) -> Var<E> {
        let _span = profile::span("max_pool2d", "forward");
        let taps = spec.kernel[0].saturating_mul(spec.kernel[1]);
        assert!(taps < u32::MAX as usize, "max_pool2d: a window of {taps} taps: {spec:?}");
        let node = x.node;
        let shape @ [_, h, w, c] = x.value.dims("max_pool2d");
        let keep = indices.is_some() || self.records(&[node]);
        let forward = if keep { max_forward::<E, T, true> } else { max_forward::<E, T, false> };
        let (y, best) = forward(&x.value, spec, activation);
        if let Some(indices) = indices {
            let [_, oh, ow, _] = y.dims("max_pool2d");
            let [down, across] = [0, 1].map(|a| spec.window(a, [h, w]));
            let place = |(i, &tap): (usize, &T)| {
                if tap == T::NONE {
                    return 0;
                }
                let (p, q, tap) = (i / c / ow % oh, i / c % ow, tap.into() as usize);
                let seen = (down.source(p, tap / spec.kernel[1]), across.source(q, tap % spec.kernel[1]));
                let (Some(row), Some(column)) = seen else { unreachable!("a maximum is in the image") };
                row * w + column
            };
            indices.extend(best.iter().enumerate().map(place));
        }
        self.record("max_pool2d", y, &[node], move |g, slots| {
            slots.add(node, || max_backward(&g, &best, spec, shape));
        })
    }

    /// The mean over windows: [N, H, W, C] to [N, P, Q, C]. With `count_include_pad` the divisor counts
    /// padding (but not what a last window of `ceil_mode` has beyond it). Panics for a dilation other than 1.
    /// Source: `torch.nn.AvgPool2d`.
    #[track_caller]
    pub fn avg_pool2d(&mut self, x: Var<E>, spec: PoolSpec, count_include_pad: bool) -> Var<E> {
        assert_eq!(spec.dilation, [1, 1], "avg_pool2d: dilation");
        let [n, h, w, c] = x.value.dims("avg_pool2d");
        let out = spec.out_hw([h, w]);
        let y = Tensor::result("avg_pool2d", &[n, out[0], out[1], c]);
        let taps = |a: usize| {
            let window = spec.window(a, [h, w]);
            Taps::new("avg_pool2d", window.input, out[a], |o| {
                let inputs = window.inputs(o).map(|(i, _)| i);
                let divisor = if count_include_pad { window.places(o) } else { inputs.len() };
                mean(inputs, divisor)
            })
        };
        self.separable("avg_pool2d", x, y, taps(0), taps(1))
    }

    /// The mean over a grid of bins ⌊i n / o⌋ .. ⌈(i + 1) n / o⌉ on each axis: [N, H, W, C] to [N, P, Q, C].
    /// Panics for images without pixels. Source: `torch.nn.AdaptiveAvgPool2d`.
    #[track_caller]
    pub fn adaptive_avg_pool2d(&mut self, x: Var<E>, output_size: [usize; 2]) -> Var<E> {
        let [n, h, w, c] = x.value.dims("adaptive_avg_pool2d");
        let [p, q] = output_size;
        assert!(h > 0 && w > 0, "adaptive_avg_pool2d: {:?} to {output_size:?}", x.shape());
        let y = Tensor::result("adaptive_avg_pool2d", &[n, p, q, c]);
        let taps = |n: usize, o: usize| {
            Taps::new("adaptive_avg_pool2d", n, o, |i| {
                let wide = |n: usize| n as u128;
                let start = (wide(i) * wide(n) / wide(o)) as usize;
                let end = (wide(i + 1) * wide(n)).div_ceil(wide(o)) as usize;
                mean(start..end, end - start)
            })
        };
        self.separable("adaptive_avg_pool2d", x, y, taps(h, p), taps(w, q))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::gradients;

    fn image(h: usize, w: usize, data: &[f64]) -> Tensor<f64> {
        Tensor::from_slice([1, h, w, 1], data)
    }

    #[test]
    fn taps_may_lie_apart() {
        let spec = PoolSpec { kernel: [1, 2], dilation: [1, 2], ..PoolSpec::square(1, 1) };
        let mut t = Tape::<f64>::eval();
        let x = t.input(Tensor::from_slice([1, 1, 5, 1], &[1.0, 5.0, 2.0, 3.0, 9.0]));
        let y = t.max_pool2d(x.clone(), spec, Activation::None);
        assert_eq!(y.value.data(), [2.0, 5.0, 9.0]);
        let g = t.backward_from([(y.node, Tensor::from_slice([1, 1, 3, 1], &[1.0, 2.0, 4.0]))]);
        assert_eq!(g.of(&x).unwrap().data(), [0.0, 2.0, 1.0, 0.0, 4.0]);
    }

    #[test]
    fn the_first_maximum_wins() {
        let x = image(2, 4, &[1.0, 1.0, 0.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
        let spec = PoolSpec::square(2, 2);
        let (y, [g]) = gradients([x.clone()], |t, [x]| t.max_pool2d(x, spec, Activation::None));
        assert_eq!(y.data(), [1.0, 2.0]);
        assert_eq!(g.data(), [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(Tape::infer().max_pool2d_with_indices(x.into(), spec).1, [0, 3]);
    }

    #[test]
    fn activation_is_fused_with_its_gradient() {
        let x = Tensor::from_fn([2, 7, 9, 21], |i| ((i * 7919 % 31) as f64 - 27.0) * 1.5);
        let spec = PoolSpec { ceil_mode: true, ..PoolSpec::square(3, 2).padded(1) };
        for act in [Activation::Relu, Activation::Relu6] {
            let fused = gradients([x.clone()], |t, [x]| t.max_pool2d(x, spec, act));
            let apart = gradients([x.clone()], |t, [x]| {
                let y = t.max_pool2d(x, spec, Activation::None);
                if act == Activation::Relu { t.relu(y) } else { t.relu6(y) }
            });
            assert_eq!(fused, apart);
            // The kernel that keeps no winners.
            assert_eq!(Tape::infer().max_pool2d(x.clone().into(), spec, act).value, fused.0);
            assert!(fused.1[0].data().contains(&0.0) && fused.1[0].data().contains(&1.0));
        }
    }

    #[test]
    fn windows_of_more_than_a_byte_of_taps() {
        let x = Tensor::from_fn([1, 20, 20, 3], |i| (i * 7919 % 1201) as f64);
        let (y, [g]) =
            gradients([x.clone()], |t, [x]| t.max_pool2d(x, PoolSpec::square(20, 1), Activation::None));
        for c in 0..3 {
            let best = (0..400).max_by(|&a, &b| x.data()[a * 3 + c].total_cmp(&x.data()[b * 3 + c])).unwrap();
            assert_eq!((y.data()[c], g.data()[best * 3 + c]), (x.data()[best * 3 + c], 1.0));
        }
    }

    #[test]
    fn ceil_mode_is_pytorchs() {
        let out =
            |n, k, s, p| PoolSpec { ceil_mode: true, ..PoolSpec::square(k, s).padded(p) }.out_hw([n, n])[0];
        // The last window would start in the right padding: dropped.
        assert_eq!((out(5, 2, 2, 0), out(4, 2, 3, 1), out(6, 3, 2, 1), out(2, 1, 3, 0)), (3, 2, 4, 1));
    }

    /// Windows that exceed the image of [0, 1; 2, 3], of PyTorch 2.15: (kernel, stride, padding), the
    /// averages with padding counted and without. All see the whole image, and are one.
    #[test]
    fn a_window_may_exceed_the_image_by_less_than_a_stride() {
        let x = image(2, 2, &[0.0, 1.0, 2.0, 3.0]);
        for (k, s, p, mean) in [
            (3, 2, 0, 1.5),
            (4, 3, 0, 1.5),
            (5, 4, 0, 1.5),
            (5, 3, 1, 0.375),
            (3, 3, 1, 6.0 / 9.0),
            (4, 2, 1, 0.375),
            (7, usize::MAX, 0, 1.5),
        ] {
            let spec = PoolSpec { ceil_mode: true, ..PoolSpec::square(k, s).padded(p) };
            let (y, [g]) = gradients([x.clone()], |t, [x]| t.max_pool2d(x, spec, Activation::None));
            assert_eq!((y.data(), g.data()), (&[3.0][..], &[0.0, 0.0, 0.0, 1.0][..]), "{spec:?}");
            assert_eq!(Tape::infer().max_pool2d_with_indices(x.clone().into(), spec).1, [3]);
            for (counted, want) in [(true, mean), (false, 1.5)] {
                let (y, [g]) = gradients([x.clone()], |t, [x]| t.avg_pool2d(x, spec, counted));
                assert!(
                    (y.item() - want).abs() < 1e-15
                        && g.data().iter().all(|v| (v - want / 6.0).abs() < 1e-15)
                );
            }
        }
        // Two taps 3 apart: the first alone falls on a pixel.
        let spec = PoolSpec { dilation: [3; 2], ceil_mode: true, ..PoolSpec::square(2, 3) };
        let (y, [g]) = gradients([x.clone()], |t, [x]| t.max_pool2d(x, spec, Activation::None));
        assert_eq!((y.data(), g.data()), (&[0.0][..], &[1.0, 0.0, 0.0, 0.0][..]));
        for (k, s) in [(3, 1), (5, 2), (5, 3)] {
            let spec = PoolSpec { ceil_mode: true, ..PoolSpec::square(k, s) };
            assert!(std::panic::catch_unwind(|| spec.out_hw([2, 2])).is_err(), "{spec:?}");
        }
    }

    #[test]
    fn averages() {
        let x = image(3, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        let spec = PoolSpec::square(2, 2).padded(1);
        let y = |cip| Tape::infer().avg_pool2d(x.clone().into(), spec, cip).value;
        assert_eq!(y(true).data(), [0.25, 1.25, 2.75, 7.0]);
        assert_eq!(y(false).data(), [1.0, 2.5, 5.5, 7.0]);
        let spec = PoolSpec { ceil_mode: true, ..PoolSpec::square(2, 2) };
        let (y, [g]) = gradients([x.clone()], |t, [x]| t.avg_pool2d(x, spec, true));
        assert_eq!(y.data(), [3.0, 4.5, 7.5, 9.0]);
        assert_eq!(g.data(), [0.25, 0.25, 0.5, 0.25, 0.25, 0.5, 0.5, 0.5, 1.0]);
        let y = Tape::infer().adaptive_avg_pool2d(x.into(), [2, 2]).value;
        assert_eq!(y.data(), [3.0, 4.0, 6.0, 7.0]);
    }
}
