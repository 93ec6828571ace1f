//! Which images of a data set for detectors are for testing; the others are for training.

use std::fmt;
use std::str::FromStr;

use gradus_core::random::Rng;

use crate::data::images::Images;
use crate::error::{Error, Result};

/// Which images are for testing; the others are for training. Images count in the order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestSplit {
    /// So many, drawn at random.
    Random(usize),
    /// Each so-manyth: of 5 the fifth, the tenth, and so on.
    Every(usize),
    /// The last so many.
    Last(usize),
    /// Those that the data mark for it: their validation images, or else their test images. They learn from
    /// those that are marked for training.
    Own,
}

impl TestSplit {
    /// Where none is asked for: the data's own, or 50 images drawn at random, and of few images a third.
    pub fn of(data: &(impl Images + ?Sized)) -> Self {
        match own(data) {
            Some(_) => TestSplit::Own,
            None => TestSplit::Random((data.len() / 3).clamp(1, 50)),
        }
    }

    /// The indices of the training and of the test images, ascending in the order of names. Errors: no image
    /// would be left for either.
    pub fn indices(self, data: &(impl Images + ?Sized), seed: u64) -> Result<(Vec<usize>, Vec<usize>)> {
        let n = data.len();
        let names: Vec<String> = (0..n).map(|i| data.name(i)).collect();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| names[a].cmp(&names[b]));
        let mut test = vec![false; n];
        match self {
            TestSplit::Random(k) => {
                let permutation = Rng::seed(seed).stream("test split").permutation(n);
                permutation.into_iter().take(k).for_each(|i| test[i] = true);
            }
            TestSplit::Every(k) => (k.max(1) - 1..n).step_by(k.max(1)).for_each(|i| test[i] = true),
            TestSplit::Last(k) => (n.saturating_sub(k)..n).for_each(|i| test[i] = true),
            TestSplit::Own => {
                return own(data).ok_or_else(|| {
                    Error::input("--test-split own, but the data mark no images for training and for testing")
                        .remedy("write random:50, every:5 or last:50")
                });
            }
        }
        let pick = |of| (0..n).filter(|&i| test[i] == of).map(|i| order[i]).collect();
        let (training, test): (Vec<usize>, Vec<usize>) = (pick(false), pick(true));
        if training.is_empty() || test.is_empty() {
            let (a, b) = (training.len(), test.len());
            let what =
                format!("--test-split {self} of {n} images leaves {a} for training and {b} for testing");
            return Err(Error::input(what).remedy("choose another number"));
        }
        Ok((training, test))
    }
}

/// The images that data mark for training, and those that they mark for testing.
fn own(data: &(impl Images + ?Sized)) -> Option<(Vec<usize>, Vec<usize>)> {
    data.part("train").zip(data.part("val").or_else(|| data.part("test")))
}

impl fmt::Display for TestSplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TestSplit::Random(k) => write!(f, "random:{k}"),
            TestSplit::Every(k) => write!(f, "every:{k}"),
            TestSplit::Last(k) => write!(f, "last:{k}"),
            TestSplit::Own => f.write_str("own"),
        }
    }
}

impl FromStr for TestSplit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "own" {
            return Ok(TestSplit::Own);
        }
        let split = text.split_once(':').and_then(|(rule, k)| {
            let k = k.parse().ok().filter(|&k| k > 0)?;
            match rule {
                "random" => Some(TestSplit::Random(k)),
                "every" => Some(TestSplit::Every(k)),
                "last" => Some(TestSplit::Last(k)),
                _ => None,
            }
        });
        split.ok_or_else(|| {
            Error::input(format!("--test-split {text:?}")).remedy("write random:50, every:5 or last:50")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Names(Vec<&'static str>);

    impl Images for Names {
        fn kind(&self) -> String {
            "names".into()
        }
        fn len(&self) -> usize {
            self.0.len()
        }
        fn name(&self, i: usize) -> String {
            self.0[i].to_string()
        }
        fn checksum(&self) -> Result<String> {
            Ok(String::new())
        }
    }

    fn split(text: &str, names: &[&'static str]) -> Result<(Vec<usize>, Vec<usize>)> {
        text.parse::<TestSplit>()?.indices(&Names(names.to_vec()), 1234)
    }

    #[test]
    fn splits_follow_the_names() {
        let names = ["f", "e", "d", "c", "b", "a"];
        assert_eq!(split("every:3", &names).unwrap(), (vec![5, 4, 2, 1], vec![3, 0]));
        assert_eq!(split("last:2", &names).unwrap(), (vec![5, 4, 3, 2], vec![1, 0]));
        let (training, test) = split("random:2", &names).unwrap();
        assert_eq!((training.len(), test.len()), (4, 2));
        // The same images, whatever the order in which they are listed.
        let (_, sorted) = split("random:2", &["a", "b", "c", "d", "e", "f"]).unwrap();
        assert_eq!(sorted, test.iter().map(|i| 5 - i).collect::<Vec<_>>());
    }

    #[test]
    fn a_random_split_depends_on_the_seed_alone() {
        let names = Names((b'a'..=b'z').map(|c| &*String::from(char::from(c)).leak()).collect());
        let test = |seed| TestSplit::Random(8).indices(&names, seed).unwrap().1;
        assert_eq!(test(1), test(1));
        assert_ne!(test(1), test(2));
    }

    #[test]
    fn without_a_rule_a_third_is_tested_on_at_most() {
        for (n, k) in [(1, 1), (2, 1), (3, 1), (59, 19), (149, 49), (150, 50), (1000, 50)] {
            assert_eq!(TestSplit::of(&Names(vec!["x"; n])), TestSplit::Random(k), "{n} images");
        }
        // All but one may be asked for, and no more.
        assert_eq!(split("random:2", &["a", "b", "c"]).unwrap().0.len(), 1);
        for text in ["random:3", "random:50"] {
            let error = split(text, &["a", "b", "c"]).unwrap_err().to_string();
            assert!(error.contains("of 3 images leaves 0 for training"), "{error}");
        }
        assert!(split("own", &["a", "b"]).unwrap_err().to_string().contains("mark no images"));
    }

    #[test]
    fn bad_splits_are_errors() {
        for text in ["", "random", "random:", "random:0", "every:-5", "first:3", "last:3x"] {
            assert!(split(text, &["a", "b"]).unwrap_err().to_string().contains("write random:50"), "{text}");
        }
        for text in ["random:2", "last:9", "every:1", "every:3"] {
            let error = split(text, &["a", "b"]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--test-split {text} of 2 images leaves")), "{error}");
        }
    }
}
