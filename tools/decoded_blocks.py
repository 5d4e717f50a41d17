#!/usr/bin/env python3
"""Makes tests/data/decoded_blocks.json: random blocks of every format as the package gguf (PyPI, 0.19) decodes them.

    tools/decoded_blocks.py > tests/data/decoded_blocks.json
"""
import json

import numpy
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

# Where a block has its scales in half precision, which random bits would make infinite.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": []}


def main():
    random = numpy.random.default_rng(1)
    cases = {}
    for name, halves in HALVES.items():
        kind = GGMLQuantizationType[name]
        values, size = GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, (max(1, 128 // values), size), dtype=numpy.uint8)
        for at in halves:
            blocks[:, at:at + 2] = random.normal(size=(len(blocks), 1)).astype(numpy.float16).view(numpy.uint8)
        if name == "MXFP4":  # powers of two from the subnormal floats to the largest whose multiples are finite
            blocks[:, 0] = [0, 1, 126, 252]
        decoded = dequantize(blocks, kind).astype("<f4")
        cases[name] = {"bytes": blocks.tobytes().hex(), "floats": decoded.tobytes().hex()}
    print(json.dumps(cases, indent=0))


if __name__ == "__main__":
    main()
