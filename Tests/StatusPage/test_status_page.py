"""The status page in a real browser, under the strict policy that the relay sends, against a relay that is played.

The tests wait for what the page shows or for what it asks, never for a time.
"""

from __future__ import annotations

import re
import unittest
from typing import Any

import browser
import played_relay
from browser import Browser, Page
from played_relay import PlayedRelay

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"

# Chromium says this about each request that fails, which is what some tests are about.
EXPECTED = "Failed to load resource"


class TheFile(unittest.TestCase):
    """What can be seen without a browser."""

    def setUp(self) -> None:
        self.page = played_relay.PAGE.read_text()

    def test_it_loads_nothing_from_elsewhere(self) -> None:
        addresses = set(re.findall(r"[a-z]+://[^\s'\")]+", self.page))
        self.assertEqual(addresses, {"http://www.w3.org/2000/svg"})
        self.assertEqual(re.findall(r"@import|url\(|<(?:link|img|iframe|object|embed)\b(?! rel=\"icon\" href=\"data:)",
                                    self.page), [])

    def test_it_makes_no_html_from_text(self) -> None:
        forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|createContextual" \
            r"|DOMParser|srcdoc|javascript:"
        self.assertEqual(re.findall(forbidden, self.page), [])

    def test_it_has_no_inline_style_or_handler(self) -> None:
        markup = re.sub(r"<(script|style)>.*?</\1>|<!--.*?-->", "", self.page, flags=re.DOTALL)
        self.assertEqual(re.findall(r"<[^>]*\s(?:style|on[a-z]+)\s*=", markup), [])

    def test_each_of_its_two_hashed_parts_is_there_once(self) -> None:
        for tag in ("script", "style"):
            self.assertEqual(len(re.findall(f"<{tag}[ >]", self.page)), 1, tag)
            self.assertEqual(len(re.findall(f"</{tag}", self.page)), 1, tag)

    def test_the_policy_is_the_one_at_its_top(self) -> None:
        asked = re.search(r"\n\n    (default-src.*?)\n\n", self.page, re.DOTALL)
        assert asked
        expected = re.sub("sha256-[^']+", "sha256-...", played_relay.policy(self.page))
        self.assertEqual(" ".join(asked[1].split()), expected)

    def test_its_text_can_be_read_in_both_colours(self) -> None:
        blocks = re.findall(r":root \{(.*?)\}", self.page, re.DOTALL)
        self.assertEqual(len(blocks), 2)
        for colours in (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+);", block)) for block in blocks):
            for ground in ("panel", "ground"):
                for ink in ("ink", "muted", "ok", "warn", "bad", "one"):
                    self.assertGreaterEqual(contrast(colours[ink], colours[ground]), 4.5, (ink, ground))
            for ground in ("warn-ground", "bad-ground"):
                for ink in ("ink", "muted"):
                    self.assertGreaterEqual(contrast(colours[ink], colours[ground]), 4.5, (ink, ground))
            # Lines of charts need less.
            for ink in ("one", "two", "three", "four"):
                self.assertGreaterEqual(contrast(colours[ink], colours["panel"]), 3, ink)


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2: 4.5 is enough for text."""

    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
        parts = [int(digits[place:place + 2], 16) / 255 for place in (0, 2, 4)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def client(number: int, **changes: Any) -> dict[str, Any]:
    """A row of /clients."""
    return {
        "id": f"{number:016x}", "address": f"203.0.113.{number}:5{number:04}", "state": "attached",
        "age_seconds": 60.5, "idle_seconds": 1.25, "packets_up": 10, "bytes_up": 1000, "packets_down": 20,
        "bytes_down": 2000, "pending_bytes": 0, "memory_bytes": 500,
    } | changes


@unittest.skipUnless(browser.find(), "Chromium is not installed")
class ThePage(unittest.TestCase):
    """What a person sees."""

    chromium: Browser

    @classmethod
    def setUpClass(cls) -> None:
        program = browser.find()
        assert program
        cls.chromium = Browser(program)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.chromium.__exit__()

    def setUp(self) -> None:
        self.relay = PlayedRelay()
        self.addCleanup(self.relay.__exit__)

    def open(self, width: int = 1280, dark: bool = False, height: int = 3000) -> Page:
        """The page of the played relay, in a tab that is closed at the end of the test."""
        page = self.chromium.page(width, height, dark)
        self.addCleanup(page.close)
        page.open(self.relay.address)
        page.wait("the first figures", lambda: page.text("#tiles .value") not in ("", "–"))
        return page

    def wait_for_state(self, page: Page, state: str) -> None:
        """Waits for the word beside the name."""
        page.wait(state, lambda: page.text("#state") == state)

    def assert_calm(self, page: Page) -> None:
        """Nothing was violated, thrown or warned of."""
        self.assertEqual([one for one in page.complaints if EXPECTED not in one], [])

    def test_figures_of_a_healthy_relay(self) -> None:
        self.relay.clients = [client(1), client(2, memory_bytes=5 << 20)]
        page = self.open()
        self.wait_for_state(page, "Running")
        self.assertEqual(page.text("#notes"), "Nothing needs attention.")
        self.assertEqual(page.text("#tiles .tile:nth-child(1) .value"), "1,234")
        page.wait("a rate", lambda: re.match(r"(9|1,0)\d\d packets/s", page.text("#tiles .tile:nth-child(2) .value")))
        page.wait("a share of the CPU",
                  lambda: re.match(r"5\d % of one CPU", page.text("#tiles .tile:nth-child(4) .value")))
        page.wait("lines", lambda: page.run(
            "[...document.querySelectorAll('.chart .series')].every(line => line.getAttribute('d').includes('L'))"))
        page.wait("bars", lambda: page.run(
            "[...document.querySelectorAll('.bars')].every(one => one.querySelectorAll('rect').length > 3)"))
        page.wait("the largest holder", lambda: "0000000000000002" in page.text("table[aria-label='Largest holders']"))
        self.assertIn("No client has bytes pending.", page.text("#panels"))
        self.assertIn("memory", page.text(".limits"))
        self.assertEqual(page.run("document.title"), "Voltlane")
        self.assert_calm(page)

    def test_text_from_outside_stays_text(self) -> None:
        self.relay.refused = {HOSTILE: 5.0, "__proto__": 3.0, "constructor": 2.0, "\u202egnp.exe": 1.0}
        self.relay.ended = {"</li><script>document.title='owned'</script>": 5.0}
        self.relay.clients = [client(1, address=HOSTILE, id=HOSTILE, state=HOSTILE, pending_bytes=5)]
        self.relay.ended_list = [{"id": None, "address": HOSTILE * 40, "reason": HOSTILE, "kind": HOSTILE,
                                  "age_seconds": "1", "ago_seconds": None, "bytes_up": HOSTILE, "bytes_down": []}]
        self.relay.threads = [(HOSTILE, [HOSTILE], 0.5), ("__proto__", ["toString"], 0.1)]
        self.relay.changes = {
            "version": HOSTILE, "ready": False, "ready_reason": HOSTILE,
            "firehose": {"state": HOSTILE},
            "limits": [{"name": HOSTILE, "used": 99, "limit": 100}, {"name": "__proto__", "used": 1, "limit": 2}],
            "counters": {HOSTILE: 5},
        }
        page = self.open()
        page.run("document.querySelector('details').open = true")
        page.wait("all of it", lambda: len(re.findall("<img src=x", page.text("body"))) >= 9)
        page.wait("the refused", lambda: "constructor" in page.text(".rows:not(.columns)")
                  and "proto" in page.text(".rows:not(.columns)"))
        page.wait("what is not printed", lambda: "\ufffdgnp.exe" in page.text("#panels"))
        self.assertEqual(page.run("document.querySelectorAll('img, main script').length"), 0)
        self.assertNotEqual(page.run("document.title"), "owned")
        self.assert_calm(page)

    def test_answers_with_nothing_in_them(self) -> None:
        for varz in ({}, {"counters": [], "threads": {}, "limits": "many", "histograms": {"turn_packets": [1]},
                          "shards": [None, 3], "ended": {"kicked": "x"}, "firehose": None, "sessions": 7}):
            self.relay.varz = lambda varz=varz: varz  # type: ignore[method-assign]
            page = self.chromium.page(1280, 3000)
            self.addCleanup(page.close)
            page.open(self.relay.address)
            before = self.relay.asked_for("/varz")
            page.wait("three answers", lambda: self.relay.asked_for("/varz") >= before + 3)
            self.wait_for_state(page, "Running")
            self.assertNotIn("NaN", page.text("body"))
            self.assertNotIn("undefined", page.text("body"))
            self.assert_calm(page)

    def test_a_relay_that_stops_answering_and_starts_again(self) -> None:
        page = self.open()
        self.wait_for_state(page, "Running")
        for manner, words in (("cut", "no connection"), ("fail", "500: out of order"), ("garbage", "no JSON")):
            self.relay.manner = manner
            page.wait(words, lambda words=words: words in page.text("#notes"))
            self.assertEqual(page.text("#state"), "No answer")
            self.assertIn("No answer", page.text("#announcer") or page.run("document.title"))
        # What was known stays in sight.
        self.assertEqual(page.text("#tiles .tile:nth-child(1) .value"), "1,234")
        self.assertTrue(page.run("document.querySelectorAll('.chart .lost').length > 0"))
        self.relay.restart()
        self.relay.manner = "answer"
        page.wait("the restart", lambda: "started again" in page.text("#notes"))
        self.assertTrue(page.run("document.querySelectorAll('.chart .restart').length > 0"))
        # A restart is not a rate: counters that went back make no negative ones, and no huge ones.
        page.wait("a rate", lambda: re.match(r"(9|1,0)\d\d packets/s", page.text("#tiles .tile:nth-child(2) .value")))
        self.assert_calm(page)

    def test_what_is_wrong_is_said(self) -> None:
        page = self.open()
        self.wait_for_state(page, "Running")
        self.relay.changes = {"ready": False, "ready_reason": "no backend",
                              "firehose": {"state": "waiting", "oldest_unsent_seconds": 12.0}}
        self.wait_for_state(page, "No backend")
        self.assertIn("has waited for 12 s", page.text("#notes"))
        self.assertIn("No backend", page.run("document.title"))
        self.relay.changes = {"firehose": {"oldest_unsent_seconds": 42.0}}
        self.wait_for_state(page, "Backend stuck")
        self.relay.changes = {"state": "draining", "ready": False, "ready_reason": "draining", "clients": 41}
        self.wait_for_state(page, "Draining")
        self.assertIn("41 clients left", page.text("#notes"))
        self.relay.changes = {"ready": False, "ready_reason": "the disk is on fire"}
        self.wait_for_state(page, "Not ready")
        self.assertIn("the disk is on fire", page.text("#notes"))
        self.relay.changes = {"limits": [{"name": "memory", "used": 96 << 20, "limit": 100 << 20, "unit": "bytes"}]}
        self.wait_for_state(page, "Needs attention")
        self.assertIn("memory 96 % of 100 MiB", page.text("#notes"))
        self.relay.changes = {}
        self.wait_for_state(page, "Running")
        # Neither what the operator asked for nor a single slow reader is worth a word.
        self.relay.refused = {"banned": 50.0, "handshake_timeout": 0.02}
        self.relay.ended = {"slow_client": 0.02}
        page.wait("bans", lambda: "banned" in page.text("#panels"))
        self.assertEqual(page.text("#state"), "Running")
        self.relay.ended = {"memory": 3.0}
        self.wait_for_state(page, "Needs attention")
        self.assertIn("because memory was used up", page.text("#notes"))
        self.relay.refused = {"address_clients": 20.0}
        page.wait("refusals", lambda: "refused in the last minute" in page.text("#notes"))
        self.assertIn("mostly for: address clients", page.text("#notes"))
        self.assert_calm(page)

    def test_a_hidden_tab_asks_nothing(self) -> None:
        page = self.open()
        asked = self.relay.asked_for("/varz")
        page.wait("another answer", lambda: self.relay.asked_for("/varz") > asked)
        with PlayedRelay() as other:
            front = self.chromium.page()
            self.addCleanup(front.close)
            front.open(other.address)
            page.wait("the tab to be hidden", lambda: page.run("document.hidden"))
            asked = len(self.relay.asked)
            # The tab in front measures the time in which the hidden one would have asked.
            front.wait("four answers", lambda: other.asked_for("/varz") >= 4)
            self.assertLessEqual(len(self.relay.asked), asked + 1)
        page.call("Page.bringToFront")
        page.wait("an answer", lambda: self.relay.asked_for("/varz") > asked + 1)
        self.assert_calm(page)

    def test_paused(self) -> None:
        page = self.open()
        page.run("document.getElementById('pause').click()")
        self.assertEqual(page.text("#pause"), "Paused")
        asked = self.relay.asked_for("/varz")
        with PlayedRelay() as other:
            front = self.chromium.page()
            self.addCleanup(front.close)
            front.open(other.address)
            front.wait("three answers", lambda: other.asked_for("/varz") >= 3)
        self.assertLessEqual(self.relay.asked_for("/varz"), asked + 1)
        page.call("Page.bringToFront")
        page.run("document.getElementById('pause').click()")
        page.wait("an answer", lambda: self.relay.asked_for("/varz") > asked + 1)

    def test_large_answers_are_asked_for_less_often(self) -> None:
        self.relay.shards = 64
        self.relay.threads = [(f"shard {place}", [f"shard {place}"], 0.5) for place in range(64)]
        self.relay.clients = [client(place, pending_bytes=place) for place in range(20)]
        page = self.open()
        page.wait("four answers", lambda: self.relay.asked_for("/varz") >= 4)
        asked = self.relay.asked[1:]
        self.assertEqual(asked[0][1], "/varz")
        end = max(place for place, one in enumerate(asked) if one[1] == "/varz")
        size = sum(one[2] for one in asked[:end])
        self.assertGreater(size, 30_000)
        self.assertLess(size / (asked[end][0] - asked[0][0]), 5000)
        self.assertEqual(page.run("document.querySelectorAll('.row.thread').length"), 16)
        page.run("[...document.querySelectorAll('button')].find(one => one.innerText === 'All 64 threads').click()")
        self.assertEqual(page.run("document.querySelectorAll('.row.thread').length"), 64)
        page.run("[...document.querySelectorAll('button')].find(one => one.innerText === 'All 64 shards').click()")
        self.assertEqual(page.run("document.querySelectorAll('table[aria-label=Shards] tbody tr').length"), 64)
        self.assert_calm(page)

    def test_lists_out_of_sight_are_not_asked_for(self) -> None:
        page = self.open(height=500)
        page.wait("four answers", lambda: self.relay.asked_for("/varz") >= 4)
        self.assertEqual(self.relay.asked_for("/clients") + self.relay.asked_for("/ended"), 0)
        page.run("document.querySelector('footer').scrollIntoView()")
        page.wait("a list", lambda: self.relay.asked_for("/ended") > 0)

    def test_the_keyboard_is_enough(self) -> None:
        page = self.open()
        page.wait("four samples", lambda: self.relay.asked_for("/varz") >= 4)
        self.wait_for_state(page, "Running")
        seen = []
        for _ in range(40):
            page.press("Tab", 9)
            seen.append(page.run("(element => element.className || element.id || element.tagName)"
                                 "(document.activeElement)"))
            if page.run("document.activeElement.classList.contains('chart')"):
                break
        self.assertEqual(seen[0], "skip")
        self.assertIn("plain", seen)
        self.assertEqual(page.run("getComputedStyle(document.activeElement).outlineStyle"), "solid")
        label = page.run("document.activeElement.getAttribute('aria-label')")
        self.assertRegex(label, r"^Packets a second: up .*, down ")
        for _ in range(2):
            page.press("ArrowLeft", 37)
        self.assertRegex(page.run("document.activeElement.getAttribute('aria-label')"), r"at \d\d:\d\d:\d\d UTC")
        self.assertEqual(page.run("document.querySelectorAll('.chart .cursor').length"),
                         page.run("document.querySelectorAll('.chart').length"))
        page.press("Escape", 27)
        self.assertEqual(page.run("document.querySelectorAll('.chart .cursor').length"), 0)
        self.assertEqual(page.run(
            "[...document.querySelectorAll('button, a, .chart, .bars, [role=meter], [role=region]')]"
            ".filter(one => !one.innerText && !one.getAttribute('aria-label')).length"), 0)

    def test_nothing_sticks_out(self) -> None:
        self.relay.refused = {"a_reason_with_a_very_long_name_that_nobody_would_choose_but_still": 3.0}
        self.relay.clients = [client(1, address="[2001:db8:1234:5678:9abc:def0:1234:5678%interface]:65535",
                                     pending_bytes=123_456_789)]
        self.relay.changes = {"clients": 1_234_567, "version": "9.99.999-a-very-long-version-with-a-hash"}
        for width, dark in ((320, False), (390, True), (768, False), (1280, True), (2560, False)):
            page = self.open(width, dark)
            page.wait("clients", lambda page=page: page.text("table[aria-label='Slowest readers'] td"))
            self.assertEqual(page.run("document.documentElement.scrollWidth"), width)
            self.assertEqual(page.run(
                "[...document.querySelectorAll('.tile .value, .state, .head h2, .legend')]"
                ".filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.innerText)"), [], width)
            ground = page.run("getComputedStyle(document.body).backgroundColor")
            self.assertEqual(ground, "rgb(13, 17, 23)" if dark else "rgb(244, 246, 248)")
            self.assert_calm(page)
            page.close()


if __name__ == "__main__":
    unittest.main()
