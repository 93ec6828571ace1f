//! Classes are known by their names: their numbers differ from one data set to the next.

use std::sync::Arc;

use super::description::Faults;
use super::{Dataset, Subset};
use crate::error::{Error, Result};
use crate::image::Image;

/// A name without what people write differently: case, and whether words are parted by a space, `_`, `-` or nothing.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// The class that a name means: the one of just that name, or else the only one that differs by case or spaces alone.
pub(super) fn find(name: &str, classes: &[String]) -> Option<usize> {
    let same = classes.iter().position(|c| c == name);
    same.or_else(|| {
        let mut like = (0..classes.len()).filter(|&k| plain(&classes[k]) == plain(name));
        like.next().filter(|_| like.next().is_none())
    })
}

/// Pairs of classes that differ by case or spaces alone.
pub(super) fn alike(classes: &[String]) -> Vec<[&str; 2]> {
    let mut by_name: Vec<(String, &str)> = classes.iter().map(|c| (plain(c), c.as_str())).collect();
    by_name.sort();
    by_name.windows(2).filter(|w| w[0].0 == w[1].0).map(|w| [w[0].1, w[1].1]).collect()
}

/// The names in a row; of many the first.
pub(super) fn list(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A data set with the classes of a network, in the network's order.
struct Renumbered {
    data: Arc<dyn Dataset>,
    classes: Vec<String>,
    /// The network's class for each of the data set's.
    numbers: Vec<usize>,
}

/// Some images as a network numbers their classes, matched by name. Error: the data set has a class that the network does not
/// know; it shows both lists.
pub fn renumbered(images: &Subset, classes: &[String]) -> Result<Subset> {
    let own = images.classes();
    if own == classes {
        return Ok(images.clone());
    }
    let numbers: Vec<Option<usize>> = own.iter().map(|name| find(name, classes)).collect();
    let strange: Vec<String> =
        own.iter().zip(&numbers).filter(|(_, n)| n.is_none()).map(|(name, _)| name.clone()).collect();
    let numbers: Vec<usize> = numbers.into_iter().flatten().collect();
    let mut distinct = numbers.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if strange.is_empty() && distinct.len() == own.len() {
        let data = Renumbered { data: images.dataset().clone(), classes: classes.to_vec(), numbers };
        return Ok(Subset::new(Arc::new(data), images.indices()));
    }
    let what = if strange.is_empty() {
        "has several classes that mean one of the network's".to_string()
    } else {
        format!("has classes that the network does not know: {}", list(&strange))
    };
    Err(Error::input(format!(
        "{what}\n  its classes are {}\n  the network's are {}",
        list(own),
        list(classes)
    ))
    .remedy("name data of the network's classes, or rename the folders"))
}

impl Dataset for Renumbered {
    fn name(&self) -> &str {
        self.data.name()
    }

    fn kind(&self) -> String {
        self.data.kind()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn len(&self) -> usize {
        self.data.len()
    }

    fn label(&self, i: usize) -> usize {
        self.numbers[self.data.label(i)]
    }

    fn image(&self, i: usize) -> Result<Image> {
        self.data.image(i)
    }

    fn describe(&self, i: usize) -> String {
        self.data.describe(i)
    }

    fn checksum(&self) -> String {
        self.data.checksum()
    }

    fn faults(&self) -> Faults {
        self.data.faults()
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
        assert_eq!(find("hot_dog", &classes), Some(0));
        assert_eq!(
            (find("cat", &classes), find("Cat", &classes), find("CAT", &classes)),
            (Some(1), Some(2), None)
        );
        assert_eq!(find("bird", &classes), None);
        assert_eq!(alike(&classes), [["Cat", "cat"]]);
    }
}
