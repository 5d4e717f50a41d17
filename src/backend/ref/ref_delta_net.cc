#include "backend/ref/ref_delta_net.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/ref/ref_math.h"

namespace assay {
namespace {

constexpr double kMaxLogDecay = 50.0;
constexpr double kStateLimit = 1e6;

// Floats that one token takes in the log: per head the normalised key, delta per value row, and the decay.
int StepWidth(const DeltaNetParams& p) { return p.value_heads * (2 * p.head_dim + 1); }

// Normalises x[0..n) to unit length (at least eps) into out.
void Normalise(const float* x, int n, double eps, float* out) {
  const double norm = std::max(std::sqrt(Dot(x, x, n)), eps);
  for (int i = 0; i < n; ++i) out[i] = static_cast<float>(static_cast<double>(x[i]) / norm);
}

void Decay(float* row, int n, float decay) {
  for (int k = 0; k < n; ++k) row[k] *= decay;
}

// row <- clamp(row + delta key): shared by the rule and its replay, so that both leave the same bits.
void Update(float* row, int n, const float* key, float delta) {
  for (int k = 0; k < n; ++k) {
    const double sum = static_cast<double>(row[k]) + static_cast<double>(delta) * static_cast<double>(key[k]);
    row[k] = static_cast<float>(std::clamp(sum, -kStateLimit, kStateLimit));
  }
}

// One head's part of logged steps, applied to its d x d state.
void Apply(const float* steps, int tokens, int64_t head, const DeltaNetParams& p, float* state) {
  const int d = p.head_dim;
  for (int t = 0; t < tokens; ++t) {
    const float* key = steps + static_cast<int64_t>(t) * StepWidth(p) + head * (2 * d + 1);
    const float* delta = key + d;
    const float decay = delta[d];
    for (int v = 0; v < d; ++v) {
      float* row = state + static_cast<int64_t>(v) * d;
      Decay(row, d, decay);
      Update(row, d, key, delta[v]);
    }
  }
}

}  // namespace

void RefDeltaNet(ThreadPool& pool, const float* qkv, const float* alpha, const float* beta, const float* dt_bias,
                 const float* a, float* state, int tokens, const DeltaNetParams& p, const DeltaNetLog& log,
                 float* out) {
  const int d = p.head_dim;
  const int key_width = p.key_heads * d;
  const int token_width = 2 * key_width + p.value_heads * d;
  pool.ParallelFor(p.value_heads, [&](int64_t h) {
    std::vector<float> s(state + h * d * d, state + (h + 1) * d * d);
    std::vector<float> query(static_cast<size_t>(d)), key(query), delta(query);
    if (log.steps != nullptr) Apply(log.steps, log.pending, h, p, s.data());
    const int64_t key_head = p.KeyHeadOf(static_cast<int>(h));
    for (int t = 0; t < tokens; ++t) {
      const float* token = qkv + static_cast<int64_t>(t) * token_width;
      Normalise(token + key_head * d, d, p.norm_eps, query.data());
      Normalise(token + key_width + key_head * d, d, p.norm_eps, key.data());
      const float* value = token + 2 * key_width + h * d;
      const int64_t gate = static_cast<int64_t>(t) * p.value_heads + h;
      const double log_decay =
          Softplus(static_cast<double>(alpha[gate]) + static_cast<double>(dt_bias[h])) * static_cast<double>(a[h]);
      const auto decay = static_cast<float>(std::exp(std::min(log_decay, kMaxLogDecay)));
      const double weight = Sigmoid(static_cast<double>(beta[gate]));
      for (int v = 0; v < d; ++v) {
        float* row = s.data() + static_cast<int64_t>(v) * d;
        Decay(row, d, decay);
        delta[static_cast<size_t>(v)] =
            static_cast<float>(weight * (static_cast<double>(value[v]) - Dot(row, key.data(), d)));
        Update(row, d, key.data(), delta[static_cast<size_t>(v)]);
        out[gate * d + v] = static_cast<float>(Dot(row, query.data(), d) / std::sqrt(static_cast<double>(d)));
      }
      if (log.steps != nullptr) {
        float* step = log.steps + static_cast<int64_t>(log.pending + t) * StepWidth(p) + h * (2 * d + 1);
        std::copy_n(key.data(), d, step);
        std::copy_n(delta.data(), d, step + d);
        step[2 * d] = decay;
      }
    }
    if (log.steps == nullptr) std::copy(s.begin(), s.end(), state + h * d * d);
  });
}

void RefDeltaNetReplay(ThreadPool& pool, const float* steps, int tokens, const DeltaNetParams& p, float* state) {
  pool.ParallelFor(p.value_heads, [&](int64_t h) { Apply(steps, tokens, h, p, state + h * p.head_dim * p.head_dim); });
}

}  // namespace assay
