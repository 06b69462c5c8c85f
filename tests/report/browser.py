"""report.html in a real browser: tests/report/browser.py PAGES [SHOTS]

PAGES is a directory of pages, SHOTS one for screenshots of them. Each page is opened as a person does, from a file, in light and in
dark, as wide as a desk and as narrow as a phone, with its script and without. It must load nothing, say nothing on the console, fit,
be readable, and zoom; what is hostile in it must stay text. Exit status 0: all of that held.
"""

import base64
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time

# How long one answer of the browser may take, on a busy machine.
PATIENCE = 120
WIDTHS = {"desk": 1280, "phone": 360}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = """--headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync
 --no-first-run --disable-default-apps --disable-extensions --disable-domain-reliability --metrics-recording-only
 --remote-debugging-pipe""".split()
# No name resolves, wherever it is executed.
FLAGS.append("--host-resolver-rules=MAP * ~NOTFOUND")

# The least contrast of text that WCAG 2.1 asks for at level AA.
CONTRAST = 4.5

MEASURE = r"""
(() => {
  const luminance = ([r, g, b]) => {
    const of = (c) => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * of(r) + 0.7152 * of(g) + 0.0722 * of(b);
  };
  const colour = (text) => { const n = text.match(/[\d.]+/g).map(Number); return n.length > 3 && n[3] === 0 ? null : n.slice(0, 3); };
  const behind = (element) => {
    const bar = element.closest('.bar');
    if (bar && !bar.classList.contains('agent')) return colour(getComputedStyle(bar.querySelector('rect')).fill);
    for (let at = element; at; at = at.parentElement) {
      const found = colour(getComputedStyle(at).backgroundColor);
      if (found) return found;
    }
    return [255, 255, 255];
  };
  const low = [];
  const small = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || ['SCRIPT', 'STYLE', 'title'].includes(element.tagName)) continue;
    if (!element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const front = colour(element.namespaceURI.endsWith('svg') ? style.fill : style.color);
    const [a, b] = [luminance(front), luminance(behind(element))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    const words = walk.currentNode.data.trim().slice(0, 40);
    if (contrast < CONTRAST) low.push([words, element.tagName, element.getAttribute('class'), contrast.toFixed(2)]);
    if (parseFloat(style.fontSize) < 11) small.push(words);
  }
  const chart = document.querySelector('.chart');
  const names = [...document.querySelectorAll('.names text')].map((text) => text.getBoundingClientRect());
  const bars = [...document.querySelectorAll('.bar rect')].map((rect) => rect.getBoundingClientRect());
  const crosses = (a, b) => a.top + 2 < b.bottom && b.top + 2 < a.bottom && a.left < b.right && b.left < a.right;
  return {
    title: document.title,
    width: document.scrollingElement.scrollWidth,
    low, small,
    covered: names.filter((name) => bars.some((bar) => crosses(name, bar))).length,
    chart: chart && chart.getBoundingClientRect().width,
    right: chart && chart.getBoundingClientRect().right - chart.parentElement.getBoundingClientRect().right,
    zooms: [...document.querySelectorAll('.zooms label')].map((label) => label.getBoundingClientRect().height),
    elements: [...new Set([...document.querySelectorAll('*')].map((element) => element.tagName.toLowerCase()))].sort(),
    handlers: [...document.querySelectorAll('*')].flatMap((element) => element.getAttributeNames()).filter((name) => name.startsWith('on')),
  };
})()
""".replace("CONTRAST", str(CONTRAST))

ELEMENTS = set(
    """a article b body circle code dd details div dl dt g h1 h2 h3 head header html i input label legend li line main meta ol p path
    rect script section small span style summary svg text time title ul""".split()
)


class Browser:
    """A browser of its own, asked over a pipe (the DevTools protocol, one JSON text up to each zero byte)."""

    def __init__(self, program, home):
        to_browser, self.write = os.pipe()
        self.read, from_browser = os.pipe()

        def connect():
            # Where the protocol has them: requests on 3, answers on 4.
            low, high = os.dup(to_browser), os.dup(from_browser)
            os.dup2(low, 3)
            os.dup2(high, 4)

        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={home}", "about:blank"],
            preexec_fn=connect,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": home},
        )
        os.close(to_browser)
        os.close(from_browser)
        self.rest, self.last, self.events = b"", 0, []

    def message(self):
        while b"\0" not in self.rest:
            if not select.select([self.read], [], [], PATIENCE)[0]:
                raise SystemExit(f"browser: no answer within {PATIENCE} s")
            read = os.read(self.read, 1 << 16)
            if not read:
                raise SystemExit(f"browser: it ended ({self.process.wait()})")
            self.rest += read
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def ask(self, method, session=None, **params):
        self.last += 1
        request = {"id": self.last, "method": method, "params": params}
        if session:
            request["sessionId"] = session
        os.write(self.write, json.dumps(request).encode() + b"\0")
        while True:
            message = self.message()
            if message.get("id") == self.last:
                if "error" in message:
                    raise SystemExit(f"browser: {method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def until(self, method):
        while not any(event["method"] == method for event in self.events):
            self.events.append(self.message())

    def end(self):
        self.ask("Browser.close")
        self.process.wait(PATIENCE)


class Page:
    """A page that is open."""

    def __init__(self, browser, path, width, dark, script):
        self.browser, self.path = browser, path
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.target = target
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")
        phone = width < 500
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=phone)
        media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", features=media)
        self.ask("Emulation.setScriptExecutionDisabled", value=not script)
        browser.events.clear()
        self.ask("Page.navigate", url=path.as_uri())
        browser.until("Page.loadEventFired")
        self.events = browser.events

    def ask(self, method, **params):
        return self.browser.ask(method, session=self.session, **params)

    def value(self, expression):
        # DevTools' own evaluation goes on where the page's scripts may not.
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def requests(self):
        sent = [event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in sent]

    def said(self):
        told = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening")
        return [event for event in self.events if event["method"] in told]

    def shot(self, path):
        height = self.value("document.scrollingElement.scrollHeight")
        width = self.value("innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, 6000), "scale": 1}
        image = self.ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(image))

    def click(self, selector):
        """As a finger does, in the middle of what is in sight."""
        at = self.value(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center', behavior: 'instant'}});"
            " const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", clickCount=1)

    def close(self):
        self.browser.ask("Target.closeTarget", targetId=self.target)


