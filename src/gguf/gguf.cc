#include "gguf/gguf.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "gguf/parser.h"

namespace assay {
namespace {

template <typename T>
GgufValue PackedArray(GgufType element, const std::vector<T>& v) {
  auto array = std::make_shared<GgufArray>();
  array->element = element;
  array->count = v.size();
  array->packed.resize(v.size() * sizeof(T));
  if (!v.empty()) std::memcpy(array->packed.data(), v.data(), array->packed.size());
  return {GgufType::kArray, std::move(array)};
}

template <typename T>
T Unpack(const GgufArray& array, uint64_t index) {
  T value;
  std::memcpy(&value, array.packed.data() + index * sizeof(T), sizeof(T));
  return value;
}

}  // namespace

GgufValue GgufValue::Of(uint32_t v) { return {GgufType::kUint32, uint64_t{v}}; }
GgufValue GgufValue::Of(float v) { return {GgufType::kFloat32, v}; }
GgufValue GgufValue::Of(bool v) { return {GgufType::kBool, uint64_t{v}}; }
GgufValue GgufValue::Of(std::string v) { return {GgufType::kString, std::move(v)}; }
GgufValue GgufValue::Of(const std::vector<float>& v) { return PackedArray(GgufType::kFloat32, v); }
GgufValue GgufValue::Of(const std::vector<int32_t>& v) { return PackedArray(GgufType::kInt32, v); }

GgufValue GgufValue::Of(std::vector<std::string> v) {
  auto array = std::make_shared<GgufArray>();
  array->element = GgufType::kString;
  array->count = v.size();
  array->strings = std::move(v);
  return {GgufType::kArray, std::move(array)};
}

void SetMetadata(GgufMetadata& metadata, std::string_view key, GgufValue value) {
  const auto entry = std::find_if(metadata.begin(), metadata.end(), [&](const auto& e) { return e.first == key; });
  if (entry != metadata.end()) {
    entry->second = std::move(value);
  } else {
    metadata.emplace_back(key, std::move(value));
  }
}

uint64_t GgufTensor::elements() const {
  return std::accumulate(shape.begin(), shape.end(), uint64_t{1}, std::multiplies<>());
}

GgufFile GgufFile::Parse(std::span<const uint8_t> bytes, std::string_view name, TensorTypes types) {
  GgufFile file;
  file.path_ = name;
  file.AddPart(ParseGgufPart(bytes, name, types), bytes.size());
  file.IndexTensors();
  return file;
}

// The first part gives the metadata; later ones carry tensors alone.
void GgufFile::AddPart(GgufPart part, uint64_t bytes) {
  if (file_bytes_ == 0) {
    version_ = part.version;
    alignment_ = part.alignment;
    metadata_ = std::move(part.metadata);
  }
  file_bytes_ += bytes;
  tensors_.insert(tensors_.end(), std::make_move_iterator(part.tensors.begin()),
                  std::make_move_iterator(part.tensors.end()));
}

void GgufFile::IndexTensors() {
  tensor_index_.reserve(tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i) tensor_index_.emplace_back(tensors_[i].name, i);
  std::sort(tensor_index_.begin(), tensor_index_.end());
  const auto twice = std::adjacent_find(tensor_index_.begin(), tensor_index_.end(),
                                        [](const auto& a, const auto& b) { return a.first == b.first; });
  if (twice != tensor_index_.end()) {
    Fail(ErrorKind::kBadFile, "{}: tensor '{}' is there twice in its parts; {}", path_.string(), twice->first,
         kGetAgain);
  }
}

const GgufTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto found = std::lower_bound(tensor_index_.begin(), tensor_index_.end(), name,
                                      [](const auto& entry, std::string_view n) { return entry.first < n; });
  return found != tensor_index_.end() && found->first == name ? &tensors_[found->second] : nullptr;
}

const GgufValue* GgufFile::Find(std::string_view key) const {
  const auto entry = std::find_if(metadata_.begin(), metadata_.end(), [&](const auto& e) { return e.first == key; });
  return entry != metadata_.end() ? &entry->second : nullptr;
}

void GgufFile::FailType(std::string_view key, std::string_view wanted) const {
  Fail(ErrorKind::kBadFile, "{}: metadata key '{}' is not {}; {}", path_.string(), key, wanted, kGetAgain);
}

