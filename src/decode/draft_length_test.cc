// The draft-length chooser against simulated machines and models. A world gives what everything costs and how often
// guesses are taken; the chooser sees its clock with noise, and is judged by what things truly cost.

#include "decode/draft_length.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "base/rng.h"

namespace assay {
namespace {

constexpr int kMaxDraft = 16;

struct World {
  std::string name;
  // Of the guess at a place of a draft, from 1 on, that begins after so many tokens of a text.
  std::function<double(int text, int token, int place)> acceptance;
  double guess;                       // seconds; a plain step takes one
  std::function<double(int)> verify;  // of so many tokens
  double reading = 0.0;               // of a token that went by
  double caches = 0.0;    // that a plain step behind a draft takes longer; each further one three fifths of it
  double cold = 0.0;      // share that the first draft behind plain steps takes longer, and the second by half of it
  double sure = 1.0;      // how often the drafter makes the next guess
  double noise = 0.03;    // of the logarithm of each time that the clock shows
  double hiccups = 0.0;   // share of the times that are 2 to 10 times as long
  double slower = 1.0;    // so many times as long takes everything in each other 150 tokens of the run
  double of_best = 0.95;  // what is promised, of the rate of the best constant length
  double of_plain = 0.97;
  double of_best_in_one = 0.94;  // in one long text, that has to learn all
};

std::function<double(int, int, int)> Always(double acceptance) {
  return [=](int, int, int) { return acceptance; };
}
std::function<double(int, int, int)> ChangesAt(int token, double before, double after) {
  return [=](int, int now, int) { return now < token ? before : after; };
}
std::function<double(int, int, int)> Alternates(double even, double odd) {
  return [=](int text, int, int) { return text % 2 == 0 ? even : odd; };
}
std::function<double(int)> EachFurther(double seconds) {
  return [=](int tokens) { return 1.0 + seconds * (tokens - 1); };
}

// The two models evict each other.
World InCaches(World world) {
  world.name += ", in caches";
  world.caches = 0.7;
  world.of_plain = 0.965;
  return world;
}
// Where the plain steps left the caches, drafts are dear.
World FromCold(World world) {
  world.name += ", cold";
  world.cold = 0.4;
  world.of_plain = 0.955;
  world.of_best_in_one = 0.7;
  return world;
}
World Unsure(World world, double sure) {
  world.sure = sure;
  return world;
}
// A machine with other work to do; with such a clock the promises are smaller.
World Noisy(World world) {
  world.name += ", noisy";
  world.noise = 0.2;
  world.hiccups = 0.03;
  world.of_best = 0.9;
  world.of_plain = 0.945;
  return world;
}
World ChangingSpeed(World world) {
  world.name += ", the machine's speed changes";
  world.slower = 2.0;
  world.of_best = 0.93;
  world.of_best_in_one = 0.9;
  return world;
}
World Promised(World world, double of_best) {
  world.of_best = of_best;
  return world;
}

// Of all kinds that do not change within a text.
std::vector<World> SteadyWorlds() {
  const auto falls = [](int, int, int place) { return std::max(0.05, 0.95 - 0.15 * place); };
  const auto rises = [](int, int, int place) { return place == 1 ? 0.6 : 0.95; };
  const auto first_is_dear = [](int tokens) { return tokens == 1 ? 1.0 : 1.5 + 0.02 * tokens; };
  const auto cliff = [](int tokens) { return (tokens <= 5 ? 1.0 : 2.5) + 0.03 * tokens; };
  const auto flat = [](int tokens) { return tokens == 1 ? 1.0 : 1.1 + 0.1 * tokens; };
  const auto bundled = [](int tokens) { return tokens == 1 ? 1.0 : 1.3 + 0.2 * tokens; };
  const World good = {"cheap and good", Always(0.8), 0.1, EachFurther(0.05)};
  const World useless = {"useless, reading costs", Always(0.0), 0.3, EachFurther(0.1), 0.05};
  return {
      good,
      Noisy(good),
      ChangingSpeed(good),
      InCaches(good),
      {"cheap and fair", Always(0.6), 0.2, EachFurther(0.1)},
      {"fair by half", Always(0.5), 0.2, EachFurther(0.1)},
      {"tiny and great", Always(0.9), 0.05, EachFurther(0.02)},
      {"tiny and poor", Always(0.3), 0.02, EachFurther(0.03)},
      {"dear and great", Always(0.95), 0.5, EachFurther(0.05)},
      {"dear and good", Always(0.8), 0.4, EachFurther(0.05)},
      {"cheap and useless", Always(0.0), 0.2, EachFurther(0.1)},
      {"tiny and useless", Always(0.0), 0.03, EachFurther(0.03)},
      ChangingSpeed({"cheaper and useless", Always(0.0), 0.1, EachFurther(0.05)}),
      {"dear and useless", Always(0.0), 0.4, EachFurther(0.1)},
      {"cheap and bad", Always(0.1), 0.1, EachFurther(0.05)},
      {"dear and poor", Always(0.3), 0.5, EachFurther(0.3)},
      {"slower than its target", Always(0.9), 2.0, EachFurther(1.0)},
      {"as slow as its target", Always(0.5), 0.9, EachFurther(0.9)},
      {"good, reading costs", Always(0.8), 0.1, EachFurther(0.05), 0.05},
      {"good, reading costs little", Always(0.7), 0.1, EachFurther(0.05), 0.02},
      {"fair, reading costs", Always(0.6), 0.2, EachFurther(0.1), 0.05},
      Noisy({"fair, reading costs little", Always(0.6), 0.2, EachFurther(0.1), 0.02}),
      Noisy({"bad, reading costs little", Always(0.1), 0.1, EachFurther(0.05), 0.02}),
      useless,
      Noisy(useless),
      InCaches({"as the bundled models on text", Always(0.7), 0.5, bundled}),
      Promised(InCaches({"as the bundled models on code", Always(0.94), 0.5, bundled}), 0.94),
      InCaches({"cheap and bad", Always(0.2), 0.2, EachFurther(0.1)}),
      FromCold(good),
      Promised(FromCold({"as the bundled models on math", Always(0.94), 0.36, flat}), 0.93),
      Promised(FromCold({"as the bundled models on text", Always(0.8), 0.36, flat}), 0.93),
      FromCold({"cheap and useless", Always(0.0), 0.2, EachFurther(0.1)}),
      {"acceptance falls along a draft", falls, 0.08, EachFurther(0.04)},
      Promised({"acceptance rises along a draft", rises, 0.08, EachFurther(0.04)}, 0.93),
      {"a second token is dear, more are not", Always(0.85), 0.03, first_is_dear},
      {"a sixth token is dear", Always(0.9), 0.03, cliff},
      Unsure({"often unsure", Always(0.9), 0.1, EachFurther(0.05)}, 0.6),
      Unsure({"n-grams", Always(0.6), 0.0005, EachFurther(0.05)}, 0.3),
      Unsure({"useless n-grams", Always(0.1), 0.0005, EachFurther(0.15)}, 0.5),
  };
}

std::vector<World> ChangingWorlds() {
  return {
      {"falls within texts", ChangesAt(30, 0.9, 0.0), 0.1, EachFurther(0.05)},
      {"falls within texts, reading costs", ChangesAt(30, 0.9, 0.0), 0.1, EachFurther(0.05), 0.05},
      {"rises within texts", ChangesAt(30, 0.0, 0.9), 0.1, EachFurther(0.05)},
      {"rises within texts, reading costs", ChangesAt(30, 0.1, 0.9), 0.1, EachFurther(0.05), 0.05},
      {"changes from text to text", Alternates(0.85, 0.0), 0.1, EachFurther(0.05)},
      {"changes from text to text, reading costs", Alternates(0.85, 0.05), 0.15, EachFurther(0.05), 0.05},
  };
}

struct Spent {
  double tokens = 0.0, seconds = 0.0;
  double rate() const { return tokens / seconds; }
  void Add(const Spent& other) {
    tokens += other.tokens;
    seconds += other.seconds;
  }
};

// Texts one after the other, of one chooser or with a constant length.
class Simulation {
 public:
  Simulation(const World& world, uint64_t seed) : world_(world), luck_(seed), clock_(seed + 1000000) {}

