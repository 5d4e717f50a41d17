#!/usr/bin/env python3
"""Compares Assay's tokenizers with Hugging Face's and SentencePiece's over random Unicode, and with known answers.

Needs the packages tokenizers, sentencepiece, protobuf and tiktoken, and build/tokenizer_driver; nothing else in the project does.

    tools/check_tokenizers.py pieces [NAME...]          the rules of each pre-tokenizer
    tools/check_tokenizers.py ids FOLDER [FILE...]      the ids of each vocabulary (*.gguf) in a folder, or of those named
    tools/check_tokenizers.py special FOLDER [FILE...]  the same with control tokens in the texts, taken as such
    tools/check_tokenizers.py known FOLDER              *.gguf with *.gguf.inp and *.gguf.out beside them
    tools/check_tokenizers.py shrink FOLDER             those as JSON, with what their texts need alone
    tools/check_tokenizers.py vocabulary SOURCE OUT.gguf [PRE]
                                                        a vocabulary alone: of a *.gguf, tokenizer.json, *.model or *.tekken

llama.cpp's models/ is such a folder; tests/data/known_tokenizers.json was made by "shrink" from it. The reference for
NAME.gguf is NAME.json (a tokenizer.json), NAME.model (SentencePiece) or NAME.tekken (tiktoken, from a tekken.json) where
one lies beside it, else it is made from the vocabulary itself. The texts follow from --seed alone, however many --jobs
share them; half of those for "ids" are full of the vocabulary's own tokens. After --seconds no further texts are begun.
"""

import argparse
import array
import base64
import functools
import json
import math
import mmap
import multiprocessing
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import time
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARD = 20000  # texts between two comparisons, and of one seed
SHOWN = 3  # differences that are printed


def split(pattern):
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Split(Regex(pattern), "isolated")


def digits(individual=True):
    from tokenizers import pre_tokenizers

    return pre_tokenizers.Digits(individual_digits=individual)


def byte_level():
    from tokenizers import pre_tokenizers

    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def punctuation(behavior):
    from tokenizers import pre_tokenizers

    return pre_tokenizers.Punctuation(behavior)


CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
WORDS = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
DEEPSEEK3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
DEEPSEEK_LETTERS = (
    r"\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-"
    r"\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-"
    r"\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-"
    r"\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}"
    r"\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-"
    r"\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}"
    r"\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-"
    r"\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}"
    r"\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}"
    r"\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}"
    r"\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-"
    r"\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}"
    r"\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}"
    r"\x{1E900}-\x{1E943}]+"
)
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
HAN_KANA = r"[一-龥぀-ゟ゠-ヿ]+"
CJK = r"[一-龥ࠀ-一가-퟿]+"


def cased(digits_pattern, contractions, tail=r"[\r\n/]*"):
    end = f"(?:{contractions})?" if contractions else ""
    rest = rf"|{digits_pattern}| ?[^\s\p{{L}}\p{{N}}]+{tail}|\s*[\r\n]+|\s+(?!\S)|\s+"
    lead = r"[^\r\n\p{L}\p{N}]?"
    return f"{lead}{UPPER}*{LOWER}+{end}|{lead}{UPPER}+{LOWER}*{end}{rest}"


def han_aware():
    upper, lower = rf"(?:(?!\p{{Han}}){UPPER})", rf"(?:(?!\p{{Han}}){LOWER})"
    lead = r"[^\r\n\p{L}\p{N}]?"
    return (
        rf"[\p{{Han}}]+|{lead}{upper}*{lower}+{CONTRACTIONS}?|{lead}{upper}+{lower}*{CONTRACTIONS}?|\p{{N}}{{1,3}}" + REST
    )


