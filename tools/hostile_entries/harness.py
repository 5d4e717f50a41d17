"""Runs the program under adverse conditions and says what became of it."""

import contextlib
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import tempfile
import threading
import time

from hostile_entries.gguf import Gguf

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
ENTRIES = []
NOBODY = 65534


class NotApplicable(Exception):
    """This machine or user cannot show what the entry is about; the text says why."""


class Failed(Exception):
    pass


def entry(name, title, slow=False):
    """Declares a test of an entry; a function that returns has seen it hold."""
    def add(function):
        ENTRIES.append((name, title, slow, function))
        return function
    return add


def need(condition, message):
    if not condition:
        raise Failed(message)


class Outcome:
    def __init__(self, arguments, code, out, err, cpu, peak):
        self.arguments, self.code, self.out, self.err = arguments, code, out, err
        self.cpu, self.peak = cpu, peak  # seconds of processor time, which other load leaves alone; bytes of memory

    def __str__(self):
        words = " ".join(str(a) if len(str(a)) < 60 else str(a)[:57] + "..." for a in self.arguments)
        return f"`{words}` -> exit {self.code}, {self.lines()[-1:] or self.err[:200]}"

    def lines(self):
        """Of stderr, without warnings, notes and steps."""
        return [line for line in self.text().splitlines() if line.startswith("assay: ")]

    def text(self):
        return self.err.decode("utf-8", "replace")

    def json(self):
        def unique(pairs):
            need(len({key for key, _ in pairs}) == len(pairs), f"{self}: a key is there twice")
            return dict(pairs)

        def constant(name):
            raise Failed(f"{self}: {name} in JSON")
        try:
            return json.loads(self.out, object_pairs_hook=unique, parse_constant=constant)
        except ValueError as error:
            raise Failed(f"{self}: not JSON: {error}") from error


# What a line says that tells the user how to go on.
ADVICE = re.compile(r"; [a-z]|: convert |: (at least|one of|\d+ to) |\bsee assay ")


