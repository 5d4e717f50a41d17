#include "gguf/parser.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "gguf/byte_cursor.h"
#include "gguf/foreign.h"

namespace assay {
namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"

// Fewer bytes than these cannot hold an entry: a key's length, a type and one byte of value; a tensor's name length,
// dimension count, one dimension, type and offset.
constexpr uint64_t kLeastEntryBytes = 8 + 4 + 1;
constexpr uint64_t kLeastTensorBytes = 8 + 4 + 8 + 4 + 8;

constexpr uint32_t kMaxDimensions = 4;
// The specification allows 64 bytes; some leave room for longer ones.
constexpr size_t kMostNameBytes = 256;
// Arrays of arrays are allowed by the format and used by nobody; recursion needs a bound all the same.
constexpr int kMaxArrayDepth = 8;
// The specification asks for a multiple of 8; nobody uses more than a page.
constexpr uint64_t kLeastAlignment = 8;
constexpr uint64_t kMostAlignment = 1 << 20;

class PartParser {
 public:
  PartParser(std::span<const uint8_t> bytes, std::string_view source, TensorTypes types)
      : bytes_(bytes), cursor_(bytes, source), types_(types) {}

  GgufPart Parse() {
    const auto [tensor_count, entry_count] = ParseHeader();
    ParseMetadata(entry_count);
    part_.alignment = GgufAlignment(part_.metadata, cursor_.source());
    ParseTensors(tensor_count);
    AttachData();
    return std::move(part_);
  }

 private:
  template <typename... Args>
  [[noreturn]] void Bad(fmt::format_string<Args...> format, Args&&... args) const {
    Fail(ErrorKind::kBadFile, "{}: {}; {}", cursor_.source(), fmt::format(format, std::forward<Args>(args)...),
         kGetAgain);
  }

  std::pair<uint64_t, uint64_t> ParseHeader();
  void ParseMetadata(uint64_t count);
  GgufValue ParseValue(const std::string& key, GgufType type, int depth);
  std::shared_ptr<const GgufArray> ParseArray(const std::string& key, int depth);
  GgufType ParseType(const std::string& key);
  void CheckBools(const std::string& key, std::span<const uint8_t> values) const;
  void ParseTensors(uint64_t count);
  GgufTensor ParseTensor();
  const FormatTraits& ParseFormat(const std::string& tensor);
  void CheckShape(const GgufTensor& tensor, const FormatTraits& traits) const;
  void AttachData();
  template <typename T, typename Name>
  void RefuseDuplicates(const std::vector<T>& items, std::string_view what, const Name& name) const;

  std::span<const uint8_t> bytes_;
  ByteCursor cursor_;
  TensorTypes types_;
  GgufPart part_;
  std::vector<uint64_t> offsets_;  // of the tensors, from the start of the data
};

std::pair<uint64_t, uint64_t> PartParser::ParseHeader() {
  if (bytes_.empty()) Bad("not a GGUF file: it is empty");
  const auto magic = cursor_.Read<uint32_t>("the magic number");
  if (magic != kMagic) {
    Fail(ErrorKind::kBadFile, "{}: not a GGUF file: {}", cursor_.source(), DescribeForeign(bytes_));
  }
  part_.version = cursor_.Read<uint32_t>("the version");
  if (part_.version != 0 && (part_.version & 0xFFFF) == 0) {
    Fail(ErrorKind::kUnsupported, "{}: a big-endian GGUF file; convert the model again as little-endian",
         cursor_.source());
  }
  if (part_.version != 2 && part_.version != 3) {
    Fail(ErrorKind::kUnsupported, "{}: GGUF version {}; versions 2 and 3 are supported: convert the model again",
         cursor_.source(), part_.version);
  }
  const auto tensor_count = cursor_.Read<uint64_t>("the tensor count");
  const auto entry_count = cursor_.Read<uint64_t>("the metadata count");
  // Lists grow with what is really read: room for what a count claims would be several times the file.
  cursor_.CheckCount(tensor_count, kLeastTensorBytes, "tensors");
  cursor_.CheckCount(entry_count, kLeastEntryBytes, "metadata entries");
  return {tensor_count, entry_count};
}

template <typename T, typename Name>
void PartParser::RefuseDuplicates(const std::vector<T>& items, std::string_view what, const Name& name) const {
  std::vector<std::string_view> names(items.size());
  std::transform(items.begin(), items.end(), names.begin(), name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) Bad("{} '{}' is there twice", what, *twice);
}

void PartParser::ParseMetadata(uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    std::string key = cursor_.ReadString("a metadata key");
    if (key.empty()) Bad("metadata entry {} has an empty key", i);
    const GgufType type = ParseType(key);
    GgufValue value = ParseValue(key, type, 0);
    part_.metadata.emplace_back(std::move(key), std::move(value));
  }
  RefuseDuplicates(part_.metadata, "metadata key", [](const auto& entry) { return std::string_view(entry.first); });
}