# The pre_tokenizer of each family's tokenizer.json, without the byte alphabet, by one of the family's names.
RULES = {
    "gpt-2": lambda: [byte_level()],
    "starcoder": lambda: [digits(), byte_level()],
    "falcon": lambda: [punctuation("contiguous"), byte_level(), split("[0-9][0-9][0-9]")],
    "default": lambda: [split(r"[\p{P}\$\+<=>\^~\|]+"), split(GPT2), split(r"\p{N}+"), split("[0-9][0-9][0-9]")],
    "chameleon": lambda: [
        split("<sentinel:[0-9]+>"),
        split("(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"),
        split(r"([\t\n]|    |  )"),
        digits(),
        punctuation("isolated"),
        byte_level(),
    ],
    "llama-bpe": lambda: [split(WORDS + r"|\p{N}{1,3}" + REST)],
    "glm4": lambda: [split(WORDS + r"|\p{N}{1,3}" + REST)],
    "jais-2": lambda: [
        split(
            WORDS
            + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
            + "|".join(rf"\s{{{n}}}(?!\S)" for n in (512, 256, 128, 64, 32, 16, 8, 4))
            + r"|\s{1,2}(?!\S)|\s{1}"
        )
    ],
    "minicpm5": lambda: [split(r"\p{N}{1,3}"), split(WORDS + r"|\p{N}+" + REST)],
    "qwen2": lambda: [split(WORDS + r"|\p{N}" + REST)],
    "laguna": lambda: [split(r"[^\n]+|[\n]+"), split(WORDS + r"|\p{N}" + REST)],
    "qwen35": lambda: [
        split(
            CONTRACTIONS
            + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )
    ],
    "seed-coder": lambda: [split(WORDS + r"|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+")],
    "bailingmoe": lambda: [
        split(
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
        )
    ],
    "exaone-moe": lambda: [
        split(
            CONTRACTIONS
            + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"
        )
    ],
    "tekken": lambda: [split(cased(r"\p{N}", ""))],
    "gpt-4o": lambda: [split(cased(r"\p{N}{1,3}", CONTRACTIONS))],
    "granite-embed-multi-97m": lambda: [split(cased(r"\p{N}{1,3}", CONTRACTIONS))],
    "tiny_aya": lambda: [split(r"\d{1,3}(?=(?:\d{3})*\b)"), split(cased(r"\p{N}{1,3}", CONTRACTIONS))],
    "youtu": lambda: [
        split(r"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|" + HAN_KANA),
        split(cased(r"\p{N}", CONTRACTIONS)),
    ],
    "kimi-k2": lambda: [split(han_aware())],
    "deepseek-v3": lambda: [split(r"\p{N}{1,3}"), split(HAN_KANA), split(DEEPSEEK3)],
    "deepseek-llm": lambda: [
        split("[\r\n]"),
        split(DEEPSEEK_LETTERS),
        split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"),
        split(r"\s+$"),
        split(CJK),
        digits(),
    ],
    "deepseek-coder": lambda: [split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(CJK), digits()],
    "afmoe": lambda: [
        split(r"\p{N}{1,3}(?=(?:\p{N}{3})*(?:\P{N}|\z))"),
        split(
            "[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0e7f"
            "\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+"
        ),
        split(DEEPSEEK3),
    ],
    "superbpe": lambda: [split(r"\p{N}+"), split(r"(?=(\d{3})+(?!\d))")],
    "bloom": lambda: [split(BLOOM)],
    "viking": lambda: [split(BLOOM), digits()],
}
RULES["command-r"] = RULES["refact"] = RULES["smollm"] = RULES["starcoder"]
RULES["mpt"] = RULES["gpt-2"]


def assigned(*ranges):
    """The characters of the ranges that Python's Unicode has, and those of its planes' beginnings that it may not have."""
    return [chr(c) for low, high in ranges for c in range(low, high + 1)
            if not 0xD800 <= c < 0xE000 and (unicodedata.category(chr(c)) != "Cn" or c < 0x20000)]


