#include "known_models.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "model/model_spec.h"

namespace assay {
namespace {

namespace fs = std::filesystem;

fs::path Folder() {
  const char* other = std::getenv("ASSAY_KNOWN_MODELS");
  return other != nullptr ? fs::path(other) : fs::path(ASSAY_SOURCE_DIR) / "tests" / "data" / "arch";
}

nlohmann::json Read(const fs::path& path) { return nlohmann::json::parse(std::ifstream(path)); }

}  // namespace

std::vector<std::string> KnownModels() {
  const std::vector<std::string_view> architectures = KnownArchitectures();
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(Folder())) {
    if (entry.path().extension() != ".json") continue;
    const std::string architecture = Read(entry.path()).at("architecture");
    if (std::find(architectures.begin(), architectures.end(), architecture) == architectures.end()) continue;
    const std::string name = entry.path().stem().string();
    const GgufFile file = GgufFile::Open(KnownModelFile(name), TensorTypes::kStored);
    const bool computable = std::all_of(file.tensors().begin(), file.tensors().end(), [](const GgufTensor& tensor) {
      return TraitsOf(tensor.format).decode != nullptr;
    });
    if (computable) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

fs::path KnownModelFile(const std::string& name) { return Folder() / (name + ".gguf"); }

KnownAnswers AnswersOf(const std::string& name) {
  const nlohmann::json known = Read(Folder() / (name + ".json"));
  KnownAnswers answers;
  known.at("token_ids").get_to(answers.tokens);
  known.at("nll").get_to(answers.nll);
  known.at("argmax").get_to(answers.argmax);
  known.at("logits_100").get_to(answers.middle);
  known.at("logits_last").get_to(answers.last);
  known.at("logits_std").get_to(answers.deviation);
  return answers;
}

}  // namespace assay
