#pragma once

#include <vector>

namespace assay {

// How drafts go, place by place: whether the drafter is sure enough to make a guess there, and whether it is taken if
// those before it were. Old rounds count less and less, and what little is known of a place leans on the place before
// it, which for the first one is a good opinion of the drafter, and as much above the evidence as chance explains: what
// was not tried well is worth a try.
class LearnedAcceptance {
 public:
  explicit LearnedAcceptance(int max_draft);

  // A round in which `asked` guesses were wanted, `drafted` made and `accepted` taken.
  void Add(int asked, int drafted, int accepted);
  // A plain step went by: what is known gets older.
  void AddPlain();

  // When asking for so many guesses.
  struct Expected {
    double tokens = 1.0;   // that the round gives
    double guesses = 0.0;  // made
    double whole = 1.0;    // share of rounds in which all are taken
    double steps = 0.0;    // of the drafter: also the one that ended in no guess
  };
  // For each number of guesses from 0 on.
  std::vector<Expected> ForLengths() const;

 private:
  // Of a place in the draft.
  struct Place {
    double asked = 0.0, made = 0.0;
    double judged = 0.0, taken = 0.0;  // a guess that was asked for and not made counts as not taken
  };
  void Age(double keep);

  std::vector<Place> places_;
};

}  // namespace assay
