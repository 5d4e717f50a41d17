#include "measure/records.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "base/clock.h"
#include "judge/guards.h"
#include "judge/intervals.h"
#include "measure/environment.h"

namespace assay {
namespace {

Estimate OverWindows(std::span<const float> values, Scale scale) {
  const std::vector<double> wide(values.begin(), values.end());
  return {wide, "window", Order::kSequence, scale};
}

void AddIf(std::vector<Metric>& metrics, std::string name, const std::optional<double>& value) {
  if (value.has_value()) metrics.push_back({std::move(name), *value});
}

// `prefix` is before the names of all figures and series.
void AddDivergences(const Divergences& of, std::string_view prefix, RunRecord& record) {
  const auto name = [&](std::string_view figure) { return fmt::format("{}{}", prefix, figure); };
  std::vector<Metric>& metrics = record.metrics;
  metrics.push_back(OverWindows(of.window_kld, Scale::kPlain).metric(name("kld_mean")));
  metrics.push_back({name("kld_median"), of.kld_median});
  metrics.push_back({name("kld_p99"), of.kld_p99});
  metrics.push_back({name("kld_max"), of.kld_max});
  metrics.push_back(OverWindows(of.window_top1, Scale::kPlain).metric(name("top1_agree")));
  record.series.push_back({fmt::format("window_{}kld", prefix), of.window_kld});
  record.series.push_back({fmt::format("window_{}top1", prefix), of.window_top1});
}

void AddBase(const BaseComparison& base, const std::vector<float>& window_nll, RunRecord& record) {
  record.metrics.push_back(OverWindows(base.window_nll, Scale::kRatio).metric("base_ppl"));
  record.metrics.push_back(PerplexityDifference(window_nll, base.window_nll).metric("delta_pct"));
  record.series.push_back({"window_base_nll", base.window_nll});
  AddDivergences(base, "", record);
  if (base.engine.has_value()) AddDivergences(*base.engine, "base_engine_", record);
}

}  // namespace

RunRecord NewRecord(std::string kind, std::string test, ModelIdentity model) {
  RunRecord record;
  record.kind = std::move(kind);
  record.test = std::move(test);
  record.started_unix_ms = UnixMilliseconds();
  record.environment = CaptureEnvironment();
  record.model = std::move(model);
  return record;
}

RunRecord RecordOf(const PerplexityResult& result, RunRecord about) {
  RunRecord record = std::move(about);
  record.settings.emplace_back(kArithmeticSetting, ArithmeticName(result.activations));
  if (!result.failure.empty()) {
    record.guards.push_back(CheckFinite(result.failure));
    return record;
  }
  record.guards.push_back(CheckFinite(std::nullopt));
  record.guards.push_back(CheckUnits(result.windows, "window"));
  record.metrics = {OverWindows(result.window_nll, Scale::kRatio).metric("ppl"),
                    OverWindows(result.window_nll, Scale::kPlain).metric("nll"),
                    {"tokens_scored", static_cast<double>(result.tokens_scored)},
                    {"windows", static_cast<double>(result.windows)},
                    {"seconds", result.seconds}};
  record.series.push_back({"window_nll", result.window_nll});
  if (result.base.has_value()) AddBase(*result.base, result.window_nll, record);
  if (result.engine.has_value()) AddDivergences(*result.engine, "engine_", record);
  return record;
}

RunRecord RecordOf(const ThroughputResult& result, RunRecord about) {
  RunRecord record = std::move(about);
  record.settings.emplace_back(kArithmeticSetting, kEverydayArithmetic);
  std::vector<double> rates;
  for (const Sample& sample : result.samples) rates.push_back(sample.tok_per_s());
  record.metrics = {Estimate(rates, "round", Order::kExchangeable, Scale::kPlain).metric("tok_per_s"),
                    {"tok_per_s_sd", result.tok_per_s.sd},
                    {"tok_per_s_median", result.tok_per_s.median}};
  AddIf(record.metrics, "bytes_per_token", result.weight_bytes_per_token);
  AddIf(record.metrics, "cache_bytes_per_token", result.cache_bytes_per_token);
  AddIf(record.metrics, "read_bytes_per_s", result.read_bytes_per_s);
  AddIf(record.metrics, "bandwidth_util", result.bandwidth_util);
  AddIf(record.metrics, "ops_per_s", result.ops_per_s);
  AddIf(record.metrics, "ops_util", result.ops_util);
  record.samples = result.samples;
  record.guards.push_back(CheckFinite(result.failure.empty() ? std::nullopt : std::optional(result.failure)));
  return record;
}

RunRecord RecordOf(const ProbeResult& probe, RunRecord about) {
  RunRecord record = std::move(about);
  if (probe.read_bytes_per_s > 0.0) {
    record.metrics.push_back({"probe_read_bytes_per_s", probe.read_bytes_per_s});
    record.metrics.push_back({"probe_read_drift", probe.read_drift});
  }
  if (probe.int8_ops > 0.0) record.metrics.push_back({"peak_int8_ops", probe.int8_ops});
  if (probe.f32_flops > 0.0) record.metrics.push_back({"peak_f32_flops", probe.f32_flops});
  if (probe.bf16_flops > 0.0) record.metrics.push_back({"peak_bf16_flops", probe.bf16_flops});
  Series samples{"probe_read_bytes_per_s", {}};
  for (const double sample : probe.read_samples) samples.values.push_back(static_cast<float>(sample));
  record.series.push_back(std::move(samples));
  return record;
}

}  // namespace assay
