#include "study/speculation_lab.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/whereabouts.h"
#include "forge/quantize.h"
#include "measure/environment.h"
#include "text/prompt.h"
#include "text/same_tokenizer.h"

namespace assay {
namespace {

// Of the bits of the logits that follow the tokens: tells apart who computed them.
std::string LogitHash(Session& session, std::span<const Token> tokens) {
  session.Truncate(0);
  const std::span<const float> logits = session.Forward(tokens, Logits::kLast);
  Hash hash;
  hash.Add({reinterpret_cast<const uint8_t*>(logits.data()), logits.size_bytes()});
  return fmt::format("{:016x}", hash.value());
}

// Steps in a row, so that each finds the caches as the one before left them. The first ones find them as another
// session did, and do not count: one of a large model, more of one that the caches hold.
constexpr int kPlainSteps = 8;
constexpr int kMostWarmSteps = 16;
constexpr double kWarmSeconds = 0.1;

DrafterRecord RecordOf(const DrafterIdentity& who) {
  return {.backend = who.backend,
          .device = who.device,
          .machine = who.machine,
          .process = who.process,
          .model_digest = who.model_digest,
          .address = who.address};
}

// Names who made the burst in the text's list.
BurstRecord RecordOf(const DraftEvidence& evidence, std::vector<DrafterRecord>& drafters) {
  BurstRecord record = {.logit_hash = evidence.logit_hash,
                        .compute_seconds = evidence.compute_seconds,
                        .queue_seconds = evidence.queue_seconds,
                        .wire_seconds = evidence.wire_seconds,
                        .sent_bytes = evidence.sent_bytes,
                        .received_bytes = evidence.received_bytes,
                        .in_time = evidence.in_time,
                        .failed = evidence.failed};
  if (evidence.who == nullptr) return record;
  DrafterRecord who = RecordOf(*evidence.who);
  const auto found = std::ranges::find(drafters, who);
  record.who = static_cast<int>(found - drafters.begin());
  if (found == drafters.end()) drafters.push_back(std::move(who));
  return record;
}

RoundRecord RecordOf(const SpeculationRound& round, std::vector<DrafterRecord>& drafters) {
  return {.drafted = round.drafted,
          .accepted = round.accepted,
          .draft_seconds = round.draft_seconds,
          .verify_seconds = round.verify_seconds,
          .settle_seconds = round.settle_seconds,
          .sample_seconds = round.sample_seconds,
          .other_seconds = round.other_seconds,
          .burst = RecordOf(round.evidence, drafters)};
}

void HoldText(Session& session, std::span<const Token> text) {
  session.Truncate(0);
  session.Forward(text, Logits::kNone);
  session.Settle();
}

// A round at the session's end, as decoding takes it. Holds `text` anew where the context has no room for it.
double RoundSecondsOf(Session& session, std::span<const Token> text, const Draft& draft) {
  if (session.position() + static_cast<int>(draft.tokens.size()) + 1 > session.context()) HoldText(session, text);
  Rng rng(0);
  SpeculationRound round;
  Stopwatch watch;
  VerifyRound(session, text.back(), draft, {}, rng, watch, round);
  return round.TargetSeconds();
}

double PlainSecondsOf(Session& session, std::span<const Token> text) {
  double warm = 0.0;
  for (int step = 0; step < kMostWarmSteps && warm < kWarmSeconds; ++step) warm += RoundSecondsOf(session, text, {});
  double seconds = 0.0;
  for (int step = 0; step < kPlainSteps; ++step) seconds += RoundSecondsOf(session, text, {});
  return seconds / kPlainSteps;
}

}  // namespace

std::unique_ptr<Model> RequantizedModel(const GgufFile& source, Rung rung, const std::filesystem::path& folder,
                                        int threads) {
  const TemporaryFolder place(folder);
  const std::filesystem::path file =
      place.path() / fmt::format("{}-{}.gguf", ModelStem(source.path()), TraitsOf(rung).name);
  QuantizeOptions options;
  options.threads = std::max(1, threads);
  const QuantizeResult result = QuantizeModel(source, file, rung, options);
  for (const std::string& note : result.notes) spdlog::warn("self:{}: {}", TraitsOf(rung).name, note);
  return Model::Open(file);
}

EngineSpeculationLab::EngineSpeculationLab(LoadedModel& target, const ModelIdentity& identity, const LabDraft& draft,
                                           std::span<const PromptSet> prompt_sets, const SpeculationLabOptions& options)
    : target_(target), draft_(draft.model), options_(options), learned_(options.max_draft) {
  const Backend& backend = target.engine.backend();
  subject_ = {.target = identity,
              .draft = draft_ != nullptr ? std::optional(Identify(draft_->model->file)) : std::nullopt,
              .draft_name = draft.name,
              .backend = backend.name(),
              .backend_description = backend.description(),
              .threads = options.threads,
              .logit_hashes = {}};
  if (draft_ != nullptr) {
    RequireDraftVocabulary(*target.model->tokenizer, subject_.target.file, *draft_->model->tokenizer, draft.name);
  }
  const int context = ContextFor(prompt_sets);
  const int rollback = RollbackFor({.draft_length = options.max_draft});
  plain_ = std::make_unique<Session>(target.engine, SessionOptions{.context = context, .cache = options.cache});
  speculating_ = std::make_unique<Session>(
      target.engine, SessionOptions{.context = context, .cache = options.cache, .rollback = rollback});
  if (draft_ != nullptr) {
    draft_alone_ =
        std::make_unique<Session>(draft_->engine, SessionOptions{.context = context, .cache = options.cache});
  }
  drafter_ = MakeDrafter(draft, context);
  work_ = std::make_unique<FixedWork>(target.engine.backend().pool());
  WarmUp(prompt_sets.front().prompts.front());
}

std::unique_ptr<Drafter> EngineSpeculationLab::MakeDrafter(const LabDraft& draft, int context) {
  ModelDrafterOptions options = {.context = context,
                                 .cache = options_.cache,
                                 .max_draft = options_.max_draft,
                                 .min_probability = options_.draft_p_min,
                                 .target_vocab = target_.model->spec.vocab};
  if (draft_ != nullptr) {
    options.device = CaptureEnvironment().cpu;
    options.model_digest = subject_.draft->digest;
    return MakeModelDrafter(draft_->engine, options);
  }
  if (draft.elsewhere == nullptr) return MakeNgramDrafter();
  std::unique_ptr<Drafter> drafter = draft.elsewhere(options);
  const std::shared_ptr<const DrafterIdentity> who = drafter->identity();
  if (who == nullptr) {
    Fail(ErrorKind::kUnsupported, "--draft {}: {}", draft.name,
         drafter->failure().value_or("it does not say who it is; start its draft-server anew"));
  }
  subject_.draft = ModelIdentity{
      .file = draft.name, .digest = who->model_digest, .architecture = {}, .name = drafter->description(), .quant = {}};
  subject_.remote = {
      .name = draft.name, .drafter = RecordOf(*who), .home_machine = MachineId(), .home_process = ProcessId()};
  return drafter;
}

std::vector<Token> EngineSpeculationLab::Encode(const Prompt& prompt) const {
  const bool with_bos = !prompt.rendered;  // a chat's BOS is its template's business
  return EncodePrompt(*target_.model->tokenizer, prompt.text, /*parse_special=*/true, with_bos).tokens;
}

std::vector<Token> EngineSpeculationLab::DraftsTokens(std::span<const Token> tokens) const {
  return WithinVocabulary(tokens, draft_->model->spec.vocab);
}

int EngineSpeculationLab::ContextFor(std::span<const PromptSet> prompt_sets) const {
  int limit = target_.model->spec.context_length;
  if (draft_ != nullptr) limit = std::min(limit, draft_->model->spec.context_length);
  int needed = 0;
  for (const PromptSet& set : prompt_sets) {
    for (const Prompt& prompt : set.prompts) {
      const auto tokens = static_cast<int>(Encode(prompt).size());
      if (tokens + 2 > limit) {
        Fail(ErrorKind::kUsage, "{}, prompt {}: {} tokens do not fit the {} that the models were made for; shorten it",
             set.name, prompt.id, tokens, limit);
      }
      needed = std::max(needed, tokens + options_.tokens);
    }
  }
  // Batches beyond the text are timed at its end.
  needed += options_.max_draft + 1;
  if (needed > limit) {
    spdlog::warn(
        "-n {}: the longest prompt with its text and a draft needs {} tokens, the models were made for {}; "
        "texts end there",
        options_.tokens, needed, limit);
  }
  return std::min(needed, limit);
}

// Touches every weight and buffer before time counts, and takes the hashes of the logits.
void EngineSpeculationLab::WarmUp(const Prompt& prompt) {
  const std::vector<Token> tokens = Encode(prompt);
  subject_.logit_hashes.push_back(LogitHash(*plain_, tokens));
  if (draft_alone_ != nullptr) subject_.logit_hashes.push_back(LogitHash(*draft_alone_, DraftsTokens(tokens)));
  try {
    PrepareCosts(prompt, {});
    RoundSeconds(options_.max_draft);
    PlainSeconds();
    DraftSeconds();
    // A drafter elsewhere has its own to touch.
    if (subject_.remote.has_value()) {
      Rng rng(0);
      drafter_->Prepare(tokens);
      DraftNow(*drafter_, tokens, options_.max_draft, {}, rng);
    }
  } catch (const Error& error) {
    // Logits that are not finite are found again, and told, by the cells that decode with them: the others go on.
    if (error.kind() != ErrorKind::kInvalid) throw;
  }
}

std::string EngineSpeculationLab::TokenText(Token token) const {
  return target_.model->tokenizer->TokenBytes(token, /*special=*/true);
}

std::string EngineSpeculationLab::Text(std::span<const Token> tokens) const {
  return target_.model->tokenizer->Decode(tokens, /*special=*/false);
}

TimedText EngineSpeculationLab::Baseline(const Prompt& prompt) {
  plain_->Truncate(0);
  return Timed([&](std::vector<SpeculationRound>&) {
    return Generate(*plain_, Encode(prompt), {.max_tokens = options_.tokens}, *target_.model->tokenizer, nullptr);
  });
}

TimedText EngineSpeculationLab::Speculate(const Prompt& prompt, const SpeculationOptions& options) {
  speculating_->Truncate(0);
  return Timed([&](std::vector<SpeculationRound>& rounds) {
    return GenerateSpeculatively(*speculating_, *drafter_, Encode(prompt), {.max_tokens = options_.tokens}, options,
                                 *target_.model->tokenizer, nullptr, rounds, learned_);
  });
}

TimedText EngineSpeculationLab::Timed(
    const std::function<Generation(std::vector<SpeculationRound>& rounds)>& generate) {
  std::vector<SpeculationRound> rounds;
  const double work = work_->Seconds();
  const ConditionsWatch watch;
  const Generation generation = generate(rounds);
  TimedText text{.tokens = generation.tokens,
                 .prompt_seconds = generation.prompt_seconds,
                 .decode_seconds = generation.decode_seconds,
                 .rounds = {},
                 .conditions = watch.Finish()};
  text.conditions.work_seconds = work;
  for (const SpeculationRound& round : rounds) text.rounds.push_back(RecordOf(round, text.drafters));
  return text;
}

void EngineSpeculationLab::PrepareCosts(const Prompt& prompt, std::span<const Token> text) {
  held_ = Encode(prompt);
  held_.insert(held_.end(), text.begin(), text.end());
  const int room = speculating_->context() - options_.max_draft - 1;
  held_.resize(std::min(held_.size(), static_cast<size_t>(std::max(room, 1))));
  HoldText(*plain_, held_);
  HoldText(*speculating_, held_);
  if (draft_alone_ != nullptr) HoldText(*draft_alone_, DraftsTokens(held_));
}

double EngineSpeculationLab::PlainSeconds() { return PlainSecondsOf(*plain_, held_); }

std::optional<double> EngineSpeculationLab::DraftSeconds() {
  if (draft_alone_ == nullptr) return std::nullopt;
  return PlainSecondsOf(*draft_alone_, DraftsTokens(held_));
}

double EngineSpeculationLab::RoundSeconds(int guesses) {
  // Once more the last tokens of the text, not one token many times: experts and caches see a text.
  Draft draft;
  for (size_t i = 0; i < static_cast<size_t>(guesses); ++i) {
    draft.tokens.push_back(held_[held_.size() - 1 - (i + 1) % held_.size()]);
  }
  return RoundSecondsOf(*speculating_, held_, draft);
}

}  // namespace assay
