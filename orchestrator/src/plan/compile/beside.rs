//! Files beside the plan: whether each is there and can be what the plan takes it for, all of them before anything starts.
//!
//! A file that is missing may be one that the plan's build makes, so a plan with a `build` is not refused for it: such files are
//! told beside the plan, and looked at again once it is built.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use meshproof_proto::grpc::descriptions::{Undescribed, described};
use meshproof_proto::order::Held;

use super::super::code::Code;
use super::super::diagnostic::{Diagnostic, one_of, quote};
use super::super::limits::MAX_BESIDE_BYTES;
use super::super::model::{Document, Word};
use super::super::source::{Span, Spanned};
use super::{Compiler, Inputs};

/// Reads a file; of one that is longer than [`MAX_BESIDE_BYTES`], a byte more than that.
pub type ReadFile = fn(&Path) -> io::Result<Vec<u8>>;

/// What the plan takes a file for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TakenFor {
    /// It is copied into a service's folder as it is.
    Copied,
    /// A JSON value each line.
    Records,
    Certificates,
    Key,
    /// Methods and messages of gRPC; judged together with those that stand beside it.
    Description,
}

/// Descriptions that belong together, and a method that they are to have.
#[derive(Debug)]
struct Described {
    files: Vec<Word>,
    call: Option<Word>,
}

/// The files that a plan names, each place once, however often its step is written out.
#[derive(Debug, Default)]
pub(super) struct Beside {
    uses: BTreeMap<Span, (String, TakenFor)>,
    described: BTreeMap<(Span, Option<Span>), Described>,
}

/// The methods that a list of files describes, or the file of the list that breaks it, and why.
type Methods = Result<BTreeSet<String>, Undescribed>;

impl Compiler<'_> {
    /// A file beside the plan whose text a step needs.
    pub(super) fn held_file(&mut self, path: &Word, taken_for: TakenFor) -> Held {
        self.held_files.push(path.clone());
        self.beside.uses.insert(path.span, (path.value.clone(), taken_for));
        Held::file(&path.value)
    }

    /// A file that is copied when its service starts.
    pub(super) fn copied_file(&mut self, path: &Word) {
        self.beside.uses.insert(path.span, (path.value.clone(), TakenFor::Copied));
    }

    /// Descriptions of gRPC. Without any, the server is asked.
    pub(super) fn descriptions(&mut self, files: &[Word], call: Option<&Word>) -> Vec<Held> {
        if let Some(first) = files.first() {
            let described = Described { files: files.to_vec(), call: call.cloned() };
            self.beside.described.insert((first.span, call.map(|call| call.span)), described);
        }
        files.iter().map(|path| self.held_file(path, TakenFor::Description)).collect()
    }

    /// Looks at all of them and gives those that are missing and left to the plan's build.
    pub(super) fn look_beside(&self, document: &Document, inputs: &Inputs) -> Vec<Word> {
        let Some(read) = inputs.read_file else { return Vec::new() };
        let mut texts: BTreeMap<&str, io::Result<Vec<u8>>> = BTreeMap::new();
        let mut missing = Vec::new();
        for (span, (path, taken_for)) in &self.beside.uses {
            let text = texts.entry(path.as_str()).or_insert_with(|| read(&Path::new(&inputs.dir).join(path)));
            let is_missing = matches!(text, Err(error) if error.kind() == io::ErrorKind::NotFound);
            if is_missing && document.is_built {
                missing.push(Spanned::new(path.clone(), *span));
            } else if let Some(problem) = problem(path, text, *taken_for) {
                self.cx.report(Diagnostic { span: *span, ..problem });
            }
        }
        self.look_at_descriptions(&texts);
        missing
    }

    fn look_at_descriptions(&self, texts: &BTreeMap<&str, io::Result<Vec<u8>>>) {
        let mut known: BTreeMap<Vec<&str>, Methods> = BTreeMap::new();
        let text = |path: &str| std::str::from_utf8(texts.get(path)?.as_deref().ok()?).ok();
        for described in self.beside.described.values() {
            let paths: Vec<&str> = described.files.iter().map(|file| file.value.as_str()).collect();
            // What is missing, or no text, was told by itself.
            let Some(given) = paths.iter().map(|path| Some((*path, text(path)?))).collect::<Option<Vec<_>>>() else {
                continue;
            };
            match known.entry(paths).or_insert_with(|| methods(&given)) {
                Ok(methods) => self.has_method(methods, described),
                Err(wrong) => self.is_no_description(&described.files[wrong.at], wrong),
            }
        }
    }

    fn has_method(&self, methods: &BTreeSet<String>, described: &Described) {
        let Some(call) = described.call.as_ref().filter(|call| !methods.contains(&call.value)) else { return };
        let files = described.files.iter().map(|file| quote(&file.value)).collect::<Vec<_>>().join(" and ");
        let message = format!("there is no method {} in {files}", quote(&call.value));
        let problem =
            Diagnostic::new(Code::FileBeside, call.span, message).label(described.files[0].span, "given here");
        let known = methods.iter().map(String::as_str);
        self.cx.report(problem.expected(one_of(known.clone())).did_you_mean(&call.value, known));
    }

    fn is_no_description(&self, file: &Word, Undescribed { error, .. }: &Undescribed) {
        let problem = Diagnostic::new(Code::FileBeside, file.span, format!("this describes nothing: {error:?}"));
        self.cx.report(match error.is_file_not_found() {
            true => problem
                .help("what is imported is named here too, as in `proto: [shop.proto, money.proto]`, beside the plan"),
            false => problem.expected("a .proto file"),
        });
    }
}

