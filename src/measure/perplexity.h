#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "engine/session.h"
#include "text/tokenizer.h"

namespace assay {

// Of whom the engine's own part is measured: what everyday arithmetic adds to the weights, which another pass over the
// text in that arithmetic shows. A backend with one arithmetic adds nothing that could be measured so.
enum class EngineRounding { kOfNone, kOfModels, kOfModelsAndBase };

struct PerplexityOptions {
  int context = 512;  // tokens of a window, at least 8
  int windows = 0;    // at most this many; 0: all that the text has
  CacheType cache = CacheType::kF16;
  Arithmetic activations = Arithmetic::kFine;                // that scores
  EngineRounding engine_rounding = EngineRounding::kOfNone;  // beside fine arithmetic only
  std::string_view source = "the text";                      // names the text in messages
  // Called after each window with the share of the work that is done, 0 to 1.
  std::function<void(double)> progress = {};
};

// One distribution of the next token against another over the same positions: means over the scored positions of each
// window.
struct Divergences {
  std::vector<float> window_kld;   // Kullback-Leibler divergence of the one from the other, in nats
  std::vector<float> window_top1;  // share of positions with the same most likely token
  double kld_median = 0.0, kld_p99 = 0.0, kld_max = 0.0;  // of the positions
};

// A model against a base.
struct BaseComparison : Divergences {
  std::vector<float> window_nll;  // of the base
  std::optional<Divergences>
      engine;  // as PerplexityResult::engine, of the base: the floor of what can be told of models
};

struct PerplexityResult {
  Arithmetic activations = Arithmetic::kFine;
  int windows = 0;
  int64_t tokens_scored = 0;
  std::vector<float> window_nll;  // mean negative log-likelihood of each window, in nats
  double seconds = 0.0;
  std::optional<BaseComparison> base;
  std::optional<Divergences> engine;  // the model in everyday arithmetic against itself in fine arithmetic
  std::string failure;                // which logit was not finite; the figures then say nothing

  double nll() const;  // the mean over all
  double ppl() const;
};

// Perplexity over non-overlapping windows of the text, each from an empty state. The second half of a window is scored:
// positions c/2 to c-2 predict the token after them (llama.cpp's perplexity tool scores the same ones: 255 of 512).
// Where the vocabulary adds a BOS it begins the text and takes the place of each window's first token.
// Memory does not grow with the text, but for a few floats for each window and, with a base, one for each position.
//
// Several models go through the text together, and the base once for all of them. Throws kBadFile for a text without a
// whole window, kUsage for tokenizers that differ or read this text otherwise, kInvalid when the base's logits are not
// finite; a model whose logits are not is left out from there on, with the reason in its result.
std::vector<PerplexityResult> MeasurePerplexities(std::span<Engine* const> models, Engine* base, std::string_view text,
                                                  const PerplexityOptions& options);

// Of one model; throws kInvalid when its logits are not finite.
PerplexityResult MeasurePerplexity(Engine& model, Engine* base, std::string_view text,
                                   const PerplexityOptions& options);

// What MeasurePerplexity() needs of a model, so that tests can stand in for one.
class LogitSource {
 public:
  virtual ~LogitSource() = default;
  virtual int vocab() const = 0;
  virtual void Reset() = 0;
  // As Session::Forward.
  virtual std::span<const float> Forward(std::span<const Token> tokens, Logits wanted) = 0;
};

// A model as it is scored, and where the engine's part is measured the same model in everyday arithmetic.
struct ScoredModel {
  LogitSource* scored = nullptr;
  LogitSource* everyday = nullptr;
};

// The same over ready windows: `next_window` fills in the tokens of the next one, or returns false. There may be no
// base. `pool` scores.
std::vector<PerplexityResult> ScoreWindows(std::span<const ScoredModel> models, const ScoredModel& base,
                                           const std::function<bool(std::vector<Token>&)>& next_window,
                                           const PerplexityOptions& options, ThreadPool& pool);

}  // namespace assay
