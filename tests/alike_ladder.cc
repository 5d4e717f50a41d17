#include "alike_ladder.h"

#include <map>
#include <memory>

#include "engine/loaded_model.h"
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

class LoadedOnceLab : public SameBytesLab {
 public:
  LoadedOnceLab(const std::filesystem::path& source, Backend& backend, int threads, const std::filesystem::path& text,
                std::filesystem::path folder, const LadderSettings& settings)
      : SameBytesLab(source, backend, threads, text, std::move(folder), settings),
        source_(source),
        backend_(backend),
        settings_(settings),
        work_(backend.pool()) {}

  std::vector<Sample> MeasureSpeed(const std::optional<Rung>& rung, std::span<const ThroughputTest> tests,
                                   int round) override {
    std::unique_ptr<Loaded>& loaded = loaded_[rung];
    if (loaded == nullptr) {
      loaded = std::make_unique<Loaded>(rung.has_value() ? RungPath(*rung) : source_, backend_,
                                        std::max(settings_.prompt, settings_.generate));
    }
    const int vocab = loaded->model.model->spec.vocab;
    std::vector<Sample> samples;
    for (const ThroughputTest& test : {PromptTest(settings_), GenerationTest(settings_)}) {
      WarmUp(loaded->session, vocab, test, settings_.seed);
    }
    for (const ThroughputTest& test : tests) {
      samples.push_back(
          MeasureOnce(loaded->session, vocab, test, settings_.seed + static_cast<uint64_t>(round), work_));
    }
    return samples;
  }

 private:
  struct Loaded {
    Loaded(const std::filesystem::path& path, Backend& backend, int context)
        : model(path, backend), session(model.engine, SessionOptions{.context = context}) {}
    LoadedModel model;
    Session session;
  };

  std::filesystem::path source_;
  Backend& backend_;
  LadderSettings settings_;
  FixedWork work_;
  std::map<std::optional<Rung>, std::unique_ptr<Loaded>> loaded_;
};

std::unique_ptr<SameBytesLab> MakeLab(const std::filesystem::path& model, const std::filesystem::path& text,
                                      const std::filesystem::path& folder, Backend& backend, int threads,
                                      const LadderSettings& settings, Loading loading) {
  if (loading == Loading::kOnce) {
    return std::make_unique<LoadedOnceLab>(model, backend, threads, text, folder, settings);
  }
  return std::make_unique<SameBytesLab>(model, backend, threads, text, folder, settings);
}

}  // namespace

LadderResult ClimbAlike(const std::filesystem::path& model, const std::filesystem::path& text,
                        const std::filesystem::path& folder, Backend& backend, int threads,
                        const LadderSettings& settings, Loading loading) {
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const auto lab = MakeLab(model, text, folder / "rungs", backend, threads, settings, loading);
  lab->source_path = model;
  const LadderSubject subject{.source = lab->source(),
                              .text = text.filename().string(),
                              .text_hash = lab->text_hash(),
                              .backend = backend.description(),
                              .threads = threads,
                              .environment = CaptureEnvironment()};
  Store store(folder / "assay.db");
  return RunLadder(store, *lab, subject, settings, {}, false, [](const std::string&, double) {});
}

int PairsBelowOnePercent(const LadderResult& result) {
  int below = 0;
  const std::vector<RungRuns>& rungs = result.runs.rungs;
  for (size_t a = 0; a < rungs.size(); ++a) {
    for (size_t b = 0; b < a; ++b) {
      if (SpeedRatio(rungs[a].tg.samples, rungs[b].tg.samples).p_value() < 0.01) ++below;
    }
  }
  return below;
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
