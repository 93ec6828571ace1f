//! Pages: blocks of text, mathematics, tables and figures, written as one self-contained HTML file (pictures
//! embedded, nothing fetched), as LaTeX and as a notebook.
//!
//! Mathematics is written in LaTeX's language ([`Rich`], [`Math`]): the HTML gets it as MathML, the others as it
//! is. The homework's page is made of [`theory`] (questions 1 to 3), [`classifier`] (4) and [`detectors`]
//! (5).

pub mod classifier;
pub mod detectors;
mod latex;
mod mathematics;
mod notebook;
mod page;
mod text;
pub mod theory;

pub use latex::Typeset;
pub use page::Page;
pub use text::{Math, Rich};
