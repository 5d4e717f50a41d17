#include <fmt/format.h>

#include <array>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "cli/cache_option.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/measuring.h"
#include "measure/environment.h"
#include "render/measure_json.h"
#include "study/comparison.h"

namespace assay {
namespace {

struct Options {
  std::string base, measured, text;  // A, B
  int context = 512;
  int windows = 0;
  int prompt = 512;
  int generate = 128;
  int repetitions = 5;
  CacheType cache = CacheType::kF16;
  CommonOptions common;
};

// All that was measured, and what follows from it.
struct Comparison {
  std::array<std::unique_ptr<Subject>, 2> subjects;  // A, B
  PerplexityResult quality;                          // of B, against A
  ThroughputReport speed;
  Compared perplexity;
  std::vector<ComparedSpeed> speeds;  // as the tests
  double size_pct = 0.0;

  const Subject& a() const { return *subjects[0]; }
  const Subject& b() const { return *subjects[1]; }
  const ThroughputResult& SpeedOf(size_t model, size_t test) const {
    return speed.results[model * speeds.size() + test];
  }
};

double BitsPerWeight(const ModelIdentity& model) {
  return 8.0 * static_cast<double>(model.tensor_bytes) / static_cast<double>(model.parameters);
}

Comparison Compare(const Options& options, Backend& backend) {
  Comparison result;
  result.subjects = {std::make_unique<Subject>(options.base, backend),
                     std::make_unique<Subject>(options.measured, backend)};
  const std::vector<ThroughputTest> tests = {{.kind = ThroughputTest::Kind::kPrompt, .tokens = options.prompt},
                                             {.kind = ThroughputTest::Kind::kGenerate, .tokens = options.generate}};
  result.quality = MeasureTextPerplexity(*result.subjects[1], result.subjects[0].get(), options.text,
                                         {.context = options.context,
                                          .windows = options.windows,
                                          .cache = options.cache,
                                          .threads = options.common.threads});
  result.speed =
      MeasureSpeed(result.subjects, tests,
                   {.repetitions = options.repetitions, .cache = options.cache, .threads = options.common.threads});
  result.perplexity = ComparePerplexity(*result.quality.base);
  for (size_t i = 0; i < tests.size(); ++i) {
    result.speeds.push_back(
        {tests[i].name(), CompareSpeed(result.speed.results[tests.size() + i], result.speed.results[i])});
  }
  const auto bytes = [](const Subject& subject) { return static_cast<double>(subject.identity.file_bytes); };
  result.size_pct = 100.0 * (bytes(result.b()) / bytes(result.a()) - 1.0);
  return result;
}

Json ToJson(const Compared& compared, const char* unit) {
  // Without enough rounds there is no interval.
  const auto bound = [&](double value) { return std::isinf(compared.estimate.high) ? Json() : Json(value); };
  return {{unit, compared.estimate.mean},
          {"low", bound(compared.estimate.low)},
          {"high", bound(compared.estimate.high)},
          {"standing", StandingName(compared.standing)}};
}

Json ModelJson(const Subject& subject) {
  Json json = ToJson(subject.identity);
  json["bits_per_weight"] = BitsPerWeight(subject.identity);
  return json;
}

Json ResultJson(const Options& options, const Comparison& result, const Backend& backend) {
  Json tests = Json::array();
  for (const ThroughputResult& test : result.speed.results) {
    const Subject& subject = *result.subjects[test.model];
    tests.push_back(ToJson(test, subject.path, subject.identity.quant));
  }
  Json speeds = Json::object();
  for (const ComparedSpeed& speed : result.speeds) speeds[speed.test] = ToJson(speed.speed, "ratio");
  return {{"a", ModelJson(result.a())},
          {"b", ModelJson(result.b())},
          {"text", options.text},
          {"context", options.context},
          {"cache", CacheName(options.cache)},
          {"backend", backend.description()},
          {"threads", options.common.threads},
          {"repetitions", options.repetitions},
          {"windows", result.quality.windows},
          {"tokens_scored", result.quality.tokens_scored},
          {"ppl", result.quality.ppl},
          {"ppl_se", result.quality.ppl_se},
          {"base", ToJson(*result.quality.base)},
          {"tests", tests},
          {"size_pct", result.size_pct},
          {"perplexity", ToJson(result.perplexity, "delta_pct")},
          {"speed", speeds},
          {"sentence", ComparisonSentence(result.perplexity, result.speeds, result.size_pct)},
          {"probe", ToJson(result.speed.probe)},
          {"environment", ToJson(CaptureEnvironment())}};
}

std::string ResultText(const Options& options, const Comparison& result, const Backend& backend) {
  std::string text;
  const auto line = [&](std::string_view label, const std::string& value) {
    text += fmt::format("  {:<24}{}\n", label, value);
  };
  const auto model = [](const Subject& subject) {
    const ModelIdentity& identity = subject.identity;
    return fmt::format("{}: {}, {} bytes, {:.3f} bits per weight", OneLine(subject.path), identity.quant,
                       identity.file_bytes, BitsPerWeight(identity));
  };
  line("A, the base", model(result.a()));
  line("B, measured", model(result.b()));
  const PerplexityResult& quality = result.quality;
  const BaseComparison& base = *quality.base;
  line("text", fmt::format("{}: {} tokens scored in {} windows of {}", OneLine(options.text), quality.tokens_scored,
                           quality.windows, options.context));
  line("perplexity of A", fmt::format("{:.4f} ± {:.4f}", base.ppl, base.ppl_se));
  line("perplexity of B", fmt::format("{:.4f} ± {:.4f}", quality.ppl, quality.ppl_se));
  line("B over A, paired", fmt::format("{:+.3f} % ± {:.3f} %", base.delta_pct, base.delta_pct_se));
  line("KL(A || B)", DivergenceText(base));
  line("same likeliest token", fmt::format("{:.2f} % ± {:.2f} %", 100.0 * base.top1_agree, 100.0 * base.top1_agree_se));
  for (size_t i = 0; i < result.speeds.size(); ++i) {
    const auto rate = [&](size_t of) {
      const Summary& tok_per_s = result.SpeedOf(of, i).tok_per_s;
      return fmt::format("{:.2f} ± {:.2f}", tok_per_s.mean, tok_per_s.sd);
    };
    line(result.speeds[i].test, fmt::format("A {}, B {} tok/s", rate(0), rate(1)));
  }
  line("measured on", fmt::format("{}; {} rounds, interleaved; mean ± standard deviation", backend.description(),
                                  options.repetitions));
  return text + "\n  " + ComparisonSentence(result.perplexity, result.speeds, result.size_pct) + "\n";
}

int Run(const Options& options) {
  const std::unique_ptr<Backend> backend = MakeBackend(options.common.backend, options.common.threads);
  const Comparison result = Compare(options, *backend);
  if (options.common.json) {
    PrintJson(ResultJson(options, result, *backend));
  } else {
    PrintText(ResultText(options, result, *backend));
  }
  return 0;
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
  AddCacheOption(app, options->cache);
  AddCommonOptions(app, options->common, kThreads | kBackend | kJson);
  return [options] { return Run(*options); };
}

}  // namespace assay
