#!/usr/bin/env python3
"""Compares Assay's tokenizers with Hugging Face's and SentencePiece's over random Unicode, and with known answers.

Needs the packages tokenizers, sentencepiece, protobuf and gguf, and build/tokenizer_driver; nothing else in the project does.

    tools/check_tokenizers.py pieces [--texts N] [--seed S] [NAME...]     the rules of each pre-tokenizer
    tools/check_tokenizers.py ids FOLDER [--texts N] [--seed S]           the ids of each vocabulary (*.gguf) in a folder
    tools/check_tokenizers.py known FOLDER                                *.gguf with *.gguf.inp and *.gguf.out beside them
    tools/check_tokenizers.py shrink FOLDER                               those as JSON, with what their texts need alone

llama.cpp's models/ is such a folder; tests/data/known_tokenizers.json was made by "shrink" from it.
"""

import argparse
import json
import pathlib
import random
import struct
import subprocess
import sys
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHUNK = 20000  # texts between two comparisons


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


class Texts:
    """Random texts, short and unlike prose: runs of characters of one kind, and what the rules look for."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        everything = assigned((0, 0x323AF), (0xE0000, 0xE01FF), (0x10FFF0, 0x10FFFF))
        by_category = {}
        for char in everything:
            by_category.setdefault(unicodedata.category(char), []).append(char)
        self.pools = [list(by_category[c]) for c in by_category if c not in ("Co", "Cs")] + [
            list("abcdefghijklmnopqrstuvwxyz"), list("abcdefghijklmnopqrstuvwxyz"), list("ABCXYZ"), list("0123456789"),
            list("0123456789"), list(" "), list(" "), list("\n"), list("\r\n\t "), list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
            list("\x0b\x0c\x1c\x1f\x85\xa0\u1680\u2000\u2028\u2029\u202f\u205f\u3000\u180e\u200b"),
            assigned((0x3000, 0x30FF)), assigned((0x4E00, 0x9FFF)), assigned((0xAC00, 0xD7A3)), assigned((0x400, 0x52F)),
            assigned((0x600, 0x6FF)), assigned((0x900, 0x97F)), assigned((0xE00, 0xEFF)), assigned((0x370, 0x3FF)),
            assigned((0x1F300, 0x1FAFF)), assigned((0xFF00, 0xFFEF)), assigned((0x80, 0x24F)), ["\ue000", "\U0010FFFD"],
            everything,
        ]
        self.phrases = ["'s", "'S", "'t", "'re", "'RE", "'Ve", "'m", "'ll", "'LL", "'d", "'\u017f", "n't", "    ", "  ", "...",
                        "<sentinel:12>", "IMGIMGABCZ", "cafe\u0301", "\U0001F469\u200D\U0001F680", "Hello", " world", " The",
                        "12345678", " 2026", "3.14", "\r\n\r\n", "://", "\u2581", "\ufeff", "\ufffd", "\u00bd12", "123abc"]

    def text(self):
        parts = []
        for _ in range(self.random.randint(1, 6)):
            if self.random.random() < 0.3:
                parts.append(self.random.choice(self.phrases))
            else:
                pool = self.random.choice(self.pools)
                parts.extend(self.random.choices(pool, k=self.random.randint(1, 7)))
        return "".join(parts)


class Driver:
    def __init__(self, *words):
        self.words = [str(ROOT / "build" / "tokenizer_driver"), *map(str, words)]

    def answers(self, texts):
        """One list of numbers for each text (bytes); None where a byte has no token."""
        data = b"".join(struct.pack("<I", len(text)) + text for text in texts)
        result = subprocess.run(self.words, input=data, stdout=subprocess.PIPE, check=True).stdout
        answers, at = [], 0
        while at < len(result):
            (count,) = struct.unpack_from("<I", result, at)
            at += 4
            if count == 0xFFFFFFFF:
                answers.append(None)
                continue
            answers.append(list(struct.unpack_from(f"<{count}i", result, at)))
            at += 4 * count
        return answers


class Findings:
    """What was compared under one name, and what differed."""

    def __init__(self, name):
        self.name, self.count, self.differences, self.unspoken = name, 0, [], 0

    def compare(self, texts, ours, theirs):
        for text, here, there in zip(texts, ours, theirs):
            self.count += 1
            if here is None:  # a byte without a token: Hugging Face leaves it out
                self.unspoken += 1
            elif here != there:
                self.differences.append((text, here, there))

    def report(self):
        note = f" ({self.unspoken} need a byte without a token)" if self.unspoken else ""
        print(f"{self.name}: {self.count} texts, {len(self.differences)} differ{note}", flush=True)
        for text, ours, theirs in self.differences[:3]:
            print(f"  {text!r}\n    Assay:     {ours}\n    reference: {theirs}")
        return bool(self.differences)


def compare_all(contenders, options):
    """contenders: (name, driver, a function from texts to the reference's answers). True when something differs."""
    texts = Texts(options.seed)
    findings = [Findings(name) for name, _, _ in contenders]
    for start in range(0, options.texts, CHUNK):
        batch = [texts.text() for _ in range(min(CHUNK, options.texts - start))]
        encoded = [text.encode() for text in batch]
        for found, (_, driver, reference) in zip(findings, contenders):
            found.compare(batch, driver.answers(encoded), reference(batch))
    return any([found.report() for found in findings])


def pieces_of(name):
    from tokenizers import pre_tokenizers

    rules = pre_tokenizers.Sequence(RULES[name]())

    def sizes(texts):
        for text in texts:
            pieces = [span for _, span in rules.pre_tokenize_str(text)]
            yield [len(text[a:b].encode()) for a, b in pieces] if not text.isascii() else [b - a for a, b in pieces]

    return name, Driver("pieces", name), sizes


def read_vocabulary(path):
    import gguf

    fields = gguf.GGUFReader(path).fields
    prefix = "tokenizer.ggml."
    return {key[len(prefix):]: field.contents() for key, field in fields.items() if key.startswith(prefix)}


def specials(vocab, kinds):
    return [i for i, kind in enumerate(vocab["token_type"]) if kind in kinds and vocab["tokens"][i] != f"[PAD{i}]"]


def hugging_face(vocab):
    """The reference tokenizer of a "gpt2" or "gemma4" vocabulary."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

    spelled = vocab["model"] == "gemma4"
    left_out = set(specials(vocab, (3, 4))) if not spelled else set()
    tokens = {token: i for i, token in enumerate(vocab["tokens"]) if i not in left_out}
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
    for i in specials(vocab, (4,)):
        tokenizer.add_tokens([AddedToken(vocab["tokens"][i], normalized=False, special=False)])
    return tokenizer


def sentencepiece(vocab):
    """The reference tokenizer of a "llama" vocabulary."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    for i, (token, score, kind) in enumerate(zip(vocab["tokens"], vocab["scores"], vocab["token_type"])):
        first_unknown = kind == 2 and i == vocab["token_type"].index(2)
        # Converters write the spaces of user-defined pieces as spaces.
        piece = token.replace(" ", "\u2581") if kind == 4 else token
        proto.pieces.add(piece=piece, score=score, type=kind if kind != 2 or first_unknown else 3)
    proto.trainer_spec.model_type = 2  # BPE
    proto.trainer_spec.byte_fallback = 6 in vocab["token_type"]
    proto.normalizer_spec.name = "identity"
    proto.normalizer_spec.add_dummy_prefix = vocab.get("add_space_prefix", True)
    proto.normalizer_spec.remove_extra_whitespaces = False
    proto.normalizer_spec.escape_whitespaces = True
    return sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())


