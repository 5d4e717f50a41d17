#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "judge/intervals.h"
#include "record/record.h"

namespace assay {

// The checks of speculative decoding beside those that every measurement shares (judge/guards.h): pure functions of
// their evidence. docs/speculation.md has the rules.

// "decoded": nothing failed on the way; each failure says what and where.
GuardResult CheckDecoded(std::span<const std::string> failures);

// One text generated twice.
struct OutputPair {
  std::string prompt;  // names it
  std::vector<int32_t> expected, found;
};
// "lossless": every text is the expected one, token for token. `show` prints a token.
GuardResult CheckLossless(std::span<const OutputPair> outputs, const std::function<std::string(int32_t)>& show);

// "exercised", a warning: guesses were taken and guesses were refused, at least one of each. Without a guess taken the
// batch decoded nothing that counts, without one refused nothing was ever rolled back: then equal texts show nothing.
GuardResult CheckExercised(int64_t drafted, int64_t accepted);

// "books": the parts of the rounds sum to the time that was taken, and the target alone was timed as it runs here. One
// that comes from another harness, with work of its own around each step, makes every speed-up of it too large.
struct BooksEvidence {
  double decode_seconds = 0.0, parts_seconds = 0.0;
  Estimate baseline_step;  // the baseline's time per token in steps of the target timed by themselves, over prompts
};
// Tolerated of either. It is what reading a clock, calling back and waking threads may cost around parts of a round
// that take half a millisecond; the second is held to it with 99% certainty.
inline constexpr double kBooksShare = 0.02;
inline constexpr double kBooksLevel = 0.99;
GuardResult CheckBooks(const BooksEvidence& evidence);

// What one run shows of who computed it.
struct BackendEvidence {
  std::string backend;                   // the name that it gives itself, "cpu"
  std::vector<float> drafted, accepted;  // of each round, in order
  // Hashes of the bits of logits on the same tokens, one for each model, in the same order; empty where who computed
  // does not show them.
  std::vector<std::string> logit_hashes;
};
// "backend": rounds that are another backend's to the last token, with the very bits of its logits, are those of a
// silent fallback. `others` are earlier runs of the same models, settings and prompts. Equal rounds without hashes
// cannot be judged, since honest greedy texts have equal rounds: a warning.
GuardResult CheckBackend(const BackendEvidence& run, std::span<const BackendEvidence> others);

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

// "draft cost", a warning: a draft that is larger or slower than its target.
struct DraftCostEvidence {
  uint64_t draft_bytes = 0, target_bytes = 0;  // of weights
  double speed_ratio = 0.0;                    // tokens per second of the draft over those of the target
};
GuardResult CheckDraftCost(const DraftCostEvidence& evidence);

}  // namespace assay
