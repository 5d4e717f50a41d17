#pragma once

#include "base/clock.h"
#include "decode/verify.h"
#include "engine/session.h"

namespace assay {

// One round of speculation: the guesses made and taken, and where its time went. A round without guesses is a plain
// step. The parts follow one another without a gap: those of all rounds of a text sum to its decode_seconds.
struct SpeculationRound {
  int drafted = 0;
  int accepted = 0;
  double draft_seconds = 0.0;   // asking the drafter, and waiting for it
  double verify_seconds = 0.0;  // the target decodes the newest token and the guesses
  double settle_seconds = 0.0;  // makes the round before final, and drops this one's refused guesses
  double sample_seconds = 0.0;  // checks the logits and chooses tokens
  double other_seconds = 0.0;   // choosing the draft's length, telling the caller of tokens, book-keeping
  DraftEvidence evidence = {};  // of the burst; nobody's when none was asked for

  // What the target's side of the round costs.
  double TargetSeconds() const { return verify_seconds + settle_seconds + sample_seconds; }
};

// What a round does with a draft, and what measuring its cost must do: settles what the session holds, decodes the
// newest token and the guesses, judges them, and goes back to the last one taken. Without guesses it does what
// Generate() does for a token, at its cost. Restarts `watch` at the end of each part and adds the part to `round`,
// where it also counts the guesses. Throws kInvalid for logits that are not finite.
Verification VerifyRound(Session& target, Token newest, const Draft& draft, const SamplingOptions& sampling, Rng& rng,
                         Stopwatch& watch, SpeculationRound& round);

}  // namespace assay