@functools.lru_cache(1)
def pools():
    everything = assigned((0, 0x323AF), (0xE0000, 0xE01FF), (0x10FFF0, 0x10FFFF))
    by_category = {}
    for char in everything:
        by_category.setdefault(unicodedata.category(char), []).append(char)
    return [by_category[c] for c in by_category if c not in ("Co", "Cs")] + [
        list("abcdefghijklmnopqrstuvwxyz"), list("abcdefghijklmnopqrstuvwxyz"), list("ABCXYZ"), list("0123456789"),
        list("0123456789"), list(" "), list(" "), list("\n"), list("\r\n\t "), list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
        list("\x0b\x0c\x1c\x1f\x85\xa0\u1680\u2000\u2028\u2029\u202f\u205f\u3000\u180e\u200b"),
        assigned((0x3000, 0x30FF)), assigned((0x4E00, 0x9FFF)), assigned((0xAC00, 0xD7A3)), assigned((0x400, 0x52F)),
        assigned((0x600, 0x6FF)), assigned((0x900, 0x97F)), assigned((0xE00, 0xEFF)), assigned((0x370, 0x3FF)),
        assigned((0x1F300, 0x1FAFF)), assigned((0xFF00, 0xFFEF)), assigned((0x80, 0x24F)), ["\ue000", "\U0010FFFD"],
        everything,
    ]


PHRASES = ["'s", "'S", "'t", "'re", "'RE", "'Ve", "'m", "'ll", "'LL", "'d", "'\u017f", "n't", "    ", "  ", "...",
           "<sentinel:12>", "IMGIMGABCZ", "cafe\u0301", "\U0001F469\u200D\U0001F680", "Hello", " world", " The",
           "12345678", " 2026", "3.14", "\r\n\r\n", "://", "\u2581", "\ufeff", "\ufffd", "\u00bd12", "123abc"]


class Texts:
    """Random texts, short for most part and unlike prose: runs of characters of one kind, and what the rules look for."""

    def __init__(self, seed, words):
        self.random, self.words = random.Random(seed), words

    def part(self, wordy):
        chance = self.random.random()
        if wordy and chance < 0.6:
            return self.random.choice(self.words)
        if chance < 0.3:
            return self.random.choice(PHRASES)
        pool = self.random.choice(pools())
        if chance > 0.998:
            return self.random.choice(pool) * self.random.randint(8, 700)
        return "".join(self.random.choices(pool, k=self.random.randint(1, 7)))

    def text(self):
        wordy = bool(self.words) and self.random.random() < 0.5
        most = 6 if self.random.random() < 0.97 else 60
        return "".join([self.part(wordy) for _ in range(self.random.randint(1, most))])


class Driver:
    def __init__(self, *words):
        self.words = [os.environ.get("TOKENIZER_DRIVER", str(ROOT / "build" / "tokenizer_driver")), *map(str, words)]

    def answers(self, texts):
        """Numbers as bytes (32 bits each) for each text (bytes); None where a byte has no token."""
        data = b"".join(struct.pack("<I", len(text)) + text for text in texts)
        result = subprocess.run(self.words, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True).stdout
        answers, at = [], 0
        while at < len(result):
            (count,) = struct.unpack_from("<I", result, at)
            at += 4
            if count == 0xFFFFFFFF:
                answers.append(None)
                continue
            answers.append(result[at:at + 4 * count])
            at += 4 * count
        if len(answers) != len(texts):
            raise RuntimeError(f"{' '.join(self.words)}: {len(answers)} answers to {len(texts)} texts")
        return answers


def packed(numbers):
    return array.array("i", numbers).tobytes()


