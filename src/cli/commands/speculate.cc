#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "cli/cache_option.h"
#include "cli/chat_option.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/measuring.h"
#include "cli/progress.h"
#include "cli/remote_draft.h"
#include "measure/environment.h"
#include "render/speculation_output.h"
#include "study/speculation.h"
#include "study/speculation_lab.h"

namespace assay {
namespace {

constexpr std::string_view kNgramDraft = "ngram";
constexpr std::string_view kSelfPrefix = "self:";
constexpr std::string_view kAdaptive = "auto";
constexpr int kAdaptiveLength = 16;
constexpr const char* kShippedSets[] = {"code", "text", "math"};

struct Options {
  std::string target;
  std::vector<std::string> drafts, prompt_files;
  std::vector<std::string> lengths = {"4", "8"};
  std::string database = "assay.db";
  SpeculationSettings settings;
  CacheType cache = CacheType::kF16;
  ChatOptions chat;
  RemoteDraftOptions remote;
  CommonOptions common;
};

DraftSetting ParseLength(const std::string& text) {
  if (text == kAdaptive) return {text, {.draft_length = kAdaptiveLength, .adaptive = true}};
  int length = 0;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, length);
  if (error != std::errc() || end != last || length < 1 || length > kMaxDraftLength) {
    Fail(ErrorKind::kUsage, "-k {}: a draft has 1 to {} tokens, or '{}'; give one of them", text, kMaxDraftLength,
         kAdaptive);
  }
  return {text, {.draft_length = length}};
}

std::vector<DraftSetting> ParseLengths(const std::vector<std::string>& texts) {
  std::vector<DraftSetting> lengths;
  for (const std::string& text : texts) {
    lengths.push_back(ParseLength(text));
    if (std::count(texts.begin(), texts.end(), text) > 1)
      Fail(ErrorKind::kUsage, "-k {}: named twice; name each once", text);
  }
  return lengths;
}

// The shipped sets beside the target, else those of the source tree that this program was built from.
std::vector<std::filesystem::path> ShippedPromptFiles(const std::string& target) {
  for (const std::filesystem::path& folder :
       {std::filesystem::path(target).parent_path() / "prompts", std::filesystem::path(ASSAY_PROMPTS)}) {
    std::vector<std::filesystem::path> files;
    for (const char* set : kShippedSets) files.push_back(folder / fmt::format("{}.jsonl", set));
    if (std::all_of(files.begin(), files.end(), [](const auto& file) { return std::filesystem::exists(file); })) {
      return files;
    }
  }
  Fail(ErrorKind::kUsage,
       "no --prompts given, and neither a folder prompts beside {} nor {} has the shipped sets; name a file of prompts",
       target, ASSAY_PROMPTS);
}

std::vector<PromptSet> ReadPrompts(const Options& options) {
  std::vector<std::filesystem::path> files(options.prompt_files.begin(), options.prompt_files.end());
  if (files.empty()) files = ShippedPromptFiles(options.target);
  std::vector<PromptSet> sets;
  for (const std::filesystem::path& file : files) {
    PromptSet set = ReadPromptSet(file);
    for (const PromptSet& other : sets) {
      if (other.name == set.name)
        Fail(ErrorKind::kUsage, "--prompts {}: a set named {} is given already; give each set a file name of its own",
             file.string(), set.name);
    }
    sets.push_back(std::move(set));
  }
  return sets;
}

// A draft as the user named it.
struct DraftSource {
  std::string argument;
  std::optional<Rung> self;     // the target's own weights at this rung
  std::unique_ptr<Model> file;  // a file of its own
  DrafterFactory elsewhere;     // a draft server's; without any of them: n-grams

  std::string name() const { return file != nullptr ? std::filesystem::path(argument).filename().string() : argument; }
};

// All drafts are looked at before the first is measured: a wrong one is known at once. But draft servers, whose
// sessions are few, when their turn comes.
std::vector<DraftSource> OpenDrafts(const Options& options, const Model& target) {
  std::vector<DraftSource> drafts;
  for (const std::string& argument : options.drafts) {
    DraftSource draft{argument, std::nullopt, nullptr, nullptr};
    if (argument.starts_with(kSelfPrefix)) {
      draft.self = ParseRung(argument.substr(kSelfPrefix.size())).rung;
    } else if (IsRemoteDraft(argument)) {
      draft.elsewhere = RemoteDraft(argument, options.remote, target);
    } else if (argument != kNgramDraft) {
      draft.file = Model::Open(argument);
      RequireDraft(target, options.target, *draft.file, argument);
    }
    drafts.push_back(std::move(draft));
  }
  return drafts;
}

std::unique_ptr<LoadedModel> Load(DraftSource& draft, const Options& options, const Model& target, Backend& backend) {
  if (draft.self.has_value()) {
    std::filesystem::path folder = std::filesystem::path(options.database).parent_path();
    if (folder.empty()) folder = ".";
    draft.file = RequantizedModel(target.file, *draft.self, folder, options.common.threads);
  }
  return draft.file != nullptr ? std::make_unique<LoadedModel>(std::move(draft.file), backend) : nullptr;
}

// A line for each step on stderr, or one bar where that is a terminal.
class Watch {
 public:
  void operator()(const std::string& step, double share) {
    if (step != step_) {
      step_ = step;
      PrintStep(step);
      bar_.emplace(step);
    }
    bar_->Update(static_cast<uint64_t>(share * 1000.0), 1000);
  }
  void Finish() { bar_.reset(); }

