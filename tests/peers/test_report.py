"""report.html and preview.png, judged by Chromium without a network."""

import json
import re
import subprocess

import numpy as np
import pytest
from PIL import Image

from case_bundle import Case

# --no-sandbox: CI runs as root, where Chromium's sandbox refuses to start.
OFFLINE = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND",
]
LONGEST_SECS = 120


@pytest.fixture
def browse(require_tool, tmp_path):
    """Opens the report of a case; gives back what Chromium wrote to stdout."""

    def run(case: Case, *arguments) -> str:
        report = case.path("report.html").resolve().as_uri()
        command = [require_tool("chromium"), *OFFLINE, f"--user-data-dir={tmp_path / 'profile'}", *arguments, report]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_SECS, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_it_renders(any_case, browse, tmp_path):
    picture = tmp_path / "page.png"
    browse(any_case, f"--screenshot={picture}", "--window-size=1000,1600", "--hide-scrollbars")
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert pixels.shape == (1600, 1000, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100, "the page is blank, or holds no picture"


def test_it_asks_nobody(any_case, browse, tmp_path):
    """No address of the web in the finished page, and no request when it is opened."""
    log = tmp_path / "net.json"
    page = browse(any_case, "--dump-dom", f"--log-net-log={log}")
    loads = re.findall(r"""<(?:img|script|link|iframe|source|video|object|embed)\b[^>]*?(?:src|href|data)\s*=\s*["']([^"']*)""", page)
    assert loads, "the page shows no picture"
    assert all(target.startswith("data:") for target in loads), loads
    assert not re.search(r"url\(\s*['\"]?(?!data:|#)", page), "a style loads something"
    assert not re.search(r"@import", page)
    requests = re.findall(r'"url"\s*:\s*"(https?://[^"]*)"', own_requests(log.read_text()))
    assert not requests, requests


def own_requests(log: str) -> str:
    """The events of a net log that a page caused; Chromium's own have no page as origin."""
    try:
        events = json.loads(log)["events"]
    except json.JSONDecodeError:
        # Chromium leaves the log open when it is ended early.
        events = json.loads(log.rstrip().rstrip(",") + "]}")["events"]
    assert events, "the net log is empty"
    own = [event for event in events if event.get("params", {}).get("initiator", "not an origin") != "not an origin"]
    return json.dumps(own)


def test_it_prints(any_case, browse, tmp_path):
    paper = tmp_path / "page.pdf"
    browse(any_case, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    content = paper.read_bytes()
    assert content.startswith(b"%PDF") and len(content) > 10_000
    n_pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", content))
    assert 1 <= n_pages <= 10, f"{n_pages} pages"


def test_it_says_what_a_reader_must_know(any_case, browse):
    page = browse(any_case, "--dump-dom")
    text = re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL)
    text = re.sub(r"<[^>]+>", " ", text)
    assert "UNREVIEWED" in text.upper()
    assert "not a medical device" in text.lower()
    for structure in any_case.structures:
        assert structure["name"] in text.lower()
        assert re.search(rf"\b{structure['volume_ml']:.0f}\b", text.replace(",", "")), "the volume is not shown"
    for model in any_case.record["models"]:
        assert model["name"] in text and model["version"] in text
    for finding in any_case.record["findings"]:
        assert " ".join(finding["message"].split())[:40] in " ".join(unescape(text).split()), finding
    for line in any_case.record["not_checked"]:
        assert " ".join(line.split())[:40] in " ".join(unescape(text).split()), line


def unescape(text: str) -> str:
    import html

    return html.unescape(text)


def test_the_preview_is_a_picture(any_case):
    pixels = np.asarray(Image.open(any_case.path("preview.png")).convert("RGB"))
    assert min(pixels.shape[:2]) >= 256
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100, "blank"
    gray = (np.ptp(pixels.astype(int), axis=2) < 10).mean()
    assert gray < 0.999, "no structure is drawn in color"
