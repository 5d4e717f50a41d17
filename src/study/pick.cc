#include "study/pick.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "judge/statistics.h"

namespace assay {
namespace {

// How much slower than another a rung may turn out to be, at the far end of the interval, and still be "no slower".
constexpr double kSpeedTolerance = 0.03;

// The 97.5% quantile of Student's t: a table where the series is not good to three digits, else the series in 1/df of
// Abramowitz and Stegun 26.7.5 around the normal quantile.
double StudentQuantile(size_t degrees) {
  constexpr std::array<double, 8> kTable = {12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060};
  if (degrees <= kTable.size()) return kTable[degrees - 1];
  constexpr double kZ = 1.959964;
  constexpr double kZ3 = kZ * kZ * kZ;
  constexpr double kZ5 = kZ3 * kZ * kZ;
  constexpr double kZ7 = kZ5 * kZ * kZ;
  const auto n = static_cast<double>(degrees);
  return kZ + (kZ3 + kZ) / (4 * n) + (5 * kZ5 + 16 * kZ3 + 3 * kZ) / (96 * n * n) +
         (3 * kZ7 + 19 * kZ5 + 17 * kZ3 - 15 * kZ) / (384 * n * n * n);
}

// The interval of a mean of `count` differences, still in logarithms.
RangedEstimate StudentInterval(const PairedDifference& difference, size_t count) {
  const double half = StudentQuantile(count - 1) * difference.se;
  return {difference.mean, difference.mean - half, difference.mean + half};
}

constexpr double kInfinity = std::numeric_limits<double>::infinity();

enum class Side { kBetter, kSame, kWorse };

// Of a perplexity's difference.
Side SideOf(const RangedEstimate& difference) {
  if (difference.high < 0.0) return Side::kBetter;
  return difference.low > 0.0 ? Side::kWorse : Side::kSame;
}

// Of a ratio of speeds.
Side SideOfRatio(const RangedEstimate& ratio) {
  if (ratio.low > 1.0) return Side::kBetter;
  return ratio.high < 1.0 ? Side::kWorse : Side::kSame;
}

bool Dominates(const RungEvidence& a, const RungEvidence& b, const PickRules& rules) {
  if (a.bytes > b.bytes) return false;
  const RangedEstimate loss = YesterdaysDifference(a.position_nll, b.position_nll);
  const RangedEstimate speed = YesterdaysRatio(a.generation, b.generation);
  const bool no_worse = SideOf(loss) != Side::kWorse && loss.high <= rules.max_loss_pct &&
                        SideOfRatio(speed) != Side::kWorse && speed.low >= 1.0 - kSpeedTolerance;
  return no_worse && (SideOf(loss) == Side::kBetter || SideOfRatio(speed) == Side::kBetter);
}

bool ToldApart(const RungEvidence& a, const RungEvidence& b) {
  return SideOf(YesterdaysDifference(a.position_nll, b.position_nll)) != Side::kSame ||
         SideOfRatio(YesterdaysRatio(a.generation, b.generation)) != Side::kSame;
}

double MeanRate(const RungEvidence& rung) {
  double sum = 0.0;
  for (const TimedRate& rate : rung.generation) sum += rate.tok_per_s;
  return rung.generation.empty() ? 0.0 : sum / static_cast<double>(rung.generation.size());
}

Loss Classify(const RangedEstimate& loss, double tolerated) {
  if (loss.high <= tolerated) return Loss::kWithin;
  return loss.low > tolerated ? Loss::kBeyond : Loss::kUndecided;
}

// "A", "A and B", "A, B and C"
std::string Join(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " and " : ", ";
    text += names[i];
  }
  return text;
}

// The decision with what its sentence needs.
class Decision {
 public:
  Decision(std::span<const RungEvidence> rungs, std::span<const float> base_nll, const PickRules& rules)
      : rungs_(rungs), base_nll_(base_nll), rules_(rules) {}

