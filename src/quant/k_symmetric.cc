#include <algorithm>
#include <cstdlib>

#include "quant/codecs.h"
#include "quant/k_layouts.h"
#include "quant/scale_search.h"

// Encoders of Q3_K and Q6_K.

namespace assay {
namespace {

constexpr int kRounds = 3;

template <typename Layout>
class SymmetricEncoder {
 public:
  explicit SymmetricEncoder(const Problem& problem) : p_(problem) {}

  void Encode(SymmetricFields& best) {
    float scale[kGroups];
    for (int g = 0; g < kGroups; ++g) scale[g] = FindScale(X(g), W(g), kSize, Layout::kMinCode, Layout::kMaxCode);
    SymmetricFields fields{};
    fields.d = p_.ToHalf(CommonScale(scale));
    float best_error = ChooseScales(scale, fields);
    best = fields;
    for (int round = 1; round < kRounds; ++round) {
      fields.d = p_.ToHalf(Refit(fields));
      if (fields.d == best.d) return;
      const float d = p_.FromHalf(best.d);
      for (int g = 0; g < kGroups; ++g) scale[g] = d * static_cast<float>(best.scale[g]);
      const float error = ChooseScales(scale, fields);
      if (error >= best_error) return;
      best_error = error;
      best = fields;
    }
  }

 private:
  static constexpr int kGroups = Layout::kGroups, kSize = kSuperBlock / kGroups;

  const float* X(int g) const { return p_.x + g * kSize; }
  const float* W(int g) const { return p_.w + g * kSize; }

  // The d whose multiples come nearest to the groups' scales, each weighing as its codes make it weigh.
  float CommonScale(const float* scale) {
    float weight[kGroups];
    int8_t code[kSize];
    for (int g = 0; g < kGroups; ++g) {
      RoundCodes(X(g), kSize, scale[g], 0.0F, Layout::kMinCode, Layout::kMaxCode, code);
      weight[g] = 0.0F;
      for (int i = 0; i < kSize; ++i) weight[g] += W(g)[i] * static_cast<float>(code[i] * code[i]);
    }
    return FindScale(scale, weight, kGroups, Layout::kMinScale, Layout::kMaxScale);
  }

  // For the stored d: each group's stored scale among those next to the wanted one, and its codes. Returns the error.
  float ChooseScales(const float* wanted, SymmetricFields& fields) {
    const float d = p_.FromHalf(fields.d), inverse = Inverse(d);
    float error = 0.0F;
    for (int g = 0; g < kGroups; ++g) {
      const int nearest = RoundToInt(wanted[g] * inverse, Layout::kMinScale, Layout::kMaxScale);
      Candidates candidates{};
      int scale[Candidates::kCount];
      for (int c = 0; c < Candidates::kCount; ++c) {
        const int offset = (c + 1) / 2 * (c % 2 == 0 ? 1 : -1);  // 0, -1, 1, -2, 2, ...
        scale[c] = std::clamp(nearest + offset, Layout::kMinScale, Layout::kMaxScale);
        candidates.scale[c] = d * static_cast<float>(scale[c]);
      }
      const Choice choice = BestCandidate(X(g), W(g), kSize, Layout::kMinCode, Layout::kMaxCode, candidates);
      error += choice.error;
      fields.scale[g] = static_cast<int8_t>(scale[choice.index]);
      RoundCodes(X(g), kSize, candidates.scale[choice.index], 0.0F, Layout::kMinCode, Layout::kMaxCode,
                 fields.code + g * kSize);
    }
    return error;
  }

  // The d of least error for the stored scales and codes.
  float Refit(const SymmetricFields& fields) {
    double xl = 0.0, ll = 0.0;
    for (int i = 0; i < kSuperBlock; ++i) {
      const int group = i / kSize;
      const double product = fields.scale[group] * fields.code[i];
      xl += p_.w[i] * product * p_.x[i];
      ll += p_.w[i] * product * product;
    }
    return ll > 0.0 ? static_cast<float>(xl / ll) : 0.0F;
  }

  const Problem& p_;
};

template <typename Layout>
void EncodeSymmetric(const float* src, uint8_t* dst, int64_t count, const float* importance, const WeightRule& rule) {
  Problem problem;
  for (int64_t i = 0; i < count; i += kSuperBlock, dst += Layout::kBytes) {
    MakeProblem(src + i, importance == nullptr ? nullptr : importance + i, kSuperBlock, rule, problem);
    SymmetricFields fields{};
    if (!problem.zero) SymmetricEncoder<Layout>(problem).Encode(fields);
    Layout::Pack(fields, dst);
  }
}

}  // namespace

void EncodeQ3_K(const float* src, uint8_t* dst, int64_t count, const float* importance) {
  EncodeSymmetric<Q3KLayout>(src, dst, count, importance, {Weighting::kSquare, Weighting::kRoot, 2.0F});
}

void EncodeQ6_K(const float* src, uint8_t* dst, int64_t count, const float* importance) {
  EncodeSymmetric<Q6KLayout>(src, dst, count, importance, {Weighting::kSquare, Weighting::kFlat, 1.0F});
}

}  // namespace assay
