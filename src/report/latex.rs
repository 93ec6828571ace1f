//! A page as LaTeX, and as PDF where pdflatex is installed.

use super::page::{Block, Figure, Page, joined, numeric};
use super::text::{Math, Rich};
use crate::error::{Error, Result};
use crate::files;
use crate::interrupt;
use std::fmt::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

const PREAMBLE: &str = r"\documentclass[10pt]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{lmodern}
\usepackage[a4paper,margin=24mm]{geometry}
\usepackage{amsmath,amssymb}
\usepackage{array,longtable}
\usepackage{graphicx}
\usepackage[hidelinks]{hyperref}
\setlength{\parindent}{0pt}
\setlength{\parskip}{5pt plus 1pt}
\emergencystretch=3em
\raggedbottom
";
/// What LaTeX makes of a name that links lead to.
const WIDTH_AT_MOST: &str = "\\linewidth";
/// Pixels of a picture a centimetre.
const PIXELS: f64 = 52.0;
/// Of a run of pdflatex, which takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of the PDF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typeset {
    /// It is there.
    Done,
    /// pdflatex is not installed.
    NoLatex,
}

/// Text that stands for itself in LaTeX. Signs outside of Latin become mathematics; what is not known, a
/// question mark.
fn escape(text: &str) -> String {
    let one = |c: char| match c {
        '\\' => "\\textbackslash{}".into(),
        '~' => "\\textasciitilde{}".into(),
        '^' => "\\textasciicircum{}".into(),
        '<' | '>' | '|' => format!("${c}$"),
        '#' | '$' | '%' | '&' | '_' | '{' | '}' => format!("\\{c}"),
        '"' => "''".into(),
        '–' => "--".into(),
        // Letters of Latin that the fonts lack.
        'Ħ' => "H".into(),
        'ħ' => "h".into(),
        'ĸ' => "k".into(),
        'Ŀ' => "L".into(),
        'ŀ' => "l".into(),
        'ŉ' => "'n".into(),
        'Ŧ' => "T".into(),
        'ŧ' => "t".into(),
        'ſ' => "s".into(),
        '²' => "$^2$".into(),
        '·' => "$\\cdot$".into(),
        '×' | '✗' => "$\\times$".into(),
        '≤' => "$\\le$".into(),
        '≥' => "$\\ge$".into(),
        '→' => "$\\to$".into(),
        'α' => "$\\alpha$".into(),
        'β' => "$\\beta$".into(),
        'ε' => "$\\varepsilon$".into(),
        'η' => "$\\eta$".into(),
        'κ' => "$\\kappa$".into(),
        'π' => "$\\pi$".into(),
        'ρ' => "$\\rho$".into(),
        'ω' => "$\\omega$".into(),
        // An empty line would end a paragraph, and a macro's argument with it.
        c if c.is_control() => " ".into(),
        c if c.is_ascii() || ('\u{a1}'..='\u{17f}').contains(&c) || "ȘșȚț‘’“”—…".contains(c) => {
            c.to_string()
        }
        _ => "?".into(),
    };
    text.chars().map(one).collect()
}

fn rich(text: &Rich) -> String {
    text.show(escape, |m| format!("${m}$"))
}

/// Letters of a word that a line takes in any case; a longer one may break behind each of them.
const UNBROKEN: usize = 60;

/// A command as it is typed: its quotes are straight, two dashes stay two, and a line breaks between words or behind
/// what parts a word.
fn code(text: &str) -> String {
    let breakable = |word: &str| {
        let long = word.chars().count() > UNBROKEN;
        let letter = |c: char| {
            let shown = match c {
                '\'' => "\\textquotesingle{}".into(),
                '"' => "\\textquotedbl{}".into(),
                '`' => "\\textasciigrave{}".into(),
                '-' => "{-}".into(),
                c => escape(&c.to_string()),
            };
            if long || "/,:=".contains(c) { shown + "\\allowbreak{}" } else { shown }
        };
        word.chars().map(letter).collect::<String>()
    };
    format!("\\texttt{{{}}}", text.split(' ').map(breakable).collect::<Vec<_>>().join(" "))
}

