//! Golden cases: ops with inputs and attributes, and the values PyTorch, torchvision, pycocotools or ONNX
//! give.

pub mod backbones;
pub mod boxes;
pub mod case;
pub mod coco;
pub mod controls;
pub mod conv;
pub mod dense;
pub mod detection;
pub mod elementwise;
pub mod formula;
pub mod loss;
pub mod models;
pub mod norm;
pub mod optim;
pub mod pool;
pub mod rcnn;
pub mod run;
pub mod sample;
pub mod shape;

use case::Case;
use gradus_core::Element;
use run::{Difference, Run};

/// How an op of the files is run here, and how exact it is.
pub struct Op<E: Element> {
    pub name: &'static str,
    pub run: fn(&mut Run<E>),
    /// The greatest error in f32, in unit roundoffs of the greatest expected magnitude: 4 to 10 times what
    /// PyTorch itself loses between f64 and f32 on such cases.
    pub roundoffs: f64,
    /// The same of cases that normalise by the batch's statistics, and the accuracy of their expected values.
    pub in_training: (f64, f64),
    /// Whether the error of a gradient is relative to the greatest upstream gradient, if that is greater.
    pub relative_to_upstream: bool,
}

impl<E: Element> Op<E> {
    pub fn new(name: &'static str, run: fn(&mut Run<E>), roundoffs: f64) -> Self {
        Op { name, run, roundoffs, in_training: (roundoffs, REFERENCE), relative_to_upstream: false }
    }

    pub fn in_training(self, roundoffs: f64, reference: f64) -> Self {
        Op { in_training: (roundoffs, reference), ..self }
    }

    pub fn relative_to_upstream(self) -> Self {
        Op { relative_to_upstream: true, ..self }
    }
}

/// Every op that can be run.
pub fn table<E: Element>() -> Vec<Op<E>> {
    [
        backbones::table,
        boxes::table,
        conv::table,
        dense::table,
        detection::table,
        elementwise::table,
        loss::table,
        models::table,
        norm::table,
        optim::table,
        pool::table,
        rcnn::table,
        shape::table,
    ]
    .into_iter()
    .flat_map(|table| table())
    .collect()
}

/// The accuracy of expected values in f64, relative to the greatest.
const REFERENCE: f64 = 1e-12;

/// The accuracy of a few steps of Adam on gradients with noise in place of zeros: ten learning rates of 1e-4.
const TRAJECTORY: f64 = 1e-3;

/// Runs a case in the precision of E and compares.
pub fn differences<E: Element>(case: &Case) -> Result<Vec<Difference>, String> {
    if let Some(folder) = &case.folder {
        return coco::check(folder).map(|()| Vec::new());
    }
    let table = table::<E>();
    let op = table.iter().find(|op| op.name == case.op).ok_or_else(|| format!("unknown op {}", case.op))?;
    let mut run = Run::<E>::new(case);
    (op.run)(&mut run);
    let unit = if case.in_float32 { f32::UNIT_ROUNDOFF } else { E::UNIT_ROUNDOFF };
    let (roundoffs, reference) =
        if case.flag("training") { op.in_training } else { (op.roundoffs, REFERENCE) };
    let bound = (roundoffs * unit).max(reference);
    // Adam divides a gradient by its size. Where one is 0 by structure, Winograd's transforms leave rounding
    // noise, which Adam turns into a step of up to the learning rate: a trajectory then tells less than one
    // gradient does. (The automatic choice avoids Winograd for gradients of weights over few pixels for that
    // reason.)
    let amplified = std::env::var("GRADUS_CONV").is_ok_and(|v| v.starts_with("winograd")) && E::NAME == "f32";
    let allowances = run.allowances();
    let of = |name: &str| match allowances.iter().find(|(prefix, _)| name.starts_with(prefix)) {
        Some((_, roundoffs)) => (roundoffs * unit).max(REFERENCE),
        None if amplified && name.starts_with("out.train_") => bound.max(TRAJECTORY),
        None => bound,
    };
    Ok(run.check(op.relative_to_upstream, &of))
}