  // What each round spent.
  std::vector<Spent> Text(int tokens, DraftLength* chooser, int constant) {
    std::vector<Spent> rounds;
    if (chooser != nullptr) {
      chooser->AddPrompt(50, Shown(50.0 * world_.reading));
      for (int i = chooser->WantedTrials(); i > 0; --i) chooser->AddTrial(Shown(world_.guess));
      chooser->BeginText();
    }
    int unread = 0, row = 0;
    bool drafted = false, whole = false;
    for (int token = 0; token < tokens;) {
      const int most = tokens - token - 1;
      const int asked = chooser != nullptr ? chooser->Choose(most) : std::min(constant, most);
      SpeculationRound round;
      while (round.drafted < asked && luck_.Uniform() < world_.sure) ++round.drafted;
      while (round.accepted < round.drafted && luck_.Uniform() < world_.acceptance(text_, token, round.accepted + 1)) {
        ++round.accepted;
      }
      if (asked > 0) drafted = true;
      double verify = world_.verify(round.drafted + 1);
      if (asked == 0 && drafted) verify += world_.caches * std::pow(0.6, unread);
      // Behind a draft that was taken whole its last guess is still to be read.
      const double reading = unread > 0 ? unread * world_.reading : whole ? 0.5 * world_.guess : 0.0;
      double draft = asked > 0 ? std::min(asked, round.drafted + 1) * world_.guess + reading : 0.0;
      row = asked > 0 ? row + 1 : 0;
      if (row == 1 || row == 2) {
        draft *= 1.0 + world_.cold / row;
        verify *= 1.0 + world_.cold / row;
      }
      round.verify_seconds = Shown(verify);
      if (asked > 0) round.draft_seconds = Shown(draft);
      if (chooser != nullptr) chooser->Add(asked, round);
      whole = round.drafted > 0 && round.accepted == round.drafted;
      unread = asked > 0 ? 0 : unread + 1;
      rounds.push_back({round.accepted + 1.0, verify + draft});
      token += round.accepted + 1;
      tokens_ += round.accepted + 1;
    }
    ++text_;
    return rounds;
  }

