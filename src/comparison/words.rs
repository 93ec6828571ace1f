//! What a comparison says: who leads and by how much, what goes with that lead, and what both find in a picture.
//! Each sentence is of numbers at hand, and is another where these are others.

use super::people::Agreement;
use super::{Comparison, Side};
use crate::engine::files::Weights;
use crate::engine::found::FoundIn;
use crate::numbers::{count, counted};

/// COCO's classes of size, and where AP of each stands.
const SIZES: [(&str, usize); 3] = [("small", 3), ("medium", 4), ("large", 5)];

/// As it is told: differences of what is told then agree with it.
fn thousandths(x: f64) -> f64 {
    (1000.0 * x).round() / 1000.0
}

fn difference(x: f64, y: f64) -> f64 {
    thousandths(x) - thousandths(y)
}

impl Comparison {
    /// What both learned from and were judged on.
    pub fn opening(&self) -> String {
        let [train, test] = self.images;
        format!(
            "Both learned from the same {} and were judged on the same {} that they did not learn from.",
            counted(train, "image", "images"),
            counted(test, "other", "others")
        )
    }

    /// Which weights what is told belongs to: a run's charts are of its best, which the test images chose.
    pub fn which_weights(&self, side: &Side) -> String {
        let [own, best] = &side.curves;
        let charts = format!(
            "The charts below are by the weights of epoch {} of {}, whose AP on the test images is the greatest ({:.3}; that is \
             how the run chose them)",
            best.epoch, side.epochs, best.ap
        );
        match own.epoch == best.epoch {
            true => format!("{charts}, and so is all that follows in 5b and 5c."),
            false => format!(
                "{charts}; the comparison in 5b and the photographs in 5c are by those of the last epoch ({:.3}), which no \
                 test image chose.",
                own.ap
            ),
        }
    }

    /// What the accuracies say: who is the better one, on which images, and by how much it is worse on those it
    /// did not learn from.
    pub fn words(&self) -> Vec<String> {
        let [a, b] = self.sides();
        let which = match self.weights {
            Weights::Last => "after the last epoch",
            Weights::Best => "after the epoch of the greatest AP on the test images",
        };
        let mut words = vec![format!("All numbers are of the weights {which}.")];
        words.push(self.led("training", |s| s.train.boxes[0]));
        words.push(self.led("test", |s| s.test.boxes[0]));
        let told = self.sides().into_iter().filter(|s| s.train.boxes[0] >= 0.0 && s.test.boxes[0] >= 0.0);
        words.extend(told.map(|s| {
            let by = difference(s.train.boxes[0], s.test.boxes[0]);
            let how = if by < 0.0 { "higher" } else { "lower" };
            format!(
                "{}'s AP is {:.3} {how} on the test images than on those it learned from.",
                s.model,
                by.abs()
            )
        }));
        let times = b.seconds_per_image / a.seconds_per_image;
        if times.is_finite() && times > 0.0 {
            let (slow, fast, times) = if times >= 1.0 { (b, a, times) } else { (a, b, 1.0 / times) };
            words.push(format!(
                "{} takes {times:.1} times as long for an image as {}.",
                slow.model, fast.model
            ));
        }
        words
    }

    /// Who has the greater AP on some images.
    fn led(&self, name: &str, of: impl Fn(&Side) -> f64) -> String {
        let [a, b] = self.sides();
        let [x, y] = [of(a), of(b)];
        let (better, worse, [x, y]) = if x >= y { (a, b, [x, y]) } else { (b, a, [y, x]) };
        if x < 0.0 || y < 0.0 {
            return format!("On the {name} images there is nothing to find.");
        }
        if x == y {
            return format!("On the {name} images both have an AP of {x:.3}.");
        }
        format!(
            "On the {name} images {} has an AP of {x:.3}, {:.3} above {}'s {y:.3}.",
            better.model,
            difference(x, y),
            worse.model
        )
    }

    /// What goes with the lead on the test images, and what the numbers cannot tell of its reason.
    pub fn reasons(&self) -> Vec<String> {
        let [a, b] = self.sides();
        let [x, y] = [a, b].map(|s| thousandths(s.test.boxes[0]));
        if x == y || x < 0.0 || y < 0.0 {
            return vec!["Neither leads on the test images, so that no reason is to be sought.".into()];
        }
        let (lead, other) = if x > y { (a, b) } else { (b, a) };
        let mut words = vec![origin_of_lead(lead, other)];
        words.extend(losses(lead, other));
        words.extend(sizes(lead, other));
        words.push(means(lead, other));
        let apart: Vec<_> =
            a.recipe.iter().zip(&b.recipe).filter(|(x, y)| x != y).map(|(x, _)| x.0).collect();
        let differ = match &apart[..] {
            [] => "The two were trained alike, so that chance is what parts them".to_string(),
            [one] => format!("The two differ in {one}"),
            [first @ .., last] => format!("The two differ in {} and {last} at once", first.join(", ")),
        };
        words.push(format!(
            "What the numbers do not show: one run of each was compared, on {}. {differ}: which part of the lead is due to which, and \
             how much another seed would move it, more runs would have to tell.",
            counted(self.images[1], "test image", "test images")
        ));
        words
    }

