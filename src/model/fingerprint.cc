#include <algorithm>
#include <string>

#include "base/error.h"
#include "base/hash.h"
#include "model/model_spec.h"

namespace assay {
namespace {

// From each tensor this many samples of so many bytes, from the first to the last: a change of weights that misses all
// of them in all tensors does not happen by training, converting or quantising.
constexpr uint64_t kSamples = 8;
constexpr uint64_t kSampleBytes = 256;

}  // namespace

std::string Fingerprint(const GgufFile& file) {
  std::vector<GgufTensorInfo> infos;
  for (const GgufTensor& tensor : file.tensors()) infos.push_back({tensor.name, tensor.shape, tensor.format});
  const std::string header = GgufHeader(file.metadata(), infos);
  Hash hash;
  hash.Add(header);
  for (const GgufTensor& tensor : file.tensors()) {
    const uint64_t length = std::min<uint64_t>(kSampleBytes, tensor.data.size());
    const uint64_t last = tensor.data.size() - length;
    for (uint64_t i = 0; i < kSamples; ++i) hash.Add(tensor.data.subspan(last / (kSamples - 1) * i, length));
    hash.Add(tensor.data.last(length));
  }
  return fmt::format("{:016x}", hash.value());
}

}  // namespace assay