class Findings:
    """What was compared under one name, and what differed."""

    def __init__(self, name):
        self.name, self.count, self.differences, self.unspoken, self.marked, self.shown = name, 0, 0, 0, 0, []

    def compare(self, texts, ours, theirs, lacking=b"", marks=lambda text: None):
        """lacking: the bytes without a token. A text with one is refused here; Hugging Face leaves the byte out. marks:
        see marks_of."""
        for text, here, there in zip(texts, ours, theirs, strict=True):
            self.count += 1
            if here is None and any(byte in lacking for byte in text):
                self.unspoken += 1
            elif here is not None and here == packed(there):
                continue
            elif here is not None and here == marks(text.decode(errors="replace")):
                self.marked += 1
            else:
                self.differences += 1
                self.shown.append((text, here and list(array.array("i", here)), list(there)))
        del self.shown[SHOWN:]

    def add(self, other):
        self.count += other.count
        self.differences += other.differences
        self.unspoken += other.unspoken
        self.marked += other.marked
        self.shown = (self.shown + other.shown)[:SHOWN]

    def report(self):
        note = f" ({self.unspoken} refused for a byte without a token)" if self.unspoken else ""
        note += f" ({self.marked} with U+2581 beside a space as SentencePiece has it)" if self.marked else ""
        print(f"{self.name}: {self.count} texts, {self.differences} differ{note}", flush=True)
        for text, ours, theirs in self.shown:
            print(f"  {text.decode(errors='replace')!r}\n    Assay:     {ours}\n    reference: {theirs}")
        return bool(self.differences)


class Contender:
    """A driver, and a function from texts to the reference's answers; words: what the vocabulary has tokens for."""

    def __init__(self, name, driver, reference, words=(), **exceptions):
        self.name, self.driver, self.reference, self.words, self.exceptions = name, driver, reference, words, exceptions

    def compare(self, seed, count, findings):
        source = Texts(seed, self.words)
        texts = [source.text() for _ in range(count)]
        encoded = [text.encode() for text in texts]
        findings.compare(encoded, self.driver.answers(encoded), self.reference(texts), **self.exceptions)


def compare_part(task):
    maker, first, last, options = task
    contender = maker()
    findings = Findings(contender.name)
    for start in range(first, last, SHARD):
        if time.monotonic() < options.end:
            contender.compare(f"{options.seed}/{start}", min(SHARD, last - start), findings)
    return findings


def compare_all(makers, options):
    """makers: of contenders, each called in the process that needs it. True when something differs."""
    options.end = time.monotonic() + options.seconds
    parts = math.ceil(4 * options.jobs / len(makers)) if options.jobs > 1 else 1  # of a contender's texts
    size = math.ceil(options.texts / parts / SHARD) * SHARD
    starts = range(0, options.texts, size)
    tasks = [(maker, at, min(at + size, options.texts), options) for maker in makers for at in starts]
    differs = False
    with multiprocessing.get_context("fork").Pool(options.jobs, maxtasksperchild=1) as pool:
        done = pool.imap(compare_part, tasks)
        for _ in makers:
            findings = next(done)
            for _ in starts[1:]:
                findings.add(next(done))
            differs |= findings.report()
    return differs


def pieces_of(name):
    from tokenizers import pre_tokenizers

    rules = pre_tokenizers.Sequence(RULES[name]())

    def sizes(texts):
        for text in texts:
            pieces = [span for _, span in rules.pre_tokenize_str(text)]
            yield [len(text[a:b].encode()) for a, b in pieces] if not text.isascii() else [b - a for a, b in pieces]

    return Contender(name, Driver("pieces", name), sizes)


GGUF_SCALARS = ("B", "b", "H", "h", "I", "i", "f", "?", None, None, "Q", "q", "d")
GGUF_STRING, GGUF_ARRAY = 8, 9


def read_gguf(path):
    """The keys and values of a GGUF file, and their types."""
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    at = 24

    def scalars(letter, count):
        nonlocal at
        values = struct.unpack_from(f"<{count}{letter}", data, at)
        at += struct.calcsize(f"<{count}{letter}")
        return list(values)

    def string():
        nonlocal at
        (size,) = scalars("Q", 1)
        at += size
        return data[at - size:at].decode(errors="surrogateescape")

    def values(kind, count):
        return [string() for _ in range(count)] if kind == GGUF_STRING else scalars(GGUF_SCALARS[kind], count)

    fields, kinds = {}, {}
    for _ in range(struct.unpack_from("<Q", data, 16)[0]):
        key, (kind,) = string(), scalars("I", 1)
        if kind == GGUF_ARRAY:
            (kind,), (count,) = scalars("I", 1), scalars("Q", 1)
            fields[key], kinds[key] = values(kind, count), (kind, True)
        else:
            fields[key], kinds[key] = values(kind, 1)[0], (kind, False)
    return fields, kinds


