#include "cli/command.h"

namespace assay {
namespace {

constexpr Command kCommands[] = {
    {"generate", "continue a text, with a draft model's help if there is one",
     "assay generate -m models/tiny-qwen35.gguf -p 'It is a truth' -n 50 --draft models/tiny-qwen35-draft.gguf -k 4",
     AddGenerate},
    {"inspect", "show a model file's metadata, layers, tensors and bytes by type",
     "assay inspect models/tiny-qwen35.gguf", AddInspect},
    {"tokenize", "show the tokens of a text, as a model's run has them",
     "assay tokenize models/tiny-qwen35.gguf -p 'It is a truth'", AddTokenize},
    {"quantize", "write a model at a rung of the quantisation ladder",
     "assay quantize models/tiny-qwen35.gguf /tmp/tiny-Q4_K_M.gguf Q4_K_M", AddQuantize},
    {"perplexity", "measure a model's perplexity on a text, alone or against a base model",
     "assay perplexity -m models/tiny-qwen35.gguf -f models/eval_prose.txt --windows 40", AddPerplexity},
    {"bench", "measure prompt processing and text generation, several models in turns",
     "assay bench -m models/tiny-qwen35.gguf models/tiny-qwen35-draft.gguf -p 512 -n 128", AddBench},
    {"compare", "compare two models of one tokenizer: size, perplexity, divergence, speed, and what can be told apart",
     "assay compare models/tiny-qwen35.gguf models/tiny-qwen35-draft.gguf --text models/eval_prose.txt", AddCompare},
    {"ladder", "quantise a model at every rung, measure size, speed and quality, and say which rung to take",
     "assay ladder models/tiny-qwen35.gguf --text models/eval_prose.txt --types F16,Q8_0,Q4_K_M", AddLadder},
    {"draft-server", "serve a draft model to other machines, which name it with --draft grpc://HOST:PORT",
     "assay draft-server -m models/tiny-qwen35-draft.gguf --listen 127.0.0.1:50061", AddDraftServer},
    {"machine", "show this machine: processor, memory, measured read bandwidth and peak rates", "assay machine",
     AddMachine},
    {"merge", "bring databases of several machines together and show each model's speed on all of them",
     "assay merge laptop.db server.db -o all.db", AddMerge},
    {"speculate", "measure speculative decoding against its own baseline, and say whether it gains",
     "assay speculate --target models/tiny-qwen35.gguf --draft models/tiny-qwen35-draft.gguf self:Q2_K -k 4,8",
     AddSpeculate},
    {"synth", "write a model of a real model's shape with random weights, for throughput alone",
     "assay synth --arch qwen35 --preset 0.8B --type Q4_K_M /tmp/synth-0.8B-Q4_K_M.gguf", AddSynth},
};

}  // namespace

std::span<const Command> Commands() { return kCommands; }

}  // namespace assay
