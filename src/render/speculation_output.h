#pragma once

#include <span>
#include <string>
#include <vector>

#include "render/format.h"
#include "study/speculation.h"

namespace assay {

// How a study of speculative decoding is told: in the terminal and in JSON (docs/speculation.md).

struct SpeculationStudy {
  std::string target;  // path, as the user gave it
  std::string database;
  SpeculationSettings settings;
  Environment environment;
  std::vector<std::string> drafts;  // as the user gave them
  std::vector<PairResult> pairs;    // one for each draft
};

std::string SpeculationText(const SpeculationStudy& study);
Json SpeculationJson(const SpeculationStudy& study);

// A line for each guard that tripped, and for each one that warns (once where several cells warn of the same).
std::vector<std::string> InvalidLines(const SpeculationStudy& study);
std::vector<std::string> WarningLines(const SpeculationStudy& study);

}  // namespace assay
