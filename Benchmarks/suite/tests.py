"""Tests of what the suite makes of its runs; Benchmarks/Tests runs them, and whole suites beside them."""

import copy
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

from . import bounds, compare, day, day_page, page, readme, runner, scaling, table
from .contenders import BENCHMARKS, Contender, all_contenders
from .figures import Sample, noise, ratio
from .results import DECISIVE, Refused, Results


def results(**contenders):
    """Results with one cell; each contender has its runs' CPU times."""
    made = Results({"cpu": "a"}, {})
    for name, values in contenders.items():
        made.describe(Contender(name, name, (name,)))
        for value in values:
            made.add("echo", "1:64:1", name, {"relay_cpu_ns": value})
    return made


class Figures(unittest.TestCase):
    def test_median_and_spread(self):
        sample = Sample([100, 110, 90, 105, None, 95])
        self.assertEqual(sample.median, 100)
        self.assertAlmostEqual(sample.spread, 0.05)

    def test_runs_are_compared_with_those_beside_them(self):
        # The machine became twice as slow after the second run, for both.
        one, other = Sample([100, 100, 200, 200, 200]), Sample([50, 50, 100, 100, 100])
        self.assertEqual(ratio(one, other), 2)
        self.assertEqual(noise(one, other), 0)

    def test_a_program_against_itself_is_noise(self):
        one, again = Sample([100, 100, 100]), Sample([90, 90, 90])
        self.assertAlmostEqual(noise(one, Sample([100, 100, 100]), again), 1 / 9)


class ResultsFile(unittest.TestCase):
    def test_it_reads_back(self):
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            results(shared=[1, 2]).save(file.name)
            self.assertEqual(Results.load(file.name).count("echo", "1:64:1", "shared"), 2)

    def test_runs_that_were_added_later_stand_beside_those_of_their_cell(self):
        made = Results({}, {})
        for scenario, cell in (("idle", "10"), ("echo", "1:64:64"), ("echo", "1:64:8"), ("echo", "1:64:64")):
            made.add(scenario, cell, "shared", {})
        made.sort(["echo", "idle"])
        self.assertEqual([run["cell"] for run in made.runs], ["1:64:8", "1:64:64", "1:64:64", "10"])

    MACHINE = {name: name for name in (*DECISIVE["machine"], "commit")}
    FLAGS = {**{name: name for name in DECISIVE["flags"]}, "repeats": 3}

    def test_runs_that_are_measured_otherwise_stay_out(self):
        for kind, name in [(kind, name) for kind, names in DECISIVE.items() for name in names]:
            here = {"machine": {**self.MACHINE, "changed": False}, "flags": dict(self.FLAGS)}
            here[kind][name] = "other"
            with self.subTest(name=name), self.assertRaisesRegex(Refused, f"{name.replace('_', ' ')} was .* 'other'"):
                Results(dict(self.MACHINE), dict(self.FLAGS)).resume(**here)

    def test_runs_say_at_which_commit_they_were_measured(self):
        made = Results({**self.MACHINE, "commit": "old", "changed": False}, dict(self.FLAGS))
        # As in files of before.
        made.add("echo", "1:64:1", "shared", {})
        self.assertNotIn("commit", made.runs[0])
        self.assertEqual(made.commits(), ["old"])
        made.resume({**self.MACHINE, "commit": "new", "changed": True}, {**self.FLAGS, "repeats": 5})
        made.add("echo", "1:64:1", "shared", {})
        self.assertEqual(made.runs[1]["commit"], "new+")
        self.assertEqual(made.commits(), ["old", "new+"])
        self.assertEqual(made.document["flags"]["repeats"], 5)
        made.document["machine"].update(cpus=2, time="2026-01-01T00:00")
        made.document["flags"]["seconds"] = 1
        self.assertIn("commits old, new+.", readme.ratios(made))
        self.assertIn('"commits": ["old", "new+"]', page.render(made, {}))

    def test_another_format_is_refused(self):
        with tempfile.NamedTemporaryFile("w+") as file:
            json.dump({"format": 0}, file)
            file.flush()
            with self.assertRaises(ValueError):
                Results.load(file.name)


