#include "decode/speculate.h"

#include <algorithm>

#include "base/clock.h"
#include "base/error.h"
#include "decode/draft_length.h"
#include "decode/emitter.h"

namespace assay {

Generation GenerateSpeculatively(Session& target, Drafter& drafter, std::span<const Token> prompt,
                                 const GenerateOptions& options, const SpeculationOptions& speculation,
                                 const Tokenizer& tokenizer, const OnToken& on_token,
                                 std::vector<SpeculationRound>& rounds) {
  CheckGeneration(prompt, options, target.context() - target.position());
  if (speculation.draft_length < 1 || speculation.draft_length > kMaxDraftLength) {
    Fail(ErrorKind::kUsage, "-k {}: a draft has 1 to {} tokens; give another", speculation.draft_length,
         kMaxDraftLength);
  }
  Emitter emitter(options, tokenizer, on_token, target.context());
  Rng rng(options.seed);
  DraftLength chooser(speculation.draft_length);
  std::vector<Token> text(prompt.begin(), prompt.end());
  drafter.Prepare(prompt);
  const std::span<const float> first = target.Forward(prompt, Logits::kLast);
  text.push_back(ChooseToken(target, first, options.sampling, rng));
  Stopwatch watch;
  bool more = emitter.Emit(text.back(), target.position());
  while (more) {
    const int before = target.position();
    // A round decodes the newest token and its guesses, and gives at most one token more than guesses.
    const int wanted = speculation.adaptive ? chooser.Choose() : speculation.draft_length;
    const int count = std::min({wanted, target.context() - before - 1, emitter.left() - 1});
    SpeculationRound& round = rounds.emplace_back();
    round.other_seconds = watch.Restart();
    Draft draft;
    if (count > 0) {
      draft = drafter.Propose(text, count, options.sampling, rng);
      round.draft_seconds = watch.Restart();
    }
    const Verification verification = VerifyRound(target, text.back(), draft, options.sampling, rng, watch, round);
    chooser.Record(round.drafted, round.accepted, round.draft_seconds, round.TargetSeconds());
    for (int i = 0; i <= verification.accepted && more; ++i) {
      text.push_back(i < verification.accepted ? draft.tokens[static_cast<size_t>(i)] : verification.next);
      more = emitter.Emit(text.back(), before + 1 + i);
    }
    round.other_seconds += watch.Restart();
  }
  return emitter.Finish();
}

}  // namespace assay
