//! What stands around the sections.

use std::fmt::Write as _;

use meshproof_proto::verdict::Verdict;

use super::text;
use crate::report::story::Story;

const STYLE: &str = include_str!("style.css");

/// Nothing may be loaded, and no script run, whatever stands in the page.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// Sections that are open from the start do not fold; these do.
const FOLDED: [&str; 2] = ["log", "plan"];

/// The whole page of a run: a header, the way to each section, the sections.
pub(super) fn page(story: &Story, header: &str, sections: &[(&str, &str, String)]) -> String {
    // the colour of what is not decided
    let class = if story.goes_on { Verdict::Unknown } else { story.verdict() }.to_string();
    let title = format!("{}: {}", story.word(), story.plan);
    let footer = format!(
        "{} events, read from the journal <code>events.jsonl</code>; times are those of who told them.",
        story.events
    );
    standing(&Frame { class: &class, title: &title, header, footer: &footer }, sections)
}

/// What stands around the sections of a page.
pub(crate) struct Frame<'f> {
    /// The verdict.
    pub(crate) class: &'f str,
    /// A text; everything else is HTML.
    pub(crate) title: &'f str,
    pub(crate) header: &'f str,
    pub(crate) footer: &'f str,
}

/// The whole page.
pub(crate) fn standing(frame: &Frame<'_>, sections: &[(&str, &str, String)]) -> String {
    let Frame { class, title, header, footer } = frame;
    let room: usize = sections.iter().map(|(_, _, body)| body.len() + 200).sum();
    let mut page = String::with_capacity(room + STYLE.len() + header.len() + 2_000);
    let title = text::line(title);
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body class=\"{class}\">\n{header}\n<nav aria-label=\"Sections\">"
    );
    for (id, title, _) in sections {
        let _ = write!(page, "<a href=\"#{id}\">{title}</a>");
    }
    page.push_str("</nav>\n<main>\n");
    for (id, title, body) in sections {
        let _ = if FOLDED.contains(id) {
            write!(
                page,
                "<details id=\"{id}\" class=\"section\"><summary><h2>{title}</h2></summary>\n{body}</details>\n"
            )
        } else {
            write!(page, "<section id=\"{id}\"><h2>{title}</h2>\n{body}</section>\n")
        };
    }
    let _ = write!(page, "</main>\n<footer>{footer}</footer>\n</body>\n</html>\n");
    page
}

/// `<p class="note">` with a text of ours.
pub(super) fn note(words: &str) -> String {
    format!("<p class=\"note\">{words}</p>\n")
}
