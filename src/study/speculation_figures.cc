#include "study/speculation_figures.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/error.h"

namespace assay {
namespace {

constexpr double kLevel = 0.95;
constexpr int kResamples = 2000;
// Of the median of normal values, relative to that of their mean; and from their MAD to their standard deviation.
constexpr double kMedianError = 1.2533;
constexpr double kMadToSd = 1.4826;

double Decoded(const TimedText& text) { return static_cast<double>(text.tokens.size() - 1); }

double SecondsPerToken(const TimedText& text) { return text.decode_seconds / Decoded(text); }

// How many times as fast the speculative texts are, all together: time per token over time per token.
double PooledSpeedup(std::span<const PairedText* const> texts) {
  double baseline = 0.0;
  double baseline_tokens = 0.0;
  double speculative = 0.0;
  double speculative_tokens = 0.0;
  for (const PairedText* text : texts) {
    baseline += text->baseline.decode_seconds;
    baseline_tokens += Decoded(text->baseline);
    speculative += text->speculative.decode_seconds;
    speculative_tokens += Decoded(text->speculative);
  }
  return (baseline / baseline_tokens) / (speculative / speculative_tokens);
}

// Prompts and repetitions are resampled as pairs of texts, so that what hits both of a pair cancels.
Interval SpeedupInterval(std::span<const PairedText* const> texts, uint64_t seed) {
  if (texts.size() < 2) return {0.0, std::numeric_limits<double>::infinity()};
  std::vector<double> indices(texts.size());
  for (size_t i = 0; i < indices.size(); ++i) indices[i] = static_cast<double>(i);
  Rng rng(seed);
  std::vector<const PairedText*> drawn(texts.size());
  return BootstrapInterval(
      indices,
      [&](std::span<const double> draw) {
        for (size_t i = 0; i < draw.size(); ++i) drawn[i] = texts[static_cast<size_t>(draw[i])];
        return PooledSpeedup(drawn);
      },
      kLevel, kResamples, rng);
}

// Of the speed-up of a prompt among its repetitions, pooled over the prompts that have several.
std::optional<double> RepeatCv(std::span<const PairedText* const> texts) {
  std::map<size_t, std::vector<double>> by_prompt;
  for (const PairedText* text : texts) {
    by_prompt[text->prompt].push_back(SecondsPerToken(text->baseline) / SecondsPerToken(text->speculative));
  }
  std::vector<double> squares;
  for (const auto& [prompt, ratios] : by_prompt) {
    if (ratios.size() < 2) continue;
    const double cv = SampleSd(ratios) / Mean(ratios);
    squares.push_back(cv * cv);
  }
  if (squares.empty()) return std::nullopt;
  return std::sqrt(Mean(squares));
}

void CountGuess(std::vector<int64_t>& counts, size_t position) {
  if (counts.size() <= position) counts.resize(position + 1, 0);
  ++counts[position];
}

void CountRound(const SpeculationRound& round, SpeculationFigures& figures) {
  ++figures.rounds;
  figures.drafted += round.drafted;
  figures.accepted += round.accepted;
  // Guesses behind the first refused one were not reached.
  for (int i = 0; i < std::min(round.drafted, round.accepted + 1); ++i) {
    CountGuess(figures.judged_at, static_cast<size_t>(i));
    if (i < round.accepted) CountGuess(figures.accepted_at, static_cast<size_t>(i));
  }
}

void Count(std::span<const PairedText* const> texts, SpeculationFigures& figures) {
  double decoded = 0.0;
  for (const PairedText* text : texts) {
    for (const SpeculationRound& round : text->speculative.rounds) CountRound(round, figures);
    decoded += Decoded(text->speculative);
  }
  figures.accepted_at.resize(figures.judged_at.size(), 0);
  figures.tokens_per_round = figures.rounds > 0 ? decoded / static_cast<double>(figures.rounds) : 0.0;
}

void Time(std::span<const PairedText* const> texts, SpeculationFigures& figures) {
  double tokens = 0.0;
  double seconds = 0.0;
  double baseline_tokens = 0.0;
  double baseline_seconds = 0.0;
  const auto count = static_cast<double>(texts.size());
  for (const PairedText* text : texts) {
    tokens += Decoded(text->speculative);
    seconds += text->speculative.decode_seconds;
    baseline_tokens += Decoded(text->baseline);
    baseline_seconds += text->baseline.decode_seconds;
    figures.prompt_seconds += text->speculative.prompt_seconds / count;
    figures.baseline_prompt_seconds += text->baseline.prompt_seconds / count;
  }
  figures.tok_per_s = tokens / seconds;
  figures.baseline_tok_per_s = baseline_tokens / baseline_seconds;
}

// Seconds of a guess: the draft model's own step, or what the rounds took where there is no model.
double GuessSeconds(std::span<const PairedText* const> texts, const CostCurve& costs) {
  if (costs.draft_seconds.has_value()) return *costs.draft_seconds;
  double seconds = 0.0;
  double guesses = 0.0;
  for (const PairedText* text : texts) {
    for (const SpeculationRound& round : text->speculative.rounds) {
      seconds += round.draft_seconds;
      guesses += round.drafted;
    }
  }
  return guesses > 0.0 ? seconds / guesses : 0.0;
}

// Leviathan et al. (2023), with the acceptance of each position and the measured cost of each batch size in place of
// one acceptance and a free verification: the tokens that rounds of these lengths should give, over what they cost.
void Predict(std::span<const PairedText* const> texts, const CostCurve& curve, SpeculationFigures& figures) {
  std::vector<double> acceptance;
  for (size_t i = 0; i < figures.judged_at.size(); ++i) {
    acceptance.push_back(static_cast<double>(figures.accepted_at[i]) / static_cast<double>(figures.judged_at[i]));
  }
  double tokens = 0.0;
  double cost = 0.0;
  double verify = 0.0;
  double spread = 0.0;
  for (const PairedText* text : texts) {
    for (const SpeculationRound& round : text->speculative.rounds) {
      const auto drafted = static_cast<size_t>(round.drafted);
      tokens += ExpectedTokens(std::span(acceptance).first(std::min(drafted, acceptance.size())));
      cost += figures.costs.Round(round.drafted);
      verify += curve.verify.at(drafted);
      spread += curve.verify.at(drafted) * curve.verify_spread.at(drafted);
    }
  }
  figures.predicted_speedup = tokens / cost;
  figures.verify_cost_per_round = verify / static_cast<double>(figures.rounds);
  figures.cost_spread = spread / verify;
}

}  // namespace

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

CostCurve SummarizeCosts(std::span<const CostSample> samples) {
  if (samples.empty()) Fail(ErrorKind::kInternal, "a cost curve without samples");
  CostCurve curve;
  std::vector<double> plain;
  std::vector<double> draft;
  for (const CostSample& sample : samples) {
    plain.push_back(sample.verify_seconds.front());
    if (sample.draft_seconds.has_value()) draft.push_back(*sample.draft_seconds / sample.verify_seconds.front());
  }
  curve.plain_seconds = Median(plain);
  if (!draft.empty()) curve.draft_seconds = Median(draft) * curve.plain_seconds;
  for (size_t n = 0; n < samples.front().verify_seconds.size(); ++n) {
    std::vector<double> multiples;
    for (const CostSample& sample : samples) {
      multiples.push_back(sample.verify_seconds[n] / sample.verify_seconds.front());
    }
    const double median = Median(multiples);
    const double error = kMedianError * kMadToSd * Mad(multiples) / std::sqrt(static_cast<double>(multiples.size()));
    curve.verify.push_back(median);
    curve.verify_spread.push_back(error / median);
  }
  return curve;
}

SpeculationFigures ComputeFigures(std::span<const PairedText> texts, const CostCurve& costs, int k, uint64_t seed) {
  std::vector<const PairedText*> timed;
  for (const PairedText& text : texts) {
    if (text.timed()) timed.push_back(&text);
  }
  if (timed.empty()) Fail(ErrorKind::kInternal, "figures of no timed text");
  SpeculationFigures figures;
  Count(timed, figures);
  Time(timed, figures);
  figures.speedup = PooledSpeedup(timed);
  figures.speedup_interval = SpeedupInterval(timed, seed);
  figures.repeat_cv = RepeatCv(timed);
  if (costs.draft_seconds.has_value()) figures.speed_ratio = costs.plain_seconds / *costs.draft_seconds;
  figures.costs = {.draft = GuessSeconds(timed, costs) / costs.plain_seconds, .verify = costs.verify};
  Predict(timed, costs, figures);
  if (k > 0) figures.break_even = BreakEvenAcceptance(k, figures.costs);
  return figures;
}

}  // namespace assay
