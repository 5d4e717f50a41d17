#!/usr/bin/env python3
"""Counts what `ctest` ran and ends with the line "N passed, N failed".

A GoogleTest program is one ctest; its cases are counted from the XML that the program wrote. A program that failed
without a failed case in its XML (a crash, a leak, a time-out) is one failure more. Any other ctest counts as one.
Skipped cases are neither passed nor failed, and are said.
"""

import argparse
import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def count_program(path):
    """(passed, failed, skipped) of a GoogleTest program; zeros when it wrote no XML that can be read."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return 0, 0, 0
    passed = failed = skipped = 0
    for case in root.iter("testcase"):
        if case.find("failure") is not None:
            failed += 1
        elif case.get("result") == "skipped" or case.get("status") == "notrun":
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def count_directory(directory):
    """(passed, failed, skipped, names of what failed) of one build directory."""
    totals = [0, 0, 0]
    names = []
    try:
        root = ElementTree.parse(directory / "ctest.xml").getroot()
    except (OSError, ElementTree.ParseError):
        return 0, 0, 0, []  # its build failed, which the caller counts
    for test in root.iter("testcase"):
        succeeded = test.get("status") == "run"
        xml = directory / "test-results" / (test.get("name") + ".xml")
        passed, failed, skipped = count_program(xml)
        skip = test.find("skipped")
        if skip is not None and "SKIP_RETURN_CODE" in skip.get("message", ""):
            skipped = 1
        elif passed + failed + skipped == 0:
            passed, failed = (1, 0) if succeeded else (0, 1)
        elif not succeeded and failed == 0:
            failed = 1
        for i, value in enumerate((passed, failed, skipped)):
            totals[i] += value
        if failed:
            names.append(f"{directory}: {test.get('name')}")
    return *totals, names


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broken-builds", type=int, default=0, metavar="N", help="builds that failed")
    parser.add_argument("directories", nargs="+", type=pathlib.Path, help="build directories in which ctest ran")
    arguments = parser.parse_args()
    passed, failed, skipped = 0, arguments.broken_builds, 0
    print()
    for directory in arguments.directories:
        p, f, s, names = count_directory(directory)
        print(f"{directory}: {p} passed, {f} failed, {s} skipped")
        for name in names:
            print(f"  failed: {name}")
        passed, failed, skipped = passed + p, failed + f, skipped + s
    if arguments.broken_builds:
        print(f"builds that failed: {arguments.broken_builds}")
    if skipped:
        print(f"skipped: {skipped}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
