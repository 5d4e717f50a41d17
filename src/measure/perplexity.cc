#include "measure/perplexity.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "judge/statistics.h"
#include "text/same_tokenizer.h"

namespace assay {
namespace {

constexpr int kSmallestContext = 8;

// Logits are taken in batches of about this size: those of a whole half window would be 254 MB for 248,320 tokens.
constexpr size_t kLogitBytes = 32 << 20;

// Of one row of logits; double precision throughout, since a perplexity sums hundreds of thousands of small terms.
struct LogSoftmax {
  double log_sum = 0.0;  // log of the sum of exp(logit)
  int top = 0;           // the lowest of the largest
  bool finite = true;
};

LogSoftmax Normalise(std::span<const float> logits) {
  LogSoftmax result;
  float largest = logits[0];
  for (size_t i = 0; i < logits.size(); ++i) {
    // True for NaN as well.
    if (!(std::abs(logits[i]) <= std::numeric_limits<float>::max())) return {.finite = false};
    if (logits[i] > largest) {
      largest = logits[i];
      result.top = static_cast<int>(i);
    }
  }
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - static_cast<double>(largest));
  result.log_sum = static_cast<double>(largest) + std::log(sum);
  return result;
}

// KL(base || model) = sum of p_base (log p_base - log p_model), both normalised already.
double Divergence(std::span<const float> base, const LogSoftmax& base_norm, std::span<const float> model,
                  const LogSoftmax& model_norm) {
  double sum = 0.0;
  for (size_t i = 0; i < base.size(); ++i) {
    const double base_log = static_cast<double>(base[i]) - base_norm.log_sum;
    const double model_log = static_cast<double>(model[i]) - model_norm.log_sum;
    sum += std::exp(base_log) * (base_log - model_log);
  }
  // A divergence is never negative; the rounding of its terms may be.
  return std::max(sum, 0.0);
}

struct PositionScore {
  bool finite = true;
  bool base_finite = true;
  double nll = 0.0;
  double base_nll = 0.0;
  double divergence = 0.0;
  bool same_top = true;
};

PositionScore ScorePosition(std::span<const float> model, std::span<const float> base, Token next) {
  const auto target = static_cast<size_t>(next);
  const LogSoftmax norm = Normalise(model);
  PositionScore score{.finite = norm.finite, .nll = norm.log_sum - static_cast<double>(model[target])};
  if (base.empty() || !norm.finite) return score;
  const LogSoftmax base_norm = Normalise(base);
  score.base_finite = base_norm.finite;
  if (!base_norm.finite) return score;
  score.base_nll = base_norm.log_sum - static_cast<double>(base[target]);
  score.divergence = Divergence(base, base_norm, model, norm);
  score.same_top = norm.top == base_norm.top;
  return score;
}

// Takes the windows one after the other and holds what accumulates over them.
class Scorer {
 public:
  Scorer(LogitSource& model, LogitSource* base, const PerplexityOptions& options)
      : model_(model),
        base_(base),
        context_(options.context),
        source_(options.source),
        vocab_(static_cast<size_t>(model.vocab())),
        batch_(std::clamp(kLogitBytes / (vocab_ * sizeof(float)), size_t{1}, static_cast<size_t>(options.context))),
        pool_(options.threads > 0 ? options.threads : HardwareThreads()) {}

  void Add(std::span<const Token> window) {
    const auto first = static_cast<size_t>(context_ / 2);
    model_.Reset();
    model_.Forward(window.first(first), Logits::kNone);
    if (base_ != nullptr) {
      base_->Reset();
      base_->Forward(window.first(first), Logits::kNone);
    }
    // The last token predicts one of the next window: it is not needed.
    const auto last = static_cast<size_t>(context_ - 1);
    for (size_t at = first; at < last; at += batch_) AddBatch(window, at, std::min(batch_, last - at));
    ++windows_;
  }

  int windows() const { return windows_; }

  PerplexityResult Finish() {
    PerplexityResult result;
    result.windows = windows_;
    result.tokens_scored = nll_.count();
    result.nll = nll_.mean();
    result.nll_se = nll_.standard_error();
    result.ppl = std::exp(result.nll);
    result.ppl_se = result.ppl * result.nll_se;
    result.position_nll = std::move(position_nll_);
    if (base_ != nullptr) result.base = Compare();
    return result;
  }

