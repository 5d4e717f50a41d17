"""L1 to L19, and a pipe that closes: unclear lines, wrong exit codes, odd numbers."""

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import time

from hostile_entries.gguf import FLOAT32, STRING, UINT16, UINT32, Gguf
from hostile_entries.harness import (ENDING_SIGNALS, MODELS, NOBODY, Failed, entry, interrupted, need, need_root,
                                     wait_until)

MB = 1 << 20
INFINITE = float("inf")
NAN = float("nan")


@entry("L1", "regular expressions that nest or take for ever")
def expressions(w):
    for pattern in ("(" * 20000 + ")" * 20000, "(.*)*" * 20 + "zzz", "(a+)+" * 10 + "$"):
        outcome = w.run("quantize", w.llama(), "out.gguf", "Q8_0", "--tensor-type", pattern + "=Q4_0")
        need(outcome.code == 2, f"{outcome}: exit 2 expected")
        need(len(outcome.lines()) == 1 and len(outcome.err) < 1000, f"{outcome}: one short line expected")
    need(w.files() == [], f"left {w.files()}")


@entry("L2", "prompt sets with numbers that no JSON number can be")
def odd_prompts(w):
    for line in ('{"prompt": "x", "n": 1e999}', '{"prompt": 1}', '[1]', '{"prompt": "x"', "\xff"):
        path = w.write("p.jsonl", line + "\n")
        w.refused(3, "speculate", "--target", w.llama(), "--draft", "ngram", "--prompts", path, "--db", "s.db",
                  says="p.jsonl")


@entry("L3", "control characters in names, of files and of models")
def control_characters(w):
    evil = "a\x1b[2J\x07\nassay: forged\u009b\u202eb"
    model = w.altered("m.gguf", lambda m: m.metadata.__setitem__("general.name", (STRING, evil)))
    text = w.path("t\x1b[31m\n\u202e.txt")
    shutil.copy(w.text(), text)
    named = w.path("n\x1b[2J\u009b.gguf")
    shutil.copy(model, named)
    runs = [w.generate(w.llama(), "--draft", model), w.generate(w.llama(), "--draft", named), w.perplexity(named, text=text),
            w.ladder(named, text=text), w.ladder(named, "--bogus"), ("inspect", named), ("inspect", str(text)),
            w.speculate(w.llama(), named)]
    for arguments in runs:
        outcome = w.run(*arguments)
        need(outcome.code in (0, 2, 3, 4), f"{outcome}: a usual exit code expected")
        shown = (outcome.out + outcome.err).decode("utf-8", "replace")
        bad = [c for c in shown if ord(c) < 32 and c not in "\n" or 127 <= ord(c) < 160 or c in "\u202e\u200e"]
        need(not bad, f"{outcome}: control characters came out: {bad[:4]}")
        need("\nassay: forged" not in shown, f"{outcome}: a forged line")


@entry("L4", "numbers that are none")
def odd_numbers(w):
    for arguments in (w.generate(w.llama(), "--seed", "-1"), w.generate(w.llama(), "--seed", "18446744073709551616"),
                      w.generate(w.llama(), tokens="010"), w.generate(w.llama(), tokens="0x10"),
                      w.generate(w.llama(), "--draft", "ngram", "--draft-p-min", "nan"),
                      w.generate(w.llama(), "--temp", "nan"), w.generate(w.llama(), "--temp", "inf"),
                      w.generate(w.llama(), tokens="1e3"), w.generate(w.llama(), threads="2.5"),
                      ("bench", "-m", w.llama(), "-p", "8,,"), ("bench", "-m", w.llama(), "-p", "8,", "-n", "1"),
                      ("bench", "-m", w.llama(), "-p", "-8")):
        w.refused(2, *arguments)
    need(w.good(*w.generate(w.llama(), "--seed", "18446744073709551615", "--temp", "1")).out, "no text")


@entry("L5", "--json with an error is a document too")
def error_documents(w):
    broken = w.non_finite("n.gguf", "output.weight", 0, 1000, "nan")
    cases = [(1, "quantize", w.llama(), "none/out.gguf", "Q8_0"), (2, "inspect", "--bogus"), (2, "quantize"),
             (3, "inspect", "none.gguf"), (4, *w.perplexity(broken)), (4, *w.generate(broken)), (3, *w.ladder(broken))]
    for code, *arguments in cases:
        outcome = w.run(*arguments, "--json")
        need(outcome.code == code, f"{outcome}: exit {code} expected")
        error = outcome.json()["error"]
        need(error["exit_code"] == code and error["message"] in outcome.text(), f"{outcome}: {error}")


