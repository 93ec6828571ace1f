//! A page as a Jupyter notebook: texts and mathematics as Markdown, the commands as cells that run them, each with
//! the figures and tables that it made as its output.
//!
//! Markdown is HTML and mathematics besides itself, and what shows a notebook reads it three times: for mathematics,
//! for Markdown, and once more for mathematics in what came of that. So what is text is written in numbers where it
//! could be anything else, and the signs that begin mathematics stand in an element of their own, beyond which
//! mathematics does not reach.

use super::page::{Block, Figure, Page};
use super::text::{Math, Rich};
use crate::shell::Typed;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Text that stands for itself in Markdown.
fn escape(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let at = |i: Option<usize>| i.and_then(|i| letters.get(i)).copied();
    let one = |(i, &c): (usize, &char)| {
        let (before, after) = (at(i.checked_sub(1)), at(Some(i + 1)));
        let ends = after.is_none_or(|c| c == ' ');
        // What may follow the number of a list's item.
        let item = letters[..i].iter().all(|c| c.is_ascii_digit() || *c == ' ');
        let between = |is: fn(&char) -> bool| before.is_some_and(|c| is(&c)) && after.is_some_and(|c| is(&c));
        match c {
            c if c.is_control() => " ".into(),
            '$' | '\\' => format!("<span>&#{};</span>", u32::from(c)),
            c if c.is_alphanumeric() || !c.is_ascii() || " ,;('%/".contains(c) => c.to_string(),
            ')' if !item => c.into(),
            '.' if ends && !item => c.into(),
            '.' if between(|c| c.is_ascii_digit()) => c.into(),
            ':' if ends => c.into(),
            '-' if between(|c| c.is_ascii_alphanumeric()) => c.into(),
            c => format!("&#{};", u32::from(c)),
        }
    };
    letters.iter().enumerate().map(one).collect()
}

fn rich(text: &Rich) -> String {
    // A bar would end a table's cell, in mathematics too; spaces would begin a block of code.
    let text = text.show(escape, |m| format!("${}$", m.replace('|', "\\vert ")));
    text.trim_start().into()
}

/// Lines as Jupyter writes them: each but the last with its end.
fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// Cells in the making: Markdown goes on where it stands, figures and tables wait for the command that made them.
#[derive(Default)]
struct Cells {
    done: Vec<Value>,
    markdown: String,
    outputs: Vec<Value>,
}

impl Cells {
    fn push(&mut self, mut cell: Value) {
        cell["id"] = format!("cell-{}", self.done.len()).into();
        cell["metadata"] = json!({});
        self.done.push(cell);
    }

    fn flush_markdown(&mut self) {
        let text = std::mem::take(&mut self.markdown);
        if !text.is_empty() {
            self.push(json!({ "cell_type": "markdown", "source": lines(text.trim_end()) }));
        }
    }

    fn code(&mut self, source: &str) {
        self.flush_markdown();
        let outputs = std::mem::take(&mut self.outputs);
        let source = lines(source);
        self.push(
            json!({ "cell_type": "code", "execution_count": null, "outputs": outputs, "source": source }),
        );
    }

    /// Figures and tables that no command of their own made.
    fn flush_outputs(&mut self) {
        if !self.outputs.is_empty() {
            self.code("# Made with the page, by the command at its top.");
        }
    }

    fn text(&mut self, paragraph: &str) {
        self.flush_outputs();
        self.markdown += paragraph;
        self.markdown += "\n\n";
    }

    fn output(&mut self, data: Value, metadata: Value) {
        self.outputs.push(json!({ "output_type": "display_data", "data": data, "metadata": metadata }));
    }

    fn figure(&mut self, Figure { png, size: [width, height], caption, .. }: &Figure) {
        let plain = caption.plain();
        let size = json!({ "image/png": { "width": width, "height": height } });
        self.output(json!({ "image/png": STANDARD.encode(png), "text/plain": lines(&plain) }), size);
        let caption = rich(caption);
        self.output(json!({ "text/markdown": lines(&caption), "text/plain": lines(&plain) }), json!({}));
    }

    fn table(&mut self, rows: &[Vec<Rich>]) {
        let plain: Vec<String> =
            rows.iter().map(|row| row.iter().map(Rich::plain).collect::<Vec<_>>().join(" | ")).collect();
        let (table, plain) = (table(rows), plain.join("\n"));
        self.output(json!({ "text/markdown": lines(&table), "text/plain": lines(&plain) }), json!({}));
    }

    fn block(&mut self, block: &Block) {
        match block {
            Block::Heading(level, name, text) => {
                let target = name.map_or(String::new(), |name| format!("<a id=\"{name}\"></a>\n"));
                self.text(&format!("{target}{} {}", "#".repeat((*level).into()), rich(text)));
            }
            Block::Text(text) => self.text(&rich(text)),
            Block::Formula(Math(math)) => self.text(&format!("$$\n{math}\n$$")),
            Block::Command(_, commands) => self.code(&Typed::cell(commands)),
            Block::Figure(figure) => self.figure(figure),
            Block::Table(rows) => self.table(rows),
            Block::Links(rows) => {
                let row = |[part, text, name]: &[&'static str; 3]| {
                    format!("* {part} [{}](#{name})\n", rich(&Rich::from(*text)))
                };
                self.text(&rows.iter().map(row).collect::<String>());
            }
        }
    }
}

