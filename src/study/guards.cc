#include "study/guards.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace assay {
namespace {

// Beyond the bound that costs set, a speed-up may lie by this share: the costs were measured at one depth.
constexpr double kPlausibleMargin = 0.10;
// A text with more of it in loops is called degenerate.
constexpr double kDegenerateShare = 0.30;
// An interval that holds 1 and is wider to each side supports no verdict, not even that there is no difference.
constexpr double kWidestUndecided = 0.15;
// Repetitions of the same work that scatter more are noise.
constexpr double kLargestRepeatCv = 0.25;
// From the first third of a run to the last.
constexpr double kRateDrift = 0.15;
constexpr double kClockDrift = 0.10;
constexpr double kLoadDrift = 1.0;  // load of others, in processors
constexpr size_t kFewestForDrift = 6;
// Single pages of the program itself may come late; a model that does not fit the memory brings thousands.
constexpr int64_t kMajorFaultsTolerated = 16;

std::string TokenOrEnd(std::span<const Token> tokens, size_t at, const std::function<std::string(Token)>& show) {
  if (at >= tokens.size()) return "the end";
  return fmt::format("token {} \"{}\"", tokens[at], show(tokens[at]));
}

double ThirdMedian(std::span<const double> values, bool last) {
  const size_t third = values.size() / 3;
  return Median(last ? values.last(third) : values.first(third));
}

// From the first third to the last, as a share; nothing without enough values.
std::optional<double> RelativeDrift(std::span<const double> values) {
  if (values.size() < kFewestForDrift) return std::nullopt;
  return ThirdMedian(values, true) / ThirdMedian(values, false) - 1.0;
}

std::vector<double> Clocks(std::span<const Conditions> conditions) {
  std::vector<double> clocks;
  for (const Conditions& c : conditions) {
    if (c.cpu_mhz.has_value()) clocks.push_back(*c.cpu_mhz);
  }
  return clocks;
}

// What other programs add to the load. The run's own threads are left out: on an idle machine the load average climbs
// to their number in the first minute.
std::vector<double> ForeignLoads(std::span<const Conditions> conditions, int threads) {
  std::vector<double> loads;
  for (const Conditions& c : conditions) {
    if (c.load_average.has_value()) loads.push_back(std::max(0.0, *c.load_average - threads));
  }
  return loads;
}

bool SameRounds(const BackendEvidence& a, const BackendEvidence& b) {
  return !a.drafted.empty() && a.drafted == b.drafted && a.accepted == b.accepted;
}

// Some model's logits are not known to differ.
bool LogitsTellNothing(const BackendEvidence& a, const BackendEvidence& b) {
  if (a.logit_hashes.empty() || a.logit_hashes.size() != b.logit_hashes.size()) return true;
  for (size_t i = 0; i < a.logit_hashes.size(); ++i) {
    if (a.logit_hashes[i] == b.logit_hashes[i]) return true;
  }
  return false;
}

}  // namespace