@entry("L6", "keys that are not UTF-8 stay apart in JSON")
def odd_keys(w):
    path = w.path("k.gguf")
    Gguf(w.llama()).save(path, [(b"a\xff", UINT32, 1), (b"a\xfe", UINT32, 2)])
    keys = [k for k in w.good("inspect", path, "--json").json()["metadata"] if k.startswith("a\\x")]
    need(len(keys) == 2, f"keys: {keys}")


@entry("L7", "what the system refuses is exit 1")
def system_refuses(w):
    w.refused(1, *w.ladder(w.llama()), limits=[(resource.RLIMIT_NOFILE, 4)])  # the loader of the program needs one
    big = w.path("big.gguf")
    shutil.copy(w.llama(), big)
    with open(big, "r+b") as file:
        file.truncate(1 << 33)  # a hole
    w.refused(1, "inspect", big, limits=[(resource.RLIMIT_AS, 1 << 30)], says="memory")
    need_root()
    shut = w.path("shut.gguf")
    shutil.copy(w.llama(), shut)
    shut.chmod(0)
    program = w.path("assay")
    shutil.copy(w.program, program)
    program.chmod(0o755)
    w.program = program  # where anybody may run it
    w.refused(1, "inspect", shut, user=NOBODY, says="ermission")


@entry("L8", "a rung named twice leaves nothing")
def twice(w):
    w.refused(2, *w.ladder(w.llama(), types="Q8_0,Q8_0"))
    need(w.files() == [], f"left {w.files()}")


def damaged_databases(w, count):
    """Random bytes in the database of a finished ladder and a finished speculation."""
    first = w.measured(*w.ladder(w.llama(), "--json")).json()
    whole = w.path("assay.db").read_bytes()
    rng = random.Random(1)
    codes = {}
    for i in range(count):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 4, 16, 64))):
            data[rng.randrange(len(data))] = rng.choice((rng.randrange(256), 0, 255))
        w.path("damaged.db").write_bytes(data)
        outcome = w.run(*w.ladder(w.llama(), "--json", db="damaged.db"))
        codes[outcome.code] = codes.get(outcome.code, 0) + 1
        need(outcome.code in (0, 1, 2, 3, 4), f"variant {i}: {outcome}")
        error = outcome.lines()[0] if outcome.lines() else ""
        need("exception" not in error and "fault of Assay" not in error, f"variant {i}: {outcome}")
        if outcome.code in (0, 4):
            told = outcome.json()
            need("error" in told or told["windows"] == first["windows"], f"variant {i}: {outcome}: {told.get('windows')} windows")
    return codes


@entry("L9", "a damaged database")
def damaged_database(w):
    damaged_databases(w, 60)
    one = "where id=(select max(id) from run where test like 'tg%')"
    statements = ["update sample set seconds='soon'", "delete from sample", "delete from series", "delete from metric",
                  "update metric set value='x'", "update metric set value=null", "update series set data=x'00'",
                  "update series set data=x''", "update run set settings='{'", "update run set settings='[1]'",
                  "update run set settings='{\"a\": 1}'", "update environment set isa='{}'", "update sample set seconds=-1",
                  "update environment set isa='[1]'", "update sample set round=round+7", "update sample set tokens=0",
                  "update metric set value=-9e18 where name='windows'", f"update run set model_id=99 {one}", "delete from model",
                  "delete from environment", f"update run set kind='x' {one}", "update model set digest='x'", "drop table metric",
                  "update derived set digest='x'", "delete from session", "update sample set tokens=9223372036854775807",
                  "update run set finished_unix_ms=null, status='running'", "update study set settings='x'"]
    first = w.path("assay.db").read_bytes()
    known = w.measured(*w.ladder(w.llama(), "--json")).json()
    for statement in statements:
        w.write("s.db", first)
        database = sqlite3.connect(w.path("s.db"))
        with database:
            database.execute("pragma foreign_keys=off")
            database.execute(statement)
        database.close()
        outcome = w.run(*w.ladder(w.llama(), "--json", db="s.db"))
        if outcome.code in (0, 4) and b'"error": {' not in outcome.out:
            told = outcome.json()
            same = told["windows"] == known["windows"] and told["rungs"][0]["ppl"] == known["rungs"][0]["ppl"]
            rate = told["rungs"][0]["tg"]
            rate = rate["mean"] if isinstance(rate, dict) else rate
            need(same and rate and rate > 0, f"{statement}: {outcome}: other figures told as good: {rate}")
            continue
        need(outcome.code == 3, f"{statement}: {outcome}: exit 0 or 3 expected")
        w.clear(outcome)


