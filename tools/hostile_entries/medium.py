"""M1 to M13: files lost or left behind, options that did nothing, time and memory without a bound."""

import os
import shutil
import signal

from hostile_entries.gguf import F32, STRING, UINT32, Gguf, Tensor
from hostile_entries.harness import (ENDING_SIGNALS, MODELS, NOBODY, entry, finish, interrupted,
                                     maps_file, need, need_root, wait_until)

MB = 1 << 20
MOST_SECONDS = 10  # of processor time, for what takes a fraction of a second now and took over 20 before


@entry("M1", "signals leave no partial file, and one that SIGKILL left goes with the next run", slow=True)
def partial_files(w):
    synth = ("synth", "--preset", "qwen35-0.8B", "--type", "Q8_0", "big.gguf")
    grown = lambda: any(p.stat().st_size > 4 * MB for p in w.folder.glob("big.gguf*"))  # noqa: E731
    for number in ENDING_SIGNALS:
        code, _ = interrupted(w.start(*synth), number, grown)
        need(code == 128 + number, f"exit {code} after signal {number}")
        need(w.files() == [], f"left behind by signal {number}: {w.files()}")
    interrupted(w.start(*synth), signal.SIGKILL, grown)
    need(len(w.files()) == 1, "SIGKILL was to leave a part")
    w.good("quantize", w.llama(), "big.gguf", "Q8_0")
    need(w.files() == ["big.gguf"], f"still there after a run that ended well: {w.files()}")
    (w.path("spec")).mkdir()
    speculate = w.speculate(w.llama(), "self:Q4_0", tokens=1000, db="spec/s.db")
    forged = lambda: any(w.path("spec").rglob("*gguf*"))  # noqa: E731
    code, _ = interrupted(w.start(*speculate), signal.SIGTERM, forged)
    left = [f for f in w.files() if f.startswith("spec/") and ".db" not in f]
    need(code == 128 + signal.SIGTERM and not left, f"exit {code}, left by speculate: {left}")


@entry("M2", "two commands in one line, and files called like commands")
def two_commands(w):
    outcome = w.refused(2, "inspect", w.llama(), "machine")
    need(outcome.out == b"", f"{outcome}: something ran")
    w.refused(2, "machine", "inspect", w.llama())
    w.refused(2, "machine", "inspect")
    w.refused(2, "inspect", "--json", w.llama(), "generate", "-m", w.llama(), "-p", "x")
    shutil.copy(w.llama(), w.path("machine"))
    w.measured("bench", "-m", w.llama(), "machine", "-p", "8", "-n", "4", "-r", "1", "-t", "1", "--no-placebo")
    w.good("inspect", "machine")


@entry("M3", "symbolic links of another user in a folder that all may write to")
def foreign_links(w):
    need_root()
    victim = w.write("victim", "precious")
    shared = w.path("shared")
    shared.mkdir()
    shared.chmod(0o1777)
    for name in ("tiny-llama-Q8_0.gguf", "ladder.md", "ladder.json"):
        link = shared / name
        link.symlink_to(victim)
        os.lchown(link, NOBODY, NOBODY)
        # Refused as the places of files that no ladder made, before the links are looked at.
        w.refused(2, *w.ladder(w.llama(), folder="shared"), says=name)
        need(victim.read_text() == "precious", f"{name}: the file that another's link names was overwritten")
        link.unlink()
        for made in shared.iterdir():
            made.unlink()
        w.path("assay.db").unlink(missing_ok=True)
    link = shared / "out.gguf"
    link.symlink_to(victim)
    os.lchown(link, NOBODY, NOBODY)
    w.refused(1, "quantize", w.llama(), link, "Q8_0", says="symbolic link")
    need(victim.read_text() == "precious", "quantize wrote through another's link")
    link.unlink()
    for pid in range(1, 2000):
        link = shared / f"tiny-llama-Q8_0-{pid + os.getpid()}.gguf"
        link.symlink_to(victim)
        os.lchown(link, NOBODY, NOBODY)
    planted = len(list(shared.iterdir()))
    w.measured(*w.speculate(w.llama(), "self:Q8_0", db="shared/s.db"))
    need(victim.read_text() == "precious", "speculate self: wrote through another's link")
    need(len([p for p in shared.iterdir() if p.suffix == ".gguf"]) == planted, "files of another were removed")