class Comparison(unittest.TestCase):
    def test_what_moved_is_told_and_in_which_direction(self):
        old = results(shared=[100] * 5, epoll=[100] * 5)
        told = compare.render(old, results(shared=[150] * 5, epoll=[100] * 5))
        self.assertIn("WORSE  echo 1:64:1: shared: CPU a packet +50.0%", told)
        self.assertIn("better", compare.render(old, results(shared=[80] * 5, epoll=[100] * 5)))

    def test_a_mood_of_the_machine_is_no_move(self):
        told = compare.render(
            results(shared=[100] * 5, epoll=[100] * 5), results(shared=[150] * 5, epoll=[150] * 5))
        self.assertIn("0 moved", told)

    def test_one_run_says_nothing(self):
        self.assertIn("0 moved", compare.render(results(shared=[100]), results(shared=[200])))

    def test_three_runs_reach_as_far_as_the_furthest(self):
        # By their quartiles these would have moved.
        told = compare.render(results(shared=[100, 90, 110]), results(shared=[115, 105, 125]))
        self.assertIn("0 moved", told)

    def test_what_else_differs_is_told(self):
        old, new = results(shared=[100] * 3), results(shared=[100] * 3)
        old.document["flags"], new.document["flags"] = {"seconds": 1}, {"seconds": 0.5}
        self.assertIn("compare with care: seconds was 1, and is 0.5", compare.render(old, new))

    def test_noise_is_no_move(self):
        told = compare.render(results(shared=[100, 70, 130, 100]), results(shared=[110, 80, 140, 110]))
        self.assertIn("0 moved", told)


