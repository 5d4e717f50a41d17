#include "forge/mixture.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>
#include <optional>
#include <utility>

#include "base/error.h"

namespace assay {
namespace {

// What a tensor is to the rules.
enum class Role { kOther, kOutput, kAttnV, kAttnK, kAttnQkv, kAttnOutput, kFfnDown };

// When a rule holds. `i` and `n` are the tensor's index and the count among those of its role (see Indexer).
enum class When {
  kAlways,
  kEightExperts,
  kSharedHeads,      // four or more query heads share a key-value head
  k70B,              // 80 layers with shared heads: the models whose attn_v is small
  kFirstTwo,         // i < 2
  kFirstSixteenth,   // i < n / 16
  kEighthImportant,  // i < n / 8, and there is an importance matrix
  kMoreBits,         // the first and the last eighth, and every third between
};

struct Rule {
  Role role;
  Rung rung;
  When when;
  Format format;
};

// The first rule that holds decides; a tensor without one has the rung's base format. This is llama.cpp's table
// (docs/formats.md), read from top to bottom.
constexpr Rule kRules[] = {
    {Role::kOutput, Rung::kQ6_K, When::kAlways, Format::kQ6_K},
    {Role::kOutput, Rung::kQ5_K_M, When::kAlways, Format::kQ6_K},
    {Role::kOutput, Rung::kQ4_K_M, When::kAlways, Format::kQ6_K},
    {Role::kOutput, Rung::kQ4_0, When::kAlways, Format::kQ6_K},
    {Role::kOutput, Rung::kQ3_K_M, When::kAlways, Format::kQ6_K},
    {Role::kOutput, Rung::kQ2_K, When::kAlways, Format::kQ6_K},

    {Role::kAttnV, Rung::kQ6_K, When::kEightExperts, Format::kQ8_0},
    {Role::kAttnV, Rung::kQ5_K_M, When::kEightExperts, Format::kQ8_0},
    {Role::kAttnV, Rung::kQ5_K_M, When::kMoreBits, Format::kQ6_K},
    {Role::kAttnV, Rung::kQ4_K_M, When::kEightExperts, Format::kQ8_0},
    {Role::kAttnV, Rung::kQ4_K_M, When::kMoreBits, Format::kQ6_K},
    {Role::kAttnV, Rung::kQ4_K_M, When::k70B, Format::kQ5_K},
    {Role::kAttnV, Rung::kQ4_0, When::kEightExperts, Format::kQ8_0},
    {Role::kAttnV, Rung::kQ3_K_M, When::kEightExperts, Format::kQ8_0},
    {Role::kAttnV, Rung::kQ3_K_M, When::k70B, Format::kQ5_K},
    {Role::kAttnV, Rung::kQ3_K_M, When::kFirstTwo, Format::kQ5_K},
    {Role::kAttnV, Rung::kQ3_K_M, When::kAlways, Format::kQ4_K},
    {Role::kAttnV, Rung::kQ2_K, When::kEightExperts, Format::kQ8_0},
    {Role::kAttnV, Rung::kQ2_K, When::k70B, Format::kQ5_K},
    {Role::kAttnV, Rung::kQ2_K, When::kSharedHeads, Format::kQ4_K},
    {Role::kAttnV, Rung::kQ2_K, When::kAlways, Format::kQ3_K},

    {Role::kAttnK, Rung::kQ6_K, When::kEightExperts, Format::kQ8_0},
    {Role::kAttnK, Rung::kQ5_K_M, When::kEightExperts, Format::kQ8_0},
    {Role::kAttnK, Rung::kQ4_K_M, When::kEightExperts, Format::kQ8_0},
    {Role::kAttnK, Rung::kQ4_0, When::kEightExperts, Format::kQ8_0},
    {Role::kAttnK, Rung::kQ3_K_M, When::kEightExperts, Format::kQ8_0},
    {Role::kAttnK, Rung::kQ2_K, When::kEightExperts, Format::kQ8_0},

    {Role::kAttnQkv, Rung::kQ5_K_M, When::kAlways, Format::kQ6_K},
    {Role::kAttnQkv, Rung::kQ4_K_M, When::kAlways, Format::kQ5_K},
    {Role::kAttnQkv, Rung::kQ3_K_M, When::kAlways, Format::kQ4_K},

    {Role::kAttnOutput, Rung::kQ4_K_M, When::kEightExperts, Format::kQ5_K},
    {Role::kAttnOutput, Rung::kQ3_K_M, When::kEightExperts, Format::kQ5_K},
    {Role::kAttnOutput, Rung::kQ3_K_M, When::kAlways, Format::kQ4_K},
    {Role::kAttnOutput, Rung::kQ2_K, When::kEightExperts, Format::kQ5_K},
    {Role::kAttnOutput, Rung::kQ2_K, When::kAlways, Format::kQ3_K},

    {Role::kFfnDown, Rung::kQ5_K_M, When::kMoreBits, Format::kQ6_K},
    {Role::kFfnDown, Rung::kQ4_K_M, When::kMoreBits, Format::kQ6_K},
    {Role::kFfnDown, Rung::kQ4_0, When::kEighthImportant, Format::kQ4_1},
    {Role::kFfnDown, Rung::kQ3_K_M, When::kFirstSixteenth, Format::kQ5_K},
    {Role::kFfnDown, Rung::kQ3_K_M, When::kAlways, Format::kQ4_K},
    {Role::kFfnDown, Rung::kQ2_K, When::kAlways, Format::kQ3_K},
};

// Where a row length does not divide into blocks of 256.
constexpr std::pair<Format, Format> kFallbacks[] = {
    {Format::kQ2_K, Format::kIQ4_NL}, {Format::kQ3_K, Format::kIQ4_NL}, {Format::kQ4_K, Format::kQ5_0},
    {Format::kQ5_K, Format::kQ5_1},   {Format::kQ6_K, Format::kQ8_0},
};

// Weights that are small, or that act on more than a product: left as they are wherever the name has one of these.
constexpr std::string_view kExemptParts[] = {
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "attn_rel_b.weight",
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v0.weight",
    "time_mix_v1.weight",
    "time_mix_v2.weight",
    "time_mix_a0.weight",
    "time_mix_a1.weight",
    "time_mix_a2.weight",
    "time_mix_g1.weight",
    "time_mix_g2.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
};
constexpr std::string_view kExemptNames[] = {"position_embd.weight", "token_types.weight"};

bool Contains(std::string_view name, std::string_view part) { return name.find(part) != std::string_view::npos; }

// Trailing dimensions of 1 do not count: a vector stored as a matrix of one row stays a vector.
int Dimensions(const std::vector<uint64_t>& shape) {
  int dimensions = static_cast<int>(shape.size());
  while (dimensions > 1 && shape[static_cast<size_t>(dimensions - 1)] == 1) --dimensions;
  return dimensions;
}

bool Eligible(const MixtureTensor& tensor) {
  if (Dimensions(tensor.shape) < 2 || !tensor.name.ends_with("weight")) return false;
  if (std::ranges::find(kExemptNames, tensor.name) != std::end(kExemptNames)) return false;
  return std::ranges::none_of(kExemptParts, [&](std::string_view part) { return Contains(tensor.name, part); });
}

Role RoleOf(std::string_view name, bool tied) {
  if (name == "output.weight" || (tied && name == "token_embd.weight")) return Role::kOutput;
  if (Contains(name, "attn_v.weight")) return Role::kAttnV;
  if (Contains(name, "attn_k.weight")) return Role::kAttnK;
  if (Contains(name, "attn_qkv.weight")) return Role::kAttnQkv;
  if (Contains(name, "attn_output.weight")) return Role::kAttnOutput;
  if (Contains(name, "ffn_down")) return Role::kFfnDown;
  return Role::kOther;
}

// N of "blk.N.", or -1.
int LayerOf(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return -1;
  int layer = -1;
  const auto [end, error] = std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), layer);
  const bool whole = error == std::errc() && end != name.data() + name.size() && *end == '.' && layer >= 0;
  return whole ? layer : -1;
}

