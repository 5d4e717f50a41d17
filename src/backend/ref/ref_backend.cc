#include "backend/ref/ref_backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <vector>

#include "backend/ref/ref_delta_net.h"
#include "backend/ref/ref_math.h"
#include "base/error.h"
#include "base/half.h"
#include "base/thread_pool.h"

namespace assay {
namespace {

constexpr size_t kAlignment = 64;

class HostBuffer : public Buffer {
 public:
  explicit HostBuffer(size_t bytes)
      : bytes_(bytes), data_(::operator new (std::max<size_t>(bytes, 1), std::align_val_t{kAlignment})) {
    std::memset(data_, 0, bytes);
  }
  ~HostBuffer() override { ::operator delete (data_, std::align_val_t{kAlignment}); }
  HostBuffer(const HostBuffer&) = delete;
  HostBuffer& operator=(const HostBuffer&) = delete;

  size_t bytes() const override { return bytes_; }
  void* data() override { return data_; }

 private:
  size_t bytes_;
  void* data_;
};

// The file's own bytes, decoded row by row whenever they are used.
class FileWeight : public Weight {
 public:
  explicit FileWeight(const WeightSource& source) : data_(source.data.data()) {
    format = source.format;
    rows = source.rows;
    columns = source.columns;
    experts = source.experts;
  }

  void DecodeRow(int64_t expert, int64_t row, float* out) const {
    const FormatTraits& traits = TraitsOf(format);
    const uint64_t row_bytes = BytesOf(traits, static_cast<uint64_t>(columns));
    traits.decode(data_ + static_cast<uint64_t>(expert * rows + row) * row_bytes, out, columns);
  }

 private:
  const uint8_t* data_;
};

const FileWeight& AsFileWeight(const Weight& weight) { return static_cast<const FileWeight&>(weight); }

float* CacheRowF32(const KvLayer& cache, Buffer& buffer, int position, int width) {
  return buffer.floats() + static_cast<int64_t>(position % cache.cells) * width;
}

uint16_t* CacheRowF16(const KvLayer& cache, Buffer& buffer, int position, int width) {
  return static_cast<uint16_t*>(buffer.data()) + static_cast<int64_t>(position % cache.cells) * width;
}

void StoreRow(const KvLayer& cache, Buffer& buffer, int position, int width, const float* row) {
  if (cache.type == CacheType::kF32) {
    std::copy_n(row, width, CacheRowF32(cache, buffer, position, width));
    return;
  }
  uint16_t* cell = CacheRowF16(cache, buffer, position, width);
  for (int i = 0; i < width; ++i) cell[i] = FloatToHalf(row[i]);
}

// Values [offset, offset + count) of the row of a position.
void LoadRow(const KvLayer& cache, Buffer& buffer, int position, int width, int offset, int count, float* out) {
  if (cache.type == CacheType::kF32) {
    std::copy_n(CacheRowF32(cache, buffer, position, width) + offset, count, out);
    return;
  }
  const uint16_t* cell = CacheRowF16(cache, buffer, position, width) + offset;
  for (int i = 0; i < count; ++i) out[i] = HalfToFloat(cell[i]);
}

class RefBackend : public Backend {
 public:
  explicit RefBackend(int threads) : pool_(threads) {}

  std::string name() const override { return "ref"; }
  std::string description() const override {
    return fmt::format("ref: scalar, double accumulation, {} thread(s)", pool_.size());
  }
  ThreadPool& pool() override { return pool_; }

  std::string_view Describe(Arithmetic /*arithmetic*/) const override { return "float"; }

  std::unique_ptr<Weight> Load(const WeightSource& source) override { return std::make_unique<FileWeight>(source); }
  std::unique_ptr<Weight> LoadTable(const WeightSource& source) override { return Load(source); }
  std::unique_ptr<Buffer> Allocate(size_t bytes) override { return std::make_unique<HostBuffer>(bytes); }
  void Write(void* destination, const void* host, size_t bytes) override { std::memcpy(destination, host, bytes); }
  void Read(const void* source, void* host, size_t bytes) override { std::memcpy(host, source, bytes); }
  void Copy(void* destination, const void* source, size_t bytes) override { std::memcpy(destination, source, bytes); }
  void Zero(void* destination, size_t bytes) override { std::memset(destination, 0, bytes); }

