#include "decode/drafter.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/whereabouts.h"
#include "decode/checked_tops.h"
#include "decode/top_hash.h"

namespace assay {
namespace {

// Of somebody in this process.
std::shared_ptr<const DrafterIdentity> AtHome(std::string backend, std::string device, std::string model_digest) {
  return std::make_shared<const DrafterIdentity>(DrafterIdentity{.backend = std::move(backend),
                                                                 .device = std::move(device),
                                                                 .machine = MachineId(),
                                                                 .process = ProcessId(),
                                                                 .model_digest = std::move(model_digest),
                                                                 .address = {}});
}

class ModelDrafter : public HomeDrafter {
 public:
  // Beside its guesses a round holds up to two tokens of the text that the last round did not see.
  ModelDrafter(Engine& engine, const ModelDrafterOptions& options)
      : options_(options),
        name_(engine.model().spec.name),
        whose_("the draft model " + name_ + "'s"),
        vocab_(engine.model().spec.vocab),
        shared_(options.target_vocab > 0 ? std::min(options.target_vocab, vocab_) : vocab_),
        session_(engine, {.context = options.context, .cache = options.cache, .rollback = options.max_draft + 1}) {
    who_ = AtHome(engine.backend().description(), options.device, options.model_digest);
  }

  std::string description() const override { return "model " + name_; }

  void Prepare(std::span<const Token> prompt) override {
    if (prompt.size() > static_cast<size_t>(session_.context())) {
      Fail(ErrorKind::kUsage,
           "the draft model {} holds a context of {} tokens, the prompt has {}; shorten the prompt, raise the context "
           "(-c), or draft with another model or with n-grams",
           name_, session_.context(), prompt.size());
    }
    session_.Truncate(0);
    full_ = false;
    // The last token is left for the first burst, which needs logits after it.
    session_.Forward(WithinVocabulary(prompt.first(prompt.size() - 1), vocab_), Logits::kNone);
  }

  std::optional<int> full_at() const override { return full_ ? std::optional(session_.context()) : std::nullopt; }

 private:
  Draft Propose(std::span<const Token> text, int count, const SamplingOptions& sampling, Rng& rng) override {
    Draft draft;
    full_ = text.size() > static_cast<size_t>(session_.context());
    if (full_) return draft;
    Follow(text);
    // The text is certain; only the guesses may be undone.
    const std::vector<Token> news = WithinVocabulary(text.subspan(static_cast<size_t>(session_.position())), vocab_);
    std::span<const float> logits = session_.Forward(news, Logits::kLast, Undo::kNever);
    Hash hash;
    for (;;) {
      const RowTop top = CheckedTops(session_.Tops(), session_.position(), options_.cache, whose_).front();
      if (top.token >= shared_) break;
      AddTop(hash, top, logits);
      Distribution distribution = SamplingDistribution(logits.first(static_cast<size_t>(shared_)), top, sampling);
      if (options_.min_probability > 0.0 && TopProbability(top, distribution, sampling) < options_.min_probability)
        break;
      const Token token = distribution.Draw(rng);
      draft.tokens.push_back(token);
      if (sampling.temperature > 0.0F) draft.distributions.push_back(std::move(distribution));
      if (static_cast<int>(draft.tokens.size()) == count || session_.position() == session_.context()) break;
      logits = session_.Forward(std::span(&token, 1), Logits::kLast);
    }
    draft.evidence.logit_hash = hash.value();
    return draft;
  }

  // What the model itself gives its likeliest token: at the temperature, or plainly when drafting is greedy.
  double TopProbability(const RowTop& top, const Distribution& distribution, const SamplingOptions& sampling) {
    return sampling.temperature > 0.0F ? distribution.ProbabilityOf(top.token) : session_.TopProbability(0);
  }

  // Drops the guesses that the text did not take. At least one token of the text is left to decode.
  void Follow(std::span<const Token> text) {
    const std::span<const Token> held = session_.tokens();
    const size_t comparable = std::min(held.size(), text.size() - 1);
    size_t same = 0;
    while (same < comparable && held[same] == WithinVocabulary(text[same], vocab_)) ++same;
    session_.Truncate(static_cast<int>(same));
  }

  ModelDrafterOptions options_;
  std::string name_;
  std::string whose_;  // in messages
  int vocab_;
  int shared_;  // tokens that the target has, too
  Session session_;
  bool full_ = false;
};

class NgramDrafter : public HomeDrafter {
 public:
  explicit NgramDrafter(int longest) : longest_(longest) { who_ = AtHome("n-grams", {}, {}); }

  std::string description() const override { return fmt::format("n-grams of up to {}", longest_); }
  void Prepare(std::span<const Token>) override {}

 private:
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

  int longest_;
};

}  // namespace

Draft HomeDrafter::Take() {
  const Stopwatch watch;
  Draft draft = Propose(asked_.text, asked_.count, *asked_.sampling, *asked_.rng);
  draft.evidence.who = who_;
  draft.evidence.compute_seconds = watch.Seconds();
  return draft;
}

std::unique_ptr<Drafter> MakeModelDrafter(Engine& engine, const ModelDrafterOptions& options) {
  return std::make_unique<ModelDrafter>(engine, options);
}

Token WithinVocabulary(Token token, int vocab) { return std::min(token, static_cast<Token>(vocab - 1)); }

std::vector<Token> WithinVocabulary(std::span<const Token> tokens, int vocab) {
  std::vector<Token> within(tokens.begin(), tokens.end());
  for (Token& token : within) token = WithinVocabulary(token, vocab);
  return within;
}

std::unique_ptr<Drafter> MakeNgramDrafter(int longest) { return std::make_unique<NgramDrafter>(longest); }

}  // namespace assay