@entry("L9b", "a damaged database, 1,500 times", slow=True)
def many_damaged_databases(w):
    damaged_databases(w, 1500)


@entry("L10", "a file that lies about its own type")
def lying_type(w):
    model = w.altered("m.gguf", lambda m: m.metadata.__setitem__("general.file_type", (UINT32, 7)))
    told = w.measured(*w.ladder(model, "--json")).json()
    need(w.path("lad/m-Q8_0.gguf").exists(), "no Q8_0 rung was made of an F16 file that says it is Q8_0")
    need(told["rungs"][0]["bits_per_weight"] < 9, f"{told['rungs'][0]['bits_per_weight']} bits per weight")
    bench = w.measured("bench", "-m", model, "-p", "8", "-n", "4", "-r", "1", "-t", "1", "--no-placebo", "--json").json()
    need(bench["tests"][0]["quant"] == "F16", f"bench says {bench['tests'][0]['quant']}")


@entry("L11", "outputs over links, and their permissions")
def outputs(w):
    link = w.path("link.gguf")
    link.symlink_to("target.gguf")
    w.good("quantize", w.llama(), link, "Q8_0")
    need(link.is_symlink() and w.path("target.gguf").exists(), "a dangling link was replaced")
    loop = w.path("loop.gguf")
    loop.symlink_to("loop.gguf")
    w.refused(1, "quantize", w.llama(), loop, "Q8_0", says="circle")
    need(loop.is_symlink(), "a looping link was replaced")
    mine = w.write("mine.gguf", "x")
    mine.chmod(0o600)
    w.good("quantize", w.llama(), mine, "Q8_0")
    need(mine.stat().st_mode & 0o777 == 0o600, f"permissions became {mine.stat().st_mode & 0o777:o}")


def set_key(kind, name, value):
    return lambda model: model.metadata.__setitem__(name, (kind, value))


@entry("L12", "hyperparameters and weights that no arithmetic can use")
def unusable(w):
    def factors(value):
        return lambda model: model.tensors["rope_freqs.weight"].put(3, [value])

    def linear(factor):
        def change(model):
            model.metadata["llama.rope.scaling.type"] = (STRING, "linear")
            model.metadata["llama.rope.scaling.factor"] = (FLOAT32, factor)
        return change

    gemma = w.made("tiny-gemma3.gguf", lambda p: w.good("quantize", MODELS / "tiny-gemma3-Q8_0.gguf", p, "F16"))
    cases = [(None, set_key(FLOAT32, "llama.rope.freq_base", v)) for v in (INFINITE, NAN, 0.0, -1.0)]
    cases += [(gemma, set_key(FLOAT32, "gemma3.rope.freq_base_swa", v)) for v in (INFINITE, NAN, 0.0, -1.0)]
    cases += [(None, linear(v)) for v in (1e-45, NAN, -2.0, INFINITE)]  # 0: unscaled
    cases += [(None, factors(v)) for v in (NAN, 0.0, -1.0, INFINITE)]
    cases += [(None, set_key(FLOAT32, "llama.attention.layer_norm_rms_epsilon", v)) for v in (INFINITE, NAN, -1.0)]
    for source, change in cases:
        model = w.altered("m.gguf", change, source)
        w.refused(3, *w.perplexity(model))
    w.refused(3, "bench", "-m", model, "-p", "8", "-n", "4", "-r", "1", "-t", "1", "--no-placebo")
    for tensor in ("output_norm.weight", "blk.1.ffn_down.weight"):
        for value in ("nan", "inf"):
            broken = w.non_finite("n.gguf", tensor, 5, 1, value)
            w.refused(3, "quantize", broken, "out.gguf", "Q8_0", says=tensor)
            outcome = w.run("bench", "-m", broken, "-p", "8", "-n", "4", "-r", "1", "-t", "1", "--json", "--no-placebo")
            need(outcome.code == 4, f"{outcome}: exit 4 expected of bench on {value} in {tensor}")
            guards = [g for g in outcome.json()["guards"] if g["name"] == "finite"]
            need(guards and guards[0]["tripped"], f"{outcome}: the guard 'finite' did not trip: {guards}")
            outcome = w.run("compare", w.llama(), broken, "--text", w.text(), "-c", "64", "--windows", "2", "-p", "8",
                            "-n", "4", "-r", "1", "-t", "1")
            need(outcome.code == 4, f"{outcome}: exit 4 expected of compare")