    /// What both find in the k-th picture: how many, who is found by whom, and what another least score changes.
    pub fn in_picture(&self, k: usize) -> Vec<String> {
        let photos = self.sides().map(|s| &s.photos[k]);
        let (agreement, names) = (agreement(photos), self.names());
        let found = |[objects, boxes]: [usize; 2]| {
            format!("{} in {}", counted(objects, "object", "objects"), counted(boxes, "box", "boxes"))
        };
        let [of_a, of_b] = agreement.counts().map(found);
        let missed = match &self.truths[k] {
            Some(truth) => agreement.missed_words(truth, names),
            None => {
                "The picture is none of the data's, so that only who looks at it can tell what both miss."
                    .into()
            }
        };
        vec![
            format!(
                "{}: from a score of {:.2} on {} finds {of_a}, {} finds {of_b}. {} {missed}",
                self.pictures[k].0,
                self.score,
                names[0],
                names[1],
                agreement.words(names)
            ),
            self.where_f1_is_best(k, &agreement),
        ]
    }

    /// What changes where each detector's boxes count from the score that serves its F1 on the test images best.
    fn where_f1_is_best(&self, k: usize, shown: &Agreement<'_>) -> String {
        let sides = self.sides();
        let [Some(a), Some(b)] = sides.map(|s| s.curves[0].best) else {
            return "Nothing was found in the test images, so that no other least score suggests itself."
                .into();
        };
        let sure = agreement(sides.map(|s| &s.confident[k]));
        let change = |i: usize| {
            let ([before, boxes], [after, sure]) = (shown.counts()[i], sure.counts()[i]);
            let changed = |before: usize, after: usize, [one, many]: [&str; 2]| match before == after {
                true => format!("the same {}", counted(after, one, many)),
                false => format!("{} instead of {before}", counted(after, one, many)),
            };
            let objects = changed(before, after, ["object", "objects"]);
            format!("{} {objects}, in {}", sides[i].model, changed(boxes, sure, ["box", "boxes"]))
        };
        let both = match sure.both.len() {
            0 => "both find none in common".to_string(),
            n => format!("both find the same {}", counted(n, "object", "objects")),
        };
        format!(
            "With these weights F1 on the test images is greatest from a score of {:.2} ({}) and {:.2} ({}). From there on the picture \
             has: {}, {}; {both}.",
            a.score,
            sides[0].model,
            b.score,
            sides[1].model,
            change(0),
            change(1)
        )
    }

    fn names(&self) -> [&str; 2] {
        self.sides().map(|s| s.model.as_str())
    }
}

fn agreement<'a>([a, b]: [&'a FoundIn; 2]) -> Agreement<'a> {
    Agreement::of(&a.detections, &b.detections)
}

/// Whether the lead is there on the images learned from already, or comes of a smaller loss on the others.
fn origin_of_lead(lead: &Side, other: &Side) -> String {
    let on_test = difference(lead.test.boxes[0], other.test.boxes[0]);
    let [x, y] = [lead, other].map(|s| s.train.boxes[0]);
    if x < 0.0 || y < 0.0 {
        return format!("{} leads by {on_test:.3} on the test images.", lead.model);
    }
    let on_train = difference(x, y);
    let why = if 2.0 * on_train >= on_test {
        "so the lead is one of fitting better, and not of overfitting less"
    } else {
        "so the lead is one of overfitting less, and not of fitting better"
    };
    format!(
        "Of {}'s lead of {on_test:.3} on the test images {on_train:.3} are there on the images that both learned from, and \
         {:.3} come of what each loses on others: {why}.",
        lead.model,
        thousandths(on_test - on_train)
    )
}

