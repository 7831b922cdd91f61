//! The commands of a chat: all of the command line's, and a few that only make sense where somebody stays.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};
use meshproof_proto::verdict::Exit;

use crate::chat::complete::Trees;
use crate::chat::verbs::{ToAgents, Verb};
use crate::cli::Command;
use crate::plan::nearest;

/// `/…`
#[derive(Debug, Parser)]
#[command(
    name = "/",
    no_binary_name = true,
    disable_version_flag = true,
    about = "Commands of a chat",
    max_term_width = 100
)]
struct Slash {
    #[command(subcommand)]
    does: Does,
}

#[derive(Debug, Subcommand)]
enum Does {
    #[command(flatten)]
    Here(Here),
    /// A command of the command line.
    #[command(flatten)]
    There(Box<Command>),
}

/// What a chat does itself.
#[derive(Debug, Subcommand)]
pub(super) enum Here {
    /// Begin a fault that ends by itself: `/fault traffic shop -> ledger latency 800ms for 30s`.
    Fault {
        /// `traffic A -> B EFFECT VALUE … for TIME`, `stub NAME latency TIME`, or the name of one of the plan's.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// End a fault that somebody began in a chat, or `all` of them.
    Heal { fault: String },
    /// Hold the run: what has begun goes on to its end, and no other step begins.
    Pause,
    /// Let one step begin, and hold the run behind it.
    Step,
    /// Let the run go on, also where its plan says `pause`.
    Resume,
    /// What agents hold: their run, steps, faults and stubs.
    State {
        #[arg(default_value = "all")]
        agent: String,
    },
    /// Of what goes on, as of `/attach`, show only lines with these words: `/filter ledger !pass`. Without any: all again.
    Filter { words: Vec<String> },
    /// What was begun in this chat.
    Threads,
    /// End what goes on: `/stop t3`.
    Stop { thread: String },
    /// Write what came out well as a plan that does it again.
    Save { file: PathBuf },
    /// Leave.
    Quit,
}

/// What a line of the chat asks for.
#[derive(Debug)]
pub(super) enum Asked {
    Here(Here),
    /// Its words, for a process of its own.
    There(Vec<String>),
    /// Help, or what is wrong, and which it is.
    Told {
        text: String,
        exit: Exit,
    },
}

/// The command behind a slash.
pub(super) fn command(words: Vec<String>) -> Asked {
    match Slash::try_parse_from(&words) {
        Ok(Slash { does: Does::Here(here) }) => Asked::Here(here),
        Ok(Slash { does: Does::There(command) }) => match elsewhere(&command) {
            Some(text) => Asked::Told { text: text.to_owned(), exit: Exit::Usage },
            None => Asked::There(words),
        },
        Err(error) => told(&error, &words, &Slash::command()),
    }
}

/// Commands that are processes of a mesh, or that a chat cannot hold.
fn elsewhere(command: &Command) -> Option<&'static str> {
    match command {
        Command::Agent(_) | Command::Signaling(_) | Command::Keep(_) | Command::Web(_) => {
            Some("this is a process of its own; start it from a shell\n")
        }
        Command::Chat(_) => Some("this is a chat already\n"),
        _ => None,
    }
}

/// Whether a command shows the mesh that the chat is in, and does nothing else.
pub(super) fn only_looks(words: &[String]) -> bool {
    if words.iter().any(|word| word.starts_with("--mesh") || word.starts_with("--runs")) {
        return false;
    }
    match Slash::try_parse_from(words) {
        Ok(Slash { does: Does::There(command) }) => command.only_looks(),
        Ok(Slash { does: Does::Here(_) }) | Err(_) => false,
    }
}

/// Whether a command is about one run, and leaves open which.
pub(super) fn names_no_run(words: &[String]) -> bool {
    match Slash::try_parse_from(words) {
        Ok(Slash { does: Does::There(command) }) => command.names_no_run(),
        Ok(Slash { does: Does::Here(_) }) | Err(_) => false,
    }
}

/// What agents are asked for.
pub(super) fn verb(words: &[String]) -> Result<Verb, Asked> {
    ToAgents::try_parse_from(words).map(|asked| asked.verb).map_err(|error| told(&error, words, &ToAgents::command()))
}

