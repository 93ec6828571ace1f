//! Which of a file's tensors are meant, by their names alone: the same for every format, and before any is
//! read.
//!
//! Wrappers around a network put a word before the names of all its tensors: `torch.nn.DataParallel` writes
//! `module.conv1.weight`, `torch.compile` `_orig_mod.conv1.weight`, Lightning `model.conv1.weight`, and so on
//! in any combination. Where every name begins with such a word, it is removed from all, again and again. A
//! key that is no dictionary of the file selects by the beginning of names, and removes that.

use super::error::{Problem, quote};
use indexmap::IndexMap;

/// What of a file is meant.
#[derive(Clone, Copy, Default)]
pub(super) struct How<'a> {
    /// Under which key, of dictionaries or of the beginning of names.
    pub key: Option<&'a str>,
    /// Whether a tensor is wanted, by its name; where it is none, all are.
    pub wanted: Option<&'a dyn Fn(&str) -> bool>,
    /// Whether names stay as they are.
    pub verbatim: bool,
}

/// Tensors by name, not read yet: where each is, or what it is of that is not read here.
pub(super) type Entries<T> = IndexMap<String, Result<T, String>>;

/// Words that wrappers put before every name.
const PREFIXES: [&str; 10] = [
    "module",
    "model",
    "net",
    "network",
    "base_model",
    "backbone",
    "ema",
    "ema_model",
    "model_ema",
    "module_ema",
];
/// Words that compilers and sharders put anywhere in a name; no module is called so.
const INSERTED: [&str; 4] =
    ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"];
/// What wrappers that average weights keep beside them, for themselves.
const COUNTERS: [&str; 5] = ["n_averaged", "num_updates", "decay", "initted", "step"];

/// What is meant.
pub(super) struct Selected<T> {
    pub entries: IndexMap<String, T>,
    /// Tensors that are not read here, and of what kind each is.
    pub unread: IndexMap<String, String>,
    /// What was removed from the names.
    pub stripped: Option<String>,
    /// Names that were left.
    pub ignored: Vec<String>,
}

/// Those of the entries whose names begin with `prefix`, without it, and without what wrappers put before all
/// names.
pub(super) fn select<T>(
    mut entries: Entries<T>,
    prefix: Option<&str>,
    how: How<'_>,
) -> Result<Selected<T>, Problem> {
    let mut stripped = String::new();
    if let Some(key) = prefix {
        let names: Vec<String> = entries.keys().take(8).map(|name| quote(name)).collect();
        entries = under(entries, key);
        if entries.is_empty() {
            return Err(Problem::NoSuchKey { key: key.into(), keys: names });
        }
    }
    let mut ignored = Vec::new();
    if !how.verbatim {
        entries = without_inserted(entries, &mut stripped);
        (entries, ignored) = without_prefixes(entries, &mut stripped);
    }
    let (mut read, mut unread) = (IndexMap::new(), IndexMap::new());
    for (name, entry) in entries.into_iter().filter(|(name, _)| how.wanted.is_none_or(|wanted| wanted(name)))
    {
        match entry {
            Ok(entry) => drop(read.insert(name, entry)),
            Err(kind) => drop(unread.insert(name, kind)),
        }
    }
    let stripped = (!stripped.is_empty()).then_some(stripped);
    Ok(Selected { entries: read, unread, stripped, ignored })
}

/// What follows a word and the dot after it.
fn after<'a>(name: &'a str, word: &str) -> Option<&'a str> {
    name.strip_prefix(word)?.strip_prefix('.').filter(|rest| !rest.is_empty())
}

fn under<T>(entries: Entries<T>, key: &str) -> Entries<T> {
    entries.into_iter().filter_map(|(name, entry)| Some((after(&name, key)?.to_owned(), entry))).collect()
}

/// The names without the words that compilers insert; as they are where two would become one.
fn without_inserted<T>(entries: Entries<T>, stripped: &mut String) -> Entries<T> {
    let renamed = |name: &String| {
        let parts: Vec<&str> = name.split('.').filter(|part| !INSERTED.contains(part)).collect();
        parts.join(".")
    };
    let used = INSERTED.iter().filter(|word| entries.keys().any(|name| name.split('.').any(|p| p == **word)));
    let used: Vec<&str> = used.copied().collect();
    let names: Vec<String> = entries.keys().map(renamed).collect();
    let distinct: std::collections::HashSet<&String> = names.iter().collect();
    if used.is_empty() || distinct.len() < names.len() || distinct.contains(&String::new()) {
        return entries;
    }
    used.iter().for_each(|word| *stripped += &format!("{word}."));
    names.into_iter().zip(entries.into_values()).collect()
}

