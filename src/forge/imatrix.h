#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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

  const std::filesystem::path& path() const { return path_; }
  const std::string& dataset() const { return dataset_; }
  int32_t chunks() const { return chunks_; }
  size_t size() const { return entries_.size(); }

 private:
  void LoadLegacy(std::string_view bytes);
  void LoadGguf(std::string_view bytes);
  void Add(std::string name, std::vector<float> weights);

  std::filesystem::path path_;
  std::string dataset_;
  int32_t chunks_ = 0;
  std::map<std::string, std::vector<float>, std::less<>> entries_;
};

}  // namespace assay
