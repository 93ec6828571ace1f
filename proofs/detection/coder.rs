//! Claim B1, over the coder that anchors and proposals use (`gradus_models::detection::coder`).

use gradus_core::Element;
use gradus_models::detection::boxes::BBox;
use gradus_models::detection::coder::BoxCoder;
use gradus_proofs::property::{ensure, holds, refuted};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

/// A box with sides between 2^-3 and 2^10 anywhere within ±2^11.
fn any_box() -> impl Strategy<Value = BBox<f64>> {
    let place = prop_oneof![-2048f64..2048.0, (-64i16..64).prop_map(f64::from)];
    let side = prop_oneof![(-3f64..10.0).prop_map(f64::exp2), (1u16..64).prop_map(f64::from)];
    (place.clone(), place, side.clone(), side).prop_map(|(x, y, w, h)| [x, y, x + w, y + h])
}

fn coder() -> impl Strategy<Value = BoxCoder> {
    prop_oneof![Just(BoxCoder::ANCHORS), Just(BoxCoder::PROPOSALS)]
}

/// By how much each corner may be off: the theorem's bound, u (15 M + (s / 2)(4 |ln (s / S)| + 6)).
fn bound<E: Element>(b: &BBox<E>, reference: &BBox<E>) -> [f64; 2] {
    let (b, r) = (b.map(E::to_f64), reference.map(E::to_f64));
    let most = b.iter().chain(&r).fold(0f64, |m, v| m.max(v.abs()));
    [0, 1].map(|axis| {
        let (own, other) = (b[axis + 2] - b[axis], r[axis + 2] - r[axis]);
        E::UNIT_ROUNDOFF * (15.0 * most + own / 2.0 * (4.0 * (own / other).ln().abs() + 6.0))
    })
}

/// Whether no side grows beyond what decoding cuts, with room for the code's own rounding.
fn grows_little<E: Element>(b: &BBox<E>, reference: &BBox<E>) -> bool {
    let side = |b: &BBox<E>, axis: usize| (b[axis + 2] - b[axis]).to_f64();
    (0..2).all(|axis| side(b, axis) / side(reference, axis) < 62.49)
}

fn round_trip<E: Element>(coder: BoxCoder, b: BBox<f64>, reference: BBox<f64>) -> TestCaseResult {
    let (b, reference) = (b.map(E::from_f64), reference.map(E::from_f64));
    prop_assume!(b[2] > b[0] && b[3] > b[1] && reference[2] > reference[0] && reference[3] > reference[1]);
    prop_assume!(grows_little(&b, &reference));
    within(coder, b, reference)
}

fn within<E: Element>(coder: BoxCoder, b: BBox<E>, reference: BBox<E>) -> TestCaseResult {
    let back = coder.decode(&coder.encode(&b, &reference), &reference);
    let bound = bound(&b, &reference);
    for i in 0..4 {
        let error = (back[i].to_f64() - b[i].to_f64()).abs();
        ensure(error <= bound[i % 2], || {
            format!("{back:?} for {b:?}: off by {error:e}, {:e}", bound[i % 2])
        })?;
    }
    Ok(())
}

#[test]
fn b1_decoding_undoes_encoding_in_f32() {
    holds((coder(), any_box(), any_box()), |(coder, b, r)| round_trip::<f32>(coder, b, r));
}

#[test]
fn b1_decoding_undoes_encoding_in_f64() {
    holds((coder(), any_box(), any_box()), |(coder, b, r)| round_trip::<f64>(coder, b, r));
}

#[test]
fn b1_a_box_seen_from_itself_is_zero() {
    holds((coder(), any_box()), |(coder, b)| {
        let b = b.map(|v| v as f32);
        ensure(coder.encode(&b, &b) == [0.0; 4], || format!("{:?}", coder.encode(&b, &b)))
    });
}

#[test]
fn b1_a_code_does_not_see_where_or_how_large_the_pair_is() {
    // A power of two scales every step without a rounding; so does the code of the scaled pair equal the
    // pair's.
    holds((coder(), any_box(), any_box(), -8i32..8), |(coder, b, r, k)| {
        let scaled = |b: &BBox<f64>| b.map(|v| v * 2f64.powi(k));
        let (one, other) = (coder.encode(&b, &r), coder.encode(&scaled(&b), &scaled(&r)));
        ensure(one == other, || format!("{one:?}, {other:?}"))
    });
}

#[test]
fn b1_control_without_a_limit_of_growth() {
    let thin = (-1024f64..1024.0, 0f64..4.0).prop_map(|(x, w)| [x, x, x + 1.0 + w, x + 1.0 + w]);
    refuted((coder(), any_box(), thin), |(coder, b, r)| within(coder, b, r));
}

#[test]
fn b1_control_bit_for_bit() {
    refuted((coder(), any_box(), any_box()), |(coder, b, r)| {
        let (b, r) = (b.map(|v| v as f32), r.map(|v| v as f32));
        prop_assume!(grows_little(&b, &r));
        let back = coder.decode(&coder.encode(&b, &r), &r);
        ensure(back == b, || format!("{back:?} for {b:?}"))
    });
}

#[test]
fn b1_control_a_decoder_of_other_weights() {
    refuted((any_box(), any_box()), |(b, r)| {
        prop_assume!(grows_little(&b, &r));
        let back = BoxCoder::ANCHORS.decode(&BoxCoder::PROPOSALS.encode(&b, &r), &r);
        let bound = bound(&b, &r);
        ensure((0..4).all(|i| (back[i] - b[i]).abs() <= bound[i % 2]), || format!("{back:?} for {b:?}"))
    });
}