@entry("M4", "files of the user are not replaced unasked")
def user_files(w):
    shutil.copy(w.llama(), w.path("tiny-llama.gguf"))
    mine = w.write("tiny-llama-Q4_0.gguf", "mine")
    w.refused(2, *w.ladder("tiny-llama.gguf", types="Q4_0", folder="."), says="tiny-llama-Q4_0.gguf")
    need(mine.read_text() == "mine", "ladder -o . replaced a file that Assay never made")
    text = w.write("ladder.md", w.text().read_bytes())
    w.refused(2, *w.ladder("tiny-llama.gguf", folder=".", text="ladder.md"), says="ladder.md")
    need(text.read_bytes() == w.text().read_bytes(), "the text was replaced by its table")
    matrix = w.write("im.dat", b"a matrix")
    w.refused(2, "quantize", w.llama(), "im.dat", "Q4_K_M", "--imatrix", "im.dat", says="im.dat")
    need(matrix.read_bytes() == b"a matrix", "the importance matrix was replaced")


@entry("M5", "a ladder leaves the parts of others alone")
def parts_of_others(w):
    w.path("lad").mkdir()
    mine = [w.write(f"lad/tiny-llama-Q8_0.gguf{end}", "mine") for end in (".part-mine", ".part-1-0", ".assay-part-mine")]
    w.measured(*w.ladder(w.llama()))
    for path in mine:
        need(path.exists() and path.read_text() == "mine", f"{path.name} is gone or changed")


@entry("M5b", "a quantize that writes where a ladder works", slow=True)
def quantize_beside_ladder(w):
    w.path("lad").mkdir()
    big = w.path("q.gguf")
    w.good("synth", "--preset", "qwen35-0.8B", "--layers", "2", "--type", "F16", big)
    out = w.path("lad/q-Q3_K_M.gguf")
    quantize = w.start("quantize", big, out, "Q3_K_M", "-t", "1")
    begun = wait_until(lambda: quantize.poll() is None and any(
        p.stat().st_size > 0 for p in w.path("lad").glob("q-Q3_K_M.gguf.*")))
    need(begun, "quantize was over before the ladder began")
    # Its file is the user's, not the ladder's: the ladder may refuse, but not break what runs.
    ladder = w.run(*w.ladder(big, types="Q3_K_M"), timeout=600)
    code, err = finish(quantize, 600)
    need(code == 0, f"quantize beside a ladder: exit {code}, {err[-200:]}")
    need(ladder.code in (0, 2), f"{ladder}: exit 0 or 2 expected")
    w.good("inspect", out)


@entry("M6", "names that are not UTF-8")
def odd_names(w):
    text = os.fsencode(w.path("bad")) + b"\xff.txt"
    with open(text, "wb") as file:
        file.write(w.text().read_bytes())
    w.measured(*w.ladder(w.llama(), text=text))
    model = os.fsencode(w.path("model")) + b"\xfe.gguf"
    prompts = os.fsencode(w.path("prompts")) + b"\xfd.jsonl"
    shutil.copy(w.llama(), model)
    with open(prompts, "w") as file:
        file.write('{"prompt": "The king"}\n{"prompt": "1 + 2 ="}\n')
    outcome = w.measured("speculate", "--target", model, "--draft", model, "-k", "2", "--prompts", prompts, "-n", "8",
                    "-r", "1", "-t", "1", "--db", "s.db", "--json")
    need(len(outcome.json()["runs"]) == 1, f"{outcome}: no run")
    w.good(*w.perplexity(model, "--json", text=text)).json()


