#include "judge/pick_words.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>

#include "judge/statistics.h"

namespace assay {
namespace {

// "A", "A and B", "A, B and C"
std::string Join(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " and " : ", ";
    text += names[i];
  }
  return text;
}

std::string LossRange(const Estimate& loss) {
  const Interval ends = loss.interval();
  return fmt::format("95% interval {:+.2f} to {:+.2f}%", ends.low, ends.high);
}

std::string RatioRange(const Estimate& ratio) {
  const Interval ends = ratio.interval();
  return fmt::format("95% interval {:.3g} to {:.3g}", ends.low, ends.high);
}

double MeanRate(const RunRecord& run) {
  std::vector<double> rates;
  for (const Sample& sample : run.samples) rates.push_back(sample.tok_per_s());
  return Mean(rates);
}

class Words {
 public:
  Words(const LadderRuns& runs, const LadderDecision& decision, std::span<const GuardResult> guards,
        const PickRules& rules)
      : runs_(runs), decision_(decision), guards_(guards), rules_(rules) {}

  std::vector<Verdict> All() const {
    std::vector<Verdict> verdicts;
    for (size_t i = 0; i < runs_.rungs.size(); ++i) {
      if (!decision_.rungs[i].base) AddRung(i, verdicts);
    }
    for (size_t i = 0; i < runs_.rungs.size(); ++i) verdicts.push_back(ParetoVerdict(i));
    const std::string outcome = decision_.pick.has_value() ? Name(*decision_.pick) : "none";
    verdicts.push_back({"pick", "", outcome, PickSentence()});
    return verdicts;
  }

 private:
  void AddRung(size_t i, std::vector<Verdict>& verdicts) const {
    const RungVerdict& rung = decision_.rungs[i];
    if (!rung.valid) {
      for (const char* what : {"perplexity", "loss"}) verdicts.push_back({what, Name(i), "invalid", WhyInvalid(i)});
      return;
    }
    verdicts.push_back({"perplexity", Name(i), StandingName(rung.quality.standing), QualitySentence(i)});
    verdicts.push_back({"loss", Name(i), LossName(rung.loss), LossSentence(i)});
    for (const Compared* speed : {&rung.tg, &rung.pp}) {
      Verdict verdict{"speed " + speed->name, Name(i), "invalid", ""};
      if (decision_.speeds_valid) {
        verdict.outcome = StandingName(speed->standing);
        verdict.sentence = SpeedSentence(Name(i), runs_.base.name, *speed);
      }
      verdicts.push_back(std::move(verdict));
    }
  }

  Verdict ParetoVerdict(size_t i) const {
    const RungVerdict& rung = decision_.rungs[i];
    if (!rung.valid || !decision_.speeds_valid) return {"pareto", Name(i), "invalid", ""};
    return {"pareto", Name(i), rung.pareto ? "yes" : "no", ""};
  }

  std::string WhyInvalid(size_t i) const {
    for (const GuardResult& guard : runs_.rungs[i].quality.guards) {
      if (guard.tripped) return guard.evidence;
    }
    return "";
  }

  std::string QualitySentence(size_t i) const {
    const Compared& quality = decision_.rungs[i].quality;
    const Estimate& e = quality.estimate;
    const std::string& base = runs_.base.name;
    switch (quality.standing) {
      case Standing::kBetter:
      case Standing::kWorse:
        return fmt::format("{} has {:.2f}% {} perplexity than {} ({}).", Name(i), std::abs(e.value()),
                           e.mean() < 0.0 ? "less" : "more", base, LossRange(e));
      case Standing::kTooFew:
        return fmt::format("{} windows are too few to compare {} with {}; {} would do.", e.units(), Name(i), base,
                           kFewestUnits);
      default:
        break;
    }
    if (e.mean() == 0.0 && e.error() == 0.0) return fmt::format("{} and {} have the same perplexity.", Name(i), base);
    return fmt::format("{} and {} cannot be told apart in perplexity ({:+.2f}%, {}; {} would tell).", Name(i), base,
                       e.value(), LossRange(e), WhatWouldTell(quality));
  }

