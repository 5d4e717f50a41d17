#!/usr/bin/env python3
"""The inside of tools/lan.sh, which runs it in the client's namespace.

`links` sets up each link, says what makes it slow and what a message of 300 bytes takes to go over it and come back, and
what a long stream passes in a second.
`table` runs `assay speculate` over each link, with the draft at home and with a draft server in the other namespace: the
table of the study's cross-device experiment. Both "machines" get half of the processors each.

A link's rate is made by `tc tbf`, its delay and loss by `tc netem`, where the kernel has them, else by a relay in the
path (tests/lan/delay_relay.cc). The delay is such that the round trip is what the link's name says, kernel and relay
included.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

CLIENT, SERVER = "10.77.0.1", "10.77.0.2"
DRAFT_PORT, ECHO_PORT = 7000, 7001
MESSAGE_BYTES = 300  # about a burst


@dataclasses.dataclass
class Link:
    name: str
    mbit: int
    round_trip_ms: float
    loss: float = 0.0  # probability of a packet


LINKS = [
    Link("1 Gbit/s, 0.2 ms", 1000, 0.2),
    Link("1 Gbit/s, 2 ms, 0.1% loss", 1000, 2.0, 0.001),
    Link("100 Mbit/s, 0.2 ms", 100, 0.2),
]


class BoxError(Exception):
    pass


def on_server(command):
    return ["ip", "netns", "exec", "server", *command]


def succeeds(command):
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def tc_on_both(*words):
    """`tc` on the device of each end, named DEV in the words; true when both did it."""
    client = [word.replace("DEV", "client0") for word in words]
    server = [word.replace("DEV", "server0") for word in words]
    return succeeds(["tc", *client]) and succeeds(["tc", "-n", "server", *server])


def join():
    """Gives both ends of the link their addresses."""
    for words in (
        f"addr add {CLIENT}/24 dev client0",
        "link set client0 up",
        "-n server link set lo up",
        f"-n server addr add {SERVER}/24 dev server0",
        "-n server link set server0 up",
    ):
        if not succeeds(["ip", *words.split()]):
            raise BoxError(f"ip {words} failed")


@contextlib.contextmanager
def running(command, log, ready, cpus=None):
    """A program that runs until the block ends; `ready()` says when it may be used."""
    with open(log, "w", encoding="utf-8") as output:
        program = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None,
        )
    try:
        for _ in range(1200):
            if ready():
                break
            if program.poll() is not None:
                raise BoxError(f"{command} ended: {pathlib.Path(log).read_text(encoding='utf-8').strip()}")
            time.sleep(0.05)
        else:
            raise BoxError(f"{command} does not start")
        yield program
    finally:
        program.send_signal(signal.SIGTERM)
        try:
            program.wait(10)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def says_ready(log):
    return lambda: "ready" in pathlib.Path(log).read_text(encoding="utf-8")


def accepts(address, port):
    def connects():
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((address, port)) == 0

    return connects


class Box:
    """The two namespaces, their link, and the programs that were built for them."""

    def __init__(self, build, folder):
        self.build, self.folder = build, folder
        self.relay = []  # what it is to do; nothing: it is not in the path
        self.rate_by = self.delay_by = ""
        join()

    def program(self, name):
        path = self.build / name
        if not path.exists():
            raise BoxError(f"{path} is not built")
        return str(path)

    def shape(self, link, one_way_us):
        tc_on_both("qdisc", "del", "dev", "DEV", "root")
        self.relay, parent = [], ["root"]
        if tc_on_both(*f"qdisc add dev DEV root handle 1: tbf rate {link.mbit}mbit burst 64kb latency 50ms".split()):
            self.rate_by, parent = "tc tbf", ["parent", "1:1"]
        else:
            tc_on_both("qdisc", "del", "dev", "DEV", "root")
            self.rate_by = "relay"
            self.relay += ["--mbit", str(link.mbit)]
        netem = f"handle 10: netem delay {one_way_us}us loss {100 * link.loss:g}% limit 100000"
        if tc_on_both("qdisc", "add", "dev", "DEV", *parent, *netem.split()):
            self.delay_by = "tc netem"
        else:
            self.delay_by = "relay"
            self.relay += ["--delay-us", str(one_way_us), "--loss", str(link.loss)]

    @contextlib.contextmanager
    def reached(self, port):
        """Gives the address at which the client finds what listens on that port of the server."""
        if not self.relay:
            yield f"{SERVER}:{port}"
            return
        log = self.folder / "relay.log"
        command = [self.program("delay_relay"), f"{CLIENT}:{port}", f"{SERVER}:{port}", *self.relay]
        with running(command, log, says_ready(log)):
            yield f"{CLIENT}:{port}"

    def ping(self, size=MESSAGE_BYTES, count=200):
        with self.reached(ECHO_PORT) as address:
            command = [self.program("round_trip"), "ping", address, str(size), str(count)]
            result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            raise BoxError(result.stderr.strip())
        return json.loads(result.stdout)

    def take(self, link):
        """Sets the link up; says what it is made of and what it was measured to be."""
        with self.echo():
            self.shape(dataclasses.replace(link, loss=0.0), 0)
            path_ms = self.ping()["median_ms"]
            one_way_us = max(0, round(1e3 * (link.round_trip_ms - path_ms) / 2))
            # A stream that takes the wire 50 ms, there and back at the same time.
            size = round(link.mbit * 1e6 / 8 * 0.05)
            stream_ms = self.ping(size, 3)["median_ms"]
            self.shape(link, one_way_us)
            return {
                "link": link.name,
                "mbit": link.mbit,
                "round_trip_ms": link.round_trip_ms,
                "loss": link.loss,
                "rate_by": self.rate_by,
                "delay_by": self.delay_by,
                "path_ms": path_ms,  # without delay
                "added_one_way_ms": one_way_us / 1e3,
                "measured_ms": self.ping(),
                "measured_mbit": size * 8 / (1e3 * stream_ms),
            }

    def echo(self):
        log = self.folder / "echo.log"
        command = on_server([self.program("round_trip"), "echo", f"{SERVER}:{ECHO_PORT}"])
        return running(command, log, says_ready(log))


def halves():
    """The client's processors and the server's."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        return cpus, cpus
    middle = (len(cpus) + 1) // 2
    return cpus[:middle], cpus[middle:]


