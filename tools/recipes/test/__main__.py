"""Tries every recipe of Recipes.md, each with the real programs: tools/test-recipes starts this."""

from __future__ import annotations

import shutil
import sys
import time
import traceback

from costs import costs
from million import million
from pages import pages
from recipes import logs, tls_haproxy, tls_nginx, tls_stunnel, two_relays, websocket
from scene import Broken, complain, make_machine

#: Each with the programs that it needs beside the relay's.
TESTS = {
    pages: (),
    tls_haproxy: ("haproxy", "stunnel4", "openssl"),
    tls_stunnel: ("stunnel4", "openssl"),
    tls_nginx: ("nginx", "stunnel4", "openssl"),
    two_relays: ("haproxy",),
    websocket: ("websockify",),
    logs: ("rsyslogd",),
    million: ("sysctl",),
}


def main(wanted: list[str]) -> int:
    """Runs all, or those that are named. 1 if one failed."""
    make_machine()
    if wanted[:1] == ["costs"]:
        costs(int(wanted[1]) if len(wanted) > 1 else 10_000)
        return 0
    unknown = set(wanted) - {test.__name__ for test in TESTS}
    if unknown:
        complain(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(test.__name__ for test in TESTS)}")
        return 64
    failed = missing = passed = 0
    for test, programs in TESTS.items():
        if wanted and test.__name__ not in wanted:
            continue
        lacking = [program for program in programs if shutil.which(program) is None]
        if lacking:
            complain(f"{test.__name__}: NOT RUN, because these are missing here: {' '.join(lacking)}")
            missing += 1
            continue
        start = time.monotonic()
        try:
            test()
        except Exception as error:
            complain(f"{test.__name__}: FAILED: {error if isinstance(error, Broken) else traceback.format_exc()}")
            failed += 1
        else:
            print(f"test-recipes: {test.__name__}: {time.monotonic() - start:.1f} s", flush=True)
            passed += 1
    print(f"test-recipes: {passed} passed, {failed} failed, {missing} not run for want of programs")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
