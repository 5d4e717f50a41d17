#include "judge/speedup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "judge/comparison.h"

namespace assay {
namespace {

std::string Percent(double ratio) { return fmt::format("{:+.1f}%", 100.0 * (ratio - 1.0)); }

std::string Range(const Estimate& estimate) {
  const Interval ends = estimate.interval();
  return fmt::format("95% interval {} to {}", Percent(ends.low), Percent(ends.high));
}

// All comparisons of a sentence: lengths against the target alone, then each pair of lengths once.
class Family {
 public:
  Family(std::span<const LengthSpeedup> lengths, double floor) : lengths_(lengths) {
    for (const LengthSpeedup& length : lengths) Add(length.k, PromptEstimate(length.logs), floor);
    for (size_t a = 0; a < lengths.size(); ++a) {
      for (size_t b = a + 1; b < lengths.size(); ++b) {
        Add(lengths[a].k, PromptRatio(lengths[a].logs, lengths[b].logs), floor);
      }
    }
    JudgeTogether(all_);
  }

  const Compared& Alone(size_t length) const { return all_[length]; }
  bool ToldApart(size_t a, size_t b) const {
    const Standing standing = Pair(std::min(a, b), std::max(a, b)).standing;
    return standing == Standing::kBetter || standing == Standing::kWorse;
  }
  // The level at which even the hardest of them would be rejected.
  double strictest_level() const { return StrictestLevel(all_.size()); }

 private:
  void Add(const std::string& k, Estimate estimate, double floor) {
    all_.push_back({.name = k, .estimate = std::move(estimate), .floor = floor});
  }
  const Compared& Pair(size_t a, size_t b) const {
    size_t at = lengths_.size();
    for (size_t first = 0; first < a; ++first) at += lengths_.size() - 1 - first;
    return all_[at + b - a - 1];
  }

  std::span<const LengthSpeedup> lengths_;
  std::vector<Compared> all_;
};

std::string SpeedupClause(const Compared& compared, double strictest_level) {
  const Estimate& e = compared.estimate;
  const std::string amount = fmt::format("{:.1f}%", 100.0 * std::abs(e.value() - 1.0));
  switch (compared.standing) {
    case Standing::kBetter:
      return fmt::format("gains {} ({})", amount, Range(e));
    case Standing::kWorse:
      return fmt::format("loses {} ({})", amount, Range(e));
    case Standing::kBelowFloor:
      return fmt::format("differs from the target alone by less than what this machine tells, {:.1f}% ({})",
                         100.0 * compared.floor, Range(e));
    case Standing::kTooFew:
      return fmt::format("{} {}s are too few to say anything, {} would do", e.units(), e.unit(), kFewestUnits);
    case Standing::kNotToldApart:
      break;
  }
  return fmt::format("cannot be told apart from the target alone ({}; {} would tell)", Range(e),
                     MoreText(e.MoreUnits(1.0, strictest_level), e.unit()));
}

// The gaining length of the largest speed-up; nothing when none gains.
std::optional<size_t> Largest(std::span<const LengthSpeedup> lengths, const Family& family) {
  std::optional<size_t> largest;
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (family.Alone(i).standing != Standing::kBetter) continue;
    if (!largest.has_value() || family.Alone(i).estimate.mean() > family.Alone(*largest).estimate.mean()) largest = i;
  }
  return largest;
}

std::string NameList(const std::vector<std::string>& names) {
  std::string text = names.front();
  for (size_t i = 1; i < names.size(); ++i) text += (i + 1 == names.size() ? " and " : ", ") + names[i];
  return text;
}

std::string LengthName(const LengthSpeedup& length) { return fmt::format("k={}", length.k); }

// Of several lengths, some of which gain: which one is best.
Verdict JudgeBest(std::span<const LengthSpeedup> lengths, const Family& family) {
  Verdict verdict{.name = "best k", .about = {}, .outcome = "none", .sentence = {}};
  const std::optional<size_t> largest = Largest(lengths, family);
  if (!largest.has_value()) return verdict;
  std::vector<std::string> alike;
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (i == *largest || !family.ToldApart(i, *largest)) alike.push_back(LengthName(lengths[i]));
  }
  if (alike.size() > 1) {
    verdict.sentence = fmt::format("{} cannot be told apart", NameList(alike));
  } else {
    verdict.outcome = lengths[*largest].k;
    verdict.sentence = fmt::format("{} is the fastest", LengthName(lengths[*largest]));
  }
  return verdict;
}

}  // namespace

SpeedupJudgement JudgeSpeedups(std::string_view subject, std::span<const LengthSpeedup> lengths, double floor) {
  const Family family(lengths, floor);
  SpeedupJudgement judgement;
  judgement.sentence = std::string(subject) + ": ";
  for (size_t i = 0; i < lengths.size(); ++i) {
    const Compared& compared = family.Alone(i);
    const std::string clause = SpeedupClause(compared, family.strictest_level());
    judgement.verdicts.push_back({"speedup", LengthName(lengths[i]), StandingName(compared.standing), clause});
    judgement.sentence += fmt::format("{}{}: {}", i > 0 ? "; " : "", LengthName(lengths[i]), clause);
  }
  if (lengths.size() > 1) judgement.best = JudgeBest(lengths, family);
  if (!judgement.best.sentence.empty()) judgement.sentence += "; " + judgement.best.sentence;
  judgement.sentence += ".";
  return judgement;
}

}  // namespace assay