@entry("M7", "an option with an empty value")
def empty_values(w):
    out = w.path("out.gguf")
    for arguments in (("quantize", w.llama(), out, "Q8_0", "--imatrix", ""), w.perplexity(w.llama(), "--base", ""),
                      w.generate(w.llama(), "--draft", ""), w.ladder(w.llama(), "-o", ""),
                      w.generate(w.llama(), "--temp", ""), w.generate(w.llama(), "--seed", ""),
                      w.generate(w.llama(), "--backend", ""), w.generate(w.llama(), "--backend="),
                      ("inspect", ""), w.generate(w.llama(), prompt="")):
        w.refused(2, *arguments, says="empty")
    need(not out.exists(), "quantize without its matrix")


@entry("M8", "a progress line that cannot be written")
def silent_progress(w):
    with open("/dev/full", "wb") as full:
        w.measured(*w.ladder(w.llama()), stderr=full)
        w.measured(*w.speculate(w.llama(), "ngram"), stderr=full)
        w.measured("bench", "-m", w.llama(), "-p", "8", "-n", "4", "-r", "1", "-t", "1", stderr=full)
        broken = w.non_finite("n.gguf", "output_norm.weight", 0, 1, "nan")
        outcome = w.run("bench", "-m", broken, "-p", "8", "-n", "4", "-r", "1", "-t", "1", stderr=full)
        need(outcome.code == 4, f"{outcome}: exit 4 expected")


@entry("M9", "a model file that gets shorter while it is in use", slow=True)
def shortened(w):
    big = w.path("big.gguf")
    commands = {"quantize": ("quantize", big, "out.gguf", "Q2_K", "-t", "1"),
                "perplexity": w.perplexity(big, "--backend", "ref", context=512, windows=0),
                "generate": ("generate", "-m", big, "-p", "The king", "-n", "400", "-t", "1", "--backend", "ref"),
                "ladder": w.ladder(big, types="Q2_K")}
    for name, arguments in commands.items():
        shutil.copy(MODELS / "tiny-qwen35.gguf", big)
        process = w.start(*arguments)
        came = wait_until(lambda: process.poll() is not None or maps_file(process, big))
        os.truncate(big, 1000)
        code, err = finish(process)
        need(came and code in (0, 3), f"{name}: exit {code} when its model was shortened")
        if code == 3:
            lines = [line for line in err.splitlines() if line.startswith(b"assay: ")]
            need(len(lines) == 1, f"{name}: one line expected: {err[-300:]}")
        parts = [f for f in w.files() if "part" in f]
        need(not parts, f"{name}: left {parts}")


def set_layers(model, count):
    model.metadata["llama.block_count"] = (UINT32, count)


@entry("M10", "small files that cost much time or memory")
def costly_files(w):
    def with_keys(name, keys):
        model = Gguf(w.llama())
        model.tensors = {}
        return model.save(w.path(name), keys)

    wide = with_keys("wide.gguf", [("k" * 4000, UINT32, 1)] + [(f"a.{i}", UINT32, i) for i in range(10000)])
    outcome = w.good("inspect", wide)
    need(len(outcome.out) < 20 * wide.stat().st_size, f"{outcome}: {len(outcome.out)} bytes")
    need(outcome.peak < 200 * MB, f"{outcome}: {outcome.peak / MB:.0f} MB")
    many = with_keys("many.gguf", [(f"key.{i}", UINT32, i) for i in range(100000)])
    outcome = w.good("inspect", many, "--json")
    need(len(outcome.json()["metadata"]) > 100000, "keys are missing")
    need(outcome.cpu < MOST_SECONDS, f"{outcome}: {outcome.cpu:.1f} s")

    def deep(model):
        model.metadata["general.architecture"] = (STRING, "qwen35")
        model.metadata = {k.replace("llama.", "qwen35."): v for k, v in model.metadata.items()}
        model.metadata["qwen35.block_count"] = (UINT32, 2**20 + 3)
        model.metadata["qwen35.nextn_predict_layers"] = (UINT32, 2**20 - 1)
        for i in range(20000):
            model.tensors[f"blk.{i + 4}.x"] = Tensor(f"blk.{i + 4}.x", [1], F32, bytearray(4))
    refused_quickly(w, w.altered("deep.gguf", deep))
    refused_quickly(w, w.altered("high.gguf", lambda model: set_layers(model, 2**20 + 3)))

    def spaces(model):
        kind, (element, tokens) = model.metadata["tokenizer.ggml.tokens"]
        tokens[4000] = b" " * 200000 + b"x"
        model.metadata["tokenizer.ggml.token_type"][1][1][4000] = 4
    text = w.write("spaces.txt", " " * 400000)
    refused_quickly(w, w.altered("spaces.gguf", spaces), text=text)


