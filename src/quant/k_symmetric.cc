#include <algorithm>
#include <cstdlib>

#include "quant/codecs.h"
#include "quant/k_layouts.h"
#include "quant/level_search.h"
#include "quant/scale_search.h"

// Encoders of Q3_K, Q6_K and IQ4_XS.

namespace assay {
namespace {

constexpr int kRounds = 3;

// What the codes of a group stand for, and the search for its scale: whole numbers from the layout's least to its most,
// or levels.
template <typename Layout>
struct WholeNumbers : PlainCodes {
  static constexpr int kLow = Layout::kMinCode, kHigh = Layout::kMaxCode;
  static float Find(const float* x, const float* w, int count) { return FindScale(x, w, count, kLow, kHigh); }
  static Choice Best(const float* x, const float* w, int count, const Candidates& candidates) {
    return BestCandidate(x, w, count, kLow, kHigh, candidates);
  }
  static void Round(const float* x, int count, float scale, int8_t* code) {
    RoundCodes(x, count, scale, 0.0F, kLow, kHigh, code);
  }
};

struct Levels : LevelCodes {
  static float Find(const float* x, const float* w, int count) { return FindLevelScale(x, w, count); }
  static Choice Best(const float* x, const float* w, int count, const Candidates& candidates) {
    return BestLevelCandidate(x, w, count, candidates);
  }
  static void Round(const float* x, int count, float scale, int8_t* code) { RoundLevels(x, count, scale, code); }
};

template <typename Layout, typename Codes>
class SymmetricEncoder {
 public:
  explicit SymmetricEncoder(const Problem& problem) : p_(problem) {}

  void Encode(SymmetricFields& best) {
    float scale[kGroups];
    for (int g = 0; g < kGroups; ++g) scale[g] = Codes::Find(X(g), W(g), kSize);
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
      Codes::Round(X(g), kSize, scale[g], code);
      weight[g] = 0.0F;
      for (int i = 0; i < kSize; ++i) {
        const int value = Codes::Value(code[i]);
        weight[g] += W(g)[i] * static_cast<float>(value * value);
      }
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
      const Choice choice = Codes::Best(X(g), W(g), kSize, candidates);
      error += choice.error;
      fields.scale[g] = static_cast<int8_t>(scale[choice.index]);
      Codes::Round(X(g), kSize, candidates.scale[choice.index], fields.code + g * kSize);
    }
    return error;
  }

  // The d of least error for the stored scales and codes.
  float Refit(const SymmetricFields& fields) {
    double xl = 0.0, ll = 0.0;
    for (int i = 0; i < kSuperBlock; ++i) {
      const int group = i / kSize;
      const double product = fields.scale[group] * Codes::Value(fields.code[i]);
      xl += p_.w[i] * product * p_.x[i];
      ll += p_.w[i] * product * product;
    }
    return ll > 0.0 ? static_cast<float>(xl / ll) : 0.0F;
  }

  const Problem& p_;
};

template <typename Layout, typename Codes = WholeNumbers<Layout>>
void EncodeSymmetric(const float* src, uint8_t* dst, int64_t count, const float* importance, const WeightRule& rule) {
  Problem problem;
  for (int64_t i = 0; i < count; i += kSuperBlock, dst += Layout::kBytes) {
    MakeProblem(src + i, importance == nullptr ? nullptr : importance + i, kSuperBlock, rule, problem);
    SymmetricFields fields{};
    if (!problem.zero) SymmetricEncoder<Layout, Codes>(problem).Encode(fields);
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

void EncodeIQ4_XS(const float* src, uint8_t* dst, int64_t count, const float* importance) {
  EncodeSymmetric<Iq4XsLayout, Levels>(src, dst, count, importance, kLevelRule);
}

}  // namespace assay
