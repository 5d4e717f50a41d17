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
  // `warm`: behind other drafts. A cold one counts until a warm one was seen.
  void AddVerify(int tokens, double seconds, bool warm);
  // The drafter read a prompt: what reading costs until it is seen amid drafts.
  void AddPrompt(int tokens, double seconds);
  // A draft of so many guesses that took so long, reading `unread` tokens of the text first.
  void AddReading(int unread, int guesses, double seconds);

  // Of a draft behind one that was taken whole, whose last guess the drafter has still to read.
  void AddAfterWhole(int guesses, double seconds);
  // A text went by without drafts: what is known of them gets older.
  void Age();

  // Steps and guesses enough to say what a round would cost.
  bool known() const;
  bool knows_plain() const;   // well
  int WantedGuesses() const;  // until a guess is known well

  double plain() const { return plain_.value(); }
  double guess() const { return guess_.value(); }
  double after_whole() const { return after_whole_.value(); }  // what that reading takes
  // One token is a plain step. Batches not seen yet are guessed a little low.
  double Verify(int tokens) const;
  // What may be hoped for, so that batches get seen where it matters: the guess as long as few were, and those perhaps
  // with the caches cold. Between whole numbers linearly.
  double HopedVerify(double tokens) const;
  // What a drafter takes to read text that went by without it.
  double Reading(int unread) const;

 private:
  // So many values in a row on one side of the median are a change and no noise. Plain steps are dear in a row while
  // the caches hold something else, and cost nothing to wait for.
  static constexpr int kChangeValues = 3, kPlainChangeValues = 10;

  class Recent {
   public:
    explicit Recent(int change_values) : change_values_(change_values) {}
    void Add(double x);
    void ForgetOldest();  // but for the last one
    void Clear() { values_.clear(); }
    size_t count() const { return values_.size(); }
    double value() const { return median_; }

   private:
    int change_values_;
    std::vector<double> values_;  // oldest first
    double median_ = 0.0;
  };

  struct Batch {
    Recent seconds{kChangeValues};
    bool warm = false;
  };
  const Recent& OfBatch(int tokens) const { return verify_[static_cast<size_t>(tokens)].seconds; }
  // What of a draft's time was reading: no token takes longer to read than a guess, whatever a hiccup of the clock
  // says.
  double ReadingOf(int tokens, int guesses, double seconds) const;
  double HopedBatch(int tokens) const;
  double FromNeighbours(int tokens) const;

  Recent plain_, guess_, after_whole_;
  std::vector<Batch> verify_;                  // [tokens]
  double reading_seconds_ = 0.0, read_ = 0.0;  // of tokens; older ones count less
};

}  // namespace assay
