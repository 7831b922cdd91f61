//! What a chat shows, and what it writes down.

use std::path::Path;

use meshproof_proto::rpc::RoomNews;
use meshproof_proto::verdict::Exit;
use serde_json::{Value, json};

use super::{Begun, Did, Ended, Next, Room};
use crate::attach;
use crate::chat::answers::Answer;
use crate::chat::line;
use crate::chat::threads::{State, ThreadId};
use crate::console::Heard;
use crate::history::Kept;
use crate::report::summary::counted;
use crate::report::table::folded;
use crate::report::{failures, sanitise};

impl Room {
    pub(super) async fn ended(&mut self, ended: Ended) {
        let Ended { thread, line, answer, did } = ended;
        let is_process = self.stops.remove(&thread).is_some();
        let Answer { exit, status, text, detail, saw } = answer;
        match did {
            Did::Nothing => {}
            Did::Steps(steps) => {
                for step in steps {
                    match exit {
                        Exit::Passed => self.notes.did(expecting(step, saw)),
                        _ => self.notes.failed(),
                    }
                }
                if let Some(console) = self.joined.here_mut() {
                    console.tell(&RoomNews::Did { line, outcome: status.clone() }).await;
                }
            }
        }
        match (self.live, is_process) {
            (true, _) => self.voice.result(&of_thread(thread, (&status, &text), self.voice.columns())),
            // it has spoken for itself
            (false, true) => {}
            (false, false) => self.voice.result(&format!("{status}\n{text}")),
        }
        self.threads.end(thread, status, detail);
    }

    pub(super) fn hear(&self, Heard { by, news }: &Heard) {
        let text = match news {
            RoomNews::Said(text) => sanitise::line(text),
            RoomNews::Did { line, outcome } => format!("{}: {}", sanitise::line(line), sanitise::line(outcome)),
        };
        self.voice.result(&format!("<{by}> {text}\n"));
    }

    /// `/show t3`, or `/show f1`: a thread of this chat, or a failure of the run. `None`: another thing is meant.
    pub(super) fn shown(&self, what: &str) -> Option<Begun> {
        if let Some(thread) = ThreadId::parse(what) {
            let Some(shown) = self.threads.get(thread) else {
                return Some(
                    self.refuse(&format!("there is no {thread}; `/threads` lists what there is"), Exit::Usage),
                );
            };
            let text = match &shown.state {
                State::GoesOn => format!("{thread}  {}\ngoes on\n", shown.line),
                State::Ended { status, detail } => format!("{thread}  {}\n{status}\n{detail}", shown.line),
            };
            self.voice.result(&text);
            return Some(Begun::Next(Next::Came(Exit::Passed)));
        }
        let number: usize = what.strip_prefix('f')?.parse().ok()?;
        let kept = Kept::in_folder(std::env::var_os("MESHPROOF_RUNS").as_deref().map(Path::new)).ok()?;
        let run = self.joined.run();
        let folder = attach::find(run.as_deref(), &kept).or_else(|_| attach::find(Some("last"), &kept));
        let found = folder
            .map_err(|error| (error.exit(), error.to_string()))
            .and_then(|folder| failures::nth(&folder, number).map_err(|error| (Exit::MeshFailed, error.to_string())));
        Some(match found {
            Ok(Ok(text)) => {
                self.voice.result(&text);
                Begun::Next(Next::Came(Exit::Passed))
            }
            Ok(Err(count)) => self.refuse(&format!("the run has {count} failures so far, and no {what}"), Exit::Usage),
            Err((exit, why)) => self.refuse(&why, exit),
        })
    }

    /// What a shell would be told to do the same.
    pub(super) fn twin(&self, command: &str) {
        if self.live {
            self.voice.note(&format!("  = {}", sanitise::line(command)));
        }
    }

    pub(super) fn twin_of(&self, text: &str) {
        self.twin(&line::twin(text));
    }

    /// What came out well, as a plan that does it again.
    pub(super) fn save(&mut self, file: &Path) -> Begun {
        let Some(tests) = self.notes.tests() else {
            return self.refuse(&"nothing was done in this chat that a plan could do again", Exit::Usage);
        };
        let ground = self.joined.ground();
        let plan = ground.with_tests(&tests);
        // the plan's text names files as they are found from its own folder
        let file = ground.dir().map_or_else(|| file.to_owned(), |dir| dir.join(file));
        let here = std::env::current_dir().unwrap_or_default();
        let shown = file.strip_prefix(here).unwrap_or(&file).display();
        let written =
            std::fs::File::create_new(&file).and_then(|mut file| std::io::Write::write_all(&mut file, plan.as_bytes()));
        if let Err(error) = written {
            return self.refuse(&format!("cannot write {shown}: {error}"), Exit::Usage);
        }
        let (steps, left_out) = self.notes.count();
        let without =
            if left_out > 0 { format!(", without {left_out} that did not come out well") } else { String::new() };
        let param =
            |(name, value): (&String, &String)| format!(" --param {}", line::shell_word(&format!("{name}={value}")));
        let params: String = ground.params().iter().map(param).collect();
        let again = format!("meshproof run {}{params}", line::shell_word(&shown.to_string()));
        let steps = counted(steps, "step");
        self.voice.result(&format!("{shown}: {steps}{without}; `{again}` does that again\n"));
        let is_elsewhere = ground.dir().is_some_and(|dir| file.parent() != Some(dir));
        if is_elsewhere {
            self.voice
                .note("the files that it names are looked for from its folder, and the run's plan is in another one");
        }
        Begun::Next(Next::Came(Exit::Passed))
    }
}

/// Columns before what does not begin a line of its own.
const INDENT: usize = 3;

/// A thread's answer, each agent's line behind its id; what is to read behind one is indented.
fn of_thread(thread: ThreadId, (status, text): (&str, &str), columns: usize) -> String {
    let lead = |line: &str| match line.starts_with(' ') {
        true => format!("{line}\n"),
        false => folded(&format!("{thread} {line}"), (columns, INDENT)) + "\n",
    };
    std::iter::once(status).chain(text.lines()).map(lead).collect()
}

/// A call that nobody expected anything of is expected to come to what it came to.
fn expecting(mut step: Value, saw: Option<u16>) -> Value {
    if let (Value::Object(entries), Some(status)) = (&mut step, saw)
        && entries.contains_key("http")
        && !entries.contains_key("expect")
    {
        entries.insert("expect".to_owned(), json!({ "status": status }));
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_agents_line_of_an_answer_has_the_id_of_its_thread() {
        let thread = ThreadId::parse("t3").expect("one");
        let text = "ledger: pong in 0.2 ms\nshop: 200 in 3.1 ms\n  | fine\n";
        let shown = "t3 2 of 2 well\nt3 ledger: pong in 0.2 ms\nt3 shop: 200 in 3.1 ms\n  | fine\n";
        assert_eq!(of_thread(thread, ("2 of 2 well", text), 80), shown);
        let narrow =
            of_thread(thread, ("shop: run r-1, term 1, no fault is active", "  | as it is, however long\n"), 30);
        assert_eq!(narrow, "t3 shop: run r-1, term 1,\n   no fault is active\n  | as it is, however long\n");
    }
}
