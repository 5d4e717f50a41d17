#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "gguf/gguf.h"
#include "gguf/parser.h"

namespace assay {
namespace {

constexpr uint32_t kVersion = 3;

uint64_t AlignUp(uint64_t value, uint64_t alignment) { return (value + alignment - 1) / alignment * alignment; }

// Appends to a header being built.
class HeaderBuilder {
 public:
  template <typename T>
  void Put(T value) {
    static_assert(std::is_arithmetic_v<T>);
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    bytes_.append(raw, sizeof(T));
  }

  void PutString(std::string_view text) {
    Put(uint64_t{text.size()});
    bytes_ += text;
  }

  void PutValue(const GgufValue& value);
  void PutArray(const GgufArray& array);
  void PadTo(uint64_t alignment) { bytes_.resize(AlignUp(bytes_.size(), alignment)); }

  std::string Take() && { return std::move(bytes_); }

 private:
  std::string bytes_;
};

void HeaderBuilder::PutValue(const GgufValue& value) {
  struct Visitor {
    HeaderBuilder& out;
    uint64_t integer_bytes;

    void Integer(uint64_t bits) const {
      char raw[sizeof(bits)];  // little endian: the low bytes come first
      std::memcpy(raw, &bits, sizeof(bits));
      out.bytes_.append(raw, integer_bytes);
    }
    void operator()(uint64_t v) const { Integer(v); }
    void operator()(int64_t v) const { Integer(static_cast<uint64_t>(v)); }
    void operator()(float v) const { out.Put(v); }
    void operator()(double v) const { out.Put(v); }
    void operator()(const std::string& v) const { out.PutString(v); }
    void operator()(const std::shared_ptr<const GgufArray>& v) const { out.PutArray(*v); }
  };
  std::visit(Visitor{*this, ScalarBytes(value.type)}, value.value);
}

void HeaderBuilder::PutArray(const GgufArray& array) {
  Put(static_cast<uint32_t>(array.element));
  Put(array.count);
  for (const std::string& text : array.strings) PutString(text);
  for (const GgufValue& value : array.values) PutValue(value);
  bytes_.append(array.packed.begin(), array.packed.end());
}

}  // namespace

uint64_t GgufTensorInfo::bytes() const {
  uint64_t elements = 1;
  for (const uint64_t dimension : shape) elements *= dimension;
  return BytesOf(TraitsOf(format), elements);
}

std::string GgufHeader(const GgufMetadata& metadata, const std::vector<GgufTensorInfo>& tensors) {
  const uint64_t alignment = GgufAlignment(metadata, "GgufWriter");
  HeaderBuilder header;
  for (const char c : std::string_view("GGUF")) header.Put(c);
  header.Put(kVersion);
  header.Put(uint64_t{tensors.size()});
  header.Put(uint64_t{metadata.size()});
  for (const auto& [key, value] : metadata) {
    header.PutString(key);
    header.Put(static_cast<uint32_t>(value.type));
    header.PutValue(value);
  }
  uint64_t offset = 0;
  for (const GgufTensorInfo& tensor : tensors) {
    header.PutString(tensor.name);
    header.Put(static_cast<uint32_t>(tensor.shape.size()));
    for (const uint64_t dimension : tensor.shape) header.Put(dimension);
    header.Put(static_cast<uint32_t>(tensor.format));
    header.Put(offset);
    offset += AlignUp(tensor.bytes(), alignment);
  }
  header.PadTo(alignment);
  return std::move(header).Take();
}

uint64_t GgufFileBytes(const GgufMetadata& metadata, const std::vector<GgufTensorInfo>& tensors) {
  const uint64_t alignment = GgufAlignment(metadata, "GgufWriter");
  uint64_t bytes = GgufHeader(metadata, tensors).size();
  for (const GgufTensorInfo& tensor : tensors) bytes += AlignUp(tensor.bytes(), alignment);
  return bytes;
}

GgufWriter::GgufWriter(const std::filesystem::path& path, const GgufMetadata& metadata,
                       std::vector<GgufTensorInfo> tensors)
    : alignment_(GgufAlignment(metadata, path.string())), file_(path), tensors_(std::move(tensors)) {
  file_.Write(GgufHeader(metadata, tensors_));
}

void GgufWriter::WriteData(std::span<const uint8_t> bytes) {
  if (current_ == tensors_.size()) Fail(ErrorKind::kInternal, "GgufWriter: data after the last tensor");
  const uint64_t size = tensors_[current_].bytes();
  if (bytes.size() > size - written_) {
    Fail(ErrorKind::kInternal, "GgufWriter: {} bytes for tensor '{}', which takes {} more", bytes.size(),
         tensors_[current_].name, size - written_);
  }
  file_.Write(bytes);
  written_ += bytes.size();
  if (written_ < size) return;
  Pad();
  ++current_;
  written_ = 0;
}

void GgufWriter::Pad() {
  static constexpr std::array<uint8_t, 4096> kZeros{};
  uint64_t missing = (alignment_ - file_.size() % alignment_) % alignment_;
  while (missing > 0) {
    const uint64_t piece = std::min<uint64_t>(missing, kZeros.size());
    file_.Write(std::span(kZeros).first(piece));
    missing -= piece;
  }
}

void GgufWriter::Finish() {
  if (current_ != tensors_.size()) {
    Fail(ErrorKind::kInternal, "GgufWriter: finished before tensor '{}'", tensors_[current_].name);
  }
  file_.Commit();
}

}  // namespace assay
