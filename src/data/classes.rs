//! Classes are known by their names: their numbers differ from one data set to the next.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::classification::{Dataset, Labelled};
use super::description::{Faults, in_a_row};
use super::images::{Images, Subset};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::numbers::counted;

/// A name without what people write differently: case, and whether words are parted by a space, `_`, `-` or
/// nothing.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Classes by the names that mean them.
pub(super) struct Known<'a> {
    same: HashMap<&'a str, usize>,
    /// None where several names differ by case or spaces alone.
    like: HashMap<String, Option<usize>>,
}

impl<'a> Known<'a> {
    pub fn of(classes: &'a [String]) -> Self {
        let (mut same, mut like) = (HashMap::new(), HashMap::new());
        for (k, name) in classes.iter().enumerate() {
            same.entry(name.as_str()).or_insert(k);
            like.entry(plain(name)).and_modify(|one| *one = None).or_insert(Some(k));
        }
        Known { same, like }
    }

    /// The class that a name means: the one of just that name, or else the only one that differs by case or
    /// spaces alone.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.same.get(name).copied().or_else(|| self.like.get(&plain(name)).copied().flatten())
    }
}

/// The name that is least letters away from another, where those are few.
pub fn nearest<'a>(name: &str, names: &'a [String]) -> Option<&'a str> {
    let name = plain(name);
    let far = |other: &'a String| (distance(&name, &plain(other)), other.as_str());
    let (letters, nearest) = names.iter().map(far).min_by_key(|(letters, _)| *letters)?;
    (letters <= 1 + name.chars().count() / 4).then_some(nearest)
}

/// Letters to be put in, taken out or changed from one text to the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut before = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in b.chars().enumerate() {
            let least = (before + usize::from(a != b)).min(row[j] + 1).min(row[j + 1] + 1);
            before = std::mem::replace(&mut row[j + 1], least);
        }
    }
    row[row.len() - 1]
}

/// Pairs of classes that differ by case or spaces alone.
pub(super) fn alike(classes: &[String]) -> Vec<[&str; 2]> {
    let mut by_name: Vec<(String, &str)> = classes.iter().map(|c| (plain(c), c.as_str())).collect();
    by_name.sort();
    by_name.windows(2).filter(|w| w[0].0 == w[1].0).map(|w| [w[0].1, w[1].1]).collect()
}

/// The names in a row; of many the first.
pub fn list(names: &[String]) -> String {
    const SHOWN: usize = 20;
    in_a_row(&names[..names.len().min(SHOWN)], names.len())
}

/// A data set with the classes of a network, in the network's order.
struct Renumbered {
    data: Arc<dyn Dataset>,
    classes: Vec<String>,
    /// The network's class for each of the data set's.
    numbers: Vec<usize>,
}

/// The network's class for each of a data set's, matched by name. Weights that do not name their classes
/// (`named`) are taken to tell the data's apart in their order. Error: the data set has a class that the
/// network does not know, or several that are one to it; it shows both lists.
pub fn matched(own: &[String], network: &[String], named: bool) -> Result<Vec<usize>> {
    if !named && own.len() == network.len() {
        warning!("the weights do not name their classes; the data's are taken in their order");
        return Ok((0..own.len()).collect());
    }
    let known = Known::of(network);
    let numbers: Vec<Option<usize>> = own.iter().map(|name| known.find(name)).collect();
    let strange: Vec<String> =
        own.iter().zip(&numbers).filter(|(_, n)| n.is_none()).map(|(name, _)| name.clone()).collect();
    let distinct: HashSet<&usize> = numbers.iter().flatten().collect();
    let what = if !named {
        format!(
            "has {}, the network tells {} apart and does not name them",
            counted(own.len(), "class", "classes"),
            network.len()
        )
    } else if !strange.is_empty() {
        format!("has classes that the network does not know: {}", list(&strange))
    } else if distinct.len() < own.len() {
        "has several classes that mean one of the network's".to_string()
    } else {
        return Ok(numbers.into_iter().flatten().collect());
    };
    Err(Error::input(format!(
        "{what}\n  its classes are {}\n  the network's are {}",
        list(own),
        list(network)
    ))
    .remedy("name data of the network's classes, or give its classes the network's names"))
}

/// Some images as a network numbers their classes. Errors: those of [`matched`].
pub fn renumbered(images: &Labelled, classes: &[String], named: bool) -> Result<Labelled> {
    if images.classes() == classes {
        return Ok(images.clone());
    }
    let numbers = matched(images.classes(), classes, named)?;
    let data: Arc<dyn Dataset> =
        Arc::new(Renumbered { data: images.dataset().clone(), classes: classes.to_vec(), numbers });
    Ok(Subset::new(data, images.indices()))
}

impl Images for Renumbered {
    fn kind(&self) -> String {
        self.data.kind()
    }

    fn len(&self) -> usize {
        self.data.len()
    }

    fn name(&self, i: usize) -> String {
        self.data.name(i)
    }

    fn checksum(&self) -> Result<String> {
        self.data.checksum()
    }

    fn faults(&self) -> Faults {
        self.data.faults()
    }
}

impl Dataset for Renumbered {
    fn title(&self) -> &str {
        self.data.title()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, i: usize) -> usize {
        self.numbers[self.data.label(i)]
    }

    fn image(&self, i: usize) -> Result<Image> {
        self.data.image(i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| n.to_string()).collect()
    }

    #[test]
    fn a_name_means_one_class_or_none() {
        let classes = names(&["Hot dog", "cat", "Cat", "dog"]);
        let known = Known::of(&classes);
        assert_eq!(known.find("hot_dog"), Some(0));
        assert_eq!((known.find("cat"), known.find("Cat"), known.find("CAT")), (Some(1), Some(2), None));
        assert_eq!(known.find("bird"), None);
        assert_eq!(alike(&classes), [["Cat", "cat"]]);
    }

    #[test]
    fn the_nearest_name_is_few_letters_away() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!((distance("", "abc"), distance("abc", "")), (3, 3));
        let classes = names(&["person", "traffic light", "car"]);
        for (name, near) in [
            ("pearson", Some("person")),
            ("Traffic_lights", Some("traffic light")),
            ("cat", Some("car")),
            ("zebra", None),
        ] {
            assert_eq!(nearest(name, &classes), near, "{name}");
        }
    }

    #[test]
    fn unnamed_classes_are_taken_in_order_and_lists_are_bounded() {
        let numbered: Vec<String> = (0..1203).map(|i| format!("class {i}")).collect();
        let own: Vec<String> = (0..1203).map(|i| format!("lvis {i}")).collect();
        assert_eq!(matched(&own, &numbered, false).unwrap(), (0..1203).collect::<Vec<_>>());
        assert!(matched(&own[1..], &numbered, false).is_err());
        let error = matched(&own, &numbered, true).unwrap_err().to_string();
        assert!(error.contains("lvis 19 and 1183 more") && error.len() < 2000, "{error}");
        assert_eq!(matched(&names(&["hot_dog"]), &names(&["cat", "Hot dog"]), true).unwrap(), [1]);
    }
}
