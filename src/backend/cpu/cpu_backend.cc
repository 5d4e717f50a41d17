#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "backend/cpu/activations.h"
#include "backend/cpu/aligned.h"
#include "backend/cpu/cpu_weight.h"
#include "backend/cpu/isa.h"
#include "backend/cpu/product.h"
#include "backend/cpu/rope.h"
#include "base/error.h"
#include "base/thread_pool.h"

namespace assay {
namespace {

using cpu::AlignedBytes;
using cpu::CpuWeight;

// Work below this many values stays with the caller: waking the others would take longer.
constexpr int64_t kValuesWorthSharing = 16384;
// Scores that a task of the attention keeps, so that they stay in the second-level cache.
constexpr int64_t kAttendScores = 65536;
constexpr int kAttendTokens = 16;
// State rows of a task of the delta rule: a multiple of what the kernels keep in registers.
constexpr int kDeltaTaskRows = 48;

class CpuBuffer : public Buffer {
 public:
  explicit CpuBuffer(size_t bytes) : bytes_(bytes) {}
  size_t bytes() const override { return bytes_.size(); }
  void* data() override { return bytes_.data(); }

 private:
  AlignedBytes bytes_;
};

template <typename Kind = CpuWeight>
const Kind& Own(const Weight& weight) {
  const auto* own = dynamic_cast<const Kind*>(&weight);
  if (own == nullptr) Fail(ErrorKind::kInternal, "a weight of another backend or use was given to backend cpu");
  return *own;
}

class CpuBackend : public Backend {
 public:
  CpuBackend(int threads, std::string_view variant) : kernels_(cpu::KernelsFor(variant)), pool_(threads) {}

  std::string name() const override { return "cpu"; }
  std::string description() const override {
    return fmt::format("cpu: {}, {} {}", kernels_.name, pool_.size(), pool_.size() == 1 ? "thread" : "threads");
  }
  ThreadPool& pool() override { return pool_; }

  std::string_view Describe(Arithmetic arithmetic) const override {
    return arithmetic == Arithmetic::kFine ? "int16 in blocks of 32" : "int8 in blocks of 32";
  }

  std::unique_ptr<Weight> Load(const WeightSource& source) override {
    return std::make_unique<CpuWeight>(source, pool_, arena_);
  }
  std::unique_ptr<Weight> LoadTable(const WeightSource& source) override {
    return std::make_unique<cpu::CpuTable>(source);
  }
  std::unique_ptr<Buffer> Allocate(size_t bytes) override { return std::make_unique<CpuBuffer>(bytes); }
  void Write(void* destination, const void* host, size_t bytes) override { std::memcpy(destination, host, bytes); }
  void Read(const void* source, void* host, size_t bytes) override { std::memcpy(host, source, bytes); }
  void Copy(void* destination, const void* source, size_t bytes) override { std::memcpy(destination, source, bytes); }
  void Zero(void* destination, size_t bytes) override { std::memset(destination, 0, bytes); }

  void Embed(const Weight& table, std::span<const int32_t> tokens, float scale, float* out) override {
    const auto& own = Own<cpu::CpuTable>(table);
    ForWork(static_cast<int64_t>(tokens.size()), own.columns, [&](int64_t t) {
      float* row = out + t * own.columns;
      own.DecodeRow(tokens[static_cast<size_t>(t)], row);
      if (scale == 1.0F) return;
      for (int64_t i = 0; i < own.columns; ++i) row[i] *= scale;
    });
  }

  void MatMul(std::span<const MatMulTarget> targets, const float* in, int tokens, Arithmetic arithmetic) override {
    cpu::EncodingSet encodings;
    std::vector<cpu::Product> products;
    for (const MatMulTarget& target : targets) {
      const CpuWeight& weight = Own(*target.weight);
      encodings.Add(cpu::EncodingFor(kernels_, weight.packing(), tokens, arithmetic));
      products.push_back({&weight, 0, 0, tokens, target.out});
    }
    activations_.Encode(kernels_, pool_, in, tokens, targets.front().weight->columns, encodings, arithmetic);
    cpu::RunProducts(kernels_, pool_, products, activations_, arithmetic);
  }