def check(page, name, width, script):
    """What is true of every page."""
    measured = page.value(MEASURE)
    assert page.requests() == [page.path.as_uri()], (name, "it loads", page.requests())
    assert not page.said(), (name, "it says", page.said())
    assert measured["title"].startswith(("Fine", "Not fine", "Not known")), (name, measured["title"])
    assert measured["width"] <= width, (name, "it is wider than the window", measured["width"])
    assert not measured["low"], (name, "too little contrast", measured["low"])
    assert not measured["small"], (name, "too small", measured["small"])
    assert set(measured["elements"]) <= ELEMENTS, (name, set(measured["elements"]) - ELEMENTS)
    assert not measured["handlers"], (name, measured["handlers"])
    assert measured["covered"] == 0, (name, "a lane's name is covered")
    if measured["chart"] is None:
        return
    assert abs(measured["right"]) < 3, (name, "it does not begin at its end", measured["right"])
    assert min(measured["zooms"]) >= 24, (name, "a button is too small for a finger", measured["zooms"])
    zoom(page, name, script)


CHART = "(() => { const b = document.querySelector('.chart').getBoundingClientRect(); return [b.left, b.width]; })()"


def zoom(page, name, script):
    """Every button scales the drawing; with the script, what was in the middle stays there."""
    page.click("label[for=z1]")
    frame = page.value("document.querySelector('.scroll').clientWidth")
    assert abs(page.value(CHART)[1] - frame) < 3, (name, "z1 does not show all")
    labels = page.value("[...document.querySelectorAll('.zooms label')].map((label) => label.htmlFor)")
    middle = "(() => { const s = document.querySelector('.scroll').getBoundingClientRect(); return s.left + s.width / 2; })()"
    for label in labels[1:]:
        left, width = page.value(CHART)
        before = (page.value(middle) - left) / width
        page.click(f"label[for={label}]")
        left, width = page.value(CHART)
        assert abs(width / frame - int(label[1:])) < 0.01 * int(label[1:]), (name, label, width, frame)
        after = (page.value(middle) - left) / width
        if script:
            assert abs(after - before) * width < 4, (name, label, "the middle moved", before, after)
        ticks = page.value("[...document.querySelectorAll('.ticks')].filter((e) => getComputedStyle(e).display !== 'none').map((e) => e.getAttribute('class'))")
        assert ticks == [f"ticks t{label[1:]}"], (name, ticks)
    pin = page.value("document.querySelectorAll('.chart a').length")
    if pin:
        page.click("label[for=z1]")
        page.click(".chart a path, .chart a circle")
        shown = "(() => { const e = document.querySelector('li:target'); return Boolean(e) && e.checkVisibility(); })()"
        deadline = time.monotonic() + PATIENCE
        while not (chosen := page.value(shown)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert chosen, (name, "a decision that is chosen is not shown")


def main(pages, shots):
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise SystemExit("browser: there is none; tests/setup.sh check installs chromium")
    looked = 0
    with tempfile.TemporaryDirectory(prefix="cflared-browser-") as home:
        browser = Browser(program, home)
        for path in sorted(pages.glob("*.html")):
            for kind, width in WIDTHS.items():
                for dark in (False, True):
                    for script in (True, False):
                        name = f"{path.stem}-{kind}-{'dark' if dark else 'light'}"
                        page = Page(browser, path.resolve(), width, dark, script)
                        if script and shots:
                            page.shot(shots / f"{name}.png")
                        check(page, name + ("" if script else "-without-script"), width, script)
                        page.close()
                        looked += 1
        browser.end()
    assert looked, f"no page in {pages}"
    print(f"{looked} looks at report.html with {os.path.basename(program)}: all held")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    shots = pathlib.Path(sys.argv[2]) if len(sys.argv) == 3 else None
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
    main(pathlib.Path(sys.argv[1]), shots)
