#!/usr/bin/env python3
"""Writes the vocabulary of a GGUF file (its tokenizer.ggml.* metadata) as compact JSON.

usage: extract_vocab.py MODEL.gguf OUT.json

tests/data/tiny_vocab.json was made with it from models/tiny-qwen35.gguf, so that the tokenizer's tests need no GGUF
reader.
"""

import json
import struct
import sys

PREFIX = "tokenizer.ggml."
STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


class Reader:
    def __init__(self, file):
        self.file = file

    def scalar(self, code):
        size = struct.calcsize("<" + code)
        return struct.unpack("<" + code, self.file.read(size))[0]

    def string(self):
        return self.file.read(self.scalar("Q")).decode("utf-8")

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            item, count = self.scalar("I"), self.scalar("Q")
            return [self.value(item) for _ in range(count)]
        return self.scalar(SCALARS[kind])


def read_vocab(path):
    with open(path, "rb") as file:
        reader = Reader(file)
        if file.read(4) != b"GGUF" or reader.scalar("I") not in (2, 3):
            sys.exit(f"{path}: not a GGUF file of version 2 or 3")
        reader.scalar("Q")  # tensors
        vocab = {}
        for _ in range(reader.scalar("Q")):
            key = reader.string()
            value = reader.value(reader.scalar("I"))
            if key.startswith(PREFIX):
                vocab[key[len(PREFIX):]] = value
        return vocab


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    vocab = read_vocab(sys.argv[1])
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        json.dump(vocab, out, ensure_ascii=False, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
