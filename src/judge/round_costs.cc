#include "judge/round_costs.h"

namespace assay {
namespace {

constexpr int kBisections = 60;  // down to the last bit of a double

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

}  // namespace assay