/// What is wrong with a file by itself.
fn problem(path: &str, text: &io::Result<Vec<u8>>, taken_for: TakenFor) -> Option<Diagnostic> {
    let quoted = quote(path);
    let of = |message: String| Diagnostic::new(Code::FileBeside, Span::default(), message);
    let text = match text {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let problem = of(format!("there is no file {quoted} beside the plan"));
            return Some(problem.expected("a file, its path relative to the folder of the plan"));
        }
        Err(error) => return Some(of(format!("{quoted} cannot be read: {error}"))),
    };
    if taken_for == TakenFor::Copied {
        return None;
    }
    let (text, is_cut) = match text.len() > MAX_BESIDE_BYTES && taken_for == TakenFor::Records {
        // the rest of it is looked at when the run begins: such files may be larger than memory
        true => (whole_lines(&text[..MAX_BESIDE_BYTES]), true),
        false => (text.as_slice(), false),
    };
    if is_cut && text.is_empty() {
        return Some(of(format!("the first line of {quoted} is too long")));
    }
    if text.len() > MAX_BESIDE_BYTES {
        let most = format!("at most {} KiB, since it goes into an order", MAX_BESIDE_BYTES / 1024);
        return Some(of(format!("{quoted} is too long")).expected(most));
    }
    let Ok(text) = std::str::from_utf8(text) else { return Some(of(format!("{quoted} is no text in UTF-8"))) };
    let has = |what: &str| text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(what));
    match taken_for {
        TakenFor::Records => {
            let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
            let (number, error) = lines
                .find_map(|(number, line)| Some((number, serde_json::from_str::<serde_json::Value>(line).err()?)))?;
            Some(of(format!("line {number} of {quoted} is no JSON: {error}")).expected("a JSON value each line"))
        }
        TakenFor::Certificates if !has("CERTIFICATE-----") => {
            Some(of(format!("{quoted} holds no certificate")).expected("PEM, with `-----BEGIN CERTIFICATE-----`"))
        }
        TakenFor::Key if !has("PRIVATE KEY-----") => {
            Some(of(format!("{quoted} holds no private key")).expected("PEM, with `-----BEGIN PRIVATE KEY-----`"))
        }
        TakenFor::Copied | TakenFor::Certificates | TakenFor::Key | TakenFor::Description => None,
    }
}

/// Without the line that is cut off at the end.
fn whole_lines(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    &text[..end]
}

fn methods(files: &[(&str, &str)]) -> Methods {
    let pool = described(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())?;
    let of = |service: &str, method: &str| format!("{service}/{method}");
    let methods = pool.services().flat_map(|service| {
        let name = service.full_name().to_owned();
        service.methods().map(|method| of(&name, method.name())).collect::<Vec<_>>()
    });
    Ok(methods.collect())
}
