#include <algorithm>

#include "quant/codecs.h"
#include "quant/k_layouts.h"
#include "quant/scale_search.h"

// Encoders of Q2_K, Q4_K and Q5_K.

namespace assay {
namespace {

constexpr int kRounds = 4;

template <typename Layout>
class AffineEncoder {
 public:
  explicit AffineEncoder(const Problem& problem) : p_(problem) {}

  void Encode(AffineFields& best) {
    AffineFit fit[kGroups];
    for (int g = 0; g < kGroups; ++g) fit[g] = FindAffine(X(g), W(g), kSize, Layout::kMaxCode, false);
    AffineFields fields{};
    SetCommonScales(fit, fields);
    float best_error = ChooseScales(fit, fields);
    best = fields;
    for (int round = 1; round < kRounds; ++round) {
      Refit(fields);
      const float d = p_.FromHalf(best.d), dmin = p_.FromHalf(best.dmin);
      for (int g = 0; g < kGroups; ++g) {
        fit[g] = {d * static_cast<float>(best.scale[g]), dmin * static_cast<float>(best.min[g])};
      }
      const float error = ChooseScales(fit, fields);
      if (error >= best_error) return;
      best_error = error;
      best = fields;
    }
  }

 private:
  static constexpr int kGroups = Layout::kGroups, kSize = kSuperBlock / kGroups;

  const float* X(int g) const { return p_.x + g * kSize; }
  const float* W(int g) const { return p_.w + g * kSize; }

  // The d and dmin whose multiples come nearest to the groups' scales and mins.
  void SetCommonScales(const AffineFit* fit, AffineFields& fields) {
    float scale[kGroups], min[kGroups], scale_weight[kGroups], min_weight[kGroups];
    uint8_t code[kSize];
    for (int g = 0; g < kGroups; ++g) {
      scale[g] = fit[g].scale;
      min[g] = fit[g].min;
      scale_weight[g] = min_weight[g] = 0.0F;
      RoundCodes(X(g), kSize, scale[g], min[g], 0, Layout::kMaxCode, code);
      for (int i = 0; i < kSize; ++i) {
        scale_weight[g] += W(g)[i] * static_cast<float>(code[i] * code[i]);
        min_weight[g] += W(g)[i];
      }
    }
    fields.d = p_.ToHalf(FindScale(scale, scale_weight, kGroups, 0, Layout::kMaxScale));
    fields.dmin = p_.ToHalf(FindScale(min, min_weight, kGroups, 0, Layout::kMaxScale));
  }

  // For the stored d and dmin: each group's stored scale and min among those next to the wanted ones, and its codes.
  // Returns the error.
  float ChooseScales(const AffineFit* wanted, AffineFields& fields) {
    const float d = p_.FromHalf(fields.d), dmin = p_.FromHalf(fields.dmin);
    float error = 0.0F;
    for (int g = 0; g < kGroups; ++g) {
      const int near_scale = RoundToInt(wanted[g].scale * Inverse(d), 0, Layout::kMaxScale);
      const int near_min = RoundToInt(wanted[g].min * Inverse(dmin), 0, Layout::kMaxScale);
      Candidates candidates{};
      int scale[Candidates::kCount], min[Candidates::kCount];
      for (int c = 0; c < Candidates::kCount; ++c) {
        // Scale -1..1 by min -2..2; the sixteenth repeats a corner.
        scale[c] = std::clamp(near_scale + c % 3 - 1, 0, Layout::kMaxScale);
        min[c] = std::clamp(near_min + c / 3 % 5 - 2, 0, Layout::kMaxScale);
        candidates.scale[c] = d * static_cast<float>(scale[c]);
        candidates.min[c] = dmin * static_cast<float>(min[c]);
      }
      const Choice choice = BestCandidate(X(g), W(g), kSize, 0, Layout::kMaxCode, candidates);
      error += choice.error;
      fields.scale[g] = static_cast<uint8_t>(scale[choice.index]);
      fields.min[g] = static_cast<uint8_t>(min[choice.index]);
      RoundCodes(X(g), kSize, candidates.scale[choice.index], candidates.min[choice.index], 0, Layout::kMaxCode,
                 fields.code + g * kSize);
    }
    return error;
  }

  // The d and dmin of least error for the stored scales, mins and codes: least squares of x on scale * code and -min;
  // dmin again after d is rounded to a half.
  void Refit(AffineFields& fields) {
    double ss = 0.0, sm = 0.0, mm = 0.0, sx = 0.0, mx = 0.0;
    for (int i = 0; i < kSuperBlock; ++i) {
      const double w = p_.w[i], x = p_.x[i];
      const int group = i / kSize;
      const double s = fields.scale[group] * fields.code[i], m = -fields.min[group];
      ss += w * s * s;
      sm += w * s * m;
      mm += w * m * m;
      sx += w * s * x;
      mx += w * m * x;
    }
    const double determinant = ss * mm - sm * sm;
    if (determinant > 1e-12 * ss * mm) {
      fields.d = p_.ToHalf(std::max(0.0F, static_cast<float>((sx * mm - mx * sm) / determinant)));
    } else if (ss > 0.0) {
      fields.d = p_.ToHalf(std::max(0.0F, static_cast<float>(sx / ss)));
    }
    if (mm > 0.0) {
      const double d = p_.FromHalf(fields.d);
      fields.dmin = p_.ToHalf(std::max(0.0F, static_cast<float>((mx - d * sm) / mm)));
    }
  }

  const Problem& p_;
};

template <typename Layout>
void EncodeAffine(const float* src, uint8_t* dst, int64_t count, const float* importance, const WeightRule& rule) {
  Problem problem;
  for (int64_t i = 0; i < count; i += kSuperBlock, dst += Layout::kBytes) {
    MakeProblem(src + i, importance == nullptr ? nullptr : importance + i, kSuperBlock, rule, problem);
    AffineFields fields{};
    if (!problem.zero) AffineEncoder<Layout>(problem).Encode(fields);
    Layout::Pack(fields, dst);
  }
}

}  // namespace

void EncodeQ2_K(const float* src, uint8_t* dst, int64_t count, const float* importance) {
  EncodeAffine<Q2KLayout>(src, dst, count, importance, {Weighting::kRoot, Weighting::kRoot, 1.0F});
}

void EncodeQ4_K(const float* src, uint8_t* dst, int64_t count, const float* importance) {
  EncodeAffine<Q4KLayout>(src, dst, count, importance, {Weighting::kLinear, Weighting::kRoot, 2.0F});
}

void EncodeQ5_K(const float* src, uint8_t* dst, int64_t count, const float* importance) {
  EncodeAffine<Q5KLayout>(src, dst, count, importance, {Weighting::kLinear, Weighting::kRoot, 2.0F});
}

}  // namespace assay
