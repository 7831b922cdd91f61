//! What this process says of itself on stderr, for whoever operates it: without the secrets of the run that it takes part in.
//!
//! Secrets are taken out where the text leaves, so that no line has to think of them: not ours, and not one of a library at the level
//! `trace`, and not the text of a panic. A process has one log and takes part in one run at a time; those of the last one count until the
//! next begins.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal as _, Write};
use std::panic::PanicHookInfo;
use std::sync::{Arc, LazyLock, PoisonError, RwLock, TryLockError};

use meshproof_proto::mask::Masker;
use tracing_subscriber::EnvFilter;

static MASKER: LazyLock<RwLock<Arc<Masker>>> = LazyLock::new(RwLock::default);

/// From now on these are taken out.
pub fn mask_with(masker: Arc<Masker>) {
    *MASKER.write().unwrap_or_else(PoisonError::into_inner) = masker;
}

/// `json`: an object a line, for whoever collects the logs of containers. `text`, or nothing: lines for people.
const FORMAT: &str = "MESHPROOF_LOG_FORMAT";

/// What is said of the variables, and of nothing else, also where they let nothing through.
const OF_LOG: &str = "meshproof::log";

/// As `variable` says it in the form of `RUST_LOG`, else as is usual. What it says wrongly is told: whoever wrote it would wait for lines
/// that never come.
pub fn to_stderr_as_named(variable: &str, usual: &str) {
    let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (filter, wrong) = chosen((variable, value(variable).as_deref()), usual);
    to_stderr(filter);
    if let Some(why) = wrong {
        tracing::warn!(target: OF_LOG, "{why}");
    }
    if let Some(format) = value(FORMAT).filter(|format| !["json", "text"].contains(&format.as_str())) {
        tracing::warn!(target: OF_LOG, "{FORMAT}={format} is neither `json` nor `text`; lines are text");
    }
}

/// What is let through, and what is wrong with what was asked for.
fn chosen((variable, value): (&str, Option<&str>), usual: &str) -> (EnvFilter, Option<String>) {
    let usual = || EnvFilter::new(usual).add_directive(of_log());
    let Some(value) = value else { return (usual(), None) };
    let levels = "levels are off, error, warn, info, debug and trace, alone or as `meshproof_mesh=debug`";
    match EnvFilter::try_new(value) {
        Err(error) => (usual(), Some(format!("{variable}={value} is not heeded: {error}; {levels}"))),
        Ok(filter) => {
            let filter = filter.add_directive(of_log());
            let odd = value.split(',').map(str::trim).find(|word| is_odd(word));
            (filter, odd.map(|word| format!("{variable}: `{word}` is no level, and was taken for a target; {levels}")))
        }
    }
}

/// A word that is no level means a target, which few people mean.
fn is_odd(word: &str) -> bool {
    let is_level = word.parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
    !is_level && !word.is_empty() && !word.starts_with("meshproof") && !word.contains(['=', '[', ':'])
}

fn of_log() -> tracing_subscriber::filter::Directive {
    format!("{OF_LOG}=warn").parse().expect("it is one")
}

/// Everything that `tracing` is told, and the filter lets through, goes to stderr. Where somebody logs already, nothing changes.
pub fn to_stderr(filter: EnvFilter) {
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        // A line that finds no space is lost. To complain of that on stderr finds none either, and panics.
        .log_internal_errors(false)
        .with_writer(|| Stderr);
    let is_json = std::env::var_os(FORMAT).is_some_and(|format| format == "json");
    let _ = if is_json { log.json().flatten_event(true).try_init() } else { log.try_init() };
}

/// Panics are told as ever, but for secrets. What a panic says may be any text: of a plan, of an answer, of a file.
pub fn mask_panics() {
    std::panic::set_hook(Box::new(|panic| {
        // whoever panicked may hold what would be waited for, or panic again: then nothing but the place is told
        let masker = match MASKER.try_read() {
            Ok(masker) => Some(Arc::clone(&masker)),
            Err(TryLockError::Poisoned(poisoned)) => Some(Arc::clone(&poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        };
        let told = match masker {
            Some(masker) => masker.mask(&panic_text(panic)).into_owned(),
            None => format!("panicked at {}\n", place(panic)),
        };
        let _ = io::stderr().write_all(told.as_bytes());
    }));
}

fn panic_text(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let (thread, place) = (thread.name().unwrap_or("without a name").to_owned(), place(panic));
    let message = panic.payload_as_str().unwrap_or("a value that is no text");
    let backtrace = Backtrace::capture();
    let trace = match backtrace.status() {
        BacktraceStatus::Captured => backtrace.to_string(),
        _ => "RUST_BACKTRACE=1 shows the way there\n".to_owned(),
    };
    format!("a bug of meshproof: thread '{thread}' panicked at {place}:\n{message}\n{trace}")
}

fn place(panic: &PanicHookInfo<'_>) -> String {
    panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string)
}

/// Gets each event in one piece.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let masker = Arc::clone(&MASKER.read().unwrap_or_else(PoisonError::into_inner));
        io::stderr().write_all(&masker.mask_bytes(event))?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(value: Option<&str>) -> Option<String> {
        chosen(("MESHPROOF_LOG", value), "warn").1
    }

    #[test]
    fn a_level_that_is_none_is_told_with_those_there_are_and_the_usual_one_is_taken() {
        for well in
            [None, Some("debug"), Some("meshproof_mesh=debug,warn"), Some("meshproof_agent"), Some("WARN"), Some("0")]
        {
            assert_eq!(wrong(well), None, "{well:?}");
        }
        let loud = wrong(Some("meshproof_mesh=loud")).expect("no level");
        assert!(loud.starts_with("MESHPROOF_LOG=meshproof_mesh=loud is not heeded: "), "{loud}");
        let typo = wrong(Some("warn,debgu")).expect("no level");
        assert!(typo.contains("`debgu` is no level") && typo.contains("debug and trace"), "{typo}");
        let (filter, _) = chosen(("MESHPROOF_LOG", Some("a=loud")), "warn,meshproof_agent=info");
        assert!(filter.to_string().contains("meshproof_agent=info"), "{filter}");
    }
}