void GgufFile::FailAbsent(std::string_view key) const {
  Fail(ErrorKind::kBadFile, "{}: metadata key '{}' is missing; {}", path_.string(), key, kGetAgain);
}

std::optional<uint64_t> GgufFile::FindUint(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::kBool) {
    if (const auto* u = std::get_if<uint64_t>(&value->value)) return *u;
    if (const auto* i = std::get_if<int64_t>(&value->value); i != nullptr && *i >= 0) return static_cast<uint64_t>(*i);
  }
  FailType(key, "an integer of 0 or more");
}

std::optional<double> GgufFile::FindFloat(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* f = std::get_if<float>(&value->value)) return *f;
  if (const auto* d = std::get_if<double>(&value->value)) return *d;
  FailType(key, "a floating-point number");
}

std::optional<bool> GgufFile::FindBool(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::kBool) FailType(key, "a bool");
  return std::get<uint64_t>(value->value) != 0;
}

std::optional<std::string> GgufFile::FindString(std::string_view key) const {
  return Find(key) != nullptr ? std::optional(GetString(key)) : std::nullopt;
}

uint64_t GgufFile::GetUint(std::string_view key) const {
  const std::optional<uint64_t> value = FindUint(key);
  if (!value) FailAbsent(key);
  return *value;
}

double GgufFile::GetFloat(std::string_view key) const {
  const std::optional<double> value = FindFloat(key);
  if (!value) FailAbsent(key);
  return *value;
}

const std::string& GgufFile::GetString(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) FailAbsent(key);
  const auto* text = std::get_if<std::string>(&value->value);
  if (text == nullptr) FailType(key, "a string");
  return *text;
}

const GgufArray* GgufFile::FindArray(std::string_view key, std::string_view wanted) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return nullptr;
  const auto* array = std::get_if<std::shared_ptr<const GgufArray>>(&value->value);
  if (array == nullptr) FailType(key, wanted);
  return array->get();
}

std::span<const std::string> GgufFile::FindStrings(std::string_view key) const {
  const GgufArray* array = FindArray(key, "an array of strings");
  if (array == nullptr) return {};
  if (array->element != GgufType::kString) FailType(key, "an array of strings");
  return array->strings;
}

std::vector<int64_t> GgufFile::FindInts(std::string_view key) const {
  constexpr std::string_view kWanted = "an array of integers that fit 63 bits, or of bools";
  const GgufArray* array = FindArray(key, kWanted);
  if (array == nullptr) return {};
  std::vector<int64_t> out(array->count);
  for (uint64_t i = 0; i < array->count; ++i) {
    switch (array->element) {
      case GgufType::kUint8:
      case GgufType::kBool:
        out[i] = Unpack<uint8_t>(*array, i);
        break;
      case GgufType::kInt8:
        out[i] = int64_t{Unpack<int8_t>(*array, i)};
        break;
      case GgufType::kUint16:
        out[i] = Unpack<uint16_t>(*array, i);
        break;
      case GgufType::kInt16:
        out[i] = Unpack<int16_t>(*array, i);
        break;
      case GgufType::kUint32:
        out[i] = Unpack<uint32_t>(*array, i);
        break;
      case GgufType::kInt32:
        out[i] = Unpack<int32_t>(*array, i);
        break;
      case GgufType::kInt64:
        out[i] = Unpack<int64_t>(*array, i);
        break;
      case GgufType::kUint64:
        if (Unpack<uint64_t>(*array, i) > INT64_MAX) FailType(key, kWanted);
        out[i] = Unpack<int64_t>(*array, i);
        break;
      default:
        FailType(key, kWanted);
    }
  }
  return out;
}

std::vector<float> GgufFile::FindFloats(std::string_view key) const {
  constexpr std::string_view kWanted = "an array of floating-point numbers";
  const GgufArray* array = FindArray(key, kWanted);
  if (array == nullptr) return {};
  std::vector<float> out(array->count);
  for (uint64_t i = 0; i < array->count; ++i) {
    if (array->element == GgufType::kFloat32) {
      out[i] = Unpack<float>(*array, i);
    } else if (array->element == GgufType::kFloat64) {
      out[i] = static_cast<float>(Unpack<double>(*array, i));
    } else {
      FailType(key, kWanted);
    }
  }
  return out;
}

}  // namespace assay
