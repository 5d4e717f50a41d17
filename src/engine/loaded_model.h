#pragma once

#include <filesystem>
#include <memory>
#include <utility>

#include "engine/session.h"

namespace assay {

// A model with its weights on a backend, which must outlive it.
struct LoadedModel {
  LoadedModel(const std::filesystem::path& path, Backend& backend) : LoadedModel(Model::Open(path), backend) {}
  LoadedModel(std::unique_ptr<Model> opened, Backend& backend) : model(std::move(opened)), engine(*model, backend) {}

  std::unique_ptr<Model> model;
  Engine engine;
};

}  // namespace assay
