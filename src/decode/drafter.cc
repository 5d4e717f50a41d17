#include "decode/drafter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace assay {
namespace {

// The probability that softmax gives the likeliest token.
double TopProbability(std::span<const float> logits, Token best) {
  const auto top = static_cast<double>(logits[static_cast<size_t>(best)]);
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return 1.0 / sum;
}

class ModelDrafter : public Drafter {
 public:
  // Beside its guesses a round holds up to two tokens of the text that the last round did not see.
  ModelDrafter(Engine& engine, const ModelDrafterOptions& options)
      : options_(options),
        name_(engine.model().spec.name),
        session_(engine, {.context = options.context, .cache = options.cache, .rollback = options.max_draft + 1}) {}

  std::string description() const override { return "model " + name_; }

  void Prepare(std::span<const Token> prompt) override {
    session_.Truncate(0);
    // The last token is left for Propose(), which needs logits after it.
    session_.Forward(prompt.first(prompt.size() - 1), Logits::kNone);
  }

  Draft Propose(std::span<const Token> text, int count, const SamplingOptions& sampling, Rng& rng) override {
    Draft draft;
    Follow(text);
    const auto room = static_cast<size_t>(session_.context() - session_.position());
    const std::span<const Token> news = text.subspan(static_cast<size_t>(session_.position()));
    if (news.size() > room) return draft;
    // The text is certain; only the guesses may be undone.
    std::span<const float> logits = session_.Forward(news, Logits::kLast, Undo::kNever);
    while (static_cast<int>(draft.tokens.size()) < count) {
      std::vector<Candidate> distribution = Distribution(logits, sampling);
      const bool greedy = sampling.temperature == 0.0F;
      const Token token = greedy ? distribution.front().token : Draw(distribution, rng);
      if (options_.min_probability > 0.0) {
        const Token best = greedy ? token : distribution.front().token;
        const double top = greedy ? TopProbability(logits, best) : distribution.front().probability;
        if (top < options_.min_probability) break;
      }
      draft.tokens.push_back(token);
      if (!greedy) draft.distributions.push_back(std::move(distribution));
      if (static_cast<int>(draft.tokens.size()) == count || session_.position() == session_.context()) break;
      logits = session_.Forward(std::span(&token, 1), Logits::kLast);
    }
    return draft;
  }

 private:
  // Drops the guesses that the text did not take. At least one token of the text is left to decode.
  void Follow(std::span<const Token> text) {
    const std::span<const Token> held = session_.tokens();
    const size_t comparable = std::min(held.size(), text.size() - 1);
    size_t same = 0;
    while (same < comparable && held[same] == text[same]) ++same;
    session_.Truncate(static_cast<int>(same));
  }

  ModelDrafterOptions options_;
  std::string name_;
  Session session_;
};

class NgramDrafter : public Drafter {
 public:
  explicit NgramDrafter(int longest) : longest_(longest) {}

  std::string description() const override { return fmt::format("n-grams of up to {}", longest_); }
  void Prepare(std::span<const Token>) override {}

  Draft Propose(std::span<const Token> text, int count, const SamplingOptions&, Rng&) override {
    for (auto length = static_cast<size_t>(longest_); length >= 1; --length) {
      if (text.size() <= length) continue;
      const std::span<const Token> suffix = text.last(length);
      const std::span<const Token> before = text.first(text.size() - 1);
      const auto match = std::find_end(before.begin(), before.end(), suffix.begin(), suffix.end());
      if (match == before.end()) continue;
      const auto next = static_cast<size_t>(match - before.begin()) + length;
      const std::span<const Token> guess = text.subspan(next, std::min(text.size() - next, static_cast<size_t>(count)));
      return {{guess.begin(), guess.end()}, {}};
    }
    return {};
  }

 private:
  int longest_;
};

}  // namespace

std::unique_ptr<Drafter> MakeModelDrafter(Engine& engine, const ModelDrafterOptions& options) {
  return std::make_unique<ModelDrafter>(engine, options);
}

std::unique_ptr<Drafter> MakeNgramDrafter(int longest) { return std::make_unique<NgramDrafter>(longest); }

}  // namespace assay
