#include "quant/testing/rivals.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/error.h"
#include "base/half.h"
#include "quant/q_layouts.h"

namespace assay::rivals {
namespace {

using Values = std::span<const float>;

double Half(double value) { return HalfToFloat(FloatToHalf(static_cast<float>(value))); }

int Code(double value, int lo, int hi) {
  return static_cast<int>(std::clamp(std::nearbyint(value), double(lo), double(hi)));
}

double Extreme(Values x) {
  return *std::ranges::max_element(x, [](float a, float b) { return std::abs(a) < std::abs(b); });
}

// Symmetric codes -n..n-1: the extreme value on -n, or on that plus tenths up to nine either way; for each the least
// squares scale; the best explained energy wins.
double SymmetricScale(Values x, Values w, int n) {
  const double extreme = Extreme(x);
  if (extreme == 0.0) return 0.0;
  double best_gain = -1.0, best = 0.0;
  for (int step = -9; step <= 9; ++step) {
    const double inverse = -(n + 0.1 * step) / extreme;
    double xl = 0.0, ll = 0.0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double code = Code(inverse * x[i], -n, n - 1);
      xl += w[i] * x[i] * code;
      ll += w[i] * code * code;
    }
    if (ll > 0.0 && xl * xl / ll > best_gain) {
      best_gain = xl * xl / ll;
      best = xl / ll;
    }
  }
  return best;
}

struct Affine {
  double scale, min;
};

struct AffineGrid {
  double first, step;
  int steps;
  bool absolute;  // compares sums of |error|, not of error^2
};

double AffineError(Values x, Values w, const std::vector<int>& code, Affine fit, bool absolute) {
  double error = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double difference = std::abs(fit.scale * code[i] - fit.min - x[i]);
    error += w[i] * (absolute ? difference : difference * difference);
  }
  return error;
}

// Codes 0..n from the smallest value (at most zero) up, for a grid of inverse scales; least squares with min >= 0.
Affine AffineScale(Values x, Values w, int n, const AffineGrid& grid) {
  const double low = std::min(0.0F, *std::ranges::min_element(x)), high = *std::ranges::max_element(x);
  if (high <= low) return {0.0, -low};
  std::vector<int> code(x.size());
  Affine best{(high - low) / n, -low};
  for (size_t i = 0; i < x.size(); ++i) code[i] = Code((x[i] - low) / best.scale, 0, n);
  double best_error = AffineError(x, w, code, best, grid.absolute);
  for (int step = 0; step <= grid.steps; ++step) {
    const double inverse = (grid.first + grid.step * step + n) / (high - low);
    double sw = 0.0, sx = 0.0, sl = 0.0, sll = 0.0, sxl = 0.0;
    for (size_t i = 0; i < x.size(); ++i) {
      code[i] = Code(inverse * (x[i] - low), 0, n);
      sw += w[i];
      sx += w[i] * x[i];
      sl += w[i] * code[i];
      sll += w[i] * code[i] * code[i];
      sxl += w[i] * code[i] * x[i];
    }
    const double determinant = sw * sll - sl * sl;
    if (determinant <= 0.0) continue;
    Affine fit{(sw * sxl - sx * sl) / determinant, (sl * sxl - sll * sx) / determinant};
    if (fit.min < 0.0) fit = {sxl / sll, 0.0};
    const double error = AffineError(x, w, code, fit, grid.absolute);
    if (error < best_error) {
      best_error = error;
      best = fit;
    }
  }
  return best;
}

