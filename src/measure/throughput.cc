#include "measure/throughput.h"

#include <algorithm>
#include <memory>
#include <numeric>

#include "base/clock.h"
#include "base/error.h"
#include "base/rng.h"
#include "decode/checked_tops.h"
#include "measure/environment.h"

namespace assay {
namespace {

// Enough single tokens to touch every weight and buffer before time counts.
constexpr int kWarmUpTokens = 4;

std::vector<Token> RandomTokens(int count, int vocab, Rng& rng) {
  std::vector<Token> tokens(static_cast<size_t>(count));
  for (Token& token : tokens) token = static_cast<Token>(rng.Below(static_cast<uint64_t>(vocab)));
  return tokens;
}

void RequireSensible(std::span<const ThroughputTest> tests, const ThroughputOptions& options) {
  if (options.repetitions < 1) Fail(ErrorKind::kUsage, "{} repetitions: at least 1", options.repetitions);
  for (const ThroughputTest& test : tests) {
    if (test.tokens < 1 || test.depth < 0) {
      Fail(ErrorKind::kUsage, "test {}: at least 1 token, at depth 0 or more", test.name());
    }
  }
}

// The tokens of a test, in the steps in which they are decoded.
void Decode(Session& session, std::span<const Token> tokens, ThroughputTest::Kind kind) {
  const size_t step = kind == ThroughputTest::Kind::kPrompt ? tokens.size() : 1;
  for (size_t at = 0; at < tokens.size(); at += step) session.Forward(tokens.subspan(at, step), Logits::kLast);
}

// A model's session, with room for its longest test.
std::unique_ptr<Session> OpenSession(Engine& engine, std::span<const ThroughputTest> tests, CacheType cache) {
  int context = 0;
  for (const ThroughputTest& test : tests) context = std::max(context, test.depth + test.tokens);
  return std::make_unique<Session>(engine, SessionOptions{.context = context, .cache = cache});
}

struct Cell {
  size_t model;
  size_t test;
  bool placebo = false;
  std::vector<Sample> samples = {};
  std::string failure = {};
};

// Every cell once in each round; the probe before, between and after.
void MeasureRounds(std::span<Engine* const> engines, std::span<const ThroughputTest> tests,
                   const ThroughputOptions& options, std::vector<Cell>& cells, Probe& probe) {
  std::vector<std::unique_ptr<Session>> sessions;
  for (Engine* engine : engines) sessions.push_back(OpenSession(*engine, tests, options.cache));
  // The placebo's own: nothing but the weights is shared.
  if (options.placebo) sessions.push_back(OpenSession(*engines.front(), tests, options.cache));
  const auto session = [&](const Cell& cell) -> Session& {
    return cell.placebo ? *sessions.back() : *sessions[cell.model];
  };
  const auto vocab = [&](const Cell& cell) { return engines[cell.model]->model().spec.vocab; };
  for (const Cell& cell : cells) WarmUp(session(cell), vocab(cell), tests[cell.test], options.seed);
  FixedWork work(engines.front()->backend().pool());

  const int count = static_cast<int>(cells.size());
  for (int round = 0; round < options.repetitions; ++round) {
    probe.SampleRead();
    const std::vector<int> order = RoundOrder(count, round, options.seed);
    for (int place = 0; place < count; ++place) {
      if (options.progress)
        options.progress(static_cast<double>(round * count + place) / (options.repetitions * count));
      Cell& cell = cells[static_cast<size_t>(order[static_cast<size_t>(place)])];
      // All models see the same tokens in a round.
      const uint64_t seed = options.seed + static_cast<uint64_t>(round);
      Sample sample = MeasureOnce(session(cell), vocab(cell), tests[cell.test], seed, work);
      sample.round = round;
      sample.order = place;
      cell.samples.push_back(sample);
      if (cell.failure.empty()) cell.failure = FailureOf(session(cell), *engines[cell.model], tests[cell.test]);
    }
  }
  probe.SampleRead();
}

uint64_t FfnParameters(const FfnSpec& ffn) { return ffn.gate.Elements() + ffn.up.Elements() + ffn.down.Elements(); }

uint64_t MoeParameters(const MoeSpec& moe) {
  const uint64_t all_experts = moe.gate.Elements() + moe.up.Elements() + moe.down.Elements();
  uint64_t count =
      moe.router.Elements() + all_experts / static_cast<uint64_t>(moe.experts) * static_cast<uint64_t>(moe.used);
  if (moe.shared) count += FfnParameters(*moe.shared);
  return count;
}

}  // namespace

std::string ThroughputTest::name() const {
  const std::string base = fmt::format("{}{}", kind == Kind::kPrompt ? "pp" : "tg", tokens);
  return depth > 0 ? fmt::format("{} @ d{}", base, depth) : base;
}

Sample MeasureOnce(Session& session, int vocab, const ThroughputTest& test, uint64_t seed, FixedWork& work) {
  Rng rng(seed);
  session.Truncate(0);
  if (test.depth > 0) session.Forward(RandomTokens(test.depth, vocab, rng), Logits::kNone);
  const std::vector<Token> tokens = RandomTokens(test.tokens, vocab, rng);

  Sample sample;
  const double work_seconds = work.Seconds();
  const ConditionsWatch conditions;
  const Stopwatch watch;
  Decode(session, tokens, test.kind);
  sample.seconds = watch.Seconds();
  sample.conditions = conditions.Finish();
  sample.conditions.work_seconds = work_seconds;
  sample.tokens = test.tokens;
  return sample;
}

std::string FailureOf(Session& session, const Engine& engine, const ThroughputTest& test) {
  if (session.Tops().back().finite) return "";
  return fmt::format("{}: logits that are not finite at the end of {}; {}", engine.model().file.path().string(),
                     test.name(), NonFiniteAdvice(session.cache()));
}

void WarmUp(Session& session, int vocab, const ThroughputTest& test, uint64_t seed) {
  Rng rng(seed);
  session.Truncate(0);
  const int tokens = test.kind == ThroughputTest::Kind::kGenerate ? std::min(test.tokens, kWarmUpTokens) : test.tokens;
  Decode(session, RandomTokens(tokens, vocab, rng), test.kind);
}

std::vector<int> RoundOrder(int cells, int round, uint64_t seed) {
  std::vector<int> order(static_cast<size_t>(cells));
  std::iota(order.begin(), order.end(), 0);
  // Fisher and Yates. Seeds of neighbouring rounds must not meet those of neighbouring runs.
  Rng rng(seed * 0x9E3779B97F4A7C15ULL + static_cast<uint64_t>(round));
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.Below(i)]);
  return order;
}

