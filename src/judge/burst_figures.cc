#include "judge/burst_figures.h"

#include "judge/statistics.h"

namespace assay {
namespace {

// What a record keeps of RemoteRound.
struct RoundField {
  const char* name;
  double RemoteRound::*value;
};
constexpr RoundField kRoundFields[] = {
    {"burst_plain_s", &RemoteRound::plain}, {"burst_tokens", &RemoteRound::tokens},
    {"burst_draft_s", &RemoteRound::draft}, {"burst_verify_s", &RemoteRound::verify},
    {"burst_wire_s", &RemoteRound::wire},   {"burst_in_time", &RemoteRound::in_time}};

}  // namespace

std::optional<BurstFigures> ComputeBurstFigures(std::span<const PairedText> texts) {
  BurstFigures figures;
  RemoteRound& mean = figures.round;
  std::vector<double> overheads;
  double late_wire = 0.0;
  double any_wire = 0.0;
  double late = 0.0;
  for (const PairedText& text : texts) {
    if (!text.timed()) continue;
    for (const RoundRecord& round : text.speculative.rounds) {
      const BurstRecord& burst = round.burst;
      if (!burst.asked()) continue;
      ++figures.bursts;
      if (burst.failed) ++figures.failed;
      if (burst.who < 0) continue;
      overheads.push_back(round.draft_seconds - burst.compute_seconds);
      figures.hidden += overheads.back() < 0.0 ? 1.0 : 0.0;
      figures.queue_seconds += burst.queue_seconds;
      figures.sent_bytes += static_cast<double>(burst.sent_bytes);
      figures.received_bytes += static_cast<double>(burst.received_bytes);
      figures.round_seconds += round.Seconds();
      mean.plain += text.baseline.SecondsPerToken();
      mean.tokens += round.accepted + 1;
      mean.draft += burst.compute_seconds;
      mean.verify += round.TargetSeconds() + round.other_seconds;
      const double wire = burst.wire_seconds + burst.queue_seconds;
      any_wire += wire;
      if (burst.in_time) {
        mean.in_time += 1.0;
      } else {
        late_wire += wire;
        late += 1.0;
      }
    }
  }
  if (overheads.empty()) return std::nullopt;
  const auto count = static_cast<double>(overheads.size());
  mean.wire = late > 0.0 ? late_wire / late : any_wire / count;
  for (double* value : {&figures.hidden, &figures.queue_seconds, &figures.sent_bytes, &figures.received_bytes,
                        &figures.round_seconds, &mean.plain, &mean.tokens, &mean.draft, &mean.verify, &mean.in_time}) {
    *value /= count;
  }
  figures.overhead_seconds = Median(overheads);
  return figures;
}

std::vector<Metric> BurstMetrics(const BurstFigures& figures) {
  std::vector<Metric> metrics = {{"bursts", static_cast<double>(figures.bursts)},
                                 {"bursts_failed", static_cast<double>(figures.failed)},
                                 {"burst_queue_s", figures.queue_seconds},
                                 {"burst_sent_bytes", figures.sent_bytes},
                                 {"burst_received_bytes", figures.received_bytes},
                                 {"burst_overhead_s", figures.overhead_seconds},
                                 {"burst_hidden", figures.hidden},
                                 {"burst_round_s", figures.round_seconds}};
  for (const RoundField& field : kRoundFields) metrics.push_back({field.name, figures.round.*field.value});
  return metrics;
}

std::optional<RemoteRound> RemoteRoundOf(const RunRecord& record) {
  RemoteRound round;
  for (const RoundField& field : kRoundFields) {
    const Metric* metric = FindMetric(record, field.name);
    if (metric == nullptr) return std::nullopt;
    round.*field.value = metric->value;
  }
  return round;
}

std::vector<ShownBurst> BurstsOf(std::span<const PairedText> texts) {
  std::vector<ShownBurst> bursts;
  for (const PairedText& text : texts) {
    for (const RoundRecord& round : text.speculative.rounds) {
      const int who = round.burst.who;
      bursts.push_back({.burst = round.burst,
                        .who = who >= 0 ? &text.speculative.drafters.at(static_cast<size_t>(who)) : nullptr,
                        .accepted = round.accepted});
    }
  }
  return bursts;
}

}  // namespace assay