  void Embed(const Weight& table, std::span<const int32_t> tokens, float scale, float* out) override {
    for (size_t t = 0; t < tokens.size(); ++t) {
      float* row = out + static_cast<int64_t>(t) * table.columns;
      AsFileWeight(table).DecodeRow(0, tokens[t], row);
      for (int64_t i = 0; i < table.columns; ++i) row[i] *= scale;
    }
  }

  void MatMul(std::span<const MatMulTarget> targets, const float* in, int tokens, Arithmetic /*arithmetic*/) override {
    for (const MatMulTarget& target : targets) MatMulOne(AsFileWeight(*target.weight), 0, in, tokens, target.out);
  }

  void RmsNorm(const float* in, const float* weight, float eps, int64_t rows, int width, int64_t stride,
               float* out) override {
    for (int64_t r = 0; r < rows; ++r) {
      const float* x = in + r * stride;
      const double inverse = 1.0 / std::sqrt(Dot(x, x, width) / width + static_cast<double>(eps));
      for (int i = 0; i < width; ++i) {
        out[r * stride + i] = static_cast<float>(static_cast<double>(x[i]) * inverse * static_cast<double>(weight[i]));
      }
    }
  }

  void LayerNorm(const float* in, const float* weight, const float* bias, float eps, int64_t rows, int width,
                 int64_t stride, float* out) override {
    for (int64_t r = 0; r < rows; ++r) {
      const float* x = in + r * stride;
      double mean = 0.0, squares = 0.0;
      for (int i = 0; i < width; ++i) mean += static_cast<double>(x[i]) / width;
      for (int i = 0; i < width; ++i) squares += std::pow(static_cast<double>(x[i]) - mean, 2);
      const double inverse = 1.0 / std::sqrt(squares / width + static_cast<double>(eps));
      for (int i = 0; i < width; ++i) {
        const double shift = bias == nullptr ? 0.0 : static_cast<double>(bias[i]);
        const double value = (static_cast<double>(x[i]) - mean) * inverse * static_cast<double>(weight[i]) + shift;
        out[r * stride + i] = static_cast<float>(value);
      }
    }
  }

  void Rope(float* heads, int tokens, int head_count, int head_dim, int64_t stride, int first,
            const RopeParams& rope) override {
    const int half = rope.dimensions / 2;
    const auto magnitude = static_cast<double>(rope.magnitude);
    for (int t = 0; t < tokens; ++t) {
      for (int i = 0; i < half; ++i) {
        const double angle = static_cast<double>(first + t) * rope.frequencies[i];
        const double cosine = std::cos(angle) * magnitude;
        const double sine = std::sin(angle) * magnitude;
        for (int h = 0; h < head_count; ++h) {
          float* head = heads + t * stride + static_cast<int64_t>(h) * head_dim;
          float& x = head[rope.neox ? i : 2 * i];
          float& y = head[rope.neox ? i + half : 2 * i + 1];
          const auto x0 = static_cast<double>(x);
          const auto y0 = static_cast<double>(y);
          x = static_cast<float>(x0 * cosine - y0 * sine);
          y = static_cast<float>(x0 * sine + y0 * cosine);
        }
      }
    }
  }

  void StoreKv(const KvLayer& cache, const float* keys, const float* values, int tokens, int first,
               int kv_width) override {
    for (int t = 0; t < tokens; ++t) {
      StoreRow(cache, *cache.keys, first + t, kv_width, keys + static_cast<int64_t>(t) * kv_width);
      StoreRow(cache, *cache.values, first + t, kv_width, values + static_cast<int64_t>(t) * kv_width);
    }
  }

