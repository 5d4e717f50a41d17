#include "judge/pick.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "judge/pick_words.h"
#include "judge/speeds.h"

namespace assay {
namespace {

// All that table and sentence may say, each with the probability to see it for nothing.
class Claims {
 public:
  size_t Add(double p_value) {
    p_values_.push_back(std::min(p_value, 1.0));
    return p_values_.size() - 1;
  }
  void Judge() { told_ = Holm(p_values_); }
  bool told(size_t claim) const { return told_[claim]; }
  size_t size() const { return p_values_.size(); }

 private:
  std::vector<double> p_values_;
  std::vector<bool> told_;
};

// The probability to see the estimate so far above a value for nothing; 1 when it is not, or by no more than the floor.
double Above(const Estimate& estimate, double value, double floor = 0.0) {
  return estimate.distance(value) > std::log1p(floor) ? estimate.p_value(value) : 1.0;
}
double Below(const Estimate& estimate, double value) {
  return estimate.distance(value) < 0.0 ? estimate.p_value(value) : 1.0;
}

bool Told(const Compared& compared) {
  return compared.standing == Standing::kBetter || compared.standing == Standing::kWorse;
}

class Decision {
 public:
  Decision(const LadderRuns& runs, bool speeds_valid, const PickRules& rules)
      : runs_(runs), speeds_valid_(speeds_valid), rules_(rules) {
    if (!runs.placebo.has_value()) return;
    const auto floor = [](const RunRecord& again, const RunRecord& base) {
      return NoiseFloor{base.test, SpeedRatio(again.samples, base.samples)}.floor();
    };
    tg_floor_ = floor(runs.placebo->tg, runs.base.tg);
    pp_floor_ = floor(runs.placebo->pp, runs.base.pp);
  }

  LadderDecision Make() {
    for (size_t i = 0; i < runs_.rungs.size(); ++i) CompareWithBase(i);
    if (speeds_valid_) ComparePairs();
    claims_.Judge();
    decision_.speeds_valid = speeds_valid_;
    decision_.level = StrictestLevel(claims_.size());
    for (size_t i = 0; i < runs_.rungs.size(); ++i) JudgeRung(i);
    for (Pair& pair : pairs_) Judge(pair.tg, pair.claim);
    for (const Domination& one : dominations_) {
      if (claims_.told(one.claim)) decision_.rungs[one.loser].pareto = false;
    }
    Choose();
    return std::move(decision_);
  }

 private:
  // Claims on a rung against the base.
  struct RungClaims {
    std::optional<size_t> quality, loss, tg, pp;
  };
  // Two rungs' generation, as seen from the first.
  struct Pair {
    size_t a, b;
    Compared tg;
    size_t claim;
  };
  struct Domination {
    size_t loser;
    size_t claim;
  };

  void CompareWithBase(size_t i) {
    const RungRuns& rung = runs_.rungs[i];
    RungVerdict& verdict = decision_.rungs.emplace_back();
    RungClaims& claims = rung_claims_.emplace_back();
    verdict.valid = rung.valid();
    verdict.base = runs_.IsBase(rung);
    verdict.pareto = verdict.valid && speeds_valid_;
    if (!verdict.valid) return;
    verdict.quality.estimate = PerplexityDifference(Windows(rung), Windows(runs_.base));
    verdict.tg = Speed(rung.tg, runs_.base.tg, tg_floor_);
    verdict.pp = Speed(rung.pp, runs_.base.pp, pp_floor_);
    if (verdict.base) return;
    claims.quality = claims_.Add(verdict.quality.estimate.p_value());
    claims.loss = claims_.Add(verdict.quality.estimate.p_value(rules_.max_loss_pct));
    if (!speeds_valid_) return;
    claims.tg = claims_.Add(verdict.tg.estimate.p_value());
    claims.pp = claims_.Add(verdict.pp.estimate.p_value());
  }