def write_gguf(path, fields, kinds):
    """A GGUF file (version 3) without tensors."""
    def string(text):
        encoded = text.encode(errors="surrogateescape")
        return struct.pack("<Q", len(encoded)) + encoded

    def values(kind, them):
        if kind == GGUF_STRING:
            return b"".join(map(string, them))
        return struct.pack(f"<{len(them)}{GGUF_SCALARS[kind]}", *them)

    parts = [b"GGUF", struct.pack("<IQQ", 3, 0, len(fields))]
    for key, value in fields.items():
        kind, is_array = kinds[key]
        lead = struct.pack("<IIQ", GGUF_ARRAY, kind, len(value)) if is_array else struct.pack("<I", kind)
        parts += [string(key), lead, values(kind, value if is_array else [value])]
    path.write_bytes(b"".join(parts))


def read_vocabulary(path):
    prefix = "tokenizer.ggml."
    return {key[len(prefix):]: value for key, value in read_gguf(path)[0].items() if key.startswith(prefix)}


def specials(vocab, kinds):
    return [i for i, kind in enumerate(vocab["token_type"]) if kind in kinds and vocab["tokens"][i] != f"[PAD{i}]"]


def added(tokens):
    from tokenizers import AddedToken

    return [AddedToken(token, normalized=False, special=False) for token in tokens]


def hugging_face(vocab, special):
    """The reference tokenizer of a "gpt2" or "gemma4" vocabulary."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    spelled = vocab["model"] == "gemma4"
    left_out = set(specials(vocab, (3, 4))) if not spelled else set()
    tokens = {}
    for i, token in enumerate(vocab["tokens"]):  # without a hole: added tokens get the ids from the size on
        tokens[f"\0{i}" if i in left_out or token in tokens else token] = i
    merges = [tuple(merge.split(" ")) for merge in vocab["merges"]]
    if spelled:
        model = models.BPE(tokens, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    else:
        whole = vocab.get("pre") in ("llama-bpe", "tekken", "minicpm5", "youtu", "granite-embed-multi-97m")
        model = models.BPE(tokens, merges, ignore_merges=whole)
    tokenizer = Tokenizer(model)
    if spelled:
        tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    else:
        rules = RULES[vocab.get("pre", "default")]()
        if vocab.get("pre") == "falcon":  # which cuts at the numbers among the byte alphabet's letters, too
            rules.insert(2, digits(individual=False))
        if not any(isinstance(rule, pre_tokenizers.ByteLevel) for rule in rules):
            rules.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(rules)
    # User-defined ones are always taken out of the text; here they are found by their own ids, so the order is theirs.
    tokenizer.add_tokens(added(vocab["tokens"][i] for i in specials(vocab, (3, 4) if special else (4,))))
    return tokenizer


def sentencepiece(vocab, model):
    """The reference tokenizer of a "llama" vocabulary: the file model where it exists."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    if model.exists():
        return sentencepiece.SentencePieceProcessor(model_file=str(model))
    proto = sentencepiece_model_pb2.ModelProto()
    for i, (token, score, kind) in enumerate(zip(vocab["tokens"], vocab["scores"], vocab["token_type"])):
        first_unknown = kind == 2 and i == vocab["token_type"].index(2)
        piece = token.replace(" ", "\u2581") if kind == 4 else token  # which the converter of tokenizer.json unescapes
        proto.pieces.add(piece=piece, score=score, type=kind if kind != 2 or first_unknown else 3)
    proto.trainer_spec.model_type = 2  # BPE
    proto.trainer_spec.byte_fallback = 6 in vocab["token_type"]
    proto.normalizer_spec.name = "identity"
    proto.normalizer_spec.add_dummy_prefix = vocab.get("add_space_prefix", True)
    proto.normalizer_spec.remove_extra_whitespaces = False
    proto.normalizer_spec.escape_whitespaces = True
    return sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())


