#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"

namespace assay::testing {

// Builds the bytes of a GGUF file by hand, field by field, so that tests can write what no honest writer would.
class GgufBytes {
 public:
  explicit GgufBytes(uint64_t tensors = 0, uint64_t entries = 0, uint32_t version = 3) {
    Put(version).Put(tensors).Put(entries);
  }

  template <typename T>
  GgufBytes& Put(T value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    bytes_.append(raw, sizeof(T));
    return *this;
  }
  GgufBytes& Text(std::string_view text) {
    Put(uint64_t{text.size()});
    bytes_ += text;
    return *this;
  }
  GgufBytes& Key(std::string_view key, GgufType type) { return Text(key).Put(static_cast<uint32_t>(type)); }
  GgufBytes& Tensor(std::string_view name, std::initializer_list<uint64_t> shape, uint32_t type, uint64_t offset) {
    Text(name).Put(static_cast<uint32_t>(shape.size()));
    for (const uint64_t dimension : shape) Put(dimension);
    return Put(type).Put(offset);
  }
  // Pads the header and appends `count` bytes of data.
  GgufBytes& Data(size_t count, size_t alignment = 32) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment + count);
    return *this;
  }

  const std::string& str() const { return bytes_; }
  std::span<const uint8_t> span() const { return {reinterpret_cast<const uint8_t*>(bytes_.data()), bytes_.size()}; }

 private:
  std::string bytes_ = "GGUF";
};

inline void WriteBytes(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace assay::testing