GgufType PartParser::ParseType(const std::string& key) {
  const auto type = cursor_.Read<uint32_t>("a metadata type");
  if (type > static_cast<uint32_t>(GgufType::kFloat64)) Bad("metadata key '{}' has the unknown type {}", key, type);
  return static_cast<GgufType>(type);
}

void PartParser::CheckBools(const std::string& key, std::span<const uint8_t> values) const {
  const auto wrong = std::find_if(values.begin(), values.end(), [](uint8_t b) { return b > 1; });
  if (wrong != values.end()) Bad("metadata key '{}' has a bool of value {}", key, *wrong);
}

GgufValue PartParser::ParseValue(const std::string& key, GgufType type, int depth) {
  GgufValue out{type, uint64_t{0}};
  switch (type) {
    case GgufType::kUint8:
      out.value = uint64_t{cursor_.Read<uint8_t>(key)};
      break;
    case GgufType::kUint16:
      out.value = uint64_t{cursor_.Read<uint16_t>(key)};
      break;
    case GgufType::kUint32:
      out.value = uint64_t{cursor_.Read<uint32_t>(key)};
      break;
    case GgufType::kUint64:
      out.value = cursor_.Read<uint64_t>(key);
      break;
    case GgufType::kInt8:
      out.value = int64_t{cursor_.Read<int8_t>(key)};
      break;
    case GgufType::kInt16:
      out.value = int64_t{cursor_.Read<int16_t>(key)};
      break;
    case GgufType::kInt32:
      out.value = int64_t{cursor_.Read<int32_t>(key)};
      break;
    case GgufType::kInt64:
      out.value = cursor_.Read<int64_t>(key);
      break;
    case GgufType::kFloat32:
      out.value = cursor_.Read<float>(key);
      break;
    case GgufType::kFloat64:
      out.value = cursor_.Read<double>(key);
      break;
    case GgufType::kBool: {
      const auto byte = cursor_.Read<uint8_t>(key);
      CheckBools(key, {&byte, 1});
      out.value = uint64_t{byte};
      break;
    }
    case GgufType::kString:
      out.value = cursor_.ReadString(key);
      break;
    case GgufType::kArray:
      out.value = ParseArray(key, depth + 1);
      break;
  }
  return out;
}

std::shared_ptr<const GgufArray> PartParser::ParseArray(const std::string& key, int depth) {
  if (depth > kMaxArrayDepth) Bad("metadata key '{}' nests arrays more than {} deep", key, kMaxArrayDepth);
  auto array = std::make_shared<GgufArray>();
  array->element = ParseType(key);
  array->count = cursor_.Read<uint64_t>(key);
  if (array->element == GgufType::kString) {
    cursor_.CheckCount(array->count, sizeof(uint64_t), "strings");
    for (uint64_t i = 0; i < array->count; ++i) array->strings.push_back(cursor_.ReadString(key));
  } else if (array->element == GgufType::kArray) {
    cursor_.CheckCount(array->count, sizeof(uint32_t) + sizeof(uint64_t), "arrays");
    for (uint64_t i = 0; i < array->count; ++i) array->values.push_back(ParseValue(key, GgufType::kArray, depth));
  } else {
    const uint64_t each = ScalarBytes(array->element);
    cursor_.CheckCount(array->count, each, "array elements");
    const std::span<const uint8_t> packed = cursor_.Take(array->count * each, key);
    if (array->element == GgufType::kBool) CheckBools(key, packed);
    array->packed.assign(packed.begin(), packed.end());
  }
  return array;
}

void PartParser::ParseTensors(uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) part_.tensors.push_back(ParseTensor());
  RefuseDuplicates(part_.tensors, "tensor", [](const GgufTensor& tensor) { return std::string_view(tensor.name); });
}

GgufTensor PartParser::ParseTensor() {
  GgufTensor tensor;
  tensor.name = cursor_.ReadString("a tensor's name");
  if (tensor.name.empty()) Bad("tensor {} has an empty name", part_.tensors.size());
  if (tensor.name.size() > kMostNameBytes) {
    Bad("tensor {} has a name of {} bytes; {} are possible", part_.tensors.size(), tensor.name.size(), kMostNameBytes);
  }
  const auto dimensions = cursor_.Read<uint32_t>(tensor.name);
  if (dimensions < 1 || dimensions > kMaxDimensions) {
    Bad("tensor '{}' has {} dimensions; 1 to {} are possible", tensor.name, dimensions, kMaxDimensions);
  }
  for (uint32_t d = 0; d < dimensions; ++d) tensor.shape.push_back(cursor_.Read<uint64_t>(tensor.name));
  const FormatTraits& traits = ParseFormat(tensor.name);
  tensor.format = traits.format;
  CheckShape(tensor, traits);
  offsets_.push_back(cursor_.Read<uint64_t>(tensor.name));
  return tensor;
}

