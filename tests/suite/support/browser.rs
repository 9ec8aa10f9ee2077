//! A real browser: Debian's headless Chromium, driven over plain HTTP by its own driver (W3C WebDriver).
//!
//! One driver serves the whole test process; each [`Browser`] has a Chromium with a profile of its own. It resolves no name,
//! so a page under test cannot reach another machine. Every wait is for a condition. A selector may go through shadow
//! roots: `damper-rating >>> [part=count]`.

use std::process::{Child, Stdio};
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::Http;
use super::{spawn, until_some, within};

/// Browsers at once: each takes about a core.
const BROWSERS_MAX: usize = 3;
/// The longest wait for a condition of a page.
const PATIENCE: Duration = Duration::from_secs(20);
/// How the protocol marks a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// What is missing on a machine without a browser.
const REMEDY: &str = "there is no browser: scripts/install chromium chromium-driver";
/// Finds an element through shadow roots; null when there is none.
const FIND: &str = "let at = document;
    for (const part of arguments[0].split('>>>')) {
        at = at && (at.shadowRoot || at).querySelector(part.trim());
    }
    return at;";
/// Runs in every page before its own scripts: keeps what the page's policy refuses, for `reports`.
const COLLECTOR: &str = "window.policyReports = [];
    addEventListener('securitypolicyviolation', (event) =>
        window.policyReports.push(event.effectiveDirective + ' ' + (event.blockedURI || event.sourceFile)));";

/// The colours that a visitor's system asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Light,
    Dark,
}

impl Scheme {
    /// Both.
    pub const ALL: [Scheme; 2] = [Scheme::Light, Scheme::Dark];

    /// As CSS names it.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        }
    }
}

/// Keys that are no characters, as the protocol names them.
pub mod key {
    pub const TAB: &str = "\u{e004}";
    pub const ENTER: &str = "\u{e007}";
    pub const ESCAPE: &str = "\u{e00c}";
    pub const SPACE: &str = " ";
    pub const END: &str = "\u{e010}";
    pub const HOME: &str = "\u{e011}";
    pub const LEFT: &str = "\u{e012}";
    pub const UP: &str = "\u{e013}";
    pub const RIGHT: &str = "\u{e014}";
    pub const DOWN: &str = "\u{e015}";
    pub const DELETE: &str = "\u{e017}";
}

/// A browser with one window.
pub struct Browser {
    driver: &'static Driver,
    /// The session's path at the driver.
    session: String,
    _profile: TempDir,
    _turn: Turn,
}

/// An element of the page that is open.
pub struct Element<'a> {
    browser: &'a Browser,
    id: String,
}

