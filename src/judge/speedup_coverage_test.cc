// How often the verdicts on speed-ups are wrong in worlds where the truth is known, and how often they find what is
// there.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/rng.h"
#include "judge/intervals.h"
#include "judge/speedup.h"
#include "judge/statistics.h"
#include "judge/testing/worlds.h"

namespace assay {
namespace {

struct World {
  std::string name;
  double prompts_differ = 0.0;  // standard deviation of a prompt's own logarithm of the speed-up
  double scatter = 0.02;        // of a text's time
  bool heavy = false;           // both of them with heavy tails
  bool hiccups = false;
  double drift = 0.0;  // the machine slows down by this over the run
};

const std::vector<World> kWorlds = {
    {"repetitions scatter by 2%"},
    {"prompts differ by 10%", 0.10},
    {"heavy tails", 0.05, 0.02, true},
    {"hiccups", 0.0, 0.02, false, true},
    {"drift of 30%", 0.05, 0.02, false, false, 0.3},
};

double Noise(Rng& rng, const World& world) { return world.heavy ? HeavyTail(rng) / std::sqrt(3.0) : rng.Normal(); }

double Seconds(Rng& rng, const World& world) {
  return world.hiccups ? NoisySeconds(rng, world.scatter) : std::exp(world.scatter * Noise(rng, world));
}

TimedText Text(double seconds) {
  TimedText text;
  text.tokens = {1, 2};
  text.decode_seconds = seconds;
  return text;
}

// One cell for each true speed-up; each turn has a baseline that they share.
std::vector<std::vector<PairedText>> Measure(Rng& rng, const World& world, size_t prompts, int repetitions,
                                             const std::vector<double>& truths) {
  std::vector<std::vector<PairedText>> cells(truths.size());
  std::vector<std::vector<double>> own(truths.size());
  for (std::vector<double>& of_prompts : own) {
    for (size_t prompt = 0; prompt < prompts; ++prompt) of_prompts.push_back(world.prompts_differ * Noise(rng, world));
  }
  double pace = 1.0;
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    for (size_t prompt = 0; prompt < prompts; ++prompt) {
      pace += world.drift / static_cast<double>(prompts) / repetitions;
      const double baseline = pace * Seconds(rng, world);
      for (size_t k = 0; k < truths.size(); ++k) {
        const double taken = pace * Seconds(rng, world) / truths[k] / std::exp(own[k][prompt]);
        cells[k].push_back({prompt, repetition, 0, Text(baseline), Text(taken)});
      }
    }
  }
  return cells;
}

SpeedupJudgement Judge(const std::vector<std::vector<PairedText>>& cells) {
  std::vector<LengthSpeedup> lengths;
  for (size_t i = 0; i < cells.size(); ++i) lengths.push_back({std::to_string(i), SpeedupLogs(cells[i])});
  return JudgeSpeedups("pair", lengths, 0.0);
}

bool SaysSomething(const SpeedupJudgement& judgement) {
  return std::ranges::any_of(judgement.verdicts,
                             [](const Verdict& v) { return v.outcome == "better" || v.outcome == "worse"; });
}

// Yesterday's rule: a percentile bootstrap over all pairs of texts, repetitions among them as if independent; of the
// length with the highest lower end.
bool YesterdaySaysSomething(Rng& rng, const std::vector<std::vector<PairedText>>& cells) {
  constexpr int kResamples = 400;
  Interval best{-1e9, 0.0};
  for (const std::vector<PairedText>& texts : cells) {
    std::vector<double> speedups;
    for (int i = 0; i < kResamples; ++i) {
      double baseline = 0.0;
      double speculative = 0.0;
      for (size_t drawn = 0; drawn < texts.size(); ++drawn) {
        const PairedText& text = texts[static_cast<size_t>(rng.Uniform() * static_cast<double>(texts.size()))];
        baseline += text.baseline.decode_seconds;
        speculative += text.speculative.decode_seconds;
      }
      speedups.push_back(baseline / speculative);
    }
    const Interval ends{Quantile(speedups, 0.025), Quantile(speedups, 0.975)};
    if (ends.low > best.low) best = ends;
  }
  return best.low > 1.0 || best.high < 1.0;
}

void Report(const char* what, const World& world, size_t prompts, int repetitions, size_t lengths, const Rate& rate) {
  fmt::print("{:>22} | {:<26} | {:>3} prompts x {} | {} lengths | {:5.1f}%\n", what, world.name, prompts, repetitions,
             lengths, 100.0 * rate.value());
}

TEST(SpeedupCoverageTest, NothingIsSaidOfNothingInMoreThanOneSentenceOfTwenty) {
  struct Design {
    int repetitions;
    size_t lengths;
  };
  Rate all;
  for (const World& world : kWorlds) {
    for (const size_t prompts : {2, 4, 8, 20, 100}) {
      for (const Design& design : {Design{1, 1}, Design{3, 1}, Design{3, 3}}) {
        const std::vector<double> nothing(design.lengths, 1.0);
        const Rate rate = RateOf(300, prompts, [&](Rng& rng) {
          const SpeedupJudgement judgement = Judge(Measure(rng, world, prompts, design.repetitions, nothing));
          return SaysSomething(judgement) || judgement.best.outcome != (design.lengths > 1 ? "none" : "");
        });
        EXPECT_LE(rate.value(), rate.limit()) << world.name << ", " << prompts << " x " << design.repetitions;
        if (prompts == 8) Report("false", world, prompts, design.repetitions, design.lengths, rate);
        if (prompts > 2) {
          all.wrong += rate.wrong;
          all.trials += rate.trials;
        }
      }
    }
  }
  EXPECT_LE(all.value(), all.limit()) << "over all worlds, where a small excess would show";
}

// All lengths gain the same: which one is best is nothing.
TEST(SpeedupCoverageTest, ABestLengthIsNamedFalselyInOneSentenceOfTwentyAtMost) {
  for (const World& world : kWorlds) {
    for (const size_t prompts : {4, 8, 20}) {
      const Rate rate = RateOf(400, prompts + 50, [&](Rng& rng) {
        return Judge(Measure(rng, world, prompts, 3, {1.5, 1.5, 1.5})).best.outcome != "none";
      });
      EXPECT_LE(rate.value(), rate.limit()) << world.name << ", " << prompts;
      if (prompts == 8) Report("false best", world, prompts, 3, 3, rate);
    }
  }
}

TEST(SpeedupCoverageTest, YesterdaysRuleWasFarAboveFivePercent) {
  struct Case {
    World world;
    size_t prompts;
    int repetitions;
    size_t lengths;
    double at_least;  // what the review found, less three standard errors of 500 trials
  };
  for (const Case& c : {Case{kWorlds[0], 2, 1, 1, 0.43}, Case{kWorlds[0], 9, 1, 1, 0.07},
                        Case{kWorlds[1], 8, 3, 1, 0.26}, Case{kWorlds[1], 8, 3, 3, 0.26}}) {
    const Rate before = RateOf(500, 77, [&](Rng& rng) {
      const auto cells = Measure(rng, c.world, c.prompts, c.repetitions, std::vector<double>(c.lengths, 1.0));
      return YesterdaySaysSomething(rng, cells);
    });
    const Rate after = RateOf(500, 77, [&](Rng& rng) {
      return SaysSomething(Judge(Measure(rng, c.world, c.prompts, c.repetitions, std::vector<double>(c.lengths, 1.0))));
    });
    Report("false, yesterday", c.world, c.prompts, c.repetitions, c.lengths, before);
    Report("false, now", c.world, c.prompts, c.repetitions, c.lengths, after);
    EXPECT_GE(before.value(), c.at_least) << c.world.name << ", " << c.prompts;
    EXPECT_LE(after.value(), after.limit()) << c.world.name << ", " << c.prompts;
  }
}

TEST(SpeedupCoverageTest, WhatIsThereIsFound) {
  const World prompts_differ = kWorlds[1];
  const auto found = [&](size_t prompts, double truth) {
    const Rate rate = RateOf(500, 99, [&](Rng& rng) {
      return Judge(Measure(rng, prompts_differ, prompts, 3, {truth, truth})).verdicts[0].outcome == "better";
    });
    Report(truth > 1.2 ? "power, 1.3 times" : "power, 1.1 times", prompts_differ, prompts, 3, 2, rate);
    return rate.value();
  };
  EXPECT_GE(found(8, 1.3), 0.95);
  EXPECT_GE(found(20, 1.1), 0.80);
  found(8, 1.1);
  const Rate best = RateOf(500, 98, [&](Rng& rng) {
    return Judge(Measure(rng, prompts_differ, 8, 3, {1.2, 1.6})).best.outcome == "1";
  });
  Report("power, best of 1.2, 1.6", prompts_differ, 8, 3, 2, best);
  EXPECT_GE(best.value(), 0.90);
}

}  // namespace
}  // namespace assay
