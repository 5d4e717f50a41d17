#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <charconv>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "chat/conversation.h"
#include "cli/cache_option.h"
#include "cli/chat_option.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/measuring.h"
#include "cli/remote_draft.h"
#include "decode/speculate.h"
#include "engine/loaded_model.h"
#include "text/prompt.h"

namespace assay {
namespace {

struct Options {
  std::string model, prompt, prompt_file, draft;
  std::string draft_length = "4";
  int context = 0;
  double draft_p_min = 0.0;
  CacheType cache = CacheType::kF16;
  GenerateOptions generate;
  ChatOptions chat;
  RemoteDraftOptions remote;
  CommonOptions common;
};

constexpr std::string_view kNgramDraft = "ngram";
constexpr int kAdaptiveLength = 16;

SpeculationOptions Speculation(const Options& options) {
  if (options.draft_length == "auto") return {.draft_length = kAdaptiveLength, .adaptive = true};
  int length = 0;
  const auto [end, error] =
      std::from_chars(options.draft_length.data(), options.draft_length.data() + options.draft_length.size(), length);
  if (error != std::errc() || end != options.draft_length.data() + options.draft_length.size() || length < 1 ||
      length > kMaxDraftLength) {
    Fail(ErrorKind::kUsage, "-k {}: a draft has 1 to {} tokens, or 'auto'; give one of them", options.draft_length,
         kMaxDraftLength);
  }
  return {.draft_length = length};
}

std::vector<Token> PromptTokens(const Options& options, const Model& model) {
  const Tokenizer& tokenizer = *model.tokenizer;
  const std::string text =
      options.prompt_file.empty() ? options.prompt : std::string(TextFile(options.prompt_file).text());
  if (!options.prompt_file.empty()) WarnOfText(text, options.prompt_file);
  if (options.chat.chat) {
    const Conversation conversation = AskConversation(options.chat.system, text);
    const std::string chat = ChatText(model.file, tokenizer.vocab(), conversation, options.chat.template_file);
    return tokenizer.Encode(chat, /*parse_special=*/true);
  }
  EncodedPrompt prompt = EncodePrompt(tokenizer, text);
  WarnOfBos(prompt);
  return std::move(prompt.tokens);
}

// Without -c a prompt has to fit what the model was trained for.
void RequireTrainedRoom(const Options& options, const std::vector<Token>& prompt, const Model& model) {
  const int trained = model.spec.context_length;
  if (options.context > 0 || prompt.size() <= static_cast<size_t>(trained)) return;
  Fail(ErrorKind::kUsage,
       "the prompt has {} tokens, {} was trained for a context of {}; shorten it (a larger -c takes the model out of "
       "its "
       "range)",
       prompt.size(), options.model, trained);
}

std::string_view StopName(StopReason stop) {
  switch (stop) {
    case StopReason::kLength:
      return "length";
    case StopReason::kEnd:
      return "end";
    case StopReason::kContext:
      return "context";
    case StopReason::kCallback:
      return "stopped";
  }
  return "";
}

struct Totals {
  int64_t rounds = 0, drafted = 0, accepted = 0;
  int64_t asked = 0, failed = 0, in_time = 0, bytes = 0;  // bursts
};

Totals Sum(const std::vector<SpeculationRound>& rounds) {
  Totals totals;
  for (const SpeculationRound& round : rounds) {
    ++totals.rounds;
    totals.drafted += round.drafted;
    totals.accepted += round.accepted;
    const DraftEvidence& burst = round.evidence;
    if (burst.who != nullptr || burst.failed) ++totals.asked;
    if (burst.failed) ++totals.failed;
    if (burst.in_time) ++totals.in_time;
    totals.bytes += burst.sent_bytes + burst.received_bytes;
  }
  return totals;
}

// What a drafter elsewhere says of itself and what came of it; null for one at home.
Json RemoteJson(const Drafter& drafter, const Totals& totals) {
  const std::shared_ptr<const DrafterIdentity> who = drafter.identity();
  if (who == nullptr || who->address.empty()) return {};
  const std::optional<std::string> failure = drafter.failure();
  return {{"address", who->address},
          {"backend", who->backend},
          {"device", who->device},
          {"machine", who->machine},
          {"model_digest", who->model_digest},
          {"bursts", totals.asked},
          {"failed", totals.failed},
          {"in_time", totals.in_time},
          {"bytes", totals.bytes},
          {"failure", failure ? Json(*failure) : Json()}};
}

int Run(const Options& options) {
  const std::unique_ptr<Backend> backend = MakeBackend(options.common.backend, options.common.threads);
  LoadedModel target(options.model, *backend);
  const Tokenizer& tokenizer = *target.model->tokenizer;
  const std::vector<Token> prompt = PromptTokens(options, *target.model);

  RequireTrainedRoom(options, prompt, *target.model);
  WarnOfContext("-c", options.context, *target.model);

  const bool speculative = !options.draft.empty();
  const SpeculationOptions speculation = Speculation(options);
  std::unique_ptr<LoadedModel> draft;
  std::unique_ptr<Drafter> drafter;
  const ModelDrafterOptions drafter_options = {.context = options.context,
                                               .cache = options.cache,
                                               .max_draft = speculation.draft_length,
                                               .min_probability = options.draft_p_min,
                                               .target_vocab = target.model->spec.vocab};
  if (options.draft == kNgramDraft) {
    drafter = MakeNgramDrafter();
  } else if (IsRemoteDraft(options.draft)) {
    drafter = RemoteDraft(options.draft, options.remote, *target.model)(drafter_options);
  } else if (options.draft.starts_with("self:")) {
    Fail(ErrorKind::kUsage,
         "--draft {}: generate makes no rungs; write it with `assay quantize` and name the file, or '{}'",
         options.draft, kNgramDraft);
  } else if (speculative) {
    draft = std::make_unique<LoadedModel>(options.draft, *backend);
    RequireDraft(*target.model, options.model, *draft->model, options.draft);
    WarnOfContext("-c", options.context, *draft->model);
    drafter = MakeModelDrafter(draft->engine, drafter_options);
  }

  Session session(
      target.engine,
      {.context = options.context, .cache = options.cache, .rollback = speculative ? RollbackFor(speculation) : 0});
  const OnToken stream = [&](Token token) {
    if (!options.common.json && !tokenizer.IsEndOfGeneration(token)) {
      PrintText(tokenizer.TokenBytes(token, /*special=*/false));
      FlushStdout();
    }
    return true;
  };
  std::vector<SpeculationRound> rounds;
  const Generation result = speculative ? GenerateSpeculatively(session, *drafter, prompt, options.generate,
                                                                speculation, tokenizer, stream, rounds)
                                        : Generate(session, prompt, options.generate, tokenizer, stream);
  const Totals totals = Sum(rounds);
  const std::optional<int> full_at = speculative ? drafter->full_at() : std::nullopt;
  if (options.common.json) {
    Json json = {{"text", tokenizer.Decode(result.tokens, /*special=*/false)},
                 {"tokens", result.tokens},
                 {"prompt_tokens", prompt.size()},
                 {"stop", StopName(result.stop)},
                 {"tok_per_s", result.TokensPerSecond()},
                 {"time_to_first_token_s", result.prompt_seconds},
                 {"backend", backend->description()},
                 {"speculation", nullptr}};
    if (speculative) {
      json["speculation"] = {{"drafter", drafter->description()},
                             {"rounds", totals.rounds},
                             {"drafted", totals.drafted},
                             {"accepted", totals.accepted},
                             {"remote", RemoteJson(*drafter, totals)}};
    }
    PrintJson(json);
  } else {
    PrintText("\n");
  }
  if (full_at) {
    spdlog::warn(
        "the draft's context holds {} tokens: from there on the text was decoded without it; a longer one (-c), or a "
        "draft that was made for more, would go on",
        *full_at);
  }
  if (totals.failed > 0) {
    spdlog::warn("{} of {} drafts failed, and the text went on without them; the last time: {}", totals.failed,
                 totals.asked, drafter->failure().value_or("unknown"));
  }
  if (options.common.json) return 0;
  spdlog::info("{} tokens of prompt, first token after {:.2f} s; {} tokens at {:.1f} tok/s; {}; {}", prompt.size(),
               result.prompt_seconds, result.tokens.size(), result.TokensPerSecond(), StopName(result.stop),
               backend->description());
  if (speculative) {
    spdlog::info("{}: {} of {} guesses taken in {} rounds", drafter->description(), totals.accepted, totals.drafted,
                 totals.rounds);
  }
  return 0;
}

}  // namespace

CommandAction AddGenerate(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  SamplingOptions& sampling = options->generate.sampling;
  app.add_option("-m,--model", options->model, "model file")->required()->type_name("MODEL");
  CLI::Option* prompt = app.add_option("-p,--prompt", options->prompt, "text to continue")->type_name("TEXT");
  app.add_option("-f,--file", options->prompt_file, "read the text to continue from a file")
      ->type_name("FILE")
      ->excludes(prompt);
  AddChatOptions(app, options->chat, "ask the text as a user's message, in the model's chat template");
  app.get_option("--template")->needs("--chat");
  app.add_option("-n,--predict", options->generate.max_tokens, "tokens to generate")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("-c,--context", options->context, "context in tokens; 0: the model's own, at most 4096")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--temp", sampling.temperature, "temperature; 0: always the likeliest token")
      ->capture_default_str()
      ->type_name("T");
  app.add_option("--top-k", sampling.top_k, "draw from the K likeliest; 0: all")->capture_default_str()->type_name("N");
  app.add_option("--top-p", sampling.top_p, "draw from the likeliest that reach this mass; 1: all")
      ->capture_default_str()
      ->type_name("P");
  app.add_option("--min-p", sampling.min_p, "draw from those with this share of the likeliest's probability; 0: all")
      ->capture_default_str()
      ->type_name("P");
  app.add_flag("--ignore-eos", options->generate.ignore_end, "go on after an end-of-generation token");
  app.add_option("--draft", options->draft,
                 "speculate: a draft model of the same vocabulary, 'ngram', or a draft server")
      ->type_name("MODEL, grpc://HOST:PORT");
  app.add_option("-k,--draft-max", options->draft_length,
                 fmt::format("guesses a round, 1 to {}, or 'auto'", kMaxDraftLength))
      ->capture_default_str()
      ->type_name("K");
  app.add_option("--draft-p-min", options->draft_p_min, "end a draft before a guess that is less likely than this")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str()
      ->type_name("P");
  AddRemoteDraftOptions(app, options->remote);
  AddCacheOption(app, options->cache);
  AddCommonOptions(app, options->common, kThreads | kBackend | kSeed | kJson);
  return [options] {
    options->generate.seed = options->common.seed;
    return Run(*options);
  };
}

}  // namespace assay