/// How the last training losses go with it, where they are of the same quantity.
fn losses(lead: &Side, other: &Side) -> Option<String> {
    let alike = lead.test.masks.is_some() == other.test.masks.is_some();
    let (Some(&x), Some(&y)) = (lead.losses.last(), other.losses.last()) else { return None };
    alike.then(|| {
        let (how, goes) = if x < y {
            ("lower", "which goes with that")
        } else {
            ("not lower", "which does not explain it")
        };
        format!("Its last training loss is {how}, {x:.3} against {y:.3}, {goes}.")
    })
}

/// On which sizes it leads; where there are objects of one size alone, that.
fn sizes(lead: &Side, other: &Side) -> Option<String> {
    let known = |&(_, k): &(&str, usize)| lead.test.boxes[k] >= 0.0 && other.test.boxes[k] >= 0.0;
    let there: Vec<_> = SIZES.into_iter().filter(known).collect();
    let lacking: Vec<_> = SIZES.iter().filter(|size| !known(size)).map(|size| size.0).collect();
    let by = |k: usize| difference(lead.test.boxes[k], other.test.boxes[k]);
    let most = there.iter().max_by(|x, y| by(x.1).total_cmp(&by(y.1)))?;
    let told = there.iter().map(|&(name, k)| {
        format!("{:.3} against {:.3} on {name} objects", lead.test.boxes[k], other.test.boxes[k])
    });
    let none = match &lacking[..] {
        [] => String::new(),
        some => format!(" (of {} ones the test images have none)", some.join(" and ")),
    };
    Some(format!(
        "By size its AP is {}{none}: the lead is greatest on {} ones.",
        told.collect::<Vec<_>>().join(", "),
        most.0
    ))
}

