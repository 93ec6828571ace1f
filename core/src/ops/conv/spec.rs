//! The shape of a convolution.
//!
//! y[n, p, q, o] = Σ_{r, s, c} x[n, p·stride + r·dilation − padding, q·stride + s·dilation − padding, c] w[r,
//! s, c, o], where x outside of the image is 0, and with groups an output channel sees its group's input
//! channels alone. Pairs are [vertical, horizontal]. Images are NHWC, weights HWIO: [kh, kw, c_in / groups,
//! c_out].
//!
//! A tap outside of the image adds 0·w or is left out, as is faster: where w is infinite or NaN, outputs of
//! which that tap lies on padding may be NaN or not. (PyTorch's kernels differ in that as well.)

use crate::gemm::Precision;
use crate::ops::window::Window;
use crate::shape::Shape;

/// A convolution's extents and parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvSpec {
    /// Images.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Input channels, of all groups.
    pub c_in: usize,
    /// Output channels, of all groups.
    pub c_out: usize,
    /// Taps.
    pub kernel: [usize; 2],
    /// Steps of the kernel over the input.
    pub stride: [usize; 2],
    /// Zeros on each side.
    pub padding: [usize; 2],
    /// Distance of taps.
    pub dilation: [usize; 2],
    /// Input and output channels are cut into this many independent parts.
    pub groups: usize,
    /// What the operands are read in.
    pub precision: Precision,
}

impl ConvSpec {
    /// A square kernel with the same stride and padding on both axes, dilation 1, one group, in f32.
    pub fn square(
        [n, h, w, c_in]: [usize; 4],
        c_out: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> ConvSpec {
        let (kernel, stride, padding) = ([kernel; 2], [stride; 2], [padding; 2]);
        let (dilation, groups) = ([1; 2], 1);
        ConvSpec {
            n,
            h,
            w,
            c_in,
            c_out,
            kernel,
            stride,
            padding,
            dilation,
            groups,
            precision: Precision::F32,
        }
    }

    /// The output's height and width: ⌊(h + 2 padding − dilation (kernel − 1) − 1) / stride⌋ + 1. Panics,
    /// naming the spec, when the kernel is larger than the padded input or a parameter is 0.
    #[track_caller]
    pub fn out_hw(&self) -> [usize; 2] {
        match (self.window(0).outputs(false), self.window(1).outputs(false)) {
            (Ok(h), Ok(w)) => [h, w],
            (Err(e), _) | (_, Err(e)) => panic!("conv2d: {e}: {self:?}"),
        }
    }

    /// The window on the vertical axis, 0, or the horizontal one, 1.
    pub(crate) fn window(&self, a: usize) -> Window {
        Window::along(a, [self.h, self.w], self.kernel, self.stride, self.padding, self.dilation)
    }

    /// Panics, naming the spec, when the groups do not divide the channels, or a number is too large: then
    /// extents, offsets between padding and numbers of elements all fit.
    #[track_caller]
    pub fn check(&self) {
        assert!(
            self.groups > 0
                && self.c_in.is_multiple_of(self.groups)
                && self.c_out.is_multiple_of(self.groups),
            "conv2d: groups do not divide the channels: {self:?}"
        );
        let (ConvSpec { n, c_in, c_out, kernel: [kh, kw], .. }, [oh, ow]) = (*self, self.out_hw());
        let padded = [0, 1].map(|a| self.window(a).padded().unwrap_or(usize::MAX));
        // A step is no longer than the axis: see `clipped`.
        let [down, across] = [0, 1].map(|a| padded[a].max(self.stride[a]));
        for dims in [[n, down, across, c_in.max(c_out)], [n, oh, ow, c_out], [kh, kw, c_in, c_out]] {
            Shape::of_result("conv2d: too large a number", &dims);
        }
    }

    /// The same convolution with strides that do not exceed the padded axes by far: a longer step leads out
    /// of them as well.
    pub(crate) fn clipped(mut self) -> Self {
        // More than any stride in use, so that those stay what they are.
        const LEAST: usize = 1 << 16;
        for a in 0..2 {
            self.stride[a] = self.stride[a].min(self.window(a).padded().unwrap_or(LEAST).max(LEAST));
        }
        self
    }

    /// Input channels of one group.
    pub fn group_in(&self) -> usize {
        self.c_in / self.groups
    }

    /// Output channels of one group.
    pub fn group_out(&self) -> usize {
        self.c_out / self.groups
    }

    /// Elements of the input.
    pub fn x_len(&self) -> usize {
        self.n * self.h * self.w * self.c_in
    }

    /// Elements of the weights.
    pub fn w_len(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.group_in() * self.c_out
    }

    /// Elements of the output.
    #[track_caller]
    pub fn y_len(&self) -> usize {
        let [oh, ow] = self.out_hw();
        self.n * oh * ow * self.c_out
    }

    /// Floating-point operations of one pass: 2 a multiply-add, taps on padding counted.
    #[track_caller]
    pub fn flops(&self) -> f64 {
        2.0 * self.y_len() as f64 * (self.kernel[0] * self.kernel[1] * self.group_in()) as f64
    }
}

/// One of a convolution's three maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// (x, w) to y.
    Forward,
    /// (dy, w) to dx.
    BackwardData,
    /// (x, dy) to dw.
    BackwardWeight,
}

impl Pass {
    /// All three.
    pub const ALL: [Pass; 3] = [Pass::Forward, Pass::BackwardData, Pass::BackwardWeight];

    /// As profiles name it.
    pub fn name(self) -> &'static str {
        match self {
            Pass::Forward => "forward",
            Pass::BackwardData => "backward data",
            Pass::BackwardWeight => "backward weight",
        }
    }
}
