//! Text to templates, with the place of every mistake.

use thiserror::Error;

use super::{Expr, Filter, Part, Segment, Template};

/// A mistake in an expression. `offset` and `length` are bytes in the text that was parsed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct ExprError {
    pub offset: usize,
    pub length: usize,
    pub message: String,
}

pub(super) fn template(text: &str) -> Result<Template, ExprError> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${{") {
        let open = at + found;
        push_text(&mut parts, &text[at..open]);
        let body = open + 3;
        let Some(close) = closing(&text[body..]) else {
            return Err(error(open, 3, "`${{` has no closing `}}`"));
        };
        parts.push(Part::Look(Parser::new(text, body, body + close).expr()?));
        at = body + close + 2;
    }
    push_text(&mut parts, &text[at..]);
    Ok(Template { parts })
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
}

/// Where `}}` is, outside of quotes.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (i, c) in text.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => quote = Some(c),
            None if text[i..].starts_with("}}") => return Some(i),
            None => {}
        }
    }
    None
}

fn error(offset: usize, length: usize, message: impl Into<String>) -> ExprError {
    ExprError { offset, length, message: message.into() }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    end: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, at: usize, end: usize) -> Self {
        Self { text, at, end }
    }

    fn expr(mut self) -> Result<Expr, ExprError> {
        let path = self.path()?;
        let mut filters = Vec::new();
        loop {
            self.blanks();
            match self.peek() {
                None => return Ok(Expr { path, filters }),
                Some('|') => {
                    self.at += 1;
                    filters.push(self.filter()?);
                }
                Some(c) => return Err(self.unexpected(c, "a filter (`| json`) or the end (`}}`)")),
            }
        }
    }

    fn path(&mut self) -> Result<Vec<Segment>, ExprError> {
        self.blanks();
        let mut path = vec![Segment::Key(self.word("a name")?)];
        loop {
            match self.peek() {
                Some('.') => {
                    self.at += 1;
                    path.push(Segment::Key(self.word("a name after `.`")?));
                }
                Some('[') => {
                    self.at += 1;
                    path.push(self.bracket()?);
                }
                _ => return Ok(path),
            }
        }
    }

    fn bracket(&mut self) -> Result<Segment, ExprError> {
        let segment = match self.peek() {
            Some('\'' | '"') => Segment::Key(self.quoted()?),
            _ => {
                let start = self.at;
                let word = self.word("a number or a quoted key after `[`")?;
                let index =
                    word.parse().map_err(|_| error(start, word.len(), "`[ ]` takes a number or a quoted key"))?;
                Segment::Index(index)
            }
        };
        match self.peek() {
            Some(']') => {
                self.at += 1;
                Ok(segment)
            }
            _ => Err(error(self.at, 1, "`[` has no closing `]`")),
        }
    }

    fn filter(&mut self) -> Result<Filter, ExprError> {
        self.blanks();
        let start = self.at;
        let name = self.word("a filter after `|`")?;
        self.blanks();
        let argument = match self.peek() {
            Some(':') => {
                self.at += 1;
                self.blanks();
                Some(if matches!(self.peek(), Some('\'' | '"')) {
                    self.quoted()?
                } else {
                    self.word("a value after `:`")?
                })
            }
            _ => None,
        };
        Filter::named(&name, argument).ok_or_else(|| {
            let known = Filter::NAMES.join(", ");
            error(
                start,
                name.len(),
                format!("`{name}` is not a filter here; filters are {known}; only `default: x` takes a value"),
            )
        })
    }

    fn word(&mut self, wanted: &str) -> Result<String, ExprError> {
        let rest = &self.text[self.at..self.end];
        let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).unwrap_or(rest.len());
        if length == 0 {
            return Err(match rest.chars().next() {
                Some(c) => self.unexpected(c, wanted),
                None => error(self.at.saturating_sub(1), 1, format!("{wanted} was expected before the end")),
            });
        }
        self.at += length;
        Ok(rest[..length].to_owned())
    }

    fn quoted(&mut self) -> Result<String, ExprError> {
        let rest = &self.text[self.at..self.end];
        let quote = rest.chars().next().unwrap_or('\'');
        match rest[1..].find(quote) {
            Some(length) => {
                self.at += length + 2;
                Ok(rest[1..=length].to_owned())
            }
            None => Err(error(self.at, 1, "the quote is not closed")),
        }
    }

    fn blanks(&mut self) {
        let rest = &self.text[self.at..self.end];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..self.end].chars().next()
    }

    fn unexpected(&self, c: char, wanted: &str) -> ExprError {
        let hint =
            if "+-*/%<>=!&".contains(c) { "; expressions look up and filter, they do not calculate" } else { "" };
        error(self.at, c.len_utf8(), format!("`{c}` is unexpected, {wanted} was expected{hint}"))
    }
}