impl Browser {
    /// Starts one, 1280 by 800, with light colours.
    #[track_caller]
    pub fn start() -> Self {
        let (turn, driver) = (Turn::take(), Driver::shared());
        let profile = spawn::temp_dir("browser-");
        let mut arguments = vec![
            "--headless=new".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
            // Chromium ends with its driver, whatever ends that.
            "--remote-debugging-pipe".to_owned(),
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost".to_owned(),
        ];
        let quiet = ["disable-dev-shm-usage", "disable-gpu", "no-first-run", "disable-background-networking"];
        arguments.extend(quiet.map(|name| format!("--{name}")));
        // The sandbox refuses root.
        arguments.extend(spawn::is_root().then(|| "--no-sandbox".to_owned()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": {"args": arguments, "binary": spawn::find("chromium").expect(REMEDY)},
            "timeouts": {"script": PATIENCE.as_millis() as u64, "pageLoad": PATIENCE.as_millis() as u64},
        }}});
        let started = driver.call("POST", "/session", &wanted).expect("a browser starts");
        let session = format!("/session/{}", started["sessionId"].as_str().expect("a session"));
        let browser = Self { driver, session, _profile: profile, _turn: turn };
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": COLLECTOR}));
        browser.resize(1280, 800);
        browser.prefer(Scheme::Light);
        browser
    }

    /// Opens a page and waits until it has loaded.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.post("/url", json!({"url": url}));
    }

    /// Waits until the page has an element, and returns it.
    #[track_caller]
    pub fn find(&self, selector: &str) -> Element<'_> {
        within(PATIENCE, &format!("an element {selector}"), || self.try_find(selector))
    }

    /// The element, if the page has it now.
    #[track_caller]
    pub fn try_find(&self, selector: &str) -> Option<Element<'_>> {
        let found = self.run(FIND, json!([selector]));
        Some(Element { browser: self, id: found[ELEMENT].as_str()?.to_owned() })
    }

    /// Waits until the element's text contains `text`.
    #[track_caller]
    pub fn until_text(&self, selector: &str, text: &str) {
        let shown = || self.text_of(selector);
        let what = format!("{selector} to say {text:?}; at first it said {:?}", shown());
        within(PATIENCE, &what, || shown().contains(text).then_some(()));
    }

    /// The element's text content; empty without one.
    #[track_caller]
    pub fn text_of(&self, selector: &str) -> String {
        let script =
            format!("const find = (...arguments) => {{ {FIND} }}; return find(arguments[0])?.textContent");
        self.run(&script, json!([selector])).as_str().unwrap_or_default().trim().to_owned()
    }

    /// Waits until a JavaScript expression is true; `what` names it in the error.
    #[track_caller]
    pub fn until(&self, what: &str, expression: &str) {
        let script = format!("return !!({expression})");
        within(PATIENCE, what, || (self.run(&script, json!([])) == true).then_some(()));
    }

    /// Runs the body of a function in the page and returns its result, of a promise that of the promise.
    #[track_caller]
    pub fn run(&self, script: &str, arguments: Value) -> Value {
        self.post("/execute/sync", json!({"script": script, "args": arguments}))
    }

    /// Types keys to the element that has the focus: characters, and those of [`key`].
    #[track_caller]
    pub fn keys(&self, keys: &str) {
        let press =
            |key: char| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})];
        let presses: Vec<Value> = keys.chars().flat_map(press).collect();
        self.post("/actions", json!({"actions": [{"type": "key", "id": "keyboard", "actions": presses}]}));
    }

    /// Presses the mouse at a point of the window, moves it to another in steps, and lets go.
    #[track_caller]
    pub fn drag(&self, from: (i64, i64), to: (i64, i64)) {
        let point = |(x, y): (i64, i64)| json!({"type": "pointerMove", "duration": 40, "x": x, "y": y});
        let middle = ((from.0 + to.0) / 2, (from.1 + to.1) / 2);
        let actions = json!([
            point(from), {"type": "pointerDown", "button": 0}, point(middle), point(to), {"type": "pointerUp", "button": 0},
        ]);
        self.mouse(&actions);
    }

    /// Moves the mouse to a point of the window.
    #[track_caller]
    pub fn hover(&self, (x, y): (i64, i64)) {
        self.mouse(&json!([{"type": "pointerMove", "duration": 0, "x": x, "y": y}]));
    }

    fn mouse(&self, actions: &Value) {
        let mouse = json!({"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": actions});
        self.post("/actions", json!({"actions": [mouse]}));
    }

    /// Gives the page a size, in CSS pixels. Narrower than a window may be, too.
    #[track_caller]
    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size);
    }

    /// Answers a page's `prefers-color-scheme`.
    #[track_caller]
    pub fn prefer(&self, scheme: Scheme) {
        self.emulate("prefers-color-scheme", scheme.name());
    }

    /// Answers a media feature of the page's: `prefers-reduced-motion` with `reduce`.
    #[track_caller]
    pub fn emulate(&self, feature: &str, value: &str) {
        let features = json!({"features": [{"name": feature, "value": value}]});
        self.devtools("Emulation.setEmulatedMedia", features);
    }

    /// Turns JavaScript off or on, for pages that are opened from then on.
    #[track_caller]
    pub fn scripting(&self, is_on: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({"value": !is_on}));
    }

    /// Calls the browser's own protocol (Chrome DevTools).
    #[track_caller]
    pub fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({"cmd": command, "params": parameters}))
    }

    /// A picture of the window, as PNG. With `TEST_PICTURES` set to a folder it is also written there, as `name`.png.
    #[track_caller]
    pub fn picture(&self, name: &str) -> Vec<u8> {
        let picture = self.driver.call("GET", &format!("{}/screenshot", self.session), &Value::Null);
        let picture = picture.unwrap_or_else(|e| panic!("no picture {name}: {e}"));
        let text = picture.as_str().expect("a picture");
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
        if let Some(folder) = std::env::var_os("TEST_PICTURES") {
            let path = std::path::Path::new(&folder).join(format!("{name}.png"));
            std::fs::write(&path, &bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
        bytes
    }

    /// Warnings and errors on the console since the last call, a failed request among them.
    #[track_caller]
    pub fn console(&self) -> Vec<String> {
        let wrong = |entry: &Value| entry["level"] == "SEVERE" || entry["level"] == "WARNING";
        let entries = self.log("browser").into_iter().filter(wrong);
        entries.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The URLs that the browser has asked for since the last call.
    #[track_caller]
    pub fn requests(&self) -> Vec<String> {
        let events = self.log("performance").into_iter();
        let urls = events.filter_map(|entry| {
            let event: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let event = &event["message"];
            let is_sent = event["method"] == "Network.requestWillBeSent";
            is_sent.then(|| event["params"]["request"]["url"].as_str().map(str::to_owned))?
        });
        urls.collect()
    }

    /// What the open page's Content-Security-Policy has refused.
    #[track_caller]
    pub fn reports(&self) -> Vec<String> {
        let reports = self.run("return window.policyReports || []", json!([]));
        serde_json::from_value(reports).expect("a list of texts")
    }

    /// Checks that the page caused no console error, no policy report, and no request beyond the listed addresses
    /// (`host:port`) since the last such check.
    #[track_caller]
    pub fn assert_clean(&self, addresses: &[&str]) {
        let (console, reports) = (self.console(), self.reports());
        assert!(console.is_empty() && reports.is_empty(), "console: {console:#?}, policy: {reports:#?}");
        self.assert_stays(addresses);
    }

    /// Checks that the page asked no other address (`host:port`) than those listed since the last such check.
    #[track_caller]
    pub fn assert_stays(&self, addresses: &[&str]) {
        let is_known = |url: &String| {
            let is_local =
                ["data:", "blob:", "about:", "chrome"].iter().any(|scheme| url.starts_with(scheme));
            is_local || addresses.iter().any(|address| url.starts_with(&format!("http://{address}/")))
        };
        let strange: Vec<String> = self.requests().into_iter().filter(|url| !is_known(url)).collect();
        assert!(strange.is_empty(), "requests to other addresses: {strange:#?}");
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.post("/se/log", json!({"type": kind}));
        entries.as_array().cloned().unwrap_or_default()
    }

    #[track_caller]
    fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.driver.call("POST", &format!("{}{path}", self.session), &body);
        answer.unwrap_or_else(|e| panic!("{path} {body}: {e}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.driver.call("DELETE", &self.session, &Value::Null).ok();
    }
}

impl Element<'_> {
    /// Scrolls to it and clicks its middle, as a mouse does. Fails when something covers it.
    #[track_caller]
    pub fn click(&self) {
        self.browser.post(&format!("/element/{}/click", self.id), json!({}));
    }

    /// Types into it: it gets the focus first.
    #[track_caller]
    pub fn keys(&self, text: &str) {
        self.browser.post(&format!("/element/{}/value", self.id), json!({"text": text}));
    }

    /// The value of one of its properties.
    #[track_caller]
    pub fn property(&self, name: &str) -> Value {
        self.browser.run("return arguments[0][arguments[1]]", json!([{ELEMENT: self.id}, name]))
    }

    /// The value of one of its attributes; null without it.
    #[track_caller]
    pub fn attribute(&self, name: &str) -> Value {
        self.browser.run("return arguments[0].getAttribute(arguments[1])", json!([{ELEMENT: self.id}, name]))
    }

    /// Its place in the window: x, y, width, height.
    #[track_caller]
    pub fn place(&self) -> [i64; 4] {
        let script = "const r = arguments[0].getBoundingClientRect(); return [r.x, r.y, r.width, r.height].map(Math.round)";
        serde_json::from_value(self.browser.run(script, json!([{ELEMENT: self.id}]))).expect("four numbers")
    }

    /// Its middle in the window.
    #[track_caller]
    pub fn middle(&self) -> (i64, i64) {
        let [x, y, width, height] = self.place();
        (x + width / 2, y + height / 2)
    }
}

/// The driver's process; the kernel kills it when the test process ends.
struct Driver {
    http: Http,
    _process: Mutex<Child>,
    _home: TempDir,
}

impl Driver {
    #[track_caller]
    fn shared() -> &'static Driver {
        static DRIVER: OnceLock<Driver> = OnceLock::new();
        DRIVER.get_or_init(Driver::start)
    }

    fn start() -> Self {
        let (port, home) = (spawn::free_port(), spawn::temp_dir("driver-"));
        let mut command = spawn::dying(spawn::find("chromedriver").expect(REMEDY));
        command.arg(format!("--port={port}")).arg("--log-level=OFF");
        // A browser leaves caches in its user's home.
        command.env("HOME", home.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = spawn::spawn(command).expect("chromedriver starts");
        let http = Http::new(&format!("127.0.0.1:{port}"));
        until_some("chromedriver to be ready", || {
            let status = http.try_get("/status").ok()?;
            (status.json()["value"]["ready"] == true).then_some(())
        });
        Self { http, _process: Mutex::new(process), _home: home }
    }

    /// A call's `value`, or its error in words.
    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let text = body.to_string();
        let body = (method == "POST").then_some(text.as_bytes());
        let answer =
            self.http.try_send(method, path, &[super::http::JSON], body).map_err(|e| e.to_string())?;
        let mut json = answer.json();
        match answer.status {
            200 => Ok(json["value"].take()),
            _ => Err(format!("{}: {}", json["value"]["error"], json["value"]["message"])),
        }
    }
}

/// One of the [`BROWSERS_MAX`].
struct Turn;

static TAKEN: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Turn {
    fn take() -> Self {
        let taken = TAKEN.0.lock().unwrap_or_else(|e| e.into_inner());
        let full = |taken: &mut usize| *taken >= BROWSERS_MAX;
        *TAKEN.1.wait_while(taken, full).unwrap_or_else(|e| e.into_inner()) += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TAKEN.0.lock().unwrap_or_else(|e| e.into_inner()) -= 1;
        TAKEN.1.notify_one();
    }
}
