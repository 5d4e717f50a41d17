#include "measure/perplexity.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "decode/checked_tops.h"
#include "judge/statistics.h"
#include "measure/log_softmax.h"
#include "measure/window_reader.h"
#include "text/same_tokenizer.h"

namespace assay {
namespace {

constexpr int kSmallestContext = 8;

// Logits are taken in batches of about this size: those of a whole half window would be 254 MB for 248,320 tokens.
constexpr size_t kLogitBytes = 64 << 20;

// The logits of a few positions, [position][vocab], and the softmax of each.
struct Batch {
  std::span<const float> logits;
  std::vector<LogSoftmax> norms;
};

// Collects how far one distribution is from another.
class DivergenceTally {
 public:
  void Add(double divergence, bool same_top) {
    window_divergence_.Add(divergence);
    divergences_.push_back(static_cast<float>(divergence));
    window_agreement_.Add(same_top ? 1.0 : 0.0);
  }

  void EndWindow() {
    result_.window_kld.push_back(static_cast<float>(window_divergence_.mean()));
    result_.window_top1.push_back(static_cast<float>(window_agreement_.mean()));
    window_divergence_ = window_agreement_ = {};
  }

  Divergences Finish() {
    result_.kld_median = Quantile(divergences_, 0.5);
    result_.kld_p99 = Quantile(divergences_, 0.99);
    result_.kld_max = Quantile(divergences_, 1.0);
    return std::move(result_);
  }

 private:
  Divergences result_;
  RunningMoments window_divergence_, window_agreement_;  // of the window at hand
  std::vector<float> divergences_;                       // of all positions
};

// Collects the negative log-likelihood of what came.
class LikelihoodTally {
 public:
  void Add(double nll) { window_.Add(nll); }
  void EndWindow() {
    means_.push_back(static_cast<float>(window_.mean()));
    window_ = {};
  }
  std::vector<float> Finish() { return std::move(means_); }

 private:
  RunningMoments window_;
  std::vector<float> means_;
};

// What the scores of one model come to.
struct Tally {
  LikelihoodTally nll;
  DivergenceTally from_base, from_fine;
  std::string failure;
};

// Takes the windows one after the other through all models.
class Scorer {
 public:
  Scorer(std::span<const ScoredModel> models, const ScoredModel& base, const PerplexityOptions& options,
         ThreadPool& pool)
      : models_(models),
        base_(base),
        context_(options.context),
        activations_(options.activations),
        source_(options.source),
        advice_(NonFiniteAdvice(options.cache)),
        vocab_(static_cast<size_t>(models.front().scored->vocab())),
        batch_(std::clamp(kLogitBytes / (vocab_ * sizeof(float)), size_t{1}, static_cast<size_t>(options.context))),
        tallies_(models.size()),
        pool_(pool) {}

  void Add(std::span<const Token> window) {
    const auto first = static_cast<size_t>(context_ / 2);
    ForEachSource([&](LogitSource& source) {
      source.Reset();
      source.Forward(window.first(first), Logits::kNone);
    });
    // The last token predicts one of the next window: it is not needed.
    const auto last = static_cast<size_t>(context_ - 1);
    for (size_t at = first; at < last; at += batch_) AddBatch(window, at, std::min(batch_, last - at));
    ++windows_;
    positions_ += static_cast<int64_t>(last - first);
    EndWindow(base_tally_);
    for (Tally& tally : tallies_) {
      if (tally.failure.empty()) EndWindow(tally);
    }
  }

  int windows() const { return windows_; }
  bool AllFailed() const {
    return std::all_of(tallies_.begin(), tallies_.end(), [](const Tally& tally) { return !tally.failure.empty(); });
  }

