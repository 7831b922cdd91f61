//! `meshproof completions` and `meshproof man`: made from the tree of commands that parses the command line, so they cannot differ
//! from it.
//!
//! What a shell gets is a few lines that ask this program each time, for only then is it known which runs there are.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_complete::engine::{CompletionCandidate, PathCompleter, ValueCompleter as _};
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use meshproof_proto::verdict::Exit;

use super::Cli;
use crate::history::Kept;
use crate::local;
use crate::record::now_ms;
use crate::report::sanitise;
use crate::report::table::span;
use crate::say;

/// A shell that asks has this in the environment.
const ASKS: &str = "MESHPROOF_COMPLETE";

/// Runs that are offered: those that people still remember.
const OFFERED: usize = 50;

/// Answers a shell that wants to know what could stand where, and ends; does nothing otherwise.
pub(super) fn answer_a_shell() {
    CompleteEnv::with_factory(Cli::command).var(ASKS).complete();
}

/// The runs that are kept here, newest first, and `last`.
pub(super) fn runs() -> Vec<CompletionCandidate> {
    let kept = Kept::in_folder(std::env::var_os("MESHPROOF_RUNS").as_deref().map(Path::new)).ok();
    let briefs = kept.and_then(|kept| kept.beginnings().ok()).unwrap_or_default();
    let last = (!briefs.is_empty()).then(|| CompletionCandidate::new("last").help(Some("the last run".into())));
    let offered = briefs.into_iter().take(OFFERED).map(|brief| {
        let about = format!("{}, {} ago", brief.plan, span(now_ms().saturating_sub(brief.began_ms)));
        CompletionCandidate::new(sanitise::line(&brief.run)).help(Some(sanitise::line(&about).into()))
    });
    let all = last.into_iter().chain(offered);
    all.enumerate().map(|(at, candidate)| candidate.display_order(Some(at))).collect()
}

/// The runs that go on.
pub(super) fn running() -> Vec<CompletionCandidate> {
    let running = local::running().unwrap_or_default().into_iter();
    let offered = running.map(|running| CompletionCandidate::new(running.run).help(Some("goes on".into())));
    offered.collect()
}

/// The runs that go on, and files.
pub(super) fn running_or_file(begun: &OsStr) -> Vec<CompletionCandidate> {
    let begins = |candidate: &CompletionCandidate| {
        candidate.get_value().as_encoded_bytes().starts_with(begun.as_encoded_bytes())
    };
    running().into_iter().filter(begins).chain(PathCompleter::file().complete(begun)).collect()
}

/// The arguments of `meshproof completions`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof completions bash > ~/.local/share/bash-completion/completions/meshproof\n  \
    meshproof completions zsh > \"${fpath[1]}/_meshproof\"\n  meshproof completions fish > ~/.config/fish/completions/meshproof.fish",
    after_help = "What it prints asks this program for what fits, so ids of runs and names of files are completed too. Do it again after an update.\n\n\
    Exit codes: 0 done, 2 usage."
)]
pub(super) struct CompletionsArgs {
    shell: Shell,
}

/// Prints what a shell needs to complete commands.
pub(super) fn completions(args: &CompletionsArgs) -> Exit {
    match script(args.shell, &program()) {
        Ok(text) => say::result(&text),
        Err(why) => say::failed(&why, Exit::MeshFailed),
    }
}

fn script(shell: Shell, program: &str) -> Result<String, String> {
    let known = Shells::builtins();
    let asks = known.completer(&shell.to_string()).ok_or_else(|| format!("{shell} cannot ask for completions"))?;
    let mut text = Vec::new();
    asks.write_registration(ASKS, "meshproof", "meshproof", program, &mut text).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// How the shell will call it: by its name where it is found by that, else by its path.
fn program() -> String {
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let path = if called.components().count() > 1 { std::path::absolute(&called).ok() } else { None };
    path.map_or_else(|| "meshproof".to_owned(), |path| path.to_string_lossy().into_owned())
}

/// The arguments of `meshproof man`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof man ~/.local/share/man/man1    then `man meshproof-run`",
    after_help = super::ONLY_USAGE
)]
pub(super) struct ManArgs {
    /// Folder for the pages, one for each command; it is made if it is not there.
    folder: PathBuf,
}

