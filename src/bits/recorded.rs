//! The file of recorded digests: a line each, of a name and a digest; lines that begin with `#` explain.

use super::digest::Digest;
use std::collections::BTreeMap;

/// Digests by the names of what they are of.
pub type Digests = BTreeMap<String, Digest>;

/// The recorded ones, as this program was built with.
pub const RECORDED: &str = include_str!("../../tests/bits/recorded.txt");

/// The head of the file.
const HEAD: &str = "\
# What gradus computes in f32, as digests: a name, and the first 32 hexadecimal digits of the SHA-256 of the
# results' bits. They are the same on every processor. `gradus bits` and `cargo test --test bits` make them
# again.
#
# A line changes only with a commit that says why its op may compute other bits from then on: whoever repeats
# an older training gets other weights. If a line of a network or a training is among them, BITS in
# src/run/settings.rs is raised by the same commit. This writes the file anew:
#
#     cargo build --release && target/release/gradus bits --list > tests/bits/recorded.txt
";

/// The digests of a file's text. A line that is none is left out.
pub fn parse(text: &str) -> Digests {
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    let pairs = lines.filter_map(|l| l.split_once(' '));
    pairs.map(|(name, digest)| (name.to_string(), digest.trim().to_string())).collect()
}

/// The text of a file of digests.
pub fn text(digests: &Digests) -> String {
    let width = digests.keys().map(String::len).max().unwrap_or(0);
    let lines = digests.iter().map(|(name, digest)| format!("{name:width$} {digest}\n"));
    HEAD.to_string() + &lines.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_it_was_written() {
        let digests: Digests =
            [("b/long/forward", "00ff"), ("a/x", "12")].map(|(n, d)| (n.into(), d.into())).into();
        assert_eq!(parse(&text(&digests)), digests);
        assert!(parse("").is_empty());
    }
}
