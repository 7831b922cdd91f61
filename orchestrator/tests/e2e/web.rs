//! The web console: `meshproof web` beside a run that goes on, and its page in a real browser.

mod breaks;
mod doors;
mod peer;
mod pictures;

use std::process::Command;

use serde_json::Value;

use crate::browser::{Browser, View};
use crate::looking::Waiting;
use crate::session::{Session, Shown};

const WIDE: View = View { scheme: "light", width: 1280 };

/// Every agent is linked over WebRTC, and has answered a heartbeat.
const LINKED: &str =
    "meshproof.mesh.agents.length === 2 && meshproof.mesh.agents.every(({ way, rtt }) => way === 'direct' && rtt > 0)";

/// `meshproof web` beside a run, and the ways in that it printed.
struct Served {
    session: Session,
    operators: String,
    observers: String,
}

impl Served {
    fn beside(run: &Waiting) -> Self {
        let mut command: Command = run.scene.meshproof();
        command.args(["web", "--as", "anna"]);
        Self::start(command)
    }

    fn start(command: Command) -> Self {
        let mut session = Session::start(command, Shown::Text);
        let operators = session.line_with("asks, disturbs and commands");
        let observers = session.line_with("only looks");
        let url = |line: &str| line.split_whitespace().next().expect("a URL").to_owned();
        Self { session, operators: url(&operators), observers: url(&observers) }
    }

    /// `http://127.0.0.1:1234`
    fn origin(&self) -> &str {
        self.operators.split_once("/#").expect("a token behind the #").0
    }

    fn stop(self) {
        self.session.signal(rustix::process::Signal::INT);
        self.session.end().assert_code(130);
    }
}

/// An operator's page that is linked to both agents of a run. None: there is no browser here.
fn linked_page() -> Option<(Browser, Waiting, Served)> {
    let mut browser = Browser::start()?;
    let run = Waiting::start();
    let served = Served::beside(&run);
    browser.go(&served.operators, WIDE);
    browser.until_it_holds(LINKED);
    Some((browser, run, served))
}

/// Writes a line of the chat and sends it, by keyboard.
fn writes(browser: &mut Browser, line: &str) {
    browser.evaluate("document.getElementById('line').focus()");
    browser.types(line);
    browser.presses("Enter");
}

/// Waits until the chat says this.
fn says(browser: &mut Browser, text: &str) {
    browser.until_it_holds(&format!("document.getElementById('said').innerText.includes({})", Value::from(text)));
}

fn shows(browser: &mut Browser, id: &str, text: &str) {
    browser.until_it_holds(&format!("document.getElementById('{id}').innerText.includes({})", Value::from(text)));
}