def ids_of(path):
    vocab = read_vocabulary(path)
    driver = Driver("ids", path, "plain")
    if vocab["model"] == "llama":
        processor = sentencepiece(vocab)
        return path.name, driver, processor.encode
    tokenizer = hugging_face(vocab)
    # Added tokens have ids of their own there: compare by text.
    by_text = {token: i for i, token in reversed(list(enumerate(vocab["tokens"])))}

    def ids(texts):
        for encoding in tokenizer.encode_batch(texts, add_special_tokens=False):
            yield [by_text[token] for token in encoding.tokens]

    return path.name, driver, ids


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
    alphabet = byte_alphabet()
    if vocab["model"] == "gpt2":
        haystack = b"\0".join(texts)

        def bytes_of(token):
            return bytes(alphabet[c] for c in token) if all(c in alphabet for c in token) else token.encode()
    else:
        haystack = b"\0".join("\u2581".encode() + text.replace(b" ", "\u2581".encode()) for text in texts)

        def bytes_of(token):
            return token.encode()

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
    parser.add_argument("what", choices=["pieces", "ids", "known", "shrink"])
    parser.add_argument("where", nargs="*", help="names of rules, or one folder")
    parser.add_argument("--texts", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.what == "pieces":
        return compare_all([pieces_of(name) for name in options.where or sorted(RULES)], options)
    files = sorted(pathlib.Path(options.where[0]).glob("*.gguf"))
    if options.what == "ids":
        known_models = [f for f in files if read_vocabulary(f)["model"] in ("gpt2", "gemma4", "llama")]
        return compare_all([ids_of(f) for f in known_models], options)
    known = [f for f in files if f.with_name(f.name + ".out").exists() and read_vocabulary(f)["model"] != "bert"]
    if options.what == "known":
        return any([check_known(f) for f in known])
    json.dump([shrink(f) for f in known], sys.stdout, ensure_ascii=False, separators=(",", ":"))
    return False


if __name__ == "__main__":
    sys.exit(main())