def marks_of(path, vocab):
    """SentencePiece's answer (bytes) to a text with U+2581 beside a space, where the reference is a tokenizer.json: that
    finds user-defined runs of U+2581 in the text as it is written, SentencePiece in the text whose spaces are U+2581."""
    if vocab["model"] != "llama" or not path.with_suffix(".json").exists():
        return lambda text: None
    processor = sentencepiece(vocab, path.with_suffix(".model"))
    return lambda text: packed(processor.encode(text)) if re.search("\u2581 | \u2581", text) else None


def ends_by_name(vocab):
    """Tokens that are plain text in the file, but control tokens here and in llama.cpp, which knows ends by their names."""
    names = {"<|endoftext|>"} if "<|tool_response>" in vocab["tokens"] else {"<|endoftext|>", "</s>"}
    return [token for token, kind in zip(vocab["tokens"], vocab["token_type"]) if kind == 1 and token in names]


def published(path):
    """The tokenizer of a tokenizer.json, without Unicode normalisation."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    if type(tokenizer.normalizer).__name__ == "NFC":
        tokenizer.normalizer = None
    return tokenizer


def bpe_ids(tokenizer, number):
    """number: of each of the tokenizer's ids in the vocabulary."""
    def ids(texts):
        for start in range(0, len(texts), 1000):
            for encoding in tokenizer.encode_batch(texts[start:start + 1000], add_special_tokens=False):
                yield [number[token] for token in encoding.ids]

    return ids


def sentencepiece_ids(processor):
    return lambda texts: (processor.encode(text) for text in texts)


def read_tekken(path):
    """The tokens of a tekken.json, by rank, and how many special ones come before them."""
    content = json.loads(path.read_text())
    before = content["config"]["default_num_special_tokens"]
    count = content["config"]["default_vocab_size"] - before
    tokens = [base64.b64decode(entry["token_bytes"]) for entry in content["vocab"][:count]]
    return content["config"]["pattern"], tokens, before


def tekken_ids(path, special):
    import tiktoken

    pattern, tokens, before = read_tekken(path)
    ranks = {token: rank for rank, token in enumerate(tokens)}
    named = {f"<SPECIAL_{i}>": len(tokens) + i for i in range(before)} if special else {}
    encoding = tiktoken.Encoding("tekken", pat_str=pattern, mergeable_ranks=ranks, special_tokens=named)
    size = len(tokens) + before  # the special ones are the last to tiktoken, the first in the vocabulary
    encode = functools.partial(encoding.encode, allowed_special="all")
    return lambda texts: ([(before + rank) % size for rank in encode(text)] for text in texts)


def reference_of(path, vocab, special):
    if path.with_suffix(".tekken").exists():
        return tekken_ids(path.with_suffix(".tekken"), special)
    is_published = path.with_suffix(".json").exists()
    if vocab["model"] == "llama" and not is_published:
        return sentencepiece_ids(sentencepiece(vocab, path.with_suffix(".model")))
    tokenizer = published(path.with_suffix(".json")) if is_published else hugging_face(vocab, special)
    if special:
        tokenizer.add_tokens(added(ends_by_name(vocab)))
    if is_published:
        return bpe_ids(tokenizer, range(len(vocab["tokens"])))
    # Added tokens have ids of their own there: compare by text.
    by_text = {token: i for i, token in reversed(list(enumerate(vocab["tokens"])))}
    number = {i: by_text.get(token) for token, i in tokenizer.get_vocab().items()}
    return bpe_ids(tokenizer, number)


def spelling(vocab):
    """A function from a token to the bytes that it stands for."""
    alphabet = byte_alphabet()
    if vocab["model"] == "gpt2":
        return lambda token: bytes(alphabet[c] for c in token) if all(c in alphabet for c in token) else token.encode()
    return lambda token: token.replace("\u2581", " ").encode()


