#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "judge/intervals.h"
#include "judge/remote_draft.h"
#include "judge/round_costs.h"
#include "record/record.h"

namespace assay {

// From what was timed to the figures of a cell (one draft, one draft length, one prompt set): pure functions.

// One round of a text: the guesses made and taken, and where its time went (decode/round.h).
struct RoundRecord {
  int drafted = 0;
  int accepted = 0;
  double draft_seconds = 0.0;
  double verify_seconds = 0.0;
  double settle_seconds = 0.0;
  double sample_seconds = 0.0;
  double other_seconds = 0.0;
  BurstRecord burst = {};

  double TargetSeconds() const { return verify_seconds + settle_seconds + sample_seconds; }
  double Seconds() const { return draft_seconds + TargetSeconds() + other_seconds; }
};

// One prompt's text, generated once.
struct TimedText {
  std::vector<int32_t> tokens;
  double prompt_seconds = 0.0;  // until the first token
  double decode_seconds = 0.0;  // for the tokens after it
  std::vector<RoundRecord> rounds;
  std::vector<DrafterRecord> drafters = {};  // who made the bursts: BurstRecord::who
  Conditions conditions = {};

  int64_t decoded() const { return static_cast<int64_t>(tokens.size()) - 1; }
  double SecondsPerToken() const { return decode_seconds / static_cast<double>(decoded()); }
};

// One prompt in one repetition, both ways. Of a placebo, `speculative` is the target alone once more.
struct PairedText {
  size_t prompt = 0;
  int repetition = 0;
  int order = 0;  // place of the speculative text within its turn
  TimedText baseline, speculative;

  // Both gave a token after the first.
  bool timed() const { return baseline.tokens.size() >= 2 && speculative.tokens.size() >= 2; }
};

// A value for each prompt: of prompts, the units of all that is said about speed.
using ByPrompt = std::map<size_t, double>;

// Of each prompt the mean over its repetitions of the logarithm of what `ratio` says of a text; texts of which it says
// nothing are left out.
ByPrompt LogsByPrompt(std::span<const PairedText> texts,
                      const std::function<std::optional<double>(const PairedText&)>& ratio);
// Of the speed-up: time per token of the target alone over that of the speculative text, of those that are timed().
ByPrompt SpeedupLogs(std::span<const PairedText> texts);
// How much faster the fixed work beside the speculative text ran than that beside its baseline.
ByPrompt MachineLogs(std::span<const PairedText> texts);
// From each prompt's first repetition to its last, the change of the speed-up: what the same work scatters by.
ByPrompt RepetitionLogs(std::span<const PairedText> texts);

Estimate PromptEstimate(const ByPrompt& logs);
// How many times as fast as `b` the texts of `a` are, over the prompts that both have.
Estimate PromptRatio(const ByPrompt& a, const ByPrompt& b);

// The costs of parts, timed amid a turn of one prompt.
struct CostSample {
  size_t prompt = 0;
  double baseline_step = 0.0;            // seconds a token of that turn's baseline took
  double plain_step = 0.0;               // the same, timed by itself
  std::optional<double> draft_step;      // the draft model alone, likewise
  std::vector<double> guessing_seconds;  // [k - 1]: the target's side of a round of k guesses
};

struct CostCurve {
  std::vector<double> verify;         // RoundCosts::verify, medians over the samples
  std::optional<double> speed_ratio;  // tokens per second of the draft alone over those of the target alone
  Estimate baseline_step;             // the baseline's step in steps timed by themselves
};
CostCurve SummarizeCosts(std::span<const CostSample> samples);

// Figures of a cell in which at least one prompt gave two tokens both ways.
struct SpeculationFigures {
  int64_t rounds = 0, drafted = 0, accepted = 0;
  std::vector<int64_t> judged_at, accepted_at;  // by position in the draft: guesses that were reached, and taken
  double tokens_per_round = 0.0;
  double tok_per_s = 0.0, baseline_tok_per_s = 0.0;            // of all prompts and repetitions together
  double prompt_seconds = 0.0, baseline_prompt_seconds = 0.0;  // mean time to the first token
  double decode_seconds = 0.0, parts_seconds = 0.0;            // of the speculative texts, and of their rounds' parts
  Estimate speedup;                                            // over prompts
  std::optional<double> speed_ratio;                           // CostCurve
  RoundCosts costs;
  double predicted_speedup = 0.0;
  std::optional<double> break_even;          // the acceptance per guess at which this length starts to pay
  std::optional<double> acceptance() const;  // accepted / drafted
  std::optional<double> per_guess() const;   // taken of those that were reached: Leviathan's alpha
  double books() const;                      // share of the decode time that no part accounts for
};

// A draft length that so many rounds of the cell had costs what they took; the others what was timed by itself.
inline constexpr int kOwnRounds = 20;

// The figures of the texts that are timed(), at least one, with costs up to the longest draft. `k` is the fixed draft
// length, 0 for one that adapts.
SpeculationFigures ComputeFigures(std::span<const PairedText> texts, const CostCurve& curve, int k);

}  // namespace assay