ThroughputResult SummarizeThroughput(const Engine& engine, const ThroughputTest& test, std::vector<Sample> samples,
                                     CacheType cache, const ProbeResult& probe) {
  ThroughputResult result;
  result.test = test;
  std::vector<double> rates;
  rates.reserve(samples.size());
  for (const Sample& sample : samples) rates.push_back(sample.tok_per_s());
  result.samples = std::move(samples);
  result.tok_per_s = Summarize(rates);
  const ModelSpec& spec = engine.model().spec;
  if (test.kind == ThroughputTest::Kind::kPrompt) {
    result.ops_per_s = 2.0 * static_cast<double>(PromptParameters(spec)) * result.tok_per_s.median;
    if (probe.int8_ops > 0.0) result.ops_util = *result.ops_per_s / probe.int8_ops;
    return result;
  }
  double cache_bytes = 0.0;
  for (int i = 0; i < test.tokens; ++i) cache_bytes += static_cast<double>(CacheBytesRead(spec, cache, test.depth + i));
  result.cache_bytes_per_token = cache_bytes / test.tokens;
  result.weight_bytes_per_token = static_cast<double>(engine.bytes_per_token());
  result.read_bytes_per_s = (*result.weight_bytes_per_token + *result.cache_bytes_per_token) * result.tok_per_s.median;
  if (probe.read_bytes_per_s > 0.0) result.bandwidth_util = *result.read_bytes_per_s / probe.read_bytes_per_s;
  return result;
}

ThroughputReport MeasureThroughput(std::span<Engine* const> engines, std::span<const ThroughputTest> tests,
                                   const ThroughputOptions& options) {
  RequireSensible(tests, options);
  std::vector<Cell> cells;
  for (size_t model = 0; model < engines.size(); ++model) {
    for (size_t test = 0; test < tests.size(); ++test) cells.push_back({.model = model, .test = test});
  }
  for (size_t test = 0; options.placebo && test < tests.size(); ++test) {
    cells.push_back({.model = 0, .test = test, .placebo = true});
  }
  Probe probe(options.threads, options.probe_seconds);
  probe.SamplePeak();
  MeasureRounds(engines, tests, options, cells, probe);
  probe.SamplePeak();

  ThroughputReport report;
  report.probe = probe.Result();
  for (Cell& cell : cells) {
    report.results.push_back(SummarizeThroughput(*engines[cell.model], tests[cell.test], std::move(cell.samples),
                                                 options.cache, report.probe));
    report.results.back().model = cell.model;
    report.results.back().placebo = cell.placebo;
    report.results.back().failure = std::move(cell.failure);
  }
  return report;
}

uint64_t PromptParameters(const ModelSpec& spec) {
  uint64_t count = 0;
  for (const LayerSpec& layer : spec.layers) {
    if (const auto& a = layer.attention)
      count += a->q.Elements() + a->gate.Elements() + a->k.Elements() + a->v.Elements() + a->output.Elements();
    if (const auto& d = layer.delta_net) {
      count += d->qkv.Elements() + d->gate.Elements() + d->alpha.Elements() + d->beta.Elements() + d->output.Elements();
    }
    if (layer.ffn) count += FfnParameters(*layer.ffn);
    if (layer.moe) count += MoeParameters(*layer.moe);
    if (layer.input) count += layer.input->gate.Elements() + layer.input->projection.Elements();
  }
  if (spec.per_layer_inputs) count += spec.per_layer_inputs->projection.Elements();
  return count;
}

uint64_t CacheBytesRead(const ModelSpec& spec, CacheType cache, int position) {
  uint64_t values = 0;
  for (const LayerSpec& layer : spec.layers) {
    if (!layer.attention) continue;
    const AttentionSpec& attention = *layer.attention;
    const int seen = attention.window > 0 ? std::min(position + 1, attention.window) : position + 1;
    values += 2 * static_cast<uint64_t>(attention.kv_heads) * static_cast<uint64_t>(attention.head_dim) *
              static_cast<uint64_t>(seen);
  }
  return values * (cache == CacheType::kF16 ? 2 : 4);
}

}  // namespace assay