  void RmsNorm(const float* in, const float* weight, float eps, int64_t rows, int width, int64_t stride,
               float* out) override {
    ForWork(rows, width, [&](int64_t r) { kernels_.rms_norm(in + r * stride, weight, eps, width, out + r * stride); });
  }

  void LayerNorm(const float* in, const float* weight, const float* bias, float eps, int64_t rows, int width,
                 int64_t stride, float* out) override {
    ForWork(rows, width,
            [&](int64_t r) { kernels_.layer_norm(in + r * stride, weight, bias, eps, width, out + r * stride); });
  }

  void Rope(float* heads, int tokens, int head_count, int head_dim, int64_t stride, int first,
            const RopeParams& rope) override {
    const cpu::RopeTables::Table& table = rope_tables_.Get(first, tokens, rope);
    ForWork(tokens, int64_t{head_count} * rope.dimensions,
            [&](int64_t t) { cpu::RotateHeads(heads + t * stride, head_count, head_dim, table, static_cast<int>(t)); });
  }

  void StoreKv(const KvLayer& cache, const float* keys, const float* values, int tokens, int first,
               int kv_width) override {
    ForWork(tokens, 2 * int64_t{kv_width}, [&](int64_t t) {
      const auto cell = static_cast<size_t>((first + t) % cache.cells);
      StoreCell(*cache.keys, cache.type, cell, keys + t * kv_width, kv_width);
      StoreCell(*cache.values, cache.type, cell, values + t * kv_width, kv_width);
    });
  }

  void Attention(const float* queries, const KvLayer& cache, int tokens, int first, const AttentionParams& params,
                 float* out) override;

  void ConvSilu(const float* inputs, const float* weight, int tokens, int channels, int window, float* out) override {
    if (window > cpu::kMostConvTaps) {
      Fail(ErrorKind::kUnsupported, "backend cpu: a convolution over {} inputs; at most {}", window,
           cpu::kMostConvTaps);
    }
    const cpu::ConvArgs args = {inputs, weight, tokens, channels, window, out};
    constexpr int kChannels = 512;
    ForWork((channels + kChannels - 1) / kChannels, int64_t{kChannels} * tokens * window, [&](int64_t i) {
      const int begin = static_cast<int>(i) * kChannels;
      kernels_.conv_silu(args, begin, std::min(channels, begin + kChannels));
    });
  }

  void DeltaNet(const float* qkv, const float* alpha, const float* beta, const float* dt_bias, const float* a,
                float* state, int tokens, const DeltaNetParams& params, const DeltaNetLog& log, float* out) override;
  void DeltaNetReplay(const float* steps, int tokens, const DeltaNetParams& params, float* state) override;

  void Activate(Activation activation, float* x, int64_t count) override {
    const auto act = activation == Activation::kSilu ? kernels_.silu : kernels_.gelu;
    ForSpans(count, [&](int64_t i, int64_t n) { act(x + i, n); });
  }

  void GatedActivation(Activation activation, const float* gate, const float* up, int64_t count, float* out) override {
    const auto product = activation == Activation::kSilu       ? kernels_.silu_product
                         : activation == Activation::kGeluTanh ? kernels_.gelu_product
                                                               : kernels_.clamped_swiglu;
    ForSpans(count, [&](int64_t i, int64_t n) { product(gate + i, up + i, n, out + i); });
  }

  void SigmoidGate(float* x, const float* gate, int64_t rows, int width, int64_t x_stride,
                   int64_t gate_stride) override {
    ForWork(rows, width, [&](int64_t r) { kernels_.sigmoid_product(x + r * x_stride, gate + r * gate_stride, width); });
  }

  void SiluGate(float* x, const float* gate, int64_t count) override {
    ForSpans(count, [&](int64_t i, int64_t n) { kernels_.silu_product(gate + i, x + i, n, x + i); });
  }

  void Add(float* x, const float* y, float factor, int64_t count) override {
    ForSpans(count, [&](int64_t i, int64_t n) { kernels_.add_scaled(factor, y + i, n, x + i); });
  }

  void AddToRows(float* x, const float* y, int64_t rows, int width) override {
    ForWork(rows, width, [&](int64_t r) { kernels_.add_scaled(1.0F, y, width, x + r * width); });
  }