 private:
  double Shown(double seconds) {
    seconds *= std::exp(world_.noise * clock_.Normal());
    if (clock_.Uniform() < world_.hiccups) seconds *= 2.0 + 8.0 * clock_.Uniform();
    return tokens_ / 150 % 2 == 0 ? seconds : world_.slower * seconds;
  }

  const World& world_;
  Rng luck_, clock_;
  int text_ = 0, tokens_ = 0;
};

Spent Sum(const std::vector<Spent>& rounds, size_t first = 0) {
  Spent sum;
  for (size_t i = first; i < rounds.size(); ++i) sum.Add(rounds[i]);
  return sum;
}

struct Best {
  double rate = 0.0;
  double tokens_per_round = 1.0;
};

// In texts of so many tokens.
Best BestConstantLength(const World& world, int text_tokens) {
  Best best;
  for (int k = 0; k <= kMaxDraft; ++k) {
    Simulation run(world, 1);
    Spent sum;
    double rounds = 0.0;
    while (sum.tokens < 15000.0) {
      const std::vector<Spent> text = run.Text(text_tokens, nullptr, k);
      sum.Add(Sum(text));
      rounds += static_cast<double>(text.size());
    }
    if (sum.rate() > best.rate) best = {sum.rate(), sum.tokens / rounds};
  }
  return best;
}

// For each text of a run, the mean over many runs.
std::vector<Spent> Texts(const World& world, int texts, int tokens) {
  constexpr int kRuns = 150;
  std::vector<Spent> sums(static_cast<size_t>(texts));
  for (uint64_t seed = 1; seed <= kRuns; ++seed) {
    Simulation run(world, seed);
    DraftLength chooser(kMaxDraft);
    for (Spent& sum : sums) sum.Add(Sum(run.Text(tokens, &chooser, 0)));
  }
  return sums;
}

TEST(DraftLength, NoTextIsSlowerThanPlainDecodingByMoreThanThreePercent) {
  std::vector<World> worlds = SteadyWorlds();
  for (World& world : ChangingWorlds()) worlds.push_back(std::move(world));
  for (const World& world : worlds) {
    for (const int tokens : {20, 30, 200}) {
      const std::vector<Spent> texts = Texts(world, 4, tokens);
      for (size_t i = 0; i < texts.size(); ++i) {
        // What a way back to plain steps costs is known once one was taken.
        if (i == 0 && tokens < 200 && world.caches > 0.0) continue;
        EXPECT_GE(texts[i].rate(), world.of_plain) << world.name << ", " << tokens << " tokens, text " << i + 1;
      }
    }
  }
}

// What follows the first thirty rounds of a run.
double LaterRate(const World& world, int texts, int tokens) {
  Spent later;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Simulation run(world, seed);
    DraftLength chooser(kMaxDraft);
    size_t before = 0;
    for (int text = 0; text < texts; ++text) {
      const std::vector<Spent> rounds = run.Text(tokens, &chooser, 0);
      later.Add(Sum(rounds, std::min(rounds.size(), 30 - std::min<size_t>(before, 30))));
      before += rounds.size();
    }
  }
  return later.rate();
}

TEST(DraftLength, AfterThirtyRoundsItIsNearTheBestConstantLength) {
  for (const World& world : SteadyWorlds()) {
    const double per_round = BestConstantLength(world, 8000).tokens_per_round;
    const auto texts_of = [&](int rounds) { return static_cast<int>(std::lround(rounds * per_round)); };
    const int thirty = texts_of(30);
    EXPECT_GE(LaterRate(world, 12, thirty), world.of_best * BestConstantLength(world, thirty).rate)
        << world.name << ", texts of 30 rounds";
    // Where reading a token takes more than may be lost for it, a text whose first tries fail goes on without.
    const double of_best = world.reading > 0.0 ? 0.83 : std::min(world.of_best_in_one, world.of_best - 0.01);
    const int long_text = texts_of(230);
    EXPECT_GE(LaterRate(world, 1, long_text), of_best * BestConstantLength(world, long_text).rate)
        << world.name << ", one text of 230 rounds";
  }
}

TEST(DraftLength, OldGainsDoNotPayForNewLosses) {
  constexpr double kRuns = 50.0;
  for (const double reading : {0.0, 0.05}) {
    const World world{"", ChangesAt(1000, 0.9, 0.0), 0.1, EachFurther(0.05), reading};
    Spent good, useless;
    for (uint64_t seed = 1; seed <= kRuns; ++seed) {
      Simulation run(world, seed);
      DraftLength chooser(kMaxDraft);
      double tokens = 0.0;
      for (const Spent& round : run.Text(1500, &chooser, 0)) {
        (tokens < 1000.0 ? good : useless).Add(round);
        tokens += round.tokens;
      }
    }
    EXPECT_GT(good.rate(), 2.0);
    // Of hundreds of plain steps that were won the budget keeps eight; they and the share may be lost, and the clock's
    // noise of 3%.
    EXPECT_LE(useless.seconds - useless.tokens, kRuns * 8.0 + (0.025 + 0.003) * useless.tokens);
  }
}

TEST(DraftLength, DraftsAgainWhenGuessesBecomeGood) {
  const World world{"", ChangesAt(500, 0.0, 0.85), 0.1, EachFurther(0.05)};
  Spent good;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Simulation run(world, seed);
    DraftLength chooser(kMaxDraft);
    double tokens = 0.0;
    for (const Spent& round : run.Text(1500, &chooser, 0)) {
      tokens += round.tokens;
      if (tokens >= 750.0) good.Add(round);
    }
  }
  EXPECT_GT(good.rate(), 0.9 * BestConstantLength({"", Always(0.85), 0.1, EachFurther(0.05)}, 10000).rate);
}

