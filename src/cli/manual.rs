//! `gradus completions` and `gradus man`: what shells and `man` know of the command line, made of itself.

use super::command_line;
use super::options::Global;
use super::output::{new_file, print};
use crate::error::{Error, Result};
use crate::files;
use clap::Args;
use clap_complete::Shell;
use clap_mangen::Man as Page;
use std::path::{Path, PathBuf};

const NAME: &str = "gradus";

/// Print what a shell needs to complete commands and options
#[derive(Args)]
#[command(after_help = "Examples:
  gradus completions bash > ~/.local/share/bash-completion/completions/gradus
  gradus completions zsh > ~/.zfunc/_gradus          with ~/.zfunc among the fpath
  gradus completions fish > ~/.config/fish/completions/gradus.fish")]
pub struct Completions {
    /// The shell
    shell: Shell,
}

/// The manual's pages, one for each command
#[derive(Args)]
#[command(after_help = "Examples:
  gradus man | man -l -                                                     gradus(1) alone
  gradus man -o ~/.local/share/man/man1; man gradus-train-detector          a page of each command")]
pub struct Man {
    /// Write gradus.1, gradus-train.1 and all the others into this folder
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Overwrite them
    #[arg(long)]
    force: bool,
}

impl Completions {
    /// Runs the command.
    pub fn run(&self, _: &Global) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command_line(), NAME, &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}

impl Man {
    /// Runs the command.
    pub fn run(&self, _: &Global) -> Result<()> {
        match &self.out {
            Some(out) => {
                files::create_folder(out)?;
                pages(&command_line(), NAME, out, self.force)
            }
            None => print(&String::from_utf8_lossy(&page(command_line())?)),
        }
    }
}

fn page(command: clap::Command) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    Page::new(command).render(&mut text).map_err(|e| Error::failure(format!("the manual: {e}")))?;
    Ok(text)
}

/// A command's page, and those of its own commands.
fn pages(command: &clap::Command, name: &str, out: &Path, force: bool) -> Result<()> {
    // A name lives as long as the process does, as clap has it.
    let own = command.clone().name(String::leak(name.to_string()) as &str);
    files::write_atomic(new_file(out.join(format!("{name}.1")), force)?, &page(own)?)?;
    let shown = command.get_subcommands().filter(|own| !own.is_hide_set() && own.get_name() != "help");
    shown.into_iter().try_for_each(|own| pages(own, &format!("{name}-{}", own.get_name()), out, force))
}
