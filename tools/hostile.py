#!/usr/bin/env python3
"""Attacks the program as a list of known attacks says, and tells for each entry whether it held.

Every entry that once made Assay crash, hang, lose something or say something wrong silently is tried again: with files
made here from the bundled models, full disks, signals, damaged databases and odd arguments. A line for each entry: held,
FAILED and why, or n/a and why. Exit code 1 when one failed. Without --slow the entries that take minutes, gigabytes or
the right moment are left out.
"""

import argparse
import os
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, os.fspath(pathlib.Path(__file__).resolve().parent))

from hostile_entries import high, low, medium  # noqa: E402,F401  (their entries register themselves)
from hostile_entries.harness import ENTRIES, ROOT, Failed, NotApplicable, World  # noqa: E402


def try_entry(function, program, folder, shared):
    """(verdict, reason)"""
    try:
        function(World(program, folder, shared))
    except NotApplicable as reason:
        return "n/a", str(reason)
    except Failed as reason:
        return "FAILED", str(reason)
    except Exception as error:  # of the attack itself: the others are still tried
        return "FAILED", f"the attack could not be made: {error!r}"
    return "held", ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--assay", type=pathlib.Path, default=ROOT / "build/assay", help="the program")
    parser.add_argument("--slow", action="store_true", help="also what takes minutes, gigabytes or the right moment")
    parser.add_argument("--only", default="", metavar="NAME,...", help="these entries alone, such as H1,M12")
    parser.add_argument("--list", action="store_true", help="name the entries and try none")
    arguments = parser.parse_args()
    only = {name for name in arguments.only.split(",") if name}
    chosen = [e for e in ENTRIES if (e[0] in only if only else arguments.slow or not e[2])]
    if arguments.list:
        for name, title, slow, _ in ENTRIES:
            print(f"{name:4} {title}{' (--slow)' if slow else ''}")
        return 0
    if only - {e[0] for e in ENTRIES}:
        parser.error(f"no such entry: {', '.join(sorted(only - {e[0] for e in ENTRIES}))}")
    program = arguments.assay.resolve()
    if not program.exists():
        parser.error(f"{program} is not there: build it (./run build) or name another with --assay")
    counts = {"held": 0, "FAILED": 0, "n/a": 0}
    with tempfile.TemporaryDirectory(prefix="assay-hostile-") as top:
        os.chmod(top, 0o755)  # other users' runs read their models there
        shared = pathlib.Path(top) / "shared"
        shared.mkdir()
        for number, (name, title, _, function) in enumerate(chosen):
            folder = pathlib.Path(top) / f"{number}-{name}"
            folder.mkdir()
            began = time.monotonic()
            verdict, reason = try_entry(function, program, folder, shared)
            counts[verdict] += 1
            print(f"{name:4} {verdict:7} {title} ({time.monotonic() - began:.1f} s){': ' if reason else ''}{reason}",
                  flush=True)
    print(f"{counts['held']} held, {counts['FAILED']} failed, {counts['n/a']} not applicable")
    return 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