SpeculationRound Round(int drafted, int accepted, double draft_seconds, double verify_seconds) {
  SpeculationRound round;
  round.drafted = drafted;
  round.accepted = accepted;
  round.draft_seconds = draft_seconds;
  round.verify_seconds = verify_seconds;
  return round;
}

TEST(DraftLength, ReadingWhatWentByIsNotChargedToAGuess) {
  DraftLength chooser(kMaxDraft);
  chooser.AddPrompt(50, 1.0);
  for (int i = 0; i < 3; ++i) chooser.AddTrial(0.1);
  chooser.BeginText();
  for (int i = 0; i < 200; ++i) chooser.Add(0, Round(0, 0, 0.0, 1.0));
  const int k = chooser.Choose(kMaxDraft);
  ASSERT_GT(k, 0);
  // Two hundred tokens to read, at 0.02 each: a guess seemed to cost 40 times as much.
  chooser.Add(k, Round(k, k, 4.0 + 0.1 * k, 1.0 + 0.05 * k));
  EXPECT_GT(chooser.Choose(kMaxDraft), 0);
}

TEST(DraftLength, WhatIsLearnedLivesFromTextToText) {
  DraftLength chooser(kMaxDraft);
  EXPECT_GT(chooser.WantedTrials(), 0);
  for (int i = 0; i < 3; ++i) chooser.AddTrial(0.1);
  chooser.BeginText();
  EXPECT_EQ(chooser.Choose(kMaxDraft), 0);  // what a plain step takes is not known
  for (int round = 0; round < 60; ++round) {
    const int k = chooser.Choose(kMaxDraft);
    chooser.Add(k, Round(k, k, 0.1 * k, 1.0 + 0.05 * k));
  }
  EXPECT_EQ(chooser.WantedTrials(), 0);
  chooser.BeginText();
  EXPECT_GT(chooser.Choose(kMaxDraft), 3);
}

// A draft of which nothing is known but what a guess costs: a text that turns out short must not pay for it.
TEST(DraftLength, DoesNotTryWhatTheTextCannotAfford) {
  DraftLength chooser(kMaxDraft);
  for (int i = 0; i < 3; ++i) chooser.AddTrial(0.5);
  chooser.BeginText();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(chooser.Choose(kMaxDraft), 0);
    chooser.Add(0, Round(0, 0, 0.0, 1.0));
  }
}

}  // namespace
}  // namespace assay
