#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>

#include "base/error.h"
#include "model/model_spec.h"

namespace assay {
namespace {

// From each tensor this many samples of so many bytes, from the first to the last: a change of weights that misses all
// of them in all tensors does not happen by training, converting or quantising.
constexpr uint64_t kSamples = 8;
constexpr uint64_t kSampleBytes = 256;

// A 64-bit hash of a sequence of byte strings: words are mixed in by multiplication and xor-shift, with the constants
// of splitmix64. It tells files apart; it keeps nobody out.
class Hash {
 public:
  void Add(std::span<const uint8_t> bytes) {
    for (size_t at = 0; at < bytes.size(); at += sizeof(uint64_t)) {
      uint64_t word = 0;
      std::memcpy(&word, bytes.data() + at, std::min(sizeof(word), bytes.size() - at));
      Mix(word);
    }
    Mix(bytes.size());
  }
  uint64_t value() const { return state_; }

 private:
  void Mix(uint64_t word) {
    state_ = (state_ ^ word) + 0x9E3779B97F4A7C15ULL;
    state_ = (state_ ^ (state_ >> 30)) * 0xBF58476D1CE4E5B9ULL;
    state_ = (state_ ^ (state_ >> 27)) * 0x94D049BB133111EBULL;
    state_ ^= state_ >> 31;
  }

  uint64_t state_ = 0;
};

}  // namespace

std::string Fingerprint(const GgufFile& file) {
  std::vector<GgufTensorInfo> infos;
  for (const GgufTensor& tensor : file.tensors()) infos.push_back({tensor.name, tensor.shape, tensor.format});
  const std::string header = GgufHeader(file.metadata(), infos);
  Hash hash;
  hash.Add({reinterpret_cast<const uint8_t*>(header.data()), header.size()});
  for (const GgufTensor& tensor : file.tensors()) {
    const uint64_t length = std::min<uint64_t>(kSampleBytes, tensor.data.size());
    const uint64_t last = tensor.data.size() - length;
    for (uint64_t i = 0; i < kSamples; ++i) hash.Add(tensor.data.subspan(last / (kSamples - 1) * i, length));
    hash.Add(tensor.data.last(length));
  }
  return fmt::format("{:016x}", hash.value());
}

}  // namespace assay
