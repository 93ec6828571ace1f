//! What holds on one system alone is marked so: the sources are searched for names that others lack. And what
//! flows into a run is read alike on every system.

use gradus::image::Image;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Names, and what must stand on the line or mark what the line is part of.
const OWN: [(&str, &str); 6] = [
    ("std::os::unix", "cfg(unix)"),
    ("std::os::linux", "target_os = \"linux\""),
    ("std::os::windows", "cfg(windows)"),
    ("libc::", "cfg(unix)"),
    // A file that another system has not is no error.
    ("\"/proc", ".ok()"),
    ("\"/dev/", "cfg(unix)"),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Whether the item or statement that the first line marks reaches to the last: none between them ends it.
fn covers(lines: &[&str]) -> bool {
    let own = indent(lines[0]);
    let ends = |line: &&str| {
        let closing = line.trim_end().ends_with(['}', ';']);
        !line.trim().is_empty() && (indent(line) < own || indent(line) == own && closing)
    };
    lines.len() < 2 || !lines[1..lines.len() - 1].iter().any(ends) && indent(lines[lines.len() - 1]) >= own
}

/// The lines that name what other systems lack, without saying so.
fn unmarked(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let bad = |&k: &usize| {
        OWN.iter().any(|(name, mark)| {
            lines[k].contains(name) && !(0..=k).any(|at| lines[at].contains(mark) && covers(&lines[at..=k]))
        })
    };
    (0..lines.len()).filter(bad).map(|k| k + 1).collect()
}

#[test]
fn names_of_one_system_are_marked() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "core/src", "models/src", "proofs"] {
        sources(&root.join(folder), &mut files);
    }
    assert!(files.len() > 200, "{} files", files.len());
    for file in files {
        let lines = unmarked(&fs::read_to_string(&file).unwrap());
        assert!(lines.is_empty(), "{}: lines {lines:?} are of one system alone", file.display());
    }
}

#[test]
fn an_unmarked_name_is_found() {
    assert_eq!(unmarked("use std::os::unix::fs::symlink;\n"), [1]);
    assert_eq!(unmarked("\nlet f = std::fs::read(\"/proc/self/status\")?;\n"), [2]);
    assert!(unmarked("#[cfg(unix)]\nuse std::os::unix::fs::symlink;\n").is_empty());
    assert!(unmarked("#[cfg(unix)]\nfn f() {\n    libc::getpid();\n}\n").is_empty());
    // A mark is of what it stands before, and of nothing behind it.
    assert_eq!(unmarked("#[cfg(unix)]\nfn f() {}\nfn g() {\n    libc::getpid();\n}\n"), [4]);
    assert_eq!(unmarked("#[cfg(unix)]\nfn f() {\n}\nuse std::os::unix::fs::symlink;\n"), [4]);
    assert_eq!(unmarked("#[cfg(test)]\nmod tests {\n    use libc::getpid;\n}\n"), [3]);
}

/// Only `files::entries` lists a folder, by name: file systems list in an order of their own.
#[test]
fn folders_are_listed_in_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    ["src", "core/src", "models/src"].iter().for_each(|folder| sources(&root.join(folder), &mut files));
    files.retain(|file| !file.to_string_lossy().ends_with("tests.rs"));
    let listing = files.into_iter().filter(|file| {
        let text = fs::read_to_string(file).unwrap();
        text.split("#[cfg(test)]").next().unwrap().contains("read_dir(")
    });
    let listing: Vec<PathBuf> = listing.map(|f| f.strip_prefix(root).unwrap().to_path_buf()).collect();
    assert_eq!(listing, [Path::new("src/files.rs")]);
}

/// The pixels of a photograph, with colours at half the resolution and in progressive scans at the full one.
/// Decoders may round as the processor likes; this one may not.
#[test]
fn a_photographs_pixels_are_a_function_of_its_file() {
    for (name, digest) in [
        ("baseline.jpg", "8309a91f860494dc80fcee8f03b863703c8df73430aa36807e07d31cba89887f"),
        ("progressive.jpg", "20a124fd8e954af68a62401e991c7f2655041f984f2e96a2fb37fcc527bc0f7d"),
        ("lossy.webp", "36b2efbe0fe077ff40f8e4b8bc9e5258b8b7c670f5bf43b15c0c66bc98b5be43"),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures").join(name);
        let image = Image::open(&path).unwrap();
        assert_eq!((image.width(), image.height(), image.channels()), (96, 96, 3), "{name}");
        let found: String = Sha256::digest(image.as_u8()).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(found, digest, "{name}");
    }
}
