#include "cli/measuring.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>
#include <vector>

#include "base/file.h"
#include "cli/progress.h"
#include "measure/environment.h"

namespace assay {
namespace {

// Beyond this the machine changed during the run by more than what a run is asked to show.
constexpr double kNotableDrift = 0.10;

void WarnOfLimits(const Subject& model, const std::string& text_path, const PerplexityOptions& options,
                  const PerplexityResult& result) {
  if (options.windows > result.windows) {
    spdlog::warn("--windows {}: {} has {} windows of {} tokens; all were scored", options.windows, text_path,
                 result.windows, options.context);
  }
  const int trained = model.model->spec.context_length;
  if (options.context > trained) {
    spdlog::warn("-c {}: {} was trained for {} tokens; the figures are of a model outside of its range",
                 options.context, model.path, trained);
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

Subject::Subject(std::string path_given, Backend& backend)
    : LoadedModel(path_given, backend), path(std::move(path_given)), identity(Identify(*model)) {}

PerplexityResult MeasureTextPerplexity(Subject& model, Subject* base, const std::string& text_path,
                                       PerplexityOptions options) {
  const MappedFile file(text_path);
  const std::span<const uint8_t> bytes = file.bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  options.source = text_path;
  PerplexityResult result;
  {
    Progress progress("perplexity");
    options.progress = [&](double share) { progress.Update(static_cast<uint64_t>(share * 1000.0), 1000); };
    result = MeasurePerplexity(model.engine, base != nullptr ? &base->engine : nullptr, text, options);
  }
  WarnOfLimits(model, text_path, options, result);
  return result;
}

ThroughputReport MeasureSpeed(std::span<const std::unique_ptr<Subject>> subjects, std::span<const ThroughputTest> tests,
                              ThroughputOptions options) {
  std::vector<Engine*> engines;
  engines.reserve(subjects.size());
  for (const auto& subject : subjects) engines.push_back(&subject->engine);
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
