#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"

namespace assay {

// An importance matrix: for each tensor the mean square of the activations that each of its columns met, as
// llama.cpp's imatrix tool collects them. Both of its formats are read: the old binary one and the GGUF one.
class ImportanceMatrix {
 public:
  // Throws kBadFile.
  static ImportanceMatrix Load(const std::filesystem::path& path);

  // The weights of a tensor of this shape: one per column, for a stack of experts one set after the other. Empty when
  // the matrix has none. Throws kBadFile when the count is another.
  std::span<const float> Find(std::string_view tensor, const std::vector<uint64_t>& shape) const;

  // Throws kBadFile when no entry is for a tensor of the model.
  void RequireFor(const GgufFile& model) const;

  const std::filesystem::path& path() const { return path_; }
  const std::string& dataset() const { return dataset_; }
  int32_t chunks() const { return chunks_; }
  size_t size() const { return entries_.size(); }
  // Matrices (of a stack, each expert's), and those of them that no token met: their columns weigh the same.
  size_t matrices() const { return matrices_; }
  size_t unmet() const { return unmet_; }

 private:
  void LoadLegacy(std::string_view bytes);
  void LoadGguf(std::string_view bytes);
  void Add(std::string name, std::vector<float> weights);

  std::filesystem::path path_;
  std::string dataset_;
  int32_t chunks_ = 0;
  size_t matrices_ = 0, unmet_ = 0;
  std::map<std::string, std::vector<float>, std::less<>> entries_;
};

}  // namespace assay