struct Position {
  int i = 0, n = 0;
};

// Gives a tensor its place among those of its role, in the order of the layers. Tensors attn_v count among all that
// hold value projections; ffn_down counts against the layers, by its own layer's number when there are experts, whose
// tensors need not be one to a layer.
class Indexer {
 public:
  Indexer(const MixtureFacts& facts, std::span<const MixtureTensor> tensors) : facts_(facts) {
    for (const MixtureTensor& tensor : tensors) {
      values_ += Contains(tensor.name, "attn_v.weight") || Contains(tensor.name, "attn_qkv.weight") ||
                 Contains(tensor.name, "attn_kv_b.weight");
    }
  }

  Position Next(Role role, std::string_view name) {
    if (role == Role::kAttnV) return {attn_v_++, values_};
    if (role != Role::kFfnDown) return {};
    if (facts_.expert_count <= 1) return {ffn_down_++, facts_.block_count};
    const int layer = LayerOf(name);
    if (layer < 0 || layer >= facts_.block_count) {
      Fail(ErrorKind::kBadFile, "tensor '{}' names no layer below the model's {}: its format cannot be chosen; {}",
           name, facts_.block_count, kGetAgain);
    }
    return {layer, facts_.block_count};
  }

 private:
  const MixtureFacts& facts_;
  int values_ = 0, attn_v_ = 0, ffn_down_ = 0;
};

