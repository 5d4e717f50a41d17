#include "study_models.h"

#include <cctype>

#include "base/testing/temporary_directory.h"
#include "forge/quantize.h"
#include "gguf/gguf.h"

namespace assay {
namespace {

namespace fs = std::filesystem;

// The file that the repository has of the model, at F16 or Q8_0: the source of all rungs.
fs::path SourceFile(const StudyModel& model) {
  fs::path half = Bundled(model.name + ".gguf");
  return fs::exists(half) ? half : Bundled(model.name + "-Q8_0.gguf");
}

}  // namespace

fs::path TemporaryPath(const std::string& name) {
  static const TemporaryDirectory folder;
  return folder / name;
}

fs::path Bundled(const std::string& name) { return fs::path(ASSAY_SOURCE_DIR) / "models" / name; }

std::span<const StudyModel> StudyModels() {
  static const std::vector<StudyModel> models = {{"tiny-qwen35", "tiny-qwen35-draft.gguf"},
                                                 {"tiny-qwen35moe", ""},
                                                 {"tiny-gemma3", ""},
                                                 {"tiny-qwen3", ""},
                                                 {"tiny-llama", ""}};
  return models;
}

std::vector<Rung> UsualRungs() {
  std::vector<Rung> rungs;
  for (const RungTraits& rung : Rungs()) {
    if (rung.usual) rungs.push_back(rung.rung);
  }
  return rungs;
}

fs::path RungFile(const StudyModel& model, Rung rung) {
  const fs::path source = SourceFile(model);
  const bool is_half = source == Bundled(model.name + ".gguf");
  if (rung == (is_half ? Rung::kF16 : Rung::kQ8_0)) return source;
  fs::path file = TemporaryPath(model.name + "-" + std::string(TraitsOf(rung).name) + ".gguf");
  if (fs::exists(file)) return file;
  QuantizeOptions options;
  options.threads = 2;
  QuantizeModel(GgufFile::Open(source), file, rung, options);
  return file;
}

fs::path DraftFile(const StudyModel& model) {
  return model.draft.empty() ? RungFile(model, Rung::kQ2_K) : Bundled(model.draft);
}

std::string TestName(std::string name) {
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

}  // namespace assay
