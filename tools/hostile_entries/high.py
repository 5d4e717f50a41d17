"""H1 to H5: crashes, and figures or texts that were silently wrong."""

import shutil
import sqlite3

from hostile_entries.gguf import Gguf
from hostile_entries.harness import entry, need

WHOLE_OUTPUT = 1048576  # weights of tiny-llama's output matrix: 4,096 rows of 256


def run_sql(path, *statements):
    database = sqlite3.connect(path)
    with database:
        for statement in statements:
            database.execute(statement)
    database.close()


@entry("H1", "a draft with NaN or Inf")
def broken_draft(w):
    drafts = [w.non_finite("nall.gguf", "output.weight", 0, WHOLE_OUTPUT, "nan"),
              w.non_finite("n1.gguf", "blk.1.ffn_down.weight", 5, 1, "nan"),
              w.non_finite("i1.gguf", "blk.1.ffn_down.weight", 5, 1, "inf")]
    for draft in drafts:
        for temperature in ("0", "0.8"):
            w.refused(4, *w.generate(w.llama(), "--draft", draft, "--temp", temperature), says="draft")


@entry("H2", "a database with a negative version")
def negative_version(w):
    w.measured(*w.ladder(w.llama()))
    flipped = w.write("flipped.db", w.path("assay.db").read_bytes())
    with open(flipped, "r+b") as file:
        file.seek(60)
        file.write(b"\x80")
    w.refused(3, *w.ladder(w.llama(), db="flipped.db"), says="damaged Assay database")
    for version in (-1, -2, -10, -100, -1000, -2147483648):
        name = f"v{version}.db"
        run_sql(w.path(name), "pragma application_id=1095979865", f"pragma user_version={version}")
        w.refused(3, *w.ladder(w.llama(), db=name), says=str(version))
        w.refused(3, *w.speculate(w.llama(), "ngram", db=name), says=str(version))


@entry("H3", "an invalid run without its reason")
def invalid_without_guard(w):
    w.measured(*w.ladder(w.llama()))
    cases = {
        "gone.db": ["update run set status='invalid' where kind='perplexity'", "delete from guard"],
        "quiet.db": ["update run set status='invalid' where kind='perplexity'"],
        "odd.db": ["pragma ignore_check_constraints=1", "update run set status='iNvalid' where kind='perplexity'"],
    }
    for name, statements in cases.items():
        shutil.copy(w.path("assay.db"), w.path(name))
        run_sql(w.path(name), *statements)
        w.refused(3, *w.ladder(w.llama(), db=name))


@entry("H4", "damage between the places that a fingerprint samples")
def damage_unseen(w):
    model = w.path("m.gguf")
    shutil.copy(w.llama(), model)
    before = w.measured(*w.ladder(model, "--json")).json()
    rung = w.path("lad/m-Q8_0.gguf")
    damaged = Gguf(rung)
    for name, tensor in damaged.tensors.items():
        if "ffn" in name and "weight" in name and tensor.kind == 8:
            for block in range(0, len(tensor.data) // 34, 2):
                tensor.data[block * 34 + 1] ^= 0x80  # the sign of the block's scale
    damaged.save(rung)
    again = w.measured(*w.ladder(model, "--json", "--fresh")).json()
    for field in ("ppl", "kld_mean"):
        need(again["rungs"][0][field] == before["rungs"][0][field],
             f"{field} {again['rungs'][0][field]} of a damaged rung instead of {before['rungs'][0][field]}")
    broken = Gguf(model)
    broken.tensors["blk.1.ffn_down.weight"].put(2000, [float("nan")] * 4000)
    broken.save(model)
    w.refused(4, *w.perplexity(model))
    # The rung is made before the base is scored, and cannot be made of it.
    w.refused(3, *w.ladder(model, folder="other"), says="nan")


def decoded_tripped(outcome):
    """Of each run, whether its guard "decoded" tripped."""
    runs = outcome.json().get("runs", [])
    return [guard["tripped"] for run in runs for guard in run["guards"] if guard["name"] == "decoded"]


@entry("H5", "one logit that is not finite, neither the first nor the largest")
def one_logit(w):
    model = w.non_finite("n1.gguf", "output.weight", 256 * 3000, 1, "nan")
    w.refused(4, *w.perplexity(model))
    w.refused(4, *w.generate(model))
    w.refused(4, *w.generate(model, "--temp", "1"))
    whole = w.non_finite("nall.gguf", "output.weight", 0, WHOLE_OUTPUT, "nan")
    for target, draft in ((model, "ngram"), (w.llama(), whole)):
        outcome = w.run(*w.speculate(target, draft, "--json"))
        need(outcome.code == 4, f"{outcome}: exit 4 expected")
        need(decoded_tripped(outcome) == [True], f"{outcome}: the guard 'decoded' did not trip")
    # A draft that cannot decode takes nothing from the others.
    outcome = w.run("speculate", "--target", w.llama(), "--draft", "ngram", whole, "-k", "2", "--prompts", w.prompts(),
                    "-n", "8", "-r", "1", "-t", "1", "--db", "two.db", "--json")
    need(outcome.code == 4, f"{outcome}: exit 4 expected")
    need(decoded_tripped(outcome) == [False, True], f"{outcome}: {decoded_tripped(outcome)}")