 private:
  void AddBatch(std::span<const Token> window, size_t at, size_t count) {
    const std::span<const Token> tokens = window.subspan(at, count);
    const std::span<const float> logits = Take(model_, tokens);
    const std::span<const float> base_logits = base_ != nullptr ? Take(*base_, tokens) : std::span<const float>();
    std::vector<PositionScore> scores(count);
    pool_.ParallelFor(static_cast<int64_t>(count), [&](int64_t index) {
      const auto i = static_cast<size_t>(index);
      const auto row = [&](std::span<const float> all) { return all.empty() ? all : all.subspan(i * vocab_, vocab_); };
      scores[i] = ScorePosition(row(logits), row(base_logits), window[at + i + 1]);
    });
    for (size_t i = 0; i < count; ++i) Accumulate(scores[i], at + i);
  }

  std::span<const float> Take(LogitSource& source, std::span<const Token> tokens) const {
    const std::span<const float> logits = source.Forward(tokens, Logits::kAll);
    if (logits.size() != tokens.size() * vocab_) {
      Fail(ErrorKind::kInternal, "asked for the logits of {} tokens over {}, got {} values", tokens.size(), vocab_,
           logits.size());
    }
    return logits;
  }

  void Accumulate(const PositionScore& score, size_t position) {
    if (!score.finite || !score.base_finite) {
      Fail(ErrorKind::kInvalid,
           "{}: the {} gives logits that are not finite in window {} at position {}: with a cache in half precision "
           "keys may have left its range, try --cache f32; if that fails alike, the file is damaged",
           source_, score.finite ? "base model" : "model", windows_, position);
    }
    nll_.Add(score.nll);
    position_nll_.push_back(static_cast<float>(score.nll));
    if (base_ == nullptr) return;
    base_nll_.Add(score.base_nll);
    difference_.Add(score.nll - score.base_nll);
    divergence_.Add(score.divergence);
    divergences_.push_back(static_cast<float>(score.divergence));
    agreement_.Add(score.same_top ? 1.0 : 0.0);
  }

  BaseComparison Compare() const {
    BaseComparison base;
    base.ppl = std::exp(base_nll_.mean());
    base.ppl_se = base.ppl * base_nll_.standard_error();
    base.delta_pct = 100.0 * std::expm1(difference_.mean());
    base.delta_pct_se = 100.0 * std::exp(difference_.mean()) * difference_.standard_error();
    base.kld_mean = divergence_.mean();
    base.kld_se = divergence_.standard_error();
    base.kld_median = Quantile(divergences_, 0.5);
    base.kld_p99 = Quantile(divergences_, 0.99);
    base.kld_max = Quantile(divergences_, 1.0);
    base.top1_agree = agreement_.mean();
    base.top1_agree_se = agreement_.standard_error();
    return base;
  }

  LogitSource& model_;
  LogitSource* base_;
  const int context_;
  const std::string source_;
  const size_t vocab_;
  const size_t batch_;
  ThreadPool pool_;
  int windows_ = 0;
  RunningMoments nll_, base_nll_, difference_, divergence_, agreement_;
  std::vector<float> position_nll_, divergences_;
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

}  // namespace

PerplexityResult ScoreWindows(LogitSource& model, LogitSource* base,
                              const std::function<bool(std::vector<Token>&)>& next_window,
                              const PerplexityOptions& options) {
  Scorer scorer(model, base, options);
  std::vector<Token> window;
  while ((options.windows == 0 || scorer.windows() < options.windows) && next_window(window)) scorer.Add(window);
  return scorer.Finish();
}

PerplexityResult MeasurePerplexity(Engine& model, Engine* base, std::string_view text,
                                   const PerplexityOptions& options) {
  if (options.context < kSmallestContext || options.windows < 0) {
    Fail(ErrorKind::kUsage, "a window of {} tokens, {} windows: at least {} tokens, and 0 (all) or more windows",
         options.context, options.windows, kSmallestContext);
  }
  if (text.empty()) Fail(ErrorKind::kBadFile, "{}: the text is empty; perplexity needs one to score", options.source);
  if (base != nullptr) RequireComparable(model.model(), base->model());

  const Stopwatch watch;
  WindowReader reader(*model.model().tokenizer, text, options.context);
  SessionSource source(model, options);
  const std::unique_ptr<SessionSource> base_source =
      base != nullptr ? std::make_unique<SessionSource>(*base, options) : nullptr;
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
    ++begun;
    return found;
  };
  PerplexityResult result = ScoreWindows(source, base_source.get(), next_window, options);
  result.seconds = watch.Seconds();
  return result;
}

}  // namespace assay
