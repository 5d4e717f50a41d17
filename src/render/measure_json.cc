#include "render/measure_json.h"

#include <cmath>
#include <optional>

#include "judge/intervals.h"
#include "judge/statistics.h"

namespace assay {
namespace {

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

// A figure in units of `unit`.
Json ScaledJson(const RunRecord& run, std::string_view name, double unit) {
  const Metric* metric = FindMetric(run, name);
  return metric != nullptr ? Json(metric->value / unit) : Json();
}

Json ToJson(const Sample& sample) {
  return {{"round", sample.round},
          {"order", sample.order},
          {"seconds", sample.seconds},
          {"load_average", OrNull(sample.conditions.load_average)},
          {"cpu_mhz", OrNull(sample.conditions.cpu_mhz)},
          {"involuntary_switches", sample.conditions.involuntary_switches},
          {"major_faults", sample.conditions.major_faults},
          {"swapped_pages", OrNull(sample.conditions.swapped_pages)},
          {"work_seconds", OrNull(sample.conditions.work_seconds)}};
}

Json RatesJson(const RunRecord& run) {
  std::vector<double> rates;
  for (const Sample& sample : run.samples) rates.push_back(sample.tok_per_s());
  const Summary s = Summarize(rates);
  return {{"mean", s.mean}, {"sd", s.sd},   {"median", s.median}, {"mad", s.mad},
          {"min", s.min},   {"max", s.max}, {"samples", rates}};
}

Json SettingJson(const RunRecord& run, std::string_view name) {
  const std::string value = SettingOf(run, name);
  return value.empty() ? Json() : Json(std::stoi(value));
}

// `prefix` is before the names of the figures.
Json DivergencesJson(const RunRecord& run, std::string_view prefix) {
  const auto name = [&](std::string_view figure) { return std::string(prefix) + std::string(figure); };
  return {{"kld_mean", FigureJson(run, name("kld_mean"))},      {"kld_se", ErrorJson(run, name("kld_mean"))},
          {"kld_median", FigureJson(run, name("kld_median"))},  {"kld_p99", FigureJson(run, name("kld_p99"))},
          {"kld_max", FigureJson(run, name("kld_max"))},        {"top1_agree", FigureJson(run, name("top1_agree"))},
          {"top1_agree_se", ErrorJson(run, name("top1_agree"))}};
}

Json EndJson(double end) { return std::isfinite(end) ? Json(end) : Json(); }

}  // namespace

Json ToJson(const Environment& environment) {
  return {{"machine", environment.machine},
          {"cpu", environment.cpu},
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
          {"mix", model.mix},
          {"parameters", model.parameters},
          {"file_bytes", model.file_bytes},
          {"tensor_bytes", model.tensor_bytes}};
}

Json FigureJson(const RunRecord& run, std::string_view name) { return ScaledJson(run, name, 1.0); }

Json ErrorJson(const RunRecord& run, std::string_view name) {
  const Metric* metric = FindMetric(run, name);
  return metric != nullptr ? OrNull(metric->error) : Json();
}

Json ThroughputJson(const RunRecord& run, std::string_view model) {
  Json samples = Json::array();
  for (const Sample& sample : run.samples) samples.push_back(ToJson(sample));
  return {{"model", model},
          {"quant", run.model.quant},
          {"mix", run.model.mix},
          {"test", run.test},
          {"tokens", SettingJson(run, "tokens")},
          {"depth", SettingJson(run, "depth")},
          {"tok_per_s", RatesJson(run)},
          {"intervals", IntervalsJson(run)},
          {"bytes_per_token", FigureJson(run, "bytes_per_token")},
          {"cache_bytes_per_token", FigureJson(run, "cache_bytes_per_token")},
          {"read_gb_per_s", ScaledJson(run, "read_bytes_per_s", 1e9)},
          {"bandwidth_util", FigureJson(run, "bandwidth_util")},
          {"ops_per_s", FigureJson(run, "ops_per_s")},
          {"ops_util", FigureJson(run, "ops_util")},
          {"runs", samples}};
}

Json ProbeJson(const RunRecord& run) {
  Json samples = Json::array();
  for (const Series& series : run.series) {
    for (const float sample : series.values) samples.push_back(sample / 1e9);
  }
  return {{"read_gb_per_s", ScaledJson(run, "probe_read_bytes_per_s", 1e9)},
          {"read_gb_per_s_samples", samples},
          {"read_drift", FigureJson(run, "probe_read_drift")},
          {"peak_int8_tops", ScaledJson(run, "peak_int8_ops", 1e12)},
          {"peak_f32_tflops", ScaledJson(run, "peak_f32_flops", 1e12)},
          {"peak_bf16_tflops", ScaledJson(run, "peak_bf16_flops", 1e12)}};
}

Json BaseJson(const RunRecord& run) {
  Json json = {{"ppl", FigureJson(run, "base_ppl")},
               {"ppl_se", ErrorJson(run, "base_ppl")},
               {"delta_pct", FigureJson(run, "delta_pct")},
               {"delta_pct_se", ErrorJson(run, "delta_pct")}};
  json.update(DivergencesJson(run, ""));
  return json;
}

Json EngineJson(const RunRecord& run) {
  if (FindMetric(run, "engine_kld_mean") == nullptr) return {};
  Json json = DivergencesJson(run, "engine_");
  if (FindMetric(run, "base_engine_kld_mean") != nullptr) json["base"] = DivergencesJson(run, "base_engine_");
  return json;
}

Json IntervalsJson(const RunRecord& run) {
  Json json = Json::object();
  for (const Metric& metric : run.metrics) {
    if (!metric.certainty.has_value()) continue;
    const Certainty& sure = *metric.certainty;
    json[metric.name] = {{"low", OrNull(sure.low)},
                         {"high", OrNull(sure.high)},
                         {"unit", sure.unit},
                         {"units", sure.units},
                         {"method", sure.method}};
  }
  return json;
}

Json GuardsJson(std::span<const GuardResult> guards) {
  Json json = Json::array();
  for (const GuardResult& guard : guards) {
    json.push_back(
        {{"name", guard.name}, {"tripped", guard.tripped}, {"warning", guard.warning}, {"evidence", guard.evidence}});
  }
  return json;
}

Json VerdictsJson(std::span<const Verdict> verdicts) {
  Json json = Json::array();
  for (const Verdict& verdict : verdicts) {
    json.push_back({{"name", verdict.name},
                    {"about", verdict.about},
                    {"outcome", verdict.outcome},
                    {"sentence", verdict.sentence}});
  }
  return json;
}

Json PlaceboJson(std::span<const NoiseFloor> floors) {
  if (floors.empty()) return {};
  Json json = Json::object();
  for (const NoiseFloor& floor : floors) {
    const Interval ends = floor.ratio.interval();
    json[floor.test] = {{"ratio", floor.ratio.value()},  {"low", EndJson(floor.ratio.enough() ? ends.low : INFINITY)},
                        {"high", EndJson(ends.high)},    {"floor", EndJson(floor.floor())},
                        {"unit", floor.ratio.unit()},    {"units", floor.ratio.units()},
                        {"method", floor.ratio.method()}};
  }
  return json;
}

Json ToJson(const Compared& compared, std::string_view name) {
  const Certainty sure = compared.estimate.certainty();
  return {{std::string(name), compared.estimate.units() > 0 ? Json(compared.estimate.value()) : Json()},
          {"low", OrNull(sure.low)},
          {"high", OrNull(sure.high)},
          {"unit", sure.unit},
          {"units", sure.units},
          {"method", sure.method},
          {"standing", StandingName(compared.standing)}};
}

}  // namespace assay