impl Page {
    /// The page as a LaTeX file, and its pictures as PNG files in the order of their names
    /// `figures/figure0.png`, `figures/figure1.png`, ...
    pub fn latex(&self) -> (String, Vec<&[u8]>) {
        let (mut body, mut pictures) = (String::new(), Vec::new());
        for block in &self.blocks {
            block.latex(&mut body, &mut pictures);
        }
        let (title, author) = (rich(&self.title), escape(self.author.as_deref().unwrap_or_default()));
        let text = format!(
            "{PREAMBLE}\\hypersetup{{pdftitle={{{}}},pdfauthor={{{author}}}}}\n\\title{{{title}}}\n\\author{{{author}}}\n\\date{{}}\n\\begin{{document}}\n\\maketitle\n{body}\\end{{document}}\n",
            escape(&self.title.plain())
        );
        (text, pictures)
    }

    /// Writes `report.tex` and its figures into a folder, which can be typeset wherever it is taken: Overleaf
    /// opens it as it is.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn tex(&self, folder: &Path) -> Result<()> {
        let (text, pictures) = self.latex();
        let figures = folder.join("figures");
        files::create_folder(&figures)?;
        files::write_atomic(folder.join("report.tex"), text.as_bytes())?;
        let figure = |i| figures.join(format!("figure{i}.png"));
        pictures.iter().enumerate().try_for_each(|(i, png)| files::write_atomic(figure(i), png))?;
        // Those of an earlier report with more of them.
        (pictures.len()..).map(figure).take_while(|old| fs::remove_file(old).is_ok()).for_each(drop);
        Ok(())
    }

    /// Typesets the page into `path`, where pdflatex is installed.
    ///
    /// # Errors
    /// A file cannot be written, or LaTeX refuses the page.
    pub fn pdf(&self, path: &Path) -> Result<Typeset> {
        let present =
            Command::new("pdflatex").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !present.is_ok_and(|s| s.success()) {
            return Ok(Typeset::NoLatex);
        }
        let folder = tempfile::tempdir().map_err(|e| Error::write(&std::env::temp_dir(), &e))?;
        let folder = folder.path();
        self.tex(folder)?;
        // Twice: the second pass knows where links lead.
        for _ in 0..2 {
            typeset(folder)?;
        }
        let made = folder.join("report.pdf");
        files::write_atomic(path, &files::read(&made, 1 << 30)?)?;
        Ok(Typeset::Done)
    }
}