  void Scale(float* x, float factor, int64_t count) override {
    ForSpans(count, [&](int64_t i, int64_t n) {
      for (int64_t k = i; k < i + n; ++k) x[k] *= factor;
    });
  }

  void SoftCap(float* x, float cap, int64_t count) override {
    ForSpans(count, [&](int64_t i, int64_t n) { kernels_.soft_cap(x + i, cap, n); });
  }

  void Moe(const float* in, const float* router_logits, const MoeWeights& weights, const MoeParams& params, int tokens,
           Arithmetic arithmetic, float* out) override;

  void AddGatedShared(const float* in, const float* gate_weight, const float* shared, int tokens, int width,
                      float* out) override {
    ForWork(tokens, 2 * int64_t{width}, [&](int64_t t) {
      const float logit = kernels_.sum_of_products(gate_weight, in + t * width, width);
      kernels_.add_scaled(1.0F / (1.0F + std::exp(-logit)), shared + t * width, width, out + t * width);
    });
  }

  void Tops(const float* logits, int width, std::span<RowTop> tops) override {
    ForWork(static_cast<int64_t>(tops.size()), width, [&](int64_t r) {
      const cpu::LargestOfRow largest = kernels_.largest_of_row(logits + r * width, width);
      tops[static_cast<size_t>(r)] = {static_cast<int32_t>(largest.index), largest.finite};
    });
  }

  double TopProbability(const float* logits, int width, int32_t top) override {
    return 1.0 / kernels_.sum_of_exponentials(logits, width, logits[top]);
  }

 private:
  // body(i) for i below count, each of about `values` values: in parallel when that pays.
  template <typename Body>
  void ForWork(int64_t count, int64_t values, const Body& body) {
    if (count * values >= kValuesWorthSharing) {
      const int64_t together = std::max<int64_t>(1, kValuesWorthSharing / 8 / std::max<int64_t>(1, values));
      pool_.ParallelFor((count + together - 1) / together, [&](int64_t task) {
        for (int64_t i = task * together; i < std::min(count, (task + 1) * together); ++i) body(i);
      });
    } else {
      for (int64_t i = 0; i < count; ++i) body(i);
    }
  }

  // body(first, n) for spans that make up `count` values.
  template <typename Body>
  void ForSpans(int64_t count, const Body& body) {
    constexpr int64_t kSpan = 4096;
    ForWork((count + kSpan - 1) / kSpan, kSpan,
            [&](int64_t i) { body(i * kSpan, std::min(kSpan, count - i * kSpan)); });
  }

  void StoreCell(Buffer& cells, CacheType type, size_t cell, const float* from, int width) const {
    const auto values = static_cast<size_t>(width);
    if (type == CacheType::kF32) {
      std::memcpy(cells.floats() + cell * values, from, values * sizeof(float));
    } else {
      kernels_.to_half(from, width, static_cast<uint8_t*>(cells.data()) + cell * values * 2);
    }
  }

