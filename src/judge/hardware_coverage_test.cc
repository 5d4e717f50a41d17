// How often machines that are equally fast are told apart, and how often a difference is found.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/rng.h"
#include "judge/guards.h"
#include "judge/hardware.h"
#include "judge/statistics.h"
#include "judge/testing/worlds.h"

namespace assay {
namespace {

// What a machine's rounds are like.
struct Rounds {
  int count = 5;
  double scatter = 0.02;
};

struct World {
  std::string name;
  std::vector<Rounds> machines;
  bool heavy = false;
  bool hiccups = false;
};

const std::vector<World> kWorlds = {
    {"three alike", {{5, 0.02}, {5, 0.02}, {5, 0.02}}},
    {"a quiet and a noisy one", {{5, 0.01}, {5, 0.10}}},
    {"many quiet rounds, few noisy ones", {{20, 0.01}, {4, 0.05}}},
    {"many noisy rounds, few quiet ones", {{20, 0.05}, {4, 0.01}}},
    {"heavy tails", {{5, 0.02}, {10, 0.05}, {20, 0.02}}, true},
    {"hiccups", {{10, 0.02}, {10, 0.02}, {10, 0.05}}, false, true},
};

double Seconds(Rng& rng, const World& world, double scatter) {
  if (world.hiccups) return NoisySeconds(rng, scatter);
  return std::exp(scatter * (world.heavy ? HeavyTail(rng) / std::sqrt(3.0) : rng.Normal()));
}

// Two tests on each machine. The first machine is so many times as fast as the others.
std::vector<RunRecord> Measure(Rng& rng, const World& world, double faster) {
  std::vector<RunRecord> runs;
  for (size_t machine = 0; machine < world.machines.size(); ++machine) {
    for (const char* test : {"tg64", "pp512"}) {
      RunRecord run;
      run.kind = "throughput";
      run.test = test;
      run.environment.machine = std::to_string(machine);
      for (int round = 0; round < world.machines[machine].count; ++round) {
        const double seconds = Seconds(rng, world, world.machines[machine].scatter) / (machine == 0 ? faster : 1.0);
        run.samples.push_back({.round = round, .tokens = 1, .seconds = seconds});
      }
      runs.push_back(std::move(run));
    }
  }
  return runs;
}

bool SaysSomething(const HardwareComparison& comparison) {
  return std::any_of(comparison.pairs.begin(), comparison.pairs.end(), [](const MachinePair& pair) {
    return pair.compared.standing == Standing::kBetter || pair.compared.standing == Standing::kWorse;
  });
}

TEST(HardwareCoverageTest, EqualMachinesAreToldApartInOneTableOfTwentyAtMost) {
  for (const World& world : kWorlds) {
    const Rate rate =
        RateOf(1000, 31, [&](Rng& rng) { return SaysSomething(CompareHardware(Measure(rng, world, 1.0))); });
    fmt::print("{:>6} | {:<34} | {:5.1f}%\n", "false", world.name, 100.0 * rate.value());
    EXPECT_LE(rate.value(), rate.limit()) << world.name;
  }
}

// Student's test of two samples with one common spread, as textbooks have it first.
bool PooledTells(const RunRecord& a, const RunRecord& b) {
  const auto logs = [](const RunRecord& run) {
    std::vector<double> values;
    for (const Sample& sample : run.samples) values.push_back(std::log(sample.seconds));
    return values;
  };
  const std::vector<double> x = logs(a), y = logs(b);
  const auto n = static_cast<double>(x.size()), m = static_cast<double>(y.size());
  const double variance =
      ((n - 1.0) * std::pow(SampleSd(x), 2.0) + (m - 1.0) * std::pow(SampleSd(y), 2.0)) / (n + m - 2.0);
  return StudentTail((Mean(x) - Mean(y)) / std::sqrt(variance * (1.0 / n + 1.0 / m)), n + m - 2.0) < 0.05;
}

// At the bound of the test above, although it makes one comparison alone.
TEST(HardwareCoverageTest, ACommonSpreadWouldTellThemApartFarMoreOften) {
  const Rate rate = RateOf(1000, 31, [](Rng& rng) {
    const std::vector<RunRecord> runs = Measure(rng, kWorlds[2], 1.0);
    return PooledTells(runs[0], runs[2]);
  });
  fmt::print("{:>6} | {:<34} | {:5.1f}%\n", "pooled", kWorlds[2].name, 100.0 * rate.value());
  EXPECT_GT(rate.value(), 2.0 * rate.limit());
}

// 10% is 7.5 standard errors, 0.02 sqrt(2 / 5), and the hardest of six asks 3.9 of them at 7 degrees of freedom; 12
// comparisons are right or missed: the four with the first machine are right in nine tables of ten.
TEST(HardwareCoverageTest, WhatIsThereIsFound) {
  const Rate rate = RateOf(500, 32, [](Rng& rng) {
    const HardwareComparison comparison = CompareHardware(Measure(rng, kWorlds[0], 1.1));
    return std::all_of(comparison.pairs.begin(), comparison.pairs.end(), [](const MachinePair& pair) {
      return (pair.a != 0 && pair.b != 0) || (pair.a == 0 && pair.compared.standing == Standing::kBetter);
    });
  });
  fmt::print("{:>6} | {:<34} | {:5.1f}%\n", "power", kWorlds[0].name, 100.0 * rate.value());
  EXPECT_GE(rate.value(), 0.9);
}

}  // namespace
}  // namespace assay