def make_keys(folder):
    """A token and a certificate for both addresses that a client may name; gives the server's options and the client's."""
    token, key, certificate = folder / "token", folder / "key.pem", folder / "certificate.pem"
    token.write_text(os.urandom(24).hex() + "\n", encoding="utf-8")
    token.chmod(0o600)
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=assay-lan", "-addext", f"subjectAltName=IP:{CLIENT},IP:{SERVER}"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BoxError(f"openssl made no certificate: {error}") from error
    server = ["--token-file", str(token), "--tls-cert", str(certificate), "--tls-key", str(key)]
    return server, ["--draft-token-file", str(token), "--draft-ca", str(certificate)]


def speculate(box, arguments, remote, options, cpus):
    """runs[] of `assay speculate --json`, one for each prompt set: with the draft at home, and with the remote one."""
    command = [box.program("assay"), "speculate", "--target", arguments.target, "--draft", arguments.draft, remote]
    command += ["-k", arguments.k]
    command += ["-n", str(arguments.tokens), "-r", str(arguments.repetitions), "--json", *options]
    for prompts in arguments.prompts:
        command += ["--prompts", prompts]
    result = subprocess.run(command, capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    # 4: a guard found it invalid, which the document says.
    if result.returncode not in (0, 4):
        raise BoxError(f"{' '.join(command)}: {result.stderr.strip()}")
    if result.stderr.strip():
        print(result.stderr.strip(), file=sys.stderr)
    runs = json.loads(result.stdout)["runs"]
    return [run for run in runs if run["draft"] != remote], [run for run in runs if run["draft"] == remote]


def measure_table(box, arguments):
    home, away = halves()
    server_options, client_options = make_keys(box.folder)
    rows = []
    for link in LINKS:
        row = box.take(link)
        command = [box.program("assay"), "draft-server", "-m", arguments.draft, "--listen", f"{SERVER}:{DRAFT_PORT}"]
        with running(on_server(command + server_options), box.folder / "server.log", accepts(SERVER, DRAFT_PORT), away):
            with box.reached(DRAFT_PORT) as address:
                row["local"], row["runs"] = speculate(box, arguments, f"grpcs://{address}", client_options, home)
        rows.append(row)
    for row in rows:
        # Each against its own baseline, measured in turns with it: what the machine did meanwhile cancels.
        for run, local in zip(row["runs"], row["local"]):
            known = run["speedup"] is not None and local["speedup"] is not None
            run["against_local"] = run["speedup"] / local["speedup"] - 1.0 if known else None
    return {"schema": 1, "target": arguments.target, "draft": arguments.draft, "k": arguments.k,
            "processors": {"client": home, "server": away}, "rows": rows}


def print_rows(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) if i < 1 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))]
        print("  " + "  ".join(cells).rstrip())


