#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "judge/pick.h"
#include "measure/perplexity.h"
#include "measure/throughput.h"
#include "quant/rung.h"
#include "record/record.h"
#include "store/store.h"

namespace assay {

// The quantisation ladder of one model: every rung's size, speed and quality, and which rung to take (docs/ladder.md).

struct LadderSettings {
  std::vector<Rung> rungs;
  int context = 512;  // perplexity: tokens of a window
  int windows = 40;   // perplexity: at most this many; 0: all that the text has
  int prompt = 512;   // tokens of the PP test
  int generate = 64;  // tokens of the TG test
  int repetitions = 10;
  uint64_t seed = 1;
  bool placebo = true;                        // the source's speed is measured a second time under another name
  Arithmetic arithmetic = Arithmetic::kFine;  // of the quality; speeds are everyday's
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

struct LadderQualities {
  PerplexityResult base;                // of the arithmetic that the settings ask for, as are all
  std::vector<PerplexityResult> rungs;  // each against the base; a failure where logits were not finite
};

// Does the steps of a ladder; tests stand in for it. A step that throws leaves nothing behind and is done again by the
// next start.
class LadderLab {
 public:
  LadderLab() = default;
  virtual ~LadderLab() = default;
  LadderLab(const LadderLab&) = delete;
  LadderLab& operator=(const LadderLab&) = delete;

  // Throws kBadFile for a text that has no whole window. Called before anything is made.
  virtual void RequireText() {}
  // Throws kUsage when a file lies where the rung goes. Called for rungs of which the store has no record: it is not
  // one that a ladder made.
  virtual void RequireFree(Rung /*rung*/) {}
  // The source at that rung as a file: the one that lies there when its digest is the known one, else made anew.
  // Calls `progress` only while it makes one. Not called for the rung at which the source is: that is the source
  // itself.
  virtual ModelIdentity Prepare(Rung rung, const std::optional<std::string>& known_digest,
                                const LadderProgress& progress) = 0;
  // How many of these rungs, from the first on, fit into the memory beside the base: at least one.
  virtual size_t FitTogether(std::span<const Rung> rungs) = 0;
  // These rungs, which may be none, and the base go through the text together. Throws kInvalid when the base's logits
  // are not finite.
  virtual LadderQualities MeasureQuality(std::span<const Rung> rungs, const LadderProgress& progress) = 0;
  // Each of these tests once, of a rung, or of the source where none is given, which is loaded for it alone. Throws
  // kInvalid for logits that are not finite.
  virtual std::vector<Sample> MeasureSpeed(const std::optional<Rung>& rung, std::span<const ThroughputTest> tests,
                                           int round) = 0;
};

// Called before each step and while it goes on, with the share of the step that is done. What it throws stops the
// ladder; what was measured before is kept.
using LadderWatch = std::function<void(const std::string& step, double share)>;

struct LadderResult {
  LadderSubject subject;
  LadderSettings settings;
  LadderRuns runs;  // as the store has them; its rungs are those of the settings
  LadderJudgement judgement;
  int sessions = 1;              // starts that took samples of speed
  bool measured_before = false;  // nothing was left to measure
};

// Measures what the store does not have yet, each thing once, and gives the whole result as the store has it. An
// interrupted ladder goes on where it stopped when model, text, settings, backend, threads and environment are the
// same; with `fresh` everything is measured anew. What is judged is kept as a run of kind "ladder". Throws kUsage for
// settings that make no sense.
LadderResult RunLadder(Store& store, LadderLab& lab, const LadderSubject& subject, const LadderSettings& settings,
                       const PickRules& rules, bool fresh, const LadderWatch& watch);

ThroughputTest PromptTest(const LadderSettings& settings);
ThroughputTest GenerationTest(const LadderSettings& settings);

}  // namespace assay