  LadderVerdict Make() {
    for (const RungEvidence& rung : rungs_) verdict_.rungs.push_back(Judge(rung));
    for (size_t i = 0; i < rungs_.size(); ++i) verdict_.rungs[i].pareto = verdict_.rungs[i].valid && !Dominated(i);
    verdict_.sentence = Choose();
    if (verdict_.pick.has_value()) verdict_.rungs[*verdict_.pick].pick = true;
    return std::move(verdict_);
  }

 private:
  RungVerdict Judge(const RungEvidence& rung) const {
    RungVerdict verdict;
    verdict.valid = rung.invalid.empty();
    if (!verdict.valid) return verdict;
    verdict.loss_pct = YesterdaysDifference(rung.position_nll, base_nll_);
    verdict.loss = Classify(verdict.loss_pct, rules_.max_loss_pct);
    return verdict;
  }

  bool Dominated(size_t i) const {
    for (size_t j = 0; j < rungs_.size(); ++j) {
      if (j != i && verdict_.rungs[j].valid && Dominates(rungs_[j], rungs_[i], rules_)) return true;
    }
    return false;
  }

  // Sets the pick, if there is one, and returns the sentence.
  std::string Choose() {
    const std::vector<size_t> valid = Select([](const RungVerdict& v) { return v.valid; });
    if (valid.empty()) return "No pick: no rung gave a valid measurement.";
    if (valid.size() == 1) return fmt::format("No pick: {} alone was measured.", rungs_[valid[0]].name);
    if (!AnyToldApart(valid)) {
      return fmt::format("No pick: {} cannot be told apart; no difference in speed or perplexity exceeds its error.",
                         Join(Names(valid)));
    }
    const std::vector<size_t> within = Select([](const RungVerdict& v) { return v.valid && v.loss == Loss::kWithin; });
    const bool only_base = std::all_of(within.begin(), within.end(), [&](size_t i) { return IsBase(i); });
    const std::vector<std::string> open = Names(Undecided());
    if (only_base && !open.empty()) {
      return fmt::format(
          "No pick: whether {} stay{} within the {:g}% of perplexity that may be lost cannot be told from these "
          "windows; "
          "measure more of them.",
          Join(open), open.size() == 1 ? "s" : "", rules_.max_loss_pct);
    }
    if (within.empty())
      return fmt::format("No pick: every rung loses more than {:g}% of perplexity.", rules_.max_loss_pct);
    return Take(within);
  }

  std::string Take(const std::vector<size_t>& within) {
    const size_t fastest = *std::max_element(
        within.begin(), within.end(), [&](size_t a, size_t b) { return MeanRate(rungs_[a]) < MeanRate(rungs_[b]); });
    std::vector<size_t> tied;
    for (const size_t i : within) {
      const RangedEstimate ratio = YesterdaysRatio(rungs_[i].generation, rungs_[fastest].generation);
      if (i == fastest || SideOfRatio(ratio) == Side::kSame) tied.push_back(i);
    }
    const size_t pick = *std::min_element(tied.begin(), tied.end(),
                                          [&](size_t a, size_t b) { return rungs_[a].bytes < rungs_[b].bytes; });
    verdict_.pick = pick;
    std::erase(tied, pick);
    return fmt::format("Take {}: {}{}, {}{}.", rungs_[pick].name, Speed(pick), Ties(tied), Quality(pick), Open());
  }

  std::string Speed(size_t pick) const {
    std::string rate = fmt::format("{:.1f} tok/s", MeanRate(rungs_[pick]));
    const std::optional<size_t> base = BaseRung();
    if (!base.has_value() || *base == pick) return rate;
    const RangedEstimate ratio = YesterdaysRatio(rungs_[pick].generation, rungs_[*base].generation);
    const double size = static_cast<double>(rungs_[pick].bytes) / static_cast<double>(rungs_[*base].bytes);
    const std::string interval = ratio.high < kInfinity
                                     ? fmt::format("95% interval {:.2f} to {:.2f}", ratio.low, ratio.high)
                                     : "too few rounds for an interval";
    return fmt::format("{}, {:.2f} times {} ({}), at {:.0f}% of its size", rate, ratio.mean, rungs_[*base].name,
                       interval, 100.0 * size);
  }

