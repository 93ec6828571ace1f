//! A page under construction, and the HTML file that it becomes.

use super::mathematics::{self, mathml};
use super::text::{Math, Rich};
use crate::error::Result;
use crate::image::Image;
use crate::plot::Chart;
use crate::shell::Typed;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pulldown_latex::config::DisplayMode;
use std::fmt::{self, Write};

/// Readable on a phone, in print, and in the dark.
const STYLE: &str = include_str!("style.css");
/// What a browser may do with the page: show it. Nothing in it runs, and nothing is fetched.
const POLICY: &str = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; font-src data:; \
                      style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">";

/// A piece of a page.
pub(super) enum Block {
    /// Level 2 to 4; the name that links lead to, where there is one.
    Heading(u8, Option<&'static str>, Rich),
    Text(Rich),
    Formula(Math),
    /// What they have to do with what stands above, and the commands.
    Command(&'static str, Vec<Typed>),
    Figure(Figure),
    Table(Vec<Vec<Rich>>),
    /// Rows of (part, what it is about, name of its heading).
    Links(Vec<[&'static str; 3]>),
}

/// A picture as a PNG file, its size in pixels, and what it shows. A chart is an SVG file, too, which is sharp at
/// any size: that is what the page shows.
pub(super) struct Figure {
    pub(super) png: Vec<u8>,
    pub(super) svg: Option<String>,
    pub(super) size: [usize; 2],
    pub(super) caption: Rich,
}

/// A page under construction.
pub struct Page {
    pub(super) title: Rich,
    pub(super) author: Option<String>,
    pub(super) blocks: Vec<Block>,
    /// Said at the end of each caption: what the figure's data is.
    origin: Option<String>,
    /// What is being made that is yet to come.
    to_come: Option<String>,
}

/// Text that stands for itself in HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn rich(text: &Rich) -> String {
    text.show(escape, |m| mathml(m, DisplayMode::Inline))
}

/// Bytes of a chart's SVG, at most.
const LONGEST: usize = 300_000;

impl Page {
    /// An empty page with a heading.
    pub fn new(title: impl Into<Rich>) -> Self {
        Page { title: title.into(), author: None, blocks: Vec::new(), origin: None, to_come: None }
    }

    /// Whose work it is.
    pub fn author(&mut self, name: Option<&str>) -> &mut Self {
        self.author = name.map(String::from);
        self
    }

    fn push(&mut self, block: Block) -> &mut Self {
        self.blocks.push(block);
        self
    }

    /// A section's heading.
    pub fn heading(&mut self, text: impl Into<Rich>) -> &mut Self {
        self.push(Block::Heading(2, None, text.into()))
    }

    /// A section's heading, with a name that links lead to.
    pub fn section(&mut self, name: &'static str, text: impl Into<Rich>) -> &mut Self {
        self.push(Block::Heading(2, Some(name), text.into()))
    }

    /// A heading inside of a section, with a name that links lead to.
    pub fn part(&mut self, name: &'static str, text: impl Into<Rich>) -> &mut Self {
        self.push(Block::Heading(3, Some(name), text.into()))
    }

    /// A heading inside of a part.
    pub fn subpart(&mut self, text: impl Into<Rich>) -> &mut Self {
        self.push(Block::Heading(4, None, text.into()))
    }

    /// A paragraph.
    pub fn text(&mut self, text: impl Into<Rich>) -> &mut Self {
        self.push(Block::Text(text.into()))
    }

    /// A formula of its own, in LaTeX's language.
    pub fn formula(&mut self, math: impl Into<Math>) -> &mut Self {
        self.push(Block::Formula(math.into()))
    }

    /// The commands that made what stands above them.
    pub fn command(&mut self, commands: impl IntoIterator<Item = Typed>) -> &mut Self {
        self.push(Block::Command("Made by", commands.into_iter().collect()))
    }

    /// A command that makes the like of what stands above it, or what would stand there.
    pub fn likewise(&mut self, command: Typed) -> &mut Self {
        self.push(Block::Command("The like is made by", vec![command]))
    }

    /// From here on every caption says what data the figures are of, or none does.
    pub fn origin(&mut self, origin: Option<&str>) -> &mut Self {
        self.origin = origin.map(String::from);
        self
    }

    /// A picture with its caption, which also is its text for those who do not see it.
    ///
    /// # Errors
    /// The picture cannot be encoded.
    pub fn figure(&mut self, image: &Image, caption: impl Into<Rich>) -> Result<&mut Self> {
        self.show(image, None, caption.into())
    }

    /// A chart with its caption, as [`Page::figure`].
    ///
    /// # Errors
    /// The chart cannot be encoded.
    pub fn chart(&mut self, chart: &Chart, caption: impl Into<Rich>) -> Result<&mut Self> {
        // 45,000 points are 1.3 MB as outlines, and 0.13 as pixels.
        let svg = Some(chart.svg()).filter(|svg| svg.len() <= LONGEST);
        self.show(&chart.image(), svg, caption.into())
    }

    fn show(&mut self, image: &Image, svg: Option<String>, caption: Rich) -> Result<&mut Self> {
        let caption = match &self.origin {
            Some(origin) => caption.then(format!(" ({origin})")),
            None => caption,
        };
        let (png, size) = (image.encode_png()?, [image.width(), image.height()]);
        Ok(self.push(Block::Figure(Figure { png, svg, size, caption })))
    }

    /// Rows of cells; the first row is the head. Cells that are numbers are aligned as such.
    pub fn table<T: Into<Rich>>(&mut self, rows: impl IntoIterator<Item = Vec<T>>) -> &mut Self {
        let row = |row: Vec<T>| row.into_iter().map(Into::into).collect();
        self.push(Block::Table(rows.into_iter().map(row).collect()))
    }

    /// Rows of (part, what it is about, name of its heading): the second leads to the third.
    pub fn links(&mut self, rows: &[[&'static str; 3]]) -> &mut Self {
        self.push(Block::Links(rows.to_vec()))
    }

    /// From here on the page says at its end what is yet to come, and the browser loads it again every ten
    /// seconds; or it is complete.
    pub fn growing(&mut self, to_come: Option<&str>) -> &mut Self {
        self.to_come = to_come.map(String::from);
        self
    }

    /// The whole file.
    pub fn html(&self) -> String {
        let mut body = format!(
            "<a class=\"skip\" href=\"#content\">To the content</a>\n<main id=\"content\">\n<h1>{}</h1>\n",
            rich(&self.title)
        );
        let mut meta = String::new();
        if let Some(name) = self.author.as_deref().map(escape) {
            body += &format!("<p class=\"author\">{name}</p>\n");
            meta = format!("<meta name=\"author\" content=\"{name}\">");
        }
        for block in &self.blocks {
            block.html(&mut body);
        }
        let font = if body.contains("<math") { mathematics::style() } else { String::new() };
        let mut again = "";
        if let Some(to_come) = &self.to_come {
            again = "<meta http-equiv=\"refresh\" content=\"10\">";
            body += &format!("<p role=\"status\"><strong>{}</strong></p>\n", escape(to_come));
        }
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">{POLICY}{again}{meta}\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\">\
             <title>{}</title><style>{STYLE}{font}</style></head>\n<body>\n{body}</main></body></html>\n",
            escape(&self.title.plain())
        )
    }
}

/// Commands in a row.
pub(super) fn joined(commands: &[Typed]) -> String {
    commands.iter().map(Typed::to_string).collect::<Vec<_>>().join("; ")
}

/// Whether every cell of a column, but for the head's, begins like a number or stands for the lack of one.
pub(super) fn numeric(rows: &[Vec<Rich>], column: usize) -> bool {
    let missing = |c: &str| matches!(c, "–" | "never");
    let starts = |c: &str| c.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
    let cells: Vec<_> =
        rows.iter().skip(1).map(|r| r.get(column).map(Rich::plain).unwrap_or_default()).collect();
    cells.iter().any(|c| starts(c)) && cells.iter().all(|c| starts(c) || missing(c))
}

impl Block {
    fn html(&self, out: &mut String) {
        // Writing into a string cannot fail.
        let _ = match self {
            Block::Heading(level, name, text) => {
                let id = name.map_or(String::new(), |n| format!(" id=\"{}\"", escape(n)));
                writeln!(out, "<h{level}{id}>{}</h{level}>", rich(text))
            }
            Block::Text(text) => writeln!(out, "<p>{}</p>", rich(text)),
            Block::Formula(Math(math)) => writeln!(out, "{}", mathml(math, DisplayMode::Block)),
            Block::Command(how, commands) => {
                writeln!(out, "<p class=\"pale\">{how} <code>{}</code></p>", escape(&joined(commands)))
            }
            Block::Figure(Figure { png, svg, size: [w, h], caption }) => {
                let (kind, data) = match svg {
                    Some(svg) => ("svg+xml", STANDARD.encode(svg)),
                    None => ("png", STANDARD.encode(png)),
                };
                writeln!(
                    out,
                    "<figure><img src=\"data:image/{kind};base64,{data}\" width=\"{w}\" height=\"{h}\" alt=\"{}\">\
                     <figcaption>{}</figcaption></figure>",
                    escape(&caption.plain()),
                    rich(caption)
                )
            }
            Block::Table(rows) => table(rows, out),
            Block::Links(rows) => {
                out.push_str("<nav aria-label=\"Parts of the homework\"><table>\n");
                for [part, text, name] in rows {
                    let (part, text, name) = (escape(part), rich(&Rich::from(*text)), escape(name));
                    let _ = writeln!(out, "<tr><td>{part}</td><td><a href=\"#{name}\">{text}</a></td></tr>");
                }
                writeln!(out, "</table></nav>")
            }
        };
    }
}

fn table(rows: &[Vec<Rich>], out: &mut String) -> fmt::Result {
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
    use crate::plot::{Series, Style};

    #[test]
    fn pages_escape_and_embed() {
        let mut page = Page::new("a < b");
        page.text("x & \"y\"").table([vec!["name", "n"], vec!["a", "1"]]);
        page.origin(Some("drawn")).figure(&Image::filled(2, 2, [0; 3]), "black").unwrap();
        let html = page.html();
        assert!(html.contains("<h1>a &lt; b</h1>") && html.contains("x &amp; &quot;y&quot;"));
        assert!(
            html.contains("<td class=\"number\">1</td>")
                && html.contains("src=\"data:image/png;base64,iVBOR")
                && html.contains("alt=\"black (drawn)\"")
        );
        assert!(!html.contains("://"), "nothing is fetched");
        let growing = page.growing(Some("more < comes")).html();
        assert!(growing.contains("http-equiv=\"refresh\"") && growing.contains("more &lt; comes"));
        assert_eq!(page.growing(None).html(), html);
    }

    #[test]
    fn a_chart_is_drawn_in_lines_unless_its_points_are_too_many() {
        let kinds = [20, 40_000].map(|n| {
            let points: Vec<_> = (0..n).map(|i| (f64::from(i % 200), f64::from(i / 200))).collect();
            let chart = Chart::new("dots", "x", "y").with(Series::new("", points, Style::Dots));
            let mut page = Page::new("a");
            page.chart(&chart, "dots").unwrap();
            ["svg+xml", "png"].map(|kind| page.html().contains(&format!("data:image/{kind};")))
        });
        assert_eq!(kinds, [[true, false], [false, true]]);
    }

    /// A page with a text at each place that data reach.
    fn page_with<T: Into<Rich> + Clone>(text: T, name: &str) -> String {
        let mut page = Page::new(text.clone());
        page.heading(text.clone()).section("a", text.clone()).part("b", text.clone()).text(text.clone());
        page.command([Typed::from("gradus").word(name)]).likewise(Typed::from("gradus").word(name));
        page.author(Some(name)).origin(Some(name));
        page.figure(&Image::filled(2, 2, [0; 3]), text.clone()).unwrap();
        page.table([vec![text.clone()], vec![text]]);
        page.html()
    }

    #[test]
    fn names_are_no_programs() {
        let harmless = page_with("x".to_string(), "x");
        let marks = |html: &str| html.matches(['<', '>', '"']).count();
        let all: String = ('\0'..='\u{ff}').collect();
        for hostile in [
            "$\\operatorname{<img src=x onerror=alert(1)>}$",
            "$\\q<svg onload=alert(1)>$",
            "\"><script>alert(1)</script>",
            "' onmouseover='alert(1)",
            &all,
        ] {
            let html = page_with(hostile.to_string(), hostile);
            assert_eq!(marks(&html), marks(&harmless), "{html}");
            assert!(html.contains("default-src 'none'"));
        }
        // Read as mathematics, as what the program itself says is, they would be.
        let own = page_with("$\\operatorname{<img src=x onerror=alert(1)>}$", "x");
        assert!(own.contains("<img src=x"));
    }

    #[test]
    fn mathematics_is_typeset_and_links_lead_somewhere() {
        let mut page = Page::new("m");
        page.links(&[["1 (a)", "the gradient", "q1a"]]).section("q1a", "Where $w$ goes");
        page.text("If $0 < \\eta < 2$, then").formula("\\frac{\\kappa-1}{\\kappa+1}");
        let html = page.html();
        assert!(html.contains("<a href=\"#q1a\">") && html.contains("<h2 id=\"q1a\">Where <math"));
        assert!(html.contains("<mfrac>") && html.contains("κ") && html.contains("η"), "{html}");
        assert!(!html.contains('$') && !html.contains("\\eta"));
        assert!(html.contains("&lt;</mo>") && !html.contains("<<"), "{html}");
    }
}
