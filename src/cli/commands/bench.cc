#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/cache_option.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/measuring.h"
#include "judge/speeds.h"
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
  bool placebo = true;
  std::string database;
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

// What is said of each model against the first, kept as a run of its own. Speeds that a guard found invalid are not
// spoken of.
RunRecord JudgementOf(const SpeedRuns& speeds) {
  RunRecord judgement = speeds.probe;
  judgement.kind = "comparison";
  judgement.test = "speed";
  judgement.metrics.clear();
  judgement.series.clear();
  judgement.guards = speeds.guards;
  const bool valid = judgement.valid();
  const std::vector<SpeedPair> pairs = SpeedPairs(speeds.runs);
  std::vector<Compared> family = CompareSpeeds(pairs, NoiseFloors(speeds.runs));
  JudgeTogether(family);
  for (size_t i = 0; i < pairs.size(); ++i) {
    const std::string model = NameOf(pairs[i].run->model);
    judgement.verdicts.push_back({"speed " + family[i].name, model,
                                  valid ? StandingName(family[i].standing) : "invalid",
                                  valid ? SpeedSentence(model, NameOf(pairs[i].base->model), family[i]) : ""});
  }
  return judgement;
}

Json ReportJson(const Options& options, const SpeedRuns& speeds, const RunRecord& judgement,
                const std::vector<std::unique_ptr<Subject>>& subjects, const Backend& backend) {
  Json models = Json::array();
  for (const auto& subject : subjects) models.push_back(ToJson(subject->identity));
  Json tests = Json::array();
  for (size_t i = 0; i < speeds.runs.size(); ++i) {
    tests.push_back(ThroughputJson(speeds.runs[i], subjects[speeds.models[i]]->path));
  }
  return {{"backend", backend.description()},
          {"threads", options.common.threads},
          {"cache", CacheName(options.cache)},
          {"repetitions", options.repetitions},
          {"seed", options.common.seed},
          {"models", models},
          {"tests", tests},
          {"placebo", PlaceboJson(NoiseFloors(speeds.runs))},
          {"guards", GuardsJson(speeds.guards)},
          {"verdicts", VerdictsJson(judgement.verdicts)},
          {"probe", ProbeJson(speeds.probe)},
          {"environment", ToJson(speeds.probe.environment)}};
}

std::string ShareOfPeak(const RunRecord& run) {
  if (const Metric* share = FindMetric(run, "bandwidth_util")) {
    return fmt::format("{:.1f} % bandwidth", 100.0 * share->value);
  }
  if (const Metric* share = FindMetric(run, "ops_util")) return fmt::format("{:.1f} % int8", 100.0 * share->value);
  return "-";
}

std::string ReadRate(const RunRecord& run) {
  const Metric* rate = FindMetric(run, "read_bytes_per_s");
  return rate != nullptr ? fmt::format("{:.2f}", rate->value / 1e9) : "-";
}

std::string ReportText(const Options& options, const SpeedRuns& speeds, const RunRecord& judgement,
                       const Backend& backend) {
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
  for (const RunRecord& run : speeds.runs) {
    const ModelIdentity& model = run.model;
    table.AddRow(
        {OneLine(model.file), model.quant, HumanBytes(model.file_bytes), HumanCount(model.parameters), backend.name(),
         std::to_string(options.common.threads), run.test,
         fmt::format("{:.2f} ± {:.2f}", FindMetric(run, "tok_per_s")->value, FindMetric(run, "tok_per_s_sd")->value),
         fmt::format("{:.2f}", FindMetric(run, "tok_per_s_median")->value), ReadRate(run), ShareOfPeak(run)});
  }
  std::string text = table.ToString();
  text += fmt::format("\n  {}; {} rounds, interleaved; mean ± standard deviation\n", backend.description(),
                      options.repetitions);
  const Json probe = ProbeJson(speeds.probe);
  text += fmt::format("  probed in the same run: {:.2f} GB/s read, median of {} (spread {:.1f} %); {:.3f} Tops int8\n",
                      probe["read_gb_per_s"].get<double>(), probe["read_gb_per_s_samples"].size(),
                      100.0 * probe["read_drift"].get<double>(), probe["peak_int8_tops"].get<double>());
  if (const std::vector<NoiseFloor> floors = NoiseFloors(speeds.runs); !floors.empty()) {
    text += fmt::format("  noise floor, from the first model measured twice: {}\n", FloorText(floors));
  }
  for (const Verdict& verdict : judgement.verdicts) {
    if (!verdict.sentence.empty()) text += fmt::format("  {}\n", verdict.sentence);
  }
  return text;
}

int Run(const Options& options) {
  Tests(options);  // refuses before models are loaded
  const std::unique_ptr<Backend> backend = MakeBackend(options.common.backend, options.common.threads);
  std::vector<std::unique_ptr<Subject>> subjects;
  for (const std::string& path : options.models) subjects.push_back(std::make_unique<Subject>(path, *backend));
  const SpeedRuns speeds = MeasureSpeed(
      subjects, Tests(options),
      {.repetitions = options.repetitions,
       .cache = options.cache,
       .seed = options.common.seed,
       .threads = options.common.threads,
       .placebo = options.placebo},
      {{"threads", std::to_string(options.common.threads)}, {"seed", std::to_string(options.common.seed)}});
  const RunRecord judgement = JudgementOf(speeds);
  std::vector<RunRecord> kept = speeds.runs;
  kept.push_back(speeds.probe);
  kept.push_back(judgement);
  Keep(options.database, kept);
  if (options.common.json) {
    PrintJson(ReportJson(options, speeds, judgement, subjects, *backend));
  } else {
    PrintText(ReportText(options, speeds, judgement, *backend));
  }
  FlushStdout();
  return ReportGuards(speeds.guards);
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
  AddPlaceboOption(app, options->placebo);
  AddDatabaseOption(app, options->database);
  AddCacheOption(app, options->cache);
  AddCommonOptions(app, options->common, kThreads | kBackend | kSeed | kJson);
  return [options] { return Run(*options); };
}

}  // namespace assay