/// The names without the words that all begin with, and the wrappers' counters that were left out.
fn without_prefixes<T>(mut entries: Entries<T>, stripped: &mut String) -> (Entries<T>, Vec<String>) {
    let mut ignored = Vec::new();
    while let Some(word) = PREFIXES.into_iter().find(|word| is_before_all(word, &entries)) {
        ignored.extend(entries.keys().filter(|name| after(name, word).is_none()).cloned());
        entries = under(entries, word);
        *stripped += &format!("{word}.");
    }
    (entries, ignored)
}

/// Whether every name begins with the word, but for counters. A detector's own names begin with `backbone.`
/// too.
fn is_before_all<T>(word: &str, entries: &Entries<T>) -> bool {
    let is_detectors = |rest: &str| {
        let first = rest.split('.').next().unwrap_or_default();
        first == "body" || first == "fpn" || first.bytes().all(|b| b.is_ascii_digit())
    };
    let mut some = false;
    let all = entries.keys().all(|name| match after(name, word) {
        Some(rest) => {
            some = true;
            word != "backbone" || !is_detectors(rest)
        }
        None => COUNTERS.contains(&name.as_str()),
    });
    some && all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(
        names: &[&str],
        key: Option<&str>,
    ) -> Result<(Vec<String>, Option<String>, Vec<String>), Problem> {
        let entries: Entries<()> = names.iter().map(|name| (name.to_string(), Ok(()))).collect();
        let s = select(entries, key, How::default())?;
        Ok((s.entries.into_keys().collect(), s.stripped, s.ignored))
    }

    #[test]
    fn what_is_before_every_name_is_removed_in_any_combination() {
        for (prefix, stripped) in [
            ("module.", "module."),
            ("_orig_mod.", "_orig_mod."),
            ("model.", "model."),
            ("backbone.", "backbone."),
            ("ema.", "ema."),
            ("module.model.", "module.model."),
            ("model.backbone.", "model.backbone."),
            ("_orig_mod.module.", "_orig_mod.module."),
            ("module._orig_mod.", "_orig_mod.module."),
            ("ema_model.module.net.", "ema_model.module.net."),
        ] {
            let names = ["conv1.weight", "fc.bias"].map(|name| format!("{prefix}{name}"));
            let (names, told, ignored) = selected(&[&names[0], &names[1]], None).unwrap();
            assert_eq!(names, ["conv1.weight", "fc.bias"], "{prefix}");
            assert_eq!((told.as_deref(), ignored.len()), (Some(stripped), 0));
        }
    }

    #[test]
    fn what_is_not_before_every_name_stays() {
        for names in [
            &["module.conv.weight", "fc.bias"][..],
            &["modules.conv.weight"],
            &["module", "module."],
            &["backbone.body.conv1.weight", "backbone.fpn.inner_blocks.0.0.weight"],
            &["backbone.0.0.weight"],
            &["backbone.conv1.weight", "rpn.head.conv.0.0.weight"],
            &["n_averaged"],
        ] {
            let (kept, stripped, ignored) = selected(names, None).unwrap();
            assert_eq!(
                (kept, stripped, ignored),
                (names.iter().map(|n| n.to_string()).collect(), None, vec![])
            );
        }
    }

    #[test]
    fn averages_keep_their_counters_to_themselves() {
        let (kept, stripped, ignored) = selected(&["n_averaged", "module.fc.bias"], None).unwrap();
        assert_eq!(
            (kept, stripped, ignored),
            (vec!["fc.bias".into()], Some("module.".into()), vec!["n_averaged".into()])
        );
    }

    #[test]
    fn compilers_words_are_removed_wherever_they_stand() {
        let (kept, stripped, _) = selected(&["backbone._orig_mod.fc.bias", "head.bias"], None).unwrap();
        assert_eq!(
            (kept, stripped),
            (vec!["backbone.fc.bias".into(), "head.bias".into()], Some("_orig_mod.".into()))
        );
        // Two networks under one name are not mixed.
        let two = ["_orig_mod.fc.bias", "fc.bias"];
        assert_eq!(selected(&two, None).unwrap().0, two);
    }

    #[test]
    fn a_key_selects_by_the_beginning_of_names() {
        let names = ["student.module.fc.bias", "teacher.module.fc.bias", "teacher.module.fc.weight"];
        let (kept, stripped, _) = selected(&names, Some("teacher")).unwrap();
        assert_eq!((kept, stripped), (vec!["fc.bias".into(), "fc.weight".into()], Some("module.".into())));
        assert_eq!(selected(&names, Some("teacher.module")).unwrap().0, ["fc.bias", "fc.weight"]);
        let said = selected(&names, Some("teach")).unwrap_err().at("x.pth".as_ref()).to_string();
        assert!(
            said.contains("nothing under the key \"teach\"") && said.contains("student.module"),
            "{said}"
        );
    }
}
