//! Mutant schemata: a file with all of its mutants at once, each asleep until `crate::mutant(ID)` says that
//! it is the one to live.
//!
//! To ask each mutant of a shard, one would build the tests once for each. Here `a * b`, for which mutant 7
//! writes +, becomes
//!
//! ```text
//! (if crate::mutant(7) { ((a) + (b)) } else { ((a) * (b)) })
//! ```
//!
//! and a function's body begins with `if crate::mutant(8) { return VALUE; }`: one build serves them all. On
//! standard input stands a list of `[id, mutant]`, the mutants as `cargo mutants --list --json` has them, all
//! of the file that the argument names. The file goes to standard output; which mutants are not in it,
//! because no such form is known for them, to standard error.

use serde_json::Value;
use std::collections::HashMap;
use std::ops::Range;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// What is written in place of a range of the source.
enum Form {
    /// A function's value, before its body.
    Value,
    Guard,
    Binary(Range<usize>, Range<usize>, Range<usize>),
    Unary(Range<usize>),
}

struct Site {
    range: Range<usize>,
    form: Form,
    /// Numbers, and what each writes.
    mutants: Vec<(u64, String)>,
}

struct Finder {
    /// By where what they replace begins.
    mutants: HashMap<(usize, String), Vec<(u64, String)>>,
    sites: Vec<Site>,
}

impl Finder {
    fn take(&mut self, genre: &str, range: Range<usize>, at: usize, form: Form) {
        if let Some(mutants) = self.mutants.remove(&(at, genre.to_string())) {
            self.sites.push(Site { range, form, mutants });
        }
    }

    fn body(&mut self, block: &syn::Block) {
        if let Some(first) = block.stmts.first() {
            let at = first.span().byte_range().start;
            self.take("FnValue", at..at, at, Form::Value);
        }
    }
}

impl Visit<'_> for Finder {
    fn visit_expr_binary(&mut self, e: &syn::ExprBinary) {
        let [left, op, right] = [e.left.span(), e.op.span(), e.right.span()].map(|s| s.byte_range());
        let at = op.start;
        self.take("BinaryOperator", left.start..right.end, at, Form::Binary(left, op, right));
        visit::visit_expr_binary(self, e);
    }

    fn visit_expr_unary(&mut self, e: &syn::ExprUnary) {
        let range = e.span().byte_range();
        self.take("UnaryOperator", range.clone(), range.start, Form::Unary(e.expr.span().byte_range()));
        visit::visit_expr_unary(self, e);
    }

    fn visit_arm(&mut self, arm: &syn::Arm) {
        if let Some((_, guard)) = &arm.guard {
            let range = guard.span().byte_range();
            self.take("MatchArmGuard", range.clone(), range.start, Form::Guard);
        }
        visit::visit_arm(self, arm);
    }

    fn visit_item_fn(&mut self, f: &syn::ItemFn) {
        self.body(&f.block);
        visit::visit_item_fn(self, f);
    }

    fn visit_impl_item_fn(&mut self, f: &syn::ImplItemFn) {
        self.body(&f.block);
        visit::visit_impl_item_fn(self, f);
    }

    fn visit_trait_item_fn(&mut self, f: &syn::TraitItemFn) {
        f.default.iter().for_each(|block| self.body(block));
        visit::visit_trait_item_fn(self, f);
    }
}

/// A range of the source with the sites in it that come after the first `after`: outer ones stand before
/// inner ones.
fn render(source: &str, sites: &[Site], after: usize, range: Range<usize>) -> String {
    let (mut out, mut at) = (String::new(), range.start);
    for (i, site) in sites.iter().enumerate().skip(after) {
        if site.range.start < at || site.range.end > range.end {
            continue;
        }
        let inner = |range: &Range<usize>| format!("({})", render(source, sites, i + 1, range.clone()));
        out += &source[at..site.range.start];
        at = site.range.end;
        let (write, own): (Box<dyn Fn(&str) -> String>, String) = match &site.form {
            Form::Value => {
                for (id, value) in &site.mutants {
                    out += &format!("if crate::mutant({id}) {{ return {value}; }} ");
                }
                continue;
            }
            Form::Guard => (Box::new(|value| value.to_string()), inner(&site.range)),
            Form::Binary(left, op, right) => {
                let (left, right) = (inner(left), inner(right));
                let write = move |op: &str| format!("({left} {op} {right})");
                let own = write(&source[op.clone()]);
                (Box::new(write), own)
            }
            Form::Unary(operand) => {
                let operand_text = inner(operand);
                let own = format!("({}{operand_text})", &source[site.range.start..operand.start]);
                (Box::new(move |_| operand_text.clone()), own)
            }
        };
        let chain = site
            .mutants
            .iter()
            .map(|(id, text)| format!("if crate::mutant({id}) {{ {} }} else ", write(text)));
        out += &format!("({}{{ {own} }})", chain.collect::<String>());
    }
    out + &source[at..range.end]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("which file?")?;
    let source = std::fs::read_to_string(path)?;
    let offset = |line: usize, column: usize| {
        let start: usize = source.split_inclusive('\n').take(line - 1).map(str::len).sum();
        start + source[start..].chars().take(column - 1).map(char::len_utf8).sum::<usize>()
    };
    let mut finder = Finder { mutants: HashMap::new(), sites: Vec::new() };
    for (id, mutant) in serde_json::from_reader::<_, Vec<(u64, Value)>>(std::io::stdin())? {
        let number = |key: &str| {
            mutant["span"]["start"][key].as_u64().map(|n| n as usize).ok_or("a span without its start")
        };
        let text = |key: &str| mutant[key].as_str().unwrap_or_default().to_string();
        let at = (offset(number("line")?, number("column")?), text("genre"));
        finder.mutants.entry(at).or_default().push((id, text("replacement")));
    }
    finder.visit_file(&syn::parse_file(&source)?);
    let rank = |s: &Site| {
        (s.range.start, !s.range.is_empty(), usize::MAX - s.range.end, !matches!(s.form, Form::Guard))
    };
    finder.sites.sort_by_key(rank);
    print!("{}", render(&source, &finder.sites, 0, 0..source.len()));
    let left: Vec<u64> = finder.mutants.into_values().flatten().map(|(id, _)| id).collect();
    eprintln!("{left:?}");
    Ok(())
}
