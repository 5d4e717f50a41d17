#include "model/arch/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace assay {
namespace {

// Any real model stretches its positions by far less than this.
constexpr float kLargestFactor = 1e6F;

// Finite numbers above 0.
std::vector<double> Divisors(const GgufTensor* tensor, const std::string& file, int count) {
  std::vector<double> divisors(static_cast<size_t>(count), 1.0);
  if (tensor == nullptr) return divisors;
  std::vector<float> values(tensor->elements());
  TraitsOf(tensor->format).decode(tensor->data.data(), values.data(), static_cast<int64_t>(values.size()));
  for (size_t i = 0; i < divisors.size(); ++i) {
    if (!(values[i] > 0.0F) || !std::isfinite(values[i])) {
      Fail(ErrorKind::kBadFile, "{}: {} has {} at {}; each must be a finite number above 0; {}", file, tensor->name,
           values[i], i, kGetAgain);
    }
    divisors[i] = static_cast<double>(values[i]);
  }
  return divisors;
}

float FactorOf(const Hyperparameters& keys, const std::string& file, const std::string& kind) {
  const float old_name = keys.ScaleOr("rope.scale_linear", 1.0F);
  const float factor = keys.ScaleOr("rope.scaling.factor", old_name);
  if (factor < 1.0F / kLargestFactor || factor > kLargestFactor) {
    Fail(ErrorKind::kUnsupported,
         "{}: rope scaling '{}' with factor {} (rope.scaling.factor), which no model needs; {}", file, kind, factor,
         kGetAgain);
  }
  return factor;
}

// Between these dimensions, counted in pairs, YaRN passes from whole frequencies to divided ones: where a wave turns
// `turns` times within the original context.
double DimensionOfTurns(double turns, int dimensions, double base, double context) {
  return dimensions * std::log(context / (turns * 2 * std::numbers::pi)) / (2 * std::log(base));
}

struct Yarn {
  double factor = 1.0, low = 0.0, high = 0.0;

  double Share(int pair) const {  // of the divided frequency
    return std::clamp((pair - low) / std::max(0.001, high - low), 0.0, 1.0);
  }
};

Yarn MakeYarn(const Hyperparameters& keys, float factor, int dimensions, float base, int original_context) {
  const auto fast = static_cast<double>(keys.PositiveOr("rope.scaling.yarn_beta_fast", 32.0F));
  const auto slow = static_cast<double>(keys.PositiveOr("rope.scaling.yarn_beta_slow", 1.0F));
  const auto at = [&](double turns) {
    return DimensionOfTurns(turns, dimensions, static_cast<double>(base), original_context);
  };
  return {static_cast<double>(factor), std::max(0.0, std::floor(at(fast))),
          std::min(dimensions - 1.0, std::ceil(at(slow)))};
}

// 1 + 0.1 m log(factor), the magnitude that YaRN found for longer contexts (its equation 22).
double YarnMagnitude(double factor, double multiplier) {
  return factor <= 1.0 ? 1.0 : 1.0 + 0.1 * multiplier * std::log(factor);
}

}  // namespace

RopeSpec MakeRope(const Hyperparameters& keys, const std::string& file, int context_length, const RopeChoice& choice) {
  RopeSpec rope;
  rope.dimensions = choice.dimensions;
  rope.neox = choice.neox;
  const float base = keys.PositiveOr(choice.base_key, choice.base);
  std::string kind = keys.StringOr("rope.scaling.type", "linear");
  const float factor = FactorOf(keys, file, kind);
  if (kind != "none" && kind != "linear" && kind != "yarn" && kind != "longrope") {
    Fail(ErrorKind::kUnsupported,
         "{}: rope.scaling.type is '{}'; only none, linear, yarn and longrope work; look for a newer Assay", file,
         kind);
  }
  if (!choice.scaled) kind = "none";
  Yarn yarn;
  if (kind == "yarn") {
    const int original = keys.IntOr("rope.scaling.original_context_length", context_length);
    yarn = MakeYarn(keys, factor, choice.dimensions, base, original);
    const float multiplier = keys.FloatOr("rope.scaling.yarn_log_multiplier", 0.0F);
    const double found = YarnMagnitude(static_cast<double>(factor), 1.0) /
                         YarnMagnitude(static_cast<double>(factor), static_cast<double>(multiplier));
    rope.magnitude = keys.PositiveOr("rope.scaling.yarn_attn_factor", static_cast<float>(found));
  }
  // They mean nothing without YaRN.
  for (const std::string_view key : {"yarn_beta_fast", "yarn_beta_slow", "yarn_log_multiplier"}) {
    keys.Ignore("rope.scaling." + std::string(key));
  }
  if (choice.scaled) rope.magnitude *= keys.PositiveOr("rope.scaling.attn_factor", 1.0F);

  const int half = choice.dimensions / 2;
  const auto frequencies = [&](const GgufTensor* tensor) {
    const std::vector<double> divisors = Divisors(tensor, file, half);
    std::vector<double> result;
    for (int i = 0; i < half; ++i) {
      const double plain = std::pow(static_cast<double>(base), -2.0 * i / choice.dimensions);
      double scale = 1.0;
      if (kind == "linear") scale = static_cast<double>(1.0F / factor);
      if (kind == "yarn") scale = 1.0 - yarn.Share(i) + yarn.Share(i) / yarn.factor;
      result.push_back(plain * scale / divisors[static_cast<size_t>(i)]);
    }
    return result;
  };
  if (choice.long_divisors != nullptr) {
    rope.frequencies = frequencies(choice.short_divisors);
    rope.long_frequencies = frequencies(choice.long_divisors);
    rope.short_context = keys.IntOr("rope.scaling.original_context_length", context_length);
  } else {
    rope.frequencies = frequencies(choice.divisors);
  }
  return rope;
}

}  // namespace assay
