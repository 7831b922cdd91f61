//! A real browser without a window, asked through its debugging pipe: what it loads, what it complains about, how wide things are.
//!
//! The protocol: <https://chromedevtools.github.io/devtools-protocol/>, JSON objects that end with a zero byte.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// Far above what anything in a page takes here.
const PATIENCE_MS: u32 = 60_000;

/// From this width on it is a screen on a wall, as high as those are.
const WALL: u32 = 1_700;

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
        Self::start_with(&[])
    }

    /// The same with these arguments of its own.
    pub fn start_with(arguments: &[&str]) -> Option<Self> {
        let profile = tempfile::tempdir().expect("a temporary folder");
        // The pipe is expected at the descriptors 3 and 4.
        let script = "profile=$1; shift; exec chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars --no-first-run \
            --disable-background-networking --disable-component-update --remote-debugging-pipe --user-data-dir=\"$profile\" \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(profile.path()).args(arguments);
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
        self.go(&format!("file://{}", file.display()), view)
    }

    /// The same of an address.
    pub fn go(&mut self, url: &str, view: View) -> f64 {
        self.events.clear();
        if url.contains('#') {
            // to another fragment of the page that is open would be no way to a new page
            self.ask("Page.navigate", json!({ "url": "about:blank" }));
            self.until("Page.loadEventFired");
        }
        self.events.clear();
        self.ask(
            "Emulation.setEmulatedMedia",
            json!({ "features": [{ "name": "prefers-color-scheme", "value": view.scheme }] }),
        );
        self.resizes(view);
        let began = std::time::Instant::now();
        self.ask("Page.navigate", json!({ "url": url }));
        self.until("Page.loadEventFired");
        self.evaluate("document.body.offsetHeight");
        began.elapsed().as_secs_f64() * 1e3
    }

    /// The window gets this size.
    pub fn resizes(&mut self, view: View) {
        let height = if view.width >= WALL { view.width * 9 / 16 } else { 900 };
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": view.width, "height": height, "deviceScaleFactor": 1, "mobile": false }),
        );
    }

    /// What an expression comes to in the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let came = self.ask("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true }));
        came["result"]["value"].clone()
    }

    /// Waits until this holds in the page, which looks again and again by itself.
    pub fn until_it_holds(&mut self, condition: &str) {
        let wait = format!(
            "new Promise((done) => {{ const began = Date.now(); const look = () => {{ let holds = false; let why = '';              try {{ holds = Boolean({condition}); }} catch (error) {{ why = String(error); }}              if (holds) done('holds'); else if (Date.now() - began > {PATIENCE_MS}) done('in vain ' + why + '; the page says: ' + document.body.innerText);              else setTimeout(look, 20); }}; look(); }})"
        );
        let params = json!({ "expression": wait, "returnByValue": true, "awaitPromise": true });
        let came = self.ask("Runtime.evaluate", params);
        assert_eq!(came["result"]["value"], "holds", "{condition}");
    }

    /// What a promise comes to in the page.
    pub fn awaited(&mut self, promise: &str) -> Value {
        let came =
            self.ask("Runtime.evaluate", json!({ "expression": promise, "returnByValue": true, "awaitPromise": true }));
        assert!(came["exceptionDetails"].is_null(), "{promise}: {came}");
        came["result"]["value"].clone()
    }

    /// Keys of a person: words, as they are typed.
    pub fn types(&mut self, text: &str) {
        self.ask("Input.insertText", json!({ "text": text }));
    }

    /// One key by its name: `Tab`, `Enter`, `ArrowDown`.
    pub fn presses(&mut self, key: &str) {
        self.presses_with(key, 0);
    }

    /// With others held: 8 is Shift.
    pub fn presses_with(&mut self, key: &str, modifiers: u32) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            " " => 32,
            other => panic!("{other} is not known"),
        };
        let text = if key == "Enter" {
            "\r"
        } else if key == " " {
            " "
        } else {
            ""
        };
        for what in ["keyDown", "keyUp"] {
            let mut params = json!({ "type": what, "key": key, "code": if key == " " { "Space" } else { key }, "windowsVirtualKeyCode": code, "modifiers": modifiers });
            if what == "keyDown" && !text.is_empty() {
                params["text"] = text.into();
            }
            self.ask("Input.dispatchKeyEvent", params);
        }
    }

    /// Every address that anything was asked of, sockets too.
    pub fn asked(&self) -> Vec<String> {
        let asked = |event: &Value| {
            let url = match event["method"].as_str()? {
                "Network.requestWillBeSent" => &event["params"]["request"]["url"],
                "Network.webSocketCreated" => &event["params"]["url"],
                _ => return None,
            };
            url.as_str().map(str::to_owned)
        };
        self.events.iter().filter_map(asked).collect()
    }

    /// What the browser complained about: errors, dialogs, and whatever a page says on its console.
    pub fn errors(&self) -> Vec<String> {
        self.complaints().into_iter().filter(|complaint| !complaint.starts_with("asked for ")).collect()
    }

    /// A picture of what is in sight, as PNG.
    pub fn sight(&mut self) -> Vec<u8> {
        let shot = self.ask("Page.captureScreenshot", json!({ "format": "png" }));
        data_encoding::BASE64.decode(shot["data"].as_str().expect("a picture").as_bytes()).expect("base64")
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
