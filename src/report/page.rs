//! A page under construction, and the HTML file that it becomes.

use crate::error::Result;
use crate::image::Image;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pulldown_latex::config::{DisplayMode, RenderConfig};
use pulldown_latex::{Parser, Storage, push_mathml};
use std::fmt::{self, Write};

/// Readable on a phone, in print, and in the dark.
const STYLE: &str = include_str!("style.css");

/// A piece of a page.
pub(super) enum Block {
    /// Level 2 or 3; the name that links lead to, where there is one.
    Heading(u8, Option<String>, String),
    Text(String),
    Formula(String),
    /// What it has to do with what stands above, and the command.
    Command(&'static str, String),
    Figure(Image, String),
    Table(Vec<Vec<String>>),
    /// Rows of (part, what it is about, name of its heading).
    Links(Vec<[String; 3]>),
}

/// A page under construction.
pub struct Page {
    pub(super) title: String,
    pub(super) blocks: Vec<Block>,
    /// Said at the end of each caption: what the figure's data is.
    origin: String,
}

/// Text that stands for itself in HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// LaTeX's mathematics as MathML.
fn mathml(math: &str, display_mode: DisplayMode) -> String {
    let storage = Storage::new();
    let mut out = String::new();
    let config = RenderConfig { display_mode, ..RenderConfig::default() };
    // Writing into a string cannot fail; what is not understood is shown as such.
    let _ = push_mathml(&mut out, Parser::new(math, &storage), config);
    out
}

/// Text outside of dollar signs through `plain`, mathematics inside through `math`.
pub(super) fn inline(text: &str, plain: impl Fn(&str) -> String, math: impl Fn(&str) -> String) -> String {
    let pieces = text.split('$').enumerate();
    pieces.map(|(i, piece)| if i % 2 == 0 { plain(piece) } else { math(piece) }).collect()
}

fn rich(text: &str) -> String {
    inline(text, escape, |m| mathml(m, DisplayMode::Inline))
}

/// Without mathematics' dollar signs and backslashes: for places that hold text alone.
fn bare(text: &str) -> String {
    escape(&text.replace(['$', '\\'], ""))
}

impl Page {
    /// An empty page with a heading.
    pub fn new(title: &str) -> Self {
        Page { title: title.into(), blocks: Vec::new(), origin: String::new() }
    }

    fn push(&mut self, block: Block) -> &mut Self {
        self.blocks.push(block);
        self
    }

    /// A section's heading.
    pub fn heading(&mut self, text: &str) -> &mut Self {
        self.push(Block::Heading(2, None, text.into()))
    }

    /// A section's heading, with a name that links lead to.
    pub fn section(&mut self, name: &str, text: &str) -> &mut Self {
        self.push(Block::Heading(2, Some(name.into()), text.into()))
    }

    /// A heading inside of a section, with a name that links lead to.
    pub fn part(&mut self, name: &str, text: &str) -> &mut Self {
        self.push(Block::Heading(3, Some(name.into()), text.into()))
    }

    /// A paragraph; mathematics stands between dollar signs.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.push(Block::Text(text.into()))
    }

    /// A formula of its own, in LaTeX's language.
    pub fn formula(&mut self, math: &str) -> &mut Self {
        self.push(Block::Formula(math.into()))
    }

    /// The command that made what stands above it.
    pub fn command(&mut self, command: &str) -> &mut Self {
        self.push(Block::Command("Made by", command.into()))
    }

    /// A command that makes the like of what stands above it, or what would stand there.
    pub fn likewise(&mut self, command: &str) -> &mut Self {
        self.push(Block::Command("The like is made by", command.into()))
    }

    /// From here on every caption says what data the figures are of.
    pub fn origin(&mut self, origin: &str) -> &mut Self {
        self.origin = origin.into();
        self
    }

    /// A picture with its caption, which also is its text for those who do not see it.
    pub fn figure(&mut self, image: &Image, caption: &str) -> Result<&mut Self> {
        let origin = &self.origin;
        let caption = if origin.is_empty() { caption.into() } else { format!("{caption} ({origin})") };
        Ok(self.push(Block::Figure(image.clone(), caption)))
    }

    /// Rows of cells; the first row is the head. Cells that are numbers are aligned as such.
    pub fn table(&mut self, rows: &[Vec<String>]) -> &mut Self {
        self.push(Block::Table(rows.to_vec()))
    }

    /// Rows of (part, what it is about, name of its heading): the second leads to the third.
    pub fn links(&mut self, rows: &[[&str; 3]]) -> &mut Self {
        self.push(Block::Links(rows.iter().map(|r| r.map(String::from)).collect()))
    }

