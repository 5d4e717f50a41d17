#pragma once

#include <vector>

#include "decode/learned_acceptance.h"
#include "decode/learned_costs.h"
#include "decode/round.h"

namespace assay {

// Chooses how many tokens to draft, 0 to max_draft, from what rounds have cost and how often guesses were taken so far.
// It learns from text to text: keep one for all texts of a pair of models.
//
// The k whose round gives the most tokens a second is taken, 0 (plain decoding) among them; what was not tried yet is
// believed to be good. That alone may lose time, so each text has a budget, in plain steps: a round is taken only if
// the budget covers what it loses when all guesses are refused, with the reading that it makes necessary and the way
// back to plain steps, which are dear behind a draft where two models share the caches. The budget
// begins with a share of the tokens that texts have had lately, and grows with this one's; what rounds win is added,
// but never kept beyond a limit, so that old gains do not pay for new losses. So no text is slower than plain decoding
// by more than the share, as far as costs are known.
class DraftLength {
 public:
  explicit DraftLength(int max_draft);

  // Before a text: what the drafter took to read its prompt, and what each of the guesses took that are wanted.
  void AddPrompt(int tokens, double drafter_seconds) { costs_.AddPrompt(tokens, drafter_seconds); }
  int WantedTrials() const { return costs_.WantedGuesses(); }
  void AddTrial(double seconds) { costs_.AddGuess(seconds); }

  void BeginText();
  int Choose(int most) const;  // `most` or fewer
  // A round is over that was asked for `asked` guesses; with 0 it was a plain step.
  void Add(int asked, const SpeculationRound& round);

 private:
  void Learn(int asked, const SpeculationRound& round);
  void LearnPlain(double seconds);
  double MostLost(int guesses) const;  // by a round, in plain steps
  bool Affords(int guesses) const;
  void Pay(double steps);

  int max_draft_;
  LearnedCosts costs_;
  LearnedAcceptance acceptance_;
  int since_plain_ = 0;          // rounds
  std::vector<double> lengths_;  // of the latest texts, in tokens
  double switch_ = 0.0;          // what going back from drafts to plain steps costs, in those
  bool knows_switch_ = false;
  // Of this text.
  double tokens_ = 0.0;
  int unread_ = 0;            // tokens that went by without the drafter, in plain steps in a row
  int row_ = 0;               // rounds with drafts in a row
  bool after_draft_ = false;  // there was a draft before those
  double returning_ = 0.0;    // seconds of the first of them
  double granted_ = 0.0;      // plain steps that may be lost in all
  double budget_ = 0.0;       // what is left of them, and what was won
};

}  // namespace assay
