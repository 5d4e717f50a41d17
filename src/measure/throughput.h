#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/cpu/probes.h"
#include "engine/session.h"
#include "judge/statistics.h"
#include "measure/probe.h"
#include "record/record.h"

namespace assay {

// Prompt processing (PP): one input of `tokens` random tokens. Text generation (TG): `tokens` inputs of one random
// token each. Both start with `depth` tokens in the cache, whose own time is not counted. llama-bench defines them so.
struct ThroughputTest {
  enum class Kind { kPrompt, kGenerate };
  Kind kind = Kind::kPrompt;
  int tokens = 512;
  int depth = 0;

  std::string name() const;  // "pp512", "tg128 @ d1024"
};

struct ThroughputOptions {
  int repetitions = 5;
  CacheType cache = CacheType::kF16;
  uint64_t seed = 1;
  int threads = 0;              // of the probe: as the backends have them; 0: all that the process may use
  bool placebo = true;          // the first model is measured a second time under another name, in the same rotation
  double probe_seconds = 0.25;  // for each sample of the probe
  // Called before each repetition with the share of all that is done.
  std::function<void(double)> progress = {};
};

// One test of one model.
struct ThroughputResult {
  size_t model = 0;      // index of the engine
  bool placebo = false;  // a second measurement of the first model
  ThroughputTest test;
  std::vector<Sample> samples;  // in the order taken
  Summary tok_per_s;
  std::string failure;  // which logits were not finite; the rates then say nothing

  // TG alone. Weights that a token reads (Engine::bytes_per_token) and the mean of the keys and values that it reads;
  // both count towards read_bytes_per_s, at the median rate.
  std::optional<double> weight_bytes_per_token, cache_bytes_per_token;
  std::optional<double> read_bytes_per_s, bandwidth_util;  // a share of the probe's median
  // PP alone: two operations for each parameter that a token is multiplied with, as a share of the int8 peak.
  std::optional<double> ops_per_s, ops_util;
};

struct ThroughputReport {
  // Of model 0 its tests in the order given, then of model 1, ..., and of the placebo last.
  std::vector<ThroughputResult> results;
  ProbeResult probe;
};

// Measures every test of every model once in each round, in an order shuffled anew for each, so that drift of the
// machine hits all alike; the probe runs before, between and after the rounds. Each cell is warmed up first.
ThroughputReport MeasureThroughput(std::span<Engine* const> engines, std::span<const ThroughputTest> tests,
                                   const ThroughputOptions& options);

// The steps of it. One repetition on a session that has room for depth + tokens; the session is emptied first. `work`
// is timed right before.
Sample MeasureOnce(Session& session, int vocab, const ThroughputTest& test, uint64_t seed, FixedWork& work);
// What is wrong with the last logits of a test that was just taken; empty: nothing. A value that is not finite inside a
// text spreads through the states and the attention of all that follows.
std::string FailureOf(Session& session, const Engine& engine, const ThroughputTest& test);
// MeasureOnce() without time: touches every weight and buffer.
void WarmUp(Session& session, int vocab, const ThroughputTest& test, uint64_t seed);
// The figures that follow from the samples.
ThroughputResult SummarizeThroughput(const Engine& engine, const ThroughputTest& test, std::vector<Sample> samples,
                                     CacheType cache, const ProbeResult& probe);
// The order of `cells` in a round: a permutation of 0 to cells-1.
std::vector<int> RoundOrder(int cells, int round, uint64_t seed);

// Parameters of the matrices that every token of a prompt is multiplied with: the used experts alone, and not the
// output matrix, which only the last token of a prompt needs.
uint64_t PromptParameters(const ModelSpec& spec);
// Bytes of keys and values that a token at `position` reads, its own included.
uint64_t CacheBytesRead(const ModelSpec& spec, CacheType cache, int position);

}  // namespace assay