int QueriesPerKey(const MixtureFacts& facts) {
  return facts.head_count_kv == 0 ? 0 : facts.head_count / facts.head_count_kv;
}

bool Holds(When when, const MixtureFacts& facts, Position at) {
  switch (when) {
    case When::kAlways:
      return true;
    case When::kEightExperts:
      return facts.expert_count == 8;
    case When::kSharedHeads:
      return QueriesPerKey(facts) >= 4;
    case When::k70B:
      return facts.block_count == 80 && QueriesPerKey(facts) > 1;
    case When::kFirstTwo:
      return at.i < 2;
    case When::kFirstSixteenth:
      return at.i < at.n / 16;
    case When::kEighthImportant:
      return facts.has_importance && at.i < at.n / 8;
    case When::kMoreBits:
      return at.i < at.n / 8 || at.i >= 7 * at.n / 8 || (at.i - at.n / 8) % 3 == 2;
  }
  return false;
}

Format Wanted(const RungTraits& rung, Role role, const MixtureFacts& facts, Position at) {
  for (const Rule& rule : kRules) {
    if (rule.role == role && rule.rung == rung.rung && Holds(rule.when, facts, at)) return rule.format;
  }
  return rung.base;
}

// The order in which llama.cpp visits tensors: by layer, those of no layer first.
std::vector<size_t> OrderOfLayers(std::span<const MixtureTensor> tensors) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {},
                    [&](size_t i) { return std::pair(LayerOf(tensors[i].name), std::string_view(tensors[i].name)); });
  return order;
}

}  // namespace

Format FitToRow(Format wanted, uint64_t row_length) {
  const auto fits = [row_length](Format format) {
    return row_length % static_cast<uint64_t>(TraitsOf(format).block_size) == 0;
  };
  if (fits(wanted)) return wanted;
  const auto* row = std::ranges::find(kFallbacks, wanted, &std::pair<Format, Format>::first);
  return row != std::end(kFallbacks) && fits(row->second) ? row->second : Format::kF16;
}

std::vector<MixtureChoice> ChooseMixture(Rung rung, const MixtureFacts& facts, std::span<const MixtureTensor> tensors) {
  const RungTraits& traits = TraitsOf(rung);
  const bool tied = std::ranges::find(tensors, "output.weight", &MixtureTensor::name) == tensors.end();
  Indexer indexer(facts, tensors);
  std::vector<MixtureChoice> choices(tensors.size());
  for (const size_t i : OrderOfLayers(tensors)) {
    const MixtureTensor& tensor = tensors[i];
    if (!Eligible(tensor)) {
      choices[i] = {.format = tensor.current, .wanted = tensor.current};
      continue;
    }
    const Role role = RoleOf(tensor.name, tied);
    const Format wanted = Wanted(traits, role, facts, indexer.Next(role, tensor.name));
    const Format format = FitToRow(wanted, tensor.shape.front());
    choices[i] = {.format = format, .eligible = true, .fallback = format != wanted, .wanted = wanted};
  }
  return choices;
}

}  // namespace assay