  void Attention(const float* queries, const KvLayer& cache, int tokens, int first, const AttentionParams& p,
                 float* out) override {
    pool_.ParallelFor(static_cast<int64_t>(tokens) * p.heads, [&](int64_t i) {
      const auto token = static_cast<int>(i / p.heads);
      const auto head = static_cast<int>(i % p.heads);
      AttendHead(queries + i * p.head_dim, cache, first + token, head, p, out + i * p.head_dim);
    });
  }

  void ConvSilu(const float* inputs, const float* weight, int tokens, int channels, int window, float* out) override {
    for (int t = 0; t < tokens; ++t) {
      for (int c = 0; c < channels; ++c) {
        double sum = 0.0;
        for (int w = 0; w < window; ++w) {
          sum += static_cast<double>(inputs[static_cast<int64_t>(t + w) * channels + c]) *
                 static_cast<double>(weight[static_cast<int64_t>(c) * window + w]);
        }
        out[static_cast<int64_t>(t) * channels + c] = static_cast<float>(Silu(sum));
      }
    }
  }

  void DeltaNet(const float* qkv, const float* alpha, const float* beta, const float* dt_bias, const float* a,
                float* state, int tokens, const DeltaNetParams& params, const DeltaNetLog& log, float* out) override {
    RefDeltaNet(pool_, qkv, alpha, beta, dt_bias, a, state, tokens, params, log, out);
  }

  void DeltaNetReplay(const float* steps, int tokens, const DeltaNetParams& params, float* state) override {
    RefDeltaNetReplay(pool_, steps, tokens, params, state);
  }

  void Activate(Activation activation, float* x, int64_t count) override {
    for (int64_t i = 0; i < count; ++i) {
      const auto value = static_cast<double>(x[i]);
      x[i] = static_cast<float>(activation == Activation::kSilu ? Silu(value) : GeluTanh(value));
    }
  }

  void GatedActivation(Activation activation, const float* gate, const float* up, int64_t count, float* out) override {
    for (int64_t i = 0; i < count; ++i) {
      const auto x = static_cast<double>(gate[i]), y = static_cast<double>(up[i]);
      switch (activation) {
        case Activation::kSilu:
          out[i] = static_cast<float>(Silu(x) * y);
          break;
        case Activation::kGeluTanh:
          out[i] = static_cast<float>(GeluTanh(x) * y);
          break;
        case Activation::kClampedSwiglu:
          out[i] = static_cast<float>(ClampedSwiglu(x, y));
          break;
      }
    }
  }

  void SigmoidGate(float* x, const float* gate, int64_t rows, int width, int64_t x_stride,
                   int64_t gate_stride) override {
    for (int64_t r = 0; r < rows; ++r) {
      for (int i = 0; i < width; ++i) {
        float& value = x[r * x_stride + i];
        value =
            static_cast<float>(static_cast<double>(value) * Sigmoid(static_cast<double>(gate[r * gate_stride + i])));
      }
    }
  }

  void SiluGate(float* x, const float* gate, int64_t count) override {
    for (int64_t i = 0; i < count; ++i) {
      x[i] = static_cast<float>(static_cast<double>(x[i]) * Silu(static_cast<double>(gate[i])));
    }
  }

  void Add(float* x, const float* y, float factor, int64_t count) override {
    for (int64_t i = 0; i < count; ++i) {
      x[i] = static_cast<float>(static_cast<double>(x[i]) + static_cast<double>(factor) * static_cast<double>(y[i]));
    }
  }

  void AddToRows(float* x, const float* y, int64_t rows, int width) override {
    for (int64_t r = 0; r < rows; ++r) Add(x + r * width, y, 1.0F, width);
  }

  void Scale(float* x, float factor, int64_t count) override {
    for (int64_t i = 0; i < count; ++i) x[i] *= factor;
  }

