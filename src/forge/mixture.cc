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

// What a tensor is to the rules. Values: all that hold value projections, alone, with queries and keys, or as the
// up-projection of a latent.
enum class Role { kOther, kOutput, kValues, kKeys, kAttnOutput, kFfnDown };

// When a rule holds. `i` and `n` are the tensor's index and the count among those of its role (see Indexer).
enum class When {
  kAlways,
  kEightExperts,
  kSharedHeads,       // four or more query heads share a key-value head
  k70B,               // the models of 70 billion parameters, whose attn_v is small
  kFirstTwo,          // i < 2
  kFirstFour,         // i < 4
  kFirstSixteenth,    // i < n / 16
  kFirstEighth,       // i < n / 8
  kEighthImportant,   // i < n / 8, and there is an importance matrix
  kEighthUnweighted,  // i < n / 8, and there is none
  kMoreBits,          // the first and the last eighth, and every third between
};

using RungSet = uint32_t;
template <typename... R>
constexpr RungSet Of(R... rungs) {
  return ((RungSet{1} << static_cast<unsigned>(rungs)) | ...);
}
constexpr RungSet kEvery = ~RungSet{0};

struct Rule {
  Role role;
  RungSet rungs;
  When when;
  Format format;
};

// The first rule that holds decides; a tensor without one has the rung's base format. This is llama.cpp's table
// (docs/formats.md), read from top to bottom; rungs that hold no blocks have no rules.
constexpr Rule kRules[] = {
    {Role::kOutput, Of(Rung::kQ8_0), When::kAlways, Format::kQ8_0},
    {Role::kOutput, kEvery, When::kAlways, Format::kQ6_K},

    {Role::kValues, kEvery, When::kEightExperts, Format::kQ8_0},
    {Role::kValues, Of(Rung::kQ5_K_M, Rung::kQ4_K_M), When::kMoreBits, Format::kQ6_K},
    {Role::kValues, Of(Rung::kQ4_K_M, Rung::kQ4_K_S), When::k70B, Format::kQ5_K},
    {Role::kValues, Of(Rung::kQ4_K_S), When::kFirstFour, Format::kQ5_K},
    {Role::kValues, Of(Rung::kIQ4_NL, Rung::kIQ4_XS), When::kSharedHeads, Format::kQ5_K},
    {Role::kValues, Of(Rung::kQ3_K_L, Rung::kQ3_K_M, Rung::kQ3_K_S, Rung::kQ2_K), When::k70B, Format::kQ5_K},
    {Role::kValues, Of(Rung::kQ3_K_L), When::kAlways, Format::kQ5_K},
    {Role::kValues, Of(Rung::kQ3_K_M), When::kFirstTwo, Format::kQ5_K},
    {Role::kValues, Of(Rung::kQ3_K_M), When::kAlways, Format::kQ4_K},
    {Role::kValues, Of(Rung::kQ2_K), When::kSharedHeads, Format::kQ4_K},
    {Role::kValues, Of(Rung::kQ2_K), When::kAlways, Format::kQ3_K},

    {Role::kKeys, kEvery, When::kEightExperts, Format::kQ8_0},

    {Role::kAttnOutput,
     Of(Rung::kQ4_K_M, Rung::kQ4_K_S, Rung::kIQ4_NL, Rung::kIQ4_XS, Rung::kQ3_K_M, Rung::kQ3_K_S, Rung::kQ2_K),
     When::kEightExperts, Format::kQ5_K},
    {Role::kAttnOutput, Of(Rung::kQ3_K_L), When::kEightExperts, Format::kQ3_K},
    {Role::kAttnOutput, Of(Rung::kQ3_K_L), When::kAlways, Format::kQ5_K},
    {Role::kAttnOutput, Of(Rung::kQ3_K_M), When::kAlways, Format::kQ4_K},
    {Role::kAttnOutput, Of(Rung::kQ2_K), When::kAlways, Format::kQ3_K},

    {Role::kFfnDown, Of(Rung::kQ5_K_M, Rung::kQ4_K_M), When::kMoreBits, Format::kQ6_K},
    {Role::kFfnDown, Of(Rung::kQ5_0), When::kEighthImportant, Format::kQ5_1},
    {Role::kFfnDown, Of(Rung::kQ4_K_S), When::kFirstEighth, Format::kQ5_K},
    {Role::kFfnDown, Of(Rung::kIQ4_NL, Rung::kIQ4_XS), When::kEighthUnweighted, Format::kQ5_K},
    {Role::kFfnDown, Of(Rung::kQ4_0), When::kEighthImportant, Format::kQ4_1},
    {Role::kFfnDown, Of(Rung::kQ3_K_L), When::kAlways, Format::kQ5_K},
    {Role::kFfnDown, Of(Rung::kQ3_K_M), When::kFirstSixteenth, Format::kQ5_K},
    {Role::kFfnDown, Of(Rung::kQ3_K_M), When::kAlways, Format::kQ4_K},
    {Role::kFfnDown, Of(Rung::kQ2_K), When::kAlways, Format::kQ3_K},
};