  std::string LossSentence(size_t i) const {
    const RungVerdict& rung = decision_.rungs[i];
    switch (rung.loss) {
      case Loss::kWithin:
        return fmt::format("{} stays within the {:g}% of perplexity that may be lost.", Name(i), rules_.max_loss_pct);
      case Loss::kBeyond:
        return fmt::format("{} loses more than the {:g}% of perplexity that may be lost.", Name(i),
                           rules_.max_loss_pct);
      default:
        return fmt::format("Whether {} stays within {:g}% cannot be told ({:+.2f}%, {}; {} would tell).", Name(i),
                           rules_.max_loss_pct, rung.quality.estimate.value(), LossRange(rung.quality.estimate),
                           MoreWindows(i));
    }
  }

  // To tell on which side of the tolerated loss it lies.
  std::string MoreWindows(size_t i) const {
    const Estimate& loss = decision_.rungs[i].quality.estimate;
    return MoreText(loss.MoreUnits(rules_.max_loss_pct, decision_.level), loss.unit().empty() ? "window" : loss.unit());
  }

  std::string PickSentence() const {
    switch (decision_.reason) {
      case PickReason::kTaken:
        return Take(*decision_.pick);
      case PickReason::kNoValidRung:
        return "No pick: no rung gave a valid measurement.";
      case PickReason::kOneRung:
        return OneRung();
      case PickReason::kSpeedsInvalid:
        return fmt::format("No pick: the speeds are invalid ({}).", FirstTripped());
      case PickReason::kTooFewRounds:
        return fmt::format("No pick: there are too few rounds to compare speeds ({}; {} would do).", Rounds(),
                           kFewestUnits);
      case PickReason::kLossUndecided:
        return fmt::format("No pick: whether {} within the {:g}% of perplexity that may be lost cannot be told.",
                           Undecided("stays", "stay"), rules_.max_loss_pct);
      case PickReason::kAllBeyond:
        return fmt::format("No pick: every rung loses more than {:g}% of perplexity.", rules_.max_loss_pct);
      case PickReason::kAlike:
        return fmt::format("No pick: {} cannot be told apart in speed, and their files are of one size.",
                           Join(Names(decision_.alike)));
    }
    return "";
  }

  // There is nothing to choose, but what it costs against the base may be told.
  std::string OneRung() const {
    const size_t i = Find([](const RungVerdict& v) { return v.valid; }).front();
    std::string text = fmt::format("No pick: {} alone was measured", Name(i));
    if (decision_.rungs[i].base) return text + ".";
    if (decision_.speeds_valid) text += fmt::format("; it generates {}", Speed(i));
    return fmt::format("{}{} {}.", text, decision_.speeds_valid ? "," : "; it is", Quality(i));
  }

  std::string Take(size_t i) const {
    const std::string why =
        decision_.rungs[i].base
            ? fmt::format("{}, and no faster rung stays within {:g}% of its perplexity beyond doubt", Rate(i),
                          rules_.max_loss_pct)
            : fmt::format("{}, {}", Speed(i), Quality(i));
    std::string text = fmt::format("Take {}: {}{}", Name(i), why, Alike(i));
    if (const std::string open = Undecided("stays", "stay"); !open.empty()) {
      text += fmt::format("; whether {} within it, too, cannot be told", open);
    }
    return text + ".";
  }

  std::string Rate(size_t i) const { return fmt::format("{:.1f} tok/s", MeanRate(runs_.rungs[i].tg)); }

  // Against the base, whether that is a rung or not.
  std::string Speed(size_t i) const {
    const Compared& tg = decision_.rungs[i].tg;
    const std::string& base = runs_.base.name;
    const auto bytes = [](const RungRuns& rung) { return static_cast<double>(rung.quality.model.file_bytes); };
    const std::string size = fmt::format("{:.0f}% of its size", 100.0 * bytes(runs_.rungs[i]) / bytes(runs_.base));
    switch (tg.standing) {
      case Standing::kBetter:
      case Standing::kWorse:
        return fmt::format("{}, {:.3g} times {} ({}), at {}", Rate(i), tg.estimate.value(), base,
                           RatioRange(tg.estimate), size);
      case Standing::kBelowFloor:
        return fmt::format("{}, which differs from {} by less than this machine tells ({:.1f}%), at {}", Rate(i), base,
                           100.0 * tg.floor, size);
      case Standing::kTooFew:
        return fmt::format("{} (too few rounds to compare it with {}), at {}", Rate(i), base, size);
      default:
        return fmt::format("{}, which cannot be told from {} ({}; {} would tell), at {}", Rate(i), base,
                           RatioRange(tg.estimate), WhatWouldTell(tg), size);
    }
  }

