//! Commands as they are typed in a shell.
//!
//! What a page shows as a command is copied, and what a notebook holds as one is run. The names in it come from
//! anywhere, a run's own settings among them, and a name like `$(rm -r .)` would be a command of its own. So a
//! command is made of what the program says (`&'static str`) and of words, and a word that a shell would read
//! otherwise stands in quotes.

use std::fmt::{self, Display};

/// A command, or what of it is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    text: String,
    /// What has to have happened before: a line for people.
    when: String,
}

/// What the program says.
impl From<&'static str> for Typed {
    fn from(own: &'static str) -> Self {
        Typed { text: own.into(), when: String::new() }
    }
}

/// A word for the shell: in quotes, where a letter of it means something to one.
fn quoted(word: &str) -> String {
    let harmless = |c: char| c.is_alphanumeric() || "_-./:,=+@%".contains(c);
    if !word.is_empty() && word.chars().all(harmless) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

impl Typed {
    /// And a word that is data.
    #[must_use]
    pub fn word(mut self, word: impl Display) -> Self {
        self.text += &format!(" {}", quoted(&word.to_string()));
        self
    }

    /// And an option with its values; nothing where there are none.
    #[must_use]
    pub fn option<T: Display>(self, name: &'static str, values: impl IntoIterator<Item = T>) -> Self {
        let mut values = values.into_iter().peekable();
        let named = if values.peek().is_some() { self.own(name) } else { self };
        values.fold(named, Typed::word)
    }

    /// And an option without a value, where it is set.
    #[must_use]
    pub fn flag(self, name: &'static str, set: bool) -> Self {
        if set { self.own(name) } else { self }
    }

    /// And `name=true` or `name=false`.
    #[must_use]
    pub fn switch(self, name: &'static str, on: bool) -> Self {
        self.own(&format!("{name}={on}"))
    }

    /// What has to have happened before: "after 3 epochs".
    #[must_use]
    pub fn when(mut self, when: String) -> Self {
        self.when = when.replace(char::is_control, " ");
        self
    }

    fn own(mut self, own: &str) -> Self {
        self.text += &format!(" {own}");
        self
    }

    /// A notebook's cell that runs these commands, one after the other. A line that begins with `!` is IPython's
    /// before it is the shell's: `{...}` and `$...` in it are Python. Where a name holds any such sign, the
    /// shell gets the whole cell as it is.
    pub fn cell(commands: &[Typed]) -> String {
        let plain = |c: &Typed| !c.text.contains(|c: char| c.is_control() || "{}$\\".contains(c));
        let python = commands.iter().all(plain);
        let lines = commands.iter().map(|Typed { text, when }| {
            let when = if when.is_empty() { String::new() } else { format!("# {when}\n") };
            format!("{when}{}{text}", if python { "!" } else { "" })
        });
        let begin = if python { None } else { Some("%%bash".to_string()) };
        begin.into_iter().chain(lines).collect::<Vec<_>>().join("\n")
    }
}

impl Display for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.when.is_empty() {
            write!(f, "{} ", self.when)?;
        }
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn words_reach_the_command_as_they_are() {
        assert_eq!(Typed::from("gradus").option("--out", ["runs/a-1"]).flag("--quick", true).to_string(), {
            "gradus --out runs/a-1 --quick"
        });
        assert_eq!(
            Typed::from("gradus").option("--image", [""; 0]).flag("--plain", false).to_string(),
            "gradus"
        );
        let all: String = ('\u{1}'..='\u{ff}').collect();
        for hostile in
            ["", "a b", "$(id)", "`id`; id", "it's", "~/x", "a\nid", "#x", "'; id '", "{1+1}", &all]
        {
            let typed = Typed::from("printf '%s|'").word(hostile).word("end").to_string();
            let out = Command::new("sh").arg("-c").arg(typed).output().unwrap();
            assert_eq!(String::from_utf8(out.stdout).unwrap(), format!("{hostile}|end|"));
        }
    }

    #[test]
    fn cells_give_python_nothing_to_read() {
        let cell = |word: &str| Typed::cell(&[Typed::from("gradus iou").word(word)]);
        assert_eq!(cell("0,0,4,2"), "!gradus iou 0,0,4,2");
        assert_eq!(cell("a b"), "!gradus iou 'a b'");
        for python in ["{open('x','w')}", "$x", "a\\", "a\nimport os"] {
            assert!(cell(python).starts_with("%%bash\ngradus iou '"), "{python}");
        }
        let later = Typed::from("gradus train").when("after 1\nimport os".into());
        assert_eq!(Typed::cell(&["gradus a".into(), later]), "!gradus a\n# after 1 import os\n!gradus train");
    }
}
