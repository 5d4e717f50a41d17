#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/file.h"
#include "quant/formats.h"

namespace assay {

// GGUF's metadata types, by their numbers in the file.
enum class GgufType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

// A metadata value: its type as stored, so that writing it again gives the same bytes.
struct GgufArray;
struct GgufPart;
struct GgufValue {
  GgufType type = GgufType::kUint32;
  // Integers of any width (sign-extended or zero-extended to 64 bits) and bools are in the int64/uint64 alternatives.
  std::variant<uint64_t, int64_t, double, float, std::string, std::shared_ptr<const GgufArray>> value;

  static GgufValue Of(uint32_t v);
  static GgufValue Of(float v);
  static GgufValue Of(bool v);
  static GgufValue Of(std::string v);
  static GgufValue Of(const char* v) { return Of(std::string(v)); }  // which would convert to bool
  static GgufValue Of(std::vector<std::string> v);
  static GgufValue Of(const std::vector<float>& v);
  static GgufValue Of(const std::vector<int32_t>& v);
};

// An array: strings, or numbers packed as the file stores them (little endian), or nested arrays.
struct GgufArray {
  GgufType element = GgufType::kUint32;
  uint64_t count = 0;
  std::vector<uint8_t> packed;       // numbers and bools: count * size of element
  std::vector<std::string> strings;  // element == kString
  std::vector<GgufValue> values;     // element == kArray
};

using GgufMetadata = std::vector<std::pair<std::string, GgufValue>>;  // in file order, keys unique

// Replaces the value of a key, or appends the entry.
void SetMetadata(GgufMetadata& metadata, std::string_view key, GgufValue value);

// A tensor of a file. Shape in GGUF order: shape[0] is the row length (fastest).
struct GgufTensor {
  std::string name;
  std::vector<uint64_t> shape;  // 1 to 4 dimensions, each >= 1
  Format format = Format::kF32;
  std::span<const uint8_t> data;  // into the memory map; size is exact

  uint64_t row_length() const { return shape.front(); }
  uint64_t elements() const;
  uint64_t rows() const { return elements() / row_length(); }
};

// Which types a file's tensors may have: those that Assay computes with, or all that ggml has (to look at them).
enum class TensorTypes { kComputable, kStored };

// A GGUF model (v2 or v3), possibly of several files (-00001-of-0000N.gguf: name the first). Everything is checked
// against the files' sizes before it is used: names, counts, dimensions, offsets, overlaps of sums. Throws kBadFile or
// kUnsupported with one line that names the file, what was found, and where.
class GgufFile {
 public:
  static GgufFile Open(const std::filesystem::path& path, TensorTypes types = TensorTypes::kComputable);
  // Parses one file's bytes, which must outlive the result (tests and fuzzers). `name` is for messages.
  static GgufFile Parse(std::span<const uint8_t> bytes, std::string_view name,
                        TensorTypes types = TensorTypes::kComputable);

  const std::filesystem::path& path() const { return path_; }
  const std::vector<std::filesystem::path>& parts() const { return parts_; }  // path() first; empty for Parse()
  uint32_t version() const { return version_; }
  uint64_t alignment() const { return alignment_; }
  uint64_t file_bytes() const { return file_bytes_; }  // of all parts
  const GgufMetadata& metadata() const { return metadata_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }

  // This part of a tensor's data will not be read soon: its pages leave this process's memory, and come back when they
  // are. Other memory is left alone.
  void Forget(std::span<const uint8_t> part, ThreadPool& pool) const;

  const GgufTensor* FindTensor(std::string_view name) const;  // null if absent
  const GgufValue* Find(std::string_view key) const;          // null if absent

  // Typed access; integers of any width convert when the value fits. The Get forms throw kBadFile for an absent key or
  // another type; the others give nullopt for an absent key alone.
  uint64_t GetUint(std::string_view key) const;
  double GetFloat(std::string_view key) const;
  const std::string& GetString(std::string_view key) const;
  std::optional<uint64_t> FindUint(std::string_view key) const;
  std::optional<double> FindFloat(std::string_view key) const;
  std::optional<bool> FindBool(std::string_view key) const;
  std::optional<std::string> FindString(std::string_view key) const;
  // Arrays; empty when absent, kBadFile for another element type.
  std::span<const std::string> FindStrings(std::string_view key) const;
  std::vector<int64_t> FindInts(std::string_view key) const;
  std::vector<float> FindFloats(std::string_view key) const;

 private:
  GgufFile() = default;
  GgufPart MapPart(const std::filesystem::path& path, TensorTypes types);
  void AddPart(GgufPart part, uint64_t bytes);
  void IndexTensors();
  const GgufArray* FindArray(std::string_view key, std::string_view wanted) const;  // null if absent
  [[noreturn]] void FailType(std::string_view key, std::string_view wanted) const;
  [[noreturn]] void FailAbsent(std::string_view key) const;

  std::filesystem::path path_;
  uint32_t version_ = 3;
  uint64_t alignment_ = 32;
  uint64_t file_bytes_ = 0;
  GgufMetadata metadata_;
  std::vector<GgufTensor> tensors_;
  std::vector<std::pair<std::string_view, size_t>> tensor_index_;  // sorted by name
  std::vector<std::filesystem::path> parts_;
  std::vector<MappedFile> maps_;
};

// The name of a model's file without the extension, and without "-00001-of-00003" when it is a part of several.
std::string ModelStem(const std::filesystem::path& path);

// What a file to be written holds: declared first, since offsets come before data.
struct GgufTensorInfo {
  std::string name;
  std::vector<uint64_t> shape;
  Format format = Format::kF32;
  uint64_t bytes() const;
};

// The header of a GGUF v3 file: everything before the tensors' data, padded to the alignment that the metadata
// declares.
std::string GgufHeader(const GgufMetadata& metadata, const std::vector<GgufTensorInfo>& tensors);

// Bytes of the whole file that GgufWriter makes of these.
uint64_t GgufFileBytes(const GgufMetadata& metadata, const std::vector<GgufTensorInfo>& tensors);

// Writes a GGUF v3 file: header from the constructor, then each tensor's data in order, in pieces of any size; memory
// stays flat. The alignment is the metadata's general.alignment, or 32. The file appears at `path` only with Finish().
// Throws kIo; kInternal if the data does not match the declaration.
class GgufWriter {
 public:
  GgufWriter(const std::filesystem::path& path, const GgufMetadata& metadata, std::vector<GgufTensorInfo> tensors);
  // Appends to the current tensor; moves to the next one (with padding) when it is complete.
  void WriteData(std::span<const uint8_t> bytes);
  void Finish();
  uint64_t size() const { return file_.size(); }

 private:
  void Pad();

  uint64_t alignment_;
  AtomicFile file_;
  std::vector<GgufTensorInfo> tensors_;
  size_t current_ = 0;
  uint64_t written_ = 0;  // of the current tensor
};

}  // namespace assay
