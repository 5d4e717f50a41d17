#include "decode/speculate.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "decode/draft_length.h"
#include "decode/emitter.h"
#include "decode/verify.h"

namespace assay {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

Generation GenerateSpeculatively(Session& target, Drafter& drafter, std::span<const Token> prompt,
                                 const GenerateOptions& options, const SpeculationOptions& speculation,
                                 const Tokenizer& tokenizer, const OnToken& on_token,
                                 std::vector<SpeculationRound>& rounds) {
  CheckGeneration(prompt, options);
  if (speculation.draft_length < 1 || speculation.draft_length > kMaxDraftLength) {
    Fail(ErrorKind::kUsage, "-k {}: a draft has 1 to {} tokens", speculation.draft_length, kMaxDraftLength);
  }
  Emitter emitter(options, tokenizer, on_token, target.context());
  Rng rng(options.seed);
  DraftLength chooser(speculation.draft_length);
  std::vector<Token> text(prompt.begin(), prompt.end());
  const auto vocab = static_cast<int>(tokenizer.size());
  drafter.Prepare(prompt);
  const std::span<const float> first = target.Forward(prompt, Logits::kLast);
  CheckFinite(first, vocab, target.position());
  text.push_back(Draw(Distribution(first, options.sampling), rng));
  bool more = emitter.Emit(text.back(), target.position());
  while (more) {
    const int before = target.position();
    // A round decodes the newest token and its guesses, and gives at most one token more than guesses.
    const int wanted = speculation.adaptive ? chooser.Choose() : speculation.draft_length;
    const int count = std::min({wanted, target.context() - before - 1, emitter.left() - 1});
    const Clock::time_point start = Clock::now();
    Draft draft;
    if (count > 0) draft = drafter.Propose(text, count, options.sampling, rng);
    const Clock::time_point drafted = Clock::now();
    target.Settle();
    std::vector<Token> batch = {text.back()};
    batch.insert(batch.end(), draft.tokens.begin(), draft.tokens.end());
    const std::span<const float> logits =
        target.Forward(batch, Logits::kAll, draft.tokens.empty() ? Undo::kNever : Undo::kPossible);
    CheckFinite(logits, vocab, target.position());
    const Verification verification = Verify(logits, draft, options.sampling, rng);
    target.Truncate(before + 1 + verification.accepted);
    const Clock::time_point verified = Clock::now();
    const SpeculationRound round{static_cast<int>(draft.tokens.size()), verification.accepted,
                                 count > 0 ? Seconds(start, drafted) : 0.0, Seconds(drafted, verified)};
    rounds.push_back(round);
    chooser.Record(round.drafted, round.accepted, round.draft_seconds, round.verify_seconds);
    for (int i = 0; i <= verification.accepted && more; ++i) {
      text.push_back(i < verification.accepted ? draft.tokens[static_cast<size_t>(i)] : verification.next);
      more = emitter.Emit(text.back(), before + 1 + i);
    }
  }
  return emitter.Finish();
}

}  // namespace assay
