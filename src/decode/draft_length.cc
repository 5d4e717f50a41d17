#include "decode/draft_length.h"

#include <algorithm>
#include <cmath>

namespace assay {
namespace {

// The newest value weighs at least this much in a running mean, so that it follows a change within some twenty rounds.
constexpr double kForget = 0.1;
// Of each judged guess the older evidence keeps this share: some fifty guesses are remembered.
constexpr double kAcceptanceMemory = 0.98;
// Plain steps before the first try, so that there is something to compare with.
constexpr int kPlainSteps = 3;
// The time lost by trying may be this share of the time spent: below the 3% that may be lost in all.
constexpr double kBudget = 0.02;
// What is believed before there is evidence: two guesses of four taken.
constexpr double kPriorTaken = 2.0, kPriorJudged = 4.0;

}  // namespace

DraftLength::DraftLength(int max_draft)
    : max_draft_(max_draft), verify_(static_cast<size_t>(max_draft) + 2), taken_(kPriorTaken), judged_(kPriorJudged) {}

void DraftLength::Running::Add(double x) {
  ++count;
  value += (x - value) * std::max(kForget, 1.0 / count);
}

double DraftLength::acceptance() const { return taken_ / judged_; }

double DraftLength::VerifySeconds(int tokens) const {
  if (tokens <= 1) return plain_.value;
  const auto wanted = static_cast<size_t>(tokens);
  if (verify_[wanted].count > 0) return verify_[wanted].value;
  // Between measured neighbours linearly; beyond the largest at its cost per further token (at first: none is known and
  // a token more is taken to cost a tenth of a step, which the first round corrects).
  size_t below = wanted;
  while (below > 1 && verify_[below].count == 0) --below;
  const double low = below > 1 ? verify_[below].value : plain_.value;
  size_t above = wanted;
  while (above < verify_.size() && verify_[above].count == 0) ++above;
  double per_token = 0.1 * plain_.value;
  if (above < verify_.size()) {
    per_token = (verify_[above].value - low) / static_cast<double>(above - below);
  } else if (below > 1) {
    per_token = (low - plain_.value) / static_cast<double>(below - 1);
  }
  return low + std::max(0.0, per_token) * static_cast<double>(wanted - below);
}

double DraftLength::ExpectedTokens(int k) const {
  const double a = std::min(acceptance(), 0.999);
  return (1.0 - std::pow(a, k + 1)) / (1.0 - a);
}

double DraftLength::RoundSeconds(int k) const { return k * draft_.value + VerifySeconds(k + 1); }

int DraftLength::Choose() const {
  if (plain_.count < kPlainSteps) return 0;
  const bool in_budget = lost_ <= kBudget * spent_;
  if (draft_.count == 0) return in_budget ? std::min(2, max_draft_) : 0;
  int best = 0;
  double best_rate = 1.0 / plain_.value;
  for (int k = 1; k <= max_draft_; ++k) {
    const double rate = ExpectedTokens(k) / RoundSeconds(k);
    if (rate > best_rate) {
      best = k;
      best_rate = rate;
    }
  }
  if (best > 0) return in_budget ? best : 0;
  // Drafting does not pay by what is known; what is known ages, so try a short draft when the budget has room for one
  // that is refused.
  const double at_risk = draft_.value + VerifySeconds(2) - plain_.value;
  return lost_ + at_risk <= kBudget * spent_ ? 1 : 0;
}

void DraftLength::Record(int drafted, int accepted, double draft_seconds, double verify_seconds) {
  const double seconds = draft_seconds + verify_seconds;
  spent_ += seconds;
  if (drafted == 0 && draft_seconds == 0.0) {
    plain_.Add(verify_seconds);
    return;
  }
  lost_ += seconds - plain_.value * (accepted + 1);
  if (drafted > 0) {
    draft_.Add(draft_seconds / drafted);
    verify_[static_cast<size_t>(drafted) + 1].Add(verify_seconds);
  }
  const int judged = std::min(drafted, accepted + 1);  // guesses behind the first refused one say nothing
  for (int i = 0; i < judged; ++i) {
    taken_ = taken_ * kAcceptanceMemory + (i < accepted ? 1.0 : 0.0);
    judged_ = judged_ * kAcceptanceMemory + 1.0;
  }
}

}  // namespace assay
