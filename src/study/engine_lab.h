#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/file.h"
#include "engine/session.h"
#include "model/model_spec.h"
#include "study/ladder.h"

namespace assay {

// The ladder's steps on the engine, with the rungs' files in a folder of their own.
class EngineLab : public LadderLab {
 public:
  // All that is referred to must outlive the lab. Creates the folder, and locks it for as long as the lab lives: kIo
  // when another process works in it, or the system refuses.
  EngineLab(const std::filesystem::path& source, Backend& backend, int threads, const std::filesystem::path& text,
            std::filesystem::path folder, LadderSettings settings);
  ~EngineLab() override;
  EngineLab(const EngineLab&) = delete;
  EngineLab& operator=(const EngineLab&) = delete;

  const ModelIdentity& source() const { return source_identity_; }
  std::string text_hash() const;
  std::filesystem::path RungPath(Rung rung) const;  // the source's own path when it is at that rung

  void RequireText() override;
  void RequireFree(Rung rung) override;
  ModelIdentity Prepare(Rung rung, const std::optional<std::string>& known_digest,
                        const LadderProgress& progress) override;
  size_t FitTogether(std::span<const Rung> rungs) override;
  LadderQualities MeasureQuality(std::span<const Rung> rungs, const LadderProgress& progress) override;
  std::vector<Sample> MeasureSpeed(const std::optional<Rung>& rung, std::span<const ThroughputTest> tests,
                                   int round) override;

 private:
  class FolderLock;

  bool IsSource(Rung rung) const;

  Backend& backend_;
  int threads_;
  FixedWork work_;
  TextFile text_;
  std::string text_name_;
  std::filesystem::path folder_;
  LadderSettings settings_;
  std::unique_ptr<FolderLock> lock_;
  std::unique_ptr<Model> source_;
  ModelIdentity source_identity_;
  bool source_noted_ = false;  // that it is quantised already
};

}  // namespace assay
