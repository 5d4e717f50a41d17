#include "forge/imatrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "gguf/byte_cursor.h"
#include "gguf/gguf.h"

namespace assay {
namespace {

constexpr std::string_view kSums = ".in_sum2";
constexpr std::string_view kCounts = ".counts";
constexpr std::string_view kMakeOne = "make one of this model with llama.cpp's imatrix";

std::span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::vector<float> Unpack(std::span<const uint8_t> bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

}  // namespace

ImportanceMatrix ImportanceMatrix::Load(const std::filesystem::path& path) {
  ImportanceMatrix matrix;
  matrix.path_ = path;
  const std::string bytes = ReadFile(path);
  if (bytes.starts_with("GGUF")) {
    matrix.LoadGguf(bytes);
  } else {
    matrix.LoadLegacy(bytes);
  }
  if (matrix.unmet_ == matrix.matrices_ && matrix.matrices_ > 0) {
    Fail(ErrorKind::kBadFile, "{}: an importance matrix without information: no token was counted; {}", path.string(),
         kMakeOne);
  }
  if (matrix.entries_.empty())
    Fail(ErrorKind::kBadFile, "{}: not an importance matrix: no entries; {}", path.string(), kMakeOne);
  return matrix;
}

void ImportanceMatrix::Add(std::string name, std::vector<float> weights) {
  if (!std::all_of(weights.begin(), weights.end(), [](float w) { return std::isfinite(w) && w >= 0.0F; })) {
    Fail(ErrorKind::kBadFile, "{}: the importance of '{}' is not finite and positive throughout; {}", path_.string(),
         name, kMakeOne);
  }
  const auto [entry, fresh] = entries_.try_emplace(std::move(name), std::move(weights));
  if (!fresh) Fail(ErrorKind::kBadFile, "{}: '{}' is there twice; {}", path_.string(), entry->first, kMakeOne);
}

// count, then per entry: name length, name, calls, values, that many floats (to be divided by the calls); then perhaps
// the number of chunks and the name of the data set. All integers are 32 bits.
void ImportanceMatrix::LoadLegacy(std::string_view bytes) {
  const std::string source = path_.string();
  ByteCursor cursor(AsBytes(bytes), source);
  const auto length = [&](std::string_view what) {
    const auto value = cursor.Read<int32_t>(what);
    if (value < 0)
      Fail(ErrorKind::kBadFile, "{}: not an importance matrix: {} is {}; {}", source, what, value, kMakeOne);
    return static_cast<uint64_t>(value);
  };
  const uint64_t count = length("the count of entries");
  for (uint64_t i = 0; i < count; ++i) {
    const std::span<const uint8_t> text = cursor.Take(length("a name's length"), "a name");
    const uint64_t calls = length("a count of calls");
    const uint64_t values = length("a count of values");
    ++matrices_;
    if (calls == 0) ++unmet_;
    std::vector<float> weights = Unpack(cursor.Take(values * sizeof(float), "an entry's values"));
    if (calls > 0) {
      for (float& weight : weights) weight /= static_cast<float>(calls);
    }
    Add({text.begin(), text.end()}, std::move(weights));
  }
  if (cursor.remaining() == 0) return;
  chunks_ = cursor.Read<int32_t>("the count of chunks");
  if (cursor.remaining() == 0) return;
  const std::span<const uint8_t> text = cursor.Take(length("the data set's length"), "the data set");
  dataset_.assign(text.begin(), text.end());
}

// Tensors NAME.in_sum2 [columns, matrices] and NAME.counts [1, matrices]. A matrix that no token met (an expert that
// was never chosen) has count 0: its columns weigh the same.
void ImportanceMatrix::LoadGguf(std::string_view bytes) {
  const GgufFile file = GgufFile::Parse(AsBytes(bytes), path_.string());
  for (const GgufTensor& sums : file.tensors()) {
    if (!sums.name.ends_with(kSums)) continue;
    const std::string name = sums.name.substr(0, sums.name.size() - kSums.size());
    const GgufTensor* counts = file.FindTensor(name + std::string(kCounts));
    if (counts == nullptr || sums.format != Format::kF32 || counts->format != Format::kF32 ||
        sums.elements() % counts->elements() != 0) {
      Fail(ErrorKind::kBadFile, "{}: the sums and counts of '{}' do not fit together; {}", path_.string(), name,
           kMakeOne);
    }
    std::vector<float> weights = Unpack(sums.data);
    const std::vector<float> divisors = Unpack(counts->data);
    const size_t columns = weights.size() / divisors.size();
    matrices_ += divisors.size();
    unmet_ += static_cast<size_t>(std::ranges::count_if(divisors, [](float d) { return !(d > 0.0F); }));
    for (size_t i = 0; i < weights.size(); ++i) {
      const float divisor = divisors[i / columns];
      weights[i] = divisor > 0.0F ? weights[i] / divisor : 1.0F;
    }
    Add(name, std::move(weights));
  }
  const std::span<const std::string> datasets = file.FindStrings("imatrix.datasets");
  if (!datasets.empty()) dataset_ = datasets.front();
  chunks_ = static_cast<int32_t>(std::min<uint64_t>(file.FindUint("imatrix.chunk_count").value_or(0), INT32_MAX));
}

void ImportanceMatrix::RequireFor(const GgufFile& model) const {
  for (const GgufTensor& tensor : model.tensors()) {
    if (entries_.contains(tensor.name)) return;
  }
  Fail(ErrorKind::kBadFile,
       "{}: none of its {} entries is named like a tensor of {}: it was made for another model; {}", path_.string(),
       entries_.size(), model.path().string(), kMakeOne);
}

std::span<const float> ImportanceMatrix::Find(std::string_view tensor, const std::vector<uint64_t>& shape) const {
  const auto entry = entries_.find(tensor);
  if (entry == entries_.end()) return {};
  const uint64_t wanted = shape.front() * (shape.size() > 2 ? shape[2] : 1);
  if (entry->second.size() != wanted) {
    Fail(ErrorKind::kBadFile, "{}: has {} values for '{}', which has {} columns: it was made for another model; {}",
         path_.string(), entry->second.size(), tensor, wanted, kMakeOne);
  }
  return entry->second;
}

}  // namespace assay
