#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <optional>
#include <string>

#include "base/file.h"
#include "cli/cache_option.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/measure_json.h"
#include "cli/progress.h"
#include "measure/environment.h"
#include "measure/perplexity.h"

namespace assay {
namespace {

struct Options {
  std::string model, text, base;
  int context = 512;
  int windows = 0;
  CacheType cache = CacheType::kF16;
  CommonOptions common;
};

// What is measured, and what it is compared with.
struct Subject {
  explicit Subject(const std::string& path, Backend& backend) : model(Model::Open(path)), engine(*model, backend) {}
  std::unique_ptr<Model> model;
  Engine engine;
};

PerplexityResult Measure(const Options& options, Subject& subject, Subject* base) {
  const MappedFile file(options.text);
  const std::span<const uint8_t> bytes = file.bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  Progress progress("perplexity");
  PerplexityOptions measure{.context = options.context,
                            .windows = options.windows,
                            .cache = options.cache,
                            .threads = options.common.threads,
                            .source = options.text};
  measure.progress = [&](double share) { progress.Update(static_cast<uint64_t>(share * 1000.0), 1000); };
  return MeasurePerplexity(subject.engine, base != nullptr ? &base->engine : nullptr, text, measure);
}

void WarnOfLimits(const Options& options, const PerplexityResult& result, const Model& model) {
  if (options.windows > result.windows) {
    spdlog::warn("--windows {}: {} has {} windows of {} tokens; all were scored", options.windows, options.text,
                 result.windows, options.context);
  }
  if (options.context > model.spec.context_length) {
    spdlog::warn("-c {}: {} was trained for {} tokens; the figures are of a model outside of its range",
                 options.context, options.model, model.spec.context_length);
  }
}

Json ResultJson(const Options& options, const PerplexityResult& result, const Subject& subject, const Subject* base) {
  Json json = {{"model", ToJson(Identify(*subject.model))},
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
    json["base"]["model"] = ToJson(Identify(*base->model));
  }
  return json;
}

std::string ResultText(const Options& options, const PerplexityResult& result) {
  std::string text;
  const auto line = [&](std::string_view label, const std::string& value) {
    text += fmt::format("  {:<24}{}\n", label, value);
  };
  line("model", options.model);
  line("text", options.text);
  line("tokens scored", fmt::format("{} in {} windows of {}", result.tokens_scored, result.windows, options.context));
  line("perplexity", fmt::format("{:.4f} ± {:.4f}", result.ppl, result.ppl_se));
  if (!result.base) return text;
  const BaseComparison& base = *result.base;
  line("base", options.base);
  line("perplexity of the base", fmt::format("{:.4f} ± {:.4f}", base.ppl, base.ppl_se));
  line("difference, paired", fmt::format("{:+.3f} % ± {:.3f} %", base.delta_pct, base.delta_pct_se));
  line("KL divergence", fmt::format("mean {:.5f} ± {:.5f}, median {:.5f}, 99% {:.5f}, largest {:.5f}", base.kld_mean,
                                    base.kld_se, base.kld_median, base.kld_p99, base.kld_max));
  line("same likeliest token", fmt::format("{:.2f} % ± {:.2f} %", 100.0 * base.top1_agree, 100.0 * base.top1_agree_se));
  return text;
}

int Run(const Options& options) {
  const std::unique_ptr<Backend> backend = MakeBackend(options.common.backend, options.common.threads);
  Subject subject(options.model, *backend);
  const std::unique_ptr<Subject> base =
      options.base.empty() ? nullptr : std::make_unique<Subject>(options.base, *backend);
  const PerplexityResult result = Measure(options, subject, base.get());
  WarnOfLimits(options, result, *subject.model);
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