@entry("L13", "a draft whose context is shorter than the prompt")
def short_draft(w):
    draft = w.altered("d.gguf", set_key(UINT32, "llama.context_length", 8))
    prompt = "The king " * 20
    w.refused(2, *w.generate(w.llama(), "--draft", draft, prompt=prompt), says="draft")
    w.refused(2, *w.generate(w.llama(), "-c", "8", prompt=prompt), says="-c")
    # Without -c it is the model's own context that a prompt must fit.
    outcome = w.refused(2, *w.generate(draft, prompt=prompt), says="trained")
    need("raise" not in outcome.text(), f"{outcome}: what was not given cannot be raised")


@entry("L14", "a ladder stops at once, and not by a signal that its caller ignores", slow=True)
def ladder_stops(w):
    long = w.write("long.txt", w.text().read_bytes() * 20)
    arguments = ("ladder", w.llama(), "--text", long, "--types", "Q8_0", "-c", "60000", "--windows", "1", "-t", "1",
                 "-o", "lad", "--backend", "ref")
    for number in ENDING_SIGNALS:
        process = w.start(*arguments)
        need(wait_until(lambda: w.path("assay.db").exists() or process.poll() is not None), "no database came")
        time.sleep(0.3)
        began = time.monotonic()
        code, err = interrupted(process, number, lambda: True)
        need(code == 128 + number, f"exit {code} after signal {number}")
        need(time.monotonic() - began < 5, f"{time.monotonic() - began:.1f} s until signal {number} had an effect")
        need(b"kept in" in err, f"not told where the runs are kept: {err[-200:]}")
        w.path("assay.db").unlink()
        shutil.rmtree(w.path("lad"))  # whose files this database would not know
    process = w.start(*arguments, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    need(wait_until(lambda: w.path("assay.db").exists()), "no database came")
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    alive = process.poll() is None
    process.kill()
    process.communicate()
    need(alive, "SIGINT was taken though the caller had it ignored")


@entry("L15", "as many threads as were asked for", slow=True)
def thread_count(w):
    process = w.start(*w.perplexity(MODELS / "tiny-qwen35.gguf", context=512, windows=0, threads=64))
    most = 0

    def count():
        nonlocal most
        try:
            most = max(most, len(os.listdir(f"/proc/{process.pid}/task")))
        except OSError:
            return True
        return False
    wait_until(count, 4)
    process.kill()
    process.communicate()
    need(32 < most <= 64, f"{most} threads for -t 64")


@entry("L16", "what the command line does not know is named")
def unknown_words(w):
    w.refused(2, "inspect", "--bogus", says="--bogus")
    w.refused(2, "bogus", says="inspect, ")
    w.refused(2, "--bogus", says="--bogus")
    w.refused(2, says="inspect, ")


@entry("L17", "the rungs of a split model")
def split_model(w):
    whole = Gguf(w.llama())
    names = list(whole.tensors)
    half = len(names) // 2
    for number, part in enumerate((names[:half], names[half:])):
        model = Gguf(w.llama())
        if number > 0:
            model.metadata = {}
        model.metadata["split.no"] = (UINT16, number)
        model.metadata["split.count"] = (UINT16, 2)
        model.metadata["split.tensors.count"] = (5, len(names))
        model.tensors = {name: whole.tensors[name] for name in part}
        model.save(w.path(f"m-{number + 1:05}-of-00002.gguf"))
    w.measured(*w.ladder("m-00001-of-00002.gguf"))
    need(w.path("lad/m-Q8_0.gguf").exists(), f"the rung is called {[f for f in w.files() if 'lad/' in f]}")
    w.refused(3, "inspect", "m-00002-of-00002.gguf", says="m-00001-of-00002.gguf")


@entry("L18", "texts from standard input and from pipes")
def piped_texts(w):
    plain = w.good(*w.perplexity(w.llama(), "--json")).json()
    for name in ("-", "/dev/stdin"):
        with open(w.text(), "rb") as file:
            told = w.good(*w.perplexity(w.llama(), "--json", text=name), stdin=file).json()
        need(told["ppl"] == plain["ppl"], f"-f {name}: {told['ppl']} instead of {plain['ppl']}")
    cat = subprocess.Popen(["cat", w.text()], stdout=subprocess.PIPE)
    told = w.good(*w.perplexity(w.llama(), "--json", text="-"), stdin=cat.stdout).json()
    cat.stdout.close()
    cat.wait()
    need(told["ppl"] == plain["ppl"], f"from a pipe: {told['ppl']} instead of {plain['ppl']}")


@entry("L19", "every error says what to do")
def advice(w):
    junk = w.write("junk.gguf", "GGUF" + "\x07" * 100)
    text = w.write("empty.txt", "")
    binary = w.write("bin.txt", bytes(1000))
    folder = w.path("folder")
    folder.mkdir()
    llama = w.llama()
    # (exit code, arguments): one for each place that a user can run into.
    cases = [
        (3, "inspect", "none.gguf"), (3, "inspect", junk), (3, "inspect", folder), (3, "inspect", "/dev/null"),
        (3, "inspect", text), (3, "inspect", w.text()), (3, *w.perplexity(llama, text="none.txt")),
        (3, *w.perplexity(llama, text=text)), (3, *w.perplexity(llama, text=binary)), (3, *w.perplexity(llama, text=folder)),
        (3, *w.perplexity(llama, context=1 << 19)), (2, *w.perplexity(llama, context=4)),
        (3, *w.perplexity(llama, "--base", "none.gguf")),
        (2, *w.perplexity(llama, "--backend", "gpu")), (2, *w.perplexity(llama, "--backend", "cpu:mmx")),
        (2, *w.perplexity(llama, "--backend", "ref:x")), (2, *w.perplexity(llama, threads=0)),
        (2, *w.perplexity(llama, threads=100000)), (2, *w.perplexity(llama, "--cache", "q8")),
        (2, "generate", "-m", llama), (2, *w.generate(llama, prompt="")), (2, *w.generate(llama, "-k", "99", "--draft", "ngram")),
        (2, *w.generate(llama, "--top-k", "-1")), (2, *w.generate(llama, "--top-p", "0")), (2, *w.generate(llama, "--min-p", "2")),
        (2, *w.generate(llama, "--temp", "-1")), (3, *w.generate(llama, "--draft", "none.gguf")),
        (2, *w.generate(llama, "--draft", "grpc://host:1")),
        (2, "quantize", llama, "out.gguf", "Q9"), (2, "quantize", llama, "out.gguf", "Q8_0", "--tensor-type", "x"),
        (2, "quantize", llama, "out.gguf", "Q8_0", "--tensor-type", "(=Q8_0"),
        (2, "quantize", llama, "out.gguf", "Q8_0", "--tensor-type", "nowhere=Q8_0"),
        (2, "quantize", llama, llama, "Q8_0"), (1, "quantize", llama, "none/out.gguf", "Q8_0"),
        (1, "quantize", llama, folder, "Q8_0"), (1, "quantize", llama, "/dev/full", "Q8_0"),
        (3, "quantize", llama, "out.gguf", "Q8_0", "--imatrix", junk), (3, "quantize", llama, "out.gguf", "Q8_0", "--imatrix", llama),
        (3, "quantize", llama, "out.gguf", "Q8_0", "--imatrix", "none.dat"),
        (2, "synth", "--preset", "none", "out.gguf"), (2, "bench", "-m", llama, "-p", "0", "-n", "0"),
        (2, "bench", "-m", llama, "-r", "0"), (3, "bench", "-m", "none.gguf"),
        (2, *w.ladder(llama, types="Q9")), (2, *w.ladder(llama, "--max-loss", "much")), (3, *w.ladder(llama, text="none.txt")),
        (1, *w.ladder(llama, db="none/a.db")), (3, *w.ladder(llama, db=os.fspath(w.text()))), (1, *w.ladder(llama, folder=os.fspath(text))),
        (2, *w.speculate(llama, "self:Q9")), (3, *w.speculate(llama, "none.gguf")), (2, *w.speculate(llama, "ngram", length=0)),
        (2, *w.speculate(llama, "ngram", length="2,2")), (3, *w.speculate(llama, "ngram", prompts="none.jsonl")),
        (3, *w.speculate(llama, "ngram", prompts=text)), (2, *w.speculate(llama, "ngram", "--prompts", w.prompts())),
        (2, "compare", llama, "--text", text), (3, "compare", llama, "none.gguf", "--text", w.text()),
        (2, "machine", "--db", ":memory:"),
    ]
    cases += [(3, *w.perplexity(w.altered(f"{i}.gguf", change))) for i, change in enumerate(damages())]
    silent = []
    for code, *arguments in cases:
        outcome = w.run(*arguments)
        try:
            need(outcome.code == code, f"{outcome}: exit {code} expected")
            w.clear(outcome)
        except Failed as reason:
            silent.append(str(reason))
    need(not silent, f"{len(silent)} of {len(cases)}:\n       " + "\n       ".join(silent))


def damages():
    """Changes of a model that the loader must refuse."""
    def drop(name):
        return lambda model: model.tensors.pop(name)

    def reshape(name):
        return lambda model: model.tensors[name].shape.reverse()

    def tokens(change):
        def apply(model):
            change(model.metadata["tokenizer.ggml.tokens"][1][1], model.metadata)
        return apply
    def extra_tensor(model):
        tensor = model.tensors["output_norm.weight"]
        model.tensors["extra.weight"] = type(tensor)("extra.weight", list(tensor.shape), tensor.kind, tensor.data)
    yield drop("output_norm.weight")
    yield drop("token_embd.weight")
    yield drop("blk.1.ffn_up.weight")
    yield reshape("blk.1.ffn_up.weight")
    yield extra_tensor
    for key, kind, value in (("general.architecture", STRING, "mamba9"), ("llama.block_count", UINT32, 0),
                             ("llama.block_count", STRING, "x"), ("llama.attention.head_count", UINT32, 3),
                             ("llama.attention.head_count_kv", UINT32, 3), ("llama.attention.key_length", UINT32, 1),
                             ("llama.rope.dimension_count", UINT32, 63), ("llama.rope.scaling.type", STRING, "odd"),
                             ("llama.attention.value_length", UINT32, 32), ("tokenizer.ggml.model", STRING, "wordpiece"),
                             ("tokenizer.ggml.pre", STRING, "odd"), ("tokenizer.ggml.eos_token_id", UINT32, 99999),
                             ("general.alignment", UINT32, 33), ("llama.context_length", UINT32, 0),
                             ("llama.embedding_length", UINT32, 1 << 30)):
        yield set_key(kind, key, value)
    for key in ("general.architecture", "llama.block_count", "tokenizer.ggml.model", "tokenizer.ggml.tokens",
                "tokenizer.ggml.merges"):
        yield lambda model, key=key: model.metadata.pop(key)
    yield tokens(lambda texts, _: texts.pop())
    yield tokens(lambda texts, metadata: metadata["tokenizer.ggml.token_type"][1][1].pop())
    yield tokens(lambda texts, metadata: metadata["tokenizer.ggml.token_type"][1][1].__setitem__(3, 9))


@entry("PIPE", "a reader that goes away ends the program as SIGPIPE does, quietly")
def closed_pipe(w):
    for arguments in (("inspect", w.llama()), ("inspect", w.llama(), "--json"), ("--help",), w.generate(w.llama(), tokens=2000)):
        read, write = os.pipe()
        os.close(read)
        outcome = w.run(*arguments, stdout=write)
        os.close(write)
        need(outcome.code == 128 + signal.SIGPIPE, f"{outcome}: exit 141 expected")
        need(not outcome.lines(), f"{outcome}: quiet expected")
    shell = subprocess.run(["sh", "-c", f"'{w.program}' inspect '{w.llama()}' | head -1"], capture_output=True)
    need(shell.stdout.count(b"\n") == 1 and not shell.stderr, f"| head -1: {shell.stderr[:200]}")
    # A file that is being written when the reader goes is not lost or left half there.
    read, write = os.pipe()
    os.close(read)
    outcome = w.run("quantize", w.llama(), "out.gguf", "Q8_0", stdout=write)
    os.close(write)
    need(w.files() == ["out.gguf"], f"{outcome}: {w.files()}")
