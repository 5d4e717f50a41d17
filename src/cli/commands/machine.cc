#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/error.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/measuring.h"
#include "cli/progress.h"
#include "measure/probe.h"
#include "measure/records.h"
#include "render/hardware_output.h"
#include "render/measure_json.h"

namespace assay {
namespace {

struct Options {
  std::string database;
  bool compare = false;
  CommonOptions common;
};

constexpr int kReadSamples = 5;
constexpr double kSecondsPerSample = 0.4;

ProbeResult MeasureMachine(int threads) {
  Progress progress("machine");
  Probe probe(threads, kSecondsPerSample);
  for (int i = 0; i < kReadSamples; ++i) {
    progress.Update(static_cast<uint64_t>(i), kReadSamples + 1);
    probe.SampleRead();
  }
  probe.SamplePeak();
  return probe.Result();
}

Json ResultJson(const RunRecord& run, int threads) {
  Json json = ToJson(run.environment);
  const Json rates = ProbeJson(run);
  json["threads"] = threads;
  for (const char* field : {"read_gb_per_s", "read_gb_per_s_samples", "read_drift"}) json[field] = rates[field];
  json["peak"] = {{"int8_tops", rates["peak_int8_tops"]},
                  {"f32_tflops", rates["peak_f32_tflops"]},
                  {"bf16_tflops", rates["peak_bf16_tflops"]}};
  return json;
}

std::string RateText(double per_second, std::string_view unit) {
  return per_second > 0.0 ? fmt::format("{:.3f} {}", per_second / 1e12, unit) : "not on this processor";
}

std::string ResultText(const Environment& environment, const ProbeResult& probe, int threads) {
  std::string text;
  const auto line = [&](std::string_view label, const std::string& value) {
    text += fmt::format("  {:<18}{}\n", label, value);
  };
  line("machine", environment.machine);
  line("processor", fmt::format("{}, {} cores", environment.cpu, environment.cores));
  line("instructions", environment.isa.empty() ? "portable" : fmt::format("{}", fmt::join(environment.isa, " ")));
  line("memory", HumanBytes(environment.memory_bytes));
  line("kernel", environment.kernel);
  line("clock governor", environment.governor.value_or("not readable"));
  line("assay", fmt::format("{} ({}, {})", environment.assay_version, environment.compiler, environment.build_type));
  text += fmt::format("\n  measured with {} threads\n", threads);
  line("read bandwidth", fmt::format("{:.2f} GB/s, median of {} (spread {:.1f} %)", probe.read_bytes_per_s / 1e9,
                                     probe.read_samples.size(), 100.0 * probe.read_drift));
  line("int8 peak", RateText(probe.int8_ops, "Tops"));
  line("float32 peak", RateText(probe.f32_flops, "Tflops"));
  line("bfloat16 peak", RateText(probe.bf16_flops, "Tflops"));
  return text;
}

// Measures nothing.
int CompareMachines(const Options& options) {
  if (options.database.empty()) Fail(ErrorKind::kUsage, "--compare: of which database? name it with --db");
  if (!std::filesystem::exists(options.database)) {
    Fail(ErrorKind::kBadFile, "{}: there is no such file; name a database that --db made", options.database);
  }
  const HardwareComparison hardware = CompareStored(options.database);
  if (options.common.json) {
    PrintJson({{"models", HardwareJson(hardware)}});
  } else {
    const std::string text = HardwareText(hardware);
    PrintText(text.empty() ? "no speeds in this database: `assay bench --db` keeps some\n" : text);
  }
  return 0;
}

int Run(const Options& options) {
  if (options.compare) return CompareMachines(options);
  const int threads = options.common.threads;
  RunRecord about = NewRecord("machine", "probe", {});
  about.settings = {{"threads", std::to_string(threads)}};
  const ProbeResult probe = MeasureMachine(threads);
  const RunRecord run = RecordOf(probe, std::move(about));
  Keep(options.database, {&run, 1});
  if (options.common.json) {
    PrintJson(ResultJson(run, threads));
  } else {
    PrintText(ResultText(run.environment, probe, threads));
  }
  return 0;
}

}  // namespace

CommandAction AddMachine(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  AddDatabaseOption(app, options->database);
  app.add_flag("--compare", options->compare,
               "measure nothing; show each model's speed on all machines that the database has it from");
  AddCommonOptions(app, options->common, kThreads | kJson);
  return [options] { return Run(*options); };
}

}  // namespace assay
