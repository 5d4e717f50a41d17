#include "cli/measuring.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>
#include <vector>

#include "base/file.h"
#include "cli/progress.h"
#include "measure/environment.h"
#include "measure/text_check.h"

namespace assay {
namespace {

// Beyond this the machine changed during the run by more than what a run is asked to show.
constexpr double kNotableDrift = 0.10;

void WarnOfLimits(const Subject& model, const Subject* base, const std::string& text_path,
                  const PerplexityOptions& options, const PerplexityResult& result) {
  if (options.windows > result.windows) {
    spdlog::warn("--windows {}: {} has {} windows of {} tokens; all were scored", options.windows, text_path,
                 result.windows, options.context);
  }
  for (const Subject* subject : {&model, base}) {
    if (subject != nullptr) WarnOfContext("-c", options.context, *subject->model);
  }
}

void WarnOfConditions(const ThroughputReport& report) {
  if (report.probe.read_drift > kNotableDrift) {
    spdlog::warn(
        "the read bandwidth moved by {:.0f} % during the run: something else used the machine, or its clock changed",
        100.0 * report.probe.read_drift);
  }
  int64_t faults = 0;
  for (const ThroughputResult& result : report.results) {
    for (const Sample& sample : result.samples) faults += sample.conditions.major_faults;
  }
  if (faults > 0)
    spdlog::warn("{} pages came from the disk during timed runs: the models do not stay in memory", faults);
}

}  // namespace

void WarnOfContext(std::string_view what, int tokens, const Model& model) {
  const int trained = model.spec.context_length;
  if (tokens > trained) {
    spdlog::warn("{}: {} tokens, but {} was trained for {}: what is measured is a model outside of its range", what,
                 tokens, model.file.path().string(), trained);
  }
}

void WarnOfText(std::string_view text, const std::string& source) {
  for (const std::string& warning : CheckText(text, source)) spdlog::warn("{}", warning);
  if (HasCarriageReturns(text)) spdlog::info("{}: lines end in CR LF, whose carriage returns are scored", source);
}

Subject::Subject(std::string path_given, Backend& backend)
    : LoadedModel(path_given, backend), path(std::move(path_given)), identity(Identify(model->file)) {}

PerplexityResult MeasureTextPerplexity(Subject& model, Subject* base, const std::string& text_path,
                                       PerplexityOptions options) {
  const TextFile file(text_path);
  const std::string_view text = file.text();
  WarnOfText(text, text_path);
  options.source = text_path;
  PerplexityResult result;
  {
    Progress progress("perplexity");
    options.progress = [&](double share) { progress.Update(static_cast<uint64_t>(share * 1000.0), 1000); };
    result = MeasurePerplexity(model.engine, base != nullptr ? &base->engine : nullptr, text, options);
  }
  WarnOfLimits(model, base, text_path, options, result);
  return result;
}

ThroughputReport MeasureSpeed(std::span<const std::unique_ptr<Subject>> subjects, std::span<const ThroughputTest> tests,
                              ThroughputOptions options) {
  std::vector<Engine*> engines;
  engines.reserve(subjects.size());
  for (const auto& subject : subjects) engines.push_back(&subject->engine);
  for (const auto& subject : subjects) {
    for (const ThroughputTest& test : tests) WarnOfContext(test.name(), test.depth + test.tokens, *subject->model);
  }
  ThroughputReport report;
  {
    Progress progress("bench");
    options.progress = [&](double share) { progress.Update(static_cast<uint64_t>(share * 1000.0), 1000); };
    report = MeasureThroughput(engines, tests, options);
  }
  WarnOfConditions(report);
  return report;
}

std::string DivergenceText(const BaseComparison& base) {
  return fmt::format("mean {:.5f} ± {:.5f}, median {:.5f}, 99% {:.5f}, largest {:.5f}", base.kld_mean, base.kld_se,
                     base.kld_median, base.kld_p99, base.kld_max);
}

}  // namespace assay
