#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "quant/formats.h"

namespace assay {

// The interface between the engine and what computes. All activations are row-major float32 [tokens][features] in the
// backend's own memory (Buffer). Every operation is ordered after those called before it; a result is readable on the
// host through Read(). For 1 to kInvariantTokens tokens in a batch a token's results are the same bits whatever else is
// in the batch. A request that a backend cannot serve throws kUnsupported naming backend and request: nothing falls
// back silently.

// A batch that verifies a draft must give the bits of single steps: the newest token and up to 32 guesses.
inline constexpr int kInvariantTokens = 33;

// Memory of a backend.
class Buffer {
 public:
  virtual ~Buffer() = default;
  virtual size_t bytes() const = 0;
  // Address in the backend's memory. Host backends: a plain pointer, 64-byte aligned.
  virtual void* data() = 0;
  float* floats() { return static_cast<float*>(data()); }
};

// A weight matrix (or a stack of `experts` matrices) in the backend's own layout: out[rows] = W[rows][columns]
// in[columns].
class Weight {
 public:
  virtual ~Weight() = default;
  Format format = Format::kF32;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t experts = 1;
  bool reads_source = true;  // the bytes that it was loaded from are read again: they must outlive it
};

struct WeightSource {
  std::string_view name;  // for messages
  Format format = Format::kF32;
  int64_t rows = 0, columns = 0, experts = 1;
  std::span<const uint8_t> data;  // GGUF layout: experts * rows * bytes of a row
  // Called (if set) by backends that copy, from the loading thread, with parts of the data that will not be read again.
  std::function<void(std::span<const uint8_t> part)> taken = {};
};

// How products with quantised weights take their activations. A batch of any size has the bits of its single tokens in
// both, up to kInvariantTokens in kEveryday.
enum class Arithmetic {
  kEveryday,  // as the backend is fastest
  kFine,      // so finely that of what a file costs nothing to speak of is the backend's: for measuring (measuring.md)
};
constexpr std::string_view ArithmeticName(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::kFine ? "fine" : "everyday";
}

enum class CacheType { kF16, kF32 };
enum class Activation {
  kSilu,
  kGeluTanh,
  // Of a gate g and up u, both held below 7, u above -7: g sigmoid(1.702 g) (u + 1). Only with a gate.
  kClampedSwiglu,
};

// Each pair of a head is turned by position * frequency; then the head is scaled by the magnitude.
struct RopeParams {
  int dimensions = 0;                   // the first `dimensions` of each head are rotated
  bool neox = true;                     // pairs (i, i + dimensions/2); else adjacent pairs (2i, 2i+1)
  const double* frequencies = nullptr;  // host memory, [dimensions / 2]
  float magnitude = 1.0F;
};

// Grouped-query attention over a cache of one layer.
struct AttentionParams {
  int heads = 0, kv_heads = 0, head_dim = 0;
  float scale = 1.0F;
  int window = 0;                // > 0: a query at position p sees positions above p - window; 0: all up to p
  float softcap = 0.0F;          // > 0: scores s become softcap tanh(s / softcap)
  const float* sinks = nullptr;  // [heads]: a score more for each head's softmax, of a value of 0; null: none
};

// The keys and values of one layer: [cells][kv_heads * head_dim] each, in CacheType. Position p lies in cell p % cells;
// a window layer may have fewer cells than the context (at least window + the largest batch).
struct KvLayer {
  Buffer* keys = nullptr;
  Buffer* values = nullptr;
  CacheType type = CacheType::kF16;
  int cells = 0;
};

// One gated-delta-net layer (Yang et al. 2024). Value head h uses key head h % key_heads, unless neighbours share.
struct DeltaNetParams {
  int KeyHeadOf(int value_head) const {
    return neighbours_share ? value_head / (value_heads / key_heads) : value_head % key_heads;
  }

