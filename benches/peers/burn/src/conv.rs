//! The convolutions of `gradus bench conv`, each pass by itself, through the interface of burn's backends.
//! There the two gradients can be had one at a time; they are the calls that burn's autodiff makes.

use crate::timing::median;
use burn_backend::ops::{ConvOptions, FloatTensorOps, ModuleOps};
use burn_backend::{Distribution, FloatDType, Shape};
use burn_flex::{Flex, FlexDevice};
use serde_json::{Value, json};

#[rustfmt::skip]
const SHAPES: [(&str, [usize; 9]); 19] = [
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

pub fn run() -> Value {
    let mut rows = Vec::new();
    for (shape, [n, c_in, h, w, c_out, kernel, stride, padding, groups]) in SHAPES {
        let out = |len| (len + 2 * padding - kernel) / stride + 1;
        let draw = |dims: [usize; 4]| {
            let normal = Distribution::Normal(0.0, 1.0);
            Flex::float_random(Shape::from(dims), normal, &FlexDevice, FloatDType::F32)
        };
        let x = draw([n, c_in, h, w]);
        let weight = draw([c_out, c_in / groups, kernel, kernel]);
        let dy = draw([n, c_out, out(h), out(w)]);
        let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], groups);
        let flops = 2 * n * c_out * out(h) * out(w) * c_in / groups * kernel * kernel;

        for pass in ["forward", "backward_data", "backward_weight"] {
            let seconds = median(2, 7, || {
                let (x, weight, dy, options) = (x.clone(), weight.clone(), dy.clone(), options.clone());
                match pass {
                    "forward" => Flex::conv2d(x, weight, None, options),
                    "backward_data" => Flex::conv2d_x_backward(x, weight, dy, options),
                    _ => Flex::conv2d_weight_backward(x, weight, dy, options),
                };
            });
            let gflops = 1e-9 * flops as f64 / seconds;
            rows.push(json!({ "shape": shape, "pass": pass, "ms": 1e3 * seconds, "gflops": gflops }));
        }
    }
    rows.into()
}
