#pragma once

#include <vector>

namespace assay {

// Chooses how many tokens to draft, 0 to max_draft, from what rounds have cost and how often guesses were taken so far.
//
// With acceptance a (geometric model of Leviathan et al. 2023) a round of k guesses gives (1 - a^(k+1)) / (1 - a)
// tokens and costs k drafts and one verification of k + 1 tokens; the k of the best rate is taken, 0 (plain decoding)
// among them. Trying is budgeted: rounds that may lose time against plain decoding are taken only while the time lost
// so far stays below a share of the time spent, so that the whole is never slower than plain decoding by more than
// that.
class DraftLength {
 public:
  explicit DraftLength(int max_draft);

  int Choose() const;

  // A round is over: how many guesses were asked for, made and taken, and the seconds of drafting and verifying. A
  // round of no guesses is a plain step.
  void Record(int drafted, int accepted, double draft_seconds, double verify_seconds);

  double acceptance() const;  // running, per guess judged
  // Seconds of verifying `tokens` tokens, measured or interpolated.
  double VerifySeconds(int tokens) const;

 private:
  // A mean that forgets, weighting the newest value by at least kForget.
  struct Running {
    double value = 0.0;
    int count = 0;
    void Add(double x);
  };

  double ExpectedTokens(int k) const;
  double RoundSeconds(int k) const;

  int max_draft_;
  Running plain_;                // seconds of a plain step
  std::vector<Running> verify_;  // [tokens]
  Running draft_;                // seconds per guess
  double taken_ = 0.0, judged_ = 0.0;
  double spent_ = 0.0, lost_ = 0.0;  // seconds
};

}  // namespace assay
