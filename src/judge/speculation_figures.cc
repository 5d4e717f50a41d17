#include "judge/speculation_figures.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "judge/statistics.h"

namespace assay {
namespace {

using Texts = std::span<const PairedText* const>;

double Decoded(const TimedText& text) { return static_cast<double>(text.decoded()); }

std::optional<double> SpeedupOf(const PairedText& text) {
  if (!text.timed()) return std::nullopt;
  return text.baseline.SecondsPerToken() / text.speculative.SecondsPerToken();
}

void CountGuess(std::vector<int64_t>& counts, size_t position) {
  if (counts.size() <= position) counts.resize(position + 1, 0);
  ++counts[position];
}

// Guesses behind the first refused one were not reached.
void CountPositions(const RoundRecord& round, std::vector<int64_t>& judged, std::vector<int64_t>& accepted) {
  for (int i = 0; i < std::min(round.drafted, round.accepted + 1); ++i) {
    CountGuess(judged, static_cast<size_t>(i));
    if (i < round.accepted) CountGuess(accepted, static_cast<size_t>(i));
  }
}

void Count(Texts texts, SpeculationFigures& figures) {
  double decoded = 0.0;
  for (const PairedText* text : texts) {
    for (const RoundRecord& round : text->speculative.rounds) {
      ++figures.rounds;
      figures.drafted += round.drafted;
      figures.accepted += round.accepted;
      figures.parts_seconds += round.Seconds();
      CountPositions(round, figures.judged_at, figures.accepted_at);
    }
    decoded += Decoded(text->speculative);
  }
  figures.accepted_at.resize(figures.judged_at.size(), 0);
  figures.tokens_per_round = figures.rounds > 0 ? decoded / static_cast<double>(figures.rounds) : 0.0;
}

void Time(Texts texts, SpeculationFigures& figures) {
  double tokens = 0.0;
  double baseline_tokens = 0.0;
  double baseline_seconds = 0.0;
  const auto count = static_cast<double>(texts.size());
  for (const PairedText* text : texts) {
    tokens += Decoded(text->speculative);
    figures.decode_seconds += text->speculative.decode_seconds;
    baseline_tokens += Decoded(text->baseline);
    baseline_seconds += text->baseline.decode_seconds;
    figures.prompt_seconds += text->speculative.prompt_seconds / count;
    figures.baseline_prompt_seconds += text->baseline.prompt_seconds / count;
  }
  figures.tok_per_s = tokens / figures.decode_seconds;
  figures.baseline_tok_per_s = baseline_tokens / baseline_seconds;
}

// What guesses and rounds cost where they were paid, in steps of the baseline of the same prompt and turn.
RoundCosts PaidCosts(Texts texts, const CostCurve& curve) {
  RoundCosts costs{.draft = 0.0, .verify = curve.verify};
  std::vector<double> steps(costs.verify.size(), 0.0);
  std::vector<int> rounds(costs.verify.size(), 0);
  double draft_steps = 0.0;
  double guesses = 0.0;
  for (const PairedText* text : texts) {
    const double step = text->baseline.SecondsPerToken();
    for (const RoundRecord& round : text->speculative.rounds) {
      draft_steps += round.draft_seconds / step;
      guesses += round.drafted;
      steps.at(static_cast<size_t>(round.drafted)) += round.TargetSeconds() / step;
      ++rounds[static_cast<size_t>(round.drafted)];
    }
  }
  if (guesses > 0.0) costs.draft = draft_steps / guesses;
  for (size_t guessed = 1; guessed < steps.size(); ++guessed) {
    if (rounds[guessed] >= kOwnRounds) costs.verify[guessed] = steps[guessed] / rounds[guessed];
  }
  return costs;
}

// Leviathan et al. (2023), with the acceptance of each position and the cost of each draft length in place of one
// acceptance and a free verification: the tokens that rounds of these lengths should give, over what they cost.
double PredictText(Texts texts, const RoundCosts& costs) {
  std::vector<int64_t> judged;
  std::vector<int64_t> accepted;
  for (const PairedText* text : texts) {
    for (const RoundRecord& round : text->speculative.rounds) CountPositions(round, judged, accepted);
  }
  accepted.resize(judged.size(), 0);
  std::vector<double> acceptance;
  for (size_t i = 0; i < judged.size(); ++i) {
    acceptance.push_back(static_cast<double>(accepted[i]) / static_cast<double>(judged[i]));
  }
  double tokens = 0.0;
  double cost = 0.0;
  for (const PairedText* text : texts) {
    for (const RoundRecord& round : text->speculative.rounds) {
      const auto drafted = static_cast<size_t>(round.drafted);
      tokens += ExpectedTokens(std::span(acceptance).first(std::min(drafted, acceptance.size())));
      cost += costs.Round(round.drafted);
    }
  }
  return tokens / cost;
}

// The geometric mean over prompts, as the measured one is.
double Predict(Texts texts, const RoundCosts& costs) {
  std::map<size_t, std::vector<const PairedText*>> prompts;
  for (const PairedText* text : texts) {
    if (!text->speculative.rounds.empty()) prompts[text->prompt].push_back(text);
  }
  std::vector<double> logs;
  logs.reserve(prompts.size());
  for (const auto& [prompt, own] : prompts) logs.push_back(std::log(PredictText(own, costs)));
  return logs.empty() ? 1.0 : std::exp(Mean(logs));
}

}  // namespace

ByPrompt LogsByPrompt(std::span<const PairedText> texts,
                      const std::function<std::optional<double>(const PairedText&)>& ratio) {
  std::map<size_t, std::vector<double>> values;
  for (const PairedText& text : texts) {
    if (const std::optional<double> value = ratio(text)) values[text.prompt].push_back(std::log(*value));
  }
  ByPrompt logs;
  for (const auto& [prompt, own] : values) logs[prompt] = Mean(own);
  return logs;
}

ByPrompt SpeedupLogs(std::span<const PairedText> texts) { return LogsByPrompt(texts, SpeedupOf); }

ByPrompt MachineLogs(std::span<const PairedText> texts) {
  return LogsByPrompt(texts, [](const PairedText& text) -> std::optional<double> {
    const std::optional<double>& before = text.baseline.conditions.work_seconds;
    const std::optional<double>& after = text.speculative.conditions.work_seconds;
    if (!before.has_value() || !after.has_value()) return std::nullopt;
    return *before / *after;
  });
}

ByPrompt RepetitionLogs(std::span<const PairedText> texts) {
  std::map<size_t, std::vector<double>> values;
  for (const PairedText& text : texts) {
    if (const std::optional<double> speedup = SpeedupOf(text)) values[text.prompt].push_back(std::log(*speedup));
  }
  ByPrompt logs;
  for (const auto& [prompt, own] : values) {
    if (own.size() >= 2) logs[prompt] = own.back() - own.front();
  }
  return logs;
}

Estimate PromptEstimate(const ByPrompt& logs) {
  std::vector<double> values;
  for (const auto& [prompt, value] : logs) values.push_back(value);
  return {values, "prompt", Order::kExchangeable, Scale::kRatio};
}

Estimate PromptRatio(const ByPrompt& a, const ByPrompt& b) {
  ByPrompt differences;
  for (const auto& [prompt, value] : a) {
    if (const auto other = b.find(prompt); other != b.end()) differences[prompt] = value - other->second;
  }
  return PromptEstimate(differences);
}

std::optional<double> SpeculationFigures::acceptance() const {
  if (drafted == 0) return std::nullopt;
  return static_cast<double>(accepted) / static_cast<double>(drafted);
}

std::optional<double> SpeculationFigures::per_guess() const {
  int64_t judged = 0;
  for (const int64_t count : judged_at) judged += count;
  if (judged == 0) return std::nullopt;
  return static_cast<double>(accepted) / static_cast<double>(judged);
}

double SpeculationFigures::books() const { return (decode_seconds - parts_seconds) / decode_seconds; }

CostCurve SummarizeCosts(std::span<const CostSample> samples) {
  if (samples.empty()) Fail(ErrorKind::kInternal, "a cost curve without samples");
  CostCurve curve;
  std::vector<double> ratios;
  std::map<size_t, std::vector<double>> steps;
  for (const CostSample& sample : samples) {
    if (sample.draft_step.has_value()) ratios.push_back(sample.plain_step / *sample.draft_step);
    steps[sample.prompt].push_back(std::log(sample.baseline_step / sample.plain_step));
  }
  if (!ratios.empty()) curve.speed_ratio = Median(ratios);
  ByPrompt logs;
  for (const auto& [prompt, own] : steps) logs[prompt] = Mean(own);
  curve.baseline_step = PromptEstimate(logs);
  curve.verify.push_back(1.0);
  for (size_t i = 0; i < samples.front().guessing_seconds.size(); ++i) {
    std::vector<double> multiples;
    for (const CostSample& sample : samples) multiples.push_back(sample.guessing_seconds[i] / sample.baseline_step);
    curve.verify.push_back(Median(multiples));
  }
  return curve;
}

SpeculationFigures ComputeFigures(std::span<const PairedText> texts, const CostCurve& curve, int k) {
  std::vector<const PairedText*> timed;
  for (const PairedText& text : texts) {
    if (text.timed()) timed.push_back(&text);
  }
  if (timed.empty()) Fail(ErrorKind::kInternal, "figures of no timed text");
  SpeculationFigures figures;
  Count(timed, figures);
  Time(timed, figures);
  figures.speedup = PromptEstimate(SpeedupLogs(texts));
  figures.speed_ratio = curve.speed_ratio;
  figures.costs = PaidCosts(timed, curve);
  figures.predicted_speedup = Predict(timed, figures.costs);
  if (k > 0) figures.break_even = BreakEvenAcceptance(k, figures.costs);
  return figures;
}

}  // namespace assay
