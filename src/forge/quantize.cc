#include "forge/quantize.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/thread_pool.h"
#include "forge/imatrix.h"
#include "text/pattern.h"

namespace assay {
namespace {

constexpr uint32_t kQuantizationVersion = 2;  // of the block formats
constexpr float kLargestHalf = 65504.0F;

// A task encodes whole rows of about this many values; a batch of tasks is encoded before it is written.
constexpr uint64_t kTaskValues = 1 << 15;
constexpr uint64_t kBatchValues = 1 << 22;

bool IsQuantised(Format format) { return TraitsOf(format).block_size > 1; }

// Scalar metadata, or the first element of the array that models with unlike layers have of it; 0 if absent.
int OfFirstLayer(const GgufFile& file, const std::string& key) {
  const GgufValue* value = file.Find(key);
  if (value == nullptr) return 0;
  if (value->type != GgufType::kArray) return static_cast<int>(std::min<uint64_t>(file.GetUint(key), INT32_MAX));
  const std::vector<int64_t> layers = file.FindInts(key);
  return layers.empty() ? 0 : static_cast<int>(std::clamp<int64_t>(layers.front(), 0, INT32_MAX));
}

MixtureFacts FactsOf(const GgufFile& file, bool has_importance) {
  MixtureFacts facts;
  facts.architecture = file.GetString("general.architecture");
  facts.block_count = OfFirstLayer(file, facts.architecture + ".block_count");
  facts.head_count = OfFirstLayer(file, facts.architecture + ".attention.head_count");
  facts.head_count_kv = OfFirstLayer(file, facts.architecture + ".attention.head_count_kv");
  facts.expert_count = OfFirstLayer(file, facts.architecture + ".expert_count");
  facts.has_importance = has_importance;
  return facts;
}

void ApplyOverrides(const GgufFile& in, const std::vector<TypeOverride>& overrides,
                    std::vector<MixtureChoice>& choices) {
  std::vector<Pattern> patterns;
  patterns.reserve(overrides.size());
  for (const TypeOverride& entry : overrides) patterns.emplace_back(entry.pattern);
  std::vector<bool> used(overrides.size());
  for (size_t i = 0; i < choices.size(); ++i) {
    const GgufTensor& tensor = in.tensors()[i];
    if (!choices[i].eligible) continue;
    for (size_t p = 0; p < patterns.size(); ++p) {
      if (!patterns[p].FindsItselfIn(tensor.name)) continue;
      used[p] = true;
      choices[i].wanted = overrides[p].format;
      choices[i].format = FitToRow(choices[i].wanted, tensor.row_length());
      choices[i].fallback = choices[i].format != choices[i].wanted;
      break;
    }
  }
  const auto unused = std::find(used.begin(), used.end(), false);
  if (unused != used.end()) {
    Fail(ErrorKind::kUsage, "no tensor that is quantised is left for '{}'; look at the names with assay inspect",
         overrides[static_cast<size_t>(unused - used.begin())].pattern);
  }
}

std::vector<MixtureChoice> Choose(const GgufFile& in, Rung rung, const QuantizeOptions& options) {
  std::vector<MixtureTensor> tensors;
  for (const GgufTensor& tensor : in.tensors()) tensors.push_back({tensor.name, tensor.shape, tensor.format});
  std::vector<MixtureChoice> choices = ChooseMixture(rung, FactsOf(in, !options.imatrix.empty()), tensors);
  ApplyOverrides(in, options.overrides, choices);
  return choices;
}

GgufMetadata MetadataOf(const GgufFile& in, Rung rung, const std::optional<ImportanceMatrix>& importance) {
  GgufMetadata metadata = in.metadata();
  std::erase_if(metadata, [](const auto& entry) { return entry.first.starts_with("split."); });
  SetMetadata(metadata, "general.quantization_version", GgufValue::Of(kQuantizationVersion));
  SetMetadata(metadata, "general.file_type", GgufValue::Of(TraitsOf(rung).file_type));
  if (importance) {
    const auto number = [](int64_t value) { return GgufValue{GgufType::kInt32, value}; };
    SetMetadata(metadata, "quantize.imatrix.file", GgufValue::Of(importance->path().string()));
    if (!importance->dataset().empty()) {
      SetMetadata(metadata, "quantize.imatrix.dataset", GgufValue::Of(importance->dataset()));
    }
    SetMetadata(metadata, "quantize.imatrix.entries_count", number(static_cast<int64_t>(importance->size())));
    if (importance->chunks() > 0) SetMetadata(metadata, "quantize.imatrix.chunks_count", number(importance->chunks()));
  }
  return metadata;
}

// One line for all rows that do not divide into blocks: how many, what became of them, an example. Empty if none.
std::string FallbackNote(const GgufFile& in, const std::vector<MixtureChoice>& choices) {
  std::map<std::pair<Format, Format>, size_t> counts;
  std::set<uint64_t> rows;
  const GgufTensor* first = nullptr;
  size_t total = 0, eligible = 0;
  for (size_t i = 0; i < choices.size(); ++i) {
    eligible += choices[i].eligible ? 1 : 0;
    if (!choices[i].fallback) continue;
    ++total;
    ++counts[{choices[i].wanted, choices[i].format}];
    rows.insert(in.tensors()[i].row_length());
    if (first == nullptr) first = &in.tensors()[i];
  }
  if (total == 0) return {};
  std::vector<std::string> kinds;
  kinds.reserve(counts.size());
  for (const auto& [change, count] : counts) {
    kinds.push_back(
        fmt::format("{} {} instead of {}", count, TraitsOf(change.second).name, TraitsOf(change.first).name));
  }
  return fmt::format("{} of {} tensors fell back, since rows of {} do not divide into the blocks wanted: {} (first {})",
                     total, eligible, fmt::join(rows, ", "), fmt::join(kinds, ", "), first->name);
}

void AddNotes(const GgufFile& in, const std::vector<MixtureChoice>& choices,
              const std::optional<ImportanceMatrix>& importance, std::vector<std::string>& notes) {
  if (std::string note = FallbackNote(in, choices); !note.empty()) notes.push_back(std::move(note));
  bool requantised = false;
  size_t unweighted = 0;
  for (size_t i = 0; i < choices.size(); ++i) {
    const GgufTensor& tensor = in.tensors()[i];
    const MixtureChoice& choice = choices[i];
    if (choice.format == tensor.format) continue;
    requantised |= IsQuantised(tensor.format);
    if (importance && IsQuantised(choice.format) && importance->Find(tensor.name, tensor.shape).empty()) ++unweighted;
  }
  if (requantised) notes.emplace_back(kQuantisedSourceNote);
  if (importance && importance->unmet() > 0) {
    notes.push_back(fmt::format("{} met no token for {} of its {} matrices: their columns weigh the same",
                                importance->path().string(), importance->unmet(), importance->matrices()));
  }
  if (unweighted > 0) {
    notes.push_back(fmt::format("{} has nothing for {} of the quantised tensors: their columns weigh the same",
                                importance->path().string(), unweighted));
  }
}

// Encodes one tensor in batches and hands the bytes to the writer.
class TensorEncoder {
 public:
  TensorEncoder(const GgufFile& file, const GgufTensor& tensor, Format format, std::span<const float> importance)
      : file_(file), tensor_(tensor), from_(TraitsOf(tensor.format)), to_(TraitsOf(format)), importance_(importance) {}

