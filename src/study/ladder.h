#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "measure/perplexity.h"
#include "measure/throughput.h"
#include "quant/rung.h"
#include "record/record.h"
#include "store/store.h"
#include "study/pick.h"

namespace assay {

// The quantisation ladder of one model: every rung's size, speed and quality, and which rung to take (docs/ladder.md).

struct LadderSettings {
  std::vector<Rung> rungs;
  int context = 512;  // perplexity: tokens of a window
  int windows = 40;   // perplexity: at most this many; 0: all that the text has
  int prompt = 512;   // tokens of the PP test
  int generate = 64;  // tokens of the TG test
  int repetitions = 5;
  uint64_t seed = 1;
};

// What is measured, and where.
struct LadderSubject {
  ModelIdentity source;  // the base of every comparison
  std::string text;      // the name of the text
  std::string text_hash;
  std::string backend;  // its description
  int threads = 0;
  Environment environment;
};

using LadderProgress = std::function<void(double share)>;

// Does the steps of a ladder; tests stand in for it. A step that throws leaves nothing behind and is done again by the
// next start.
class LadderLab {
 public:
  LadderLab() = default;
  virtual ~LadderLab() = default;
  LadderLab(const LadderLab&) = delete;
  LadderLab& operator=(const LadderLab&) = delete;

  // Throws kUsage when a file lies where the rung goes. Called for rungs of which the store has no record: it is not
  // one that a ladder made.
  virtual void RequireFree(Rung /*rung*/) {}
  // The source at that rung as a file: the one that lies there when its digest is the known one, else made anew.
  // Calls `progress` only while it makes one. Not called for the rung at which the source is: that is the source
  // itself.
  virtual ModelIdentity Prepare(Rung rung, const std::optional<std::string>& known_digest,
                                const LadderProgress& progress) = 0;
  virtual PerplexityResult MeasureBase(const LadderProgress& progress) = 0;
  // Against the base. Throws kInvalid when no figure can be had.
  virtual PerplexityResult MeasureQuality(Rung rung, const LadderProgress& progress) = 0;

  // Called once before the first MeasureSpeed(). True: all these rungs are held in memory together; false: each is
  // loaded anew for its turn.
  virtual bool PrepareSpeed(std::span<const Rung> rungs) = 0;
  virtual Sample MeasureSpeed(Rung rung, const ThroughputTest& test, int round) = 0;
};

// Called before each step and while it goes on, with the share of the step that is done. What it throws stops the
// ladder; what was measured before is kept.
using LadderWatch = std::function<void(const std::string& step, double share)>;

struct LadderQuality {
  double ppl = 0.0, ppl_se = 0.0;
  double delta_pct = 0.0, delta_pct_se = 0.0;  // zero for the base itself, as are the following
  double kld_mean = 0.0, kld_se = 0.0, kld_p99 = 0.0;
  double top1_agree = 1.0;
};

struct LadderRung {
  Rung rung = Rung::kF16;
  ModelIdentity model;
  std::string invalid;  // why, when a guard found its measurement invalid
  LadderQuality quality;
  std::vector<Sample> tg, pp;  // one for each round
  RungVerdict verdict;

  double bits_per_weight() const;
};

// Of tokens per second; all zero without samples.
Summary RateOf(const std::vector<Sample>& samples);

struct LadderResult {
  LadderSubject subject;
  LadderSettings settings;
  LadderQuality base;
  int64_t windows = 0, tokens_scored = 0;
  std::vector<LadderRung> rungs;
  LadderVerdict verdict;
  bool together = true;          // the rungs lay in memory together while their speed was measured
  int sessions = 1;              // starts that took samples of speed
  bool measured_before = false;  // nothing was left to measure
};

// Measures what the store does not have yet, each thing once, and gives the whole result as the store has it. An
// interrupted ladder goes on where it stopped when model, text, settings, backend, threads and environment are the
// same; with `fresh` everything is measured anew. Throws kUsage for settings that make no sense.
LadderResult RunLadder(Store& store, LadderLab& lab, const LadderSubject& subject, const LadderSettings& settings,
                       const PickRules& rules, bool fresh, const LadderWatch& watch);

ThroughputTest PromptTest(const LadderSettings& settings);
ThroughputTest GenerationTest(const LadderSettings& settings);

}  // namespace assay
