#include "cli/measuring.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "cli/cache_option.h"
#include "cli/common.h"
#include "cli/progress.h"
#include "judge/speeds.h"
#include "measure/environment.h"
#include "measure/records.h"
#include "measure/text_check.h"
#include "store/store.h"
#include "text/same_tokenizer.h"

namespace assay {
namespace {

void WarnOfLimits(const Subject& model, const Subject* base, const std::string& text_path,
                  const PerplexityOptions& options, int windows) {
  if (options.windows > windows) {
    spdlog::warn("--windows {}: {} has {} windows of {} tokens; all were scored", options.windows, text_path, windows,
                 options.context);
  }
  for (const Subject* subject : {&model, base}) {
    if (subject != nullptr) WarnOfContext("-c", options.context, *subject->model);
  }
}

void Append(Settings& settings, const Settings& more) { settings.insert(settings.end(), more.begin(), more.end()); }

}  // namespace

void WarnOfContext(std::string_view what, int tokens, const Model& model) {
  const int trained = model.spec.context_length;
  if (tokens > trained) {
    spdlog::warn("{}: {} tokens, but {} was trained for {}: beyond that it is a model outside of its range", what,
                 tokens, model.file.path().string(), trained);
  }
}

void WarnOfText(std::string_view text, const std::string& source) {
  for (const std::string& warning : CheckText(text, source)) spdlog::warn("{}", warning);
  if (HasCarriageReturns(text)) spdlog::info("{}: lines end in CR LF, whose carriage returns are scored", source);
}

void WarnOfBos(const EncodedPrompt& prompt) {
  if (prompt.bos_twice) spdlog::warn("the text begins with BOS itself: no second one was put in front");
}

void RequireDraft(const Model& target, std::string_view target_name, const Model& draft, std::string_view draft_name) {
  const std::string note = RequireDraftVocabulary(*target.tokenizer, target_name, *draft.tokenizer, draft_name);
  if (!note.empty()) spdlog::info("{}", note);
}

Subject::Subject(std::string path_given, Backend& backend)
    : LoadedModel(path_given, backend), path(std::move(path_given)), identity(Identify(model->file)) {}

RunRecord MeasureTextPerplexity(Subject& model, Subject* base, const std::string& text_path, PerplexityOptions options,
                                const Settings& settings) {
  const TextFile file(text_path);
  const std::string_view text = file.text();
  WarnOfText(text, text_path);
  options.source = text_path;
  RunRecord about = NewRecord("perplexity", std::filesystem::path(text_path).filename().string(), model.identity);
  if (base != nullptr) about.base = base->identity;
  about.settings = {{"backend", model.engine.backend().description()},
                    {"cache", std::string(CacheName(options.cache))},
                    {"context", std::to_string(options.context)}};
  Append(about.settings, settings);
  PerplexityResult result;
  {
    Progress progress("perplexity");
    options.progress = [&](double share) { progress.Update(static_cast<uint64_t>(share * 1000.0), 1000); };
    result = MeasurePerplexity(model.engine, base != nullptr ? &base->engine : nullptr, text, options);
  }
  WarnOfLimits(model, base, text_path, options, result.windows);
  return RecordOf(result, std::move(about));
}

SpeedRuns MeasureSpeed(std::span<const std::unique_ptr<Subject>> subjects, std::span<const ThroughputTest> tests,
                       ThroughputOptions options, const Settings& settings) {
  std::vector<Engine*> engines;
  engines.reserve(subjects.size());
  for (const auto& subject : subjects) engines.push_back(&subject->engine);
  for (const auto& subject : subjects) {
    for (const ThroughputTest& test : tests) WarnOfContext(test.name(), test.depth + test.tokens, *subject->model);
  }
  RunRecord about = NewRecord("throughput", "", subjects.front()->identity);
  about.settings = {{"backend", subjects.front()->engine.backend().description()},
                    {"cache", std::string(CacheName(options.cache))},
                    {"repetitions", std::to_string(options.repetitions)},
                    {"placebo", options.placebo ? "measured" : "none"}};
  Append(about.settings, settings);
  ThroughputReport report;
  {
    Progress progress("speed");
    options.progress = [&](double share) { progress.Update(static_cast<uint64_t>(share * 1000.0), 1000); };
    report = MeasureThroughput(engines, tests, options);
  }
  SpeedRuns speeds;
  for (const ThroughputResult& result : report.results) {
    RunRecord run = about;
    run.test = (result.placebo ? std::string(kPlaceboPrefix) : "") + result.test.name();
    run.model = subjects[result.model]->identity;
    run.settings.emplace_back("tokens", std::to_string(result.test.tokens));
    run.settings.emplace_back("depth", std::to_string(result.test.depth));
    speeds.runs.push_back(RecordOf(result, std::move(run)));
    speeds.models.push_back(result.model);
  }
  const std::vector<GuardResult> shared = CheckSpeeds(speeds.runs);
  speeds.guards = {FiniteOf(speeds.runs)};
  speeds.guards.insert(speeds.guards.end(), shared.begin(), shared.end());
  for (RunRecord& run : speeds.runs) run.guards.insert(run.guards.end(), shared.begin(), shared.end());
  about.kind = "machine";
  about.test = "probe";
  speeds.probe = RecordOf(report.probe, std::move(about));
  return speeds;
}

void AddDatabaseOption(CLI::App& app, std::string& database) {
  app.add_option("--db", database, "database that keeps what was measured; nothing is kept when not given")
      ->type_name("FILE");
}

void AddPlaceboOption(CLI::App& app, bool& placebo) {
  app.add_flag_callback(
      "--no-placebo", [&placebo] { placebo = false; },
      "do not measure the base a second time: without it the noise of this machine is not known");
}

void Keep(const std::string& database, std::span<const RunRecord> runs) {
  if (database.empty()) return;
  Store store(database);
  for (const RunRecord& run : runs) store.AddRun(run);
}

HardwareComparison CompareStored(const std::string& database) {
  std::vector<RunRecord> runs;
  for (StoredRun& run : Store(database).AllRuns()) {
    if (run.status != RunStatus::kRunning) runs.push_back(std::move(run.record));
  }
  return CompareHardware(runs);
}

int ReportGuards(std::span<const GuardResult> guards) {
  int exit_code = 0;
  for (const GuardResult& guard : guards) {
    if (guard.tripped) {
      PrintToStderr(fmt::format("assay: invalid: {}: {}\n", guard.name, OneLine(guard.evidence)));
      exit_code = ExitCode(ErrorKind::kInvalid);
    } else if (guard.warning) {
      spdlog::warn("{}: {}", guard.name, guard.evidence);
    }
  }
  return exit_code;
}

std::string FigureText(const RunRecord& run, std::string_view name, int digits) {
  const Metric* metric = FindMetric(run, name);
  if (metric == nullptr) return "-";
  if (!metric->error.has_value()) return fmt::format("{:.{}f}", metric->value, digits);
  return fmt::format("{:.{}f} ± {:.{}f}", metric->value, digits, *metric->error, digits);
}

std::string DivergenceText(const RunRecord& run, std::string_view prefix) {
  const auto figure = [&](std::string_view name) { return FigureText(run, fmt::format("{}{}", prefix, name), 6); };
  return fmt::format("mean {}, median {}, 99% {}, largest {}", figure("kld_mean"), figure("kld_median"),
                     figure("kld_p99"), figure("kld_max"));
}

std::string RoundingText(const RunRecord& run) {
  if (FindMetric(run, "engine_kld_mean") == nullptr) return "";
  std::string text = "KL divergence " + DivergenceText(run, "engine_");
  if (FindMetric(run, "base_engine_kld_mean") == nullptr) return text;
  const bool floats = run.base.has_value() && HoldsFloatsAlone(*run.base);
  return fmt::format("{}; of the base{}: mean {}", text, floats ? ", the floor" : "",
                     FigureText(run, "base_engine_kld_mean", 7));
}

}  // namespace assay
