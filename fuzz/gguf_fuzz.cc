// The GGUF reader over any bytes: it accepts or throws Error, and what it accepts can be used to the last byte and
// written again.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "base/error.h"
#include "gguf/gguf.h"

namespace assay {
namespace {

// What the compiler must not leave out.
volatile uint64_t sink;

template <typename Access>
void Try(const Access& access) {
  try {
    access();
  } catch (const Error&) {  // another type than was asked for
  }
}

void TouchMetadata(const GgufFile& file) {
  for (const auto& [key, value] : file.metadata()) {
    Try([&, &k = key] { sink = file.GetUint(k); });
    Try([&, &k = key] { sink = static_cast<uint64_t>(file.GetFloat(k) != 0.0); });
    Try([&, &k = key] { sink = file.GetString(k).size(); });
    Try([&, &k = key] { sink = static_cast<uint64_t>(file.FindBool(k).value_or(false)); });
    Try([&, &k = key] { sink = file.FindStrings(k).size(); });
    Try([&, &k = key] { sink = file.FindInts(k).size(); });
    Try([&, &k = key] { sink = file.FindFloats(k).size(); });
    if (file.Find(key) != &value) abort();
  }
}

void TouchTensors(const GgufFile& file) {
  for (const GgufTensor& tensor : file.tensors()) {
    sink = uint64_t{tensor.data.front()} + tensor.data.back();
    if (BytesOf(TraitsOf(tensor.format), tensor.elements()) != tensor.data.size()) abort();
    if (tensor.rows() * tensor.row_length() != tensor.elements()) abort();
    if (file.FindTensor(tensor.name) != &tensor) abort();
  }
}

// Metadata and tensors as a new file must parse to the same header.
void WriteAgain(const GgufFile& file) {
  std::vector<GgufTensorInfo> infos;
  for (const GgufTensor& tensor : file.tensors()) infos.push_back({tensor.name, tensor.shape, tensor.format});
  const std::string header = GgufHeader(file.metadata(), infos);
  std::string whole = header;
  whole.resize(GgufFileBytes(file.metadata(), infos));
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(whole.data()), whole.size());
  const GgufFile again = GgufFile::Parse(bytes, "again", TensorTypes::kStored);
  infos.clear();
  for (const GgufTensor& tensor : again.tensors()) infos.push_back({tensor.name, tensor.shape, tensor.format});
  if (GgufHeader(again.metadata(), infos) != header) abort();
}

}  // namespace
}  // namespace assay

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const assay::GgufFile file = assay::GgufFile::Parse({data, size}, "fuzz", assay::TensorTypes::kStored);
    assay::TouchMetadata(file);
    assay::TouchTensors(file);
    assay::WriteAgain(file);
  } catch (const assay::Error&) {  // what a damaged file is for
  }
  return 0;
}
