#include "study/verdict.h"

#include <fmt/format.h>

#include <cmath>

namespace assay {
namespace {

constexpr int kBisections = 60;  // down to the last bit of a double

std::string Percent(double ratio) { return fmt::format("{:+.1f}%", 100.0 * (ratio - 1.0)); }

const CellOutcome* BestOf(std::span<const CellOutcome> cells, const std::string& prompt_set) {
  const CellOutcome* best = nullptr;
  for (const CellOutcome& cell : cells) {
    if (cell.prompt_set != prompt_set || !cell.valid) continue;
    if (best == nullptr || cell.interval.low > best->interval.low) best = &cell;
  }
  return best;
}

std::vector<std::string> PromptSets(std::span<const CellOutcome> cells) {
  std::vector<std::string> sets;
  for (const CellOutcome& cell : cells) {
    if (sets.empty() || sets.back() != cell.prompt_set) sets.push_back(cell.prompt_set);
  }
  return sets;
}

}  // namespace

double RoundCosts::Round(int guesses) const { return guesses * draft + verify.at(static_cast<size_t>(guesses)); }

double ExpectedTokens(double acceptance, int k) {
  double sum = 1.0;
  double term = 1.0;
  for (int i = 0; i < k; ++i) sum += term *= acceptance;
  return sum;
}

double ExpectedTokens(std::span<const double> acceptance_by_position) {
  double sum = 1.0;
  double term = 1.0;
  for (const double acceptance : acceptance_by_position) sum += term *= acceptance;
  return sum;
}

std::optional<double> BreakEvenAcceptance(int k, const RoundCosts& costs) {
  const double cost = costs.Round(k);
  if (cost > k + 1.0) return std::nullopt;
  if (cost <= 1.0) return 0.0;
  double low = 0.0;
  double high = 1.0;
  for (int i = 0; i < kBisections; ++i) {
    const double middle = (low + high) / 2.0;
    (ExpectedTokens(middle, k) < cost ? low : high) = middle;
  }
  return high;
}

SpeedupVerdict JudgeSpeedup(double speedup, const Interval& interval) {
  const std::string range = std::isfinite(interval.high)
                                ? fmt::format("95% interval {} to {}", Percent(interval.low), Percent(interval.high))
                                : "too few samples for an interval";
  const std::string amount = fmt::format("{:.1f}%", 100.0 * std::abs(speedup - 1.0));
  if (interval.low > 1.0) return {SpeedupOutcome::kGains, fmt::format("gains {} ({})", amount, range)};
  if (interval.high < 1.0) return {SpeedupOutcome::kLoses, fmt::format("loses {} ({})", amount, range)};
  return {SpeedupOutcome::kUndecided, fmt::format("cannot be told apart from the target alone ({})", range)};
}

std::string PairSentence(const std::string& target, const std::string& draft, std::span<const CellOutcome> cells) {
  std::vector<std::string> parts;
  for (const std::string& prompt_set : PromptSets(cells)) {
    const CellOutcome* best = BestOf(cells, prompt_set);
    if (best == nullptr) {
      parts.push_back(fmt::format("{}: no valid measurement", prompt_set));
    } else {
      parts.push_back(
          fmt::format("{}: {} at k={}", prompt_set, JudgeSpeedup(best->speedup, best->interval).sentence, best->k));
    }
  }
  return fmt::format("{} with {}: {}.", target, draft, fmt::join(parts, "; "));
}

}  // namespace assay