  void ComparePairs() {
    const std::vector<size_t> valid = Select([](const RungVerdict& v) { return v.valid; });
    for (const size_t a : valid) {
      for (const size_t b : valid) {
        if (a == b) continue;
        const RungRuns& of_a = runs_.rungs[a];
        const RungRuns& of_b = runs_.rungs[b];
        Compared tg = Speed(of_a.tg, of_b.tg, tg_floor_);
        if (Bytes(a) <= Bytes(b)) {
          const Estimate loss = PerplexityDifference(Windows(of_a), Windows(of_b));
          dominations_.push_back({b, claims_.Add(DominationByChance(tg.estimate, loss))});
        }
        if (a > b) continue;
        // A rung's speed against the base is claimed already.
        const RungVerdict& first = decision_.rungs[a];
        const RungVerdict& second = decision_.rungs[b];
        const size_t claim = first.base    ? *rung_claims_[b].tg
                             : second.base ? *rung_claims_[a].tg
                                           : claims_.Add(tg.estimate.p_value());
        pairs_.push_back({a, b, std::move(tg), claim});
      }
    }
  }

  // The probability to see for nothing that a rung dominates another, given its speed and loss against it: better in
  // one of two (Bonferroni) and no worse in either (the least sure of them counts). What seems worse is not claimed.
  double DominationByChance(const Estimate& speed, const Estimate& loss) const {
    constexpr double kSeems = 1.0 - kLevel;
    if (Below(speed, 1.0) <= kSeems || Above(loss, 0.0) <= kSeems) return 1.0;
    const double better = 2.0 * std::min(Above(speed, 1.0, tg_floor_), Below(loss, 0.0));
    return std::max({better, Above(speed, 1.0 - kSpeedTolerance, tg_floor_), Below(loss, rules_.max_loss_pct)});
  }

  static Compared Speed(const RunRecord& a, const RunRecord& b, double floor) {
    return {.name = a.test, .estimate = SpeedRatio(a.samples, b.samples), .floor = floor};
  }

  void Judge(Compared& compared, std::optional<size_t> claim) const {
    compared.standing = StandingOf(compared, claim.has_value() && claims_.told(*claim));
    compared.level = decision_.level;
  }

  void JudgeRung(size_t i) {
    RungVerdict& verdict = decision_.rungs[i];
    if (!verdict.valid) return;
    const RungClaims& claims = rung_claims_[i];
    Judge(verdict.quality, claims.quality);
    Judge(verdict.tg, claims.tg);
    Judge(verdict.pp, claims.pp);
    const bool within = verdict.base || verdict.quality.estimate.distance(rules_.max_loss_pct) < 0.0;
    if (verdict.base || claims_.told(*claims.loss)) verdict.loss = within ? Loss::kWithin : Loss::kBeyond;
  }

  void Choose() {
    const std::vector<size_t> valid = Select([](const RungVerdict& v) { return v.valid; });
    const std::vector<size_t> within = Select([](const RungVerdict& v) { return v.valid && v.loss == Loss::kWithin; });
    const bool open = !Select([](const RungVerdict& v) { return v.valid && v.loss == Loss::kUndecided; }).empty();
    const bool only_base = std::all_of(within.begin(), within.end(), [&](size_t i) { return decision_.rungs[i].base; });
    if (valid.empty()) {
      decision_.reason = PickReason::kNoValidRung;
    } else if (valid.size() == 1) {
      decision_.reason = PickReason::kOneRung;
    } else if (!speeds_valid_) {
      decision_.reason = PickReason::kSpeedsInvalid;
    } else if (std::any_of(valid.begin(), valid.end(), [&](size_t i) { return TooFewRounds(decision_.rungs[i]); })) {
      decision_.reason = PickReason::kTooFewRounds;
    } else if (only_base && open) {
      decision_.reason = PickReason::kLossUndecided;
    } else if (within.empty()) {
      decision_.reason = PickReason::kAllBeyond;
    } else {
      ChooseAmong(within);
    }
  }

