#include "alike_ladder.h"

#include "measure/environment.h"
#include "study/engine_lab.h"

namespace assay {
namespace {

class SameBytesLab : public EngineLab {
 public:
  using EngineLab::EngineLab;

  ModelIdentity Prepare(Rung rung, const std::optional<std::string>& /*known_digest*/,
                        const LadderProgress& /*progress*/) override {
    std::filesystem::copy_file(source_path, RungPath(rung));
    return Identify(GgufFile::Open(RungPath(rung)));
  }

  std::filesystem::path source_path;
};

}  // namespace

LadderResult ClimbAlike(const std::filesystem::path& model, const std::filesystem::path& text,
                        const std::filesystem::path& folder, Backend& backend, int threads,
                        const LadderSettings& settings) {
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  SameBytesLab lab(model, backend, threads, text, folder / "rungs", settings);
  lab.source_path = model;
  const LadderSubject subject{.source = lab.source(),
                              .text = text.filename().string(),
                              .text_hash = lab.text_hash(),
                              .backend = backend.description(),
                              .threads = threads,
                              .environment = CaptureEnvironment()};
  Store store(folder / "assay.db");
  return RunLadder(store, lab, subject, settings, {}, false, [](const std::string&, double) {});
}

bool TellsUnguarded(const LadderResult& result) { return Decide(result.runs, true, {}).tells(); }

LadderSettings AlikeSettings(uint64_t seed) {
  LadderSettings settings;
  settings.rungs = {Rung::kF16,    Rung::kQ8_0,   Rung::kQ6_K, Rung::kQ5_K_M,
                    Rung::kQ4_K_M, Rung::kQ3_K_M, Rung::kQ2_K, Rung::kQ4_0};
  settings.context = 128;
  settings.windows = 4;
  settings.seed = seed;
  return settings;
}

}  // namespace assay
