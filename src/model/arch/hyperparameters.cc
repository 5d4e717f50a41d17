#include "model/arch/hyperparameters.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.h"

namespace assay {
namespace {

constexpr int kMost = 1 << 24;

// Keys that describe a file and never change a result.
constexpr std::string_view kDescriptions[] = {
    "vocab_size",                            // the embedding's rows are counted
    "tensor_data_layout",                    // rows of q and k are in the order of the file's rope
    "rope.scaling.finetuned",                // whether training saw the scaling
    "attention.layer_norm_epsilon",          // of norms that the model does not have: each kind reads its own
    "attention.layer_norm_rms_epsilon",      //
    "pooling_type",                          // of embeddings
    "rope.scaling.original_context_length",  // without a scaling that uses it
};

// Keys that ask for a step, and the values that ask for none.
struct Neutral {
  std::string_view key;
  double value, other;
};
constexpr Neutral kNeutral[] = {
    {"attention.causal", 1, 1},
    {"attention.clamp_kqv", 0, 0},
    {"attention.max_alibi_bias", 0, 0},
    {"attention.output_scale", 0, 1},
    {"attention.scale", 0, 0},
    {"attention.shared_kv_layers", 0, 0},
    {"attention.sliding_window", 0, 0},
    {"attention.temperature_length", 0, 0},
    {"attention.temperature_scale", 0, 0},
    {"attention.value_scale", 0, 1},
    {"attn_logit_softcapping", 0, 0},
    {"embedding_length_per_layer_input", 0, 0},
    {"embedding_scale", 0, 1},
    {"expert_count", 0, 0},
    {"expert_gating_func", 1, 1},  // softmax
    {"expert_group_count", 0, 1},
    {"expert_group_used_count", 0, 1},
    {"expert_shared_count", 0, 0},
    {"expert_used_count", 0, 0},
    {"expert_weights_scale", 0, 1},
    {"final_logit_softcapping", 0, 0},
    {"leading_dense_block_count", 0, 0},
    {"logit_scale", 0, 1},
    {"n_deepstack_layers", 0, 0},
    {"nextn_predict_layers", 0, 0},
    {"residual_scale", 0, 1},
    {"rope.dimension_sections", 0, 0},
    {"rope.scaling.alpha", 0, 0},
    {"rope.scaling.attn_factor", 1, 1},
    {"rope.scaling.yarn_attn_factor", 1, 1},
    {"rope.scaling.yarn_ext_factor", 1, -1},
    {"router_logit_softcapping", 0, 0},
    {"swiglu_clamp_exp", 0, 0},
    {"swiglu_clamp_shexp", 0, 0},
};

std::optional<double> Number(const GgufValue& value) {
  if (const auto* u = std::get_if<uint64_t>(&value.value)) return static_cast<double>(*u);
  if (const auto* i = std::get_if<int64_t>(&value.value)) return static_cast<double>(*i);
  if (const auto* f = std::get_if<float>(&value.value)) return static_cast<double>(*f);
  if (const auto* d = std::get_if<double>(&value.value)) return *d;
  return std::nullopt;
}

// The numbers of a value, of an array too; nothing for text.
std::vector<double> Numbers(const GgufFile& file, std::string_view full_name) {
  const GgufValue& value = *file.Find(full_name);
  if (const auto number = Number(value)) return {*number};
  const auto* array = std::get_if<std::shared_ptr<const GgufArray>>(&value.value);
  std::vector<double> numbers;
  if (array == nullptr || !(*array)->strings.empty() || !(*array)->values.empty()) return numbers;
  if ((*array)->element == GgufType::kFloat32 || (*array)->element == GgufType::kFloat64) {
    for (const float number : file.FindFloats(full_name)) numbers.push_back(static_cast<double>(number));
  } else {
    for (const int64_t number : file.FindInts(full_name)) numbers.push_back(static_cast<double>(number));
  }
  return numbers;
}

}  // namespace

bool SaysNothing(std::string_view key, const GgufFile& file, std::string_view full_name) {
  if (std::find(std::begin(kDescriptions), std::end(kDescriptions), key) != std::end(kDescriptions)) return true;
  const auto* row =
      std::find_if(std::begin(kNeutral), std::end(kNeutral), [&](const Neutral& n) { return n.key == key; });
  if (row == std::end(kNeutral)) return false;
  const std::vector<double> numbers = Numbers(file, full_name);
  return !numbers.empty() && std::all_of(numbers.begin(), numbers.end(),
                                         [&](double number) { return number == row->value || number == row->other; });
}

Hyperparameters::Hyperparameters(const GgufFile& file)
    : file_(file), prefix_(file.GetString("general.architecture") + ".") {}

const std::string& Hyperparameters::Read(std::string_view key) const { return *read_.insert(Name(key)).first; }

bool Hyperparameters::Has(std::string_view key) const { return file_.Find(Name(key)) != nullptr; }

int Hyperparameters::InRange(std::string_view key, uint64_t value, int least) const {
  if (value < static_cast<uint64_t>(least) || value > kMost) {
    Fail(ErrorKind::kBadFile, "{}: {} is {}; it must lie in {}..{}; {}", file_.path().string(), Name(key), value, least,
         kMost, kGetAgain);
  }
  return static_cast<int>(value);
}

int Hyperparameters::Int(std::string_view key) const { return InRange(key, file_.GetUint(Read(key)), 1); }

int Hyperparameters::IntOr(std::string_view key, int otherwise) const { return Has(key) ? Int(key) : otherwise; }

int Hyperparameters::IntAt(std::string_view key, int layer) const {
  const std::string& name = Read(key);
  const GgufValue* value = file_.Find(name);
  if (value == nullptr || value->type != GgufType::kArray) return Int(key);
  const std::vector<int64_t> numbers = file_.FindInts(name);
  if (static_cast<size_t>(layer) >= numbers.size() || numbers[static_cast<size_t>(layer)] < 0) {
    Fail(ErrorKind::kBadFile, "{}: {} has no number for layer {}; {}", file_.path().string(), name, layer, kGetAgain);
  }
  return InRange(key, static_cast<uint64_t>(numbers[static_cast<size_t>(layer)]), 1);
}

int Hyperparameters::IntAtOr(std::string_view key, int layer, int otherwise) const {
  return Has(key) ? IntAt(key, layer) : otherwise;
}

int Hyperparameters::Count(std::string_view key) const {
  return InRange(key, file_.FindUint(Read(key)).value_or(0), 0);
}

float Hyperparameters::Float(std::string_view key) const {
  file_.GetFloat(Read(key));
  return FloatOr(key, 0.0F);
}

float Hyperparameters::FloatOr(std::string_view key, float otherwise) const {
  const auto value = static_cast<float>(file_.FindFloat(Read(key)).value_or(static_cast<double>(otherwise)));
  if (!std::isfinite(value)) {
    Fail(ErrorKind::kBadFile, "{}: {} is {}; it must be finite; {}", file_.path().string(), Name(key), value,
         kGetAgain);
  }
  return value;
}

float Hyperparameters::PositiveOr(std::string_view key, float otherwise) const {
  const float value = FloatOr(key, otherwise);
  if (!(value > 0.0F)) {
    Fail(ErrorKind::kBadFile, "{}: {} is {}; it must be a finite number above 0; {}", file_.path().string(), Name(key),
         value, kGetAgain);
  }
  return value;
}

float Hyperparameters::NonNegativeOr(std::string_view key, float otherwise) const {
  return FloatOr(key, otherwise) == 0.0F ? 0.0F : PositiveOr(key, otherwise);
}

float Hyperparameters::ScaleOr(std::string_view key, float otherwise) const {
  return FloatOr(key, 0.0F) == 0.0F ? otherwise : PositiveOr(key, otherwise);
}

bool Hyperparameters::BoolOr(std::string_view key, bool otherwise) const {
  return file_.FindBool(Read(key)).value_or(otherwise);
}

std::string Hyperparameters::StringOr(std::string_view key, std::string_view otherwise) const {
  return file_.FindString(Read(key)).value_or(std::string(otherwise));
}

std::vector<bool> Hyperparameters::BoolsOfLayers(std::string_view key, int layers) const {
  const std::string& name = Read(key);
  const GgufValue* value = file_.Find(name);
  if (value == nullptr || value->type != GgufType::kArray) return {};
  std::vector<bool> flags;
  for (const int64_t flag : file_.FindInts(name)) flags.push_back(flag != 0);
  if (flags.size() != static_cast<size_t>(layers)) {
    Fail(ErrorKind::kBadFile, "{}: {} has {} entries for {} layers; {}", file_.path().string(), name, flags.size(),
         layers, kGetAgain);
  }
  return flags;
}

void Hyperparameters::Ignore(std::string_view key) const { Read(key); }

void Hyperparameters::RefuseUnread() const {
  for (const auto& [name, value] : file_.metadata()) {
    if (!name.starts_with(prefix_) || read_.contains(name)) continue;
    if (SaysNothing(std::string_view(name).substr(prefix_.size()), file_, name)) continue;
    Fail(ErrorKind::kUnsupported,
         "{}: {} asks for something that is not built for these models: leaving it out would give wrong results; look "
         "for a newer Assay",
         file_.path().string(), name);
  }
}

}  // namespace assay
