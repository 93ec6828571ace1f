//! A data set with the classes of another, or with some of its own.
//!
//! Objects of the other classes are not there: neither learned nor judged, as where pycocotools is given
//! `catIds`. An image that holds no others is one without objects.

use std::sync::Arc;

use super::dataset::{DetectionDataset, ImageName, Sample};
use crate::data::classes::{Known, list, nearest};
use crate::data::description::Faults;
use crate::data::images::Images;
use crate::error::{Error, Result};
use crate::metrics::coco::{Category, GroundTruth};
use crate::numbers::counted;

/// A data set whose classes are others, or fewer.
struct Selected {
    data: Arc<dyn DetectionDataset>,
    classes: Vec<Category>,
    /// For each of the data set's labels, from 1, the one here.
    labels: Vec<Option<usize>>,
}

fn names(classes: &[Category]) -> Vec<String> {
    classes.iter().map(|c| c.name.clone()).collect()
}

/// The data set with those of its classes that have these names alone. Error: one is not there.
pub fn selected(data: Arc<dyn DetectionDataset>, only: &[String]) -> Result<Arc<dyn DetectionDataset>> {
    let own = names(data.classes());
    let known = Known::of(&own);
    let mut chosen = vec![false; own.len()];
    for name in only {
        let Some(k) = known.find(name) else {
            let near = nearest(name, &own).map_or(String::new(), |near| format!("did you mean {near:?}? "));
            let remedy = format!("{near}its classes are {}", list(&own));
            return Err(Error::input(format!("has no class {name:?}")).remedy(remedy));
        };
        chosen[k] = true;
    }
    let classes: Vec<Category> =
        data.classes().iter().zip(&chosen).filter(|(_, chosen)| **chosen).map(|(c, _)| c.clone()).collect();
    like(data, &classes, true)
}

/// The data set with the classes of another in the other's order, matched by name. Classes that the other has
/// not are left out where `dropping` says so; without it they are an error, which shows both lists.
pub fn like(
    data: Arc<dyn DetectionDataset>,
    classes: &[Category],
    dropping: bool,
) -> Result<Arc<dyn DetectionDataset>> {
    if data.classes() == classes {
        return Ok(data);
    }
    let (own, wanted) = (names(data.classes()), names(classes));
    let known = Known::of(&wanted);
    let labels: Vec<Option<usize>> = own.iter().map(|name| known.find(name).map(|k| k + 1)).collect();
    let strange: Vec<String> =
        own.iter().zip(&labels).filter(|(_, l)| l.is_none()).map(|(name, _)| name.clone()).collect();
    let lists = || format!("\n  its classes are {}\n  the others' are {}", list(&own), list(&wanted));
    if !strange.is_empty() && !dropping {
        let what = format!("has classes that the training data have not: {}{}", list(&strange), lists());
        return Err(Error::input(what).remedy("give its classes the names of the training data's"));
    }
    let mut taken: Vec<usize> = labels.iter().flatten().copied().collect();
    taken.sort_unstable();
    if taken.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::input(format!("has several classes that mean one{}", lists())));
    }
    if taken.is_empty() {
        return Err(Error::input(format!("has none of the classes{}", lists())));
    }
    Ok(Arc::new(Selected { data, classes: classes.to_vec(), labels }))
}

impl Selected {
    fn label(&self, own: usize) -> Option<usize> {
        self.labels.get(own - 1).copied().flatten()
    }
}

impl Images for Selected {
    fn kind(&self) -> String {
        self.data.kind()
    }

    fn len(&self) -> usize {
        self.data.len()
    }

    fn name(&self, i: usize) -> String {
        self.data.name(i)
    }

    /// Which classes are selected stands beside it in a run's settings.
    fn checksum(&self) -> Result<String> {
        self.data.checksum()
    }

    fn part(&self, split: &str) -> Option<Vec<usize>> {
        self.data.part(split)
    }

    fn faults(&self) -> Faults {
        self.data.faults()
    }
}

impl DetectionDataset for Selected {
    fn classes(&self) -> &[Category] {
        &self.classes
    }

    fn load(&self, i: usize) -> Result<Sample> {
        let mut sample = self.data.load(i)?;
        sample.objects.retain_mut(|object| {
            let label = self.label(object.label);
            object.label = label.unwrap_or_default();
            label.is_some()
        });
        Ok(sample)
    }

    fn labels(&self, i: usize) -> Option<Vec<usize>> {
        Some(self.data.labels(i)?.into_iter().filter_map(|own| self.label(own)).collect())
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.data.notes();
        let without = self.labels.iter().filter(|label| label.is_none()).count();
        if without > 0 {
            notes.push(counted(without, "other class", "other classes") + " left out");
        }
        notes
    }

