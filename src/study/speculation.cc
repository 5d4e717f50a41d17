#include "study/speculation.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "measure/environment.h"

namespace assay {
namespace {

constexpr const char* kKind = "speculation";
constexpr const char* kDrafted = "drafted";
constexpr const char* kAccepted = "accepted";
constexpr const char* kBackend = "backend";
constexpr const char* kLogitHashes = "logit_hashes";

// Rounds of cost measurements in each repetition: at least so many, and more for as long as they take no longer than
// this, so that the short steps of small models are known as well as the long ones of large models.
constexpr int kFewestCostRounds = 5;
constexpr int kMostCostRounds = 30;
constexpr double kCostSeconds = 1.0;

std::string PromptHash(const PromptSet& set) {
  Hash hash;
  for (const Prompt& prompt : set.prompts) {
    hash.Add(prompt.id);
    hash.Add(prompt.text);
  }
  return fmt::format("{:016x}", hash.value());
}

std::string SettingOf(const RunRecord& record, std::string_view name) {
  for (const auto& [key, value] : record.settings) {
    if (key == name) return value;
  }
  return "";
}

// The list that Join() made.
std::vector<std::string> Words(const std::string& text) {
  std::vector<std::string> words;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

// What was measured of one length on one prompt set.
struct Column {
  const DraftSetting* setting = nullptr;
  std::vector<PairedText> texts;
  std::vector<std::string> failures;
};

// The rates of the target alone in the order of time, each relative to its prompt's mean; empty without repetitions.
std::vector<double> RelativeRates(std::span<const PairedText> texts) {
  std::map<size_t, std::vector<double>> by_prompt;
  const auto rate = [](const PairedText& text) {
    return static_cast<double>(text.baseline.tokens.size() - 1) / text.baseline.decode_seconds;
  };
  for (const PairedText& text : texts) {
    if (text.timed()) by_prompt[text.prompt].push_back(rate(text));
  }
  std::vector<double> rates;
  for (const PairedText& text : texts) {
    if (text.timed() && by_prompt[text.prompt].size() >= 2) rates.push_back(rate(text) / Mean(by_prompt[text.prompt]));
  }
  return rates;
}

std::vector<Conditions> ConditionsOf(std::span<const PairedText> texts) {
  std::vector<Conditions> conditions;
  for (const PairedText& text : texts) {
    conditions.push_back(text.baseline.conditions);
    conditions.push_back(text.speculative.conditions);
  }
  return conditions;
}

Series RoundSeries(const char* name, std::span<const PairedText> texts, int repetitions,
                   float (*value)(const SpeculationRound&)) {
  Series series{name, {}};
  for (const PairedText& text : texts) {
    if (text.repetition >= repetitions) continue;
    for (const SpeculationRound& round : text.speculative.rounds) series.values.push_back(value(round));
  }
  return series;
}

float DraftedOf(const SpeculationRound& round) { return static_cast<float>(round.drafted); }
float AcceptedOf(const SpeculationRound& round) { return static_cast<float>(round.accepted); }

// Everything that was timed or generated, text by text in the order of record.samples. What the rounds drafted and took
// is that of the first repetition, which the others repeat.
std::vector<Series> SeriesOf(std::span<const PairedText> texts, const CostCurve* costs) {
  Series lengths{"text_tokens", {}};
  Series tokens{"tokens", {}};
  Series baseline_lengths{"baseline_text_tokens", {}};
  Series baseline_tokens{"baseline_tokens", {}};
  Series baseline_seconds{"baseline_seconds", {}};
  Series prompt_seconds{"prompt_seconds", {}};
  Series baseline_prompt_seconds{"baseline_prompt_seconds", {}};
  const auto append = [](Series& to, std::span<const Token> from) {
    for (const Token token : from) to.values.push_back(static_cast<float>(token));  // exact: far below 2^24
  };
  for (const PairedText& text : texts) {
    lengths.values.push_back(static_cast<float>(text.speculative.tokens.size()));
    append(tokens, text.speculative.tokens);
    baseline_lengths.values.push_back(static_cast<float>(text.baseline.tokens.size()));
    append(baseline_tokens, text.baseline.tokens);
    baseline_seconds.values.push_back(static_cast<float>(text.baseline.decode_seconds));
    prompt_seconds.values.push_back(static_cast<float>(text.speculative.prompt_seconds));
    baseline_prompt_seconds.values.push_back(static_cast<float>(text.baseline.prompt_seconds));
  }
  std::vector<Series> all = {lengths,          tokens,         baseline_lengths,       baseline_tokens,
                             baseline_seconds, prompt_seconds, baseline_prompt_seconds};
  all.push_back(RoundSeries(kDrafted, texts, 1, DraftedOf));
  all.push_back(RoundSeries(kAccepted, texts, 1, AcceptedOf));
  if (costs != nullptr) all.push_back({"verify_cost", {costs->verify.begin(), costs->verify.end()}});
  return all;
}

std::vector<Metric> MetricsOf(const SpeculationFigures& figures) {
  std::vector<Metric> metrics = {{"drafted", static_cast<double>(figures.drafted), std::nullopt},
                                 {"accepted", static_cast<double>(figures.accepted), std::nullopt},
                                 {"rounds", static_cast<double>(figures.rounds), std::nullopt},
                                 {"tokens_per_round", figures.tokens_per_round, std::nullopt},
                                 {"tok_per_s", figures.tok_per_s, std::nullopt},
                                 {"baseline_tok_per_s", figures.baseline_tok_per_s, std::nullopt},
                                 {"speedup", figures.speedup, std::nullopt,
                                  Certainty{figures.speedup_interval.low, figures.speedup_interval.high, "text",
                                            static_cast<int>(figures.rounds), "bootstrap"}},
                                 {"predicted_speedup", figures.predicted_speedup, std::nullopt},
                                 {"draft_cost", figures.costs.draft, std::nullopt}};
  const auto add = [&](const char* name, const std::optional<double>& value) {
    if (value.has_value()) metrics.push_back({name, *value, std::nullopt});
  };
  add("accept_rate", figures.acceptance());
  add("speed_ratio", figures.speed_ratio);
  add("break_even", figures.break_even);
  return metrics;
}

// One pair on all prompt sets.
class PairRun {
 public:
  PairRun(Store& store, SpeculationLab& lab, std::span<const PromptSet> sets, const SpeculationSettings& settings,
          const SpeculationWatch& watch)
      : store_(store), lab_(lab), sets_(sets), settings_(settings), watch_(watch), environment_(CaptureEnvironment()) {
    for (const PromptSet& set : sets) total_ += set.prompts.size() * static_cast<size_t>(settings.repetitions);
    // What earlier runs show of other backends; of this pair's target alone, to hold little in memory.
    earlier_ = store.AllRuns();
    std::erase_if(earlier_, [&](const StoredRun& run) {
      return run.record.kind != kKind || run.record.model.digest != lab.subject().target.digest;
    });
  }

  PairResult Measure() {
    result_.subject = lab_.subject();
    for (const PromptSet& set : sets_) MeasureSet(set);
    std::vector<CellOutcome> outcomes;
    for (const SpeculationCell& cell : result_.cells) {
      CellOutcome outcome;
      outcome.prompt_set = cell.prompt_set;
      outcome.k = cell.k;
      outcome.valid = cell.valid();
      if (cell.figures.has_value()) {
        outcome.speedup = cell.figures->speedup;
        outcome.interval = cell.figures->speedup_interval;
      }
      outcomes.push_back(std::move(outcome));
    }
    result_.verdict = PairSentence(result_.subject.target.file, result_.subject.draft_name, outcomes);
    return std::move(result_);
  }

 private:
  void MeasureSet(const PromptSet& set) {
    started_unix_ms_ = UnixMilliseconds();
    columns_.clear();
    cost_samples_.clear();
    for (const DraftSetting& setting : settings_.lengths) columns_.push_back({&setting, {}, {}});
    for (int repetition = 0; repetition < settings_.repetitions; ++repetition) {
      for (size_t i = 0; i < set.prompts.size(); ++i) {
        watch_(fmt::format("{}, {}, repetition {} of {}", result_.subject.draft_name, set.name, repetition + 1,
                           settings_.repetitions),
               static_cast<double>(done_++) / static_cast<double>(total_));
        const std::optional<TimedText> baseline = TakeTurn(set.prompts[i], i, repetition);
        // The costs are taken amid the texts, so that the machine's drift hits both.
        if (i == set.prompts.size() / 2 && baseline.has_value()) MeasureCosts(set.prompts[i], baseline->tokens);
      }
    }
    for (const Column& column : columns_) FinishCell(set, column);
  }

  void FailAll(const std::string& failure) {
    for (Column& column : columns_) column.failures.push_back(failure);
  }

  // The prompt's text of the target alone and with each length, in an order that rotates from turn to turn.
  std::optional<TimedText> TakeTurn(const Prompt& prompt, size_t index, int repetition) {
    std::optional<TimedText> baseline;
    std::vector<std::optional<PairedText>> texts(columns_.size());
    const size_t places = columns_.size() + 1;
    for (size_t place = 0; place < places; ++place) {
      const size_t who = (place + index + static_cast<size_t>(repetition)) % places;
      try {
        if (who == columns_.size()) {
          baseline = lab_.Baseline(prompt);
        } else if (columns_[who].failures.empty()) {
          TimedText text = lab_.Speculate(prompt, columns_[who].setting->options);
          texts[who] = PairedText{index, repetition, static_cast<int>(place), {}, std::move(text)};
        }
      } catch (const std::exception& error) {
        if (who == columns_.size()) {
          FailAll(fmt::format("prompt {}, the target alone: {}", prompt.id, error.what()));
        } else {
          columns_[who].failures.push_back(
              fmt::format("prompt {}, k={}: {}", prompt.id, columns_[who].setting->name, error.what()));
        }
      }
    }
    for (size_t i = 0; i < columns_.size() && baseline.has_value(); ++i) {
      if (!texts[i].has_value()) continue;
      texts[i]->baseline = *baseline;
      columns_[i].texts.push_back(std::move(*texts[i]));
    }
    return baseline;
  }

  void MeasureCosts(const Prompt& prompt, std::span<const Token> text) {
    int longest = 0;
    for (const DraftSetting& setting : settings_.lengths) longest = std::max(longest, setting.options.draft_length);
    try {
      lab_.PrepareCosts(prompt, text.first(text.size() / 2));
      double seconds = 0.0;
      for (int round = 0; round < kMostCostRounds && (round < kFewestCostRounds || seconds < kCostSeconds); ++round) {
        cost_samples_.push_back(MeasureCostRound(longest, round));
        for (const double part : cost_samples_.back().verify_seconds) seconds += part;
      }
    } catch (const std::exception& error) {
      FailAll(fmt::format("prompt {}, measuring costs: {}", prompt.id, error.what()));
    }
  }

  // All batch sizes in turns, beginning with another one in each round.
  CostSample MeasureCostRound(int longest, int round) {
    CostSample sample;
    sample.verify_seconds.resize(static_cast<size_t>(longest) + 1);
    for (int place = 0; place <= longest; ++place) {
      const int tokens = (place + round) % (longest + 1) + 1;
      sample.verify_seconds[static_cast<size_t>(tokens) - 1] = lab_.VerifySeconds(tokens);
    }
    sample.draft_seconds = lab_.DraftSeconds();
    return sample;
  }

  void FinishCell(const PromptSet& set, const Column& column) {
    SpeculationCell cell;
    cell.k = column.setting->name;
    cell.prompt_set = set.name;
    std::vector<std::string> failures = column.failures;
    std::optional<CostCurve> costs;
    if (!cost_samples_.empty()) costs = SummarizeCosts(cost_samples_);
    const bool timed = std::any_of(column.texts.begin(), column.texts.end(), [](const auto& t) { return t.timed(); });
    if (timed && costs.has_value()) {
      const SpeculationOptions& options = column.setting->options;
      cell.figures = ComputeFigures(column.texts, *costs, options.adaptive ? 0 : options.draft_length, settings_.seed);
    } else if (failures.empty()) {
      failures.emplace_back("no prompt gave a second token, so that nothing can be timed");
    }
    RunRecord record = NewRecord(set, column);
    cell.guards = Guards(set, column, failures, cell.figures, record);
    cell.identical = failures.empty() && !cell.guards[1].tripped;
    cell.verdict = Verdict(cell);
    record.guards = cell.guards;
    if (cell.figures.has_value()) record.metrics = MetricsOf(*cell.figures);
    record.series = SeriesOf(column.texts, costs.has_value() ? &*costs : nullptr);
    store_.AddRun(record);
    result_.cells.push_back(std::move(cell));
  }

  // "decoded" and "lossless" first; those that judge figures only where there are some.
  std::vector<GuardResult> Guards(const PromptSet& set, const Column& column, std::span<const std::string> failures,
                                  const std::optional<SpeculationFigures>& figures, const RunRecord& record) {
    std::vector<OutputPair> outputs;
    std::vector<NamedText> baselines;
    for (const PairedText& text : column.texts) {
      const std::string& id = set.prompts[text.prompt].id;
      outputs.push_back({id, text.baseline.tokens, text.speculative.tokens});
      if (text.repetition == 0) baselines.push_back({id, lab_.Text(text.baseline.tokens)});
    }
    std::vector<GuardResult> guards = {
        CheckDecoded(failures), CheckLossless(outputs, [&](Token token) { return lab_.TokenText(token); }),
        CheckBackend(EvidenceOf(column), OtherBackends(record)), CheckRepetition(baselines)};
    if (!figures.has_value()) return guards;
    guards.push_back(CheckPlausible({.speedup = figures->speedup,
                                     .interval = figures->speedup_interval,
                                     .tokens_per_round = figures->tokens_per_round,
                                     .verify_cost = figures->verify_cost_per_round,
                                     .cost_spread = figures->cost_spread}));
    guards.push_back(CheckSpread({figures->speedup, figures->speedup_interval, figures->repeat_cv}));
    const std::vector<Conditions> conditions = ConditionsOf(column.texts);
    guards.push_back(CheckSteady({RelativeRates(column.texts), conditions, result_.subject.threads}));
    guards.push_back(CheckMemory(conditions));
    if (result_.subject.draft.has_value() && figures->speed_ratio.has_value()) {
      guards.push_back(CheckDraftCost({.draft_bytes = result_.subject.draft->tensor_bytes,
                                       .target_bytes = result_.subject.target.tensor_bytes,
                                       .speed_ratio = *figures->speed_ratio}));
    }
    return guards;
  }

  static SpeedupVerdict Verdict(const SpeculationCell& cell) {
    for (const GuardResult& guard : cell.guards) {
      if (guard.tripped) return {SpeedupOutcome::kUndecided, fmt::format("no verdict: {}", guard.name)};
    }
    return JudgeSpeedup(cell.figures->speedup, cell.figures->speedup_interval);
  }

  RunRecord NewRecord(const PromptSet& set, const Column& column) const {
    const PairSubject& subject = result_.subject;
    RunRecord record;
    record.kind = kKind;
    record.test = fmt::format("{} k={} {}", subject.draft_name, column.setting->name, set.name);
    record.started_unix_ms = started_unix_ms_;
    record.environment = environment_;
    record.model = subject.target;
    record.base = subject.draft;
    record.settings = {{kBackend, subject.backend},
                       {"backend_description", subject.backend_description},
                       {"threads", std::to_string(subject.threads)},
                       {"draft", subject.draft_name},
                       {"k", column.setting->name},
                       {"prompt_set", set.name},
                       {"prompts", PromptHash(set)},
                       {"tokens", std::to_string(settings_.tokens)},
                       {"repetitions", std::to_string(settings_.repetitions)},
                       {"draft_p_min", fmt::format("{}", settings_.draft_p_min)},
                       {"seed", std::to_string(settings_.seed)},
                       {kLogitHashes, fmt::format("{}", fmt::join(subject.logit_hashes, " "))}};
    const auto prompts = static_cast<int>(set.prompts.size());
    for (const PairedText& text : column.texts) {
      if (!text.timed()) continue;
      record.samples.push_back({.round = text.repetition * prompts + static_cast<int>(text.prompt),
                                .order = text.order,
                                .tokens = static_cast<int64_t>(text.speculative.tokens.size()) - 1,
                                .seconds = text.speculative.decode_seconds,
                                .conditions = text.speculative.conditions});
    }
    return record;
  }

  BackendEvidence EvidenceOf(const Column& column) const {
    return {.backend = result_.subject.backend,
            .drafted = RoundSeries(kDrafted, column.texts, 1, DraftedOf).values,
            .accepted = RoundSeries(kAccepted, column.texts, 1, AcceptedOf).values,
            .logit_hashes = result_.subject.logit_hashes};
  }

  // Earlier runs of the same cell that differ in who computed them.
  std::vector<BackendEvidence> OtherBackends(const RunRecord& record) {
    std::vector<BackendEvidence> others;
    for (const StoredRun& run : earlier_) {
      const bool same_draft = run.record.base.has_value() == record.base.has_value() &&
                              (!record.base.has_value() || run.record.base->digest == record.base->digest);
      if (!same_draft || run.record.test != record.test ||
          SettingOf(run.record, kBackend) == SettingOf(record, kBackend))
        continue;
      const bool same = std::all_of(std::begin(kSameWork), std::end(kSameWork), [&](const char* name) {
        return SettingOf(run.record, name) == SettingOf(record, name);
      });
      if (!same) continue;
      others.push_back({.backend = SettingOf(run.record, kBackend),
                        .drafted = store_.ReadSeries(run.id, kDrafted),
                        .accepted = store_.ReadSeries(run.id, kAccepted),
                        .logit_hashes = Words(SettingOf(run.record, kLogitHashes))});
    }
    return others;
  }

  // Settings that decide which tokens are drafted.
  static constexpr const char* kSameWork[] = {"k", "prompts", "tokens", "draft_p_min"};

  Store& store_;
  SpeculationLab& lab_;
  std::span<const PromptSet> sets_;
  const SpeculationSettings& settings_;
  const SpeculationWatch& watch_;
  Environment environment_;
  std::vector<StoredRun> earlier_;
  size_t total_ = 0, done_ = 0;  // turns
  PairResult result_;
  // Of the prompt set at hand.
  int64_t started_unix_ms_ = 0;
  std::vector<Column> columns_;
  std::vector<CostSample> cost_samples_;
};

}  // namespace

bool SpeculationCell::valid() const {
  return std::none_of(guards.begin(), guards.end(), [](const GuardResult& guard) { return guard.tripped; });
}

PairResult MeasurePair(Store& store, SpeculationLab& lab, std::span<const PromptSet> prompt_sets,
                       const SpeculationSettings& settings, const SpeculationWatch& watch) {
  return PairRun(store, lab, prompt_sets, settings, watch).Measure();
}

}  // namespace assay
