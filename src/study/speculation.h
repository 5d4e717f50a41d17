#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "record/record.h"
#include "store/store.h"
#include "study/guards.h"
#include "study/speculation_figures.h"
#include "study/speculation_prompts.h"
#include "study/verdict.h"

namespace assay {

// Speculative decoding against its own baseline: every draft with every draft length on every prompt set
// (docs/speculation.md).

// A draft length as it is asked for: "4", or "auto" for one that adapts.
struct DraftSetting {
  std::string name;
  SpeculationOptions options;
};

struct SpeculationSettings {
  std::vector<DraftSetting> lengths;
  int tokens = 200;  // generated for each prompt, at most
  int repetitions = 3;
  double draft_p_min = 0.0;
  uint64_t seed = 1;  // of the resampling
};

// Who computes.
struct PairSubject {
  ModelIdentity target;
  std::optional<ModelIdentity> draft;  // nothing for a drafter without a model
  std::string draft_name;              // as the user named it
  std::string backend, backend_description;
  int threads = 0;
  std::vector<std::string> logit_hashes;  // BackendEvidence
};

// Does the steps for one target with one draft; tests stand in for it and inject faults.
class SpeculationLab {
 public:
  virtual ~SpeculationLab() = default;

  virtual PairSubject subject() const = 0;
  virtual std::string TokenText(Token token) const = 0;
  virtual std::string Text(std::span<const Token> tokens) const = 0;

  // The target alone, and with the draft's help. What they throw makes the cell invalid.
  virtual TimedText Baseline(const Prompt& prompt) = 0;
  virtual TimedText Speculate(const Prompt& prompt, const SpeculationOptions& options) = 0;

  // Holds this prompt and its text for the two that follow.
  virtual void PrepareCosts(const Prompt& prompt, std::span<const Token> text) = 0;
  // The target decodes so many tokens at once, and drops them again.
  virtual double VerifySeconds(int tokens) = 0;
  // The draft model decodes one token, and drops it again; nothing where there is no model.
  virtual std::optional<double> DraftSeconds() = 0;
};

struct SpeculationCell {
  std::string k, prompt_set;
  std::optional<SpeculationFigures> figures;
  bool identical = false;
  std::vector<GuardResult> guards;
  SpeedupVerdict verdict;

  bool valid() const;
};

struct PairResult {
  PairSubject subject;
  std::vector<SpeculationCell> cells;  // by prompt set, then by length
  std::string verdict;                 // one sentence
};

// Called before each step with the share of the pair that is done.
using SpeculationWatch = std::function<void(const std::string& step, double share)>;

// Measures one pair, all lengths in turns with the baseline, and keeps a run for each cell in the store. A step that
// throws makes its cell invalid; the others go on.
PairResult MeasurePair(Store& store, SpeculationLab& lab, std::span<const PromptSet> prompt_sets,
                       const SpeculationSettings& settings, const SpeculationWatch& watch);

}  // namespace assay