/// What it had more or less of: parameters, weights to begin with, time.
fn means(lead: &Side, other: &Side) -> String {
    let size = match lead.parameters as f64 / other.parameters as f64 {
        ratio if ratio >= 1.05 => format!(
            "{ratio:.1} times as many parameters ({} against {})",
            count(lead.parameters),
            count(other.parameters)
        ),
        ratio if ratio <= 0.95 => format!(
            "fewer parameters ({} against {}), so that size is no reason",
            count(lead.parameters),
            count(other.parameters)
        ),
        _ => format!(
            "about as many parameters ({} against {})",
            count(lead.parameters),
            count(other.parameters)
        ),
    };
    let began = match (&lead.pretrained, &other.pretrained) {
        (Some(x), Some(y)) if x == y => format!("both began with the weights in {x}"),
        (Some(x), Some(y)) => {
            format!("both began with weights that others had trained ({x}, {y}), each with its own")
        }
        (Some(x), None) => format!("it alone began with weights that others had trained ({x})"),
        (None, Some(y)) => format!("the other alone began with weights that others had trained ({y})"),
        (None, None) => "both began with random weights".into(),
    };
    let time = lead.seconds_per_epoch / other.seconds_per_epoch;
    let time = if time.is_finite() && time > 0.0 {
        format!("; an epoch took it {time:.1} times as long")
    } else {
        String::new()
    };
    format!("It has {size}; {began}{time}.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::curves::Curves;
    use crate::data::detection::Object;
    use crate::engine::detection::Score;
    use crate::engine::found::Found;
    use crate::image::Image;
    use crate::metrics::coco::AtConfidence;

    fn found(x: f32, score: f32) -> Found {
        Found { bbox: [x, 0.0, x + 10.0, 20.0], score, label: 1, name: "person".into() }
    }

    /// A side with AP on training and test images, a loss, parameters, and what it finds in one picture.
    fn side(model: &str, [train, test]: [f64; 2], loss: f64, parameters: usize, seen: &[Found]) -> Side {
        let mut boxes = [-1.0; 12];
        (boxes[0], boxes[4], boxes[5]) = (test, test / 2.0, test);
        let best = AtConfidence { score: 0.75, precision: 0.8, recall: 0.5, f1: 0.62 };
        let curves = |epoch, ap| Curves {
            epoch,
            ap,
            objects: 4,
            holds: 0.4,
            best: Some(best),
            boxes: 2,
            all: Some(best),
            every: 9,
        };
        let photo = FoundIn { image: "road.jpg".into(), detections: seen.to_vec() };
        Side {
            run: model.into(),
            model: model.into(),
            parameters,
            weights_mib: 1.0,
            epochs: 10,
            seconds_per_epoch: parameters as f64,
            seconds_per_image: 0.1,
            train: Score { boxes: [train; 12], masks: None },
            test: Score { boxes, masks: None },
            losses: vec![1.0, loss],
            test_ap: vec![test],
            confident: vec![photo.from(0.75)],
            photos: vec![photo],
            curves: [curves(10, test), curves(7, test + 0.01)],
            pretrained: Some(format!("{model}.pth")),
            recipe: vec![("the backbone", model.into()), ("epochs", "10".into())],
        }
    }

    fn comparison(a: Side, b: Side) -> Comparison {
        Comparison {
            a,
            b,
            images: [120, 30],
            score: 0.5,
            weights: Weights::Last,
            pictures: vec![("road".into(), Image::filled(1, 1, [0; 3]))],
            truths: vec![None],
        }
    }

    fn sides() -> [Side; 2] {
        let a = side("A", [0.6, 0.5], 0.1, 200, &[found(0.0, 0.9), found(50.0, 0.8), found(52.0, 0.7)]);
        [a, side("B", [0.4, 0.3], 0.3, 100, &[found(1.0, 0.95), found(90.0, 0.6)])]
    }

    #[test]
    fn a_lead_is_told_with_what_goes_with_it() {
        let [a, b] = sides();
        let said = comparison(a, b).reasons().join(" ");
        for part in [
            "Of A's lead of 0.200 on the test images 0.200 are there on the images that both learned from, and 0.000 come",
            "one of fitting better",
            "Its last training loss is lower, 0.100 against 0.300",
            "0.250 against 0.150 on medium objects, 0.500 against 0.300 on large objects (of small ones the test images have none)",
            "greatest on large ones",
            "2.0 times as many parameters (200 against 100)",
            "each with its own; an epoch took it 2.0 times as long",
            "one run of each was compared, on 30 test images. The two differ in the backbone:",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn other_numbers_give_other_reasons() {
        let [mut a, mut b] = sides();
        (a.train.boxes[0], b.train.boxes[0]) = (0.51, 0.5);
        (a.parameters, a.losses, a.pretrained) = (50, vec![0.4], None);
        let said = comparison(a.clone(), b.clone()).reasons().join(" ");
        for part in [
            "0.010 are there on the images",
            "one of overfitting less",
            "is not lower, 0.400 against 0.300, which does not explain it",
            "fewer parameters (50 against 100), so that size is no reason",
            "the other alone began with weights that others had trained (B.pth)",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        // The second leads; then neither does.
        (b.test.boxes[0], b.recipe) = (0.9, a.recipe.clone());
        let said = comparison(a.clone(), b.clone()).reasons().join(" ");
        assert!(said.contains("Of B's lead of 0.400") && said.contains("trained alike"), "{said}");
        a.test.boxes[0] = 0.9;
        assert!(comparison(a, b).reasons()[0].starts_with("Neither leads"));
    }

    #[test]
    fn a_picture_is_told_in_full() {
        let [a, b] = sides();
        let said = comparison(a.clone(), b.clone()).in_picture(0);
        assert_eq!(
            said[0],
            "road: from a score of 0.50 on A finds 2 objects in 3 boxes, B finds 2 objects in 2 boxes. Both find the same 1 \
             object, from left to right with the scores of A and of B: person 0.90 and 0.95 around (5, 10). A alone finds 1 more: person 0.80 \
             around (55, 10). B alone finds 1 more: person 0.60 around (95, 10). A has 1 box more of objects that it has \
             already: person 0.70 around (57, 10). The picture is none of the data's, so that only who looks at it can tell \
             what both miss."
        );
        assert!(
            said[1].contains("0.75 (A) and 0.75 (B)")
                && said[1].contains(
                    "A the same 2 objects, in 2 boxes instead of 3, B 1 object instead of 2, in 1 box"
                )
                && said[1].ends_with("both find the same 1 object."),
            "{}",
            said[1]
        );
        let truth = Object { bbox: [0.0, 0.0, 10.0, 20.0], label: 1, area: 200.0, crowd: false, mask: None };
        let known = Comparison { truths: vec![Some(vec![truth])], ..comparison(a, b) };
        assert!(known.in_picture(0)[0].ends_with("0 are missed by both."), "{:?}", known.in_picture(0));
    }

    #[test]
    fn images_and_weights_are_named() {
        let [a, b] = sides();
        let mut both = comparison(a, b);
        assert!(both.opening().contains("the same 120 images and were judged on the same 30 others"));
        let said = both.which_weights(&both.a);
        assert!(said.contains("epoch 7 of 10") && said.contains("last epoch (0.500)"), "{said}");
        both.a.curves[0].epoch = 7;
        assert!(both.which_weights(&both.a).ends_with("so is all that follows in 5b and 5c."));
        assert!(both.words()[0].contains("after the last epoch"));
        both.weights = Weights::Best;
        assert!(both.words()[0].contains("greatest AP"));
    }
}
