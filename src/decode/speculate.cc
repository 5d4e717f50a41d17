#include "decode/speculate.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "decode/draft_length.h"
#include "decode/emitter.h"

namespace assay {
namespace {

// Lets the drafter read the prompt; the last tokens one by one with a guess after each, as long as it is to be learned
// what a guess takes. That is before the text's time counts: its first draft is made only where its cost can be borne.
void PrepareDrafter(Drafter& drafter, std::span<const Token> prompt, const GenerateOptions& options,
                    DraftLength& learned) {
  const int trials = std::min(learned.WantedTrials(), static_cast<int>(prompt.size()));
  size_t known = prompt.size() - static_cast<size_t>(std::max(trials - 1, 0));
  Stopwatch watch;
  drafter.Prepare(prompt.first(known));
  learned.AddPrompt(static_cast<int>(known) - 1, watch.Restart());
  Rng rng(options.seed);  // these guesses are for nothing, and must not change those of the text
  for (int trial = 0; trial < trials; ++trial, ++known) {
    DraftNow(drafter, prompt.first(known), 1, options.sampling, rng);
    learned.AddTrial(watch.Restart());
  }
}

}  // namespace

Generation GenerateSpeculatively(Session& target, Drafter& drafter, std::span<const Token> prompt,
                                 const GenerateOptions& options, const SpeculationOptions& speculation,
                                 const Tokenizer& tokenizer, const OnToken& on_token,
                                 std::vector<SpeculationRound>& rounds, DraftLength& learned) {
  CheckGeneration(prompt, options, target.context() - target.position());
  if (speculation.draft_length < 1 || speculation.draft_length > kMaxDraftLength) {
    Fail(ErrorKind::kUsage, "-k {}: a draft has 1 to {} tokens; give another", speculation.draft_length,
         kMaxDraftLength);
  }
  Emitter emitter(options, tokenizer, on_token, target.context());
  Rng rng(options.seed);
  std::vector<Token> text(prompt.begin(), prompt.end());
  if (speculation.adaptive) {
    PrepareDrafter(drafter, prompt, options, learned);
    learned.BeginText();
  } else {
    drafter.Prepare(prompt);
  }
  const std::span<const float> first = target.Forward(prompt, Logits::kLast);
  text.push_back(ChooseToken(target, first, options.sampling, rng));
  Stopwatch watch;
  SpeculationRound round;
  int asked = 0;
  // Begins the next round's burst; `untaken` tokens of the text are still to be told.
  const auto begin = [&](int untaken) {
    // A round decodes the newest token and its guesses, and gives at most one token more than guesses.
    const int most =
        std::min({speculation.draft_length, target.context() - target.position() - 1, emitter.left() - untaken - 1});
    asked = speculation.adaptive ? learned.Choose(most) : most;
    round.other_seconds += watch.Restart();
    if (asked < 1) return;
    drafter.Begin(text, asked, options.sampling, rng);
    round.draft_seconds += watch.Restart();
  };
  bool more = emitter.Emit(text.back(), target.position());
  if (more) begin(0);
  while (more) {
    Draft draft;
    if (asked > 0) {
      draft = drafter.Take();
      round.draft_seconds += watch.Restart();
      round.evidence = draft.evidence;
    }
    const int before = target.position();
    const Verification verification = VerifyRound(target, text.back(), draft, options.sampling, rng, watch, round);
    if (speculation.adaptive) learned.Add(asked, round);
    SpeculationRound& done = rounds.emplace_back(std::exchange(round, {}));
    const size_t told = text.size();
    bool ends = false;
    for (int i = 0; i <= verification.accepted && !ends; ++i) {
      text.push_back(i < verification.accepted ? draft.tokens[static_cast<size_t>(i)] : verification.next);
      ends = emitter.EndOf(text.back(), before + 1 + i, i + 1).has_value();
    }
    // A drafter elsewhere has the time until the next round.
    if (!ends) begin(static_cast<int>(text.size() - told));
    for (size_t i = told; i < text.size() && more; ++i) {
      more = emitter.Emit(text[i], before + 1 + static_cast<int>(i - told));
    }
    done.other_seconds += watch.Restart();
    if (!more) done.other_seconds += round.draft_seconds + round.other_seconds;  // of a burst for nothing
  }
  return emitter.Finish();
}

Generation GenerateSpeculatively(Session& target, Drafter& drafter, std::span<const Token> prompt,
                                 const GenerateOptions& options, const SpeculationOptions& speculation,
                                 const Tokenizer& tokenizer, const OnToken& on_token,
                                 std::vector<SpeculationRound>& rounds) {
  DraftLength learned(kMaxDraftLength);
  return GenerateSpeculatively(target, drafter, prompt, options, speculation, tokenizer, on_token, rounds, learned);
}

}  // namespace assay
