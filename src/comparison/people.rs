//! What two detectors find in one picture: who is found by both, who by one alone, and who twice.
//!
//! Two detections of two detectors are of one object where they have one label and an IoU above [`SAME`]. Of one
//! detector alone that would say nothing, since NMS has dropped such pairs: a box that lies within another by
//! [`WITHIN`] of its area, an arm's in a person's or a person's in a group's, is its double, too. Each detector's
//! surest detection of an object stands for it. The objects of both are then paired, the greatest IoU first, each
//! with at most one. Where the truth is known, what no detection overlaps is missed.

use crate::data::detection::Object;
use crate::engine::found::Found;
use crate::numbers::counted;
use gradus_models::detection::boxes::{self, iou};

/// Boxes that overlap by more are of one object.
pub const SAME: f32 = 0.5;

/// The part of the smaller of two boxes that makes them one detector's detections of one object: a choice. Of the 484
/// pairs of people in one image of PennFudanPed, 4 lie within each other by more (2 by more than 0.9), and a box of a
/// part of a person often reaches beyond him.
pub const WITHIN: f32 = 0.7;

/// The detections of two detectors in one picture, sorted.
#[derive(Clone, Debug)]
pub struct Agreement<'a> {
    /// Objects that both find, each as both have it.
    pub both: Vec<[&'a Found; 2]>,
    /// Objects that one alone finds.
    pub alone: [Vec<&'a Found>; 2],
    /// Further detections of an object that the same detector has already.
    pub doubled: [Vec<&'a Found>; 2],
}

fn overlap(a: &Found, b: &Found) -> f32 {
    if a.label == b.label { iou(&a.bbox, &b.bbox) } else { 0.0 }
}

/// Whether the detections of one detector are of one object.
fn doubles(a: &Found, b: &Found) -> bool {
    let [w, h] = boxes::overlap(&a.bbox, &b.bbox);
    let smaller = boxes::area(&a.bbox).min(boxes::area(&b.bbox));
    overlap(a, b) > SAME || (a.label == b.label && w * h > WITHIN * smaller)
}

/// The surest detection of each object, and the others.
fn distinct(found: &[Found]) -> [Vec<&Found>; 2] {
    let mut sure: Vec<&Found> = found.iter().collect();
    sure.sort_by(|a, b| b.score.total_cmp(&a.score));
    let (mut kept, mut doubled): (Vec<&Found>, Vec<&Found>) = Default::default();
    for one in sure {
        let known = kept.iter().any(|k| doubles(k, one));
        if known { &mut doubled } else { &mut kept }.push(one);
    }
    [kept, doubled]
}

impl<'a> Agreement<'a> {
    /// Of what both found.
    pub fn of(a: &'a [Found], b: &'a [Found]) -> Self {
        let ([mut a, twice_a], [mut b, twice_b]) = (distinct(a), distinct(b));
        let mut both = Vec::new();
        while let Some((_, i, j)) = (0..a.len())
            .flat_map(|i| (0..b.len()).map(move |j| (i, j)))
            .map(|(i, j)| (overlap(a[i], b[j]), i, j))
            .filter(|(iou, ..)| *iou > SAME)
            .max_by(|x, y| x.0.total_cmp(&y.0).then((y.1, y.2).cmp(&(x.1, x.2))))
        {
            both.push([a.remove(i), b.remove(j)]);
        }
        Agreement { both, alone: [a, b], doubled: [twice_a, twice_b] }
    }

    /// The objects of the truth that each misses, and those that both do; crowds are no objects.
    pub fn missed(&self, truth: &[Object]) -> [usize; 3] {
        let side = |k: usize| {
            let others = self.alone[k].iter().chain(&self.doubled[k]).copied();
            self.both.iter().map(move |pair| pair[k]).chain(others)
        };
        let seen = |k: usize, o: &Object| side(k).any(|f| f.label == o.label && iou(&f.bbox, &o.bbox) > SAME);
        let missed = |by: &dyn Fn(&Object) -> bool| truth.iter().filter(|o| !o.crowd && by(o)).count();
        [missed(&|o| !seen(0, o)), missed(&|o| !seen(1, o)), missed(&|o| !seen(0, o) && !seen(1, o))]
    }

    /// What each misses, in words.
    pub fn missed_words(&self, truth: &[Object], names: [&str; 2]) -> String {
        let (all, [a, b, neither]) = (truth.iter().filter(|o| !o.crowd).count(), self.missed(truth));
        format!(
            "Of the {} that are there {} misses {a}, {} misses {b}; {neither} are missed by both.",
            counted(all, "object", "objects"),
            names[0],
            names[1]
        )
    }

    /// How many objects each detector finds, and in how many boxes.
    pub fn counts(&self) -> [[usize; 2]; 2] {
        [0, 1].map(|k| {
            let objects = self.both.len() + self.alone[k].len();
            [objects, objects + self.doubled[k].len()]
        })
    }

    /// In words, each box with its score, from left to right; `names` are the detectors'.
    pub fn words(&self, names: [&str; 2]) -> String {
        let middle = |found: &Found| found.bbox[0] + found.bbox[2];
        let mut both = self.both.clone();
        both.sort_by(|a, b| middle(a[0]).total_cmp(&middle(b[0])));
        let [alone, doubled] = [&self.alone, &self.doubled].map(|of| {
            let mut of = of.clone();
            of.iter_mut().for_each(|own| own.sort_by(|a, b| middle(a).total_cmp(&middle(b))));
            of
        });
        let mut words = match &both[..] {
            [] => "Both find nothing in common.".to_string(),
            some => format!(
                "Both find the same {}, from left to right with the scores of {} and of {}: {}.",
                counted(some.len(), "object", "objects"),
                names[0],
                names[1],
                list(some.iter().map(|pair| pair.as_slice()))
            ),
        };
        for (name, alone) in names.iter().zip(&alone) {
            words += &match &alone[..] {
                [] => format!(" {name} alone finds nothing more."),
                some => format!(" {name} alone finds {} more: {}.", some.len(), list(some.chunks(1))),
            };
        }
        for (name, doubled) in names.iter().zip(&doubled).filter(|(_, doubled)| !doubled.is_empty()) {
            words += &format!(
                " {name} has {} more of objects that it has already: {}.",
                counted(doubled.len(), "box", "boxes"),
                list(doubled.chunks(1))
            );
        }
        if self.doubled.iter().all(Vec::is_empty) {
            words += " Neither has two boxes of one object.";
        }
        words
    }
}

/// Objects by class, scores, and the middle of the first one's box.
fn list<'a>(objects: impl Iterator<Item = &'a [&'a Found]>) -> String {
    let one = |boxes: &[&Found]| {
        let [x1, y1, x2, y2] = boxes[0].bbox;
        let (x, y) = ((x1 + x2) / 2.0, (y1 + y2) / 2.0);
        let scores: Vec<String> = boxes.iter().map(|f| format!("{:.2}", f.score)).collect();
        format!("{} {} around ({x:.0}, {y:.0})", boxes[0].name, scores.join(" and "))
    };
    objects.map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(x: f32, score: f32, label: usize) -> Found {
        Found { bbox: [x, 0.0, x + 10.0, 20.0], score, label, name: "person".into() }
    }

    #[test]
    fn objects_are_told_apart() {
        // Of a, the second is the first again (IoU 8/12); of b, 101 is a's 100, and 30 has another label.
        let a = [found(0.0, 0.9, 1), found(2.0, 0.8, 1), found(100.0, 0.7, 1), found(30.0, 0.6, 1)];
        let b = [found(101.0, 0.95, 1), found(30.0, 0.9, 2), found(60.0, 0.5, 1)];
        let agreement = Agreement::of(&a, &b);
        let at = |found: &[&Found]| found.iter().map(|f| f.bbox[0]).collect::<Vec<_>>();
        assert_eq!(agreement.both.iter().map(|p| p.map(|f| f.bbox[0])).collect::<Vec<_>>(), [[100.0, 101.0]]);
        assert_eq!([at(&agreement.alone[0]), at(&agreement.alone[1])], [vec![0.0, 30.0], vec![30.0, 60.0]]);
        assert_eq!([at(&agreement.doubled[0]), at(&agreement.doubled[1])], [vec![2.0], vec![]]);
        let words = agreement.words(["A", "B"]);
        assert_eq!(
            words,
            "Both find the same 1 object, from left to right with the scores of A and of B: person 0.70 and 0.95 around (105, 10). A alone finds 2 more: person 0.90 around (5, 10), \
             person 0.60 around (35, 10). B alone finds 2 more: person 0.90 around (35, 10), person 0.50 around (65, 10). \
             A has 1 box more of objects that it has already: person 0.80 around (7, 10)."
        );
    }

    #[test]
    fn a_box_within_another_is_its_double_but_not_the_other_detectors() {
        // A third of the surer one, and wholly in it.
        let part = Found { bbox: [2.0, 0.0, 5.0, 18.0], ..found(0.0, 0.8, 1) };
        let a = [found(0.0, 0.9, 1), part.clone()];
        let (agreement, alone) =
            (Agreement::of(&a, &[]), Agreement::of(&a[..1], std::slice::from_ref(&part)));
        assert_eq!((agreement.alone[0].len(), agreement.doubled[0].len()), (1, 1));
        assert_eq!((alone.both.len(), alone.alone[0].len(), alone.alone[1].len()), (0, 1, 1));
        // Beside each other, three fifths of the smaller one.
        let beside = [found(0.0, 0.9, 1), Found { bbox: [4.0, 0.0, 14.0, 12.0], ..part }];
        assert_eq!(Agreement::of(&beside, &[]).doubled[0].len(), 0);
    }

    /// What two detectors found in a photograph of four men who cross a road. The man at the right has three boxes of
    /// the first detector, none of which overlaps another by half, and two of the second.
    #[test]
    fn a_man_of_many_boxes_is_one() {
        let boxes = |all: &[[f32; 4]]| -> Vec<Found> {
            let one = |(k, &bbox): (usize, &[f32; 4])| Found { bbox, ..found(0.0, 0.9 - 0.01 * k as f32, 1) };
            all.iter().enumerate().map(one).collect()
        };
        let a = boxes(&[
            [682.0, 209.0, 885.0, 737.0],
            [107.0, 178.0, 316.0, 743.0],
            [393.0, 162.0, 598.0, 734.0],
            [981.0, 269.0, 1187.0, 749.0],
            [929.0, 379.0, 1128.0, 758.0],
            [857.0, 357.0, 1235.0, 762.0],
        ]);
        let b = boxes(&[
            [74.0, 178.0, 322.0, 725.0],
            [685.0, 206.0, 882.0, 715.0],
            [982.0, 160.0, 1141.0, 739.0],
            [419.0, 189.0, 617.0, 718.0],
            [919.0, 232.0, 1231.0, 721.0],
        ]);
        let agreement = Agreement::of(&a, &b);
        assert_eq!((agreement.both.len(), agreement.counts()), (4, [[4, 6], [4, 5]]));
    }

    #[test]
    fn what_is_missed_is_counted_where_the_truth_is_known() {
        let [a, b] =
            [[found(0.0, 0.9, 1), found(50.0, 0.9, 1)], [found(101.0, 0.8, 1), found(200.0, 0.8, 2)]];
        let there = |x: f32, crowd| Object {
            bbox: [x, 0.0, x + 10.0, 20.0],
            label: 1,
            area: 200.0,
            crowd,
            mask: None,
        };
        // The first is a's, the second b's; at 200 is what b takes for another thing; the last is a crowd.
        let truth = [there(1.0, false), there(100.0, false), there(200.0, false), there(300.0, true)];
        let agreement = Agreement::of(&a, &b);
        assert_eq!(agreement.missed(&truth), [2, 2, 1]);
        // Two in a group's box, which is surer than either's own: they are doubles of it, and not missed.
        let group = Found { bbox: [0.0, 0.0, 40.0, 20.0], ..found(0.0, 0.9, 1) };
        let group = [group, found(0.0, 0.8, 1), found(30.0, 0.7, 1)];
        let two = [there(0.0, false), there(30.0, false)];
        assert_eq!(Agreement::of(&group, &[]).missed(&two), [0, 2, 0]);
        assert_eq!(
            agreement.missed_words(&truth, ["A", "B"]),
            "Of the 3 objects that are there A misses 2, B misses 2; 1 are missed by both."
        );
    }

    #[test]
    fn each_object_is_paired_once_with_what_fits_it_best() {
        // b's one box lies upon both of a's; the nearer one has it.
        let a = [found(0.0, 0.9, 1), found(6.0, 0.8, 1)];
        let b = [found(4.0, 0.7, 1)];
        assert!(overlap(&a[1], &b[0]) > SAME && overlap(&a[0], &b[0]) < SAME);
        let agreement = Agreement::of(&a, &b);
        assert_eq!((agreement.both.len(), agreement.alone[0].len(), agreement.alone[1].len()), (1, 1, 0));
        let nothing = Agreement::of(&[], &[]).words(["A", "B"]);
        assert!(nothing.starts_with("Both find nothing in common. A alone finds nothing more."), "{nothing}");
        assert!(nothing.ends_with("two boxes of one object."));
    }
}
