#include "decode/draft_length.h"

#include <algorithm>

namespace assay {
namespace {

// A text may lose this share of plain decoding's time; a little less than the 3% that docs/speculation.md
// promises, for what is not known exactly.
constexpr double kLossShare = 0.024;
constexpr double kShortText = 20.0;  // tokens: shorter texts are not promised anything
constexpr size_t kTextsRemembered = 4;
// Plain steps that the budget may hold, gains included: some rounds of a long draft that are refused.
constexpr double kMostBudget = 8.0;
// The longer a draft, the more of its like must fit the budget: one of a single guess, this much more for each further
// guess. One that fails shall not end them.
constexpr double kTriesPerGuess = 0.5, kMostTries = 2.5;
// Plain steps behind a draft settle what that left, and find the caches as the draft model left them: on models that
// the caches hold, only those from here on in a row take what plain decoding takes.
constexpr int kSettledStep = 5;
constexpr int kWarmDraft = 3;          // likewise of drafts in a row
constexpr double kMostOfReturn = 2.0;  // plain steps, that one of them is believed to take
constexpr int kSettledFirstStep = 2;   // where the row begins a text
// Rounds until so many plain steps are taken again: all is measured in them. Sooner while they are little known.
constexpr int kPlainEvery = 384, kUnsurePlainEvery = 32, kReturnSteps = 6;
// A draft should win this much: less may be an error, or be lost by going to and fro.
constexpr double kWorthwhile = 1.03;
constexpr double kSwitchMemory = 0.7;  // what earlier returns to plain steps keep of their weight

}  // namespace

DraftLength::DraftLength(int max_draft) : max_draft_(max_draft), costs_(max_draft + 1), acceptance_(max_draft) {}

void DraftLength::BeginText() {
  if (tokens_ > 0.0) {
    lengths_.push_back(tokens_);
    if (!after_draft_) costs_.Age();
  }
  if (lengths_.size() > kTextsRemembered) lengths_.erase(lengths_.begin());
  const double shortest = lengths_.empty() ? 0.0 : *std::min_element(lengths_.begin(), lengths_.end());
  tokens_ = 0.0;
  unread_ = 0;
  row_ = 0;
  after_draft_ = whole_ = false;
  granted_ = budget_ = std::min(kMostBudget, kLossShare * std::max(kShortText, shortest));
}

double DraftLength::DraftSeconds(int steps) const {
  const double reading = unread_ == 0 && whole_ ? costs_.after_whole() : costs_.Reading(unread_);
  return reading + steps * costs_.guess();
}

double DraftLength::MostLost(int guesses) const {
  return (DraftSeconds(guesses) + costs_.Verify(guesses + 1)) / costs_.plain() - 1.0;
}

bool DraftLength::Affords(int guesses) const {
  const double tries = std::min(kMostTries, 1.0 + kTriesPerGuess * (guesses - 1));
  const double lost = MostLost(guesses);
  // Who leaves plain decoding may have to go back.
  const bool leaves = unread_ > 0 || !after_draft_;
  return lost + (leaves ? std::max(0.0, switch_) : 0.0) <= budget_ && tries * lost <= budget_;
}

int DraftLength::Choose(int most) const {
  if (!costs_.known() || since_plain_ >= (costs_.knows_plain() ? kPlainEvery : kUnsurePlainEvery)) return 0;
  const std::vector<LearnedAcceptance::Expected> expected = acceptance_.ForLengths();
  int best = 0;
  double best_rate = kWorthwhile / costs_.plain();
  for (int k = 1; k <= std::min(most, max_draft_); ++k) {
    if (!Affords(k)) continue;
    const LearnedAcceptance::Expected& round = expected[static_cast<size_t>(k)];
    const double draft = round.steps * costs_.guess() + round.whole * costs_.after_whole();
    const double rate = round.tokens / (draft + costs_.HopedVerify(1.0 + round.guesses));
    if (rate > best_rate) {
      best = k;
      best_rate = rate;
    }
  }
  return best;
}

void DraftLength::LearnPlain(double seconds) {
  const int step = unread_ + 1;
  if (step >= (after_draft_ ? kSettledStep : kSettledFirstStep)) costs_.AddPlain(seconds);
  if (!after_draft_ || step == kReturnSteps) since_plain_ = 0;
  if (!after_draft_ || step > kSettledStep) return;
  returning_ += std::min(seconds, kMostOfReturn * costs_.plain());
  if (step < kSettledStep) return;
  // Compared with the last of them, so that a machine that has become slower is not taken for the price of a return.
  const double excess = returning_ / std::max(seconds, costs_.plain()) - step;
  Pay(excess);
  switch_ = knows_switch_ ? kSwitchMemory * switch_ + (1.0 - kSwitchMemory) * excess : excess;
  knows_switch_ = true;
}

void DraftLength::Learn(int asked, const SpeculationRound& round) {
  if (asked == 0) {
    row_ = 0;
    acceptance_.AddPlain();
    LearnPlain(round.TargetSeconds());
    return;
  }
  ++since_plain_;
  // The first drafts in a row find the caches as plain steps left them.
  const bool warm = ++row_ >= kWarmDraft;
  if (round.drafted > 0) costs_.AddVerify(round.drafted + 1, round.TargetSeconds(), warm);
  acceptance_.Add(asked, round.drafted, round.accepted);
  const int steps = std::min(asked, round.drafted + 1);
  if (unread_ > 0) {
    costs_.AddReading(unread_, steps, round.draft_seconds);
  } else if (whole_) {
    costs_.AddAfterWhole(steps, round.draft_seconds);
  } else if (warm) {
    costs_.AddGuess(round.draft_seconds / steps);
  }
}

void DraftLength::Pay(double steps) { budget_ = std::min(kMostBudget, budget_ - steps); }

void DraftLength::Add(int asked, const SpeculationRound& round) {
  Learn(asked, round);
  tokens_ += round.accepted + 1;
  if (asked == 0) {
    ++unread_;
  } else {
    // What such rounds cost, and not what the clock said of this one, which may have been interrupted.
    const double seconds = DraftSeconds(std::min(asked, round.drafted + 1)) + costs_.Verify(round.drafted + 1);
    Pay(seconds / costs_.plain() - (round.accepted + 1));
    if (after_draft_ && unread_ < kSettledStep) Pay(returning_ / costs_.plain() - unread_);
    unread_ = 0;
    after_draft_ = true;
    whole_ = round.drafted > 0 && round.accepted == round.drafted;
    returning_ = 0.0;
  }
  const double grant = std::max(granted_, kLossShare * tokens_);
  Pay(granted_ - grant);
  granted_ = grant;
}

}  // namespace assay
