#include "model/digest.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <span>
#include <vector>

#include "quant/rung.h"

namespace assay {
namespace {

__extension__ using Product = unsigned __int128;

// A hash of a stream of bytes at memory speed. A stripe of 128 bytes gives 16 to each of eight lanes; a lane multiplies
// its two words, disturbed by its 128 bits of state, to 128 bits and adds the words again, so that a factor of zero
// forgets nothing. The lanes are independent, which hides the latency of the products; at the end they are folded into
// one another, each twice.
class WideHash {
 public:
  WideHash() {
    uint64_t seed = 0;
    for (Lane& lane : lanes_) lane = {Next(seed), Next(seed)};
  }

  void Add(std::span<const uint8_t> bytes) {
    size_ += bytes.size();
    const uint8_t* at = bytes.data();
    size_t left = bytes.size();
    for (; left >= kStripe; at += kStripe, left -= kStripe) AddStripe(at);
    std::array<uint8_t, kStripe> last{};
    std::copy_n(at, left, last.begin());
    AddStripe(last.data());
    lanes_[0].Mix(bytes.size(), size_);  // where one piece ends and the next begins
  }

  std::string Hex() const {
    Lane sum = lanes_[0];
    for (int round = 0; round < 2; ++round) {
      for (const Lane& lane : lanes_) sum.Mix(lane.low, lane.high);
    }
    sum.Mix(size_, 0);
    return fmt::format("{:016x}{:016x}", sum.high, sum.low);
  }

 private:
  static constexpr size_t kLanes = 8;
  static constexpr size_t kStripe = kLanes * 2 * sizeof(uint64_t);

  struct Lane {
    uint64_t low = 0, high = 0;

    void Mix(uint64_t a, uint64_t b) {
      const Product product = static_cast<Product>(a ^ low) * (b ^ high);
      low = static_cast<uint64_t>(product) + std::rotl(b, 32);
      high = static_cast<uint64_t>(product >> 64) + a;
    }
  };

  void AddStripe(const uint8_t* bytes) {
    for (size_t i = 0; i < kLanes; ++i) {
      std::array<uint64_t, 2> words = {};
      std::memcpy(words.data(), bytes + i * sizeof(words), sizeof(words));
      lanes_[i].Mix(words[0], words[1]);
    }
  }

  // splitmix64
  static uint64_t Next(uint64_t& seed) {
    uint64_t z = (seed += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }

  std::array<Lane, kLanes> lanes_;
  uint64_t size_ = 0;
};

using FormatBytes = std::map<Format, uint64_t>;

// The format with the most bytes; of equal ones the first.
Format MainFormat(const FormatBytes& bytes) {
  return std::ranges::max_element(bytes, {}, [](const auto& entry) { return entry.second; })->first;
}

bool IsLayerWeight(const GgufTensor& tensor) { return tensor.name.starts_with("blk.") && tensor.shape.size() > 1; }

}  // namespace

std::string FileDigest(const GgufFile& file) {
  std::vector<GgufTensorInfo> infos;
  for (const GgufTensor& tensor : file.tensors()) infos.push_back({tensor.name, tensor.shape, tensor.format});
  const std::string header = GgufHeader(file.metadata(), infos);
  WideHash hash;
  hash.Add({reinterpret_cast<const uint8_t*>(header.data()), header.size()});
  for (const GgufTensor& tensor : file.tensors()) hash.Add(tensor.data);
  return hash.Hex();
}

std::string TensorMix(const GgufFile& file) {
  FormatBytes bytes;
  uint64_t total = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    bytes[tensor.format] += tensor.data.size();
    total += tensor.data.size();
  }
  std::vector<std::pair<Format, uint64_t>> shares(bytes.begin(), bytes.end());
  std::ranges::stable_sort(shares, std::greater(), &std::pair<Format, uint64_t>::second);
  std::string text;
  for (const auto& [format, size] : shares) {
    const double percent = 100.0 * static_cast<double>(size) / static_cast<double>(total);
    const std::string share = percent < 0.5 ? "<1" : fmt::format("{:.0f}", percent);
    text += fmt::format("{}{} {}%", text.empty() ? "" : ", ", TraitsOf(format).name, share);
  }
  return text;
}

std::string QuantName(const GgufFile& file) {
  FormatBytes layers, all;
  for (const GgufTensor& tensor : file.tensors()) {
    all[tensor.format] += tensor.data.size();
    if (IsLayerWeight(tensor)) layers[tensor.format] += tensor.data.size();
  }
  if (all.empty()) return "unknown";
  const Format main = MainFormat(layers.empty() ? all : layers);
  const GgufValue* type = file.Find("general.file_type");
  for (const RungTraits& rung : Rungs()) {
    if (type == nullptr || type->value != decltype(type->value)(uint64_t{rung.file_type})) continue;
    // Rows that do not divide into the base's blocks are at what the rung falls back to.
    const auto block = static_cast<uint64_t>(TraitsOf(rung.base).block_size);
    const bool fits = std::ranges::none_of(file.tensors(), [&](const GgufTensor& tensor) {
      return IsLayerWeight(tensor) && tensor.format == main && tensor.row_length() % block == 0;
    });
    if (rung.base == main || (!layers.empty() && fits)) return std::string(rung.name);
  }
  return std::string(TraitsOf(main).name);
}

}  // namespace assay