  template <typename Report>
  void Run(ThreadPool& pool, GgufWriter& writer, const Report& report) {
    const uint64_t row_length = tensor_.row_length();
    const uint64_t rows_per_task = std::max<uint64_t>(1, kTaskValues / row_length);
    const uint64_t rows_per_batch = std::max<uint64_t>(1, kBatchValues / (row_length * rows_per_task)) * rows_per_task;
    std::vector<uint8_t> encoded;
    for (uint64_t first = 0; first < tensor_.rows(); first += rows_per_batch) {
      const uint64_t rows = std::min(rows_per_batch, tensor_.rows() - first);
      encoded.resize(rows * BytesOf(to_, row_length));
      pool.ParallelFor(static_cast<int64_t>((rows + rows_per_task - 1) / rows_per_task), [&](int64_t task) {
        const uint64_t begin = static_cast<uint64_t>(task) * rows_per_task;
        EncodeRows(first + begin, std::min(rows_per_task, rows - begin),
                   encoded.data() + begin * BytesOf(to_, row_length));
      });
      if (bad_.load() != kNone) FailBadWeight();
      writer.WriteData(encoded);
      report(rows * BytesOf(from_, row_length));
    }
  }

 private:
  static constexpr uint64_t kNone = UINT64_MAX;

  void EncodeRows(uint64_t first, uint64_t rows, uint8_t* out) {
    const uint64_t row_length = tensor_.row_length();
    std::vector<float> values(row_length);
    for (uint64_t row = first; row < first + rows; ++row) {
      from_.decode(tensor_.data.data() + row * BytesOf(from_, row_length), values.data(),
                   static_cast<int64_t>(row_length));
      const auto bad = std::find_if(values.begin(), values.end(), [this](float v) { return !Fits(v); });
      if (bad != values.end()) {
        NoteBad(row * row_length + static_cast<uint64_t>(bad - values.begin()));
        return;
      }
      to_.encode(values.data(), out, static_cast<int64_t>(row_length), ImportanceOf(row));
      out += BytesOf(to_, row_length);
    }
  }

  bool Fits(float value) const {
    return std::isfinite(value) && (to_.format != Format::kF16 || std::fabs(value) <= kLargestHalf);
  }

  // A stack of experts has a set of weights for each expert's matrix.
  const float* ImportanceOf(uint64_t row) const {
    if (importance_.empty()) return nullptr;
    const uint64_t matrix = tensor_.shape.size() > 2 ? row / tensor_.shape[1] % tensor_.shape[2] : 0;
    return importance_.data() + matrix * tensor_.row_length();
  }

  // Keeps the first in the tensor's order, whichever thread finds one.
  void NoteBad(uint64_t index) {
    uint64_t known = bad_.load();
    while (index < known && !bad_.compare_exchange_weak(known, index)) {
    }
  }

