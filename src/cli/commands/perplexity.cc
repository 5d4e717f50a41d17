#include <fmt/format.h>

#include <memory>
#include <string>

#include "cli/cache_option.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/measuring.h"
#include "render/measure_json.h"

namespace assay {
namespace {

struct Options {
  std::string model, text, base;
  int context = 512;
  int windows = 0;
  CacheType cache = CacheType::kF16;
  Arithmetic activations = Arithmetic::kFine;
  std::string database;
  CommonOptions common;
};

Json ResultJson(const Options& options, const RunRecord& run, const Backend& backend) {
  Json json = {{"model", ToJson(run.model)},
               {"text", options.text},
               {"context", options.context},
               {"cache", CacheName(options.cache)},
               {"backend", backend.description()},
               {"activations", ArithmeticOf(run)},
               {"engine", EngineJson(run)},
               {"threads", options.common.threads},
               {"windows", FigureJson(run, "windows")},
               {"tokens_scored", FigureJson(run, "tokens_scored")},
               {"nll", FigureJson(run, "nll")},
               {"nll_se", ErrorJson(run, "nll")},
               {"ppl", FigureJson(run, "ppl")},
               {"ppl_se", ErrorJson(run, "ppl")},
               {"intervals", IntervalsJson(run)},
               {"guards", GuardsJson(run.guards)},
               {"seconds", FigureJson(run, "seconds")},
               {"environment", ToJson(run.environment)}};
  if (run.base.has_value()) {
    json["base"] = BaseJson(run);
    json["base"]["model"] = ToJson(*run.base);
  }
  return json;
}

std::string IntervalText(const RunRecord& run, std::string_view name) {
  const std::optional<Certainty>& sure = FindMetric(run, name)->certainty;
  if (!sure->low.has_value()) return fmt::format("{} windows are too few for an interval", sure->units);
  return fmt::format("95% interval {:+.3f} to {:+.3f} %", *sure->low, *sure->high);
}

std::string ResultText(const Options& options, const RunRecord& run) {
  std::string text;
  const auto line = [&](std::string_view label, const std::string& value) {
    text += fmt::format("  {:<24}{}\n", label, value);
  };
  const auto model = [](const std::string& path, const ModelIdentity& identity) {
    return fmt::format("{}: {}", OneLine(path), identity.mix);
  };
  line("model", model(options.model, run.model));
  line("text", OneLine(options.text));
  line("tokens scored", fmt::format("{} in {} windows of {}", FindMetric(run, "tokens_scored")->value,
                                    FindMetric(run, "windows")->value, options.context));
  line("perplexity", FigureText(run, "ppl", 4));
  const std::string rounding = RoundingText(run);
  if (!run.base.has_value()) {
    if (!rounding.empty()) line("this engine's rounding", rounding);
    return text;
  }
  line("base", model(options.base, *run.base));
  line("perplexity of the base", FigureText(run, "base_ppl", 4));
  line("difference, paired", fmt::format("{} % ({})", FigureText(run, "delta_pct", 3), IntervalText(run, "delta_pct")));
  line("KL divergence", DivergenceText(run));
  line("same likeliest token", FigureText(run, "top1_agree", 4));
  if (!rounding.empty()) line("this engine's rounding", rounding);
  return text;
}

int Run(const Options& options) {
  const std::unique_ptr<Backend> backend = MakeBackend(options.common.backend, options.common.threads);
  Subject subject(options.model, *backend);
  const std::unique_ptr<Subject> base =
      options.base.empty() ? nullptr : std::make_unique<Subject>(options.base, *backend);
  const RunRecord run = MeasureTextPerplexity(subject, base.get(), options.text,
                                              {.context = options.context,
                                               .windows = options.windows,
                                               .cache = options.cache,
                                               .activations = options.activations,
                                               .engine_rounding = EngineRounding::kOfModelsAndBase},
                                              {{"threads", std::to_string(options.common.threads)}});
  Keep(options.database, {&run, 1});
  if (options.common.json) {
    PrintJson(ResultJson(options, run, *backend));
  } else {
    PrintText(ResultText(options, run));
  }
  FlushStdout();
  return ReportGuards(run.guards);
}

}  // namespace

CommandAction AddPerplexity(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("-m,--model", options->model, "model file")->required()->type_name("MODEL");
  app.add_option("-f,--file", options->text, "text to score")->required()->type_name("TEXT");
  app.add_option("-c,--context", options->context, "tokens of a window; the second half of each is scored")
      ->check(CLI::Range(8, 1 << 20))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--windows", options->windows, "score at most this many windows; 0: all of the text")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--base", options->base, "model to compare with, window by window: paired difference, KL divergence")
      ->type_name("MODEL");
  app.add_option_function<std::string>(
         "--activations",
         [options](const std::string& name) {
           options->activations = name == "fine" ? Arithmetic::kFine : Arithmetic::kEveryday;
         },
         "fine: so that the figures are the model's, with this engine's rounding beside them; everyday: as it decodes")
      ->check(CLI::IsMember({"fine", "everyday"}))
      ->default_str(std::string(ArithmeticName(options->activations)))
      ->type_name("HOW");
  AddDatabaseOption(app, options->database);
  AddCacheOption(app, options->cache);
  AddCommonOptions(app, options->common, kThreads | kBackend | kJson);
  return [options] { return Run(*options); };
}

}  // namespace assay
