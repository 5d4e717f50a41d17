#include <fmt/format.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/cache_option.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/measuring.h"
#include "judge/speeds.h"
#include "measure/records.h"
#include "render/measure_json.h"

namespace assay {
namespace {

struct Options {
  std::string base, measured, text;  // A, B
  int context = 512;
  int windows = 0;
  int prompt = 512;
  int generate = 128;
  int repetitions = 10;
  CacheType cache = CacheType::kF16;
  bool placebo = true;
  std::string database;
  CommonOptions common;
};

// All that was measured, and what follows from it.
struct Comparison {
  std::array<std::unique_ptr<Subject>, 2> subjects;  // A, B
  RunRecord quality;                                 // of B, against A
  SpeedRuns speed;
  std::vector<Compared> family;  // perplexity, then the tests
  RunRecord judgement;
  double size_pct = 0.0;

  const Subject& a() const { return *subjects[0]; }
  const Subject& b() const { return *subjects[1]; }
};

double BitsPerWeight(const ModelIdentity& model) {
  return 8.0 * static_cast<double>(model.tensor_bytes) / static_cast<double>(model.parameters);
}

// Perplexity and speeds make one sentence, and are judged together.
std::vector<Compared> Family(const Comparison& result) {
  std::vector<Compared> family = {{.name = "perplexity",
                                   .estimate = PerplexityDifference(SeriesOf(result.quality, "window_nll"),
                                                                    SeriesOf(result.quality, "window_base_nll")),
                                   .more_is_better = false}};
  for (Compared& speed : CompareSpeeds(SpeedPairs(result.speed.runs), NoiseFloors(result.speed.runs))) {
    family.push_back(std::move(speed));
  }
  JudgeTogether(family);
  return family;
}

// What is said, kept as a run of its own.
RunRecord Judge(const Comparison& result) {
  RunRecord judgement = NewRecord("comparison", result.quality.test, result.b().identity);
  judgement.base = result.a().identity;
  judgement.settings = result.quality.settings;
  judgement.guards = result.speed.guards;
  judgement.metrics = {{"size_pct", result.size_pct}};
  const bool valid = judgement.valid();
  for (const Compared& compared : result.family) {
    const bool speed = compared.more_is_better;
    judgement.verdicts.push_back({speed ? "speed " + compared.name : compared.name, "",
                                  speed && !valid ? "invalid" : StandingName(compared.standing), ""});
  }
  // Speeds that a guard found invalid are not spoken of.
  const std::span<const Compared> spoken = std::span(result.family).first(valid ? result.family.size() : 1);
  judgement.verdicts.push_back(
      {"comparison", "", valid ? "judged" : "speeds are invalid", ComparisonSentence(spoken, result.size_pct)});
  return judgement;
}

Comparison Compare(const Options& options, Backend& backend) {
  Comparison result;
  result.subjects = {std::make_unique<Subject>(options.base, backend),
                     std::make_unique<Subject>(options.measured, backend)};
  const std::vector<ThroughputTest> tests = {{.kind = ThroughputTest::Kind::kPrompt, .tokens = options.prompt},
                                             {.kind = ThroughputTest::Kind::kGenerate, .tokens = options.generate}};
  const Settings settings = {{"threads", std::to_string(options.common.threads)}};
  result.quality = MeasureTextPerplexity(*result.subjects[1], result.subjects[0].get(), options.text,
                                         {.context = options.context,
                                          .windows = options.windows,
                                          .cache = options.cache,
                                          .engine_rounding = EngineRounding::kOfModelsAndBase},
                                         settings);
  result.speed = MeasureSpeed(result.subjects, tests,
                              {.repetitions = options.repetitions,
                               .cache = options.cache,
                               .threads = options.common.threads,
                               .placebo = options.placebo},
                              settings);
  const auto bytes = [](const Subject& subject) { return static_cast<double>(subject.identity.file_bytes); };
  result.size_pct = 100.0 * (bytes(result.b()) / bytes(result.a()) - 1.0);
  result.family = Family(result);
  result.judgement = Judge(result);
  return result;
}

Json ModelJson(const Subject& subject) {
  Json json = ToJson(subject.identity);
  json["bits_per_weight"] = BitsPerWeight(subject.identity);
  return json;
}

Json ResultJson(const Options& options, const Comparison& result, const Backend& backend) {
  Json tests = Json::array();
  for (size_t i = 0; i < result.speed.runs.size(); ++i) {
    tests.push_back(ThroughputJson(result.speed.runs[i], result.subjects[result.speed.models[i]]->path));
  }
  Json speeds = Json::object();
  for (size_t i = 1; i < result.family.size(); ++i) {
    speeds[result.family[i].name] = ToJson(result.family[i], "ratio");
    speeds[result.family[i].name]["standing"] = result.judgement.verdicts[i].outcome;
  }
  const RunRecord& quality = result.quality;
  return {{"a", ModelJson(result.a())},
          {"b", ModelJson(result.b())},
          {"text", options.text},
          {"context", options.context},
          {"cache", CacheName(options.cache)},
          {"backend", backend.description()},
          {"threads", options.common.threads},
          {"repetitions", options.repetitions},
          {"windows", FigureJson(quality, "windows")},
          {"tokens_scored", FigureJson(quality, "tokens_scored")},
          {"ppl", FigureJson(quality, "ppl")},
          {"ppl_se", ErrorJson(quality, "ppl")},
          {"base", BaseJson(quality)},
          {"activations", ArithmeticOf(quality)},
          {"engine", EngineJson(quality)},
          {"intervals", IntervalsJson(quality)},
          {"tests", tests},
          {"size_pct", result.size_pct},
          {"perplexity", ToJson(result.family.front(), "delta_pct")},
          {"speed", speeds},
          {"placebo", PlaceboJson(NoiseFloors(result.speed.runs))},
          {"guards", GuardsJson(result.judgement.guards)},
          {"sentence", result.judgement.verdicts.back().sentence},
          {"probe", ProbeJson(result.speed.probe)},
          {"environment", ToJson(result.judgement.environment)}};
}

std::string ResultText(const Options& options, const Comparison& result, const Backend& backend) {
  std::string text;
  const auto line = [&](std::string_view label, const std::string& value) {
    text += fmt::format("  {:<24}{}\n", label, value);
  };
  const auto model = [](const Subject& subject) {
    const ModelIdentity& identity = subject.identity;
    return fmt::format("{}: {} ({}), {} bytes, {:.3f} bits per weight", OneLine(subject.path), identity.quant,
                       identity.mix, identity.file_bytes, BitsPerWeight(identity));
  };
  line("A, the base", model(result.a()));
  line("B, measured", model(result.b()));
  const RunRecord& quality = result.quality;
  line("text", fmt::format("{}: {} tokens scored in {} windows of {}", OneLine(options.text),
                           FindMetric(quality, "tokens_scored")->value, FindMetric(quality, "windows")->value,
                           options.context));
  line("perplexity of A", FigureText(quality, "base_ppl", 4));
  line("perplexity of B", FigureText(quality, "ppl", 4));
  line("B over A, paired", FigureText(quality, "delta_pct", 3) + " %");
  line("KL(A || B)", DivergenceText(quality));
  line("same likeliest token", FigureText(quality, "top1_agree", 4));
  if (const std::string rounding = RoundingText(quality); !rounding.empty()) line("this engine's rounding", rounding);
  const auto rate = [](const RunRecord& of) {
    return fmt::format("{:.2f} ± {:.2f}", FindMetric(of, "tok_per_s")->value, FindMetric(of, "tok_per_s_sd")->value);
  };
  for (const SpeedPair& pair : SpeedPairs(result.speed.runs)) {
    line(pair.run->test, fmt::format("A {}, B {} tok/s", rate(*pair.base), rate(*pair.run)));
  }
  line("measured on", fmt::format("{}; {} rounds, interleaved; mean ± standard deviation", backend.description(),
                                  options.repetitions));
  if (const std::vector<NoiseFloor> floors = NoiseFloors(result.speed.runs); !floors.empty()) {
    line("noise floor", fmt::format("{}, from A measured twice", FloorText(floors)));
  }
  return text + "\n  " + result.judgement.verdicts.back().sentence + "\n";
}

int Run(const Options& options) {
  const std::unique_ptr<Backend> backend = MakeBackend(options.common.backend, options.common.threads);
  const Comparison result = Compare(options, *backend);
  std::vector<RunRecord> kept = result.speed.runs;
  kept.push_back(result.quality);
  kept.push_back(result.speed.probe);
  kept.push_back(result.judgement);
  Keep(options.database, kept);
  if (options.common.json) {
    PrintJson(ResultJson(options, result, *backend));
  } else {
    PrintText(ResultText(options, result, *backend));
  }
  FlushStdout();
  return ReportGuards(result.judgement.guards);
}

}  // namespace

CommandAction AddCompare(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  const auto add_count = [&](const char* name, int& count, int least, const char* help) {
    app.add_option(name, count, help)->check(CLI::Range(least, 1 << 20))->capture_default_str()->type_name("N");
  };
  app.add_option("A", options->base, "the model to compare with")->required();
  app.add_option("B", options->measured, "the model to measure")->required();
  app.add_option("--text", options->text, "text to measure the perplexity on")->required()->type_name("FILE");
  add_count("-c,--context", options->context, 8, "perplexity: tokens of a window; the second half of each is scored");
  add_count("--windows", options->windows, 0, "perplexity: score at most this many windows; 0: all of the text");
  add_count("-p,--prompt", options->prompt, 1, "speed: tokens of the prompt (PP)");
  add_count("-n,--generate", options->generate, 1, "speed: tokens to generate (TG)");
  add_count("-r,--repetitions", options->repetitions, 1, "speed: rounds in which each test is measured once");
  AddPlaceboOption(app, options->placebo);
  AddDatabaseOption(app, options->database);
  AddCacheOption(app, options->cache);
  AddCommonOptions(app, options->common, kThreads | kBackend | kJson);
  return [options] { return Run(*options); };
}

}  // namespace assay
