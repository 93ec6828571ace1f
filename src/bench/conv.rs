//! Convolutions of the shapes that the project's networks use, each pass by itself; weight packing is
//! counted.

use super::median;
use gradus_core::gemm::Precision;
use gradus_core::ops::conv::{self, ConvSpec, Pass};
use gradus_core::{Epilogue, Rng, Tensor, init};
use serde::Serialize;
use std::fmt;

/// A named shape.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// As in the peers' scripts.
    pub name: &'static str,
    /// The convolution.
    pub spec: ConvSpec,
}

#[rustfmt::skip]
const TABLE: [(&str, [usize; 9]); 19] = [
    // n, c_in, h, w, c_out, kernel, stride, padding, groups
    ("cifar_alex_c1", [256, 3, 32, 32, 64, 3, 2, 1, 1]),
    ("cifar_alex_c2", [256, 64, 8, 8, 192, 3, 1, 1, 1]),
    ("cifar_alex_c3", [256, 192, 4, 4, 384, 3, 1, 1, 1]),
    ("cifar_alex_c4", [256, 384, 4, 4, 256, 3, 1, 1, 1]),
    ("cifar_alex_c5", [256, 256, 4, 4, 256, 3, 1, 1, 1]),
    ("alex_c1_11x11s4", [16, 3, 224, 224, 64, 11, 4, 2, 1]),
    ("alex_c2_5x5", [16, 64, 27, 27, 192, 5, 1, 2, 1]),
    ("alex_c3_3x3", [16, 192, 13, 13, 384, 3, 1, 1, 1]),
    ("r50_stem_7x7s2", [1, 3, 800, 1088, 64, 7, 2, 3, 1]),
    ("r50_l1_3x3", [1, 64, 200, 272, 64, 3, 1, 1, 1]),
    ("r50_l1_1x1_64_256", [1, 64, 200, 272, 256, 1, 1, 0, 1]),
    ("r50_l2_3x3", [1, 128, 100, 136, 128, 3, 1, 1, 1]),
    ("r50_l3_3x3", [1, 256, 50, 68, 256, 3, 1, 1, 1]),
    ("r50_l3_1x1_1024_256", [1, 1024, 50, 68, 256, 1, 1, 0, 1]),
    ("r50_l4_3x3", [1, 512, 25, 34, 512, 3, 1, 1, 1]),
    ("fpn_3x3_p2", [1, 256, 200, 272, 256, 3, 1, 1, 1]),
    ("mbv2_dw_3x3", [1, 144, 200, 272, 144, 3, 1, 1, 144]),
    ("mbv2_dw_3x3s2", [1, 96, 400, 544, 96, 3, 2, 1, 96]),
    ("mbv2_1x1_320_1280", [1, 320, 25, 34, 1280, 1, 1, 0, 1]),
];

/// The shapes, in the peers' order.
pub fn shapes() -> impl Iterator<Item = Shape> {
    TABLE.iter().map(|&(name, [n, c_in, h, w, c_out, k, s, p, groups])| Shape {
        name,
        spec: ConvSpec {
            n,
            h,
            w,
            c_in,
            c_out,
            kernel: [k; 2],
            stride: [s; 2],
            padding: [p; 2],
            dilation: [1; 2],
            groups,
            precision: Precision::F32,
        },
    })
}

/// One pass of one shape.
#[derive(Clone, Debug, Serialize)]
pub struct Timing {
    /// The shape's name.
    pub shape: &'static str,
    /// "forward", "backward_data" or "backward_weight".
    pub pass: &'static str,
    /// Which algorithm was chosen.
    pub algorithm: &'static str,
    /// The median time.
    pub ms: f64,
    /// Of the direct convolution's operations, padding counted, as the peers count.
    pub gflops: f64,
}

/// All timings; a JSON list.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Timings(pub Vec<Timing>);

/// Times every shape and pass; `each` sees the timings as they come.
pub fn run(runs: usize, precision: Precision, mut each: impl FnMut(&Timing)) -> Timings {
    let mut all = Vec::new();
    let mut rng = Rng::seed(1);
    for Shape { name, spec } in shapes() {
        let spec = ConvSpec { precision, ..spec };
        let mut draw = |len: usize| init::normal::<f32>([len], 0.0, 1.0, &mut rng);
        let (x, w, dy) = (draw(spec.x_len()), draw(spec.w_len()), draw(spec.y_len()));
        let mut out = Tensor::<f32>::stale([spec.x_len().max(spec.w_len()).max(spec.y_len())]);
        let flops = 2.0 * (spec.y_len() * spec.group_in() * spec.kernel[0] * spec.kernel[1]) as f64;
        for pass in Pass::ALL {
            let algorithm = conv::choose(&spec, pass);
            let (x, w, dy, out) = (x.data(), w.data(), dy.data(), out.data_mut());
            let seconds = median(2, runs, || match pass {
                Pass::Forward => {
                    let out = &mut out[..spec.y_len()];
                    conv::forward(algorithm, &spec, x, w, &Epilogue::default(), out);
                }
                Pass::BackwardData => {
                    conv::backward_data(algorithm, &spec, dy, w, &mut out[..spec.x_len()]);
                }
                Pass::BackwardWeight => {
                    conv::backward_weight(algorithm, &spec, x, dy, &mut out[..spec.w_len()]);
                }
            });
            let pass = match pass {
                Pass::Forward => "forward",
                Pass::BackwardData => "backward_data",
                Pass::BackwardWeight => "backward_weight",
            };
            let timing = Timing {
                shape: name,
                pass,
                algorithm: algorithm.name(),
                ms: 1e3 * seconds,
                gflops: flops / seconds / 1e9,
            };
            each(&timing);
            all.push(timing);
        }
    }
    Timings(all)
}

impl fmt::Display for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:20} {:16} {:9} {:>9} {:>9}", "shape", "pass", "algorithm", "ms", "GFLOP/s")?;
        for t in &self.0 {
            let (shape, pass, algorithm) = (t.shape, t.pass, t.algorithm);
            writeln!(f, "{shape:20} {pass:16} {algorithm:9} {:9.2} {:9.1}", t.ms, t.gflops)?;
        }
        Ok(())
    }
}