  int key_heads = 0, value_heads = 0, head_dim = 0;
  float norm_eps = 1e-6F;         // of the L2 norm of q and k
  bool neighbours_share = false;  // value head h uses key head h / (value_heads / key_heads)
};

// The largest of a row of logits, the lowest of equals; any where not all are finite.
struct RowTop {
  int32_t token = 0;
  bool finite = true;  // every logit of the row, not the largest alone
};

// What a batch did to the recurrent state, so that any prefix of it can be applied again without decoding: for each
// token and value head the normalised key, the weighted error delta and the decay. float32
// [tokens][value_heads * (2 * head_dim + 1)].
struct DeltaNetLog {
  float* steps = nullptr;  // null: not kept
  int pending = 0;         // steps of earlier batches at the front of the log that the state has not taken yet
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string name() const = 0;         // "ref", "cpu"
  virtual std::string description() const = 0;  // what runs: "cpu: avx512_vnni, 2 threads"
  // What the activations become: "float", "int8 in blocks of 32". The same for both where there is one arithmetic only.
  virtual std::string_view Describe(Arithmetic arithmetic) const = 0;

  // The host's threads, for loops between the calls: one team for all that a run does.
  virtual ThreadPool& pool() = 0;

  virtual std::unique_ptr<Weight> Load(const WeightSource& source) = 0;       // for products
  virtual std::unique_ptr<Weight> LoadTable(const WeightSource& source) = 0;  // for Embed(): rows are looked up
  virtual std::unique_ptr<Buffer> Allocate(size_t bytes) = 0;                 // zeroed
  virtual void Write(void* destination, const void* host, size_t bytes) = 0;
  virtual void Read(const void* source, void* host, size_t bytes) = 0;
  virtual void Copy(void* destination, const void* source, size_t bytes) = 0;  // may not overlap
  virtual void Zero(void* destination, size_t bytes) = 0;

  // out[t] = scale * table[tokens[t]]; `table` is of LoadTable(); ids are checked by the caller.
  virtual void Embed(const Weight& table, std::span<const int32_t> tokens, float scale, float* out) = 0;

  // For each target: out[t][rows] = W in[t]. All targets share the input, which a backend may then encode once.
  struct MatMulTarget {
    const Weight* weight;
    float* out;
  };
  virtual void MatMul(std::span<const MatMulTarget> targets, const float* in, int tokens, Arithmetic arithmetic) = 0;

  // out[r] = in[r] / sqrt(mean(in[r]^2) + eps) * weight, r in [0, rows), each of `width`; in and out may be the same.
  // `stride` is the distance in floats from one row to the next, of both.
  virtual void RmsNorm(const float* in, const float* weight, float eps, int64_t rows, int width, int64_t stride,
                       float* out) = 0;
  // out[r] = (in[r] - mean) / sqrt(variance + eps) * weight + bias, with the mean and variance of row r; as RmsNorm()
  // otherwise. bias may be null.
  virtual void LayerNorm(const float* in, const float* weight, const float* bias, float eps, int64_t rows, int width,
                         int64_t stride, float* out) = 0;
  // Rotates heads [t][head][head_dim] in place; token t is at position `first + t`. stride: floats from token to token.
  virtual void Rope(float* heads, int tokens, int head_count, int head_dim, int64_t stride, int first,
                    const RopeParams& rope) = 0;
  virtual void StoreKv(const KvLayer& cache, const float* keys, const float* values, int tokens, int first,
                       int kv_width) = 0;
  // out[t][heads * head_dim]; queries [t][heads * head_dim], token t at position `first + t`, its own key and value
  // already stored.
  virtual void Attention(const float* queries, const KvLayer& cache, int tokens, int first,
                         const AttentionParams& params, float* out) = 0;

  // Depthwise causal convolution with SiLU over window-1 carried inputs and the new ones:
  // inputs [window - 1 + tokens][channels], weight [channels][window], out [tokens][channels], which may be `inputs`:
  // it then takes the place of the first rows.
  virtual void ConvSilu(const float* inputs, const float* weight, int tokens, int channels, int window, float* out) = 0;

