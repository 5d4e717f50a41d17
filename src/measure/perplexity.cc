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

struct PositionScore {
  bool finite = true;
  double nll = 0.0;
  double base_nll = 0.0;
  double divergence = 0.0;
  bool same_top = true;
};

PositionScore ScorePosition(std::span<const float> model, Token next) {
  const LogSoftmax norm = Normalise(model);
  return {.finite = norm.finite, .nll = norm.log_sum - static_cast<double>(model[static_cast<size_t>(next)])};
}

PositionScore ScorePosition(std::span<const float> model, std::span<const float> base, const LogSoftmax& base_norm,
                            Token next) {
  const LogSoftmax norm = Normalise(model);
  if (!norm.finite) return {.finite = false};
  const auto target = static_cast<size_t>(next);
  return {.nll = norm.log_sum - static_cast<double>(model[target]),
          .base_nll = base_norm.log_sum - static_cast<double>(base[target]),
          .divergence = Divergence(base, base_norm, model, norm),
          .same_top = norm.top == base_norm.top};
}

// What one model's scores accumulate to.
class Tally {
 public:
  explicit Tally(bool has_base) : has_base_(has_base) {}

  void Add(const PositionScore& score) {
    ++result_.tokens_scored;
    nll_.Add(score.nll);
    if (!has_base_) return;
    base_nll_.Add(score.base_nll);
    divergence_.Add(score.divergence);
    divergences_.push_back(static_cast<float>(score.divergence));
    agreement_.Add(score.same_top ? 1.0 : 0.0);
  }

  void EndWindow() {
    ++result_.windows;
    const auto end = [](RunningMoments& moments, std::vector<float>& values) {
      values.push_back(static_cast<float>(moments.mean()));
      moments = {};
    };
    end(nll_, result_.window_nll);
    if (!has_base_) return;
    end(base_nll_, base_.window_nll);
    end(divergence_, base_.window_kld);
    end(agreement_, base_.window_top1);
  }

  void Fail(std::string failure) { result_.failure = std::move(failure); }
  bool failed() const { return !result_.failure.empty(); }

  PerplexityResult Finish() {
    if (has_base_ && !failed() && !divergences_.empty()) {
      base_.kld_median = Quantile(divergences_, 0.5);
      base_.kld_p99 = Quantile(divergences_, 0.99);
      base_.kld_max = Quantile(divergences_, 1.0);
      result_.base = std::move(base_);
    }
    return std::move(result_);
  }

 private:
  bool has_base_;
  PerplexityResult result_;
  BaseComparison base_;
  RunningMoments nll_, base_nll_, divergence_, agreement_;  // of the window at hand
  std::vector<float> divergences_;                          // of all positions
};