  std::vector<PerplexityResult> Finish() {
    std::optional<BaseComparison> of_base;
    if (base_.scored != nullptr && windows_ > 0) {
      of_base.emplace().window_nll = base_tally_.nll.Finish();
      if (base_.everyday != nullptr) of_base->engine = base_tally_.from_fine.Finish();
    }
    std::vector<PerplexityResult> results;
    for (size_t m = 0; m < models_.size(); ++m) {
      PerplexityResult& result = results.emplace_back();
      Tally& tally = tallies_[m];
      result.activations = activations_;
      result.failure = std::move(tally.failure);
      if (!result.failure.empty() || windows_ == 0) continue;
      result.windows = windows_;
      result.tokens_scored = positions_;
      result.window_nll = tally.nll.Finish();
      if (models_[m].everyday != nullptr) result.engine = tally.from_fine.Finish();
      if (!of_base.has_value()) continue;
      result.base = of_base;
      static_cast<Divergences&>(*result.base) = tally.from_base.Finish();
    }
    return results;
  }

 private:
  static void EndWindow(Tally& tally) {
    tally.nll.EndWindow();
    tally.from_base.EndWindow();
    tally.from_fine.EndWindow();
  }

  template <typename Do>
  void ForEachSource(const Do& action) {
    const auto both = [&](const ScoredModel& model) {
      if (model.scored != nullptr) action(*model.scored);
      if (model.everyday != nullptr) action(*model.everyday);
    };
    both(base_);
    for (size_t i = 0; i < models_.size(); ++i) {
      if (tallies_[i].failure.empty()) both(models_[i]);
    }
  }

  void AddBatch(std::span<const Token> window, size_t at, size_t count) {
    const std::span<const Token> tokens = window.subspan(at, count);
    const std::span<const Token> next = window.subspan(at + 1, count);
    Batch base;
    if (base_.scored != nullptr) {
      base = AddScores(base_, "base model", at, tokens, next, nullptr, base_tally_);
      if (!base_tally_.failure.empty()) Fail(ErrorKind::kInvalid, "{}", base_tally_.failure);
    }
    for (size_t m = 0; m < models_.size(); ++m) {
      if (!tallies_[m].failure.empty()) continue;
      AddScores(models_[m], "model", at, tokens, next, base_.scored != nullptr ? &base : nullptr, tallies_[m]);
    }
  }

  // Takes a model through the tokens at `at` and adds what it says of those that come next. The logits that score.
  Batch AddScores(const ScoredModel& model, std::string_view who, size_t at, std::span<const Token> tokens,
                  std::span<const Token> next, const Batch* base, Tally& tally) {
    Batch scored = Take(*model.scored, tokens);
    if (!CheckFinite(scored, who, "", at, tally)) return scored;
    for (size_t i = 0; i < next.size(); ++i) {
      tally.nll.Add(scored.norms[i].log_sum - static_cast<double>(Row(scored, i)[static_cast<size_t>(next[i])]));
    }
    if (base != nullptr) AddDivergences(*base, scored, tally.from_base);
    if (model.everyday == nullptr) return scored;
    const Batch everyday = Take(*model.everyday, tokens);
    if (CheckFinite(everyday, who, " in everyday arithmetic", at, tally)) {
      AddDivergences(scored, everyday, tally.from_fine);
    }
    return scored;
  }

  void AddDivergences(const Batch& from, const Batch& of, DivergenceTally& tally) {
    std::vector<double> divergences(of.norms.size());
    pool_.ParallelFor(static_cast<int64_t>(divergences.size()), [&](int64_t index) {
      const auto i = static_cast<size_t>(index);
      divergences[i] = Divergence(Row(from, i), from.norms[i], Row(of, i), of.norms[i]);
    });
    for (size_t i = 0; i < divergences.size(); ++i) tally.Add(divergences[i], from.norms[i].top == of.norms[i].top);
  }

  std::span<const float> Row(const Batch& batch, size_t i) const { return batch.logits.subspan(i * vocab_, vocab_); }

