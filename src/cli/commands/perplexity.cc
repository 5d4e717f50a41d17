#include <fmt/format.h>

#include <memory>
#include <string>

#include "cli/cache_option.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/measuring.h"
#include "measure/environment.h"
#include "measure/perplexity.h"
#include "render/measure_json.h"

namespace assay {
namespace {

struct Options {
  std::string model, text, base;
  int context = 512;
  int windows = 0;
  CacheType cache = CacheType::kF16;
  CommonOptions common;
};

Json ResultJson(const Options& options, const PerplexityResult& result, const Subject& subject, const Subject* base) {
  Json json = {{"model", ToJson(subject.identity)},
               {"text", options.text},
               {"context", options.context},
               {"cache", CacheName(options.cache)},
               {"backend", subject.engine.backend().description()},
               {"threads", options.common.threads},
               {"windows", result.windows},
               {"tokens_scored", result.tokens_scored},
               {"nll", result.nll},
               {"nll_se", result.nll_se},
               {"ppl", result.ppl},
               {"ppl_se", result.ppl_se},
               {"seconds", result.seconds},
               {"environment", ToJson(CaptureEnvironment())}};
  if (result.base) {
    json["base"] = ToJson(*result.base);
    json["base"]["model"] = ToJson(base->identity);
  }
  return json;
}

std::string ResultText(const Options& options, const PerplexityResult& result) {
  std::string text;
  const auto line = [&](std::string_view label, const std::string& value) {
    text += fmt::format("  {:<24}{}\n", label, value);
  };
  line("model", OneLine(options.model));
  line("text", OneLine(options.text));
  line("tokens scored", fmt::format("{} in {} windows of {}", result.tokens_scored, result.windows, options.context));
  line("perplexity", fmt::format("{:.4f} ± {:.4f}", result.ppl, result.ppl_se));
  if (!result.base) return text;
  const BaseComparison& base = *result.base;
  line("base", OneLine(options.base));
  line("perplexity of the base", fmt::format("{:.4f} ± {:.4f}", base.ppl, base.ppl_se));
  line("difference, paired", fmt::format("{:+.3f} % ± {:.3f} %", base.delta_pct, base.delta_pct_se));
  line("KL divergence", DivergenceText(base));
  line("same likeliest token", fmt::format("{:.2f} % ± {:.2f} %", 100.0 * base.top1_agree, 100.0 * base.top1_agree_se));
  return text;
}

int Run(const Options& options) {
  const std::unique_ptr<Backend> backend = MakeBackend(options.common.backend, options.common.threads);
  Subject subject(options.model, *backend);
  const std::unique_ptr<Subject> base =
      options.base.empty() ? nullptr : std::make_unique<Subject>(options.base, *backend);
  const PerplexityResult result = MeasureTextPerplexity(subject, base.get(), options.text,
                                                        {.context = options.context,
                                                         .windows = options.windows,
                                                         .cache = options.cache,
                                                         .threads = options.common.threads});
  if (options.common.json) {
    PrintJson(ResultJson(options, result, subject, base.get()));
  } else {
    PrintText(ResultText(options, result));
  }
  return 0;
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
  app.add_option("--base", options->base,
                 "model to compare with, position by position: paired difference, KL divergence")
      ->type_name("MODEL");
  AddCacheOption(app, options->cache);
  AddCommonOptions(app, options->common, kThreads | kBackend | kJson);
  return [options] { return Run(*options); };
}

}  // namespace assay