// In the place of those for the same roles, for the architecture falcon.
constexpr Rule kFalconRules[] = {
    {Role::kOutput, kEvery, When::kAlways, Format::kQ8_0},
    {Role::kAttnOutput, Of(Rung::kQ3_K_L), When::kAlways, Format::kQ4_K},
    {Role::kFfnDown, Of(Rung::kQ5_K_M), When::kMoreBits, Format::kQ6_K},
    {Role::kFfnDown, Of(Rung::kQ5_0), When::kEighthImportant, Format::kQ5_1},
    {Role::kFfnDown, Of(Rung::kQ4_K_M), When::kFirstSixteenth, Format::kQ6_K},
    {Role::kFfnDown, Of(Rung::kQ4_K_M), When::kMoreBits, Format::kQ5_K},
    {Role::kFfnDown, Of(Rung::kIQ4_NL, Rung::kIQ4_XS), When::kEighthUnweighted, Format::kQ5_K},
    {Role::kFfnDown, Of(Rung::kQ4_0), When::kEighthImportant, Format::kQ4_1},
    {Role::kFfnDown, Of(Rung::kQ3_K_L), When::kAlways, Format::kQ4_K},
    {Role::kFfnDown, Of(Rung::kQ3_K_M), When::kFirstSixteenth, Format::kQ5_K},
    {Role::kFfnDown, Of(Rung::kQ3_K_M), When::kMoreBits, Format::kQ4_K},
    {Role::kFfnDown, Of(Rung::kQ2_K), When::kAlways, Format::kQ3_K},
};

// The files that llama.cpp takes for a model of 70 billion parameters.
constexpr std::pair<std::string_view, int> k70BLayers[] = {
    {"llama", 80}, {"qwen2", 80}, {"deci", 80}, {"olmo", 80}, {"jais2", 68},
};

// Where a row length does not divide into blocks of 256.
constexpr std::pair<Format, Format> kFallbacks[] = {
    {Format::kQ2_K, Format::kQ4_0}, {Format::kQ3_K, Format::kQ4_0}, {Format::kQ4_K, Format::kQ5_0},
    {Format::kQ5_K, Format::kQ5_1}, {Format::kQ6_K, Format::kQ8_0}, {Format::kIQ4_XS, Format::kIQ4_NL},
};

