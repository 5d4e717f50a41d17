#!/usr/bin/env python3
"""check_layers.py must catch each kind of bad include, and leave the good ones alone."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import check_layers  # noqa: E402  (the path has to be set first)

GOOD = [
    ("base/a.cc", "<vector>"),
    ("base/a.cc", "<sys/mman.h>"),
    ("base/a.cc", "<fmt/format.h>"),
    ("quant/a.cc", '"base/error.h"'),
    ("model/arch/a.cc", '"base/error.h"'),
    ("engine/a.cc", '"backend/backend.h"'),
    ("measure/a.cc", '"backend/backend.h"'),
    ("text/a.cc", "<pcre2.h>"),
    ("store/a_test.cc", "<gtest/gtest.h>"),
    ("store/testing/directory.h", "<gtest/gtest.h>"),
    ("cli/commands/a.cc", '"backend/cpu/cpu_backend.h"'),
    ("cli/commands/a.cc", "<nlohmann/json.hpp>"),
    ("backend/registry.cc", '"backend/cpu/cpu_backend.h"'),
    ("backend/cpu/kernels/a.cc", "<immintrin.h>"),
    ("backend/cpu/kernels/a.cc", '"backend/cpu/kernels/table.h"'),
    ("backend/cpu/kernels/portable.cc", '"base/half.h"'),
    ("measure/probe.cc", '"backend/cpu/probes.h"'),
]

BAD = [
    ("base/a.cc", '"quant/formats.h"'),
    ("quant/a.h", '"gguf/gguf.h"'),
    ("engine/a.cc", '"backend/cpu/cpu_backend.h"'),
    ("model/a.cc", '"backend/backend.h"'),
    ("report/a.cc", '"engine/session.h"'),
    ("report/a.cc", '"measure/probe.h"'),
    ("store/a.cc", '"measure/probe.h"'),
    ("gguf/a.cc", "<sqlite3.h>"),
    ("engine/a.cc", "<pcre2.h>"),
    ("quant/a.cc", "<gtest/gtest.h>"),
    ("measure/a.cc", '"backend/cpu/cpu_backend.h"'),
    ("study/a.cc", "<sqlite3.h>"),
    ("quant/a.cc", "<boost/any.hpp>"),
    ("backend/cpu/a.cc", '"backend/ref/ref_backend.h"'),
    ("backend/cpu/kernels/a.cc", "<vector>"),
    ("backend/cpu/kernels/a.cc", '"base/half.h"'),
    ("quant/a.cc", '"formats.h"'),
    ("quant/a.cc", '"../base/error.h"'),
    ("novel/a.cc", "<vector>"),
]


class CheckLayersTest(unittest.TestCase):
    def findings(self, path, include):
        with tempfile.TemporaryDirectory() as directory:
            file = pathlib.Path(directory) / path
            file.parent.mkdir(parents=True)
            file.write_text(f"// a comment\n#include {include}\n", encoding="utf-8")
            return check_layers.check(pathlib.Path(directory))

    def test_good_includes_pass(self):
        for path, include in GOOD:
            with self.subTest(path=path, include=include):
                self.assertEqual(self.findings(path, include), [])

    def test_bad_includes_are_found_with_their_line(self):
        for path, include in BAD:
            with self.subTest(path=path, include=include):
                found = self.findings(path, include)
                self.assertEqual(len(found), 1)
                self.assertIn(f"{path}:2: #include {include}", found[0])

    def test_every_folder_of_src_is_in_the_picture(self):
        source = pathlib.Path(__file__).resolve().parent.parent / "src"
        folders = {entry.name for entry in source.iterdir() if entry.is_dir()}
        self.assertLessEqual(folders, set(check_layers.LAYERS))

    def test_the_picture_has_no_circle(self):
        for folder, listed in check_layers.LAYERS.items():
            for other in listed:
                self.assertNotIn(folder, check_layers.allowed(other), f"{folder} <- {other}")


if __name__ == "__main__":
    unittest.main()