class World:
    """The program, a folder for the entry's files, and the small models that most entries need."""

    def __init__(self, program, folder, shared):
        self.program, self.folder, self.shared = pathlib.Path(program), pathlib.Path(folder), shared

    def path(self, name):
        return self.folder / name

    # Files.

    def llama(self):
        """tiny-llama in F16, made once."""
        return self.made("tiny-llama.gguf", lambda path: self.good(
            "quantize", MODELS / "tiny-llama-Q8_0.gguf", path, "F16"))

    def made(self, name, make):
        path = self.shared / name
        if not path.exists():
            make(path)
        return path

    def text(self):
        return MODELS / "eval_math.txt"

    def write(self, name, data):
        path = self.path(name)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    def altered(self, name, change, source=None):
        """A copy of a model (tiny-llama in F16) after `change(gguf)`."""
        model = Gguf(source or self.llama())
        change(model)
        return model.save(self.path(name))

    def non_finite(self, name, tensor, first, count, value):
        return self.altered(name, lambda model: model.tensors[tensor].put(first, [float(value)] * count))

    # Runs.

    def start(self, *arguments, **options):
        """A run that goes on; options as for subprocess.Popen."""
        options.setdefault("stdout", subprocess.DEVNULL)
        options.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen([str(self.program), *map(os.fspath, map(str_or_bytes, arguments))],
                                cwd=self.folder, **options)

    def run(self, *arguments, timeout=300, stdin=subprocess.DEVNULL, stdout=None, stderr=None, limits=(), user=None,
            cwd=None):
        """`limits`: (resource.RLIMIT_..., value); `user`: a user's number to run as (only root may)."""
        def prepare():
            for which, value in limits:
                resource.setrlimit(which, (value, value))
            if user is not None:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
        words = [os.fspath(str_or_bytes(a)) for a in arguments]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            began = time.monotonic()
            process = subprocess.Popen([str(self.program), *words], stdin=stdin, stdout=stdout or out,
                                       stderr=stderr or err, cwd=cwd or self.folder, preexec_fn=prepare)
            timer = threading.Timer(timeout, process.kill)
            timer.start()
            _, status, usage = os.wait4(process.pid, 0)
            timer.cancel()
            process.returncode = os.waitstatus_to_exitcode(status)
            need(time.monotonic() - began < timeout, f"`{' '.join(map(str, arguments))[:200]}`: not done after {timeout} s")
            out.seek(0)
            err.seek(0)
            code = process.returncode if process.returncode >= 0 else 128 - process.returncode
            cpu = usage.ru_utime + usage.ru_stime
            return Outcome(arguments, code, out.read(), err.read(), cpu, usage.ru_maxrss * 1024)

    def good(self, *arguments, **options):
        outcome = self.run(*arguments, **options)
        need(outcome.code == 0, f"{outcome}: exit 0 expected")
        return outcome

    def measured(self, *arguments, **options):
        """A run that tells its figures, whatever its guards say of speeds on a machine that is busy."""
        outcome = self.run(*arguments, **options)
        need(outcome.code in (0, 4) and outcome.out, f"{outcome}: exit 0 or 4, and figures, expected")
        need(b'"error": {' not in outcome.out, f"{outcome}: {outcome.out[:300]}")
        return outcome

    def refused(self, code, *arguments, says="", **options):
        """The run ends with this exit code and one clear line that says what to do."""
        outcome = self.run(*arguments, **options)
        need(outcome.code == code, f"{outcome}: exit {code} expected")
        self.clear(outcome, says)
        return outcome

    @staticmethod
    def clear(outcome, says=""):
        lines = outcome.lines()
        need(len(lines) == 1, f"{outcome}: one line expected, there are {len(lines)}")
        need(says in lines[0], f"{outcome}: '{says}' expected in the line")
        need("exception" not in lines[0] and "fault of Assay" not in lines[0], f"{outcome}: tells of the program's inside")
        need(ADVICE.search(lines[0]), f"{outcome}: does not say what to do")
        control = [c for c in outcome.text() if ord(c) < 32 and c != "\n" or 127 <= ord(c) < 160 or c == "\u202e"]
        need(not control, f"{outcome}: control characters on stderr: {control[:5]}")

    # Studies that are quick, and say nothing of speed.

    def ladder(self, model, *arguments, types="Q8_0", db="assay.db", folder="lad", text=None):
        return ("ladder", model, "--text", text or self.text(), "--types", types, "-c", "64", "--windows", "4",
                "-p", "8", "-n", "4", "-r", "4", "-t", "1", "--db", db, "-o", folder, *arguments)

    def prompts(self):
        return self.write("prompts.jsonl", '{"id": "a", "prompt": "The king"}\n{"id": "b", "prompt": "1 + 2 ="}\n')

    def speculate(self, target, draft, *arguments, db="spec.db", prompts=None, length=2, tokens=8):
        return ("speculate", "--target", target, "--draft", draft, "-k", str(length), "--prompts",
                prompts or self.prompts(), "-n", str(tokens), "-r", "1", "-t", "1", "--db", db, *arguments)

    def perplexity(self, model, *arguments, text=None, context=64, windows=2, threads=1):
        return ("perplexity", "-m", model, "-f", text or self.text(), "-c", str(context), "--windows", str(windows),
                "-t", str(threads), *arguments)

    def generate(self, model, *arguments, prompt="The king", tokens=12, threads=1):
        return ("generate", "-m", model, "-p", prompt, "-n", str(tokens), "-t", str(threads), *arguments)

    def files(self):
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*"))


def str_or_bytes(argument):
    return argument if isinstance(argument, (str, bytes, os.PathLike)) else str(argument)


def need_root():
    if os.geteuid() != 0:
        raise NotApplicable("needs root, to act as another user")


def wait_until(condition, seconds=30):
    """Whether it came true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.002)
    return False


def finish(process, seconds=120):
    """The exit code as a shell tells it, and stderr, of a process that was started."""
    try:
        _, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Failed(f"process not done after {seconds} s")
    return process.returncode if process.returncode >= 0 else 128 - process.returncode, err


def maps_file(process, path):
    with contextlib.suppress(OSError):
        return os.fspath(path) in pathlib.Path(f"/proc/{process.pid}/maps").read_text()
    return False


def interrupted(process, number, when):
    """Sends a signal once `when()` is true; (exit code, stderr)."""
    came = wait_until(lambda: when() or process.poll() is not None)
    need(came and process.poll() is None, "the run was over before it could be interrupted")
    process.send_signal(number)
    return finish(process)


ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