// Weights that are small, or that act on more than a product: left as they are wherever the name has one of these.
constexpr std::string_view kExemptParts[] = {
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
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
    ".position_embd",
    "sam.pos_embd",
    "sam.neck.",
    "sam.net_",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
    "a.rvq.codebook",
    "mm.a.code_embd",
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

bool HoldsValues(std::string_view name) {
  return Contains(name, "attn_qkv.weight") || Contains(name, "attn_kv_b.weight") || Contains(name, "attn_v.weight");
}

Role RoleOf(std::string_view name, bool tied) {
  if (name == "output.weight") return Role::kOutput;
  if (name == "token_embd.weight" || name == "per_layer_token_embd.weight") return tied ? Role::kOutput : Role::kOther;
  if (HoldsValues(name)) return Role::kValues;
  if (Contains(name, "attn_k.weight")) return Role::kKeys;
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

// Gives a tensor its place among those of its role, in the order of the layers. Values count among all that hold them;
// ffn_down counts against the layers, by its own layer's number when there are experts, whose tensors need not be one
// to a layer.
class Indexer {
 public:
  Indexer(const MixtureFacts& facts, std::span<const MixtureTensor> tensors) : facts_(facts) {
    for (const MixtureTensor& tensor : tensors) values_ += HoldsValues(tensor.name) ? 1 : 0;
  }

  Position Next(Role role, std::string_view name) {
    if (role == Role::kValues) return {value_++, values_};
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
  int values_ = 0, value_ = 0, ffn_down_ = 0;
};

int QueriesPerKey(const MixtureFacts& facts) {
  return facts.head_count_kv == 0 ? 0 : facts.head_count / facts.head_count_kv;
}

bool Is70B(const MixtureFacts& facts) {
  const auto size = std::pair<std::string_view, int>(facts.architecture, facts.block_count);
  if (std::ranges::find(k70BLayers, size) == std::end(k70BLayers)) return false;
  return facts.architecture != "llama" || facts.head_count != facts.head_count_kv;  // those are of 65 billion
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
      return Is70B(facts);
    case When::kFirstTwo:
      return at.i < 2;
    case When::kFirstFour:
      return at.i < 4;
    case When::kFirstSixteenth:
      return at.i < at.n / 16;
    case When::kFirstEighth:
      return at.i < at.n / 8;
    case When::kEighthImportant:
      return facts.has_importance && at.i < at.n / 8;
    case When::kEighthUnweighted:
      return !facts.has_importance && at.i < at.n / 8;
    case When::kMoreBits:
      return at.i < at.n / 8 || at.i >= 7 * at.n / 8 || (at.i - at.n / 8) % 3 == 2;
  }
  return false;
}

std::span<const Rule> RulesOf(Role role, const MixtureFacts& facts) {
  const bool own = std::ranges::find(kFalconRules, role, &Rule::role) != std::end(kFalconRules);
  if (own && facts.architecture == "falcon") return kFalconRules;
  return kRules;
}

// Experts' matrices; of all stacks but those of latent attention in bailingmoe3.
bool IsStack(const MixtureFacts& facts, const MixtureTensor& tensor) {
  if (tensor.shape.size() < 3 || tensor.shape[2] < 2) return false;
  return facts.architecture != "bailingmoe3" || Contains(tensor.name, "ffn_");
}

Format Wanted(const RungTraits& rung, Role role, const MixtureFacts& facts, Position at) {
  if (TraitsOf(rung.base).block_size == 1) return rung.base;
  for (const Rule& rule : RulesOf(role, facts)) {
    const bool meant = rule.role == role && (rule.rungs & Of(rung.rung)) != 0;
    if (meant && Holds(rule.when, facts, at)) return rule.format;
  }
  return rung.base;
}

// MXFP4_MOE has no other rule.
Format WantedOfExperts(Role role, bool stack) {
  return role != Role::kOutput && stack ? Format::kMXFP4 : Format::kQ8_0;
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
    const Position at = indexer.Next(role, tensor.name);
    const Format wanted =
        rung == Rung::kMXFP4_MOE ? WantedOfExperts(role, IsStack(facts, tensor)) : Wanted(traits, role, facts, at);
    const Format format = FitToRow(wanted, tensor.shape.front());
    choices[i] = {.format = format, .eligible = true, .fallback = format != wanted, .wanted = wanted};
  }
  return choices;
}

}  // namespace assay
