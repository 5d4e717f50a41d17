#include "decode/learned_acceptance.h"

#include <algorithm>
#include <cmath>

namespace assay {
namespace {

// Of each round the older ones keep this share of their weight: some fifty rounds of drafts are remembered, two hundred
// plain steps.
constexpr double kRoundMemory = 0.98, kPlainMemory = 0.995;
// The first place is believed to be taken so often before there is evidence, as if by so many guesses.
constexpr double kGoodOpinion = 0.75, kGoodOpinionWeight = 1.5;
constexpr double kPlaceBeforeWeight = 3.0;  // in guesses
// Of the first place the best is hoped for that the evidence allows, in standard errors, as with upper confidence
// bounds (Lai, Robbins 1985): who believes what a few unlucky guesses said never finds out. A text's budget bounds the
// price.
constexpr double kHope = 1.7, kMostHoped = 0.95;
constexpr double kMadeWeight = 1.0;

}  // namespace

LearnedAcceptance::LearnedAcceptance(int max_draft) : places_(static_cast<size_t>(max_draft)) {}

void LearnedAcceptance::Age(double keep) {
  for (Place& place : places_) {
    place.asked *= keep;
    place.made *= keep;
    place.judged *= keep;
    place.taken *= keep;
  }
}

void LearnedAcceptance::Add(int asked, int drafted, int accepted) {
  Age(kRoundMemory);
  for (int i = 0; i < asked; ++i) {
    Place& place = places_[static_cast<size_t>(i)];
    if (i <= drafted) {
      place.asked += 1.0;
      if (i < drafted) place.made += 1.0;
    }
    if (i <= accepted) {  // behind the first that was not taken nothing is known
      place.judged += 1.0;
      if (i < accepted) place.taken += 1.0;
    }
  }
}

void LearnedAcceptance::AddPlain() { Age(kPlainMemory); }

std::vector<LearnedAcceptance::Expected> LearnedAcceptance::ForLengths() const {
  std::vector<Expected> expected(1);
  double rate = kGoodOpinion;
  double weight = kGoodOpinionWeight;
  double all_taken = 1.0, all_made = 1.0;
  for (const Place& place : places_) {
    rate = (place.taken + weight * rate) / (place.judged + weight);
    if (&place == &places_.front()) {
      rate =
          std::max(rate, std::min(kMostHoped, rate + kHope * std::sqrt(rate * (1.0 - rate) / (place.judged + weight))));
    }
    weight = kPlaceBeforeWeight;
    Expected next = expected.back();
    next.steps += all_made;
    all_taken *= rate;
    all_made *= (place.made + kMadeWeight) / (place.asked + kMadeWeight);
    next.tokens += all_taken;
    next.whole = all_taken;
    next.guesses += all_made;
    expected.push_back(next);
  }
  return expected;
}

}  // namespace assay