    /// The whole file.
    ///
    /// # Errors
    /// A picture cannot be encoded.
    pub fn html(&self) -> Result<String> {
        let mut body = format!(
            "<a class=\"skip\" href=\"#content\">To the content</a>\n<main id=\"content\">\n<h1>{}</h1>\n",
            rich(&self.title)
        );
        for block in &self.blocks {
            block.html(&mut body)?;
        }
        Ok(format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{}</title><style>{STYLE}</style></head>\n<body>\n{body}</main></body></html>\n",
            bare(&self.title)
        ))
    }
}

/// Whether every cell of a column, but for the head's, begins like a number or stands for the lack of one.
pub(super) fn numeric(rows: &[Vec<String>], column: usize) -> bool {
    let missing = |c: &str| matches!(c, "–" | "never");
    let starts = |c: &str| c.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
    let mut cells = rows.iter().skip(1).map(|r| r.get(column).map_or("", String::as_str));
    cells.clone().any(starts) && cells.all(|c| starts(c) || missing(c))
}

impl Block {
    fn html(&self, out: &mut String) -> Result<()> {
        // Writing into a string cannot fail.
        let _ = match self {
            Block::Heading(level, name, text) => {
                let id = name.as_ref().map_or(String::new(), |n| format!(" id=\"{}\"", escape(n)));
                writeln!(out, "<h{level}{id}>{}</h{level}>", rich(text))
            }
            Block::Text(text) => writeln!(out, "<p>{}</p>", rich(text)),
            Block::Formula(math) => writeln!(out, "{}", mathml(math, DisplayMode::Block)),
            Block::Command(how, command) => {
                writeln!(out, "<p class=\"pale\">{how} <code>{}</code></p>", escape(command))
            }
            Block::Figure(image, caption) => {
                let data = STANDARD.encode(image.encode_png()?);
                let (w, h) = (image.width(), image.height());
                writeln!(
                    out,
                    "<figure><img src=\"data:image/png;base64,{data}\" width=\"{w}\" height=\"{h}\" alt=\"{}\">\
                     <figcaption>{}</figcaption></figure>",
                    bare(caption),
                    rich(caption)
                )
            }
            Block::Table(rows) => table(rows, out),
            Block::Links(rows) => {
                out.push_str("<nav aria-label=\"Parts of the homework\"><table>\n");
                for [part, text, name] in rows {
                    let (part, text, name) = (escape(part), rich(text), escape(name));
                    let _ = writeln!(out, "<tr><td>{part}</td><td><a href=\"#{name}\">{text}</a></td></tr>");
                }
                writeln!(out, "</table></nav>")
            }
        };
        Ok(())
    }
}

fn table(rows: &[Vec<String>], out: &mut String) -> fmt::Result {
    // What may be wider than a phone can be scrolled with keys too.
    out.push_str("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table\"><table>\n");
    for (i, row) in rows.iter().enumerate() {
        let (open, close) = if i == 0 { ("th scope=\"col\"", "th") } else { ("td", "td") };
        out.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let class = if numeric(rows, column) { " class=\"number\"" } else { "" };
            write!(out, "<{open}{class}>{}</{close}>", rich(cell))?;
        }
        out.push_str("</tr>\n");
    }
    writeln!(out, "</table></div>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_escape_and_embed() {
        let mut page = Page::new("a < b");
        page.text("x & \"y\"").table(&[vec!["name".into(), "n".into()], vec!["a".into(), "1".into()]]);
        page.origin("drawn").figure(&Image::filled(2, 2, [0; 3]), "black").unwrap();
        let html = page.html().unwrap();
        assert!(html.contains("<h1>a &lt; b</h1>") && html.contains("x &amp; &quot;y&quot;"));
        assert!(
            html.contains("<td class=\"number\">1</td>")
                && html.contains("src=\"data:image/png;base64,iVBOR")
                && html.contains("alt=\"black (drawn)\"")
        );
        assert!(!html.contains("http"), "nothing is fetched");
    }

    #[test]
    fn mathematics_is_typeset_and_links_lead_somewhere() {
        let mut page = Page::new("m");
        page.links(&[["1 (a)", "the gradient", "q1a"]]).section("q1a", "Where $w$ goes");
        page.text("If $0 < \\eta < 2$, then").formula("\\frac{\\kappa-1}{\\kappa+1}");
        let html = page.html().unwrap();
        assert!(html.contains("<a href=\"#q1a\">") && html.contains("<h2 id=\"q1a\">Where <math"));
        assert!(html.contains("<mfrac>") && html.contains("κ") && html.contains("η"), "{html}");
        assert!(!html.contains('$') && !html.contains("\\eta"));
    }
}