  void SoftCap(float* x, float cap, int64_t count) override {
    for (int64_t i = 0; i < count; ++i) {
      x[i] = static_cast<float>(Capped(static_cast<double>(x[i]), static_cast<double>(cap)));
    }
  }

  void Moe(const float* in, const float* router_logits, const MoeWeights& weights, const MoeParams& params, int tokens,
           Arithmetic /*arithmetic*/, float* out) override {
    const auto experts = static_cast<int>(weights.gate->experts);
    const int64_t width = weights.gate->columns;
    const int64_t inner = weights.gate->rows;
    std::vector<float> gate(static_cast<size_t>(inner)), up(gate), down(static_cast<size_t>(width));
    const auto product = [&](const Weight* weight, const float* bias, int64_t expert, const float* x, float* result) {
      MatMulOne(AsFileWeight(*weight), expert, x, 1, result);
      if (bias != nullptr) Add(result, bias + expert * weight->rows, 1.0F, weight->rows);
    };
    for (int t = 0; t < tokens; ++t) {
      const float* x = in + t * width;
      const std::span<const float> logits(router_logits + static_cast<int64_t>(t) * experts,
                                          static_cast<size_t>(experts));
      for (const auto& [expert, share] : Route(logits, params)) {
        product(weights.gate, weights.gate_bias, expert, x, gate.data());
        product(weights.up, weights.up_bias, expert, x, up.data());
        GatedActivation(params.activation, gate.data(), up.data(), inner, gate.data());
        product(weights.down, weights.down_bias, expert, gate.data(), down.data());
        for (int64_t i = 0; i < width; ++i) {
          out[t * width + i] += static_cast<float>(share * static_cast<double>(down[static_cast<size_t>(i)]));
        }
      }
    }
  }

  void AddGatedShared(const float* in, const float* gate_weight, const float* shared, int tokens, int width,
                      float* out) override {
    for (int t = 0; t < tokens; ++t) {
      const int64_t row = static_cast<int64_t>(t) * width;
      const double gate = Sigmoid(Dot(in + row, gate_weight, width));
      for (int i = 0; i < width; ++i) {
        out[row + i] += static_cast<float>(gate * static_cast<double>(shared[row + i]));
      }
    }
  }

  void Tops(const float* logits, int width, std::span<RowTop> tops) override {
    for (RowTop& top : tops) {
      const std::span<const float> row(logits, static_cast<size_t>(width));
      top.token = static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
      top.finite = std::ranges::all_of(row, [](float logit) { return std::isfinite(logit); });
      logits += width;
    }
  }

  double TopProbability(const float* logits, int width, int32_t top) override {
    double sum = 0.0;
    for (int i = 0; i < width; ++i) sum += std::exp(static_cast<double>(logits[i]) - static_cast<double>(logits[top]));
    return 1.0 / sum;
  }

 private:
  struct Routed {
    int64_t expert;
    double share;
  };

  // The `used` largest by their softmax, the largest first. Not finite: the first ones, with shares that show it.
  static std::vector<Routed> Route(std::span<const float> logits, const MoeParams& params) {
    std::vector<Routed> routed;
    if (!std::ranges::all_of(logits, [](float logit) { return std::isfinite(logit); })) {
      for (int e = 0; e < params.used; ++e) routed.push_back({e, std::numeric_limits<double>::quiet_NaN()});
      return routed;
    }
    const float top = *std::max_element(logits.begin(), logits.end());
    double all = 0.0, chosen = 0.0;
    for (size_t e = 0; e < logits.size(); ++e) {
      routed.push_back({static_cast<int64_t>(e), std::exp(static_cast<double>(logits[e]) - static_cast<double>(top))});
      all += routed.back().share;
    }
    std::stable_sort(routed.begin(), routed.end(), [](const Routed& a, const Routed& b) { return a.share > b.share; });
    routed.resize(static_cast<size_t>(params.used));
    for (const Routed& r : routed) chosen += r.share;
    for (Routed& r : routed) {
      r.share *= static_cast<double>(params.scale) / (params.renormalise ? chosen : all);
      if (params.expert_scale != nullptr) r.share *= static_cast<double>(params.expert_scale[r.expert]);
    }
    return routed;
  }