  std::string Ties(const std::vector<size_t>& tied) const {
    if (tied.empty()) return "";
    return fmt::format(" (smaller than {}, whose speed cannot be told from its own)", Join(Names(tied)));
  }

  std::string Quality(size_t pick) const {
    if (IsBase(pick))
      return fmt::format("and no faster rung stays within {:g}% of its perplexity beyond doubt", rules_.max_loss_pct);
    const RangedEstimate& loss = verdict_.rungs[pick].loss_pct;
    const std::string cost =
        loss.low <= 0.0 && loss.high >= 0.0
            ? fmt::format("with no loss of perplexity that exceeds its error ({:+.2f}%, ", loss.mean)
            : fmt::format("for {:+.2f}% of perplexity (", loss.mean);
    return fmt::format("{}95% interval {:+.2f} to {:+.2f}; {:g}% is tolerated)", cost, loss.low, loss.high,
                       rules_.max_loss_pct);
  }

  std::string Open() const {
    const std::vector<size_t> open = Undecided();
    if (open.empty()) return "";
    return fmt::format("; more windows would tell whether {} may be taken too", Join(Names(open)));
  }

  std::vector<size_t> Undecided() const {
    return Select([](const RungVerdict& v) { return v.valid && v.loss == Loss::kUndecided; });
  }

  bool IsBase(size_t i) const {
    return std::equal(rungs_[i].position_nll.begin(), rungs_[i].position_nll.end(), base_nll_.begin(), base_nll_.end());
  }

  bool AnyToldApart(const std::vector<size_t>& valid) const {
    for (size_t i = 0; i < valid.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        if (ToldApart(rungs_[valid[i]], rungs_[valid[j]])) return true;
      }
    }
    return false;
  }

  std::optional<size_t> BaseRung() const {
    for (size_t i = 0; i < rungs_.size(); ++i) {
      if (verdict_.rungs[i].valid && IsBase(i)) return i;
    }
    return std::nullopt;
  }

  template <typename Wanted>
  std::vector<size_t> Select(const Wanted& wanted) const {
    std::vector<size_t> found;
    for (size_t i = 0; i < rungs_.size(); ++i) {
      if (wanted(verdict_.rungs[i])) found.push_back(i);
    }
    return found;
  }

  std::vector<std::string> Names(const std::vector<size_t>& indices) const {
    std::vector<std::string> names;
    names.reserve(indices.size());
    for (const size_t i : indices) names.push_back(rungs_[i].name);
    return names;
  }

  std::span<const RungEvidence> rungs_;
  std::span<const float> base_nll_;
  const PickRules& rules_;
  LadderVerdict verdict_;
};

}  // namespace

RangedEstimate YesterdaysDifference(std::span<const float> a_nll, std::span<const float> b_nll) {
  if (a_nll.size() < 2) return {0.0, -kInfinity, kInfinity};
  const RangedEstimate log = StudentInterval(PairDifference(a_nll, b_nll), a_nll.size());
  const auto percent = [](double x) { return 100.0 * std::expm1(x); };
  return {percent(log.mean), percent(log.low), percent(log.high)};
}

RangedEstimate YesterdaysRatio(std::span<const TimedRate> a, std::span<const TimedRate> b) {
  std::vector<double> a_log;
  std::vector<double> b_log;
  for (const TimedRate& x : a) {
    for (const TimedRate& y : b) {
      if (x.round != y.round || x.session != y.session) continue;
      a_log.push_back(std::log(x.tok_per_s));
      b_log.push_back(std::log(y.tok_per_s));
    }
  }
  if (a_log.empty()) return {1.0, 0.0, kInfinity};
  if (a_log.size() == 1) return {std::exp(a_log[0] - b_log[0]), 0.0, kInfinity};
  const RangedEstimate log = StudentInterval(PairDifference(a_log, b_log), a_log.size());
  return {std::exp(log.mean), std::exp(log.low), std::exp(log.high)};
}

LadderVerdict Decide(std::span<const RungEvidence> rungs, std::span<const float> base_nll, const PickRules& rules) {
  return Decision(rungs, base_nll, rules).Make();
}

}  // namespace assay