fn told(error: &clap::Error, words: &[String], tree: &clap::Command) -> Asked {
    let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    // the slash belongs to the word behind it
    let mut text = error.render().to_string().replace("Usage: / ", "Usage: ");
    text = text.replace("Usage: ", if tree.get_name() == "/" { "Usage: /" } else { "Usage: @AGENT " });
    text = text.replace("@AGENT @AGENT", "@AGENT");
    // for short words clap sees no likeness
    if error.kind() == ErrorKind::InvalidSubcommand
        && !text.contains("tip:")
        && let Some(word) = words.first()
        && let Some(near) = nearest(word, tree.get_subcommands().map(clap::Command::get_name))
    {
        text += &format!("Did you mean '{near}'?\n");
    }
    Asked::Told { text, exit: if is_help { Exit::Passed } else { Exit::Usage } }
}

/// Both trees, for completion.
pub(super) fn trees() -> Trees {
    Trees { commands: Slash::command(), verbs: ToAgents::command() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::line::words;

    fn of(line: &str) -> Asked {
        command(words(line).expect("words"))
    }

    #[test]
    fn the_tree_is_sound_and_has_every_command_of_the_command_line() {
        Slash::command().debug_assert();
        ToAgents::command().debug_assert();
        let trees = trees();
        for command in crate::cli::Cli::command().get_subcommands() {
            assert!(trees.commands.find_subcommand(command.get_name()).is_some(), "{}", command.get_name());
        }
    }

    #[test]
    fn commands_are_the_command_lines_and_a_few_of_the_chats() {
        for line in [
            "who",
            "who --json",
            "links",
            "run plan.yaml --seed 7",
            "check plan.yaml",
            "attach",
            "report last --format md",
        ] {
            assert!(matches!(of(line), Asked::There(words) if words.join(" ") == line), "{line}");
        }
        assert!(matches!(of("heal all"), Asked::Here(Here::Heal { fault }) if fault == "all"));
        let fault = of("fault traffic shop -> ledger latency 800ms for 30s");
        assert!(matches!(fault, Asked::Here(Here::Fault { words }) if words.len() == 8));
    }

    #[test]
    fn a_command_about_a_run_that_leaves_open_which_is_told_from_others() {
        let names_none = |line: &str| names_no_run(&words(line).expect("words"));
        for line in ["attach", "attach --progress plain", "show", "show --json", "report", "report --format md"] {
            assert!(names_none(line), "{line}");
        }
        for line in
            ["attach r-9d07", "show last", "report last", "report r-9d07 --format md", "runs", "who", "nonsense"]
        {
            assert!(!names_none(line), "{line}");
        }
    }

    #[test]
    fn what_only_looks_is_told_from_what_does_more() {
        let looks = |line: &str| only_looks(&words(line).expect("words"));
        for line in ["who", "links --json", "stubs", "attach", "show", "schema"] {
            assert!(looks(line), "{line}");
        }
        for line in [
            "run plan.yaml",
            "stubs --purge payments",
            "attach --take-over",
            "mesh new dev --signaling ws://127.0.0.1:1/mesh",
            "bench --between a b",
            "report last --format md --out file",
            "check /etc/passwd",
            "who --mesh other.toml",
            "clean",
            "init",
            "web",
            "nonsense",
        ] {
            assert!(!looks(line), "{line}");
        }
    }

    #[test]
    fn a_word_that_is_no_command_is_told_with_what_was_meant_and_help_is_no_mistake() {
        for (line, exit, said) in [
            ("woh", Exit::Usage, "'who'"),
            ("who --jsn", Exit::Usage, "--json"),
            ("heal", Exit::Usage, "Usage: /heal <FAULT>"),
            ("help", Exit::Passed, "links"),
            ("fault --help", Exit::Passed, "/fault"),
            ("keep", Exit::Usage, ""),
            ("chat", Exit::Usage, "already"),
        ] {
            let Asked::Told { text, exit: told } = of(line) else { panic!("{line}") };
            assert!(told == exit && text.contains(said), "{line}: {text}");
        }
        let Err(Asked::Told { text, exit }) = verb(&["htp".to_owned()]) else { panic!("no verb") };
        assert!(exit == Exit::Usage && text.contains("'http'"), "{text}");
    }
}
