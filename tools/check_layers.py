#!/usr/bin/env python3
"""Keeps the picture in docs/architecture.md true: rejects every include below src/ that it does not allow.

A folder may include itself, the folders that it lists, and what those list in turn. Third-party libraries are not handed
on: they belong to the folder that lists them, except for base's, which everybody may use. Prints each bad include as FILE:LINE and exits with 1 when there is one.
"""

import pathlib
import re
import sys

# The picture: folder -> what it may include besides itself. "backend/backend.h" is a single header, without the rest of its folder.
LAYERS = {
    "base": ["<fmt>", "<spdlog>"],
    "quant": ["base"],
    "gguf": ["quant"],
    "text": ["base", "<pcre2>"],
    "model": ["gguf", "text"],
    # Templates, conversations and what a model is asked with.
    "chat": ["model", "<pcre2>", "<json>"],
    # What makes files of other files, or of nothing.
    "forge": ["model"],
    "backend": ["quant"],
    "engine": ["model", "backend/backend.h"],
    "decode": ["engine"],
    "remote": ["decode", "<grpc>"],
    "record": ["base"],
    # The peaks that a machine can reach are measured with the kernels' own instruction sets.
    "judge": ["record"],
    "measure": ["decode", "judge", "backend/cpu/probes.h"],
    "store": ["record", "<sqlite>", "<json>"],
    "study": ["forge", "chat", "measure", "store", "<json>"],
    "render": ["study", "<json>"],
    "report": ["store"],
    "cli": ["backend", "remote", "render", "report", "<cli11>", "<json>"],
}

# Third-party headers by the name that LAYERS gives them. What matches none of these, SYSTEM or C++'s own is rejected.
THIRD_PARTY = {
    "<fmt>": r"fmt/.*",
    "<spdlog>": r"spdlog/.*",
    "<pcre2>": r"pcre2\.h",
    "<sqlite>": r"sqlite3\.h",
    "<grpc>": r"(grpcpp|grpc|google/protobuf)/.*",
    "<cli11>": r"CLI/.*",
    "<json>": r"nlohmann/.*",
}
TEST_LIBRARIES = r"(gtest|gmock|nlohmann)/.*"
SYSTEM = (
    r"[a-z0-9_]+|(sys|linux|netinet|arpa)/[a-z_]+\.h"
    r"|(cpuid|immintrin|stddef|stdint|fcntl|pthread|sched|signal|unistd|time|dirent)\.h"
)

# Kernels are compiled with instruction sets that the machine may lack. An inline function of any other header could be
# emitted with those instructions, and the linker could keep that copy for the whole program. The portable ones are
# compiled as everything else is, and follow the common rule.
KERNELS = "backend/cpu/kernels/"
KERNEL_HEADERS = r"immintrin\.h|stdint\.h|stddef\.h"

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


def allowed(folder):
    """All that `folder` may include: its list and, in turn, the lists of what is in it."""
    seen = set()
    pending = [folder]
    while pending:
        name = pending.pop()
        if name not in seen:
            seen.add(name)
            pending += LAYERS.get(name, [])
    return seen


def why_not(path, quoted, angled):
    """The reason why the file at `path` (relative to src/) may not include this, or None when it may."""
    folder = path.split("/")[0]
    name = path.split("/")[-1]
    is_test = name.endswith("_test.cc") or "/testing/" in path
    if path.startswith(KERNELS) and not is_test and "portable" not in name:
        good = quoted.startswith(KERNELS) if quoted else re.fullmatch(KERNEL_HEADERS, angled)
        return None if good else "kernels include nothing but <immintrin.h>, <stdint.h>, <stddef.h> and each other"
    if folder not in LAYERS:
        return f"the folder {folder}/ has no place in the picture (LAYERS in tools/check_layers.py)"
    may = allowed(folder)
    if angled:
        if re.fullmatch(SYSTEM, angled) or (is_test and re.fullmatch(TEST_LIBRARIES, angled)):
            return None
        libraries = [library for library, pattern in THIRD_PARTY.items() if re.fullmatch(pattern, angled)]
        if not libraries:
            return "a header of no known library"
        own = LAYERS[folder] + LAYERS["base"]
        return None if libraries[0] in own else f"{folder}/ may not use {libraries[0]}"
    other = quoted.split("/")[0]
    if other not in LAYERS:
        return "includes are relative to src/ and begin with the name of a folder there"
    if other not in may and quoted not in may:
        return f"{folder}/ may not include {quoted}"
    backends = r"backend/(ref|cpu|cuda)/"
    mine, its = re.match(backends, path), re.match(backends, quoted)
    if mine and its and mine.group(1) != its.group(1):
        return "a backend may not include another one"
    return None


def check(source_root):
    """All bad includes below `source_root`, as lines to print."""
    findings = []
    for file in sorted(source_root.rglob("*")):
        if file.suffix not in (".cc", ".h", ".inl"):
            continue
        path = file.relative_to(source_root).as_posix()
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            match = INCLUDE.match(line)
            if not match:
                continue
            reason = why_not(path, match.group(1) or "", match.group(2) or "")
            if reason:
                findings.append(f"{file}:{number}: {line.strip()}: {reason}")
    return findings


def main():
    findings = check(pathlib.Path(__file__).resolve().parent.parent / "src")
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
