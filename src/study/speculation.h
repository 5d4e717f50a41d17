#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "decode/speculate.h"
#include "judge/comparison.h"
#include "judge/remote_draft.h"
#include "judge/speculation_figures.h"
#include "record/record.h"
#include "store/store.h"
#include "study/speculation_prompts.h"

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
  bool placebo = true;  // the target alone is taken a second time in each turn
};

// Who computes.
struct PairSubject {
  ModelIdentity target;
  // Nothing for a drafter without a model; of one elsewhere what it says: name and digest alone.
  std::optional<ModelIdentity> draft;
  std::string draft_name;  // as the user named it
  std::string backend, backend_description;
  int threads = 0;
  std::vector<std::string> logit_hashes;             // BackendEvidence; of a drafter elsewhere none
  std::optional<RemoteClaim> remote = std::nullopt;  // that the draft is made elsewhere
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

  // Holds this prompt and its text for the three that follow.
  virtual void PrepareCosts(const Prompt& prompt, std::span<const Token> text) = 0;
  // A step of the target alone, and of the draft model alone (nothing where there is none): the mean of several in a
  // row, as plain decoding takes them.
  virtual double PlainSeconds() = 0;
  virtual std::optional<double> DraftSeconds() = 0;
  // The target's side of a round with so many guesses.
  virtual double RoundSeconds(int guesses) = 0;
};

// What a pair measured and what is said of it: runs of kind "speculation", as they are stored.
struct PairResult {
  PairSubject subject;
  std::vector<RunRecord> runs;         // one for each cell: by prompt set, then by length
  std::vector<RunRecord> placebos;     // one for each prompt set, where wanted
  std::vector<NoiseFloor> floors;      // of them; a floor's test is the prompt set
  std::vector<std::string> sentences;  // one for each prompt set
};

// Called before each step with the share of the pair that is done.
using SpeculationWatch = std::function<void(const std::string& step, double share)>;

// Measures one pair, all lengths in turns with the baseline, and keeps a run for each cell in the store. A step that
// throws makes its cell invalid; the others go on.
PairResult MeasurePair(Store& store, SpeculationLab& lab, std::span<const PromptSet> prompt_sets,
                       const SpeculationSettings& settings, const SpeculationWatch& watch);

}  // namespace assay