  Batch Take(LogitSource& source, std::span<const Token> tokens) {
    Batch batch{source.Forward(tokens, Logits::kAll), std::vector<LogSoftmax>(tokens.size())};
    if (batch.logits.size() != tokens.size() * vocab_) {
      Fail(ErrorKind::kInternal, "asked for the logits of {} tokens over {}, got {} values", tokens.size(), vocab_,
           batch.logits.size());
    }
    pool_.ParallelFor(static_cast<int64_t>(tokens.size()), [&](int64_t index) {
      const auto i = static_cast<size_t>(index);
      batch.norms[i] = Normalise(Row(batch, i));
    });
    return batch;
  }

  // Says in the tally which logits are not finite, if any are not.
  bool CheckFinite(const Batch& batch, std::string_view who, std::string_view how, size_t at, Tally& tally) const {
    for (size_t i = 0; i < batch.norms.size(); ++i) {
      if (batch.norms[i].finite) continue;
      tally.failure = fmt::format("{}: the {} gives logits that are not finite in window {} at position {}{}; {}",
                                  source_, who, windows_, at + i, how, advice_);
      return false;
    }
    return true;
  }

  std::span<const ScoredModel> models_;
  const ScoredModel base_;
  const int context_;
  const Arithmetic activations_;
  const std::string source_;
  const std::string_view advice_;
  const size_t vocab_;
  const size_t batch_;
  std::vector<Tally> tallies_;  // as the models
  Tally base_tally_;
  ThreadPool& pool_;
  int windows_ = 0;
  int64_t positions_ = 0;
};

// A model of the engine as a source of logits.
class SessionSource : public LogitSource {
 public:
  SessionSource(Engine& engine, const PerplexityOptions& options, Arithmetic arithmetic)
      : vocab_(engine.model().spec.vocab),
        session_(engine, {.context = options.context, .cache = options.cache, .arithmetic = arithmetic}) {}

  int vocab() const override { return vocab_; }
  void Reset() override { session_.Truncate(0); }
  std::span<const float> Forward(std::span<const Token> tokens, Logits wanted) override {
    return session_.Forward(tokens, wanted);
  }

 private:
  int vocab_;
  Session session_;
};

// A model in the sessions that are wanted of it.
struct ModelSessions {
  ModelSessions(Engine& engine, const PerplexityOptions& options, bool rounding)
      : scored(engine, options, options.activations) {
    const Backend& backend = engine.backend();
    const bool differs = backend.Describe(options.activations) != backend.Describe(Arithmetic::kEveryday);
    if (rounding && differs) everyday = std::make_unique<SessionSource>(engine, options, Arithmetic::kEveryday);
  }
  ScoredModel sources() { return {&scored, everyday.get()}; }

  SessionSource scored;
  std::unique_ptr<SessionSource> everyday;
};

void RequireComparable(const Model& model, const Model& base) {
  RequireSameTokenizer(*model.tokenizer, model.file.path().string(), *base.tokenizer, base.file.path().string());
  if (model.spec.vocab != base.spec.vocab) {
    Fail(ErrorKind::kUsage, "{} and {} give {} and {} logits for a token; take models of one family",
         model.file.path().string(), base.file.path().string(), model.spec.vocab, base.spec.vocab);
  }
}

// The text as the tokenizers read it that might read it otherwise than the reference's.
class OtherReadings {
 public:
  OtherReadings(const Model& reference, std::span<Engine* const> models, std::string_view text, int context)
      : reference_(reference) {
    for (const Engine* engine : models) {
      const Model& model = engine->model();
      if (MayReadOtherwise(*model.tokenizer, *reference.tokenizer)) {
        readings_.push_back({&model, WindowReader(*model.tokenizer, text, context)});
      }
    }
  }

  void RequireSame(const std::vector<Token>& window, int number) {
    for (Reading& reading : readings_) {
      std::vector<Token> other;
      if (reading.reader.Next(other) && other == window) continue;
      Fail(ErrorKind::kUsage,
           "{} and {} have different tokenizers: they read window {} of this text as other tokens; take models of one "
           "family",
           reading.model->file.path().string(), reference_.file.path().string(), number);
    }
  }