def refused_quickly(w, model, **options):
    outcome = w.refused(3, *w.perplexity(model, **options))
    need(outcome.cpu < MOST_SECONDS, f"{outcome}: {outcome.cpu:.1f} s")


def merges_of(model):
    return model.metadata["tokenizer.ggml.merges"][1][1]


@entry("M11", "tokenizers without merges, or that only look alike")
def merges(w):
    none = w.altered("none.gguf", lambda m: m.metadata.pop("tokenizer.ggml.merges"))
    w.refused(3, *w.perplexity(none), says="merges")
    changes = {
        "merges": lambda m: merges_of(m).__setitem__(slice(0, 600), reversed(merges_of(m)[:600])),
        "pre": lambda m: m.metadata.__setitem__("tokenizer.ggml.pre", (STRING, "gpt-2")),
        "types": lambda m: m.metadata["tokenizer.ggml.token_type"][1][1].__setitem__(4093, 4),
    }
    text = w.write("mixed.txt", (MODELS / "eval_math.txt").read_bytes()[:2000] + b"\n12345 67890 \n\n\n  x's\n" * 400)
    for name, change in changes.items():
        other = w.altered(f"{name}.gguf", change)
        for model, base in ((other, w.llama()), (w.llama(), other)):
            w.refused(2, *w.perplexity(model, "--base", base, text=text, windows=0), says="tokenizers")
    # An alias of the same rules, or another end token, changes no text.
    same = w.altered("eos.gguf", lambda m: m.metadata.__setitem__("tokenizer.ggml.eos_token_id", (UINT32, 4092)))
    w.good(*w.perplexity(same, "--base", w.llama(), text=text))


@entry("M12", "memory does not grow with the text, whatever its script")
def long_texts(w):
    scripts = {"spaces": " " * (20 * MB), "cyrillic": ("Жили-были старик со старухой у самого синего моря. " * 20 + "\n") * 10000,
               "one line": "слово " * (2 * MB), "letters": "a" * (4 * MB), "digits": "7" * (4 * MB),
               "lines": "\n" * (8 * MB), "marks": "?!" * (2 * MB)}
    for name, text in scripts.items():
        path = w.write("text.txt", text)
        outcome = w.good(*w.perplexity(w.llama(), text=path))
        need(outcome.peak < 128 * MB, f"{name}: {outcome.peak / MB:.0f} MB for a text of {path.stat().st_size / MB:.0f}")


@entry("M12b", "the same with texts of 95 MB to 1.2 GB", slow=True)
def longest_texts(w):
    line = ("Жили-были старик со старухой у самого синего моря. " * 20 + "\n").encode()
    for size in (95 * MB, 1200 * MB):
        path = w.path("text.txt")
        with open(path, "wb") as file:
            for _ in range(size // (len(line) * 100)):
                file.write(line * 100)
        outcome = w.good(*w.perplexity(w.llama(), text=path), timeout=600)
        # The text itself is mapped: its pages count, though the system may take them back at any time.
        need(outcome.peak - size < 128 * MB, f"{outcome.peak / MB:.0f} MB for a text of {size / MB:.0f}")


@entry("M13", "databases that would keep nothing")
def no_database(w):
    for name in ("", ":memory:", "file:x?mode=memory", "file:x.db"):
        w.refused(2, *w.ladder(w.llama(), db=name))
        w.refused(2, *w.perplexity(w.llama(), "--db", name))
    need(not [f for f in w.files() if "db" in f or ":" in f], f"made: {w.files()}")
