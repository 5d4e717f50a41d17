#include "decode/round.h"

#include <vector>

#include "decode/checked_tops.h"

namespace assay {

Verification VerifyRound(Session& target, Token newest, const Draft& draft, const SamplingOptions& sampling, Rng& rng,
                         Stopwatch& watch, SpeculationRound& round) {
  const int before = target.position();
  round.drafted = static_cast<int>(draft.tokens.size());
  target.Settle();
  round.settle_seconds += watch.Restart();
  std::vector<Token> batch = {newest};
  batch.insert(batch.end(), draft.tokens.begin(), draft.tokens.end());
  // A step that is never undone is cheaper: it goes straight into the states.
  const std::span<const float> logits =
      target.Forward(batch, Logits::kAll, draft.tokens.empty() ? Undo::kNever : Undo::kPossible);
  round.verify_seconds += watch.Restart();
  const std::span<const RowTop> tops = CheckedTops(target.Tops(), before + 1, target.cache());
  const Verification verification = Verify(logits, tops, draft, sampling, rng);
  round.accepted = verification.accepted;
  round.sample_seconds += watch.Restart();
  target.Truncate(before + 1 + verification.accepted);
  round.settle_seconds += watch.Restart();
  return verification;
}

}  // namespace assay