 private:
  struct Reading {
    const Model* model;
    WindowReader reader;
  };
  const Model& reference_;
  std::vector<Reading> readings_;
};

}  // namespace

double PerplexityResult::nll() const {
  double sum = 0.0;
  for (const float window : window_nll) sum += static_cast<double>(window);
  return sum / static_cast<double>(window_nll.size());
}

double PerplexityResult::ppl() const { return std::exp(nll()); }

std::vector<PerplexityResult> ScoreWindows(std::span<const ScoredModel> models, const ScoredModel& base,
                                           const std::function<bool(std::vector<Token>&)>& next_window,
                                           const PerplexityOptions& options, ThreadPool& pool) {
  Scorer scorer(models, base, options, pool);
  std::vector<Token> window;
  while ((options.windows == 0 || scorer.windows() < options.windows) && !scorer.AllFailed() && next_window(window)) {
    scorer.Add(window);
  }
  return scorer.Finish();
}

std::vector<PerplexityResult> MeasurePerplexities(std::span<Engine* const> models, Engine* base, std::string_view text,
                                                  const PerplexityOptions& options) {
  if (options.context < kSmallestContext || options.windows < 0) {
    Fail(ErrorKind::kUsage, "a window of {} tokens, {} windows: at least {} tokens, and 0 (all) or more windows",
         options.context, options.windows, kSmallestContext);
  }
  if (text.empty()) Fail(ErrorKind::kBadFile, "{}: the text is empty; perplexity needs one to score", options.source);

  const Stopwatch watch;
  const Model& reference = base != nullptr ? base->model() : models.front()->model();
  std::vector<std::unique_ptr<ModelSessions>> sessions;
  std::vector<ScoredModel> sources;
  for (Engine* model : models) {
    if (&model->model() != &reference) RequireComparable(model->model(), reference);
    const bool rounding = options.engine_rounding != EngineRounding::kOfNone;
    sessions.push_back(std::make_unique<ModelSessions>(*model, options, rounding));
    sources.push_back(sessions.back()->sources());
  }
  ScoredModel base_source;
  if (base != nullptr) {
    const bool rounding = options.engine_rounding == EngineRounding::kOfModelsAndBase;
    sessions.push_back(std::make_unique<ModelSessions>(*base, options, rounding));
    base_source = sessions.back()->sources();
  }
  WindowReader reader(*reference.tokenizer, text, options.context);
  OtherReadings others(reference, models, text, options.context);
  int begun = 0;
  const auto next_window = [&](std::vector<Token>& window) {
    if (options.progress && begun > 0) {
      options.progress(options.windows > 0 ? std::max(reader.progress(), static_cast<double>(begun) / options.windows)
                                           : reader.progress());
    }
    const bool found = reader.Next(window);
    if (!found && begun == 0) {
      Fail(ErrorKind::kBadFile, "{}: {} tokens are less than one window of {}; give a longer text or a smaller -c",
           options.source, reader.tokens_read(), options.context);
    }
    if (found) others.RequireSame(window, begun);
    ++begun;
    return found;
  };
  std::vector<PerplexityResult> results =
      ScoreWindows(sources, base_source, next_window, options, models.front()->backend().pool());
  if (reader.joins() > 0) {
    spdlog::warn(
        "{}: {} time(s) half a megabyte had no place where it could be cut; the tokens there may be others than those "
        "of "
        "the whole text",
        options.source, reader.joins());
  }
  for (PerplexityResult& result : results) result.seconds = watch.Seconds();
  return results;
}

PerplexityResult MeasurePerplexity(Engine& model, Engine* base, std::string_view text,
                                   const PerplexityOptions& options) {
  Engine* const models[] = {&model};
  PerplexityResult result = std::move(MeasurePerplexities(models, base, text, options).front());
  if (!result.failure.empty()) Fail(ErrorKind::kInvalid, "{}", result.failure);
  return result;
}

}  // namespace assay