/// Runs pdflatex on `report.tex` in a folder of its own. LaTeX's language is a programming language: it may
/// read and write in this folder alone, starts no other program, and has [`PATIENCE`].
fn typeset(folder: &Path) -> Result<()> {
    let cannot = |e: io::Error| Error::failure(format!("pdflatex cannot be run: {e}"));
    let mut run = Command::new("pdflatex")
        .args(["-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "report.tex"])
        .envs([("openin_any", "p"), ("openout_any", "p")])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(cannot)?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = run.try_wait().map_err(cannot)? {
            break status;
        }
        if interrupt::requested() || start.elapsed() > PATIENCE {
            // It may just have ended by itself.
            let _ = run.kill();
            run.wait().map_err(cannot)?;
            interrupt::check("the PDF was not made")?;
            return Err(Error::failure(format!("pdflatex did not end within {} s", PATIENCE.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    if status.success() {
        return Ok(());
    }
    let log = files::read(folder.join("report.log"), 1 << 30).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let line = log.lines().find(|l| l.starts_with('!')).unwrap_or("no reason given");
    Err(Error::failure(format!("pdflatex refuses the page: {line}")))
}

impl Block {
    fn latex<'a>(&'a self, out: &mut String, pictures: &mut Vec<&'a [u8]>) {
        // Writing into a string cannot fail.
        let _ = match self {
            Block::Heading(level, name, text) => {
                let command = ["section*", "subsection*", "subsubsection*"][usize::from(*level - 2)];
                let target = name.map_or(String::new(), |n| {
                    format!("\\phantomsection\\hypertarget{{{n}}}{{}}\\label{{{n}}}")
                });
                writeln!(out, "\\{command}{{{}}}{target}", rich(text))
            }
            Block::Text(text) => writeln!(out, "{}\n", rich(text)),
            Block::Formula(Math(math)) => writeln!(out, "\\[{math}\\]"),
            Block::Command(how, commands) => {
                writeln!(out, "{{\\small\\raggedright {how} {}\\par}}\n", code(&joined(commands)))
            }
            Block::Figure(Figure { png, size, caption, .. }) => {
                let width = size[0] as f64 / PIXELS;
                let width = if width > 16.0 { WIDTH_AT_MOST.into() } else { format!("{width:.2}cm") };
                writeln!(
                    out,
                    "\\begin{{center}}\\includegraphics[width={width},height=0.8\\textheight,keepaspectratio]\
                     {{figures/figure{}.png}}\\par\n{{\\small {}\\par}}\\end{{center}}",
                    pictures.len(),
                    rich(caption)
                )
                .map(|()| pictures.push(png))
            }
            Block::Table(rows) => table(rows, out),
            Block::Links(rows) => rows.iter().try_for_each(|[part, text, name]| {
                let part = if part.is_empty() { String::new() } else { format!("{}: ", escape(part)) };
                writeln!(
                    out,
                    "{part}\\hyperlink{{{name}}}{{{}}}\\dotfill\\pageref{{{name}}}\\\\",
                    rich(&Rich::from(*text))
                )
            }),
        };
    }
}

/// What a line of a table takes.
const LETTERS: usize = 88;

fn table(rows: &[Vec<Rich>], out: &mut String) -> fmt::Result {
    let columns = rows.first().map_or(1, Vec::len);
    let length = |cell: &Rich| cell.plain().chars().count();
    let wide = |c: usize| rows.iter().map(|r| r.get(c).map_or(0, length)).max().unwrap_or(0);
    // The gap between two columns is three letters wide. What is left by short columns the longer ones share.
    let all: usize = (0..columns).map(|c| wide(c) + 3).sum();
    let texts = || (0..columns).filter(|&c| !numeric(rows, c) && wide(c) > LETTERS / 4);
    let left = LETTERS.saturating_sub((all - 3).saturating_sub(texts().map(wide).sum())).max(LETTERS / 4);
    let share =
        |c: usize| left as f64 / LETTERS as f64 * wide(c) as f64 / texts().map(wide).sum::<usize>() as f64;
    let form: String = (0..columns)
        .map(|c| match c {
            c if all > LETTERS && texts().any(|t| t == c) => {
                format!(">{{\\raggedright\\arraybackslash}}p{{{:.3}\\linewidth}}", share(c))
            }
            c if numeric(rows, c) => "r".into(),
            _ => "l".into(),
        })
        .collect();
    writeln!(out, "{{\\small\\begin{{longtable}}{{{form}}}")?;
    for (i, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().map(rich).collect();
        writeln!(out, "{}\\\\{}", cells.join(" & "), if i == 0 { "\\hline\\endhead" } else { "" })?;
    }
    writeln!(out, "\\end{{longtable}}}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;
    use crate::shell::Typed;
    use std::fs;

    fn page() -> Page {
        let mut page = Page::new("50 % & more");
        page.links(&[["1 (a)", "gradient", "q1a"]])
            .section("q1a", "The $\\eta$ of {it}")
            .text("a_b #1 ~ ^ \\ η ≤ ✗ 字 β1 ε");
        page.formula("\\frac{a}{b}").command(["gradus descent --a 1 -o very/long/path/to/pictures".into()]);
        page.table([vec!["name", "n"], vec!["<x>", "1"]]);
        page.figure(&Image::filled(20, 10, [9; 3]), "a $\\pi$").unwrap();
        page
    }

    #[test]
    fn what_is_special_is_escaped() {
        let page = page();
        let (text, pictures) = page.latex();
        assert_eq!(pictures.len(), 1);
        for part in [
            "\\title{50 \\% \\& more}",
            "\\section*{The $\\eta$ of \\{it\\}}",
            "a\\_b \\#1 \\textasciitilde{} \\textasciicircum{} \\textbackslash{} $\\eta$ $\\le$ $\\times$ ? $\\beta$1 $\\varepsilon$",
            "\\[\\frac{a}{b}\\]",
            "\\begin{longtable}{lr}",
            "$<$x$>$ & 1\\\\",
            "{figures/figure0.png}",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn commands_break_between_words_and_keep_their_quotes() {
        let typed = code("gradus report --with 'a b' -o runs/x");
        assert_eq!(
            typed,
            "\\texttt{gradus report {-}{-}with \\textquotesingle{}a b\\textquotesingle{} {-}o runs/\\allowbreak{}x}"
        );
        assert_eq!(code(&"x".repeat(61)).matches("\\allowbreak").count(), 61);
    }

    /// LaTeX says which lines are wider than the page.
    #[test]
    fn no_table_is_wider_than_the_page() {
        let mut page = page();
        page.author(Some("A. Name"));
        let long = "numbers.v, boundary.smt2, step_size.smt2, a.v";
        let words = "what is claimed here, in some more words than fit";
        page.table([
            vec!["claim", "says", "tests", "controls", "machine proofs"],
            vec!["D1", words, "12", "3", long],
        ]);
        let folder = tempfile::tempdir().unwrap();
        page.tex(folder.path()).unwrap();
        let (text, _) = page.latex();
        assert!(text.contains("pdftitle={50 \\% \\& more},pdfauthor={A. Name}"), "{text}");
        assert!(text.contains("\\dotfill\\pageref{q1a}") && text.contains("\\label{q1a}"), "{text}");
        if Command::new("pdflatex").arg("--version").output().is_ok() {
            typeset(folder.path()).unwrap();
            let log = fs::read(folder.path().join("report.log")).unwrap();
            assert!(!String::from_utf8_lossy(&log).contains("Overfull"), "a line is too wide");
        }
    }

    #[test]
    fn figures_of_an_earlier_and_longer_report_do_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let mut long = page();
        long.figure(&Image::filled(9, 9, [1; 3]), "one more").unwrap();
        for (page, count) in [(long, 2), (page(), 1)] {
            page.tex(folder.path()).unwrap();
            assert_eq!(files::entries(folder.path().join("figures")).unwrap().len(), count);
        }
    }

    #[test]
    fn names_are_no_programs() {
        let hostile =
            "$\\input{/etc/passwd}$ $\\loop\\iftrue\\repeat$ ^^5cinput \n\n\\par \u{1b}[2J".to_string();
        let mut page = Page::new(hostile.clone());
        page.heading(hostile.clone())
            .text(hostile.clone())
            .command([Typed::from("gradus").word(&hostile)])
            .table([vec![hostile]]);
        let (text, _) = page.latex();
        let body = text.strip_prefix(PREAMBLE).unwrap();
        for program in ["\\input", "\\loop", "\\par ", "^^", "\u{1b}", "\\$ \n"] {
            assert!(!body.contains(program), "{program} is in {body}");
        }
        // All that a name can hold, in each place: one that LaTeX took for a command would stop it.
        let all: String = ('\0'..='\u{250}').chain('\u{2010}'..='\u{2030}').collect();
        let mut page = Page::new(all.clone());
        page.heading(all.clone())
            .text(all.clone())
            .command([Typed::from("gradus").word(&all)])
            .author(Some(&all))
            .origin(Some(&all))
            .table([vec![all.clone(); 2]]);
        page.figure(&Image::filled(20, 10, [9; 3]), all).unwrap();
        let dir = tempfile::tempdir().unwrap();
        page.pdf(&dir.path().join("all.pdf")).unwrap();
    }

    /// What the program itself says could run; LaTeX gives it no file and no time.
    #[test]
    fn latex_reads_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret.tex");
        fs::write(&secret, "secret").unwrap();
        let read: &'static str = Box::leak(format!("$\\input{{{}}}$", secret.display()).into_boxed_str());
        let mut page = Page::new("t");
        page.text(read);
        match page.pdf(&dir.path().join("t.pdf")) {
            Ok(made) => assert_eq!(made, Typeset::NoLatex),
            Err(e) => assert!(e.to_string().contains("refuses"), "{e}"),
        }
    }

    #[test]
    fn a_pdf_is_made_where_latex_is_present() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.pdf");
        let latex = Command::new("pdflatex").arg("--version").output().is_ok();
        let made = page().pdf(&path).unwrap();
        assert_eq!(made, if latex { Typeset::Done } else { Typeset::NoLatex });
        assert_eq!(std::fs::read(&path).is_ok_and(|b| b.starts_with(b"%PDF")), latex);
        assert!(!dir.path().join("report.latex").exists());
    }
}
