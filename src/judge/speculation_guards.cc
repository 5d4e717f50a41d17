#include "judge/speculation_guards.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace assay {
namespace {

// A text with more of it in loops is called degenerate.
constexpr double kDegenerateShare = 0.30;

std::string TokenOrEnd(std::span<const int32_t> tokens, size_t at, const std::function<std::string(int32_t)>& show) {
  if (at >= tokens.size()) return "the end";
  return fmt::format("token {} \"{}\"", tokens[at], show(tokens[at]));
}

bool SameRounds(const BackendEvidence& a, const BackendEvidence& b) {
  return !a.drafted.empty() && a.drafted == b.drafted && a.accepted == b.accepted;
}

// Both show hashes of as many models.
bool Comparable(const BackendEvidence& a, const BackendEvidence& b) {
  return !a.logit_hashes.empty() && a.logit_hashes.size() == b.logit_hashes.size();
}

bool SomeHashIsEqual(const BackendEvidence& a, const BackendEvidence& b) {
  return !std::ranges::equal(a.logit_hashes, b.logit_hashes, std::ranges::not_equal_to());
}

}  // namespace

GuardResult CheckDecoded(std::span<const std::string> failures) {
  if (failures.empty()) return {.name = "decoded", .evidence = "nothing failed"};
  return {.name = "decoded",
          .tripped = true,
          .evidence = fmt::format("{} failed; the first: {}", failures.size(), failures.front())};
}

GuardResult CheckLossless(std::span<const OutputPair> outputs, const std::function<std::string(int32_t)>& show) {
  for (const OutputPair& output : outputs) {
    const auto [expected, found] =
        std::mismatch(output.expected.begin(), output.expected.end(), output.found.begin(), output.found.end());
    if (expected == output.expected.end() && found == output.found.end()) continue;
    const auto at = static_cast<size_t>(expected - output.expected.begin());
    return {.name = "lossless",
            .tripped = true,
            .evidence = fmt::format("prompt {}: token {} is {}, the target alone gives {}", output.prompt, at + 1,
                                    TokenOrEnd(output.found, at, show), TokenOrEnd(output.expected, at, show))};
  }
  return {.name = "lossless", .evidence = fmt::format("{} texts, each that of the target alone", outputs.size())};
}

GuardResult CheckExercised(int64_t drafted, int64_t accepted) {
  const int64_t refused = drafted - accepted;
  std::string evidence = fmt::format("{} guesses taken, {} refused", accepted, refused);
  const bool idle = accepted <= 0 || refused <= 0;
  if (idle) evidence += ": equal texts do not show that drafts are verified and rolled back rightly";
  return {.name = "exercised", .evidence = std::move(evidence), .warning = idle};
}

GuardResult CheckBooks(const BooksEvidence& evidence) {
  const double missing = (evidence.decode_seconds - evidence.parts_seconds) / evidence.decode_seconds;
  bool tripped = !(std::abs(missing) <= kBooksShare);
  std::string text = fmt::format("the parts of the rounds leave {:+.2f}% of their time unaccounted (tolerated {:.0f}%)",
                                 100.0 * missing, 100.0 * kBooksShare);
  const Estimate& step = evidence.baseline_step;
  if (!step.enough()) {
    text += fmt::format("; too few prompts to hold the target alone against its own step ({})", step.units());
  } else {
    const Interval ends = step.interval(kBooksLevel);
    tripped = tripped || !(ends.low <= 1.0 + kBooksShare && ends.high >= 1.0 / (1.0 + kBooksShare));
    text += fmt::format("; the target alone took {:.3f} of its own step a token (99% interval {:.3f} to {:.3f})",
                        step.value(), ends.low, ends.high);
  }
  return {.name = "books", .tripped = tripped, .evidence = std::move(text)};
}

GuardResult CheckBackend(const BackendEvidence& run, std::span<const BackendEvidence> others) {
  size_t compared = 0;
  size_t agreed = 0;
  std::string unknown;
  for (const BackendEvidence& other : others) {
    if (other.backend == run.backend) continue;
    ++compared;
    if (!SameRounds(run, other)) continue;
    ++agreed;
    if (!Comparable(run, other)) {
      unknown = other.backend;
    } else if (SomeHashIsEqual(run, other)) {
      return {.name = "backend",
              .tripped = true,
              .evidence = fmt::format("says {}, but all {} rounds went as those of {}, and logits have the same bits: "
                                      "one computed for the other",
                                      run.backend, run.drafted.size(), other.backend)};
    }
  }
  if (!unknown.empty()) {
    return {.name = "backend",
            .evidence = fmt::format("all {} rounds went as those of {}, and no logits were shown that could tell the "
                                    "two apart: who computed cannot be judged",
                                    run.drafted.size(), unknown),
            .warning = true};
  }
  if (compared == 0) return {.name = "backend", .evidence = "no run of another backend to compare with"};
  return {.name = "backend",
          .evidence = fmt::format("{} runs of other backends; {} with the same rounds, but other bits in the logits",
                                  compared, agreed)};
}

double RepeatedShare(std::string_view text) {
  if (text.empty()) return 0.0;
  std::vector<bool> repeated(text.size(), false);
  for (size_t cycle = 1; cycle <= std::min(kLongestCycle, text.size() / kLoopRepeats); ++cycle) {
    size_t start = 0;  // of the stretch in which each byte is the one a cycle before it
    for (size_t i = cycle; i <= text.size(); ++i) {
      if (i < text.size() && text[i] == text[i - cycle]) continue;
      const size_t length = i - start;
      if (length >= std::max(kShortestLoop, kLoopRepeats * cycle)) {
        std::fill(repeated.begin() + static_cast<ptrdiff_t>(start), repeated.begin() + static_cast<ptrdiff_t>(i), true);
      }
      start = i + 1 - cycle;
    }
  }
  return static_cast<double>(std::count(repeated.begin(), repeated.end(), true)) / static_cast<double>(text.size());
}

GuardResult CheckRepetition(std::span<const NamedText> texts) {
  size_t degenerate = 0;
  double worst = 0.0;
  std::string worst_prompt;
  for (const NamedText& text : texts) {
    const double share = RepeatedShare(text.text);
    if (share > kDegenerateShare) ++degenerate;
    if (share > worst) {
      worst = share;
      worst_prompt = text.prompt;
    }
  }
  std::string evidence = fmt::format("{} of {} texts of the target alone are loops for more than {:.0f}%", degenerate,
                                     texts.size(), 100.0 * kDegenerateShare);
  if (worst > 0.0) evidence += fmt::format("; most of all prompt {}: {:.0f}%", worst_prompt, 100.0 * worst);
  return {.name = "repetition", .evidence = std::move(evidence), .warning = degenerate > 0};
}

GuardResult CheckDraftCost(const DraftCostEvidence& evidence) {
  const double size = static_cast<double>(evidence.draft_bytes) / static_cast<double>(evidence.target_bytes);
  return {.name = "draft cost",
          .evidence = fmt::format("the draft has {:.2f} times the bytes of its target and {:.2f} times its speed", size,
                                  evidence.speed_ratio),
          .warning = size > 1.0 || evidence.speed_ratio < 1.0};
}

}  // namespace assay