    fn image_name(&self, id: i64) -> ImageName {
        self.data.image_name(id)
    }

    fn without_mask(&self, indices: &[usize], learned: &dyn Fn(usize) -> bool) -> Faults {
        self.data.without_mask(indices, &|own| self.label(own).is_some_and(learned))
    }

    fn ground_truth(&self, indices: &[usize]) -> Result<GroundTruth> {
        let mut truth = self.data.ground_truth(indices)?;
        let own = self.data.classes();
        truth.truths.retain_mut(|t| {
            let label = own.iter().position(|c| c.id == t.category).and_then(|k| self.labels[k]);
            t.category = label.map_or(t.category, |label| self.classes[label - 1].id);
            label.is_some()
        });
        truth.categories.clone_from(&self.classes);
        Ok(truth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::coco::json::Instances;
    use crate::data::coco::{Form, Gathered};
    use crate::data::{Reading, Subset};
    use crate::image::Image;

    /// An image with a cat at the left and a dog at the right, which has no mask.
    fn pets(dir: &tempfile::TempDir) -> Arc<dyn DetectionDataset> {
        Image::filled(8, 6, [9; 3]).save_png(dir.path().join("a.png")).unwrap();
        let text = br#"{"images": [{"id": 1, "file_name": "a.png", "width": 8, "height": 6}],
            "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "hot dog"}], "annotations": [
            {"id": 1, "image_id": 1, "category_id": 3, "bbox": [0, 0, 3, 3], "segmentation": [[0, 0, 3, 0, 3, 3]]},
            {"id": 2, "image_id": 1, "category_id": 5, "bbox": [5, 0, 3, 3]}]}"#;
        let gathered = Gathered {
            form: Form::Coco,
            annotations: "a.json".into(),
            folder: dir.path().into(),
            instances: Instances::parse(text).unwrap(),
            parts: Vec::new(),
            notes: Vec::new(),
            faults: Faults::default(),
            checksum: 0,
        };
        Arc::new(gathered.checked(Reading::default()).unwrap())
    }

    fn category(id: i64, name: &str) -> Category {
        Category { id, name: name.into() }
    }

    #[test]
    fn objects_of_other_classes_are_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let data = pets(&dir);
        let dogs = selected(data.clone(), &["Hot_Dog".into()]).unwrap();
        assert_eq!(dogs.classes(), [category(5, "hot dog")]);
        let objects = dogs.load(0).unwrap().objects;
        assert_eq!(objects.iter().map(|o| (o.label, o.bbox[0])).collect::<Vec<_>>(), [(1, 5.0)]);
        assert_eq!(
            (dogs.labels(0), dogs.notes().pop()),
            (Some(vec![1]), Some("1 other class left out".into()))
        );
        let truth = dogs.ground_truth(&[0]).unwrap();
        assert_eq!((truth.truths.len(), truth.truths[0].category, truth.categories.len()), (1, 5, 1));
        // The dog has no mask, the cat has one.
        let bare = |data: &Arc<dyn DetectionDataset>| !data.without_mask(&[0], &|_| true).is_empty();
        let cats = selected(data.clone(), &["cat".into()]).unwrap();
        assert!(bare(&data) && bare(&dogs) && !bare(&cats));
        assert_eq!(Subset::all(cats).len(), 1);
        // In any order they are the same, and all of them are the data set itself.
        let both = selected(data.clone(), &["hot dog".into(), "cat".into()]).unwrap();
        assert!(Arc::ptr_eq(&both, &data));
        let error = selected(data, &["cart".into()]).err().unwrap().to_string();
        assert_eq!(error, "has no class \"cart\"; did you mean \"cat\"? its classes are cat, hot dog");
    }

    #[test]
    fn classes_are_matched_by_name_and_numbered_as_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = [category(1, "bird"), category(2, "HotDog"), category(9, "cat")];
        let data = like(pets(&dir), &wanted, false).unwrap();
        assert_eq!(data.labels(0), Some(vec![3, 2]));
        let truth = data.ground_truth(&[0]).unwrap();
        assert_eq!(truth.truths.iter().map(|t| t.category).collect::<Vec<_>>(), [9, 2]);
        let error =
            |wanted: &[Category], dropping| like(pets(&dir), wanted, dropping).err().unwrap().to_string();
        let said = error(&wanted[..2], false);
        assert!(
            said.contains("have not: cat\n  its classes are cat, hot dog\n  the others' are bird, HotDog"),
            "{said}"
        );
        assert_eq!(like(pets(&dir), &wanted[..2], true).unwrap().labels(0), Some(vec![2]));
        assert!(error(&wanted[..1], true).contains("none of the classes"));
    }
}