  // The gated delta rule. qkv [t][2*key_heads*d + value_heads*d] (q | k | v); alpha, beta [t][value_heads] before
  // their activations; dt_bias, a [value_heads]; state [value_heads][d value rows][d key columns]. Without log.steps
  // the state is updated. With them the state stays as it is: the pending steps are applied to a copy first, and the
  // batch's own are kept behind them. out [t][value_heads * d].
  virtual void DeltaNet(const float* qkv, const float* alpha, const float* beta, const float* dt_bias, const float* a,
                        float* state, int tokens, const DeltaNetParams& params, const DeltaNetLog& log, float* out) = 0;
  // Applies the first `tokens` steps to the state: the same bits as DeltaNet without a log would have left.
  virtual void DeltaNetReplay(const float* steps, int tokens, const DeltaNetParams& params, float* state) = 0;

  // x = act(x), `count` values.
  virtual void Activate(Activation activation, float* x, int64_t count) = 0;
  // out = act(gate) * up, `count` values; out may be either input.
  virtual void GatedActivation(Activation activation, const float* gate, const float* up, int64_t count,
                               float* out) = 0;
  // x = x * sigmoid(gate), for rows of `width` with their own strides.
  virtual void SigmoidGate(float* x, const float* gate, int64_t rows, int width, int64_t x_stride,
                           int64_t gate_stride) = 0;
  // x *= silu(gate), `count` values.
  virtual void SiluGate(float* x, const float* gate, int64_t count) = 0;
  // x += factor * y, `count` values.
  virtual void Add(float* x, const float* y, float factor, int64_t count) = 0;
  // x[r] += y, for rows of `width`.
  virtual void AddToRows(float* x, const float* y, int64_t rows, int width) = 0;
  // x *= factor, `count` values.
  virtual void Scale(float* x, float factor, int64_t count) = 0;
  // x = cap tanh(x / cap), `count` values.
  virtual void SoftCap(float* x, float cap, int64_t count) = 0;

  // Mixture of experts: for each token the `used` largest of its router logits (ties: the lower index), weighted by
  // their softmax; out[t] += sum of w_e * down_e(act(gate_e(x)) * up_e(x)), the largest weight first. A token with
  // router logits that are not finite gets NaN.
  struct MoeWeights {
    const Weight* gate = nullptr;
    const Weight* up = nullptr;
    const Weight* down = nullptr;
    // [experts][rows], added to the products; null: none.
    const float* gate_bias = nullptr;
    const float* up_bias = nullptr;
    const float* down_bias = nullptr;
  };
  struct MoeParams {
    int used = 1;
    bool renormalise = true;              // the softmax is among the used alone; else among all
    float scale = 1.0F;                   // of the weights
    const float* expert_scale = nullptr;  // [experts], of them too; null: none
    Activation activation = Activation::kSilu;
  };
  virtual void Moe(const float* in, const float* router_logits, const MoeWeights& weights, const MoeParams& params,
                   int tokens, Arithmetic arithmetic, float* out) = 0;
  // out[t] += sigmoid(dot(gate_weight, in[t])) * shared[t], rows of `width`.
  virtual void AddGatedShared(const float* in, const float* gate_weight, const float* shared, int tokens, int width,
                              float* out) = 0;

  // One for each row [width] of logits; a pass over each.
  virtual void Tops(const float* logits, int width, std::span<RowTop> tops) = 0;
  // The softmax of a row at its largest, which `top` names.
  virtual double TopProbability(const float* logits, int width, int32_t top) = 0;
};

// "ref", "cpu", or "cpu:ISA" with ISA one of portable, avx2, avx512 (which takes VNNI); "" is the fastest present,
// "cpu" the best instruction set that the machine has. threads 0: all that the process may use. Throws kUsage for an
// unknown name (lists the known ones), kUnsupported for an instruction set that the machine does not have.
std::unique_ptr<Backend> MakeBackend(std::string_view name, int threads);
std::vector<std::string> BackendNames();

}  // namespace assay
