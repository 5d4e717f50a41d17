#include "base/error.h"
#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {
namespace {

DeltaNetSpec DeltaNet(SpecBuilder& builder, const GgufFile& file, int layer) {
  DeltaNetSpec d;
  d.key_heads = builder.Int("ssm.group_count");
  d.value_heads = builder.Int("ssm.time_step_rank");
  d.head_dim = builder.Int("ssm.state_size");
  d.conv_window = builder.Int("ssm.conv_kernel");
  const int inner = builder.Int("ssm.inner_size");
  const bool plausible = d.key_heads <= 4096 && d.value_heads <= 4096 && d.head_dim <= 4096 && d.conv_window <= 64;
  if (!plausible || d.value_heads % d.key_heads != 0 || inner != d.value_heads * d.head_dim) {
    Fail(ErrorKind::kBadFile,
         "{}: delta-net sizes do not fit together: {} key heads, {} value heads of {}, inner size {}, window {}; {}",
         file.path().string(), d.key_heads, d.value_heads, d.head_dim, inner, d.conv_window, kGetAgain);
  }
  const int width = builder.spec.width;
  const auto name = [layer](std::string_view suffix) { return SpecBuilder::Block(layer, suffix); };
  d.qkv = builder.Need(name("attn_qkv.weight"), {width, d.qkv_width()});
  d.gate = builder.Need(name("attn_gate.weight"), {width, d.value_width()});
  d.conv = builder.Need(name("ssm_conv1d.weight"), {d.conv_window, d.qkv_width()});
  d.alpha = builder.Need(name("ssm_alpha.weight"), {width, d.value_heads});
  d.beta = builder.Need(name("ssm_beta.weight"), {width, d.value_heads});
  d.dt_bias = builder.Need(name("ssm_dt.bias"), {d.value_heads});
  d.a = builder.Need(name("ssm_a"), {d.value_heads});
  d.norm = builder.Need(name("ssm_norm.weight"), {d.head_dim});
  d.output = builder.Need(name("ssm_out.weight"), {d.value_width(), width});
  return d;
}

MoeSpec Moe(SpecBuilder& builder, const GgufFile& file, int layer) {
  MoeSpec m;
  m.experts = builder.Int("expert_count");
  m.used = builder.Int("expert_used_count");
  m.width = builder.Int("expert_feed_forward_length");
  if (m.used > m.experts || m.experts > 4096) {
    Fail(ErrorKind::kBadFile, "{}: {} of {} experts cannot be used; {}", file.path().string(), m.used, m.experts,
         kGetAgain);
  }
  const int width = builder.spec.width;
  const auto name = [layer](std::string_view suffix) { return SpecBuilder::Block(layer, suffix); };
  m.router = builder.Need(name("ffn_gate_inp.weight"), {width, m.experts});
  m.gate = builder.Need(name("ffn_gate_exps.weight"), {width, m.width, m.experts});
  m.up = builder.Need(name("ffn_up_exps.weight"), {width, m.width, m.experts});
  m.down = builder.Need(name("ffn_down_exps.weight"), {m.width, width, m.experts});
  FfnSpec shared;
  shared.width = builder.Int("expert_shared_feed_forward_length");
  shared.gate = builder.Need(name("ffn_gate_shexp.weight"), {width, shared.width});
  shared.up = builder.Need(name("ffn_up_shexp.weight"), {width, shared.width});
  shared.down = builder.Need(name("ffn_down_shexp.weight"), {shared.width, width});
  m.shared = shared;
  m.shared_gate = builder.Need(name("ffn_gate_inp_shexp.weight"), {width});
  return m;
}

}  // namespace

// Qwen3.5: gated delta-net layers (Yang et al. 2024) with every n-th layer full attention whose output is gated. RoPE
// is multi-dimensional in the files; for text all positions are equal and it is the plain one over the first
// dimensions.
ModelSpec BuildQwen35(const GgufFile& file) {
  SpecBuilder builder(file);
  ModelSpec& spec = builder.spec;
  const bool moe = spec.architecture == "qwen35moe";
  const int blocks = builder.Int("block_count");
  const auto prediction_heads = static_cast<int>(
      std::min<uint64_t>(file.FindUint(spec.architecture + ".nextn_predict_layers").value_or(0), 1U << 20U));
  const int interval = builder.IntOr("full_attention_interval", 4);
  if (prediction_heads >= blocks) {
    Fail(ErrorKind::kBadFile, "{}: {} blocks of which {} are prediction heads leave no layers; {}",
         file.path().string(), blocks, prediction_heads, kGetAgain);
  }
  for (int i = 0; i < blocks - prediction_heads; ++i) {
    LayerSpec layer;
    layer.mixer_norm = builder.Need(SpecBuilder::Block(i, "attn_norm.weight"), {spec.width});
    layer.ffn_norm = builder.Need(SpecBuilder::Block(i, "post_attention_norm.weight"), {spec.width});
    if ((i + 1) % interval == 0) {
      layer.attention = builder.Attention(i, /*output_gate=*/true, /*head_norms=*/true);
      layer.attention->rope.scale = builder.RopeScale();
    } else {
      layer.delta_net = DeltaNet(builder, file, i);
    }
    if (moe) {
      layer.moe = Moe(builder, file, i);
    } else {
      layer.ffn = builder.Ffn(i, FfnActivation::kSilu);
    }
    spec.layers.push_back(layer);
  }
  // Multi-token-prediction heads are no part of the model's own output.
  for (int i = blocks - prediction_heads; i < blocks; ++i) builder.SkipLayer(i);
  return builder.Finish();
}

}  // namespace assay
