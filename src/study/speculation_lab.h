#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/cpu/probes.h"
#include "decode/drafter.h"
#include "engine/loaded_model.h"
#include "model/model_spec.h"
#include "quant/rung.h"
#include "study/speculation.h"

namespace assay {

// The model's own weights at another rung. They are written to a file in `folder`, which is gone when this returns:
// what is mapped of it lives as long as the model.
std::unique_ptr<Model> RequantizedModel(const GgufFile& source, Rung rung, const std::filesystem::path& folder,
                                        int threads);

struct SpeculationLabOptions {
  int threads = 0;
  CacheType cache = CacheType::kF16;
  int tokens = 200;   // generated for each prompt, at most
  int max_draft = 8;  // the longest draft that will be asked for
  double draft_p_min = 0.0;
};

// Makes a drafter elsewhere that answers or says why not (Drafter::failure()). Throws when there is none: the message
// names it.
using DrafterFactory = std::function<std::unique_ptr<Drafter>(const ModelDrafterOptions& options)>;

// What drafts: a model on this engine's backend, a drafter elsewhere, or neither: n-grams.
struct LabDraft {
  std::string name;  // as the user named it
  LoadedModel* model = nullptr;
  DrafterFactory elsewhere = nullptr;
};

// The steps on the engine.
class EngineSpeculationLab : public SpeculationLab {
 public:
  // `identity` is the target's: its digest takes a reading of the whole file, which pairs of one target share. All
  // that is referred to must outlive the lab. The context holds the longest of the prompts with its text, within what
  // the models were made for; throws kUsage for a prompt that does not fit, and for a draft with another tokenizer.
  EngineSpeculationLab(LoadedModel& target, const ModelIdentity& identity, const LabDraft& draft,
                       std::span<const PromptSet> prompt_sets, const SpeculationLabOptions& options);

  PairSubject subject() const override { return subject_; }
  std::string TokenText(Token token) const override;
  std::string Text(std::span<const Token> tokens) const override;
  TimedText Baseline(const Prompt& prompt) override;
  TimedText Speculate(const Prompt& prompt, const SpeculationOptions& options) override;
  void PrepareCosts(const Prompt& prompt, std::span<const Token> text) override;
  double PlainSeconds() override;
  std::optional<double> DraftSeconds() override;
  double RoundSeconds(int guesses) override;

 private:
  std::vector<Token> Encode(const Prompt& prompt) const;
  // The target's tokens as the draft model can read them.
  std::vector<Token> DraftsTokens(std::span<const Token> tokens) const;
  int ContextFor(std::span<const PromptSet> prompt_sets) const;
  std::unique_ptr<Drafter> MakeDrafter(const LabDraft& draft, int context);
  void WarmUp(const Prompt& prompt);
  // Fixed work first, then what `generate` makes, with its conditions and the rounds that it fills in.
  TimedText Timed(const std::function<Generation(std::vector<SpeculationRound>& rounds)>& generate);

  LoadedModel& target_;
  LoadedModel* draft_;
  SpeculationLabOptions options_;
  PairSubject subject_;
  std::unique_ptr<Session> plain_;  // the baseline's: without rollback, as without speculation
  std::unique_ptr<Session> speculating_;
  std::unique_ptr<Session> draft_alone_;  // null without a draft model
  std::unique_ptr<Drafter> drafter_;
  DraftLength learned_;              // of texts of all prompt sets
  std::unique_ptr<FixedWork> work_;  // beside each text: how fast the machine is then
  std::vector<Token> held_;          // what the sessions hold for the costs
};

}  // namespace assay
