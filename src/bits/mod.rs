//! The recorded bits: what gradus computes in f32 is a function of its input alone, not of the processor.
//!
//! Sums are cut and ordered by shape, never by lanes or threads; each step of them is an operation that IEEE
//! 754 rounds correctly (claims X1 and X3 of the proofs). So a digest of each op's and each network's
//! results, made once, must come out again wherever gradus runs. The digests are kept in
//! `tests/bits/recorded.txt`; this module makes them again.
//!
//! A [`Case`] is one computation under a name such as `softmax/along-rows`; what it gives has parts, such as
//! the value (`forward`) and the gradients (`backward`), each with a digest of its own. Inputs are drawn from
//! the counter-based generator as multiples of 2^-24, so that a digest that differs tells of the op and not
//! of its input.

mod arithmetic;
mod case;
mod convolutions;
mod digest;
mod draw;
mod drawn;
mod elementary;
mod flows;
mod learning;
mod losses;
mod movement;
mod networks;
mod pointwise;
mod products;
mod recorded;
mod sums;
mod windows;

pub use case::{Case, Op};
pub use digest::{Digest, Digester};
pub use drawn::drawn;
pub use recorded::{Digests, RECORDED, parse, text};

/// Every case whose digests are recorded, the quick ones first.
pub fn cases() -> Vec<Case> {
    let groups = [
        elementary::cases(),
        pointwise::cases(),
        arithmetic::cases(),
        sums::cases(),
        movement::cases(),
        losses::cases(),
        windows::cases(),
        products::cases(),
        convolutions::cases(),
        learning::cases(),
        flows::cases(),
        networks::cases(),
    ];
    groups.into_iter().flatten().collect()
}