/// Writes the manual pages.
pub(super) fn man(args: &ManArgs) -> Exit {
    let mut tree = Cli::command().disable_help_subcommand(true);
    tree.build();
    let written = std::fs::create_dir_all(&args.folder).and_then(|()| pages(&tree, &args.folder));
    match written {
        Ok(()) => Exit::Passed,
        Err(error) => {
            say::failed(&format!("cannot write manual pages to {}: {error}", args.folder.display()), Exit::Usage)
        }
    }
}

/// A page for the command, and for each below it.
fn pages(command: &clap::Command, folder: &Path) -> std::io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        pages(below, folder)?;
    }
    let man = Man::new(command.clone());
    File::create(folder.join(man.get_filename()))?.write_all(&page(&man, command)?)
}

/// The parts in the order of `man-pages(7)`. What a help text has before and behind its options are sections of their own here.
fn page(man: &Man, command: &clap::Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.get_subcommands().any(|below| !below.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    let text = |text: Option<&clap::builder::StyledStr>| text.map(ToString::to_string).unwrap_or_default();
    let mut roff = Roff::new();
    let behind = text(command.get_after_help());
    for paragraph in behind.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        match paragraph.strip_prefix(EXIT_CODES) {
            Some(codes) => roff.control("SH", ["EXIT STATUS"]).text([roman(codes.replace('\n', " "))]),
            None => roff.control("SH", ["NOTES"]).text([roman(paragraph.replace('\n', " "))]),
        };
    }
    if let Some(examples) = text(command.get_before_help()).strip_prefix(EXAMPLES) {
        roff.control("SH", ["EXAMPLES"]).control("nf", []);
        for line in examples.lines() {
            roff.text([roman(line.trim())]);
        }
        roff.control("fi", []);
    }
    roff.to_writer(&mut page)?;
    Ok(page)
}

/// How examples, and exit codes, begin in every help text.
const EXAMPLES: &str = "Examples:\n";
const EXIT_CODES: &str = "Exit codes: ";

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    /// The tree, each command of it.
    fn each(look: impl Fn(&clap::Command)) {
        let mut tree = Cli::command().disable_help_subcommand(true);
        tree.build();
        let mut left = vec![&tree];
        while let Some(command) = left.pop() {
            look(command);
            left.extend(command.get_subcommands().filter(|below| !below.is_hide_set()));
        }
    }

    #[test]
    fn the_help_of_every_command_begins_with_examples_and_ends_with_exit_codes() {
        each(|command| {
            if command.get_subcommands().next().is_some() && command.get_name() == "mesh" {
                return;
            }
            let [examples, codes] = [command.get_before_help(), command.get_after_help()];
            let said = |text: Option<&clap::builder::StyledStr>| text.map(ToString::to_string).unwrap_or_default();
            let (examples, codes) = (said(examples), said(codes));
            assert!(examples.starts_with("Examples:\n  meshproof "), "{}: {examples}", command.get_name());
            let last = codes.rsplit("\n\n").next().unwrap_or_default();
            assert!(last.starts_with(EXIT_CODES), "{}: {codes}", command.get_name());
        });
    }

    #[test]
    fn every_shell_is_told_to_ask_this_program() {
        for shell in Shell::value_variants() {
            let text = script(*shell, "/opt/meshproof").expect("a script");
            assert!(text.contains(ASKS) && text.contains("/opt/meshproof"), "{shell}: {text}");
        }
    }

    #[test]
    fn every_command_has_a_manual_page_with_its_examples_and_exit_codes() {
        let place = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(man(&ManArgs { folder: place.path().to_owned() }), Exit::Passed);
        each(|command| {
            let name = command.get_display_name().unwrap_or_else(|| command.get_name());
            let page = std::fs::read_to_string(place.path().join(format!("{name}.1"))).expect(name);
            assert!(page.contains(".SH NAME") && page.contains(".SH DESCRIPTION"), "{page}");
            assert!(!page.contains(".SH EXTRA"), "{page}");
            if name != "meshproof-mesh" {
                assert!(page.contains("\n.SH EXAMPLES\n.nf\nmeshproof "), "{page}");
                assert!(page.contains("\n.SH \"EXIT STATUS\"\n"), "{page}");
            }
        });
        let run = std::fs::read_to_string(place.path().join("meshproof-run.1")).expect("a page");
        assert!(run.contains("0 pass, 1 a check failed") && run.contains("meshproof run plan.yaml"), "{run}");
    }
}
