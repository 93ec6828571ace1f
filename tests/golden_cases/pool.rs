//! Pooling and resizing of images.

use super::Op;
use super::run::Run;
use gradus_core::Element;
use gradus_core::ops::{PoolSpec, scaled_size};
use serde_json::Value;

pub fn table<E: Element>() -> Vec<Op<E>> {
    vec![
        Op::new("max_pool2d", max_pool2d, 16.0),
        Op::new("avg_pool2d", avg_pool2d, 32.0),
        Op::new("adaptive_avg_pool2d", adaptive_avg_pool2d, 32.0),
        Op::new("interpolate", interpolate, 160.0),
    ]
}

pub fn spec<E: Element>(run: &Run<E>) -> PoolSpec {
    let kernel = run.case.pair("kernel");
    PoolSpec {
        kernel,
        stride: run.case.pair_or("stride", kernel),
        padding: run.case.pair_or("padding", [0, 0]),
        dilation: run.case.pair_or("dilation", [1, 1]),
        ceil_mode: run.case.flag("ceil_mode"),
    }
}

/// Height and width of the image or images `x`.
fn size<E: Element>(run: &Run<E>) -> [usize; 2] {
    let [.., h, w] = run.shape("x") else { panic!("{}: x is no image", run.case.name) };
    [*h, *w]
}

pub fn max_pool2d<E: Element>(run: &mut Run<E>) {
    let spec = spec(run);
    let x = run.images("x");
    let activation = run.case.activation();
    let (again, indices) = run.tape.max_pool2d_with_indices(x.detach(), spec);
    let y = run.tape.max_pool2d(x, spec, activation);
    let mut pairs = y.value.data().iter().zip(again.value.data());
    let same = pairs.all(|(&y, &a)| y == activation.apply(a) || y.to_f64().is_nan() && a.to_f64().is_nan());
    assert!(same, "max_pool2d with and without indices differ");
    run.output_images("y", &y);
    let places = indices.into_iter().map(|i| i as i64).collect();
    run.integer_images("indices", y.shape(), places);
}

fn avg_pool2d<E: Element>(run: &mut Run<E>) {
    let spec = spec(run);
    let counts = run.case.attr("count_include_pad").is_none() || run.case.flag("count_include_pad");
    let x = run.images("x");
    let y = run.tape.avg_pool2d(x, spec, counts);
    run.output_images("y", &y);
}

fn adaptive_avg_pool2d<E: Element>(run: &mut Run<E>) {
    let asked = run.case.attr("output_size").expect("an output_size");
    let given = size(run);
    // null keeps the input's extent; one number stands for both.
    let output = std::array::from_fn(|a| {
        let extent = if asked.is_array() { &asked[a] } else { asked };
        extent.as_u64().map_or(given[a], |n| n as usize)
    });
    let x = run.images("x");
    let y = run.tape.adaptive_avg_pool2d(x, output);
    run.output_images("y", &y);
}

fn interpolate<E: Element>(run: &mut Run<E>) {
    let given = size(run);
    let output = match run.case.attr("scale_factor") {
        None => run.case.pair("size"),
        Some(Value::Array(factors)) => {
            std::array::from_fn(|a| scaled_size(given, factors[a].as_f64().expect("a number"))[a])
        }
        Some(factor) => scaled_size(given, factor.as_f64().expect("a number")),
    };
    let x = run.images("x");
    let y = match run.case.text_or("mode", "nearest") {
        "nearest" => run.tape.resize_nearest(x, output),
        "bilinear" if !run.case.flag("align_corners") => run.tape.resize_bilinear(x, output),
        mode => panic!("interpolate: mode {mode}, align_corners {:?}", run.case.attr("align_corners")),
    };
    run.output_images("y", &y);
}