// Non-negative scales as multiples 0..n of one: tenths up to four around the largest on n, the best by squared error,
// then least squares and single codes moved while that helps.
double PositiveScale(Values x, Values w, int n, std::vector<int>& code) {
  const double largest = *std::ranges::max_element(x);
  code.assign(x.size(), 0);
  if (largest <= 0.0) return 0.0;
  double best_error = 1e300, best = 0.0;
  for (int step = -4; step <= 4; ++step) {
    const double inverse = (n + 0.1 * step) / largest;
    double error = 0.0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double difference = x[i] - Code(inverse * x[i], 0, n) / inverse;
      error += w[i] * difference * difference;
    }
    if (error < best_error) {
      best_error = error;
      best = inverse;
    }
  }
  double xl = 0.0, ll = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    code[i] = Code(best * x[i], 0, n);
    xl += w[i] * x[i] * code[i];
    ll += w[i] * code[i] * code[i];
  }
  for (int sweep = 0; sweep < 5; ++sweep) {
    bool moved = false;
    for (size_t i = 0; i < x.size(); ++i) {
      double rest_xl = xl - w[i] * x[i] * code[i], rest_ll = ll - w[i] * code[i] * code[i];
      if (rest_xl <= 0.0 || rest_ll <= 0.0) continue;
      const int next = Code(x[i] * rest_ll / rest_xl, 0, n);
      rest_xl += w[i] * x[i] * next;
      rest_ll += w[i] * next * next;
      if (next == code[i] || rest_xl * rest_xl * ll <= xl * xl * rest_ll) continue;
      code[i] = next;
      xl = rest_xl;
      ll = rest_ll;
      moved = true;
    }
    if (!moved) break;
  }
  return ll > 0.0 ? xl / ll : 0.0;
}

// Scales as codes of the largest, which takes code n.
double LargestScale(Values x, int n, std::vector<int>& code) {
  const double largest = *std::ranges::max_element(x);
  code.assign(x.size(), 0);
  if (largest <= 0.0) return 0.0;
  for (size_t i = 0; i < x.size(); ++i) code[i] = Code(n / largest * x[i], 0, n);
  return largest / n;
}

void AffineSuperBlock(Values x, Values w, int groups, int max_code, int max_scale, const AffineGrid& grid,
                      bool weigh_scales, float* out) {
  const size_t size = x.size() / static_cast<size_t>(groups);
  std::vector<float> scales, mins, group_weights;
  for (size_t g = 0; g < static_cast<size_t>(groups); ++g) {
    const Affine fit = AffineScale(x.subspan(g * size, size), w.subspan(g * size, size), max_code, grid);
    scales.push_back(static_cast<float>(fit.scale));
    mins.push_back(static_cast<float>(fit.min));
    float sum = 0.0F;
    for (const float weight : w.subspan(g * size, size)) sum += weight;
    group_weights.push_back(sum);
  }
  std::vector<int> scale_code, min_code;
  const double d = Half(weigh_scales ? PositiveScale(scales, group_weights, max_scale, scale_code)
                                     : LargestScale(scales, max_scale, scale_code));
  const double dmin = Half(weigh_scales ? PositiveScale(mins, group_weights, max_scale, min_code)
                                        : LargestScale(mins, max_scale, min_code));
  for (size_t i = 0; i < x.size(); ++i) {
    const double scale = d * scale_code[i / size], min = dmin * min_code[i / size];
    const int code = scale == 0.0 ? 0 : Code((x[i] + min) / scale, 0, max_code);
    out[i] = static_cast<float>(scale * code - min);
  }
}

// The extreme value on the lowest code.
double ExtremeScale(Values x, int max_code) { return Extreme(x) / -max_code; }

// From there, single codes moved to what the scale of the others asks for while that helps, five sweeps at most.
double DescentScale(Values x, Values w, int n) {
  if (Extreme(x) == 0.0) return 0.0;
  std::vector<int> code;
  double xl = 0.0, ll = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    code.push_back(Code(x[i] / ExtremeScale(x, n), -n, n - 1));
    xl += w[i] * x[i] * code[i];
    ll += w[i] * code[i] * code[i];
  }
  for (size_t visit = 0; visit < 5 * x.size(); ++visit) {
    const size_t i = visit % x.size();
    double rest_xl = xl - w[i] * x[i] * code[i], rest_ll = ll - w[i] * code[i] * code[i];
    if (rest_xl <= 0.0) continue;
    const int next = Code(x[i] * rest_ll / rest_xl, -n, n - 1);
    rest_xl += w[i] * x[i] * next;
    rest_ll += w[i] * next * next;
    if (next == code[i] || rest_ll <= 0.0 || rest_xl * rest_xl * ll <= xl * xl * rest_ll) continue;
    code[i] = next;
    xl = rest_xl;
    ll = rest_ll;
  }
  return ll > 0.0 ? xl / ll : 0.0;
}

