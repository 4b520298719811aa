#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The flame graph page in a real browser, headless, driven by chromedriver.

Leaves screenshots in the undeclared outputs. Without chromium and chromedriver,
which `./bazelw test` installs where it can, it says so and passes.
"""

import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import unittest
import urllib.request

sys.path.insert(0, "export/web")
sys.dont_write_bytecode = True
import embed  # noqa: E402  pylint: disable=wrong-import-position,import-error

PARTS = ["flame.html", "flame.css", "graph.js", "flame.js", "tasks.js"]
EVIL = "<img src=x onerror=document.title='broken'>"
PROFILE = {
    "types": [{"type": "samples", "unit": "count"}, {"type": "cpu", "unit": "nanoseconds"}],
    "defaultType": 1,
    "durationMs": 2000,
    "comments": ["engine: a test"],
    "frames": [
        {"name": name, "file": "a.cc"}
        for name in ["main", "Search", "Parse", "Load", EVIL, "ns::(anonymous namespace)::T<a::b>::Go"]
    ],
    "labelSets": [
        {"labels": {"endpoint": "/search", "tenant": "a"}},
        {"labels": {"endpoint": "/load", "tenant": "a"}},
        {"labels": {}},
    ],
    "samples": [
        {"labelSet": 0, "values": [60, 600e6], "frames": [0, 1, 2]},
        {"labelSet": 0, "values": [10, 100e6], "frames": [0, 1]},
        {"labelSet": 1, "values": [20, 200e6], "frames": [0, 3, 4]},
        {"labelSet": 2, "values": [10, 100e6], "frames": [0, 5]},
    ],
}
TASKS = {
    "total": 3,
    "tasks": [
        {"id": 1, "status": "parked", "wait": "channel receive", "age_ms": 2300, "stack": ["Reader a.cc:1"],
         "labels": {"tenant": "a"}, "spawn_site": "main a.cc:9"},
        {"id": 2, "status": "parked", "wait": "channel receive", "age_ms": 5, "stack": ["Reader a.cc:1"],
         "labels": {"tenant": "a"}, "name": EVIL},
        {"id": 3, "status": "running", "age_ms": 0, "stack": ["Burn b.cc:2"], "labels": {}},
    ],
}


class Server(http.server.ThreadingHTTPServer):
    """Serves the page and its JSON as the debug server does, and writes down what is asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        directory = pathlib.Path("export/web")
        page = (directory / PARTS[0]).read_text(encoding="utf-8")
        self.page = embed.page_of(page, [directory / part for part in PARTS[1:]])
        self.paths = []
        self.refuses = False

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/debug/pprof/"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.paths.append(self.path)
        path = self.path.partition("?")[0].rpartition("/")[2]
        kind, body = "application/json", None
        if path == "flame":
            kind, body = "text/html; charset=utf-8", self.server.page
        elif path == "flame.json":
            body = json.dumps(PROFILE)
        elif path == "tasks.json":
            body = json.dumps(TASKS)
        status = 200 if body else 404
        if self.server.refuses and path == "flame.json":
            status, kind, body = 503, "text/plain", "a CPU profile is running already: me\n"
        data = (body or "").encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class Browser:
    """As much of WebDriver as is needed."""

    ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
    KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "Left": "\ue012", "Up": "\ue013", "Right": "\ue014",
            "Down": "\ue015", "Tab": "\ue004"}

    def __init__(self, chromium, chromedriver):
        self.driver = subprocess.Popen([chromedriver, "--port=0"], stdout=subprocess.PIPE, text=True)
        port = None
        for line in self.driver.stdout:
            if found := re.search(r"successfully on port (\d+)", line):
                port = found.group(1)
                break
        self.session = f"http://127.0.0.1:{port}/session"
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update", "--disable-sync",
                     "--disable-dev-shm-usage", f"--user-data-dir={os.environ['TEST_TMPDIR']}/chromium"]
        answer = self.call("POST", "", {"capabilities": {"alwaysMatch": {
            "timeouts": {"script": 200_000},
            "goog:chromeOptions": {"binary": chromium, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}}})
        self.session += "/" + answer["sessionId"]

    def call(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.session + path, data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=200) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None

    def close(self):
        try:
            self.call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()

    def open(self, url):
        self.call("POST", "/url", {"url": "about:blank"})
        self.call("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait_for(self, condition):
        """Until the JavaScript expression is true; then its value."""
        wait = ("const [done] = arguments; const look = () => { const value = " + condition +
                "; if (value) done(value); else setTimeout(look, 20); }; look();")
        return self.call("POST", "/execute/async", {"script": wait, "args": []})

    def find(self, selector):
        return self.call("POST", "/element", {"using": "css selector", "value": selector})

    def frame(self, name):
        """The drawn frame of that name, as an element."""
        return self.run("return [...document.querySelectorAll('.frame')].find(e => e.node.name === arguments[0])", name)

    def press(self, *keys):
        actions = []
        for key in keys:
            value = self.KEYS.get(key, key)
            actions += [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def point_at(self, element):
        move = {"type": "pointerMove", "origin": element, "x": 0, "y": 0, "duration": 0}
        self.call("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": [move]}]})

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0]).textContent", selector)

    def choose(self, selector, text):
        self.run("const s = document.querySelector(arguments[0]);"
                 "s.value = [...s.options].find(o => o.text === arguments[1]).value;"
                 "s.dispatchEvent(new Event('change', {bubbles: true}))", selector, text)

    def resize(self, width, height):
        self.call("POST", "/window/rect", {"width": width, "height": height})

    def screenshot(self, name):
        import base64
        outputs = os.environ.get("TEST_UNDECLARED_OUTPUTS_DIR", os.environ["TEST_TMPDIR"])
        (pathlib.Path(outputs) / name).write_bytes(base64.b64decode(self.call("GET", "/screenshot")))

    def logs(self, kind):
        return self.call("POST", "/se/log", {"type": kind})


