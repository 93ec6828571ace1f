//! Ops that move elements, and add where several go to one place.

use super::case::{Case, op};
use super::draw::signed;

pub(super) fn cases() -> Vec<Case> {
    let maps = [signed(&[3, 7, 9, 35])];
    let two = [signed(&[3, 5, 33]), signed(&[3, 2, 33])];
    vec![
        op("moves/reshape", &maps, |t, x| t.reshape(x[0].clone(), &[3, -1, 35])),
        op("moves/permute", &maps, |t, x| t.permute(x[0].clone(), &[0, 3, 1, 2])),
        op("moves/permute-all", &maps, |t, x| t.permute(x[0].clone(), &[3, 2, 1, 0])),
        op("moves/flatten", &maps, |t, x| t.flatten(x[0].clone())),
        op("moves/flatten-chw", &maps, |t, x| t.flatten_chw(x[0].clone())),
        op("moves/concat", &two, |t, x| t.concat(vec![x[0].clone(), x[1].clone(), x[0].clone()], 1)),
        op("moves/slice", &maps, |t, x| t.slice(x[0].clone(), 2, 1, -1, 3)),
        op("moves/select", &maps, |t, x| {
            let places: Vec<usize> = (0..40).map(|i| i * i % 7).collect();
            t.index_select(x[0].clone(), 1, &places)
        }),
        op("moves/gather", &two, |t, x| {
            let index: Vec<usize> = (0..3 * 4 * 33).map(|i| i * 7 % 5).collect();
            t.gather(x[0].clone(), 1, &index, [3, 4, 33])
        }),
    ]
}
