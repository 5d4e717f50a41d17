#include "study/comparison.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace assay {
namespace {

// Of a normal distribution: the positions of a text are many.
constexpr double kQuantile975 = 1.959964;

std::string PerplexityClause(const Compared& perplexity) {
  const RangedEstimate& e = perplexity.estimate;
  switch (perplexity.standing) {
    case Standing::kNotToldApart:
      return fmt::format("B and A cannot be told apart in perplexity ({:+.3f} %, 95% interval {:+.3f} to {:+.3f} %)",
                         e.mean, e.low, e.high);
    case Standing::kBetter:
      return fmt::format("B is better than A in perplexity, {:.3f} % lower (95% interval {:.3f} to {:.3f} %)", -e.mean,
                         -e.high, -e.low);
    case Standing::kWorse:
      return fmt::format("B is worse than A in perplexity, {:.3f} % higher (95% interval {:.3f} to {:.3f} %)", e.mean,
                         e.low, e.high);
  }
  return "";
}

std::string SpeedClause(const ComparedSpeed& compared) {
  const RangedEstimate& e = compared.speed.estimate;
  if (std::isinf(e.high)) {
    return fmt::format("in {} one round tells no difference from its error ({:.3f} times as fast)", compared.test,
                       e.mean);
  }
  const std::string interval =
      fmt::format("{:.3f} times as fast, 95% interval {:.3f} to {:.3f}", e.mean, e.low, e.high);
  if (compared.speed.standing == Standing::kNotToldApart)
    return fmt::format("in {} they cannot be told apart ({})", compared.test, interval);
  return fmt::format("in {} it is {} ({})", compared.test,
                     compared.speed.standing == Standing::kBetter ? "faster" : "slower", interval);
}

std::string SizeClause(double size_pct) {
  if (size_pct == 0.0) return "the files are of one size";
  return fmt::format("its file is {:.2f} % {}", std::abs(size_pct), size_pct > 0.0 ? "larger" : "smaller");
}

}  // namespace

const char* StandingName(Standing standing) {
  switch (standing) {
    case Standing::kBetter:
      return "better";
    case Standing::kWorse:
      return "worse";
    case Standing::kNotToldApart:
      return "not told apart";
  }
  return "";
}

Compared ComparePerplexity(const BaseComparison& base) {
  // delta_pct and its error come from the mean difference of the log-likelihoods, by the derivative of exp.
  const double mean = std::log1p(base.delta_pct / 100.0);
  const double half = kQuantile975 * base.delta_pct_se / 100.0 / std::exp(mean);
  const auto percent = [](double x) { return 100.0 * std::expm1(x); };
  Compared result{{base.delta_pct, percent(mean - half), percent(mean + half)}};
  if (result.estimate.high < 0.0) result.standing = Standing::kBetter;
  if (result.estimate.low > 0.0) result.standing = Standing::kWorse;
  return result;
}

Compared CompareSpeed(const ThroughputResult& b, const ThroughputResult& a) {
  const auto rates = [](const ThroughputResult& result) {
    std::vector<TimedRate> timed;
    for (const Sample& sample : result.samples) {
      timed.push_back({.round = sample.round, .session = sample.session, .tok_per_s = sample.tok_per_s()});
    }
    return timed;
  };
  Compared result{SpeedRatio(rates(b), rates(a))};
  if (result.estimate.low > 1.0) result.standing = Standing::kBetter;
  if (result.estimate.high < 1.0) result.standing = Standing::kWorse;
  return result;
}

std::string ComparisonSentence(const Compared& perplexity, std::span<const ComparedSpeed> speeds, double size_pct) {
  std::string sentence = PerplexityClause(perplexity);
  for (const ComparedSpeed& speed : speeds) sentence += "; " + SpeedClause(speed);
  return sentence + "; " + SizeClause(size_pct) + ".";
}

}  // namespace assay
