#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "decode/speculate.h"
#include "record/record.h"
#include "study/verdict.h"

namespace assay {

// From what was timed to the figures of a cell: pure functions.

// One prompt's text, generated once.
struct TimedText {
  std::vector<Token> tokens;
  double prompt_seconds = 0.0;  // until the first token
  double decode_seconds = 0.0;  // for the tokens after it
  std::vector<SpeculationRound> rounds;
  Conditions conditions;
};

// One prompt in one repetition, both ways.
struct PairedText {
  size_t prompt = 0;
  int repetition = 0;
  int order = 0;  // place of the speculative text within its turn
  TimedText baseline, speculative;

  // Both gave a token after the first.
  bool timed() const { return baseline.tokens.size() >= 2 && speculative.tokens.size() >= 2; }
};

// One round of cost measurements.
struct CostSample {
  std::vector<double> verify_seconds;  // [n - 1]: the target decodes n tokens at once
  std::optional<double> draft_seconds;
};

// The costs of a pair on a prompt set, each a median over what was measured in turns.
struct CostCurve {
  double plain_seconds = 0.0;           // the target decodes one token
  std::vector<double> verify;           // RoundCosts::verify
  std::vector<double> verify_spread;    // relative standard errors of them
  std::optional<double> draft_seconds;  // the draft model decodes one token
};

// Figures of a cell in which at least one prompt gave two tokens both ways.
struct SpeculationFigures {
  int64_t rounds = 0, drafted = 0, accepted = 0;
  std::vector<int64_t> judged_at, accepted_at;  // by position in the draft: guesses that were reached, and taken
  double tokens_per_round = 0.0;
  double tok_per_s = 0.0, baseline_tok_per_s = 0.0;            // of all prompts and repetitions together
  double prompt_seconds = 0.0, baseline_prompt_seconds = 0.0;  // mean time to the first token
  double speedup = 0.0;
  Interval speedup_interval;
  std::optional<double> repeat_cv;    // of the speed-up, among repetitions of a prompt
  std::optional<double> speed_ratio;  // tokens per second of the draft alone over those of the target alone
  RoundCosts costs;
  double verify_cost_per_round = 0.0, cost_spread = 0.0;  // SpeedupEvidence
  double predicted_speedup = 0.0;
  std::optional<double> break_even;          // the acceptance per guess at which this length starts to pay
  std::optional<double> acceptance() const;  // accepted / drafted
  std::optional<double> per_guess() const;   // taken of those that were reached: Leviathan's alpha
};

// Each cost is the median of its multiples of the plain step in the same round: what slows a whole round cancels.
CostCurve SummarizeCosts(std::span<const CostSample> samples);

// The figures of the texts that are timed(), at least one, with costs up to the longest draft. `k` is the fixed draft
// length, 0 for one that adapts.
SpeculationFigures ComputeFigures(std::span<const PairedText> texts, const CostCurve& costs, int k, uint64_t seed);

}  // namespace assay
