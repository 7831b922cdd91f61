//! How to show a run, decided from what was asked and what there is. Colours follow <https://no-color.org> and
//! <https://bixense.com/clicolors>.

use std::io::IsTerminal as _;

use super::Mode;
use crate::report::style::Style;

/// What is shown, and whether in colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    pub(super) show: Show,
    pub(super) style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// Lines, with lanes below.
    Live,
    Lines,
    Json,
    /// Failures and the summary.
    Failures,
}

/// Where standard error goes, and what the environment says about colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Surroundings {
    pub(super) terminal: Terminal,
    pub(super) colours: Colours,
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
        Self { terminal, colours: Colours::of(set("NO_COLOR").as_deref(), set("CLICOLOR_FORCE").as_deref()) }
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
            (Mode::Auto, Terminal::Able) | (Mode::Tty, _) => Show::Live,
            (Mode::Auto, Terminal::None | Terminal::Dumb) | (Mode::Plain, _) => Show::Lines,
            (Mode::Json, _) => Show::Json,
            (Mode::Quiet, _) => Show::Failures,
        };
        let style = match (around.colours, around.terminal) {
            (Colours::Always, _) | (Colours::WhereAble, Terminal::Able) => Style::Coloured,
            (Colours::Never, _) | (Colours::WhereAble, Terminal::None | Terminal::Dumb) => Style::Plain,
        };
        Self { show, style }
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
            (Mode::Json, Terminal::Able, Colours::WhereAble, Show::Json, Style::Coloured),
            (Mode::Quiet, Terminal::None, Colours::WhereAble, Show::Failures, Style::Plain),
        ];
        for (mode, terminal, colours, show, style) in table {
            let manner = Manner::of(mode, &Surroundings { terminal, colours });
            assert_eq!(manner, Manner { show, style }, "{mode:?} {terminal:?} {colours:?}");
        }
    }

    #[test]
    fn no_color_wins_over_force_and_a_zero_does_not_force() {
        assert_eq!(Colours::of(Some("1"), Some("1")), Colours::Never);
        assert_eq!(Colours::of(None, Some("1")), Colours::Always);
        assert_eq!(Colours::of(None, Some("0")), Colours::WhereAble);
    }
}
