#include "render/measure_json.h"

#include <optional>

namespace assay {
namespace {

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

// A rate in units of `unit`; null for one that was not measured or that the processor does not have.
Json RateJson(double rate, double unit) { return rate > 0.0 ? Json(rate / unit) : Json(); }

Json GigabytesJson(const std::optional<double>& bytes) { return bytes ? Json(*bytes / 1e9) : Json(); }

Json ToJson(const Sample& sample) {
  return {{"round", sample.round},
          {"order", sample.order},
          {"seconds", sample.seconds},
          {"load_average", OrNull(sample.conditions.load_average)},
          {"cpu_mhz", OrNull(sample.conditions.cpu_mhz)},
          {"involuntary_switches", sample.conditions.involuntary_switches},
          {"major_faults", sample.conditions.major_faults}};
}

Json RatesJson(const ThroughputResult& result) {
  Json samples = Json::array();
  for (const Sample& sample : result.samples) samples.push_back(sample.tok_per_s());
  const Summary& s = result.tok_per_s;
  return {{"mean", s.mean}, {"sd", s.sd},   {"median", s.median}, {"mad", s.mad},
          {"min", s.min},   {"max", s.max}, {"samples", samples}};
}

}  // namespace

Json ToJson(const Environment& environment) {
  return {{"cpu", environment.cpu},
          {"cores", environment.cores},
          {"isa", environment.isa},
          {"memory_bytes", environment.memory_bytes},
          {"kernel", environment.kernel},
          {"governor", OrNull(environment.governor)},
          {"compiler", environment.compiler},
          {"build_type", environment.build_type},
          {"assay_version", environment.assay_version}};
}

Json ToJson(const ModelIdentity& model) {
  return {{"file", model.file},
          {"digest", model.digest},
          {"architecture", model.architecture},
          {"name", model.name},
          {"quant", model.quant},
          {"parameters", model.parameters},
          {"file_bytes", model.file_bytes},
          {"tensor_bytes", model.tensor_bytes}};
}

Json ToJson(const ProbeResult& probe) {
  Json samples = Json::array();
  for (const double sample : probe.read_samples) samples.push_back(sample / 1e9);
  return {{"read_gb_per_s", RateJson(probe.read_bytes_per_s, 1e9)},
          {"read_gb_per_s_samples", samples},
          {"read_drift", probe.read_drift},
          {"peak_int8_tops", RateJson(probe.int8_ops, 1e12)},
          {"peak_f32_tflops", RateJson(probe.f32_flops, 1e12)},
          {"peak_bf16_tflops", RateJson(probe.bf16_flops, 1e12)}};
}

Json ToJson(const ThroughputResult& result, std::string_view model, std::string_view quant) {
  Json runs = Json::array();
  for (const Sample& sample : result.samples) runs.push_back(ToJson(sample));
  return {{"model", model},
          {"quant", quant},
          {"test", result.test.name()},
          {"tokens", result.test.tokens},
          {"depth", result.test.depth},
          {"tok_per_s", RatesJson(result)},
          {"bytes_per_token", OrNull(result.weight_bytes_per_token)},
          {"cache_bytes_per_token", OrNull(result.cache_bytes_per_token)},
          {"read_gb_per_s", GigabytesJson(result.read_bytes_per_s)},
          {"bandwidth_util", OrNull(result.bandwidth_util)},
          {"ops_per_s", OrNull(result.ops_per_s)},
          {"ops_util", OrNull(result.ops_util)},
          {"runs", runs}};
}

Json ToJson(const BaseComparison& base) {
  return {{"ppl", base.ppl},
          {"ppl_se", base.ppl_se},
          {"delta_pct", base.delta_pct},
          {"delta_pct_se", base.delta_pct_se},
          {"kld_mean", base.kld_mean},
          {"kld_se", base.kld_se},
          {"kld_median", base.kld_median},
          {"kld_p99", base.kld_p99},
          {"kld_max", base.kld_max},
          {"top1_agree", base.top1_agree},
          {"top1_agree_se", base.top1_agree_se}};
}

}  // namespace assay
