//! Cases on their way: every op of a case once on the tape, a convolution by each algorithm as well.

use crate::cases::case::Case;
use crate::cases::run::{Run, Values};
use crate::cases::{Op, table};
use crate::{compare, convolutions};
use gradus::bits::{Digest, Digester};
use gradus_core::Element;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is wrong with a case in the precision of E; a panic is.
pub fn case<E: Element>(ops: &[Op<E>], case: &Case) -> Vec<String> {
    let Some(op) = ops.iter().find(|op| op.name == case.op) else {
        return vec![format!("unknown op {}", case.op)];
    };
    let whole = || {
        let mut wrong = by::<E>(case, op.run);
        if case.op == "conv2d" {
            wrong.extend(convolutions::by_each_algorithm::<E>(case));
        }
        wrong
    };
    catch_unwind(AssertUnwindSafe(whole)).unwrap_or_else(|cause| vec![format!("panics: {}", said(&*cause))])
}

/// What is wrong with a case when that is how it is computed.
pub fn by<E: Element>(case: &Case, compute: impl Fn(&mut Run<E>)) -> Vec<String> {
    let mut run = Run::<E>::new(case);
    compute(&mut run);
    let (computed, _) = run.finish();
    let missing = |name: &&str| computed.iter().all(|c| c.name != *name);
    let mut wrong: Vec<String> =
        case.expected().into_iter().filter(missing).map(|name| format!("{name} was not computed")).collect();
    let expected = computed.iter().filter(|c| case.has(&c.name));
    wrong.extend(expected.filter_map(|c| compare::wrong::<E>(case, c)));
    wrong
}

/// The bits of everything that a case computes in f32, on the tape.
pub fn digest(ops: &[Op<f32>], case: &Case) -> Digest {
    let mut run = Run::<f32>::new(case);
    if let Some(op) = ops.iter().find(|op| op.name == case.op) {
        (op.run)(&mut run);
    }
    let mut digester = Digester::default();
    for computed in run.finish().0 {
        digester.text(&computed.name);
        match computed.values {
            Values::Floats(values) => digester.doubles(&values),
            Values::Integers(values) => values.iter().for_each(|&i| digester.number(i as usize)),
        }
    }
    digester.finish()
}

fn said(cause: &(dyn std::any::Any + Send)) -> &str {
    let owned = cause.downcast_ref::<String>().map(String::as_str);
    owned.or(cause.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

/// The wrong ones among some cases: (number, what is wrong).
pub fn all<E: Element>(cases: &[Case]) -> Vec<(usize, Vec<String>)> {
    let ops = table::<E>();
    let each = cases.iter().enumerate().map(|(i, c)| (i, case::<E>(&ops, c)));
    each.filter(|(_, wrong)| !wrong.is_empty()).collect()
}
