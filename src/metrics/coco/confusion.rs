//! Which class was found in place of which: the confusion matrix of detections.
//!
//! Classes do not matter for who is compared with whom. In each image the detections from a least score on,
//! the surest first, each take the object not yet taken that they overlap most, from an IoU of 0.5 on. Then
//! (class of the object, class of the detection) is counted. An object that nobody takes was missed, and
//! counts as taken for *background*; a detection that takes no object was found where there is background.
//! One that does, but in a region of many objects, counts for nothing, as does that region.

use super::matching::box_iou;
use super::{Detection, GroundTruth, THRESHOLDS, Truth, thresholds};
use crate::metrics::confusion::Confusion;

/// The matrix of detections that are at least so sure, by boxes. Detections and objects of other images or
/// categories do not count.
pub fn confused(truth: &GroundTruth, detections: &[Detection], least: f64) -> Confusion {
    let names: Vec<String> = truth.categories.iter().map(|category| category.name.clone()).collect();
    let mut confusion = Confusion::of_objects(&names);
    let place = |id: i64| truth.categories.iter().position(|category| category.id == id);
    let [iou, ..]: [f64; THRESHOLDS] = thresholds();
    let mut images = truth.images.clone();
    images.sort_unstable();
    images.dedup();
    let mut objects: Vec<&Truth> = truth.truths.iter().collect();
    objects.sort_by_key(|object| object.image);
    let mut sure: Vec<&Detection> = detections.iter().filter(|d| d.score >= least).collect();
    sure.sort_by(|a, b| a.image.cmp(&b.image).then(b.score.total_cmp(&a.score)));
    for image in images {
        let own = of_image(&objects, image, |object| object.image).iter();
        let own: Vec<_> = own.filter_map(|object| Some((*object, place(object.category)?))).collect();
        let mut taken = vec![false; own.len()];
        for found in of_image(&sure, image, |found| found.image) {
            let Some(class) = place(found.category) else { continue };
            let near = |(object, _): &(&Truth, usize)| box_iou(found.bbox, object.bbox, object.crowd);
            let free = own.iter().enumerate().filter(|(k, one)| !taken[*k] && near(one) >= iou);
            // A single object rather than a region of many.
            let order = |one: &(&Truth, usize)| (!one.0.crowd, near(one));
            let best =
                free.max_by(|a, b| order(a.1).partial_cmp(&order(b.1)).unwrap_or(std::cmp::Ordering::Equal));
            match best {
                Some((_, (object, _))) if object.crowd => {}
                Some((k, (_, of))) => {
                    taken[k] = true;
                    confusion.add(*of, class);
                }
                None => confusion.add(names.len(), class),
            }
        }
        for ((object, class), taken) in own.iter().zip(taken) {
            if !taken && !object.crowd {
                confusion.add(*class, names.len());
            }
        }
    }
    confusion
}

/// Those of an image, in a list that is sorted by images.
fn of_image<'s, 'a, T>(sorted: &'s [&'a T], image: i64, of: impl Fn(&T) -> i64) -> &'s [&'a T] {
    let start = sorted.partition_point(|one| of(one) < image);
    let end = sorted.partition_point(|one| of(one) <= image);
    &sorted[start..end]
}

#[cfg(test)]
mod tests {
    use super::super::Category;
    use super::*;

    #[test]
    fn each_object_is_taken_missed_or_mistaken_once() {
        let category = |(id, name): (i64, &str)| Category { id, name: name.into() };
        let object = |id: i64, image: i64, category: i64, x: f64, crowd: bool| Truth {
            id,
            image,
            category,
            bbox: [x, 0.0, 10.0, 10.0],
            area: 100.0,
            crowd,
            mask: None,
        };
        let truth = GroundTruth {
            images: vec![7, 9],
            categories: [(3, "cat"), (5, "dog")].map(category).to_vec(),
            truths: vec![
                object(1, 7, 3, 0.0, false),
                object(2, 7, 5, 100.0, false),
                object(3, 9, 5, 0.0, false),
                object(4, 9, 5, 200.0, true),
                object(5, 8, 5, 0.0, false),
            ],
        };
        let found =
            |image, category, score, x| Detection::of_box(image, category, score, [x, 0.0, 10.0, 10.0]);
        let detections = [
            found(7, 5, 0.6, 0.5),   // a second box on the cat: it is taken already
            found(7, 3, 0.9, 1.0),   // the cat
            found(7, 3, 0.8, 102.0), // the dog, taken for a cat
            found(7, 5, 0.4, 100.0), // not sure enough
            found(9, 3, 0.7, 201.0), // in a region of many: counts for nothing
            found(9, 5, 0.7, 4.0),   // an IoU of 6/14: too far from the dog
            found(8, 5, 0.9, 0.0),   // an image that is not judged
        ];
        let confusion = confused(&truth, &detections, 0.5);
        assert_eq!(confusion.classes(), ["cat", "dog", "background"]);
        assert_eq!(confusion.counts(), [[1, 0, 0], [1, 0, 1], [0, 2, 0]]);
        let words = confusion.to_string();
        for told in [
            "cat  100.0 % found",
            "dog    0.0 % found",
            "dog found where there is none, 2 times",
            "dog taken for cat, once",
            "dog missed, once",
        ] {
            assert!(words.contains(told), "{told}: {words}");
        }
        assert!(!words.contains("background"), "{words}");
        // With no least score the sure detection comes first still, and the others are doubles.
        assert_eq!(confused(&truth, &detections, 0.0).counts(), [[1, 0, 0], [1, 0, 1], [0, 3, 0]]);
    }
}