class FlamePage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.browser = Browser(CHROMIUM, CHROMEDRIVER)

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.server.shutdown()

    def open(self, fragment=""):
        self.browser.resize(1100, 700)
        self.browser.open(f"{self.server.url}flame{fragment}")
        self.browser.wait_for("document.querySelector('.frame')")

    def names(self):
        return self.browser.run("return [...document.querySelectorAll('.frame')].map(e => e.node.name)")

    def tearDown(self):
        # Nothing was asked of anybody else, and the page's own policy was never hit.
        for entry in self.browser.logs("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                self.assertTrue(url.startswith((self.server.url, "data:", "about:", "chrome:")), url)
        errors = [e["message"] for e in self.browser.logs("browser") if e["level"] == "SEVERE"]
        self.assertEqual([e for e in errors if "503" not in e], [])

    def test_draws_the_profile(self):
        self.open()
        self.assertEqual(sorted(self.names()), sorted(["all"] + [f["name"] for f in PROFILE["frames"]]))
        self.assertIn("1 s of cpu in 2 s", self.browser.text("#status"))
        widths = self.browser.run("return [arguments[0], arguments[1]].map(e => e.getBoundingClientRect().width)",
                                  self.browser.frame("all"), self.browser.frame("Parse"))
        self.assertAlmostEqual(widths[1] / widths[0], 0.6, places=2)
        self.browser.screenshot("flame.png")

    def test_names_are_text(self):
        self.open()
        self.assertIn(EVIL, self.names())
        self.assertEqual(self.browser.run("return document.images.length"), 0)
        self.assertNotEqual(self.browser.run("return document.title"), "broken")

    def test_splits_by_a_label(self):
        self.open()
        self.browser.choose("#split", "endpoint")
        self.assertIn("endpoint: /search", self.names())
        self.assertIn("endpoint: /load", self.names())
        self.assertIn("(no endpoint)", self.names())
        self.assertIn("split=endpoint", self.browser.run("return location.hash"))
        self.browser.screenshot("split.png")

    def test_filters_by_any_label(self):
        self.open()
        self.browser.choose("select[data-key=endpoint]", "/load")
        self.assertIn("200 ms of cpu", self.browser.text("#status"))
        self.browser.choose("select[data-key=endpoint]", "(none)")
        self.assertIn("100 ms of cpu", self.browser.text("#status"))
        self.open("#only.tenant=a&split=endpoint")  # the same from a link
        self.assertIn("900 ms of cpu", self.browser.text("#status"))
        self.assertNotIn("(no endpoint)", self.names())

    def test_hover_tells_self_total_and_percent(self):
        self.open()
        self.browser.point_at(self.browser.frame("Search"))
        self.browser.wait_for("document.getElementById('details').textContent.startsWith('Search')")
        self.assertIn("total 700 ms (70.0 %)", self.browser.text("#details"))
        self.assertIn("self 100 ms (10.0 %)", self.browser.text("#details"))

    def test_click_zooms(self):
        self.open()
        self.browser.call("POST", f"/element/{self.browser.frame('Load')[Browser.ELEMENT]}/click", {})
        self.assertNotIn("Parse", self.names())
        self.assertIn("zoom=Load", self.browser.run("return location.hash"))
        self.browser.press("Escape")
        self.browser.press("Escape")
        self.assertIn("Parse", self.names())

    def test_keyboard_alone_is_enough(self):
        self.open()
        focused = "return document.activeElement.node?.name"
        self.browser.run("document.getElementById('reset').focus()")
        self.browser.press("Tab")
        self.assertEqual(self.browser.run(focused), "all")
        self.browser.press("Down", "Down")
        self.assertEqual(self.browser.run(focused), "Search")
        self.browser.press("Right")
        self.assertEqual(self.browser.run(focused), "Load")
        self.browser.press("Enter")
        self.assertNotIn("Parse", self.names())
        self.assertEqual(self.browser.run(focused), "Load")
        self.browser.press("Escape", "Left", "Up", "Escape")
        self.assertIn("Parse", self.names())
        element = self.browser.frame("Search")[Browser.ELEMENT]
        self.assertEqual(self.browser.call("GET", f"/element/{element}/computedrole"), "treeitem")
        self.assertEqual(self.browser.call("GET", f"/element/{element}/computedlabel"),
                         "Search: total 700 ms, 70.0 %; self 100 ms, 10.0 %")

    def test_search(self):
        self.open()
        self.browser.press("/", *"PARSE")
        self.assertEqual(self.browser.run("return [...document.querySelectorAll('.match')].map(e => e.node.name)"), ["Parse"])
        self.assertIn("1 frames, 60.0 %", self.browser.text("#status"))
        self.browser.press("Escape")
        self.assertEqual(self.browser.run("return document.querySelectorAll('.match').length"), 0)

    def test_small_and_dark_screen(self):
        self.open("#split=endpoint")
        self.browser.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": {
            "width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}})
        self.browser.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {
            "features": [{"name": "prefers-color-scheme", "value": "dark"}]}})
        self.browser.wait_for("document.querySelector('.frame')?.offsetHeight > 24")
        self.assertLessEqual(self.browser.run("return document.scrollingElement.scrollWidth"), 360)
        self.browser.screenshot("small_dark.png")
        self.browser.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.clearDeviceMetricsOverride", "params": {}})
        self.browser.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"features": []}})

    def test_asks_for_the_seconds_wanted(self):
        self.open("#seconds=3")
        self.assertIn("/debug/pprof/flame.json?seconds=3", self.server.paths)

    def test_says_what_the_program_says(self):
        self.server.refuses = True
        try:
            self.browser.open(f"{self.server.url}flame")
            self.browser.wait_for("document.querySelector('#status.error')")
            self.assertIn("running already: me", self.browser.text("#status"))
        finally:
            self.server.refuses = False

    def test_lists_tasks_by_status(self):
        self.open()
        self.browser.run("document.getElementById('view-tasks').click()")
        self.browser.wait_for("document.querySelector('.group')")
        self.assertEqual(self.browser.run("return [...document.querySelectorAll('#task-list h2')].map(e => e.textContent)"),
                         ["parked: channel receive (2)", "running (1)"])
        self.browser.run("document.querySelector('.group summary').click()")
        self.assertIn("Reader a.cc:1", self.browser.text(".stack"))
        self.assertIn("spawned at main a.cc:9", self.browser.text(".stack"))
        self.assertEqual(self.browser.run("return document.images.length"), 0)
        self.browser.screenshot("tasks.png")
        self.browser.run("document.getElementById('task-search').focus()")
        self.browser.press(*"burn")
        self.assertIn("1 of 3 tasks", self.browser.text("#task-status"))

    def test_functions_count_recursion_once(self):
        self.open()
        functions = self.browser.run("""
            const frame = (name, self, children) => ({name, file: "", kind: "frame", self, children,
                total: self + children.reduce((sum, c) => sum + c.total, 0)});
            return curg.functions(frame("f", 1, [frame("g", 2, [frame("f", 4, [])])]));""")
        self.assertEqual([(f["name"], f["self"], f["total"]) for f in functions], [("f", 5, 7), ("g", 2, 6)])


CHROMIUM = shutil.which("chromium")
CHROMEDRIVER = shutil.which("chromedriver")

if __name__ == "__main__":
    if not CHROMIUM or not CHROMEDRIVER:
        print("SKIPPED: no chromium and chromedriver here. `./bazelw test` installs them where it can; "
              "otherwise: apt-get install chromium chromium-driver")
        sys.exit(0)
    unittest.main(verbosity=2)
