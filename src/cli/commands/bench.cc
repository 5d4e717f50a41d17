#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/cache_option.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/measuring.h"
#include "measure/environment.h"
#include "measure/throughput.h"
#include "render/measure_json.h"
#include "render/text_table.h"

namespace assay {
namespace {

struct Options {
  std::vector<std::string> models;
  std::vector<int> prompts = {512};
  std::vector<int> generations = {128};
  std::vector<int> depths = {0};
  int repetitions = 5;
  CacheType cache = CacheType::kF16;
  CommonOptions common;
};

// A count of 0 asks for no such test.
std::vector<ThroughputTest> Tests(const Options& options) {
  using Kind = ThroughputTest::Kind;
  std::vector<ThroughputTest> tests;
  for (const int depth : options.depths) {
    for (const int tokens : options.prompts) {
      if (tokens > 0) tests.push_back({.kind = Kind::kPrompt, .tokens = tokens, .depth = depth});
    }
    for (const int tokens : options.generations) {
      if (tokens > 0) tests.push_back({.kind = Kind::kGenerate, .tokens = tokens, .depth = depth});
    }
  }
  if (tests.empty()) Fail(ErrorKind::kUsage, "-p 0 -n 0: no test is left; give -p or -n a number of tokens");
  return tests;
}

Json ReportJson(const Options& options, const ThroughputReport& report,
                const std::vector<std::unique_ptr<Subject>>& subjects, const Backend& backend) {
  Json models = Json::array();
  for (const auto& subject : subjects) models.push_back(ToJson(subject->identity));
  Json tests = Json::array();
  for (const ThroughputResult& result : report.results) {
    const Subject& subject = *subjects[result.model];
    tests.push_back(ToJson(result, subject.path, subject.identity.quant));
  }
  return {{"backend", backend.description()},
          {"threads", options.common.threads},
          {"cache", CacheName(options.cache)},
          {"repetitions", options.repetitions},
          {"seed", options.common.seed},
          {"models", models},
          {"tests", tests},
          {"probe", ToJson(report.probe)},
          {"environment", ToJson(CaptureEnvironment())}};
}

std::string ShareOfPeak(const ThroughputResult& result) {
  if (result.bandwidth_util) return fmt::format("{:.1f} % bandwidth", 100.0 * *result.bandwidth_util);
  if (result.ops_util) return fmt::format("{:.1f} % int8", 100.0 * *result.ops_util);
  return "-";
}

std::string ReportText(const Options& options, const ThroughputReport& report,
                       const std::vector<std::unique_ptr<Subject>>& subjects, const Backend& backend) {
  TextTable table({{"model"},
                   {"quant"},
                   {"size", true},
                   {"parameters", true},
                   {"backend"},
                   {"threads", true},
                   {"test"},
                   {"tok/s", true},
                   {"median", true},
                   {"GB/s", true},
                   {"of the peak", true}});
  for (const ThroughputResult& result : report.results) {
    const ModelIdentity& model = subjects[result.model]->identity;
    const Summary& rate = result.tok_per_s;
    table.AddRow({OneLine(model.file), model.quant, HumanBytes(model.file_bytes), HumanCount(model.parameters),
                  backend.name(), std::to_string(options.common.threads), result.test.name(),
                  fmt::format("{:.2f} ± {:.2f}", rate.mean, rate.sd), fmt::format("{:.2f}", rate.median),
                  result.read_bytes_per_s ? fmt::format("{:.2f}", *result.read_bytes_per_s / 1e9) : "-",
                  ShareOfPeak(result)});
  }
  const ProbeResult& probe = report.probe;
  return table.ToString() +
         fmt::format(
             "\n  {}; {} repetitions, interleaved; mean ± standard deviation\n"
             "  probed in the same run: {:.2f} GB/s read, median of {} (spread {:.1f} %); {:.3f} Tops int8\n",
             backend.description(), options.repetitions, probe.read_bytes_per_s / 1e9, probe.read_samples.size(),
             100.0 * probe.read_drift, probe.int8_ops / 1e12);
}

int Run(const Options& options) {
  Tests(options);  // refuses before models are loaded
  const std::unique_ptr<Backend> backend = MakeBackend(options.common.backend, options.common.threads);
  std::vector<std::unique_ptr<Subject>> subjects;
  for (const std::string& path : options.models) subjects.push_back(std::make_unique<Subject>(path, *backend));
  const ThroughputReport report = MeasureSpeed(subjects, Tests(options),
                                               {.repetitions = options.repetitions,
                                                .cache = options.cache,
                                                .seed = options.common.seed,
                                                .threads = options.common.threads});
  if (options.common.json) {
    PrintJson(ReportJson(options, report, subjects, *backend));
  } else {
    PrintText(ReportText(options, report, subjects, *backend));
  }
  return 0;
}

}  // namespace

CommandAction AddBench(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  const auto add_counts = [&](const char* name, std::vector<int>& counts, const char* help) {
    app.add_option(name, counts, help)
        ->delimiter(',')
        ->check(CLI::Range(0, 1 << 20))
        ->capture_default_str()
        ->type_name("N,...");
  };
  app.add_option("-m,--model", options->models, "model files, measured in turns")->required()->type_name("MODEL");
  add_counts("-p,--prompt", options->prompts, "tokens of a prompt (PP); 0: no such test");
  add_counts("-n,--generate", options->generations, "tokens to generate (TG); 0: no such test");
  add_counts("-d,--depth", options->depths, "tokens already in the cache");
  app.add_option("-r,--repetitions", options->repetitions, "times that each test is measured")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str()
      ->type_name("N");
  AddCacheOption(app, options->cache);
  AddCommonOptions(app, options->common, kThreads | kBackend | kSeed | kJson);
  return [options] { return Run(*options); };
}

}  // namespace assay
