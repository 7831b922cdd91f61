//! `meshproof completions` and `meshproof man`: made from the tree of commands that parses the command line, so they cannot differ
//! from it.

use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::Shell;
use meshproof_proto::verdict::Exit;

use super::Cli;
use crate::say;

/// The arguments of `meshproof completions`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof completions bash > ~/.local/share/bash-completion/completions/meshproof\n  \
    meshproof completions zsh > \"${fpath[1]}/_meshproof\"\n  meshproof completions fish > ~/.config/fish/completions/meshproof.fish"
)]
pub(super) struct CompletionsArgs {
    shell: Shell,
}

/// Prints what a shell needs to complete commands.
pub(super) fn completions(args: &CompletionsArgs) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "meshproof", &mut text);
    say::result(&String::from_utf8_lossy(&text))
}

/// The arguments of `meshproof man`.
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  meshproof man ~/.local/share/man/man1    then `man meshproof-run`")]
pub(super) struct ManArgs {
    /// Folder for the pages, one for each command; it is made if it is not there.
    folder: PathBuf,
}

/// Writes the manual pages.
pub(super) fn man(args: &ManArgs) -> Exit {
    let written =
        std::fs::create_dir_all(&args.folder).and_then(|()| clap_mangen::generate_to(Cli::command(), &args.folder));
    match written {
        Ok(()) => Exit::Passed,
        Err(error) => {
            say::failed(&format!("cannot write manual pages to {}: {error}", args.folder.display()), Exit::Usage)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    fn commands() -> Vec<String> {
        let tree = Cli::command();
        tree.get_subcommands()
            .filter(|command| !command.is_hide_set())
            .map(|command| command.get_name().to_owned())
            .collect()
    }

    #[test]
    fn the_help_of_every_command_begins_with_examples() {
        let tree = Cli::command();
        let mut left: Vec<&clap::Command> = tree.get_subcommands().filter(|command| !command.is_hide_set()).collect();
        while let Some(command) = left.pop() {
            let below: Vec<&clap::Command> =
                command.get_subcommands().filter(|below| below.get_name() != "help").collect();
            let examples = command.get_before_help().map(ToString::to_string).unwrap_or_default();
            assert!(!below.is_empty() || examples.starts_with("Examples:\n  meshproof "), "{}", command.get_name());
            left.extend(below);
        }
    }

    #[test]
    fn every_shell_completes_every_command() {
        for shell in Shell::value_variants() {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "meshproof", &mut text);
            let text = String::from_utf8(text).expect("a script");
            for command in commands() {
                assert!(text.contains(&command), "{shell} does not know {command}");
            }
        }
    }

    #[test]
    fn every_command_has_a_manual_page_that_says_what_it_is() {
        let place = tempfile::tempdir().expect("a temporary folder");
        clap_mangen::generate_to(Cli::command(), place.path()).expect("room for them");
        for command in commands() {
            let page = std::fs::read_to_string(place.path().join(format!("meshproof-{command}.1"))).expect(&command);
            assert!(page.contains(".SH DESCRIPTION") || page.contains(".SH NAME"), "{page}");
        }
        assert!(place.path().join("meshproof.1").is_file());
    }
}
