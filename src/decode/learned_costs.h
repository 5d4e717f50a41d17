#pragma once

#include <cstddef>
#include <vector>

namespace assay {

// What the parts of speculation take, in seconds, learned from rounds as they go by. Clocks are noisy: each value is
// the median of the latest few, which forgets at once when three in a row say that the machine has changed.
class LearnedCosts {
 public:
  // Batches of up to `max_tokens` tokens.
  explicit LearnedCosts(int max_tokens);

  void AddPlain(double seconds);
  void AddGuess(double seconds) { guess_.Add(seconds); }
  void AddVerify(int tokens, double seconds);
  // The drafter read a prompt: what reading costs until it is seen amid drafts.
  void AddPrompt(int tokens, double seconds);
  // A draft of so many guesses that took so long, reading `unread` tokens of the text first.
  void AddReading(int unread, int guesses, double seconds);

  // Steps and guesses enough to say what a round would cost.
  bool known() const;
  int WantedGuesses() const;  // until a guess is known well

  double plain() const { return plain_.value(); }
  double guess() const { return guess_.value(); }
  // One token is a plain step; between whole numbers linearly. Batches not seen yet are guessed a little low, so that
  // they get seen where it matters.
  double Verify(double tokens) const;
  // What a drafter takes to read text that went by without it.
  double Reading(int unread) const;

 private:
  class Recent {
   public:
    void Add(double x);
    size_t count() const { return values_.size(); }
    double value() const { return median_; }

   private:
    std::vector<double> values_;  // oldest first
    double median_ = 0.0;
  };

  double VerifyBatch(int tokens) const;
  double FromNeighbours(int tokens) const;

  Recent plain_, guess_;
  std::vector<Recent> verify_;                 // [tokens]
  double reading_seconds_ = 0.0, read_ = 0.0;  // of tokens; older ones count less
};

}  // namespace assay