// How a super-block's groups find their scales, and its scales theirs.
enum class Symmetric {
  kExtreme,      // extreme value on the lowest code, extreme scale on the lowest code
  kDescent,      // single codes moved while that helps; extreme scale on the lowest code
  kGrid,         // grid; extreme scale on the lowest code
  kGridOfGrids,  // grid for both
};

void SymmetricSuperBlock(Values x, Values w, int max_code, int max_scale, Symmetric how, float* out) {
  constexpr size_t kSize = 16;
  std::vector<float> scales, group_weights;
  for (size_t g = 0; g < 16; ++g) {
    const Values group = x.subspan(g * kSize, kSize), weights = w.subspan(g * kSize, kSize);
    scales.push_back(static_cast<float>(how == Symmetric::kExtreme   ? ExtremeScale(group, max_code)
                                        : how == Symmetric::kDescent ? DescentScale(group, weights, max_code)
                                                                     : SymmetricScale(group, weights, max_code)));
    float sum = 0.0F;
    for (const float weight : w.subspan(g * kSize, kSize)) sum += weight;
    group_weights.push_back(sum);
  }
  const double d =
      how == Symmetric::kGridOfGrids ? SymmetricScale(scales, group_weights, max_scale) : Extreme(scales) / -max_scale;
  for (size_t i = 0; i < x.size(); ++i) {
    const int scale_code = d == 0.0 ? 0 : Code(scales[i / kSize] / d, -max_scale, max_scale - 1);
    const double scale = Half(d) * scale_code;
    const int code = scale == 0.0 ? 0 : Code(x[i] / scale, -max_code, max_code - 1);
    out[i] = static_cast<float>(scale * code);
  }
}

void SymmetricBlock(Values x, double d, int lo, int hi, float* out) {
  const double stored = Half(d);
  for (size_t i = 0; i < x.size(); ++i) {
    out[i] = static_cast<float>(stored * (d == 0.0 ? 0 : Code(x[i] / d, lo, hi)));
  }
}

void AffineBlock(Values x, Affine fit, int max_code, float* out) {
  for (size_t i = 0; i < x.size(); ++i) {
    const int code = fit.scale == 0.0 ? 0 : Code((x[i] + fit.min) / fit.scale, 0, max_code);
    out[i] = static_cast<float>(Half(fit.scale) * code - Half(fit.min));
  }
}

Affine RangeScale(Values x, int max_code) {
  const double low = *std::ranges::min_element(x), high = *std::ranges::max_element(x);
  return {(high - low) / max_code, -low};
}

double NearestLevel(double value) {
  return *std::ranges::min_element(kIq4NlLevels, {}, [&](int8_t level) { return std::abs(level - value); });
}

// The extreme value on the lowest level, or on that less or more up to seven; the best by explained energy.
double LevelScale(Values x, Values w, bool search) {
  const double extreme = Extreme(x);
  double best_gain = -1.0, best = extreme / kIq4NlLevels[0];
  for (int step = -7; search && step <= 7; ++step) {
    const double inverse = (kIq4NlLevels[0] + step) / extreme;
    double xl = 0.0, ll = 0.0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double level = NearestLevel(inverse * x[i]);
      xl += w[i] * x[i] * level;
      ll += w[i] * level * level;
    }
    if (ll > 0.0 && xl * xl / ll > best_gain) {
      best_gain = xl * xl / ll;
      best = xl / ll;
    }
  }
  return best;
}