class Bounds(unittest.TestCase):
    def bound(self, made, title):
        return next(bound for bound in bounds.all_bounds(made) if bound.title.startswith(title))

    def test_what_is_above_its_bound_falls_short(self):
        bound = self.bound(results(shared=[120, 121, 119], again=[120, 121, 119], floor=[100, 100, 100]), "relay CPU")
        self.assertEqual([(finding.place, finding.value) for finding in bound.short], [("1:64:1", 1.2)])
        self.assertEqual(self.bound(results(shared=[109] * 3, floor=[100] * 3), "relay CPU").short, [])

    def test_noise_that_is_larger_than_the_bound_counts(self):
        made = results(shared=[120, 121, 119], again=[150, 150, 150], floor=[100, 100, 100])
        self.assertEqual(self.bound(made, "relay CPU").short, [])

    def test_noise_is_no_excuse_where_a_part_of_the_rival_is_asked(self):
        made = Results({}, {})
        for name, cost in (("shared", 90), ("again", 120), ("epoll", 100)):
            made.add("echo", "1000:64:1", name, {"relay_cpu_ns": cost})
        self.assertEqual(len(self.bound(made, "the same, 1,000 clients").short), 1)

    def test_a_multicast_is_held_against_the_same_run_one_by_one(self):
        made = Results({}, {})
        for cell, relay, backend in (("1000:64", 100, 80), ("1000:64 multicast", 90, 5), ("1000:1024", 100, 100)):
            made.add("multicast", cell, "shared", {"relay_cpu_ns": relay, "backend_cpu_ns": backend})
        [finding] = self.bound(made, "relay CPU a packet to 1,000 clients by multicast").findings
        self.assertEqual((finding.place, finding.value, finding.holds), ("1000:64", 0.9, True))
        [finding] = self.bound(made, "the same of the backend").findings
        self.assertEqual((finding.value, finding.holds), (0.0625, False))

    def test_a_change_from_cell_to_cell_is_held_against_the_yardstick_s(self):
        made = Results({}, {})
        for cell, ours, theirs in (("10:64 at 1/s", 100, 200), ("10000:64 at 1/s", 150, 280)):
            made.add("crowd", cell, "shared", {"relay_cpu_ns": ours})
            made.add("crowd", cell, "epoll", {"relay_cpu_ns": theirs})
        [finding] = self.bound(made, "CPU a packet, 10,000").findings
        self.assertAlmostEqual(finding.value, 1.5 / 1.4)
        self.assertFalse(finding.holds)

    def test_the_machine_did_at_least_what_is_known(self):
        figures = {
            "relay_cpu_ns": 40, "generator_cpu_ns": 50, "machine_softirq_threads_ns": 5, "machine_cpu_ns": 60,
        }
        self.assertEqual(bounds.machine(figures), 95)
        self.assertEqual(bounds.machine({**figures, "machine_cpu_ns": 100}), 100)

    def test_packets_one_way_count_too(self):
        made = Results({}, {})
        for name, cost in (("shared", 100), ("own", 140), ("epoll", 90)):
            made.add("egress", "100:64:8", name, {"relay_cpu_ns": cost})
        self.assertEqual(self.bound(made, "relay CPU with the firehose").short[0].place, "egress 100:64:8")
        self.assertEqual(len(self.bound(made, "the same, packets one way").short), 1)

    def test_the_relay_over_epoll_is_held_against_the_epoll_relay_where_it_was_measured(self):
        title = "relay CPU over epoll"
        made = results(shared=[100], epoll=[100])
        self.assertFalse(any(bound.title.startswith(title) for bound in bounds.all_bounds(made)))
        for scenario, cell, cost in (("echo", "1000:64:1", 90), ("echo", "1:64:8", 120), ("ingest", "100:64:8", 130)):
            made.add(scenario, cell, "epoll-kernel", {"relay_cpu_ns": cost})
            made.add(scenario, cell, "epoll", {"relay_cpu_ns": 100})
        bound = self.bound(made, title)
        self.assertEqual(len(bound.findings), 3)
        self.assertEqual(
            [(finding.place, finding.value) for finding in bound.short], [("1:64:8", 1.2), ("ingest 100:64:8", 1.3)])

    def test_the_tail_at_half_load_is_compared_in_its_own_place(self):
        made = Results({}, {})
        for cell, ours, theirs in (("100:64 at half load", 9, 2), ("1000:64 at half load", 5, 7)):
            made.add("latency", cell, "shared", {"latency_p99_ns": ours, "latency_p50_ns": 1})
            made.add("latency", cell, "epoll", {"latency_p99_ns": theirs, "latency_p50_ns": 1})
        [theirs] = self.bound(made, "the same of the epoll relay there").findings
        self.assertEqual(theirs.value, 2)

    def test_at_least_means_at_least(self):
        made = Results({}, {})
        made.add("connect-storm", "10", "shared", {"relay_cpu_ns": 20_000})
        bound = self.bound(made, "handshakes")
        self.assertEqual((bound.findings[0].value, bound.short), (50_000, []))

    def test_what_was_not_measured_is_said(self):
        shown = bounds.render(results(shared=[1]))
        self.assertIn("| memory of an idle client in B | 512 |  |  | not measured |", shown)


class Scaling(unittest.TestCase):
    def test_a_firehose_of_its_own_pays_when_it_relieves_the_thread_that_is_full(self):
        # By the formula, k (k - 1) > s / f.
        for shard, firehose, cpus in ((100, 100, 2), (199, 100, 2), (201, 100, 3), (599, 100, 3), (601, 100, 4)):
            self.assertEqual(scaling.pays_from(shard, firehose), cpus)

    def test_the_table_says_how_many_shards_fill_the_firehose(self):
        made = Results({}, {})
        made.add("echo", "100:64:8", "own", {"relay_threads_ns": {"shard 0": 300, "firehose": 100}})
        self.assertIn("| echo | 100:64:8 | 300 | 100 | 10,000,000 | 770 | 3.0 | 38% |", scaling.render(made))


