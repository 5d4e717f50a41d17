#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/last_will.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/measuring.h"
#include "cli/progress.h"
#include "measure/environment.h"
#include "render/ladder_output.h"
#include "store/store.h"
#include "study/engine_lab.h"
#include "study/ladder.h"

namespace assay {
namespace {

constexpr const char* kMarkdown = "ladder.md";
constexpr const char* kJsonFile = "ladder.json";

struct Options {
  std::string model, text, folder;
  std::string database = "assay.db";
  std::vector<std::string> types;
  std::string max_loss = "1%";
  bool fresh = false;
  LadderSettings settings;
  CommonOptions common;
};

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

// "1%" or "1".
double ParsePercent(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  const std::string_view rest(end);
  if (end == text.c_str() || !(rest.empty() || rest == "%") || !(value >= 0.0 && value <= 1000.0)) {
    Fail(ErrorKind::kUsage, "--max-loss {}: not a percentage from 0 to 1000; give one, such as 1%", text);
  }
  return value;
}

std::string UsualRungNames() {
  std::vector<std::string_view> names;
  for (const RungTraits& rung : Rungs()) {
    if (rung.usual) names.push_back(rung.name);
  }
  return fmt::format("{}", fmt::join(names, ","));
}

std::vector<Rung> ParseRungs(const std::vector<std::string>& names) {
  std::vector<Rung> rungs;
  rungs.reserve(names.size());
  for (const std::string& name : names) rungs.push_back(ParseRung(name).rung);
  for (const Rung rung : rungs) {
    if (std::count(rungs.begin(), rungs.end(), rung) > 1) {
      Fail(ErrorKind::kUsage, "--types: {} is named twice; name each once", TraitsOf(rung).name);
    }
  }
  if (rungs.empty()) {
    for (const RungTraits& rung : Rungs()) {
      if (rung.usual) rungs.push_back(rung.rung);
    }
  }
  return rungs;
}

std::filesystem::path FolderOf(const Options& options) {
  if (!options.folder.empty()) return options.folder;
  return ModelStem(options.model) + "-ladder";
}

// Whether a ladder wrote what lies there.
bool IsOfALadder(const std::filesystem::path& file) {
  if (file.extension() == ".md") return FirstLine(file).value_or("").starts_with(kLadderMarkdownTitle);
  const Json json = Json::parse(ReadFile(file), nullptr, false);
  return json.is_object() && json.contains("rungs") && json.contains("verdict");
}

// What the ladder reads must not be what it writes, nor may anything that it did not write lie there.
void RequireOtherFiles(const Options& options, const LadderPlaces& places) {
  for (const char* name : {kMarkdown, kJsonFile}) {
    for (const std::string& input : {options.text, options.model, options.database}) {
      std::error_code absent;
      if (!std::filesystem::equivalent(places.folder / name, input, absent)) continue;
      Fail(ErrorKind::kUsage, "{} is what the ladder writes its results to; name another folder with -o", input);
    }
    const std::filesystem::path file = places.folder / name;
    if (std::filesystem::is_regular_file(file) && !IsOfALadder(file)) {
      Fail(ErrorKind::kUsage,
           "{}: lies where the ladder writes its results, and no ladder wrote it; move it away or "
           "name another folder with -o",
           file.string());
    }
  }
}

LadderResult Climb(const Options& options, EngineLab& lab, const Backend& backend, const PickRules& rules) {
  const LadderSubject subject{.source = lab.source(),
                              .text = std::filesystem::path(options.text).filename().string(),
                              .text_hash = lab.text_hash(),
                              .backend = backend.description(),
                              .threads = options.common.threads,
                              .environment = CaptureEnvironment()};
  Store store(options.database);
  // Each result is kept as it is measured, so that the process may end at once wherever it is.
  SetLastNote(fmt::format("stopped; what was measured is kept in {}: the same command goes on from there",
                          OneLine(options.database)));
  Watch watch;
  LadderResult result = RunLadder(store, lab, subject, options.settings, rules, options.fresh,
                                  [&](const std::string& step, double share) { watch(step, share); });
  watch.Finish();
  return result;
}

// Says which guards tripped or warn, those of the quality first.
int ReportAllGuards(const LadderResult& result) {
  int exit_code = ReportGuards(result.runs.base.quality.guards);
  for (const RungRuns& rung : result.runs.rungs) {
    if (!rung.valid()) exit_code = ReportGuards(rung.quality.guards);
  }
  return std::max(exit_code, ReportGuards(result.judgement.guards));
}

int RunLadderCommand(Options& options) {
  options.settings.rungs = ParseRungs(options.types);
  options.settings.seed = options.common.seed;
  const PickRules rules{.max_loss_pct = ParsePercent(options.max_loss)};
  LadderPlaces places{.folder = FolderOf(options), .database = options.database, .rung_files = {}};
  RequireOtherFiles(options, places);
  const std::unique_ptr<Backend> backend = MakeBackend(options.common.backend, options.common.threads);
  EngineLab lab(options.model, *backend, options.common.threads, options.text, places.folder, options.settings);
  const LadderResult result = Climb(options, lab, *backend, rules);
  for (const Rung rung : options.settings.rungs) places.rung_files.push_back(lab.RungPath(rung));
  const auto windows = static_cast<int>(FindMetric(result.runs.base.quality, "windows")->value);
  if (options.settings.windows > windows) {
    spdlog::warn("--windows {}: {} has {} windows of {} tokens; all were scored", options.settings.windows,
                 options.text, windows, options.settings.context);
  }
  const Json json = LadderJson(result, places);
  WriteFileAtomically(places.folder / kMarkdown, LadderMarkdown(result, places));
  WriteFileAtomically(places.folder / kJsonFile, JsonText(json));
  PrintText(options.common.json ? JsonText(json) : LadderText(result, places));
  FlushStdout();
  return ReportAllGuards(result);
}

void AddSettings(CLI::App& app, LadderSettings& settings) {
  app.add_option("-c,--context", settings.context, "perplexity: tokens of a window; the second half of each is scored")
      ->check(CLI::Range(8, 1 << 20))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--windows", settings.windows, "perplexity: score at most this many windows; 0: all of the text")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("-p,--prompt", settings.prompt, "speed: tokens of the prompt")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("-n,--generate", settings.generate, "speed: tokens generated")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("-r,--repetitions", settings.repetitions, "speed: rounds over all rungs")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str()
      ->type_name("N");
}

}  // namespace

CommandAction AddLadder(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("MODEL", options->model, "the model to quantise, of which every rung is made")->required();
  app.add_option("--text", options->text, "text to measure the perplexity on")->required()->type_name("FILE");
  app.add_option("--types", options->types,
                 "the rungs, separated by commas, of " + RungNames() + "; " + UsualRungNames() + " when not given")
      ->delimiter(',')
      ->type_name("TYPE,...");
  app.add_option("-o,--output", options->folder,
                 "folder for the rungs' files, ladder.md and ladder.json; MODEL-ladder when not given")
      ->type_name("DIR");
  app.add_option("--db", options->database, "database that keeps every run; an interrupted ladder resumes from it")
      ->capture_default_str()
      ->type_name("FILE");
  app.add_option("--max-loss", options->max_loss, "rise of the perplexity that is tolerated in the pick")
      ->capture_default_str()
      ->type_name("PERCENT");
  app.add_flag("--fresh", options->fresh, "measure anew what the database has already");
  AddSettings(app, options->settings);
  AddPlaceboOption(app, options->settings.placebo);
  AddCommonOptions(app, options->common, kThreads | kBackend | kSeed | kJson);
  return [options] { return RunLadderCommand(*options); };
}

}  // namespace assay
