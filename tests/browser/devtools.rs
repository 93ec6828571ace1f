//! Headless Chromium over the DevTools protocol: JSON messages, each ended by a zero byte, on a pipe.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page, and all that this page asked the network for.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    next: u64,
    /// Every address asked for.
    pub requests: Vec<String>,
    /// What the page's script failed at.
    pub exceptions: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Chromium (or what `GRADUS_CHROMIUM` names) on an empty page.
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let program = std::env::var("GRADUS_CHROMIUM").unwrap_or_else(|_| "chromium".into());
        // The protocol is spoken on descriptors 3 and 4: the shell makes them of its own input and output.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", &program])
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--no-first-run",
            ])
            .args(["--remote-debugging-pipe", "--window-size=1200,1000"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let (requests, exceptions) = (Vec::new(), Vec::new());
        let mut browser =
            Browser { child, to, from, session: None, next: 0, requests, exceptions, _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().map(String::from);
        for domain in ["Page", "Network", "Runtime"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Calls a method and waits for its result; events on the way are noted.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut bytes = Vec::new();
            let n = self.from.read_until(0, &mut bytes).unwrap();
            assert!(n > 0, "Chromium ended: is it installed (Debian: chromium)?");
            let answer: Value = serde_json::from_slice(&bytes[..n - 1]).unwrap();
            match answer["method"].as_str() {
                Some("Network.requestWillBeSent") => {
                    self.requests.push(answer["params"]["request"]["url"].as_str().unwrap().into());
                }
                Some("Runtime.exceptionThrown") => self.exceptions.push(answer["params"].to_string()),
                _ => {}
            }
            if answer["id"] == self.next {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
        }
    }

    /// Opens an address.
    pub fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
        self.wait("document.readyState === 'complete'");
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub fn eval(&mut self, expression: &str) -> Value {
        let result =
            self.call("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true }));
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn wait(&mut self, expression: &str) {
        let start = Instant::now();
        while self.eval(expression) != true {
            assert!(start.elapsed() < PATIENCE, "never came true: {expression}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Drags the middle of an element by some pixels, as a hand with a mouse does.
    pub fn drag(&mut self, selector: &str, dx: f64, dy: f64) {
        let middle = format!(
            "(() => {{ const e = document.querySelector('{selector}'); e.scrollIntoView({{ block: 'center', behavior: 'instant' }}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        );
        let at = self.eval(&middle);
        let (x, y) = (at[0].as_f64().unwrap(), at[1].as_f64().unwrap());
        let mut mouse = |kind: &str, x: f64, y: f64| {
            let event =
                json!({ "type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        };
        mouse("mouseMoved", x, y);
        mouse("mousePressed", x, y);
        for k in 1..=8 {
            mouse("mouseMoved", x + dx * f64::from(k) / 8.0, y + dy * f64::from(k) / 8.0);
        }
        mouse("mouseReleased", x + dx, y + dy);
    }

    /// Clicks an element.
    pub fn click(&mut self, selector: &str) {
        self.drag(selector, 0.0, 0.0);
    }

    /// Presses an arrow key on the element that has the focus.
    pub fn key(&mut self, key: &str) {
        let arrows = ["ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown"];
        let code = arrows.iter().position(|a| *a == key).map(|i| 37 + i);
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// A screen of that width, light or dark.
    pub fn screen(&mut self, width: u32, scheme: &str) {
        let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", features);
    }

    /// Keeps a picture of the whole page, where `GRADUS_SCREENSHOTS` names a folder.
    pub fn screenshot(&mut self, name: &str) {
        use base64::Engine;
        let Ok(folder) = std::env::var("GRADUS_SCREENSHOTS") else { return };
        let shot = self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
        let png = base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::write(format!("{folder}/{name}.png"), png).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
