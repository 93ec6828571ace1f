//! The house stays one: no file imports from another that, directly or by way of others, imports from it; and
//! files and functions are short enough to be read at one go.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module by its path within the crate: `["ops", "conv"]`.
type Module = Vec<String>;

/// Lines of a file, and of a function, at most.
const FILE: usize = 500;
const FUNCTION: usize = 60;

/// The modules of a crate with their text, but for tests and what is behind `mod tests` in a file.
fn modules(src: &Path) -> BTreeMap<Module, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(src.join(&folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = folder.join(&name);
            if name == "tests" {
                continue;
            }
            if src.join(&path).is_dir() {
                folders.push(path);
            } else if let Some(stem) = name.strip_suffix(".rs").filter(|s| !s.ends_with("tests")) {
                let mut module: Module = folder.iter().map(|p| p.to_str().unwrap().to_string()).collect();
                module.extend((!["mod", "lib", "main"].contains(&stem)).then(|| stem.to_string()));
                let text = fs::read_to_string(src.join(&path)).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
                found.insert(module, code.to_string());
            }
        }
    }
    found
}

/// The paths of a tree of imports: `a::{b, c::d}` gives `a::b` and `a::c::d`.
fn paths(tree: &str) -> Vec<String> {
    let Some((before, inside)) = tree.split_once('{') else { return vec![tree.trim().to_string()] };
    let inside = inside.trim_end().trim_end_matches('}');
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in inside.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        match c {
            ',' if depth == 0 => parts.push(String::new()),
            _ => parts.last_mut().unwrap().push(c),
        }
    }
    let parts = parts.iter().filter(|p| !p.trim().is_empty());
    parts.flat_map(|p| paths(p.trim())).map(|p| format!("{}{p}", before.trim())).collect()
}

/// What a module names of others, imported or by its path, and whether it does so to hand it on.
fn imports(text: &str) -> Vec<(String, bool)> {
    let code: Vec<&str> = text.lines().map(|l| l.split("//").next().unwrap_or_default().trim()).collect();
    let statements = code.join(" ").replace("pub(in crate::", "pub(");
    let of = |statement: &str| {
        let (before, tree) = statement.rsplit_once("use ")?;
        let handed_on = before.trim_end().ends_with("pub") || before.trim_end().ends_with(')');
        let alone = before.is_empty() || before.ends_with(' ');
        alone.then(|| paths(tree).into_iter().map(|p| (p, handed_on)).collect::<Vec<_>>())
    };
    let words = statements.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
    let named = words.filter(|w| w.starts_with("super::") || w.starts_with("crate::"));
    let named = named.map(|path| (path.trim_end_matches(':').to_string(), false));
    statements.split(';').filter_map(of).flatten().chain(named).collect()
}

/// Which module imports which.
fn arrows(modules: &BTreeMap<Module, String>) -> BTreeMap<&Module, BTreeSet<Module>> {
    let arrows = modules.iter().map(|(module, text)| {
        let to = imports(text).into_iter().filter_map(|(path, handed_on)| {
            let mut parts = path.split("::").peekable();
            let mut at: Module = match *parts.peek()? {
                "crate" => Vec::new(),
                "super" | "self" => module.clone(),
                child => {
                    let own = modules.contains_key(&[&module[..], &[child.to_string()]].concat());
                    own.then(|| module.clone())?
                }
            };
            for part in parts {
                let deeper = [&at[..], &[part.to_string()]].concat();
                match part {
                    "crate" | "self" => {}
                    "super" => drop(at.pop()),
                    _ if modules.contains_key(&deeper) => at = deeper,
                    _ => break,
                }
            }
            (at != *module && !(handed_on && at.starts_with(module))).then_some(at)
        });
        (module, to.collect())
    });
    arrows.collect()
}

/// A way from a module back to itself.
fn circle(modules: &BTreeMap<Module, String>) -> Option<Vec<&Module>> {
    let arrows = arrows(modules);
    let mut done = BTreeSet::new();
    fn search<'a>(
        at: &'a Module,
        arrows: &BTreeMap<&'a Module, BTreeSet<Module>>,
        way: &mut Vec<&'a Module>,
        done: &mut BTreeSet<&'a Module>,
    ) -> bool {
        if let Some(begin) = way.iter().position(|m| *m == at) {
            way.drain(..begin);
            return true;
        }
        if !done.insert(at) {
            return false;
        }
        way.push(at);
        let next = arrows.keys().filter(|m| arrows[at].contains(**m)).copied();
        if next.collect::<Vec<_>>().into_iter().any(|m| search(m, arrows, way, done)) {
            return true;
        }
        way.pop();
        false
    }
    modules.keys().find_map(|m| {
        let mut way = Vec::new();
        search(m, &arrows, &mut way, &mut done).then_some(way)
    })
}

const CRATES: [&str; 3] = ["core/src", "models/src", "src"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn no_file_stands_on_one_that_stands_on_it() {
    for src in CRATES {
        let modules = modules(&root().join(src));
        assert!(arrows(&modules).values().map(BTreeSet::len).sum::<usize>() > modules.len(), "{src}");
        assert_eq!(circle(&modules), None, "{src}");
    }
}

#[test]
fn files_and_functions_are_short() {
    for src in CRATES {
        for (module, text) in modules(&root().join(src)) {
            let lines: Vec<&str> = text.lines().collect();
            assert!(lines.len() <= FILE, "{src}, {module:?}: {} lines", lines.len());
            for (i, line) in lines.iter().enumerate() {
                let indent = line.len() - line.trim_start().len();
                let head = line.trim_start().trim_start_matches("pub ").trim_start_matches("unsafe ");
                if !head.starts_with("fn ") || line.ends_with('}') {
                    continue;
                }
                let end = format!("{}}}", " ".repeat(indent));
                let length = lines[i..].iter().position(|l| *l == end).map_or(0, |k| k + 1);
                let declared = lines[i..].iter().position(|l| l.ends_with(';')).unwrap_or(0);
                let body = lines[i..].iter().position(|l| l.ends_with('{')).unwrap_or(usize::MAX);
                assert!(declared < body || length <= FUNCTION, "{src}, {module:?}: {length} lines: {head}");
            }
        }
    }
}

#[test]
fn a_planted_circle_is_seen() {
    let house = |texts: &[(&str, &str)]| {
        let module = |name: &str| name.split('/').filter(|p| !p.is_empty()).map(String::from).collect();
        texts.iter().map(|(name, text)| (module(name), text.to_string())).collect::<BTreeMap<Module, _>>()
    };
    let sound = [
        ("", "pub mod a;\npub use a::A;"),
        ("a", "mod b;\nmod c;\npub use b::B;\nuse c::C;"),
        ("a/b", "use super::c::C;"),
        ("a/c", "// use super::b::B;\nuse std::fmt;"),
    ];
    assert_eq!(circle(&house(&sound)), None);
    for (place, text) in [
        (3, "use crate::{a::b::{self, B}, other};"),
        (3, "use super::{\n    b::B,\n};"),
        (3, "pub use super::B;"),
        (3, "fn f() { super::b::g() }"),
        (2, "use crate::A;"),
    ] {
        let mut planted = sound;
        planted[place].1 = text;
        let planted = house(&planted);
        let way = circle(&planted);
        assert_eq!(way.is_some(), !(place == 2 && text.contains("crate::A")), "{text}: {way:?}");
    }
}