def words_of(vocab, special):
    """The tokens of a vocabulary that a text can be made of: no bytes alone. With special ones, these are a third."""
    bytes_of, words = spelling(vocab), []
    for token, kind in zip(vocab["tokens"], vocab["token_type"]):
        if kind in (1, 4):
            try:
                words.append(bytes_of(token).decode())
            except UnicodeDecodeError:
                pass
    control = [token for token, kind in zip(vocab["tokens"], vocab["token_type"]) if kind == 3] if special else []
    return words + control * (len(words) // (2 * max(1, len(control))))


def ids_of(path, special):
    vocab = read_vocabulary(path)
    lacking = b""
    if vocab["model"] == "gpt2":
        tokens = set(vocab["tokens"])
        lacking = bytes(byte for char, byte in byte_alphabet().items() if char not in tokens)
    driver = Driver("ids", path, "special" if special else "plain")
    reference, words = reference_of(path, vocab, special), words_of(vocab, special)
    return Contender(path.name, driver, reference, words, lacking=lacking, marks=marks_of(path, vocab))


def byte_level_fields(pre, pairs, merges):
    """The fields of a GGUF file and their types; pairs: each token and its type."""
    prefix = "tokenizer.ggml."
    fields = {"general.architecture": "llama", prefix + "model": "gpt2", prefix + "pre": pre,
              prefix + "tokens": [text for text, _ in pairs], prefix + "token_type": [kind for _, kind in pairs],
              prefix + "merges": merges}
    return fields, {key: (5 if key.endswith("type") else GGUF_STRING, isinstance(fields[key], list)) for key in fields}


def vocabulary_of_json(path, pre):
    content = json.loads(path.read_text())
    model, added = content["model"], content["added_tokens"]
    by_id = {i: (token, 1) for token, i in model["vocab"].items()}
    by_id.update({a["id"]: (a["content"], 3 if a["special"] else 4) for a in added})
    pairs = [by_id.get(i, (f"[PAD{i}]", 5)) for i in range(max(by_id) + 1)]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return byte_level_fields(pre, pairs, merges)


def vocabulary_of_sentencepiece(path):
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes())
    if proto.trainer_spec.model_type != 2:
        sys.exit(f"{path}: no BPE")
    prefix = "tokenizer.ggml."
    fields = {"general.architecture": "llama", prefix + "model": "llama",
              prefix + "tokens": [piece.piece for piece in proto.pieces],
              prefix + "scores": [piece.score for piece in proto.pieces],
              prefix + "token_type": [piece.type for piece in proto.pieces],
              prefix + "unknown_token_id": max(proto.trainer_spec.unk_id, 0),
              prefix + "add_space_prefix": proto.normalizer_spec.add_dummy_prefix}
    kinds = {"scores": 6, "token_type": 5, "unknown_token_id": 4, "add_space_prefix": 7}
    return fields, {key: (kinds.get(key.removeprefix(prefix), GGUF_STRING), isinstance(fields[key], list)) for key in fields}


def halves(token, ranks):
    """The two tokens that merge into this one: what the merges of lower rank make of its bytes."""
    parts = [token[i:i + 1] for i in range(len(token))]
    while len(parts) > 2:
        at = min(range(len(parts) - 1), key=lambda i: ranks.get(parts[i] + parts[i + 1], len(ranks)))
        parts[at:at + 2] = [parts[at] + parts[at + 1]]
    return parts


def vocabulary_of_tekken(path, pre):
    _, tokens, before = read_tekken(path)
    ranks = {token: rank for rank, token in enumerate(tokens)}
    letters = {byte: char for char, byte in byte_alphabet().items()}

    def spelled(token):
        return "".join(letters[byte] for byte in token)

    pairs = [(f"<SPECIAL_{i}>", 3) for i in range(before)] + [(spelled(token), 1) for token in tokens]
    merges = [" ".join(map(spelled, halves(token, ranks))) for token in tokens if len(token) > 1]
    return byte_level_fields(pre, pairs, merges)


