#pragma once

#include <span>
#include <string>
#include <vector>

#include "judge/comparison.h"
#include "record/record.h"

namespace assay {

// One model on several machines: what their "throughput" runs say side by side. Nothing pairs the rounds of two
// machines, so their difference is that of two means (Estimate::Unpaired), of the logarithms of the rates. Its interval
// is of these two runs: what a machine differs by from one day to the next is in neither.

// A machine's last valid run of the model, and all that it measured last with the same settings.
struct MachineSpeeds {
  Environment environment;
  std::string backend;           // its description, threads and instructions included
  std::string cache;             // "f16"
  std::vector<RunRecord> tests;  // the last of each, in the order in which they were first measured
  int invalid = 0;               // runs that a guard found invalid, left out
  int otherwise = 0;             // valid tests with other settings that are not shown
};

struct ModelOnMachines {
  ModelIdentity model;  // the name of its file may differ from machine to machine
  std::vector<std::string> tests;
  std::vector<MachineSpeeds> machines;
};

// How many times as fast machine `a` is as machine `b`, which seems no faster, in a test; both have measured it with
// one type of cache.
struct MachinePair {
  size_t model = 0;
  size_t a = 0, b = 0;  // of the model's machines
  Compared compared;    // its name is the test; the floor: what both placebos differ by, where there are any
};

struct HardwareComparison {
  std::vector<ModelOnMachines> models;  // in the order of the runs, as their machines are
  std::vector<MachinePair> pairs;       // every two machines in every test of every model, judged together
};

// Of runs in the order in which they were stored; those of other kinds are passed over.
HardwareComparison CompareHardware(std::span<const RunRecord> runs);

// The test's run on that machine, or null.
const RunRecord* FindTest(const MachineSpeeds& machine, std::string_view test);

// "A CPU, 8 cores (0123abcd)": enough to tell machines apart.
std::string MachineName(const Environment& environment);

// "A CPU, 8 cores (0123abcd) against B CPU, 4 cores (4567cdef): in tg128 it is faster (...)."
std::string PairSentence(const ModelOnMachines& model, const MachinePair& pair);

}  // namespace assay
