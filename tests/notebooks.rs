//! The notebooks: their cells are those of the examples of the same names, which are compiled and run as
//! tests.
//!
//! `GRADUS_BLESS=1 cargo test --test notebooks` writes the cells anew; outputs stay where a cell has not
//! changed.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// What the kernel needs before the first cell: the example has it from Cargo.toml.
const PRELUDE: &str = ":opt 3\n:dep gradus = { path = \"..\" }\n:dep gradus-core = { path = \"../core\" }\n\
                       :dep gradus-models = { path = \"../models\" }\n:dep base64 = \"0.23.1\"";

/// The cells of an example: (is it code, its text). They stand in `main`, a comment `%%` before each.
fn cells(example: &str) -> Vec<(bool, String)> {
    let mut cells = vec![(true, PRELUDE.to_string())];
    let mut open = false;
    for line in example.lines() {
        let line = line.strip_prefix("    ").unwrap_or(line);
        match line.strip_prefix("// %%") {
            Some(" end") => open = false,
            Some(kind) => {
                open = true;
                cells.push((kind != " [markdown]", String::new()));
            }
            None if open => {
                let (code, text) = cells.last_mut().expect("a cell is open");
                let line = if *code { line } else { line.trim_start_matches("//").trim_start() };
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    cells.into_iter().map(|(code, text)| (code, text.trim().to_string())).collect()
}

/// A cell's lines in a notebook's form.
fn source(text: &str) -> Value {
    text.split_inclusive('\n').collect()
}

fn text(cell: &Value) -> String {
    cell["source"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A notebook with these cells, and the outputs of the cells that `old` has as well.
fn notebook(cells: &[(bool, String)], old: &Value) -> Value {
    let outputs = |wanted: &str| {
        let old = old["cells"].as_array().into_iter().flatten();
        let same = old.filter(|c| c["cell_type"] == "code").find(|c| text(c) == wanted);
        same.map_or((json!([]), Value::Null), |c| (c["outputs"].clone(), c["execution_count"].clone()))
    };
    let cell = |(i, (code, wanted)): (usize, &(bool, String))| {
        let id = format!("cell-{i}");
        if !code {
            return json!({ "cell_type": "markdown", "id": id, "metadata": {}, "source": source(wanted) });
        }
        let (outputs, count) = outputs(wanted);
        json!({
            "cell_type": "code", "id": id, "metadata": {}, "execution_count": count, "outputs": outputs,
            "source": source(wanted)
        })
    };
    json!({
        "cells": cells.iter().enumerate().map(cell).collect::<Vec<_>>(),
        "metadata": {
            "kernelspec": { "display_name": "Rust", "language": "rust", "name": "rust" },
            "language_info": { "file_extension": ".rs", "mimetype": "text/rust", "name": "Rust" }
        },
        "nbformat": 4,
        "nbformat_minor": 5
    })
}

#[test]
fn cells_are_those_of_the_examples() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["alexnet", "detection"] {
        let wanted = cells(&fs::read_to_string(root.join(format!("examples/{name}.rs"))).unwrap());
        assert!(wanted.len() > 10, "{name} has {} cells", wanted.len());
        let path = root.join(format!("notebooks/{name}.ipynb"));
        let read = fs::read(&path).unwrap_or_default();
        let old: Value = serde_json::from_slice(&read).unwrap_or_default();
        if std::env::var_os("GRADUS_BLESS").is_some() {
            let text = serde_json::to_string_pretty(&notebook(&wanted, &old)).unwrap();
            fs::write(&path, text + "\n").unwrap();
            continue;
        }
        let held = old["cells"].as_array().unwrap_or_else(|| panic!("{} is no notebook", path.display()));
        let held: Vec<(bool, String)> = held.iter().map(|c| (c["cell_type"] == "code", text(c))).collect();
        assert_eq!(held, wanted, "{name}: GRADUS_BLESS=1 cargo test --test notebooks writes the cells anew");
        // Executed: no output is an error.
        let outputs = |c: &Value| c["outputs"].as_array().cloned().unwrap_or_default();
        let outputs: Vec<Value> = old["cells"].as_array().unwrap().iter().flat_map(outputs).collect();
        assert!(outputs.iter().all(|o| o["output_type"] != "error"), "{name} has errors in its outputs");
    }
}

#[test]
fn a_changed_cell_is_noticed_and_outputs_stay_with_unchanged_ones() {
    let example = "fn main() {\n    // %% [markdown]\n    // # Title\n    //\n    // Words.\n    // %%\n    let x = 1;\n    // %% end\n}\n";
    let first = cells(example);
    assert_eq!(first[1..], [(false, "# Title\n\nWords.".to_string()), (true, "let x = 1;".to_string())]);
    let mut book = notebook(&first, &Value::Null);
    book["cells"][2]["outputs"] = json!([{ "output_type": "stream" }]);
    assert_eq!(notebook(&first, &book), book);
    let changed = cells(&example.replace("x = 1", "x = 2"));
    assert_ne!(changed, first);
    assert_eq!(notebook(&changed, &book)["cells"][2]["outputs"], json!([]));
}
