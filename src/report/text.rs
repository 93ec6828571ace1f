//! What a page says, in pieces: text, which stands for itself, and mathematics, which is a program in LaTeX's
//! language.
//!
//! Names of files, classes and runs come from anywhere, and a name that were read as mathematics could run as
//! script in the page's reader and as a program in LaTeX. So the two are told apart by type: what the program
//! itself says (`&'static str`) may hold mathematics between dollar signs; all that is put together while it
//! runs (`String`) is text, whatever it holds. Into mathematics only numbers can be filled.

use std::borrow::Cow;

/// A text with mathematics in it.
#[derive(Clone, Debug)]
pub struct Rich(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Text(Cow<'static, str>),
    Math(&'static str),
}

/// What the program says: mathematics stands between dollar signs.
impl From<&'static str> for Rich {
    fn from(own: &'static str) -> Self {
        let pieces = own.split('$').enumerate();
        Rich(pieces.map(|(i, p)| if i % 2 == 0 { Piece::Text(p.into()) } else { Piece::Math(p) }).collect())
    }
}

/// Data: text.
impl From<String> for Rich {
    fn from(data: String) -> Self {
        Rich(vec![Piece::Text(data.into())])
    }
}

impl Rich {
    /// This and then more.
    #[must_use]
    pub fn then(mut self, more: impl Into<Rich>) -> Self {
        self.0.append(&mut more.into().0);
        self
    }

    /// Text through one function, mathematics through another.
    pub(super) fn show(&self, text: impl Fn(&str) -> String, math: impl Fn(&str) -> String) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(t) => text(t),
            Piece::Math(m) => math(m),
        };
        self.0.iter().map(piece).collect()
    }

    /// For places that hold text alone: mathematics without its backslashes.
    pub(in crate::report) fn plain(&self) -> String {
        self.show(str::to_string, |math| math.replace('\\', ""))
    }
}

/// A formula in LaTeX's language.
#[derive(Clone, Debug)]
pub struct Math(pub(super) Cow<'static, str>);

impl From<&'static str> for Math {
    fn from(own: &'static str) -> Self {
        Math(own.into())
    }
}

impl Math {
    /// The formula with a number in the place of each `#`. Panics where there are more or fewer.
    pub fn with(template: &'static str, numbers: impl IntoIterator<Item = i64>) -> Self {
        let mut parts = template.split('#');
        let mut filled = parts.next().unwrap_or_default().to_string();
        let mut numbers = numbers.into_iter();
        for part in parts {
            let number = numbers.next().expect("a number for each hole");
            filled += &format!("{number}{part}");
        }
        assert!(numbers.next().is_none(), "a hole for each number");
        Math(filled.into())
    }
}
