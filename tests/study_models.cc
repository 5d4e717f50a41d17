#include "study_models.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cctype>
#include <optional>

#include "gguf/gguf.h"
#include "forge/quantize.h"

namespace assay {
namespace {

namespace fs = std::filesystem;

class TemporaryFolder {
 public:
  TemporaryFolder() : path_(fs::path(::testing::TempDir()) / ("assay-rungs-" + std::to_string(getpid()))) {
    fs::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::optional<fs::path> HalfPrecisionFile(const StudyModel& model) {
  for (const fs::path& folder : {Bundled(""), Bundled("") / "../../shared/models"}) {
    fs::path file = folder / (model.name + ".gguf");
    if (fs::exists(file)) return file;
  }
  return std::nullopt;
}

}  // namespace

fs::path TemporaryPath(const std::string& name) {
  static const TemporaryFolder folder;
  return folder.path() / name;
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

std::vector<Rung> RungsOf(const StudyModel& model) {
  std::vector<Rung> rungs;
  for (const RungTraits& rung : Rungs()) {
    if (rung.rung != Rung::kF16 || HalfPrecisionFile(model)) rungs.push_back(rung.rung);
  }
  return rungs;
}

fs::path RungFile(const StudyModel& model, Rung rung) {
  const std::optional<fs::path> half = HalfPrecisionFile(model);
  if (rung == Rung::kF16) return half.value();
  const fs::path bundled = Bundled(model.name + "-Q8_0.gguf");
  if (rung == Rung::kQ8_0 && fs::exists(bundled)) return bundled;
  fs::path file = TemporaryPath(model.name + "-" + std::string(TraitsOf(rung).name) + ".gguf");
  if (fs::exists(file)) return file;
  QuantizeOptions options;
  options.threads = 2;
  QuantizeModel(GgufFile::Open(half ? *half : bundled), file, rung, options);
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