 private:
  std::string step_;
  std::optional<Progress> bar_;
};

PairResult MeasureDraft(const Options& options, Store& store, LoadedModel& target, const ModelIdentity& identity,
                        DraftSource& source, std::span<const PromptSet> sets) {
  const std::string name = source.name();
  const std::unique_ptr<LoadedModel> draft = Load(source, options, *target.model, target.engine.backend());
  int longest = 0;
  for (const DraftSetting& length : options.settings.lengths) longest = std::max(longest, length.options.draft_length);
  EngineSpeculationLab lab(target, identity, {.name = name, .model = draft.get(), .elsewhere = source.elsewhere}, sets,
                           {.threads = options.common.threads,
                            .cache = options.cache,
                            .tokens = options.settings.tokens,
                            .max_draft = longest,
                            .draft_p_min = options.settings.draft_p_min});
  Watch watch;
  PairResult result = MeasurePair(store, lab, sets, options.settings,
                                  [&](const std::string& step, double share) { watch(step, share); });
  watch.Finish();
  return result;
}

int Report(const Options& options, const SpeculationStudy& study) {
  if (options.common.json) {
    PrintJson(SpeculationJson(study));
  } else {
    PrintText(SpeculationText(study));
  }
  FlushStdout();
  for (const std::string& line : WarningLines(study)) spdlog::warn("{}", line);
  const std::vector<std::string> invalid = InvalidLines(study);
  for (const std::string& line : invalid) PrintToStderr(fmt::format("assay: invalid: {}\n", OneLine(line)));
  return invalid.empty() ? 0 : ExitCode(ErrorKind::kInvalid);
}

int Run(Options& options) {
  options.settings.lengths = ParseLengths(options.lengths);
  std::vector<PromptSet> sets = ReadPrompts(options);
  const std::unique_ptr<Backend> backend = MakeBackend(options.common.backend, options.common.threads);
  LoadedModel target(options.target, *backend);
  RenderChats(sets, *target.model,
              {.all = options.chat.chat, .system = options.chat.system, .template_file = options.chat.template_file});
  std::vector<DraftSource> drafts = OpenDrafts(options, *target.model);
  Store store(options.database);
  SpeculationStudy study{.target = options.target,
                         .database = options.database,
                         .settings = options.settings,
                         .environment = CaptureEnvironment(),
                         .drafts = options.drafts,
                         .pairs = {}};
  const ModelIdentity identity = Identify(target.model->file);
  for (DraftSource& draft : drafts) study.pairs.push_back(MeasureDraft(options, store, target, identity, draft, sets));
  return Report(options, study);
}

}  // namespace

CommandAction AddSpeculate(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("--target", options->target, "the model whose text it is")->required()->type_name("MODEL");
  app.add_option(
         "--draft", options->drafts,
         "what drafts: model files, self:RUNG (the target's own weights at another rung), ngram or grpc://HOST:PORT (a "
         "draft server)")
      ->required()
      ->type_name("DRAFT");
  app.add_option("-k,--draft-max", options->lengths,
                 fmt::format("guesses a round, 1 to {}, or '{}'; several by commas", kMaxDraftLength, kAdaptive))
      ->delimiter(',')
      ->capture_default_str()
      ->type_name("K,...");
  app.add_option(
         "--prompts", options->prompt_files,
         "prompt sets, each a file with {\"prompt\": \"...\"} or {\"messages\": [...]} on a line; code, text and "
         "math when not given")
      ->type_name("FILE");
  AddChatOptions(app, options->chat, "ask each prompt as a user's message, in the model's chat template");
  app.add_option("-n,--predict", options->settings.tokens, "tokens to generate for each prompt")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("-r,--repetitions", options->settings.repetitions, "how often each prompt is taken")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--draft-p-min", options->settings.draft_p_min,
                 "end a draft before a guess that is less likely than this")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str()
      ->type_name("P");
  app.add_option("--db", options->database, "database that keeps every run")->capture_default_str()->type_name("FILE");
  AddRemoteDraftOptions(app, options->remote);
  AddPlaceboOption(app, options->settings.placebo);
  AddCacheOption(app, options->cache);
  AddCommonOptions(app, options->common, kThreads | kBackend | kSeed | kJson);
  return [options] { return Run(*options); };
}

}  // namespace assay