class Readme(unittest.TestCase):
    def test_documents_show_the_results_that_are_kept(self):
        kept = Results.load(readme.KEPT)
        for document, text in readme.DOCUMENTS.items():
            self.assertEqual(readme.part(document), text(kept), f"{document}: run tools/bench --readme")

    def test_what_is_not_fit_to_be_shown_changes_no_file(self):
        kept = Results.load(readme.KEPT)

        def broken(change):
            made = Results({}, {})
            made.document = copy.deepcopy(kept.document)
            change(made.document)
            return made

        def without(document, scenario):
            document["runs"] = [run for run in document["runs"] if run["scenario"] != scenario]

        unfit = (
            (lambda document: document["flags"].update(quick=True), Refused, "--quick"),
            (lambda document: document["flags"].update(build="debug"), Refused, "release"),
            (lambda document: without(document, "crowd"), Refused, "no runs of crowd"),
            (lambda document: document.update(runs=[]), Refused, "echo, latency"),
            (lambda document: document["machine"].pop("cpu"), Refused, "does not say the cpu"),
            (lambda document: document["flags"].pop("seconds"), Refused, "does not say the seconds"),
            # Fails only while it is rendered.
            (lambda document: document["contenders"]["own"].pop("title"), KeyError, "title"),
        )
        with tempfile.TemporaryDirectory() as folder:
            documents = {Path(folder, path.name): text for path, text in readme.DOCUMENTS.items()}
            for path in documents:
                path.write_text(f"{readme.FIRST}\nbefore\n{readme.LAST}")
            with mock.patch.multiple(readme, KEPT=Path(folder, "kept.json"), DOCUMENTS=documents):
                for change, error, message in unfit:
                    with self.assertRaisesRegex(error, message):
                        readme.write(broken(change))
                    self.assertFalse(readme.KEPT.exists())
                    self.assertEqual([readme.part(path) for path in documents], ["before"] * len(documents))
                readme.write(kept)
                self.assertTrue(readme.KEPT.exists())
                self.assertEqual(
                    [readme.part(path) for path in documents], [text(kept) for text in documents.values()])


class Rendering(unittest.TestCase):
    def test_the_table_says_where_a_difference_is_noise(self):
        shown = table.render(results(shared=[100, 100, 100], epoll=[50, 50, 50], floor=[90, 110, 101]))
        self.assertIn("| 1:64:1 | 100 | 50 | 101 | 2.00 | 0.99 (±", shown)

    def test_figures_of_disturbed_runs_are_marked(self):
        made = results(shared=[100], epoll=[50])
        made.runs[0]["figures"]["other_processes_share"] = 0.5
        shown = table.render(made)
        self.assertIn("| 100* | 50 |", shown)
        self.assertIn("*: other processes", shown)

    def test_every_contender_has_a_colour_of_its_own_on_the_page(self):
        html = page.render(results(shared=[100]), {})
        count = len(all_contenders("cubic", "release"))
        schemes = [re.findall(r"--c\d+: (#\w+)", scheme) for scheme in html.split("@media")]
        self.assertEqual([len(set(colours)) for colours in schemes], [count, count])
        self.assertEqual(re.findall(r"names\.indexOf\(name\) % (\d+)", html), [str(count)])

    def test_the_page_says_how_it_was_measured(self):
        html = page.render(results(shared=[100]), {})
        for flag in ("repeats", "seconds", "warmup", "build", "congestion_control"):
            self.assertIn("${flags.%s}" % flag, html)

    def test_the_page_stands_alone(self):
        made = results(shared=[100])
        made.document["titles"] = "</script>"
        html = page.render(made, {"echo": "Round trips"})
        self.assertNotIn("/*RESULTS*/", html)
        self.assertEqual(html.count("</script>"), 2)
        for outside in ("src=", "<link", "@import", "fetch("):
            self.assertNotIn(outside, html)


def day_point(time, threads, packets=100.0, idle=False, **others):
    return {
        "time": time, "idle": idle, "offered": 0 if idle else packets, "packets": packets, "newcomers": 1,
        "threads": threads, "relay_cpu": threads / 2, "relay_waited": 0.0, "relay_cpu_ns": 10.0, "p50_us": 5,
        "p99_us": 7, "max_us": 9, "load_cpu": 0.1, **others,
    }