def make_vocabulary(source, target, pre):
    if source.suffix == ".json":
        fields, kinds = vocabulary_of_json(source, pre)
    elif source.suffix == ".tekken":
        fields, kinds = vocabulary_of_tekken(source, pre)
    elif source.suffix == ".gguf":
        fields, kinds = read_gguf(source)
        fields = {key: value for key, value in fields.items() if key.split(".")[0] in ("general", "tokenizer")}
    else:
        fields, kinds = vocabulary_of_sentencepiece(source)
    write_gguf(target, fields, kinds)


def known_answers(path):
    texts = path.with_name(path.name + ".inp").read_bytes().split(b"\n__ggml_vocab_test__\n")
    lines = path.with_name(path.name + ".out").read_text().split("\n")
    wanted = [[int(word) for word in line.split()] for line in lines][: len(texts)]
    return texts[: len(wanted)], wanted


def check_known(path):
    texts, wanted = known_answers(path)
    found = Findings(path.name)
    found.compare(texts, Driver("ids", path, "plain").answers(texts), wanted)
    return found.report()


def byte_alphabet():
    printed = [b for b in range(256) if 0x20 < b < 0x7F or (b > 0xA0 and b != 0xAD)]
    others = [b for b in range(256) if b not in printed]
    return {**{chr(b): b for b in printed}, **{chr(256 + i): b for i, b in enumerate(others)}}


def shrink(path):
    """The vocabulary without the tokens that no part of its texts can become: the same ids, by new numbers."""
    vocab, (texts, wanted) = read_vocabulary(path), known_answers(path)
    bytes_of = spelling(vocab)
    haystack = b"\0".join(texts if vocab["model"] == "gpt2" else [b" " + t.replace("\u2581".encode(), b" ") for t in texts])
    used = {i for ids in wanted for i in ids}
    kept = [i for i, (token, kind) in enumerate(zip(vocab["tokens"], vocab["token_type"]))
            if i in used or kind in (2, 6) or bytes_of(token) in haystack]
    number = {old: new for new, old in enumerate(kept)}
    kept_texts = {vocab["tokens"][i] for i in kept}
    small = {
        "name": path.name.removeprefix("ggml-vocab-").removesuffix(".gguf"),
        "model": vocab["model"],
        "pre": vocab.get("pre", ""),
        "tokens": [vocab["tokens"][i] for i in kept],
        "token_type": [vocab["token_type"][i] for i in kept],
        "texts": [text.decode() for text in texts],
        "ids": [[number[i] for i in ids] for ids in wanted],
    }
    if vocab["model"] == "llama":
        small["scores"] = [vocab["scores"][i] for i in kept]
    else:
        small["merges"] = [m for m in vocab["merges"] if m.replace(" ", "") in kept_texts]
    return small


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["pieces", "ids", "special", "known", "shrink", "vocabulary"])
    parser.add_argument("where", nargs="*", help="names of rules, or one folder")
    parser.add_argument("--texts", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=math.inf)
    options = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are enough
    if options.what == "pieces":
        return compare_all([functools.partial(pieces_of, name) for name in options.where or sorted(RULES)], options)
    if options.what == "vocabulary":
        return make_vocabulary(*map(pathlib.Path, options.where[:2]), "".join(options.where[2:]))
    folder = pathlib.Path(options.where[0])
    files = [folder / name for name in options.where[1:]] or sorted(folder.glob("*.gguf"))
    if options.what in ("ids", "special"):
        # SentencePiece knows no control tokens in texts.
        known_models = ("gpt2", "gemma4", "llama") if options.what == "ids" else ("gpt2", "gemma4")
        named = [f for f in files if read_vocabulary(f)["model"] in known_models]
        return compare_all([functools.partial(ids_of, f, options.what == "special") for f in named], options)
    known = [f for f in files if f.with_name(f.name + ".out").exists() and read_vocabulary(f)["model"] != "bert"]
    if options.what == "known":
        return any([check_known(f) for f in known])
    json.dump([shrink(f) for f in known], sys.stdout, ensure_ascii=False, separators=(",", ":"))
    return False


if __name__ == "__main__":
    sys.exit(main())
