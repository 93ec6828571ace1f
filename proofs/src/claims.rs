//! The book of claims: what the texts state, what the tests test, what the machine proofs prove, joined by
//! label.
//!
//! A claim is opened by `\claim{D2}{title}` in a folder's `theory.tex`. Its tests are the functions of the
//! folder's `properties.rs` (and what lies beside it) whose names begin with `d2_`, its negative controls
//! those that begin with `d2_control_`. A machine proof (`*.v`, `*.smt2`) names its claims in its first
//! comment ("Claims D1, D2") and in its theorems (`d2_...`).

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One claim and what stands for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// D2
    pub label: String,
    /// In plain text.
    pub title: String,
    /// The folder under proofs/.
    pub folder: String,
    /// Functions that test it.
    pub tests: Vec<String>,
    /// Functions that refute a planted twin.
    pub controls: Vec<String>,
    /// Files of the folder that name it.
    pub proofs: Vec<String>,
}

/// All of them, in the order of the folders and texts, and what does not fit together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// The claims.
    pub claims: Vec<Claim>,
    /// A line for each mistake: a claim without a test or control, a label without a claim.
    pub problems: Vec<String>,
}

/// The folders that exist, the questions first.
const ORDER: [&str; 7] = ["descent", "filters", "iou", "autograd", "convolution", "elementary", "detection"];

/// Where proofs/ was when this was compiled.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Reads every folder of `root`.
///
/// # Errors
/// A file cannot be read.
pub fn read(root: &Path) -> io::Result<Book> {
    let mut book = Book::default();
    for folder in ORDER.iter().filter(|f| root.join(f).is_dir()) {
        read_folder(&mut book, &root.join(folder), folder)?;
    }
    for claim in &book.claims {
        let mut miss = |what: &str, missing: bool| {
            if missing {
                book.problems.push(format!("{} ({}) has no {what}", claim.label, claim.title));
            }
        };
        miss("test", claim.tests.is_empty());
        miss("negative control", claim.controls.is_empty());
    }
    let labels: BTreeSet<&str> = book.claims.iter().map(|c| c.label.as_str()).collect();
    if labels.len() < book.claims.len() {
        book.problems.push("a label is used by two claims".to_string());
    }
    Ok(book)
}