  [[noreturn]] void FailBadWeight() const {
    const uint64_t index = bad_.load();
    const auto block = static_cast<uint64_t>(from_.block_size);
    std::vector<float> values(block);
    from_.decode(tensor_.data.data() + BytesOf(from_, index / block * block), values.data(),
                 static_cast<int64_t>(block));
    Fail(ErrorKind::kBadFile, "{}: weight {} of tensor '{}' is {}, which {} cannot hold; {}", file_.path().string(),
         index, tensor_.name, values[index % block], to_.name,
         std::isfinite(values[index % block]) ? "choose a type with a wider range"
                                              : "the model is damaged, download or convert it again");
  }

  const GgufFile& file_;
  const GgufTensor& tensor_;
  const FormatTraits& from_;
  const FormatTraits& to_;
  std::span<const float> importance_;
  std::atomic<uint64_t> bad_{kNone};
};

// Not even on the way from one model to the next may what is not a number pass.
void RequireFinite(const GgufFile& file, const GgufTensor& tensor) {
  const FormatTraits& format = TraitsOf(tensor.format);
  std::vector<float> values(tensor.row_length());
  for (uint64_t row = 0; row < tensor.rows(); ++row) {
    format.decode(tensor.data.data() + row * BytesOf(format, values.size()), values.data(),
                  static_cast<int64_t>(values.size()));
    const auto bad = std::ranges::find_if(values, [](float v) { return !std::isfinite(v); });
    if (bad == values.end()) continue;
    Fail(ErrorKind::kBadFile, "{}: weight {} of tensor '{}' is {}: the model is damaged; {}", file.path().string(),
         row * values.size() + static_cast<uint64_t>(bad - values.begin()), tensor.name, *bad, kGetAgain);
  }
}

void RefuseOverwritingInputs(const GgufFile& in, const std::filesystem::path& out, const std::string& imatrix) {
  std::error_code absent;
  if (!imatrix.empty() && std::filesystem::equivalent(imatrix, out, absent)) {
    Fail(ErrorKind::kUsage, "{} is the importance matrix; name another output", out.string());
  }
  for (const std::filesystem::path& part : in.parts()) {
    if (std::filesystem::equivalent(part, out, absent)) {
      Fail(ErrorKind::kUsage, "{} is the source itself; name another output", out.string());
    }
  }
}

void WriteModel(const GgufFile& in, const std::filesystem::path& out, const GgufMetadata& metadata,
                const std::vector<GgufTensorInfo>& infos, const std::optional<ImportanceMatrix>& importance,
                const QuantizeOptions& options) {
  ThreadPool pool(options.threads);
  GgufWriter writer(out, metadata, infos);
  uint64_t done = 0, total = 0;
  for (const GgufTensor& tensor : in.tensors()) total += tensor.data.size();
  for (size_t i = 0; i < infos.size(); ++i) {
    const GgufTensor& tensor = in.tensors()[i];
    const auto report = [&](uint64_t bytes) {
      done += bytes;
      if (options.progress) options.progress(done, total, tensor.name);
    };
    if (infos[i].format == tensor.format) {
      if (!IsQuantised(tensor.format)) RequireFinite(in, tensor);
      writer.WriteData(tensor.data);
      report(tensor.data.size());
      continue;
    }
    const std::span<const float> weights =
        importance ? importance->Find(tensor.name, tensor.shape) : std::span<const float>();
    TensorEncoder(in, tensor, infos[i].format, weights).Run(pool, writer, report);
  }
  writer.Finish();
}

}  // namespace

QuantizeResult QuantizeModel(const GgufFile& in, const std::filesystem::path& out, Rung rung,
                             const QuantizeOptions& options) {
  RefuseOverwritingInputs(in, out, options.imatrix);
  std::optional<ImportanceMatrix> importance;
  if (!options.imatrix.empty()) {
    importance = ImportanceMatrix::Load(options.imatrix);
    importance->RequireFor(in);
  }
  const std::vector<MixtureChoice> choices = Choose(in, rung, options);
  const GgufMetadata metadata = MetadataOf(in, rung, importance);
  std::vector<GgufTensorInfo> infos;
  QuantizeResult result;
  uint64_t parameters = 0, tensor_bytes = 0;
  for (size_t i = 0; i < choices.size(); ++i) {
    const GgufTensor& tensor = in.tensors()[i];
    infos.push_back({tensor.name, tensor.shape, choices[i].format});
    TypeTotal& type = result.types[std::string(TraitsOf(choices[i].format).name)];
    ++type.tensors;
    type.bytes += infos.back().bytes();
    tensor_bytes += infos.back().bytes();
    parameters += tensor.elements();
  }
  AddNotes(in, choices, importance, result.notes);
  result.bytes_in = in.file_bytes();
  result.bytes_out = GgufFileBytes(metadata, infos);
  if (parameters > 0)
    result.bits_per_weight = static_cast<double>(tensor_bytes) * 8.0 / static_cast<double>(parameters);
  if (!options.dry_run) WriteModel(in, out, metadata, infos, importance, options);
  return result;
}

}  // namespace assay