const FormatTraits& PartParser::ParseFormat(const std::string& tensor) {
  const auto type = cursor_.Read<uint32_t>(tensor);
  const FormatTraits* traits = FindStoredType(type);
  if (traits != nullptr && (traits->decode != nullptr || types_ == TensorTypes::kStored)) return *traits;
  std::string known;
  for (const FormatTraits& row : Formats()) {
    known += fmt::format("{}{} ({})", known.empty() ? "" : ", ", row.name, static_cast<uint32_t>(row.format));
  }
  if (traits == nullptr) {
    Fail(ErrorKind::kUnsupported, "{}: tensor '{}' has the unknown type {}; known are {}", cursor_.source(), tensor,
         type, known);
  }
  Fail(ErrorKind::kUnsupported,
       "{}: tensor '{}' is {} ({}), which Assay cannot compute with: take a file with types among {}", cursor_.source(),
       tensor, traits->name, type, known);
}

void PartParser::CheckShape(const GgufTensor& tensor, const FormatTraits& traits) const {
  uint64_t elements = 1;
  for (const uint64_t dimension : tensor.shape) {
    if (dimension == 0) Bad("tensor '{}' has a dimension of 0", tensor.name);
    // Signed 64 bits are what loops and other tools count elements in.
    if (__builtin_mul_overflow(elements, dimension, &elements) || elements > INT64_MAX / sizeof(float)) {
      Bad("the dimensions of tensor '{}' ({}) overflow", tensor.name, fmt::join(tensor.shape, " x "));
    }
  }
  if (tensor.row_length() % static_cast<uint64_t>(traits.block_size) != 0) {
    Bad("tensor '{}' has rows of {}, which do not divide into {} blocks of {}", tensor.name, tensor.row_length(),
        traits.name, traits.block_size);
  }
}

void PartParser::AttachData() {
  if (part_.tensors.empty()) return;
  const uint64_t alignment = part_.alignment;
  const uint64_t start = (cursor_.position() + alignment - 1) / alignment * alignment;
  const uint64_t available = start < bytes_.size() ? bytes_.size() - start : 0;
  for (size_t i = 0; i < part_.tensors.size(); ++i) {
    GgufTensor& tensor = part_.tensors[i];
    const uint64_t offset = offsets_[i];
    const uint64_t size = BytesOf(TraitsOf(tensor.format), tensor.elements());
    if (offset % alignment != 0) {
      Bad("tensor '{}' is at offset {}, which is not a multiple of {}", tensor.name, offset, alignment);
    }
    if (offset > available || size > available - offset) {
      Bad("truncated or damaged: tensor '{}' needs {} bytes at offset {} of {} bytes of data", tensor.name, size,
          offset, available);
    }
    tensor.data = bytes_.subspan(start + offset, size);
  }
  std::vector<size_t> order(part_.tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return offsets_[a] < offsets_[b]; });
  for (size_t i = 1; i < order.size(); ++i) {
    const GgufTensor& before = part_.tensors[order[i - 1]];
    const GgufTensor& after = part_.tensors[order[i]];
    if (offsets_[order[i]] - offsets_[order[i - 1]] < before.data.size()) {
      Bad("tensors '{}' and '{}' overlap", before.name, after.name);
    }
  }
}

}  // namespace

uint64_t ScalarBytes(GgufType type) {
  switch (type) {
    case GgufType::kUint8:
    case GgufType::kInt8:
    case GgufType::kBool:
      return 1;
    case GgufType::kUint16:
    case GgufType::kInt16:
      return 2;
    case GgufType::kUint32:
    case GgufType::kInt32:
    case GgufType::kFloat32:
      return 4;
    case GgufType::kUint64:
    case GgufType::kInt64:
    case GgufType::kFloat64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      return 0;
  }
  return 0;
}

uint64_t GgufAlignment(const GgufMetadata& metadata, std::string_view source) {
  const auto entry =
      std::find_if(metadata.begin(), metadata.end(), [](const auto& e) { return e.first == kGgufAlignmentKey; });
  if (entry == metadata.end()) return kGgufDefaultAlignment;
  const auto* alignment = std::get_if<uint64_t>(&entry->second.value);
  if (alignment == nullptr || entry->second.type != GgufType::kUint32) {
    Fail(ErrorKind::kBadFile, "{}: {} is not a 32-bit unsigned integer; {}", source, kGgufAlignmentKey, kGetAgain);
  }
  if (*alignment < kLeastAlignment || *alignment > kMostAlignment || (*alignment & (*alignment - 1)) != 0) {
    Fail(ErrorKind::kBadFile, "{}: {} is {}, which is not a power of two from {} to {}; {}", source, kGgufAlignmentKey,
         *alignment, kLeastAlignment, kMostAlignment, kGetAgain);
  }
  return *alignment;
}

GgufPart ParseGgufPart(std::span<const uint8_t> bytes, std::string_view source, TensorTypes types) {
  return PartParser(bytes, source, types).Parse();
}

}  // namespace assay