  // Eight tokens at a time share a decoded row; each has its own sum, taken in the order of the columns.
  void MatMulOne(const FileWeight& weight, int64_t expert, const float* in, int tokens, float* out) {
    constexpr int kTile = 8;
    const int64_t columns = weight.columns;
    const int tiles = (tokens + kTile - 1) / kTile;
    std::vector<double> inputs(static_cast<size_t>(tiles * columns * kTile));
    for (int t = 0; t < tokens; ++t) {
      double* tile = inputs.data() + (t / kTile) * columns * kTile + t % kTile;
      for (int64_t c = 0; c < columns; ++c) tile[c * kTile] = static_cast<double>(in[t * columns + c]);
    }
    constexpr int64_t kRowsPerTask = 16;
    pool_.ParallelFor((weight.rows + kRowsPerTask - 1) / kRowsPerTask, [&](int64_t task) {
      std::vector<float> row(static_cast<size_t>(columns));
      for (int64_t r = task * kRowsPerTask; r < std::min(weight.rows, (task + 1) * kRowsPerTask); ++r) {
        weight.DecodeRow(expert, r, row.data());
        for (int tile = 0; tile < tiles; ++tile) {
          double sums[kTile] = {};
          const double* x = inputs.data() + tile * columns * kTile;
          for (int64_t c = 0; c < columns; ++c) {
            const auto w = static_cast<double>(row[static_cast<size_t>(c)]);
            for (int i = 0; i < kTile; ++i) sums[i] += w * x[c * kTile + i];
          }
          for (int i = 0; i < kTile && tile * kTile + i < tokens; ++i) {
            out[(tile * kTile + i) * weight.rows + r] = static_cast<float>(sums[i]);
          }
        }
      }
    });
  }

  static void AttendHead(const float* query, const KvLayer& cache, int position, int head, const AttentionParams& p,
                         float* out) {
    const int kv_width = p.kv_heads * p.head_dim;
    const int offset = head / (p.heads / p.kv_heads) * p.head_dim;
    const int start = p.window > 0 ? std::max(0, position - p.window + 1) : 0;
    std::vector<float> row(static_cast<size_t>(p.head_dim));
    std::vector<double> scores;
    for (int cell = start; cell <= position; ++cell) {
      LoadRow(cache, *cache.keys, cell, kv_width, offset, p.head_dim, row.data());
      const double score = Dot(query, row.data(), p.head_dim) * static_cast<double>(p.scale);
      scores.push_back(p.softcap > 0.0F ? Capped(score, static_cast<double>(p.softcap)) : score);
    }
    double top = *std::max_element(scores.begin(), scores.end());
    double total = 0.0;
    if (p.sinks != nullptr) {
      const auto sink = static_cast<double>(p.sinks[head]);
      top = std::max(top, sink);
      total = std::exp(sink - top);
    }
    std::vector<double> sums(static_cast<size_t>(p.head_dim));
    for (int cell = start; cell <= position; ++cell) {
      const double weight = std::exp(scores[static_cast<size_t>(cell - start)] - top);
      total += weight;
      LoadRow(cache, *cache.values, cell, kv_width, offset, p.head_dim, row.data());
      for (size_t i = 0; i < row.size(); ++i) sums[i] += weight * static_cast<double>(row[i]);
    }
    for (size_t i = 0; i < row.size(); ++i) out[i] = static_cast<float>(sums[i] / total);
  }

  ThreadPool pool_;
};

}  // namespace

std::unique_ptr<Backend> MakeRefBackend(int threads, std::string_view variant) {
  if (!variant.empty())
    Fail(ErrorKind::kUsage, "--backend ref:{}: the ref backend has no variants; say --backend ref", variant);
  return std::make_unique<RefBackend>(threads);
}

}  // namespace assay