// Takes the windows one after the other through all models.
class Scorer {
 public:
  Scorer(std::span<LogitSource* const> models, LogitSource* base, const PerplexityOptions& options, ThreadPool& pool)
      : models_(models),
        base_(base),
        context_(options.context),
        source_(options.source),
        advice_(NonFiniteAdvice(options.cache)),
        vocab_(static_cast<size_t>(models.front()->vocab())),
        batch_(std::clamp(kLogitBytes / (vocab_ * sizeof(float)), size_t{1}, static_cast<size_t>(options.context))),
        tallies_(models.size(), Tally(base != nullptr)),
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
    for (Tally& tally : tallies_) {
      if (!tally.failed()) tally.EndWindow();
    }
  }

  int windows() const { return windows_; }
  bool AllFailed() const {
    return std::all_of(tallies_.begin(), tallies_.end(), [](const Tally& tally) { return tally.failed(); });
  }

  std::vector<PerplexityResult> Finish() {
    std::vector<PerplexityResult> results;
    for (Tally& tally : tallies_) results.push_back(tally.Finish());
    return results;
  }

 private:
  template <typename Do>
  void ForEachSource(const Do& action) {
    if (base_ != nullptr) action(*base_);
    for (size_t i = 0; i < models_.size(); ++i) {
      if (!tallies_[i].failed()) action(*models_[i]);
    }
  }

  void AddBatch(std::span<const Token> window, size_t at, size_t count) {
    const std::span<const Token> tokens = window.subspan(at, count);
    const std::span<const float> base_logits = base_ != nullptr ? Take(*base_, tokens) : std::span<const float>();
    std::vector<LogSoftmax> base_norms(base_ != nullptr ? count : 0);
    const auto row = [&](std::span<const float> all, size_t i) { return all.subspan(i * vocab_, vocab_); };
    pool_.ParallelFor(static_cast<int64_t>(base_norms.size()), [&](int64_t i) {
      base_norms[static_cast<size_t>(i)] = Normalise(row(base_logits, static_cast<size_t>(i)));
    });
    for (size_t i = 0; i < base_norms.size(); ++i) {
      if (!base_norms[i].finite) Fail(ErrorKind::kInvalid, "{}", NotFinite("base model", at + i));
    }
    for (size_t m = 0; m < models_.size(); ++m) {
      if (tallies_[m].failed()) continue;
      const std::span<const float> logits = Take(*models_[m], tokens);
      std::vector<PositionScore> scores(count);
      pool_.ParallelFor(static_cast<int64_t>(count), [&](int64_t index) {
        const auto i = static_cast<size_t>(index);
        scores[i] = base_ == nullptr
                        ? ScorePosition(row(logits, i), window[at + i + 1])
                        : ScorePosition(row(logits, i), row(base_logits, i), base_norms[i], window[at + i + 1]);
      });
      for (size_t i = 0; i < count && !tallies_[m].failed(); ++i) {
        if (scores[i].finite) {
          tallies_[m].Add(scores[i]);
        } else {
          tallies_[m].Fail(NotFinite("model", at + i));
        }
      }
    }
  }

  std::span<const float> Take(LogitSource& source, std::span<const Token> tokens) const {
    const std::span<const float> logits = source.Forward(tokens, Logits::kAll);
    if (logits.size() != tokens.size() * vocab_) {
      Fail(ErrorKind::kInternal, "asked for the logits of {} tokens over {}, got {} values", tokens.size(), vocab_,
           logits.size());
    }
    return logits;
  }

  std::string NotFinite(std::string_view who, size_t position) const {
    return fmt::format("{}: the {} gives logits that are not finite in window {} at position {}; {}", source_, who,
                       windows_, position, advice_);
  }

  std::span<LogitSource* const> models_;
  LogitSource* base_;
  const int context_;
  const std::string source_;
  const std::string_view advice_;
  const size_t vocab_;
  const size_t batch_;
  std::vector<Tally> tallies_;  // as the models
  ThreadPool& pool_;
  int windows_ = 0;
};

// A model of the engine as a source of logits.
class SessionSource : public LogitSource {
 public:
  SessionSource(Engine& engine, const PerplexityOptions& options)
      : vocab_(engine.model().spec.vocab), session_(engine, {.context = options.context, .cache = options.cache}) {}

  int vocab() const override { return vocab_; }
  void Reset() override { session_.Truncate(0); }
  std::span<const float> Forward(std::span<const Token> tokens, Logits wanted) override {
    return session_.Forward(tokens, wanted);
  }

 private:
  int vocab_;
  Session session_;
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

std::vector<PerplexityResult> ScoreWindows(std::span<LogitSource* const> models, LogitSource* base,
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
  std::vector<std::unique_ptr<SessionSource>> sources;
  std::vector<LogitSource*> model_sources;
  for (Engine* model : models) {
    if (&model->model() != &reference) RequireComparable(model->model(), reference);
    model_sources.push_back(sources.emplace_back(std::make_unique<SessionSource>(*model, options)).get());
  }
  const std::unique_ptr<SessionSource> base_source =
      base != nullptr ? std::make_unique<SessionSource>(*base, options) : nullptr;
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
      ScoreWindows(model_sources, base_source.get(), next_window, options, models.front()->backend().pool());
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