void LevelBlock(Values x, Values w, bool search, float* out) {
  const double best = LevelScale(x, w, search);
  for (size_t i = 0; i < x.size(); ++i) out[i] = static_cast<float>(Half(best) * NearestLevel(x[i] / best));
}

// The extreme scale is the lowest of the stored ones.
void LevelSuperBlock(Values x, Values w, bool search, float* out) {
  std::vector<float> scales;
  for (size_t i = 0; i < x.size(); i += kBlock) {
    scales.push_back(static_cast<float>(LevelScale(x.subspan(i, kBlock), w.subspan(i, kBlock), search)));
  }
  const double d = Half(Extreme(scales) / -32);
  for (size_t i = 0; i < x.size(); ++i) {
    const double scale = d == 0.0 ? 0.0 : d * Code(scales[i / kBlock] / d, -32, 31);
    out[i] = static_cast<float>(scale == 0.0 ? 0.0 : scale * NearestLevel(x[i] / scale));
  }
}

// A power of two for which the extreme value, of levels up to 12, is in [8, 16): or, where nothing may be cut off, the
// least one for which it is at most 12.
void PowerBlock(Values x, bool may_cut, float* out) {
  const double extreme = std::abs(Extreme(x));
  double scale = extreme == 0.0 ? 0.0 : std::exp2(std::floor(std::log2(extreme)) - 3);
  if (!may_cut && extreme > 12 * scale) scale *= 2;
  for (size_t i = 0; i < x.size(); ++i) {
    const int8_t level = *std::ranges::min_element(
        kMxfp4Levels, {}, [&](int8_t candidate) { return std::abs(scale * candidate - x[i]); });
    out[i] = static_cast<float>(scale * level);
  }
}

constexpr AffineGrid kFineGrid{-0.9, 0.05, 36, false};

void SearchBlock(Format format, Values x, Values w, bool importance, float* out) {
  switch (format) {
    case Format::kQ8_0:
      return SymmetricBlock(x, std::abs(Extreme(x)) / 127, -127, 127, out);
    case Format::kQ4_0:
      return SymmetricBlock(x, importance ? SymmetricScale(x, w, 8) : ExtremeScale(x, 8), -8, 7, out);
    case Format::kQ5_0:
      return SymmetricBlock(x, importance ? SymmetricScale(x, w, 16) : ExtremeScale(x, 16), -16, 15, out);
    case Format::kQ4_1:
      return AffineBlock(x, importance ? AffineScale(x, w, 15, kFineGrid) : RangeScale(x, 15), 15, out);
    case Format::kQ5_1:
      return AffineBlock(x, importance ? AffineScale(x, w, 31, kFineGrid) : RangeScale(x, 31), 31, out);
    case Format::kIQ4_NL:
      return LevelBlock(x, w, true, out);
    case Format::kIQ4_XS:
      return LevelSuperBlock(x, w, true, out);
    case Format::kMXFP4:
      return PowerBlock(x, true, out);
    case Format::kQ2_K:
      return AffineSuperBlock(x, w, 16, 3, 15, importance ? kFineGrid : AffineGrid{-0.5, 0.1, 15, true}, importance,
                              out);
    case Format::kQ4_K:
      return AffineSuperBlock(x, w, 8, 15, 63, importance ? kFineGrid : AffineGrid{-1.0, 0.1, 20, false}, importance,
                              out);
    case Format::kQ5_K:
      return AffineSuperBlock(x, w, 8, 31, 63, importance ? kFineGrid : AffineGrid{-0.5, 0.1, 15, false}, importance,
                              out);
    case Format::kQ3_K:
      return SymmetricSuperBlock(x, w, 4, 32, importance ? Symmetric::kGridOfGrids : Symmetric::kDescent, out);
    case Format::kQ6_K:
      return SymmetricSuperBlock(x, w, 32, 128, Symmetric::kGrid, out);
    default:
      Fail(ErrorKind::kInternal, "no rival for format {}", TraitsOf(format).name);
  }
}

