//! Writes the package's pages about the command line: `cflared-pages DIRECTORY` makes `man/` and `completions/` there.
//!
//! It is a program of its own so that nothing which only it needs gets into the agent. It knows the command line and
//! nothing else of the agent; what a page says beyond that is in `sections`.
#![allow(clippy::print_stderr)] // a person runs it

mod sections;

use anyhow::{Context, bail};
use clap::Command;
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The manual's section: what an administrator runs.
const SECTION: &str = "8";

fn main() -> ExitCode {
    match pages() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cflared-pages: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn pages() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(directory), None) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        bail!("failed to find out where to write: one argument is needed; use cflared-pages DIRECTORY")
    };
    // `help` needs no page, and the built command knows its full names and the options that all have.
    let mut command = cflared_agent::cli::command().disable_help_subcommand(true);
    command.build();
    write_manual(&command, &made(&directory, "man")?)?;
    write_completions(&made(&directory, "completions")?)
}

/// The directory `name` below `parent`, made if it is not there.
fn made(parent: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let directory = parent.join(name);
    fs::create_dir_all(&directory).with_context(|| format!("failed to make {}", directory.display()))?;
    Ok(directory)
}

/// Writes a page for the command, and one for each of its subcommands.
fn write_manual(command: &Command, directory: &Path) -> anyhow::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    // No date: the same sources give the same page.
    let source = format!("cflared-agent {}", command.get_version().unwrap_or_default());
    let man = Man::new(command.clone()).title(&name).section(SECTION).date("").source(source);
    let man = man.manual("System Administration");
    let mut page = Vec::new();
    man.render(&mut page)?;
    match command.has_subcommands() {
        true => sections::of_the_command().to_writer(&mut page)?,
        false => sections::of_a_subcommand().to_writer(&mut page)?,
    }
    let path = directory.join(format!("{name}.{SECTION}"));
    fs::write(&path, page).with_context(|| format!("failed to write {}", path.display()))?;
    let mut listed = command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set());
    listed.try_for_each(|subcommand| write_manual(subcommand, directory))
}

fn write_completions(directory: &Path) -> anyhow::Result<()> {
    // A built command would list what all subcommands share a second time.
    let mut command = cflared_agent::cli::command();
    let name = command.get_name().to_owned();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command, &name, directory)
            .with_context(|| format!("failed to write the completion for {shell} into {}", directory.display()))?;
    }
    Ok(())
}
