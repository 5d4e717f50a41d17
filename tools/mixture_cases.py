#!/usr/bin/env python3
"""Makes tests/data/mixtures.json: what llama.cpp's quantiser chooses for the tensors of twelve models.

    tools/mixture_cases.py LLAMA_CPP > tests/data/mixtures.json

LLAMA_CPP is a checkout; read are tests/snapshots/*.schema, which list for each file type the tensors that do not take
its base type. They have no shapes, and not every tensor: those are below, from the models' published configurations.
"""
import json
import pathlib
import re
import sys

# What Assay writes.
RUNGS = ("F16 BF16 Q8_0 Q6_K Q5_1 Q5_K_M Q5_K_S Q5_0 Q4_1 Q4_K_M Q4_K_S IQ4_NL IQ4_XS Q4_0 Q3_K_L Q3_K_M Q3_K_S Q2_K "
         "MXFP4_MOE").split()


def dense(width, ffn):
    return {"ffn_gate": width, "ffn_up": width, "ffn_down": ffn}


def attention(width, heads_width):
    return {"attn_q": width, "attn_k": width, "attn_v": width, "attn_output": heads_width}


def experts(width, ffn, count, shared):
    """Stacks of experts, and those that every token takes."""
    rows = {name + "_exps": [row, count] for name, row in dense(width, ffn).items()}
    if shared:
        rows |= {name + "_shexp": row for name, row in dense(width, shared).items()}
    return rows


def delta_net(width, values_width, gates):
    return {"attn_qkv": width, "attn_gate": width, "ssm_out": values_width} | {gate: width for gate in gates}


# The schema's name, then: architecture, tensors of a layer with their row lengths ([row length, matrices] for a stack).
# A tensor is in each layer that the schema names, unless LAYERS says more.
MODELS = {
    "deepseek-v3.1": ("deepseek2", {"attn_q_a": 7168, "attn_q_b": 1536, "attn_kv_a_mqa": 7168, "attn_k_b": [128, 128],
                                    "attn_v_b": [512, 128], "attn_output": 16384} | dense(7168, 18432)
                      | experts(7168, 2048, 256, 2048)),
    "gemma-3-4b-it": ("gemma3", attention(2560, 2048) | dense(2560, 10240)),
    "glm-4.6v": ("glm4moe", attention(4096, 12288) | dense(4096, 10944) | experts(4096, 1408, 128, 1408)),
    "gpt-oss-120b": ("gpt-oss", attention(2880, 4096) | experts(2880, 2880, 128, 0)),
    "meta-llama-3.1-70b-instruct": ("llama", attention(8192, 8192) | dense(8192, 28672)),
    "nemotron-nano-3-30b-a3b": ("nemotron_h_moe", attention(2688, 4096) | {"ssm_in": 2688, "ssm_out": 4096}
                                | {k: v for k, v in experts(2688, 1856, 128, 3712).items() if "gate" not in k}),
    "qwen3-0.6b": ("qwen3", attention(1024, 2048) | dense(1024, 3072)),
    "qwen3-14b": ("qwen3", attention(5120, 5120) | dense(5120, 17408)),
    "qwen3-coder-next": ("qwen3next", attention(2048, 4096) | delta_net(2048, 4096, ["ssm_ba"])
                         | experts(2048, 512, 512, 512)),
    "qwen3.5-397b-a17b": ("qwen35moe", attention(4096, 8192) | delta_net(4096, 8192, ["ssm_alpha", "ssm_beta"])
                          | experts(4096, 1024, 512, 1024)),
    "qwen3.6-27b": ("qwen35", attention(5120, 6144) | delta_net(5120, 6144, ["ssm_alpha", "ssm_beta"])
                    | dense(5120, 17408)),
    "step-3.5-flash": ("step35", attention(4096, 8192) | {"attn_gate": 4096} | dense(4096, 11264)
                       | experts(4096, 1280, 288, 1280)),
}
# Takes the base type of every rung, so that no schema lists it.
LAYERS = {("deepseek-v3.1", "attn_v_b"): range(61)}
UNTIED_BY_NAME = re.compile(r"^output\.weight ", re.M)


def ranges(layers):
    """[0, 1, 2, 5] as "0-2 5"."""
    out = []
    for layer in sorted(layers):
        if out and layer == out[-1][1] + 1:
            out[-1][1] = layer
        else:
            out.append([layer, layer])
    return " ".join(f"{a}-{b}" if a < b else str(a) for a, b in out)


def split(name):
    """"blk.3.attn_q.weight" as ("attn_q", 3); a tensor of no layer has None."""
    layer = re.fullmatch(r"blk\.(\d+)\.(.+)\.weight", name)
    return (layer[2], int(layer[1])) if layer else (name.removesuffix(".weight"), None)


def parse(text):
    """Facts of the header; {rung: (base, {(tensor, layer): type})}."""
    facts = dict(re.findall(r"(n_\w+)=(\d+)", text))
    rungs = {}
    for section in re.split(r"^\[", text, flags=re.M)[1:]:
        head, *lines = section.strip().splitlines()
        rung, base = head.split("] ")
        rungs[rung] = base, {split(name): kind for name, kind in (line.rsplit(" ", 1) for line in lines)}
    return {key: int(value) for key, value in facts.items()}, rungs


def case(path):
    text = path.read_text()
    facts, rungs = parse(text)
    architecture, rows = MODELS[path.stem]
    layers = {}
    for _, others in rungs.values():
        for name, layer in others:
            layers.setdefault(name, set()).add(layer)
    for (model, name), more in LAYERS.items():
        if model == path.stem:
            layers[name] = set(more)
    # A layer's experts come together: that a rung names one of their tensors, as a rule the second matrix, is enough.
    for down in [name for name in layers if name.startswith("ffn_down")]:
        for other in ("ffn_gate", "ffn_up"):
            name = down.replace("ffn_down", other)
            if name in rows:
                layers[name] = layers.get(name, set()) | layers[down]
    tensors = {}
    for name in ["token_embd"] + (["output"] if UNTIED_BY_NAME.search(text) else []):
        tensors[name] = [facts["n_embd"], 1, ""]
        layers.pop(name, None)
    for name, row in rows.items():
        row, count = row if isinstance(row, list) else (row, 1)
        tensors[name] = [row, count, ranges(layers.pop(name))]
    assert not layers, f"{path.stem}: no row length for {layers}"
    chosen = {}
    for rung in RUNGS:
        base, others = rungs[rung]
        lists = {}
        for (name, layer), kind in others.items():
            lists.setdefault(kind.upper(), {}).setdefault(name, []).append(layer)
        chosen[rung] = {"base": base.upper(), "others": {
            kind: {name: "" if where == [None] else ranges(where) for name, where in names.items()}
            for kind, names in lists.items()}}
    return {"model": path.stem, "architecture": architecture, "block_count": facts["n_layer"],
            "head_count": facts["n_head"], "head_count_kv": facts["n_head_kv"],
            "expert_count": facts.get("n_expert", 0), "tensors": tensors, "rungs": chosen}


def main():
    folder = pathlib.Path(sys.argv[1]) / "tests" / "snapshots"
    cases = [case(folder / f"{name}.schema") for name in MODELS]
    print(json.dumps({"source": "facts of llama.cpp's tests/snapshots (MIT licence), September 2026, commit 80fb11ac73e6; "
                                "made by tools/mixture_cases.py. tensors: row length, matrices, layers; rungs: the base, "
                                "and which tensors of which layers take another type",
                      "models": cases}, indent=0, separators=(",", ":")))


if __name__ == "__main__":
    main()