fn table(rows: &[Vec<Rich>]) -> String {
    let row = |cells: &Vec<Rich>| format!("| {} |\n", cells.iter().map(rich).collect::<Vec<_>>().join(" | "));
    let columns = rows.first().map_or(0, Vec::len);
    let mut lines: Vec<String> = rows.iter().map(row).collect();
    lines.insert(lines.len().min(1), format!("|{}\n", " --- |".repeat(columns)));
    lines.concat()
}

impl Page {
    /// The page as a notebook, in nbformat 4.5's JSON.
    pub fn notebook(&self) -> String {
        let mut cells = Cells::default();
        cells.text(&format!("# {}", rich(&self.title)));
        if let Some(name) = &self.author {
            cells.text(&rich(&name.clone().into()));
        }
        self.blocks.iter().for_each(|block| cells.block(block));
        cells.flush_outputs();
        cells.flush_markdown();
        let authors: Vec<Value> = self.author.iter().map(|name| json!({ "name": name })).collect();
        let notebook = json!({
            "cells": cells.done,
            "metadata": {
                "authors": authors,
                "kernelspec": { "display_name": "Python 3", "language": "python", "name": "python3" },
                "language_info": { "name": "python" },
                "title": self.title.plain(),
            },
            "nbformat": 4,
            "nbformat_minor": 5,
        });
        format!("{notebook:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;

    fn notebook(page: &Page) -> Vec<Value> {
        let json: Value = serde_json::from_str(&page.notebook()).unwrap();
        assert_eq!((json["nbformat"].as_u64(), json["nbformat_minor"].as_u64()), (Some(4), Some(5)));
        json["cells"].as_array().unwrap().clone()
    }

    fn source(cell: &Value) -> String {
        cell["source"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect()
    }

    #[test]
    fn figures_are_outputs_of_what_made_them() {
        let mut page = Page::new("t");
        page.part("q1a", "1a. The $\\eta$ (x)").text("a < b").formula("\\frac{a}{b}");
        page.figure(&Image::filled(2, 3, [0; 3]), "black").unwrap();
        page.command(["gradus iou 0,0,1,1 0,0,1,1".into()]).table([vec!["name", "n"], vec!["a|b", "1"]]);
        page.figure(&Image::filled(2, 2, [0; 3]), "alone").unwrap();
        page.text("end");
        let cells = notebook(&page);
        let kinds: Vec<_> = cells.iter().map(|c| c["cell_type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["markdown", "code", "code", "markdown"]);
        let opening =
            "# t\n\n<a id=\"q1a\"></a>\n### 1a. The $\\eta$ (x)\n\na &#60; b\n\n$$\n\\frac{a}{b}\n$$";
        assert_eq!(source(&cells[0]), opening);
        assert_eq!(source(&cells[1]), "!gradus iou 0,0,1,1 0,0,1,1");
        let outputs = |cell: usize| cells[cell]["outputs"].as_array().unwrap().clone();
        let shown: String = outputs(2)[0]["data"]["text/markdown"]
            .as_array()
            .unwrap()
            .iter()
            .map(|l| l.as_str().unwrap())
            .collect();
        assert_eq!(shown, "| name | n |\n| --- | --- |\n| a&#124;b | 1 |\n");
        assert_eq!(outputs(2)[0]["data"]["text/plain"][1], "a|b | 1");
        for (pair, caption) in [(&outputs(1)[..], "black"), (&outputs(2)[1..], "alone")] {
            let [picture, words] = pair else { panic!("two outputs") };
            let png = STANDARD.decode(picture["data"]["image/png"].as_str().unwrap()).unwrap();
            assert!(png.starts_with(b"\x89PNG"));
            assert_eq!(words["data"]["text/markdown"][0], caption);
        }
        let ids: std::collections::BTreeSet<_> = cells.iter().map(|c| c["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), cells.len());
    }

    #[test]
    fn names_are_no_programs() {
        for hostile in [
            "$\\href{javascript:alert(1)}{x}$",
            "\\(x\\) \\[y\\] \\begin{align}",
            "<img src=x onerror=alert(1)>",
            "[a](javascript:alert(1)) ![b](http://x) `c` *d* _e_ ~f~ www.example.org a@b.org",
            "# a\n\n    b\n- c\n1. d\n> e\n---\n```",
            "    1. a",
            "2) b",
        ] {
            let mut page = Page::new(hostile.to_string());
            page.author(Some(hostile)).heading(hostile.to_string()).text(hostile.to_string());
            page.table([vec![hostile.to_string()]]).origin(Some(hostile));
            page.figure(&Image::filled(2, 2, [0; 3]), hostile.to_string()).unwrap();
            page.command([Typed::from("gradus iou").word(hostile)]);
            let escaped = rich(&hostile.to_string().into());
            for sign in
                ["$", "\\", "](", "<i", "`", "*", "_", "~", "\n", "http:", "www.", "@", "# ", "- c", "{"]
            {
                assert!(!escaped.contains(sign), "{sign} is in {escaped}");
            }
            let list = escaped.trim_start_matches(|c: char| c.is_ascii_digit());
            assert!(!list.starts_with(". ") && !list.starts_with(") "), "{escaped} begins a list");
            let cells = notebook(&page);
            assert_eq!(source(&cells[0]).matches(&escaped).count(), 4);
            let table = &cells[1]["outputs"][0]["data"]["text/markdown"][0];
            assert_eq!(table.as_str().unwrap(), format!("| {escaped} |\n"));
        }
    }
}
