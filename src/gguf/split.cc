// Opening a model from disk, of one file or of several.

#include <fmt/format.h>

#include <utility>

#include "base/error.h"
#include "gguf/foreign.h"
#include "gguf/gguf.h"
#include "gguf/parser.h"

namespace assay {
namespace {

constexpr std::string_view kSplitNo = "split.no";
constexpr std::string_view kSplitCount = "split.count";
constexpr std::string_view kSplitTensorsCount = "split.tensors.count";

std::string PartSuffix(uint64_t number, uint64_t count) { return fmt::format("-{:05}-of-{:05}.gguf", number, count); }

uint64_t Unsigned(const GgufPart& part, std::string_view key, uint64_t otherwise) {
  for (const auto& [name, value] : part.metadata) {
    if (name != key) continue;
    if (const auto* u = std::get_if<uint64_t>(&value.value)) return *u;
    if (const auto* i = std::get_if<int64_t>(&value.value); i != nullptr && *i >= 0) return static_cast<uint64_t>(*i);
  }
  return otherwise;
}

// The name that all parts share, for a first part that is named as the tools name it.
std::string SharedPrefix(const std::filesystem::path& path, const GgufPart& first, uint64_t count) {
  const std::string name = path.string();
  const uint64_t number = Unsigned(first, kSplitNo, 0);
  const std::string suffix = PartSuffix(number + 1, count);
  const bool named = name.ends_with(suffix);
  std::string prefix = named ? name.substr(0, name.size() - suffix.size()) : "MODEL";
  if (number != 0) {
    Fail(ErrorKind::kBadFile, "{}: part {} of {} of a model; name the first part, {}", name, number + 1, count,
         prefix + PartSuffix(1, count));
  }
  if (!named) {
    Fail(ErrorKind::kBadFile,
         "{}: the first of {} parts of a model, but its name does not end in {}, so that the others cannot be found; "
         "give all parts their names back",
         name, count, suffix);
  }
  return prefix;
}

// The length of "00001" at the end of the text; 0 when no such number is there.
size_t PartNumber(std::string_view text) {
  constexpr size_t kDigits = 5;
  const size_t last = text.find_last_not_of("0123456789");
  return last != std::string_view::npos && text.size() - last - 1 == kDigits ? kDigits : 0;
}

}  // namespace

std::string ModelStem(const std::filesystem::path& path) {
  constexpr std::string_view kOf = "-of-";
  std::string stem = path.stem().string();
  std::string_view rest = stem;
  rest.remove_suffix(PartNumber(rest));
  if (rest.size() == stem.size() || !rest.ends_with(kOf)) return stem;
  rest.remove_suffix(kOf.size());
  const size_t number = PartNumber(rest);
  if (number == 0 || rest.size() <= number + 1 || rest[rest.size() - number - 1] != '-') return stem;
  return std::string(rest.substr(0, rest.size() - number - 1));
}

void GgufFile::Forget(std::span<const uint8_t> part, ThreadPool& pool) const {
  for (const MappedFile& map : maps_) map.Forget(part, pool);
}

GgufPart GgufFile::MapPart(const std::filesystem::path& path, TensorTypes types) {
  parts_.push_back(path);
  maps_.emplace_back(path);
  return ParseGgufPart(maps_.back().bytes(), path.string(), types);
}

GgufFile GgufFile::Open(const std::filesystem::path& path, TensorTypes types) {
  RequireFilePath(path);
  GgufFile file;
  file.path_ = path;
  GgufPart first = file.MapPart(path, types);
  const uint64_t count = Unsigned(first, kSplitCount, 1);
  const uint64_t declared_tensors = Unsigned(first, kSplitTensorsCount, 0);
  const std::string prefix = count > 1 ? SharedPrefix(path, first, count) : std::string();
  file.AddPart(std::move(first), file.maps_.back().bytes().size());
  for (uint64_t number = 2; number <= count; ++number) {
    const std::filesystem::path part_path = prefix + PartSuffix(number, count);
    if (!std::filesystem::exists(part_path)) {
      Fail(ErrorKind::kBadFile, "{}: part {} of {} is missing: {} is not there; get all parts", path.string(), number,
           count, part_path.string());
    }
    GgufPart part = file.MapPart(part_path, types);
    if (Unsigned(part, kSplitNo, 0) != number - 1 || Unsigned(part, kSplitCount, 0) != count) {
      Fail(ErrorKind::kBadFile,
           "{}: does not say that it is part {} of {}: it belongs to another model; get all parts from one place",
           part_path.string(), number, count);
    }
    file.AddPart(std::move(part), file.maps_.back().bytes().size());
  }
  if (count > 1 && file.tensors_.size() != declared_tensors) {
    Fail(ErrorKind::kBadFile, "{}: its {} parts have {} tensors together, but {} says {}; {}", path.string(), count,
         file.tensors_.size(), kSplitTensorsCount, declared_tensors, kGetAgain);
  }
  file.IndexTensors();
  return file;
}

}  // namespace assay
