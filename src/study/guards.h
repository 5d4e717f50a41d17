#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "judge/statistics.h"
#include "record/record.h"
#include "text/tokenizer.h"

namespace assay {

// Named checks of measurements: pure functions of their evidence, so that each has tests that break it. A tripped guard
// makes the run invalid; a warning is told with the figures and leaves them valid. docs/speculation.md has the rules.

// One text generated twice.
struct OutputPair {
  std::string prompt;  // names it
  std::vector<Token> expected, found;
};

// "lossless": every text is the expected one, token for token. `show` prints a token.
GuardResult CheckLossless(std::span<const OutputPair> outputs, const std::function<std::string(Token)>& show);

// "decoded": nothing failed on the way; each failure says what and where.
GuardResult CheckDecoded(std::span<const std::string> failures);

// "plausible": a speed-up that the parts allow.
struct SpeedupEvidence {
  double speedup = 0.0;
  Interval interval;              // its confidence interval
  double tokens_per_round = 0.0;  // measured
  double verify_cost = 0.0;       // of a round's verification alone, in plain steps, the mean over the rounds
  double cost_spread = 0.0;       // relative standard error of verify_cost
};
GuardResult CheckPlausible(const SpeedupEvidence& evidence);

// The share of a text's bytes that lie in loops: a cycle of at most kLongestCycle bytes that comes at least
// kLoopRepeats times in a row, in a stretch of at least kShortestLoop bytes (indentation and rulers are shorter).
inline constexpr size_t kLongestCycle = 120;
inline constexpr size_t kLoopRepeats = 5;
inline constexpr size_t kShortestLoop = 40;
double RepeatedShare(std::string_view text);

struct NamedText {
  std::string prompt, text;
};
// "repetition", a warning: text that goes in circles is easy to draft, and says little about other text.
GuardResult CheckRepetition(std::span<const NamedText> texts);

// What one run shows of who computed it.
struct BackendEvidence {
  std::string backend;                   // the name that it gives itself, "cpu"
  std::vector<float> drafted, accepted;  // of each round, in order
  // Hashes of the bits of logits on the same tokens, one for each model, in the same order; may be empty.
  std::vector<std::string> logit_hashes;
};
// "backend": acceptance that is another backend's to the last token, without logits that tell the two apart, is that of
// a silent fallback. `others` are earlier runs of the same models, settings and prompts.
GuardResult CheckBackend(const BackendEvidence& run, std::span<const BackendEvidence> others);

// "spread": what was measured supports a verdict.
struct SpreadEvidence {
  double value = 0.0;               // a ratio
  Interval interval;                // its confidence interval
  std::optional<double> repeat_cv;  // relative standard deviation of repetitions of the same work; absent without any
};
GuardResult CheckSpread(const SpreadEvidence& evidence);

// "steady": machine and clock stayed as they were.
struct SteadyEvidence {
  std::vector<double> rates;           // in the order of time, of the same work or each relative to its own mean
  std::vector<Conditions> conditions;  // likewise in the order of time
  int threads = 1;                     // the run's own: its own load
};
GuardResult CheckSteady(const SteadyEvidence& evidence);

// "memory": nothing came from the disk while time was taken.
GuardResult CheckMemory(std::span<const Conditions> conditions);

// "draft cost", a warning: a draft that is larger or slower than its target.
struct DraftCostEvidence {
  uint64_t draft_bytes = 0, target_bytes = 0;  // of weights
  double speed_ratio = 0.0;                    // tokens per second of the draft over those of the target
};
GuardResult CheckDraftCost(const DraftCostEvidence& evidence);

}  // namespace assay