  std::string Quality(size_t i) const {
    const Compared& quality = decision_.rungs[i].quality;
    const Estimate& loss = quality.estimate;
    if (loss.mean() == 0.0 && loss.error() == 0.0) return fmt::format("at the perplexity of {}", runs_.base.name);
    const std::string figures = fmt::format("{}; {:g}% is tolerated", LossRange(loss), rules_.max_loss_pct);
    if (quality.standing == Standing::kBetter || quality.standing == Standing::kWorse) {
      return fmt::format("for {:+.2f}% of perplexity ({})", loss.value(), figures);
    }
    return fmt::format("with a loss of perplexity that cannot be told from none ({:+.2f}%, {})", loss.value(), figures);
  }

  std::string Alike(size_t pick) const {
    if (decision_.alike.empty()) return "";
    std::optional<int> most = 0;
    double widest = 0.0;
    bool below = false;
    for (const size_t i : decision_.alike) {
      const Estimate ratio = SpeedRatio(runs_.rungs[i].tg.samples, runs_.rungs[pick].tg.samples);
      const std::optional<int> more = ratio.MoreUnits(1.0, decision_.level);
      if (more == 0) below = true;
      most = most.has_value() && more.has_value() ? std::optional(std::max(*most, *more)) : std::nullopt;
      widest = std::max(widest, decision_.rungs[i].tg.floor);
    }
    const std::string what_would = below ? fmt::format("this machine tells {:.1f}%", 100.0 * widest)
                                         : fmt::format("{} would tell", MoreText(most, "round"));
    return fmt::format("; it is smaller than {}, whose speed cannot be told from its own ({})",
                       Join(Names(decision_.alike)), what_would);
  }

  // "Q8_0 stays (12 more windows would tell) and Q6_K stays (...)", for the rungs whose loss is open; empty: none.
  std::string Undecided(const char* one, const char* several) const {
    const std::vector<size_t> open = Find([](const RungVerdict& v) { return v.valid && v.loss == Loss::kUndecided; });
    std::vector<std::string> parts;
    parts.reserve(open.size());
    for (const size_t i : open) parts.push_back(fmt::format("{} ({} would tell)", Name(i), MoreWindows(i)));
    return parts.empty() ? "" : fmt::format("{} {}", Join(parts), parts.size() == 1 ? one : several);
  }

  std::string FirstTripped() const {
    for (const GuardResult& guard : guards_) {
      if (guard.tripped) return fmt::format("{}: {}", guard.name, guard.evidence);
    }
    return "";
  }

  int Rounds() const {
    int rounds = kFewestUnits;
    for (const RungVerdict& rung : decision_.rungs) {
      if (rung.valid) rounds = std::min(rounds, rung.tg.estimate.units());
    }
    return rounds;
  }

  template <typename Wanted>
  std::vector<size_t> Find(const Wanted& wanted) const {
    std::vector<size_t> found;
    for (size_t i = 0; i < decision_.rungs.size(); ++i) {
      if (wanted(decision_.rungs[i])) found.push_back(i);
    }
    return found;
  }

  const std::string& Name(size_t i) const { return runs_.rungs[i].name; }
  std::vector<std::string> Names(const std::vector<size_t>& indices) const {
    std::vector<std::string> names;
    names.reserve(indices.size());
    for (const size_t i : indices) names.push_back(Name(i));
    return names;
  }

  const LadderRuns& runs_;
  const LadderDecision& decision_;
  std::span<const GuardResult> guards_;
  const PickRules& rules_;
};

}  // namespace

std::vector<Verdict> LadderVerdicts(const LadderRuns& runs, const LadderDecision& decision,
                                    std::span<const GuardResult> guards, const PickRules& rules) {
  return Words(runs, decision, guards, rules).All();
}

}  // namespace assay
