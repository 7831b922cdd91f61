//! How to show a run, decided from what was asked and what there is. Colours follow <https://no-color.org> and
//! <https://bixense.com/clicolors>.

use std::io::IsTerminal as _;

use super::Mode;
use crate::report::style::Style;

/// What is shown, and whether in colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    pub(super) show: Show,
    pub(super) records: Records,
    pub(super) style: Style,
}

/// What people get to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// Lines, with lanes below.
    Live,
    Lines,
    /// Failures and the summary.
    Failures,
    Nothing,
}

/// What programs get to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Records {
    Stdout,
    None,
}

/// Where standard error goes, and what the environment says about colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Surroundings {
    pub(super) terminal: Terminal,
    pub(super) colours: Colours,
    /// Standard output is a terminal too.
    pub(super) records_too: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Terminal {
    /// Not a terminal.
    None,
    /// One that cannot move its cursor: `TERM=dumb`.
    Dumb,
    Able,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    /// `NO_COLOR`
    Never,
    /// `CLICOLOR_FORCE`
    Always,
    WhereAble,
}

impl Surroundings {
    pub(super) fn of_this_process() -> Self {
        let terminal = match (std::io::stderr().is_terminal(), std::env::var("TERM").as_deref()) {
            (false, _) => Terminal::None,
            (true, Ok("dumb") | Err(_)) => Terminal::Dumb,
            (true, Ok(_)) => Terminal::Able,
        };
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let colours = Colours::of(set("NO_COLOR").as_deref(), set("CLICOLOR_FORCE").as_deref());
        Self { terminal, colours, records_too: std::io::stdout().is_terminal() }
    }
}

impl Colours {
    pub(super) fn of(no_color: Option<&str>, clicolor_force: Option<&str>) -> Self {
        match (no_color, clicolor_force) {
            (Some(_), _) => Self::Never,
            (None, Some(force)) if force != "0" => Self::Always,
            (None, _) => Self::WhereAble,
        }
    }
}

impl Manner {
    pub(super) fn of(mode: Mode, around: &Surroundings) -> Self {
        let show = match (mode, around.terminal) {
            (Mode::Auto | Mode::Json, Terminal::Able) | (Mode::Tty, _) => Show::Live,
            (Mode::Auto, Terminal::None | Terminal::Dumb) | (Mode::Json, Terminal::Dumb) | (Mode::Plain, _) => {
                Show::Lines
            }
            // nobody reads there, and a log of both would be neither
            (Mode::Json, Terminal::None) | (Mode::Silent, _) => Show::Nothing,
            (Mode::Quiet, _) => Show::Failures,
        };
        // records on the same terminal would be drawn over by the lanes
        let show = if mode == Mode::Json && around.records_too { Show::Nothing } else { show };
        let records = if mode == Mode::Json { Records::Stdout } else { Records::None };
        let style = match (around.colours, around.terminal) {
            (Colours::Always, _) | (Colours::WhereAble, Terminal::Able) => Style::Coloured,
            (Colours::Never, _) | (Colours::WhereAble, Terminal::None | Terminal::Dumb) => Style::Plain,
        };
        Self { show, records, style }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_and_colours_come_only_where_they_can_be_shown_or_are_asked_for() {
        let table = [
            (Mode::Auto, Terminal::Able, Colours::WhereAble, Show::Live, Style::Coloured),
            (Mode::Auto, Terminal::Able, Colours::Never, Show::Live, Style::Plain),
            (Mode::Auto, Terminal::Dumb, Colours::WhereAble, Show::Lines, Style::Plain),
            (Mode::Auto, Terminal::None, Colours::WhereAble, Show::Lines, Style::Plain),
            (Mode::Auto, Terminal::None, Colours::Always, Show::Lines, Style::Coloured),
            (Mode::Plain, Terminal::Able, Colours::WhereAble, Show::Lines, Style::Coloured),
            (Mode::Tty, Terminal::None, Colours::WhereAble, Show::Live, Style::Plain),
            (Mode::Json, Terminal::Able, Colours::WhereAble, Show::Live, Style::Coloured),
            (Mode::Json, Terminal::Dumb, Colours::WhereAble, Show::Lines, Style::Plain),
            (Mode::Json, Terminal::None, Colours::WhereAble, Show::Nothing, Style::Plain),
            (Mode::Quiet, Terminal::None, Colours::WhereAble, Show::Failures, Style::Plain),
        ];
        for (mode, terminal, colours, show, style) in table {
            let records = if mode == Mode::Json { Records::Stdout } else { Records::None };
            let manner = Manner::of(mode, &Surroundings { terminal, colours, records_too: false });
            assert_eq!(manner, Manner { show, records, style }, "{mode:?} {terminal:?} {colours:?}");
        }
        let both = Surroundings { terminal: Terminal::Able, colours: Colours::WhereAble, records_too: true };
        assert_eq!(Manner::of(Mode::Json, &both).show, Show::Nothing, "records and lanes do not share a terminal");
    }

    #[test]
    fn no_color_wins_over_force_and_a_zero_does_not_force() {
        assert_eq!(Colours::of(Some("1"), Some("1")), Colours::Never);
        assert_eq!(Colours::of(None, Some("1")), Colours::Always);
        assert_eq!(Colours::of(None, Some("0")), Colours::WhereAble);
    }
}