  const cpu::KernelTable kernels_;
  ThreadPool pool_;
  cpu::WeightArena arena_;
  cpu::Activations activations_, gathered_;
  cpu::RopeTables rope_tables_;
  // Work space, kept from call to call.
  std::vector<float> delta_keys_, delta_gates_;
  std::vector<float> moe_gate_, moe_up_, moe_out_;
};

void CpuBackend::Attention(const float* queries, const KvLayer& cache, int tokens, int first,
                           const AttentionParams& params, float* out) {
  const int group = params.heads / params.kv_heads;
  const int longest = first + tokens;
  const int span = params.window > 0 ? std::min(longest, params.window + kAttendTokens) : longest;
  const auto fit = static_cast<int>(kAttendScores / (int64_t{group} * span));
  const int tile = std::clamp(std::min(fit, tokens), 1, kAttendTokens);
  const int64_t tiles = (tokens + tile - 1) / tile;
  // Few tasks for many threads: the heads of a group are split too.
  const int64_t tasks_by_group = tiles * params.kv_heads;
  const int parts = tasks_by_group >= pool_.size()
                        ? 1
                        : std::min<int>(group, (pool_.size() + static_cast<int>(tasks_by_group) - 1) /
                                                   static_cast<int>(tasks_by_group));
  const int heads_per_part = (group + parts - 1) / parts;
  const bool half = cache.type == CacheType::kF16;
  const int64_t value_bytes = half ? 2 : 4;
  const int64_t width = int64_t{params.heads} * params.head_dim;

  const auto run = [&](int64_t index) {
    // The longest tasks come first, so that the threads end together.
    const int64_t t = tiles - 1 - index / (int64_t{params.kv_heads} * parts);
    const int64_t kv_head = index / parts % params.kv_heads;
    const int first_head = static_cast<int>(index % parts) * heads_per_part;
    cpu::AttendArgs args;
    args.heads = std::min(heads_per_part, group - first_head);
    if (args.heads <= 0) return;
    args.tokens = std::min(tile, tokens - static_cast<int>(t) * tile);
    args.first = first + static_cast<int>(t) * tile;
    args.head_dim = params.head_dim;
    const int64_t offset = t * tile * width + (kv_head * group + first_head) * params.head_dim;
    args.queries = queries + offset;
    args.query_stride = args.out_stride = width;
    args.cell_bytes = int64_t{params.kv_heads} * params.head_dim * value_bytes;
    args.keys = static_cast<const uint8_t*>(cache.keys->data()) + kv_head * params.head_dim * value_bytes;
    args.values = static_cast<const uint8_t*>(cache.values->data()) + kv_head * params.head_dim * value_bytes;
    args.cells = cache.cells;
    args.half = half;
    args.scale = params.scale;
    args.softcap = params.softcap;
    if (params.sinks != nullptr) args.sinks = params.sinks + kv_head * group + first_head;
    args.window = params.window;
    args.out = out + offset;
    thread_local AlignedBytes scratch;
    const int seen = args.first + args.tokens - cpu::AttendBase(args.first, args.window);
    scratch.Reserve(static_cast<size_t>(cpu::AttendScratch(args.heads, args.tokens, seen, args.head_dim)) *
                    sizeof(float));
    args.scratch = reinterpret_cast<float*>(scratch.data());
    kernels_.attend(args);
  };
  const int64_t tasks = tasks_by_group * parts;
  if (int64_t{tokens} * longest * width < kValuesWorthSharing) {
    for (int64_t i = 0; i < tasks; ++i) run(i);
  } else {
    pool_.ParallelFor(tasks, run);
  }
}

void CpuBackend::DeltaNet(const float* qkv, const float* alpha, const float* beta, const float* dt_bias, const float* a,
                          float* state, int tokens, const DeltaNetParams& params, const DeltaNetLog& log, float* out) {
  const int d = params.head_dim;
  const int heads = params.value_heads;
  if (d > 16 * cpu::kMostStateVectors) {
    Fail(ErrorKind::kUnsupported, "backend cpu: a delta-net head of {} values; at most {}", d,
         16 * cpu::kMostStateVectors);
  }
  const int64_t key_width = int64_t{params.key_heads} * d;
  const int64_t qkv_width = 2 * key_width + int64_t{heads} * d;
  const int64_t log_stride = int64_t{heads} * (2 * d + 1);
  const auto tokens_wide = static_cast<size_t>(tokens);
  delta_keys_.resize(tokens_wide * static_cast<size_t>(2 * key_width));
  delta_gates_.resize(tokens_wide * static_cast<size_t>(2 * heads));
  float* decays = delta_gates_.data();
  float* betas = decays + int64_t{tokens} * heads;

  ForWork(tokens, 2 * key_width + 64 * heads, [&](int64_t t) {
    for (int h = 0; h < 2 * params.key_heads; ++h) {  // the queries' heads, then the keys'
      kernels_.l2_norm(qkv + t * qkv_width + h * d, params.norm_eps, d, delta_keys_.data() + t * 2 * key_width + h * d);
    }
    for (int h = 0; h < heads; ++h) {
      const double x = static_cast<double>(alpha[t * heads + h]) + static_cast<double>(dt_bias[h]);
      const double softplus = x > 20.0 ? x : std::log1p(std::exp(x));
      decays[t * heads + h] = static_cast<float>(std::exp(std::min(softplus * static_cast<double>(a[h]), 50.0)));
      betas[t * heads + h] = static_cast<float>(1.0 / (1.0 + std::exp(-static_cast<double>(beta[t * heads + h]))));
      if (log.steps == nullptr) continue;
      float* step = log.steps + (log.pending + t) * log_stride + int64_t{h} * (2 * d + 1);
      const float* key = delta_keys_.data() + t * 2 * key_width + key_width + int64_t{params.KeyHeadOf(h)} * d;
      std::copy_n(key, d, step);
      step[2 * d] = decays[t * heads + h];
    }
  });

  const int64_t parts = (d + kDeltaTaskRows - 1) / kDeltaTaskRows;
  ForWork(heads * parts, int64_t{kDeltaTaskRows} * d * tokens, [&](int64_t i) {
    const int64_t h = i / parts;
    const int first_row = static_cast<int>(i % parts) * kDeltaTaskRows;
    cpu::DeltaArgs args;
    args.queries = delta_keys_.data() + int64_t{params.KeyHeadOf(static_cast<int>(h))} * d;
    args.keys = args.queries + key_width;
    args.key_stride = 2 * key_width;
    args.values = qkv + 2 * key_width + h * d;
    args.value_stride = qkv_width;
    args.decays = decays + h;
    args.betas = betas + h;
    args.gate_stride = heads;
    args.state = state + h * d * d;
    args.tokens = tokens;
    args.head_dim = d;
    args.out_scale = 1.0F / std::sqrt(static_cast<float>(d));
    args.out = out + h * d;
    args.out_stride = int64_t{heads} * d;
    if (log.steps != nullptr) args.steps = log.steps + h * (2 * d + 1);
    args.step_stride = log_stride;
    args.pending = log.pending;
    kernels_.delta(args, first_row, std::min(d, first_row + kDeltaTaskRows));
  });
}

void CpuBackend::DeltaNetReplay(const float* steps, int tokens, const DeltaNetParams& params, float* state) {
  const int d = params.head_dim;
  const int64_t parts = (d + kDeltaTaskRows - 1) / kDeltaTaskRows;
  ForWork(params.value_heads * parts, int64_t{kDeltaTaskRows} * d * tokens, [&](int64_t i) {
    const int64_t h = i / parts;
    const int first_row = static_cast<int>(i % parts) * kDeltaTaskRows;
    const cpu::ReplayArgs args = {steps + h * (2 * d + 1), int64_t{params.value_heads} * (2 * d + 1), state + h * d * d,
                                  tokens, d};
    kernels_.replay(args, first_row, std::min(d, first_row + kDeltaTaskRows));
  });
}

// A token's expert and its weight in the sum.
struct Choice {
  int32_t token;
  int32_t expert;
  float weight;
};

// The `used` largest logits of a token (ties: the lower index), largest first, with softmax weights: among themselves
// (renormalising a softmax over all gives the same) or among all. Where a logit is not finite the order means nothing:
// the first ones are chosen, with weights that make the result show it.
void ChooseExperts(const float* logits, int experts, const Backend::MoeParams& params, int32_t token,
                   std::vector<Choice>& choices) {
  const int used = params.used;
  if (!std::all_of(logits, logits + experts, [](float logit) { return std::isfinite(logit); })) {
    for (int i = 0; i < used; ++i) choices.push_back({token, i, std::numeric_limits<float>::quiet_NaN()});
    return;
  }
  std::vector<int32_t> order(static_cast<size_t>(experts));
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + used, order.end(),
                    [&](int32_t x, int32_t y) { return logits[x] != logits[y] ? logits[x] > logits[y] : x < y; });
  const auto exponential = [&](int32_t expert) {
    return std::exp(static_cast<double>(logits[expert]) - static_cast<double>(logits[order[0]]));
  };
  double sum = 0;
  if (params.renormalise) {
    for (int i = 0; i < used; ++i) sum += exponential(order[static_cast<size_t>(i)]);
  } else {
    for (int32_t e = 0; e < experts; ++e) sum += exponential(e);
  }
  for (int i = 0; i < used; ++i) {
    const int32_t expert = order[static_cast<size_t>(i)];
    double weight = exponential(expert) / sum * static_cast<double>(params.scale);
    if (params.expert_scale != nullptr) weight *= static_cast<double>(params.expert_scale[expert]);
    choices.push_back({token, expert, static_cast<float>(weight)});
  }
}

void CpuBackend::Moe(const float* in, const float* router_logits, const MoeWeights& weights, const MoeParams& params,
                     int tokens, Arithmetic arithmetic, float* out) {
  const int used = params.used;
  const CpuWeight& gate = Own(*weights.gate);
  const CpuWeight& up = Own(*weights.up);
  const CpuWeight& down = Own(*weights.down);
  std::vector<Choice> choices;
  for (int t = 0; t < tokens; ++t) {
    ChooseExperts(router_logits + t * gate.experts, static_cast<int>(gate.experts), params, t, choices);
  }
  // Rows of the gathered batch, expert by expert; row_of[token * used + rank] finds a choice again.
  std::vector<int32_t> order(choices.size()), row_of(choices.size()), token_of(choices.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](int32_t i) { return choices[static_cast<size_t>(i)].expert; });
  for (size_t row = 0; row < order.size(); ++row) {
    row_of[static_cast<size_t>(order[row])] = static_cast<int32_t>(row);
    token_of[row] = choices[static_cast<size_t>(order[row])].token;
  }
  const auto rows = static_cast<int64_t>(order.size());
  // The products of all experts with their rows, and what they need of the activations.
  cpu::EncodingSet encodings;
  const auto products_of = [&](const CpuWeight& weight, float* result, std::vector<cpu::Product>& products) {
    for (int64_t begin = 0, end = 0; begin < rows; begin = end) {
      const int32_t expert = choices[static_cast<size_t>(order[static_cast<size_t>(begin)])].expert;
      while (end < rows && choices[static_cast<size_t>(order[static_cast<size_t>(end)])].expert == expert) ++end;
      const auto count = static_cast<int>(end - begin);
      encodings.Add(cpu::EncodingFor(kernels_, weight.packing(), count, arithmetic));
      products.push_back({&weight, expert, static_cast<int>(begin), count, result + begin * weight.rows});
    }
  };
  const auto add_bias = [&](const float* bias, int64_t width, float* result) {
    if (bias == nullptr) return;
    ForWork(rows, width, [&](int64_t row) {
      const int32_t expert = choices[static_cast<size_t>(order[static_cast<size_t>(row)])].expert;
      kernels_.add_scaled(1.0F, bias + expert * width, width, result + row * width);
    });
  };
  moe_gate_.resize(static_cast<size_t>(rows * gate.rows));
  moe_up_.resize(static_cast<size_t>(rows * up.rows));
  moe_out_.resize(static_cast<size_t>(rows * down.rows));
  std::vector<cpu::Product> first, second;
  products_of(gate, moe_gate_.data(), first);
  products_of(up, moe_up_.data(), first);
  activations_.Encode(kernels_, pool_, in, tokens, gate.columns, encodings, arithmetic);
  gathered_.Gather(activations_, token_of.data(), static_cast<int>(rows));
  cpu::RunProducts(kernels_, pool_, first, gathered_, arithmetic);
  add_bias(weights.gate_bias, gate.rows, moe_gate_.data());
  add_bias(weights.up_bias, up.rows, moe_up_.data());
  GatedActivation(params.activation, moe_gate_.data(), moe_up_.data(), rows * gate.rows, moe_gate_.data());
  encodings = {};
  products_of(down, moe_out_.data(), second);
  activations_.Encode(kernels_, pool_, moe_gate_.data(), static_cast<int>(rows), down.columns, encodings, arithmetic);
  cpu::RunProducts(kernels_, pool_, second, activations_, arithmetic);
  add_bias(weights.down_bias, down.rows, moe_out_.data());
  ForWork(tokens, used * down.rows, [&](int64_t t) {
    for (int64_t i = t * used; i < (t + 1) * used; ++i) {  // the largest weight first
      const float* result = moe_out_.data() + row_of[static_cast<size_t>(i)] * down.rows;
      kernels_.add_scaled(choices[static_cast<size_t>(i)].weight, result, down.rows, out + t * down.rows);
    }
  });
}

}  // namespace

std::unique_ptr<Backend> MakeCpuBackend(int threads, std::string_view variant) {
  return std::make_unique<CpuBackend>(threads, variant);
}

}  // namespace assay