fn read_folder(book: &mut Book, path: &Path, folder: &str) -> io::Result<()> {
    let text = |name: &str| match fs::read_to_string(path.join(name)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other,
    };
    let first = book.claims.len();
    book.claims.extend(claims(&text("theory.tex")?, folder));
    let (claims, problems) = (&mut book.claims[first..], &mut book.problems);
    let mut files: Vec<String> = fs::read_dir(path)?
        .map(|e| Ok(e?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()?;
    files.sort();
    for file in files.iter().filter(|f| f.ends_with(".rs")) {
        for name in tests(&text(file)?) {
            let Some(label) = label_of(&name) else { continue };
            match claims.iter_mut().find(|c| c.label == label) {
                Some(c) if is_control(&name) => c.controls.push(name),
                Some(c) => c.tests.push(name),
                None => {
                    problems.push(format!("{folder}/{file}: {name} tests no claim of {folder}/theory.tex"))
                }
            }
        }
    }
    for file in files.into_iter().filter(|f| f.ends_with(".v") || f.ends_with(".smt2")) {
        let named = proven(&text(&file)?);
        if named.is_empty() {
            problems.push(format!("{folder}/{file} names no claim"));
        }
        for label in named {
            match claims.iter_mut().find(|c| c.label == label) {
                Some(c) => c.proofs.push(file.clone()),
                None => problems
                    .push(format!("{folder}/{file} names {label}, which is no claim of {folder}/theory.tex")),
            }
        }
    }
    Ok(())
}

/// The claims that a text opens.
fn claims<'a>(tex: &'a str, folder: &'a str) -> impl Iterator<Item = Claim> + 'a {
    tex.lines().filter_map(move |line| {
        let (label, rest) = line.strip_prefix("\\claim{")?.split_once("}{")?;
        let title = plain(rest.trim_end().strip_suffix('}').unwrap_or(rest));
        Some(Claim { label: label.to_string(), title, folder: folder.to_string(), ..Claim::default() })
    })
}

/// Without LaTeX's signs.
fn plain(tex: &str) -> String {
    tex.replace("--", "–").replace('~', " ").chars().filter(|c| !"$\\{}".contains(*c)).collect()
}

/// The functions that `#[test]` marks.
pub fn tests(source: &str) -> Vec<String> {
    let after = source.split("#[test]").skip(1);
    after.filter_map(|s| Some(s.split_once("fn ")?.1.split_once('(')?.0.trim().to_string())).collect()
}

/// The label that a test's or theorem's name begins with: D2 for `d2_converges`.
pub fn label_of(name: &str) -> Option<String> {
    let label = name.split('_').next()?;
    is_label(&label.to_uppercase()).then(|| label.to_uppercase())
}

/// Whether a test refutes a planted claim.
pub fn is_control(name: &str) -> bool {
    name.split('_').nth(1) == Some("control")
}

/// One letter and a number.
fn is_label(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(|c| c.is_ascii_uppercase())
        && word.len() > 1
        && chars.all(|c| c.is_ascii_digit())
}

/// The labels that a machine proof names: in comments that begin with "Claim", and in theorems.
fn proven(source: &str) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for line in source.lines() {
        let words = line.trim_start_matches(['(', '*', ';', ' ']);
        if words.starts_with("Claim") {
            let list = words.split_once([':', '.']).map_or(words, |(list, _)| list);
            let words = list.split(|c: char| !c.is_ascii_alphanumeric());
            labels.extend(words.filter(|w| is_label(w)).map(str::to_string));
        }
        let theorem = words.strip_prefix("Theorem ").or_else(|| words.strip_prefix("Lemma "));
        labels.extend(theorem.and_then(|t| label_of(t.split([' ', ':']).next()?)));
    }
    labels
}

/// The table of one folder's claims, in Markdown: claim, tests, controls, machine proofs.
pub fn folder_table(book: &Book, folder: &str) -> String {
    let mut table = String::from("| claim | tests | controls | machine proof |\n|---|---|---|---|\n");
    let code = |names: &[String]| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join("<br>");
    for c in book.claims.iter().filter(|c| c.folder == folder) {
        let (tests, controls, proofs) = (code(&c.tests), code(&c.controls), links(c, ""));
        let _ = writeln!(table, "| **{}** {} | {tests} | {controls} | {proofs} |", c.label, c.title);
    }
    table
}

/// The table of all claims, in Markdown.
pub fn table(book: &Book) -> String {
    let mut table =
        String::from("| claim | says | tests | controls | machine proof |\n|---|---|---|---|---|\n");
    for c in &book.claims {
        let (label, title, folder) = (&c.label, &c.title, &c.folder);
        let (tests, controls, proofs) = (c.tests.len(), c.controls.len(), links(c, &format!("{folder}/")));
        let _ =
            writeln!(table, "| [{label}]({folder}/theory.tex) | {title} | {tests} | {controls} | {proofs} |");
    }
    table
}

fn links(c: &Claim, folder: &str) -> String {
    let link = |p: &String| format!("[{p}]({folder}{p})");
    if c.proofs.is_empty() {
        "–".to_string()
    } else {
        c.proofs.iter().map(link).collect::<Vec<_>>().join(", ")
    }
}

const BEGIN: &str = "<!-- claims: written by `cargo run -p gradus-proofs -- --tables` -->\n";
const END: &str = "<!-- end of claims -->\n";

/// A page with the table between its marks replaced, or `None` where it has no marks.
fn with_table(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{table}{END}{after}"))
}

/// The pages that hold a table, and the application's list, with the text that each should have.
///
/// # Errors
/// A page cannot be read or has no place for the table.
pub fn pages(root: &Path, book: &Book) -> io::Result<Vec<(PathBuf, String)>> {
    let folders = ORDER.iter().filter(|f| book.claims.iter().any(|c| c.folder == **f));
    let tables = folders.map(|f| (root.join(f).join("README.md"), folder_table(book, f)));
    let all = std::iter::once((root.join("README.md"), table(book))).chain(tables);
    let listed = (root.join("../assets/claims.tsv"), list(book));
    let pages = all.map(|(path, table)| {
        let page = fs::read_to_string(&path)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        let missing =
            || io::Error::other(format!("{}: no place for the table:\n{BEGIN}{END}", path.display()));
        Ok((path.clone(), with_table(&page, &table).ok_or_else(missing)?))
    });
    pages.chain(std::iter::once(Ok(listed))).collect()
}

/// A line a claim, separated by tabs: label, title, tests, controls, machine proofs. The application's report
/// embeds it.
fn list(book: &Book) -> String {
    let line = |c: &Claim| {
        let proofs = if c.proofs.is_empty() { "none".to_string() } else { c.proofs.join(", ") };
        format!("{}\t{}\t{}\t{}\t{proofs}\n", c.label, c.title, c.tests.len(), c.controls.len())
    };
    book.claims.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_tests_and_proofs_meet_by_label() {
        assert_eq!(
            claims("\\claim{D2}{Exactly $a$ \\emph{b}}\n", "d").next().unwrap().title,
            "Exactly a emphb"
        );
        assert_eq!(
            tests("#[test]\nfn d2_a() {}\n#[test]\n#[x]\nfn d2_control_b() {}"),
            ["d2_a", "d2_control_b"]
        );
        assert_eq!(label_of("d12_x").as_deref(), Some("D12"));
        assert_eq!(label_of("every_set"), None);
        assert!(is_control("d2_control_b") && !is_control("d2_uncontrolled"));
        let v = "(** Claims D1, D2. For D9. *)\nTheorem d3_x a : True.\nLemma e : False.";
        assert_eq!(proven(v).into_iter().collect::<Vec<_>>(), ["D1", "D2", "D3"]);
        assert_eq!(proven("; Claim I1 in floats: I2").into_iter().collect::<Vec<_>>(), ["I1"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("iou");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("theory.tex"), "\\claim{I1}{one}\n\\claim{I2}{two}\n").unwrap();
        fs::write(folder.join("properties.rs"), "#[test]\nfn i1_a() {}\n#[test]\nfn i3_b() {}\n").unwrap();
        fs::write(folder.join("x.v"), "(* Claim I4. *)").unwrap();
        let problems = read(dir.path()).unwrap().problems.join("\n");
        for needed in
            ["i3_b tests no claim", "x.v names I4", "I1 (one) has no negative", "I2 (two) has no test"]
        {
            assert!(problems.contains(needed), "{needed}: {problems}");
        }
    }

    #[test]
    fn this_book_fits_together() {
        let book = read(&root()).unwrap();
        assert!(book.problems.is_empty(), "{:#?}", book.problems);
        for (path, page) in pages(&root(), &book).unwrap() {
            let same = fs::read_to_string(&path).unwrap() == page;
            assert!(same, "{} is out of date: cargo run -p gradus-proofs -- --tables", path.display());
        }
    }
}