GuardResult CheckLossless(std::span<const OutputPair> outputs, const std::function<std::string(Token)>& show) {
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

GuardResult CheckDecoded(std::span<const std::string> failures) {
  if (failures.empty()) return {.name = "decoded", .evidence = "nothing failed"};
  return {.name = "decoded",
          .tripped = true,
          .evidence = fmt::format("{} failed; the first: {}", failures.size(), failures.front())};
}

GuardResult CheckPlausible(const SpeedupEvidence& evidence) {
  const double bound = evidence.tokens_per_round / evidence.verify_cost;
  const double limit = bound * (1.0 + kPlausibleMargin + 2.0 * evidence.cost_spread);
  const bool tripped = !(evidence.interval.low <= limit);
  return {.name = "plausible",
          .tripped = tripped,
          .evidence = fmt::format("speed-up {:.3f} (at least {:.3f}); {:.2f} tokens a round at {:.2f} plain steps for "
                                  "verifying alone allow {:.3f}, {:.3f} with the margin",
                                  evidence.speedup, evidence.interval.low, evidence.tokens_per_round,
                                  evidence.verify_cost, bound, limit)};
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

GuardResult CheckBackend(const BackendEvidence& run, std::span<const BackendEvidence> others) {
  size_t compared = 0;
  size_t agreed = 0;
  for (const BackendEvidence& other : others) {
    if (other.backend == run.backend) continue;
    ++compared;
    if (!SameRounds(run, other)) continue;
    if (LogitsTellNothing(run, other)) {
      return {.name = "backend",
              .tripped = true,
              .evidence = fmt::format("says {}, but all {} rounds went as those of {}, and no logits tell the two "
                                      "apart: one computed for the other",
                                      run.backend, run.drafted.size(), other.backend)};
    }
    ++agreed;
  }
  if (compared == 0) return {.name = "backend", .evidence = "no run of another backend to compare with"};
  return {.name = "backend",
          .evidence = fmt::format("{} runs of other backends; {} with the same rounds, but other bits in the logits",
                                  compared, agreed)};
}

GuardResult CheckSpread(const SpreadEvidence& evidence) {
  const double half = (evidence.interval.high - evidence.interval.low) / 2.0 / evidence.value;
  const bool undecided = evidence.interval.low <= 1.0 && evidence.interval.high >= 1.0;
  const bool wide = undecided && !(half <= kWidestUndecided);
  const bool noisy = evidence.repeat_cv.has_value() && !(*evidence.repeat_cv <= kLargestRepeatCv);
  std::string text = fmt::format("{:.3f}, 95% interval {:.3f} to {:.3f}", evidence.value, evidence.interval.low,
                                 evidence.interval.high);
  if (undecided) text += fmt::format(", on both sides of 1 (tolerated {:.0f}% to each side)", 100.0 * kWidestUndecided);
  if (evidence.repeat_cv.has_value()) {
    text += fmt::format(", repetitions scatter by {:.1f}% (tolerated {:.0f}%)", 100.0 * *evidence.repeat_cv,
                        100.0 * kLargestRepeatCv);
  }
  return {.name = "spread", .tripped = wide || noisy, .evidence = std::move(text)};
}

GuardResult CheckSteady(const SteadyEvidence& evidence) {
  std::vector<std::string> seen;
  bool tripped = false;
  if (const auto drift = RelativeDrift(evidence.rates)) {
    tripped = tripped || !(std::abs(*drift) <= kRateDrift);
    seen.push_back(
        fmt::format("the target's own rate by {:+.1f}% (tolerated {:.0f}%)", 100.0 * *drift, 100.0 * kRateDrift));
  }
  if (const auto drift = RelativeDrift(Clocks(evidence.conditions))) {
    tripped = tripped || !(std::abs(*drift) <= kClockDrift);
    seen.push_back(fmt::format("the clock by {:+.1f}% (tolerated {:.0f}%)", 100.0 * *drift, 100.0 * kClockDrift));
  }
  const std::vector<double> loads = ForeignLoads(evidence.conditions, evidence.threads);
  if (loads.size() >= kFewestForDrift) {
    const double drift = ThirdMedian(loads, true) - ThirdMedian(loads, false);
    tripped = tripped || !(std::abs(drift) <= kLoadDrift);
    seen.push_back(fmt::format("the load of other programs by {:+.1f} (tolerated {:.0f})", drift, kLoadDrift));
  }
  if (seen.empty()) return {.name = "steady", .evidence = "too few samples to see a drift"};
  return {.name = "steady",
          .tripped = tripped,
          .evidence = fmt::format("from the first third to the last: {}", fmt::join(seen, ", "))};
}

GuardResult CheckMemory(std::span<const Conditions> conditions) {
  int64_t faults = 0;
  for (const Conditions& c : conditions) faults += c.major_faults;
  return {.name = "memory",
          .tripped = faults > kMajorFaultsTolerated,
          .evidence = fmt::format("{} pages came from the disk while time was taken (tolerated {})", faults,
                                  kMajorFaultsTolerated)};
}

GuardResult CheckDraftCost(const DraftCostEvidence& evidence) {
  const double size = static_cast<double>(evidence.draft_bytes) / static_cast<double>(evidence.target_bytes);
  return {.name = "draft cost",
          .evidence = fmt::format("the draft has {:.2f} times the bytes of its target and {:.2f} times its speed", size,
                                  evidence.speed_ratio),
          .warning = size > 1.0 || evidence.speed_ratio < 1.0};
}

}  // namespace assay
