#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "quant/rung.h"

namespace assay {

// The architectures of the study, one model each, at every rung: for tests of what holds of all of them.

struct StudyModel {
  std::string name;   // of the file, without its ending
  std::string draft;  // a bundled file that drafts for it; empty: it drafts for itself, at Q2_K
};

std::span<const StudyModel> StudyModels();

std::vector<Rung> UsualRungs();

// The model's file at a rung: made when it is first asked for from the bundled file, F16 or else Q8_0 (whose values F16
// takes with an error of 2^-12), into a folder that is removed when the test program ends.
std::filesystem::path RungFile(const StudyModel& model, Rung rung);

// The file that drafts for the model.
std::filesystem::path DraftFile(const StudyModel& model);

// A path in that folder.
std::filesystem::path TemporaryPath(const std::string& name);

// A file of the bundled models/.
std::filesystem::path Bundled(const std::string& name);

// A model's name as GoogleTest takes it for a test's.
std::string TestName(std::string name);

}  // namespace assay