def made_by(row):
    return row["rate_by"] if row["rate_by"] == row["delay_by"] else f"{row['rate_by']} + {row['delay_by']}"


def print_links(rows):
    print_rows([["link", "rate, delay by", "round trip ms", "95%", "largest", "Mbit/s"]] + [
        [row["link"], made_by(row), *(f"{row['measured_ms'][key]:.3f}" for key in ("median_ms", "p95_ms", "max_ms")),
         f"{row['measured_mbit']:.0f}"]
        for row in rows])


def print_table(table):
    for place, run in enumerate(table["rows"][0]["runs"]):
        print(f"Prompt set {run['prompt_set']}")
        print_set(table["rows"], place)
    cpus = table["processors"]
    print(f"  {table['target']}, draft {table['draft']}, k={table['k']}; the client has {len(cpus['client'])} "
          f"processors, the server {len(cpus['server'])}" + (", the same" if cpus["client"] == cpus["server"] else ""))
    print("  against local: of the speed-ups, each over its own baseline, beside the local draft of the same run; overhead:")
    print("  what a round waits beyond the draft's own time, median; hidden: bursts with none; in time: there before asked for")
    for row in table["rows"]:
        print(f"  {row['link']}: rate by {row['rate_by']}, delay and loss by {row['delay_by']}")


def print_set(rows, place):
    def figure(run, name, digits, scale=1.0, suffix=""):
        value = run.get(name)
        return "-" if value is None else f"{scale * value:.{digits}f}{suffix}"

    lines = [["draft", "round trip ms", "tok/s", "speed-up", "against local", "accepted", "overhead ms", "hidden",
              "in time", "bytes", "identical"]]
    for row in [{"link": "local", "runs": rows[0]["local"]}, *rows]:
        run = row["runs"][place]
        burst = (run["burst"] if "measured_ms" in row else None) or {}
        sizes = [burst.get(name) for name in ("sent_bytes", "received_bytes")]
        lines.append([
            row["link"],
            f"{row['measured_ms']['median_ms']:.3f}" if "measured_ms" in row else "-",
            figure(run, "tok_per_s", 2),
            figure(run, "speedup", 3),
            figure(run, "against_local", 1, 100.0, " %"),
            figure(run, "accept_rate", 1, 100.0, " %"),
            figure(burst, "overhead_s", 3, 1e3),
            figure(burst, "hidden", 1, 100.0, " %"),
            figure(burst, "in_time", 1, 100.0, " %"),
            "-" if None in sizes else f"{sum(sizes):.0f}",
            {True: "yes", False: "NO"}.get(run["identical"], "-"),
        ])
    print_rows(lines)
    print()


def parse_arguments():
    parser = argparse.ArgumentParser(prog="lan.sh", description="A LAN in a box: drafts from another machine.")
    parser.add_argument("action", choices=["links", "table"])
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "build",
                        help="where assay, delay_relay and round_trip lie")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("-m", "--target", help="table: the model that decides")
    parser.add_argument("-d", "--draft", help="table: the model that drafts, at home or on the server")
    parser.add_argument("-k", default="4", help="table: guesses of a burst")
    parser.add_argument("-n", "--tokens", type=int, default=64, help="table: tokens of each text")
    parser.add_argument("-r", "--repetitions", type=int, default=3, help="table: times that each prompt is decoded")
    parser.add_argument("--prompts", action="append", default=[], help="table: prompt sets")
    arguments = parser.parse_args()
    if arguments.action == "table" and not (arguments.target and arguments.draft):
        parser.error("table: name a target with -m and a draft with -d")
    return arguments


def main():
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="assay-lan-") as folder:
        box = Box(arguments.build, pathlib.Path(folder))
        if arguments.action == "links":
            links = {"schema": 1, "rows": [box.take(link) for link in LINKS]}
            print(json.dumps(links)) if arguments.json else print_links(links["rows"])
            return 0
        table = measure_table(box, arguments)
        print(json.dumps(table)) if arguments.json else print_table(table)
        return 1 if any(run["identical"] is False for row in table["rows"] for run in row["runs"] + row["local"]) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BoxError as error:
        print(f"lan.sh: {error}", file=sys.stderr)
        sys.exit(1)
