//! A real browser without a window, asked through its debugging pipe: what it loads, what it complains about, how wide things are.
//!
//! The protocol: <https://chromedevtools.github.io/devtools-protocol/>, JSON objects that end with a zero byte.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// A browser and its one page.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    number: u64,
    /// Events that nobody has looked at.
    pub events: Vec<Value>,
    _profile: tempfile::TempDir,
}

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub scheme: &'static str,
    pub width: u32,
}

impl Browser {
    /// None where it is not installed; where it must be, that is an error.
    pub fn start() -> Option<Self> {
        let profile = tempfile::tempdir().expect("a temporary folder");
        // The pipe is expected at the descriptors 3 and 4.
        let script = "exec chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars --no-first-run \
            --disable-background-networking --disable-component-update --remote-debugging-pipe --user-data-dir=\"$1\" 3<&0 4>&1 0</dev/null 1>/dev/null";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(profile.path());
        // it has no bus and no desktop here, and says so
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let is_here = Command::new("chromium").arg("--version").output().is_ok_and(|output| output.status.success());
        assert!(
            is_here || std::env::var("CI").as_deref() != Ok("true"),
            "chromium is not installed; .ci/setup does it"
        );
        if !is_here {
            println!("skipped: chromium is not installed");
            return None;
        }
        let mut child = command.spawn().expect("there is a shell");
        let (to, from) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let mut browser = Self {
            child,
            to,
            from: BufReader::new(from),
            session: None,
            number: 0,
            events: Vec::new(),
            _profile: profile,
        };
        let target = browser.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = browser.ask("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Network", "Log", "Runtime"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Opens a file in this view, and gives the milliseconds until everything of it was loaded and laid out.
    pub fn open(&mut self, file: &Path, view: View) -> f64 {
        self.events.clear();
        self.ask(
            "Emulation.setEmulatedMedia",
            json!({ "features": [{ "name": "prefers-color-scheme", "value": view.scheme }] }),
        );
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": view.width, "height": 900, "deviceScaleFactor": 1, "mobile": false }),
        );
        let began = std::time::Instant::now();
        self.ask("Page.navigate", json!({ "url": format!("file://{}", file.display()) }));
        self.until("Page.loadEventFired");
        self.evaluate("document.body.offsetHeight");
        began.elapsed().as_secs_f64() * 1e3
    }

    /// What an expression comes to in the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let came = self.ask("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true }));
        came["result"]["value"].clone()
    }

    /// A part of the page as a picture, as PNG: from the top of one element to the bottom of another, `margin` pixels more.
    pub fn picture(&mut self, from: &str, to: &str, margin: f64) -> Vec<u8> {
        let edge = |selector: &str, side: &str| {
            format!("document.querySelector('{selector}').getBoundingClientRect().{side} + scrollY")
        };
        let top = self.evaluate(&edge(from, "top")).as_f64().expect("it is there") - margin;
        let bottom = self.evaluate(&edge(to, "bottom")).as_f64().expect("it is there") + margin;
        let width = self.evaluate("innerWidth").as_f64().expect("a width");
        let clip = json!({ "x": 0, "y": top.max(0.0), "width": width, "height": bottom - top.max(0.0), "scale": 1 });
        let shot =
            self.ask("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true, "clip": clip }));
        let data = shot["data"].as_str().expect("a picture");
        data_encoding::BASE64.decode(data.as_bytes()).expect("base64")
    }

    /// What was asked of anybody, but the page itself; and what the browser complained about.
    pub fn complaints(&self) -> Vec<String> {
        let complaint = |event: &Value| match event["method"].as_str() {
            Some("Network.requestWillBeSent") if event["params"]["type"] == "Document" => None,
            Some("Network.requestWillBeSent") => Some(format!("asked for {}", event["params"]["request"]["url"])),
            Some(
                "Runtime.consoleAPICalled"
                | "Runtime.exceptionThrown"
                | "Log.entryAdded"
                | "Page.javascriptDialogOpening",
            ) => Some(event.to_string()),
            _ => None,
        };
        // an icon that is no request to anybody
        self.events
            .iter()
            .filter_map(complaint)
            .filter(|complaint| !complaint.starts_with("asked for \"data:"))
            .collect()
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).and_then(|()| self.to.flush()).expect("the browser listens");
        loop {
            let heard = self.hear();
            if heard["id"] == self.number {
                assert!(heard["error"].is_null(), "{method}: {heard}");
                return heard["result"].clone();
            }
            self.events.push(heard);
        }
    }

    fn until(&mut self, method: &str) {
        while !self.events.iter().any(|event| event["method"] == method) {
            let heard = self.hear();
            self.events.push(heard);
        }
    }

    /// The browser's end ends the waiting.
    fn hear(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.from.read_until(0, &mut bytes).expect("the pipe can be read");
        assert_eq!(bytes.pop(), Some(0), "the browser has ended");
        serde_json::from_slice(&bytes).expect("JSON")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // `sh` became the browser, so this is the browser; its helpers end with it
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
