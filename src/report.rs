//! Pages: one self-contained HTML file, pictures embedded, nothing fetched.

use crate::error::Result;
use crate::image::Image;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;

/// Readable on a phone, in print, and in the dark.
const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b1b1f; --paper: #fdfdfb; --pale: #6b6b76; --line: #d8d8d2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e4; --paper: #17181b; --pale: #9a9aa4; --line: #3a3b40; } }
body { font: 17px/1.55 Georgia, 'Times New Roman', serif; color: var(--ink); background: var(--paper);
       max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.4rem; border-top: 1px solid var(--line); padding-top: 1.2rem; }
figure { margin: 1.4rem 0; } figcaption, .pale { color: var(--pale); font-size: .88em; }
img { max-width: 100%; height: auto; border-radius: 4px; background: #fff; }
code { font-size: .86em; } table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
";

/// A page under construction.
pub struct Page {
    title: String,
    body: String,
}

/// Text that stands for itself in HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Page {
    /// An empty page with a heading.
    pub fn new(title: &str) -> Self {
        Page { title: title.into(), body: format!("<h1>{}</h1>\n", escape(title)) }
    }

    /// A section's heading.
    pub fn heading(&mut self, text: &str) -> &mut Self {
        let _ = writeln!(self.body, "<h2>{}</h2>", escape(text));
        self
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) -> &mut Self {
        let _ = writeln!(self.body, "<p>{}</p>", escape(text));
        self
    }

    /// The command that made what stands above it.
    pub fn command(&mut self, command: &str) -> &mut Self {
        let _ = writeln!(self.body, "<p class=\"pale\">Made by <code>{}</code></p>", escape(command));
        self
    }

    /// A picture with its caption, which also is its text for those who do not see it.
    pub fn figure(&mut self, image: &Image, caption: &str) -> Result<&mut Self> {
        let data = STANDARD.encode(image.encode_png()?);
        let caption = escape(caption);
        let (w, h) = (image.width(), image.height());
        let _ = writeln!(
            self.body,
            "<figure><img src=\"data:image/png;base64,{data}\" width=\"{w}\" height=\"{h}\" alt=\"{caption}\">\
             <figcaption>{caption}</figcaption></figure>"
        );
        Ok(self)
    }

    /// Rows of cells; the first row is the head. Cells that are numbers are aligned as such.
    pub fn table(&mut self, rows: &[Vec<String>]) -> &mut Self {
        self.body.push_str("<table>\n");
        for (i, row) in rows.iter().enumerate() {
            let tag = if i == 0 { "th" } else { "td" };
            self.body.push_str("<tr>");
            for (column, cell) in row.iter().enumerate() {
                let number = rows[1..].iter().all(|r| {
                    r.get(column).is_some_and(|c| c.starts_with(|c: char| c.is_ascii_digit() || c == '-'))
                });
                let class = if number { " class=\"number\"" } else { "" };
                let _ = write!(self.body, "<{tag}{class}>{}</{tag}>", escape(cell));
            }
            self.body.push_str("</tr>\n");
        }
        self.body.push_str("</table>\n");
        self
    }

    /// The whole file.
    pub fn html(&self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{}</title><style>{STYLE}</style></head>\n<body>\n{}</body></html>\n",
            escape(&self.title),
            self.body
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_escape_and_embed() {
        let mut page = Page::new("a < b");
        page.text("x & \"y\"").table(&[vec!["name".into(), "n".into()], vec!["a".into(), "1".into()]]);
        page.figure(&Image::filled(2, 2, [0; 3]), "black").unwrap();
        let html = page.html();
        assert!(html.contains("<h1>a &lt; b</h1>") && html.contains("x &amp; &quot;y&quot;"));
        assert!(
            html.contains("<td class=\"number\">1</td>")
                && html.contains("src=\"data:image/png;base64,iVBOR")
        );
        assert!(!html.contains("http"), "nothing is fetched");
    }
}