void PlainBlock(Format format, Values x, Values w, float* out) {
  constexpr AffineGrid kNoGrid{0.0, 0.0, -1, false};
  switch (format) {
    case Format::kQ2_K:
      return AffineSuperBlock(x, w, 16, 3, 15, kNoGrid, false, out);
    case Format::kQ4_K:
      return AffineSuperBlock(x, w, 8, 15, 63, kNoGrid, false, out);
    case Format::kQ5_K:
      return AffineSuperBlock(x, w, 8, 31, 63, kNoGrid, false, out);
    case Format::kQ3_K:
      return SymmetricSuperBlock(x, w, 4, 32, Symmetric::kExtreme, out);
    case Format::kQ6_K:
      return SymmetricSuperBlock(x, w, 32, 128, Symmetric::kExtreme, out);
    case Format::kIQ4_NL:
      return LevelBlock(x, w, false, out);
    case Format::kIQ4_XS:
      return LevelSuperBlock(x, w, false, out);
    case Format::kMXFP4:
      return PowerBlock(x, false, out);
    default:
      return SearchBlock(format, x, w, false, out);  // llama.cpp searches these for an importance matrix alone
  }
}

// The published search of these weighs by x^2 where there is no importance.
bool HasLevels(Format format) { return format == Format::kIQ4_NL || format == Format::kIQ4_XS; }

}  // namespace

std::vector<float> Weights(Format format, const std::vector<float>& x, const std::vector<float>& importance) {
  const auto block = static_cast<size_t>(TraitsOf(format).block_size);
  std::vector<float> weights(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t first = i / block * block;
    double mean = 0.0;
    for (size_t j = first; j < first + block; ++j)
      mean += static_cast<double>(x[j]) * x[j] / static_cast<double>(block);
    const double square = static_cast<double>(x[i]) * x[i];
    const bool given = !importance.empty();
    double weight = 1.0;
    if (format == Format::kQ6_K) {
      weight = given ? 1.0 : square;
    } else if (format == Format::kQ3_K) {
      weight = given ? std::sqrt(2.0 * mean + square) : square;
    } else if (HasLevels(format)) {
      weight = std::sqrt(2.0 * mean + square);
    } else if (format == Format::kQ4_K || format == Format::kQ5_K) {
      weight = given ? std::sqrt(2.0 * mean + square) : std::sqrt(2.0 * mean) + std::abs(x[i]);
    } else if (format != Format::kQ8_0 && format != Format::kMXFP4) {
      weight = std::sqrt(mean + square);
    }
    weights[i] = static_cast<float>(weight * (given ? importance[i] : 1.0F));
  }
  return weights;
}

std::vector<float> PublishedSearch(Format format, const std::vector<float>& x, const std::vector<float>& importance) {
  const auto block = static_cast<size_t>(TraitsOf(format).block_size);
  std::vector<float> weights = Weights(format, x, importance), out(x.size());
  if (format == Format::kQ2_K && importance.empty()) {
    std::ranges::transform(x, weights.begin(), [](float value) { return std::abs(value); });
  }
  if (HasLevels(format) && importance.empty()) {
    std::ranges::transform(x, weights.begin(), [](float value) { return value * value; });
  }
  for (size_t i = 0; i < x.size(); i += block) {
    SearchBlock(format, Values(x).subspan(i, block), Values(weights).subspan(i, block), !importance.empty(), &out[i]);
  }
  return out;
}

std::vector<float> WithoutSearch(Format format, const std::vector<float>& x) {
  const auto block = static_cast<size_t>(TraitsOf(format).block_size);
  const std::vector<float> weights(x.size(), 1.0F);
  std::vector<float> out(x.size());
  for (size_t i = 0; i < x.size(); i += block) {
    PlainBlock(format, Values(x).subspan(i, block), Values(weights).subspan(i, block), &out[i]);
  }
  return out;
}

}  // namespace assay::rivals
