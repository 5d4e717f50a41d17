#include "base/error.h"
#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {
namespace {

DeltaNetSpec DeltaNet(SpecBuilder& builder, const GgufFile& file, int layer) {
  DeltaNetSpec d;
  d.key_heads = builder.keys.Int("ssm.group_count");
  d.value_heads = builder.keys.Int("ssm.time_step_rank");
  d.head_dim = builder.keys.Int("ssm.state_size");
  d.conv_window = builder.keys.Int("ssm.conv_kernel");
  const int inner = builder.keys.Int("ssm.inner_size");
  const bool plausible = d.key_heads <= 4096 && d.value_heads <= 4096 && d.head_dim <= 4096 && d.conv_window <= 64;
  if (!plausible || d.value_heads % d.key_heads != 0 || inner != d.value_heads * d.head_dim) {
    Fail(ErrorKind::kBadFile,
         "{}: delta-net sizes do not fit together: {} key heads, {} value heads of {}, inner size {}, window {}; {}",
         file.path().string(), d.key_heads, d.value_heads, d.head_dim, inner, d.conv_window, kGetAgain);
  }
  const int width = builder.spec.width;
  const auto name = [layer](std::string_view suffix) { return SpecBuilder::Block(layer, suffix); };
  d.qkv = builder.NeedMatrix(name("attn_qkv.weight"), {width, d.qkv_width()});
  d.gate = builder.NeedMatrix(name("attn_gate.weight"), {width, d.value_width()});
  d.conv = builder.Need(name("ssm_conv1d.weight"), {d.conv_window, d.qkv_width()});
  d.dt_bias = builder.Need(name("ssm_dt.bias"), {d.value_heads});
  d.a = builder.Need(name("ssm_a"), {d.value_heads});
  d.norm = builder.Need(name("ssm_norm.weight"), {d.head_dim});
  d.output = builder.NeedMatrix(name("ssm_out.weight"), {d.value_width(), width});
  return d;
}

// Value heads of a key head apart from each other, alpha and beta each a matrix.
DeltaNetSpec SeparateDeltaNet(SpecBuilder& builder, const GgufFile& file, int layer) {
  DeltaNetSpec d = DeltaNet(builder, file, layer);
  d.alpha = builder.NeedMatrix(SpecBuilder::Block(layer, "ssm_alpha.weight"), {builder.spec.width, d.value_heads});
  d.beta = builder.NeedMatrix(SpecBuilder::Block(layer, "ssm_beta.weight"), {builder.spec.width, d.value_heads});
  return d;
}

// Value heads of a key head beside each other; for each key head the rows of beta, then those of alpha.
DeltaNetSpec FusedDeltaNet(SpecBuilder& builder, const GgufFile& file, int layer) {
  DeltaNetSpec d = DeltaNet(builder, file, layer);
  d.neighbours_share = true;
  const int share = d.value_heads / d.key_heads;
  const GgufTensor* both =
      builder.Need(SpecBuilder::Block(layer, "ssm_ba.weight"), {builder.spec.width, 2 * d.value_heads});
  d.beta = {both, 0, share, 2 * share};
  d.alpha = {both, share, share, 2 * share};
  return d;
}

// Where no layer is attention, what the file says of it reaches nothing.
void IgnoreAttention(const Hyperparameters& keys) {
  for (const char* key : {"attention.head_count", "attention.head_count_kv", "attention.key_length",
                          "attention.value_length", "rope.dimension_count", "rope.freq_base"}) {
    keys.Ignore(key);
  }
}

using DeltaNetBuilder = DeltaNetSpec (*)(SpecBuilder&, const GgufFile&, int layer);

ModelSpec BuildHybrid(const GgufFile& file, bool moe, DeltaNetBuilder delta_net) {
  SpecBuilder builder(file);
  ModelSpec& spec = builder.spec;
  builder.keys.Ignore("rope.dimension_sections");  // for text all their positions are equal
  const int interval = builder.keys.IntOr("full_attention_interval", 4);
  if (builder.layers() < interval) IgnoreAttention(builder.keys);
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer;
    layer.mixer_norm = builder.NeedNorm(SpecBuilder::Block(i, "attn_norm"), spec.width);
    layer.ffn_norm = builder.NeedNorm(SpecBuilder::Block(i, "post_attention_norm"), spec.width);
    if ((i + 1) % interval == 0) {
      layer.attention = builder.Attention(i, {.output_gate = true, .norms = HeadNorms::kEachHead});
    } else {
      layer.delta_net = delta_net(builder, file, i);
    }
    if (moe) {
      layer.moe = builder.Moe(i, {});
      const int shared = builder.keys.Int("expert_shared_feed_forward_length");
      builder.AddSharedExpert(i, shared, /*gated=*/true, *layer.moe);
    } else {
      layer.ffn = builder.Ffn(i, {});
    }
    spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace

// Qwen3.5: gated delta-net layers (Yang et al. 2024) with every n-th layer full attention whose output is gated. RoPE
// is multi-dimensional in the files; for text all positions are equal and it is the plain one over the first
// dimensions.
ModelSpec BuildQwen35(const GgufFile& file) {
  return BuildHybrid(file, file.GetString("general.architecture") == "qwen35moe", &SeparateDeltaNet);
}

// Qwen3-Next, from which Qwen3.5 came: other orders of heads and rows.
ModelSpec BuildQwen3Next(const GgufFile& file) { return BuildHybrid(file, /*moe=*/true, &FusedDeltaNet); }

}  // namespace assay