  void ChooseAmong(const std::vector<size_t>& within) {
    const size_t fastest = *std::max_element(within.begin(), within.end(), [&](size_t a, size_t b) {
      return decision_.rungs[a].tg.estimate.mean() < decision_.rungs[b].tg.estimate.mean();
    });
    std::vector<size_t> tied;
    for (const size_t i : within) {
      if (i == fastest || !ToldApart(i, fastest)) tied.push_back(i);
    }
    const size_t smallest =
        *std::min_element(tied.begin(), tied.end(), [&](size_t a, size_t b) { return Bytes(a) < Bytes(b); });
    std::vector<size_t> as_small;
    for (const size_t i : tied) {
      if (Bytes(i) == Bytes(smallest)) as_small.push_back(i);
    }
    if (as_small.size() > 1) {
      decision_.reason = PickReason::kAlike;
      decision_.alike = std::move(as_small);
      return;
    }
    std::erase(tied, smallest);
    decision_.reason = PickReason::kTaken;
    decision_.pick = smallest;
    decision_.rungs[smallest].pick = true;
    decision_.alike = std::move(tied);
  }

  bool ToldApart(size_t a, size_t b) const {
    const auto pair = std::find_if(pairs_.begin(), pairs_.end(),
                                   [&](const Pair& p) { return p.a == std::min(a, b) && p.b == std::max(a, b); });
    return Told(pair->tg);
  }

  static bool TooFewRounds(const RungVerdict& verdict) { return !verdict.tg.estimate.enough(); }
  static std::span<const float> Windows(const RungRuns& rung) { return SeriesOf(rung.quality, "window_nll"); }
  uint64_t Bytes(size_t i) const { return runs_.rungs[i].quality.model.file_bytes; }

  template <typename Wanted>
  std::vector<size_t> Select(const Wanted& wanted) const {
    std::vector<size_t> found;
    for (size_t i = 0; i < decision_.rungs.size(); ++i) {
      if (wanted(decision_.rungs[i])) found.push_back(i);
    }
    return found;
  }

  const LadderRuns& runs_;
  const bool speeds_valid_;
  const PickRules& rules_;
  double tg_floor_ = 0.0, pp_floor_ = 0.0;
  Claims claims_;
  std::vector<RungClaims> rung_claims_;  // as the rungs
  std::vector<Pair> pairs_;              // each once, a < b
  std::vector<Domination> dominations_;
  LadderDecision decision_;
};

}  // namespace

std::vector<RunRecord> SpeedsOf(const LadderRuns& runs) {
  std::vector<RunRecord> speeds = {runs.base.tg, runs.base.pp};
  for (const RungRuns& rung : runs.rungs) {
    if (!rung.valid() || runs.IsBase(rung)) continue;
    speeds.push_back(rung.tg);
    speeds.push_back(rung.pp);
  }
  if (runs.placebo.has_value()) {
    speeds.push_back(runs.placebo->tg);
    speeds.push_back(runs.placebo->pp);
  }
  return speeds;
}

const char* LossName(Loss loss) {
  constexpr std::array kNames = {"within", "undecided", "beyond"};
  return kNames[static_cast<size_t>(loss)];
}

bool LadderDecision::tells() const {
  return pick.has_value() || std::any_of(rungs.begin(), rungs.end(), [&](const RungVerdict& rung) {
           const bool dominated = speeds_valid && rung.valid && !rung.pareto;
           return dominated || Told(rung.quality) || Told(rung.tg) || Told(rung.pp);
         });
}

LadderDecision Decide(const LadderRuns& runs, bool speeds_valid, const PickRules& rules) {
  return Decision(runs, speeds_valid, rules).Make();
}

LadderJudgement JudgeLadder(const LadderRuns& runs, const PickRules& rules) {
  LadderJudgement judgement;
  const std::vector<RunRecord> speeds = SpeedsOf(runs);
  judgement.guards = CheckSpeeds(speeds);
  judgement.floors = NoiseFloors(speeds);
  const bool valid = std::none_of(judgement.guards.begin(), judgement.guards.end(),
                                  [](const GuardResult& guard) { return guard.tripped; });
  judgement.decision = Decide(runs, valid, rules);
  judgement.verdicts = LadderVerdicts(runs, judgement.decision, judgement.guards, rules);
  return judgement;
}

}  // namespace assay