class Day(unittest.TestCase):
    def document(self):
        # The more packets, the more threads.
        points = [
            day_point(float(time), 1 + time // 5, 10.0 * (time + 1), relay_cpu_ns=20.0 - time) for time in range(8)
        ]
        placements = {
            name: {"title": title, "flags": "", "points": points} for name, (title, _) in day.PLACEMENTS.items()}
        where = {"time": "now", "commit": "abc", "changed": False, "cpu": "<b>", "cpus": 2, "kernel": "6"}
        return {
            "machine": where, "seconds": 8, "capacity": 50.0, "build": "release", "congestion_control": "cubic",
            "placements": placements,
        }

    def test_who_hosts_what_is_read_from_the_metrics(self):
        metrics = (
            "# TYPE voltlane_thread_roles gauge\n"
            'voltlane_thread_roles{thread="relay 0",role="shard 0"} 1\n'
            'voltlane_thread_roles{thread="relay 1",role="shard 1"} 1\n'
            'voltlane_thread_roles{thread="relay 1",role="firehose"} 1\n'
            'voltlane_thread_roles{thread="handshake 0",role="handshake worker 0"} 1\n')
        self.assertEqual(day.hosting(metrics), {"relay 0": ["shard 0"], "relay 1": ["shard 1", "firehose"]})

    def test_a_point_is_of_its_interval(self):
        line = {
            "time": 3.0, "idle": False, "offered": 40.0, "packets": 30.0, "newcomers": 2, "p50_us": 5, "p99_us": 9,
            "max_us": 9, "probes": 0, "cpu_ns": 1e9,
        }
        found = day.point(line, {"time": 1.0, "relay": (10**9, 0)}, (4 * 10**9, 10**9), {"relay 0": ["shard 0"]})
        self.assertEqual((found["offered"], found["packets"]), (20, 15))
        self.assertEqual((found["relay_cpu"], found["relay_waited"]), (1.5, 0.5))
        self.assertEqual((found["relay_cpu_ns"], found["threads"], found["load_cpu"]), (1e8, 1, 0.5))
        # No probe came back: that is no round trip of nothing.
        self.assertIsNone(found["p99_us"])

    def test_what_a_second_thread_carries(self):
        points = [day_point(0.25, 1, 1.0), day_point(0.5, 1), day_point(0.75, 1), day_point(1.0, 2, 130.0)]
        points += [day_point(2.0, 2, 180.0), day_point(3.0, 2, 180.0)]
        points += [day_point(4.0, 2, 0.0, idle=True, max_us=999), day_point(6.5, 1, 0.0, idle=True, max_us=2000)]
        points += [day_point(7.0, 1, 0.0, idle=True, max_us=100)]
        found = day.spread_of(points)
        self.assertEqual((found["spread_after"], found["folded_after"]), (1.0, 3.5))
        self.assertEqual((found["before"], found["after"], found["gain"]), (100, 180, 1.8))
        self.assertIn("1.80 times", day.spread_text(found))
        # What still came of the load is not counted.
        self.assertEqual((found["longest_folding_us"], found["longest_still_us"]), (2000, 100))
        self.assertIn("longest round trip meanwhile 2.00 ms, else 0.10 ms", day.spread_text(found))

    def test_what_did_not_happen_is_not_made_up(self):
        found = day.spread_of([day_point(1.0, 1), day_point(2.0, 1), day_point(3.0, 1, 0.0, idle=True)])
        self.assertEqual((found["spread_after"], found["folded_after"], found["gain"]), (None, None, None))
        self.assertIn("nothing was spread", day.spread_text(found))

    def test_night_and_noon_are_the_quarters_of_the_load(self):
        document = self.document()
        found = day_page.part_of_day(document, document["placements"]["auto"])
        self.assertEqual((found["night"]["threads"], found["noon"]["threads"]), (1, 2))
        self.assertEqual((found["night"]["relay_cpu_ns"], found["noon"]["relay_cpu_ns"]), (19.5, 13.5))
        self.assertEqual(found["noon"]["carried"], 1)

    def test_the_page_stands_alone_and_has_every_placement(self):
        document = self.document()
        html = day_page.render(document)
        self.assertEqual(html.count('<path class="series"'), len(day_page.PLOTS) * len(day.PLACEMENTS))
        for title, _ in day.PLACEMENTS.values():
            self.assertIn(title, html)
            self.assertIn(f"| {title} |", day_page.table(document))
        self.assertIn("&lt;b&gt;", html)
        for outside in ("src=", "<link", "@import", "fetch(", "<script"):
            self.assertNotIn(outside, html)

    def test_a_figure_that_nobody_has_leaves_its_plot_out(self):
        document = self.document()
        for placement in document["placements"].values():
            for each in placement["points"]:
                each["p99_us"] = None
        self.assertEqual(day_page.render(document).count("<figure>"), len(day_page.PLOTS) - 1)

    def test_flags(self):
        self.assertEqual(day.flags(["--day"]).seconds, 100)
        self.assertEqual(day.flags(["--spread", "--seconds", "3"]).seconds, 3)
        for wrong in ([], ["--day", "--spread"], ["--day", "--seconds", "0"], ["--spread", "--repeats", "x"]):
            with self.subTest(wrong), self.assertRaises(SystemExit), mock.patch("sys.stderr"):
                day.flags(wrong)


class Commands(unittest.TestCase):
    """The suite as a command that is given what makes no sense."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def file(self, text, name="results.json"):
        path = Path(self.folder.name, name)
        path.write_text(text)
        return str(path)

    def refused(self, *arguments, status, says):
        """It ends with this status, and one line that says all of this."""
        done = subprocess.run(
            [sys.executable, "-m", "suite", *arguments], cwd=BENCHMARKS, capture_output=True, text=True, timeout=60,
            check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        [line] = done.stderr.splitlines()
        self.assertTrue(line.startswith("tools/bench: "), line)
        for part in says:
            self.assertIn(part, line)

    def test_files_that_hold_no_results(self):
        run = {"scenario": "echo", "cell": "1:64:1", "contender": "shared", "figures": {}}
        empty = {"format": 1, "machine": {}, "flags": {}, "contenders": {}, "runs": []}
        cases = (
            ('{"format": 1,\n "mach', ":2:2: is no JSON"),
            ("", ":1:1: is no JSON"),
            ("[]", "is no object"),
            ('{"format": 1}', '"machine"'),
            ('{"format": 2}', '"format" is not 1'),
            (json.dumps({**empty, "runs": {}}), '"runs"'),
            (json.dumps({**empty, "runs": [1]}), "run 1"),
            (json.dumps({**empty, "runs": [{**run, "figures": 5}]}), '"figures"'),
            (json.dumps({**empty, "runs": [run]}), "run 1 is of shared"),
        )
        for text, message in cases:
            path = self.file(text)
            other = str(Path(self.folder.name, "other.json"))
            for flags in (
                ["--report", "--output", path], ["--output", path, "--resume"], ["--compare", path, "--output", other],
            ):
                with self.subTest(flags=flags, text=text):
                    self.refused(*flags, status=1, says=[path, message])

    def test_files_that_are_not_there(self):
        path = str(Path(self.folder.name, "none.json"))
        self.refused("--report", "--output", path, status=1, says=[path, "not there"])
        self.refused("--compare", path, status=1, says=[path, "No such file"])

    def test_scenarios_that_the_suite_does_not_know(self):
        made = results(shared=[1])
        made.runs[0]["scenario"] = "jousting"
        path = self.file(made.text())
        self.refused("--report", "--output", path, status=1, says=[path, "no scenario jousting"])

    def test_regular_expressions_that_are_none(self):
        for flag in ("--scenarios", "--cells"):
            self.refused(flag, "(", status=2, says=[flag, "'(' is no regular expression"])

    def test_an_output_that_the_page_would_replace(self):
        for name in ("results.html", "results"):
            path = self.file("kept", name)
            self.refused("--output", path, status=2, says=["--output", path, ".json"])
            self.assertEqual(Path(path).read_text(), "kept")

    def test_numbers_that_mean_nothing(self):
        cases = {
            "--repeats": ("-1", "0", "x", "1.5"), "--seconds": ("-1", "0", "nan", "inf", "x"),
            "--warmup": ("-1", "nan", "inf"), "--for": ("0", "-5", "nan", "inf"),
        }
        for flag, values in cases.items():
            for value in values:
                with self.subTest(flag=flag, value=value):
                    self.refused(f"{flag}={value}", status=2, says=[flag])

    def test_a_plan_without_a_run(self):
        path = str(Path(self.folder.name, "new.json"))
        for flags in (["--scenarios", "nosuch"], ["--scenarios", "echo", "--cells", "nosuch"],
                      ["--scenarios", "shards", "--contenders", "epoll"]):
            self.refused(*flags, "--output", path, status=1, says=["nothing is to be measured", *flags[-2:-1]])
            self.assertFalse(Path(path).exists())

    def test_a_file_of_another_machine_is_not_resumed(self):
        made = results(shared=[1])
        path = self.file(made.text())
        self.refused(
            "--check", "--resume", "--output", path, status=1,
            says=[path, "--resume", "cpu was 'a'", "seconds was None"])

    def test_what_makes_sense_is_not_refused(self):
        done = subprocess.run(
            [sys.executable, "-m", "suite", "--check", "--quick", "--output", str(Path(self.folder.name, "new.json"))],
            cwd=BENCHMARKS, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_programs_that_are_not_built(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(runner, "BENCHMARKS", Path(folder)):
            with self.assertRaisesRegex(Refused, f"{folder}/.build/debug/voltlane-bench is not there"):
                runner.check([], "debug")
            program = Path(folder, ".build/debug/voltlane-bench")
            program.parent.mkdir(parents=True)
            program.write_text("#!/bin/sh")
            program.chmod(0o755)
            runner.check([], "debug")
            with self.assertRaisesRegex(Refused, "/no/relay is not there"):
                runner.check([Contender("relay", "relay", ("/no/relay",))], "debug")


class Termination(unittest.TestCase):
    def test_a_suite_that_is_terminated_leaves_no_program_behind(self):
        # A relay and a load generator that only say who they are, and a run of both.
        script = """
import sys
from pathlib import Path
from types import SimpleNamespace
from suite import runner
from suite.contenders import Contender
folder = sys.argv[1]
runner.load_generator = lambda build: f"{folder}/generator"
runner.clean_up_when_terminated()
relay = Contender("relay", "relay", (f"{folder}/relay",))
runner.load(relay, "64", [], SimpleNamespace(build="debug", congestion_control="cubic"), 60)
"""
        with tempfile.TemporaryDirectory() as folder:
            for name in ("relay", "generator"):
                program = Path(folder, name)
                program.write_text(f"#!/bin/sh\necho $$ > {folder}/{name}.part\n"
                                   f"mv {folder}/{name}.part {folder}/{name}.pid\nexec sleep 60\n")
                program.chmod(0o755)
            suite = subprocess.Popen([sys.executable, "-c", script, folder], cwd=BENCHMARKS)
            files = [Path(folder, f"{name}.pid") for name in ("relay", "generator")]
            try:
                while not all(file.exists() for file in files):
                    self.assertIsNone(suite.poll(), "it ended by itself")
                    time.sleep(0.01)
            finally:
                suite.terminate()
                status = suite.wait()
            self.assertEqual(status, 143)
            for file in files:
                with self.assertRaises(ProcessLookupError, msg=file.name):
                    os.kill(int(file.read_text()), 0)


if __name__ == "__main__":
    unittest.main()
