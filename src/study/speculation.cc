#include "study/speculation.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/hash.h"
#include "judge/burst_figures.h"
#include "judge/guards.h"
#include "judge/speculation_guards.h"
#include "judge/speeds.h"
#include "judge/speedup.h"
#include "measure/environment.h"

namespace assay {
namespace {

constexpr const char* kKind = "speculation";
constexpr const char* kDrafted = "drafted";
constexpr const char* kAccepted = "accepted";
constexpr const char* kBackend = "backend";
constexpr const char* kLogitHashes = "logit_hashes";

// Of the costs that no text pays, for each prompt: at least so many rounds, and more for as long as they take no longer
// than this, so that the short steps of small models are known as well as the long ones of large models.
constexpr int kFewestCostRounds = 2;
constexpr int kMostCostRounds = 10;
constexpr double kCostSeconds = 0.5;

std::string PromptHash(const PromptSet& set) {
  Hash hash;
  for (const Prompt& prompt : set.prompts) {
    hash.Add(prompt.id);
    hash.Add(prompt.text);
  }
  return fmt::format("{:016x}", hash.value());
}

// The words between single spaces.
std::vector<std::string> Words(const std::string& text) {
  std::vector<std::string> words;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

// What was measured of one length on one prompt set, or of the placebo.
struct Column {
  const DraftSetting* setting = nullptr;  // null for the placebo
  std::vector<PairedText> texts;
  std::vector<std::string> failures;

  std::string name() const { return setting != nullptr ? "k=" + setting->name : "the placebo"; }
};

std::vector<Conditions> ConditionsOf(std::span<const PairedText> texts) {
  std::vector<Conditions> conditions;
  for (const PairedText& text : texts) {
    conditions.push_back(text.baseline.conditions);
    conditions.push_back(text.speculative.conditions);
  }
  return conditions;
}

double SecondsOf(std::span<const PairedText> texts) {
  double seconds = 0.0;
  for (const PairedText& text : texts) seconds += text.baseline.decode_seconds + text.speculative.decode_seconds;
  return seconds;
}

// Of the first repetition, which the others repeat.
Series RoundSeries(const char* name, std::span<const PairedText> texts, int RoundRecord::*value) {
  Series series{name, {}};
  for (const PairedText& text : texts) {
    if (text.repetition > 0) continue;
    for (const RoundRecord& round : text.speculative.rounds) series.values.push_back(static_cast<float>(round.*value));
  }
  return series;
}

// Of the bursts of the first repetition, those that were answered: what a round waited, and of what.
std::vector<Series> BurstSeries(std::span<const PairedText> texts) {
  Series waited{"burst_waited_s", {}};
  Series draft{"burst_draft_s", {}};
  Series wire{"burst_wire_s", {}};
  for (const PairedText& text : texts) {
    if (text.repetition > 0) continue;
    for (const RoundRecord& round : text.speculative.rounds) {
      if (round.burst.who < 0) continue;
      waited.values.push_back(static_cast<float>(round.draft_seconds));
      draft.values.push_back(static_cast<float>(round.burst.compute_seconds));
      wire.values.push_back(static_cast<float>(round.burst.wire_seconds));
    }
  }
  return {waited, draft, wire};
}

// Of all logits that guesses of the first repetition were drawn from, in order; empty without any.
std::string DraftHash(std::span<const PairedText> texts) {
  Hash hash;
  bool any = false;
  for (const PairedText& text : texts) {
    if (text.repetition > 0) continue;
    for (const RoundRecord& round : text.speculative.rounds) {
      if (round.burst.logit_hash == 0) continue;
      any = true;
      hash.Add(fmt::format("{:016x}", round.burst.logit_hash));
    }
  }
  return any ? fmt::format("{:016x}", hash.value()) : "";
}

// Everything that was timed or generated, text by text in the order of record.samples.
std::vector<Series> TextSeries(std::span<const PairedText> texts) {
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
  return {lengths,          tokens,         baseline_lengths,       baseline_tokens,
          baseline_seconds, prompt_seconds, baseline_prompt_seconds};
}

std::vector<Series> FigureSeries(const SpeculationFigures& figures) {
  Series positions{"accept_by_position", {}};
  for (size_t i = 0; i < figures.judged_at.size(); ++i) {
    positions.values.push_back(static_cast<float>(figures.accepted_at[i]) / static_cast<float>(figures.judged_at[i]));
  }
  return {positions, {"verify_cost", {figures.costs.verify.begin(), figures.costs.verify.end()}}};
}

std::vector<Metric> MetricsOf(const SpeculationFigures& figures) {
  std::vector<Metric> metrics = {{"drafted", static_cast<double>(figures.drafted)},
                                 {"accepted", static_cast<double>(figures.accepted)},
                                 {"rounds", static_cast<double>(figures.rounds)},
                                 {"tokens_per_round", figures.tokens_per_round},
                                 {"tok_per_s", figures.tok_per_s},
                                 {"baseline_tok_per_s", figures.baseline_tok_per_s},
                                 {"time_to_first_token_s", figures.prompt_seconds},
                                 {"baseline_time_to_first_token_s", figures.baseline_prompt_seconds},
                                 figures.speedup.metric("speedup"),
                                 {"predicted_speedup", figures.predicted_speedup},
                                 {"draft_cost", figures.costs.draft},
                                 {"books", figures.books()}};
  const auto add = [&](const char* name, const std::optional<double>& value) {
    if (value.has_value()) metrics.push_back({name, *value});
  };
  add("accept_rate", figures.acceptance());
  add("accept_per_guess", figures.per_guess());
  add("speed_ratio", figures.speed_ratio);
  add("break_even", figures.break_even);
  return metrics;
}

bool Tripped(std::span<const GuardResult> guards, std::string_view name) {
  return std::ranges::any_of(guards, [&](const GuardResult& guard) { return guard.name == name && guard.tripped; });
}

bool Warns(std::span<const GuardResult> guards, std::string_view name) {
  return std::ranges::any_of(guards, [&](const GuardResult& guard) { return guard.name == name && guard.warning; });
}

// Equal texts are claimed to be the work of verification only where there was something to verify.
Verdict IdenticalVerdict(std::span<const GuardResult> guards) {
  Verdict verdict{.name = "identical", .about = {}, .outcome = "yes", .sentence = {}};
  if (Tripped(guards, "decoded") || Tripped(guards, "lossless")) {
    verdict.outcome = "no";
  } else if (Warns(guards, "exercised")) {
    verdict.outcome = "not exercised";
  }
  return verdict;
}

std::string FirstTripped(const RunRecord& run) {
  for (const GuardResult& guard : run.guards) {
    if (guard.tripped) return guard.name;
  }
  return "";
}

// One pair on all prompt sets.
class PairRun {
 public:
  PairRun(Store& store, SpeculationLab& lab, std::span<const PromptSet> sets, const SpeculationSettings& settings,
          const SpeculationWatch& watch)
      : store_(store), lab_(lab), sets_(sets), settings_(settings), watch_(watch), environment_(CaptureEnvironment()) {
    for (const PromptSet& set : sets) total_ += set.prompts.size() * static_cast<size_t>(settings.repetitions);
    for (const DraftSetting& setting : settings.lengths) longest_ = std::max(longest_, setting.options.draft_length);
    result_.subject = lab_.subject();
    earlier_ = store.RunsOf(kKind, result_.subject.target.digest);
  }

  PairResult Measure() {
    for (const PromptSet& set : sets_) MeasureSet(set);
    return std::move(result_);
  }

 private:
  void MeasureSet(const PromptSet& set) {
    started_unix_ms_ = UnixMilliseconds();
    columns_.clear();
    cost_samples_.clear();
    for (const DraftSetting& setting : settings_.lengths) columns_.push_back({&setting, {}, {}});
    if (settings_.placebo) columns_.push_back({});
    for (int repetition = 0; repetition < settings_.repetitions; ++repetition) {
      for (size_t i = 0; i < set.prompts.size(); ++i) {
        watch_(fmt::format("{}, {}, repetition {} of {}", result_.subject.draft_name, set.name, repetition + 1,
                           settings_.repetitions),
               static_cast<double>(done_++) / static_cast<double>(total_));
        const std::optional<TimedText> baseline = TakeTurn(set.prompts[i], i, repetition);
        // The costs are taken amid the texts, so that the machine's drift hits both: of each prompt in one repetition.
        if (baseline.has_value() && i % static_cast<size_t>(settings_.repetitions) == static_cast<size_t>(repetition)) {
          MeasureCosts(set.prompts[i], i, *baseline);
        }
      }
    }
    FinishSet(set);
  }

  void FailAll(const std::string& failure) {
    for (Column& column : columns_) column.failures.push_back(failure);
  }

  // The prompt's text of the target alone and of each column, in an order that rotates from turn to turn.
  std::optional<TimedText> TakeTurn(const Prompt& prompt, size_t index, int repetition) {
    std::optional<TimedText> baseline;
    std::vector<std::optional<PairedText>> texts(columns_.size());
    const size_t places = columns_.size() + 1;
    for (size_t place = 0; place < places; ++place) {
      const size_t who = (place + index + static_cast<size_t>(repetition)) % places;
      try {
        if (who == columns_.size()) {
          baseline = lab_.Baseline(prompt);
        } else if (const Column& column = columns_[who]; column.failures.empty()) {
          TimedText text =
              column.setting != nullptr ? lab_.Speculate(prompt, column.setting->options) : lab_.Baseline(prompt);
          texts[who] = PairedText{index, repetition, static_cast<int>(place), {}, std::move(text)};
        }
      } catch (const std::exception& error) {
        if (who == columns_.size()) {
          FailAll(fmt::format("prompt {}, the target alone: {}", prompt.id, error.what()));
        } else {
          columns_[who].failures.push_back(
              fmt::format("prompt {}, {}: {}", prompt.id, columns_[who].name(), error.what()));
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

  void MeasureCosts(const Prompt& prompt, size_t index, const TimedText& baseline) {
    if (baseline.decoded() < 1) return;
    try {
      lab_.PrepareCosts(prompt, std::span(baseline.tokens).first(baseline.tokens.size() / 2));
      CostSample of_turn{.prompt = index,
                         .baseline_step = baseline.SecondsPerToken(),
                         .plain_step = lab_.PlainSeconds(),
                         .draft_step = lab_.DraftSeconds(),
                         .guessing_seconds = {}};
      double seconds = 0.0;
      for (int round = 0; round < kMostCostRounds && (round < kFewestCostRounds || seconds < kCostSeconds); ++round) {
        of_turn.guessing_seconds = GuessingSeconds(round);
        for (const double part : of_turn.guessing_seconds) seconds += part;
        cost_samples_.push_back(of_turn);
      }
    } catch (const std::exception& error) {
      FailAll(fmt::format("prompt {}, measuring costs: {}", prompt.id, error.what()));
    }
  }

  // All draft lengths in turns, beginning with another one in each round.
  std::vector<double> GuessingSeconds(int round) {
    std::vector<double> seconds(static_cast<size_t>(longest_));
    for (int place = 0; place < longest_; ++place) {
      const int at = (place + round) % longest_;
      seconds[static_cast<size_t>(at)] = lab_.RoundSeconds(at + 1);
    }
    return seconds;
  }

  // The records of the set's cells, judged together and kept.
  void FinishSet(const PromptSet& set) {
    std::optional<CostCurve> costs;
    if (!cost_samples_.empty()) costs = SummarizeCosts(cost_samples_);
    const std::optional<NoiseFloor> floor = FinishPlacebo(set);
    const size_t first = result_.runs.size();
    for (const Column& column : columns_) {
      if (column.setting != nullptr) result_.runs.push_back(CellRecord(set, column, costs, floor));
    }
    const std::span<RunRecord> runs = std::span(result_.runs).subspan(first);
    JudgeSet(set, runs, floor);
    for (const RunRecord& run : runs) store_.AddRun(run);
  }

  std::optional<NoiseFloor> FinishPlacebo(const PromptSet& set) {
    if (!settings_.placebo) return std::nullopt;
    const Column& column = columns_.back();
    const NoiseFloor floor{set.name, PromptEstimate(SpeedupLogs(column.texts))};
    RunRecord record = NewRecord(set, column);
    record.metrics = {floor.ratio.metric("placebo speedup")};
    record.guards = {CheckDecoded(column.failures), CheckPlacebo(std::span(&floor, 1))};
    record.series = TextSeries(column.texts);
    store_.AddRun(record);
    result_.placebos.push_back(std::move(record));
    result_.floors.push_back(floor);
    return floor;
  }

  RunRecord CellRecord(const PromptSet& set, const Column& column, const std::optional<CostCurve>& costs,
                       const std::optional<NoiseFloor>& floor) {
    std::vector<std::string> failures = column.failures;
    std::optional<SpeculationFigures> figures;
    const bool timed = std::ranges::any_of(column.texts, [](const PairedText& text) { return text.timed(); });
    if (timed && costs.has_value()) {
      const SpeculationOptions& options = column.setting->options;
      figures = ComputeFigures(column.texts, *costs, options.adaptive ? 0 : options.draft_length);
    } else if (failures.empty()) {
      failures.emplace_back("no prompt gave a second token, so that nothing can be timed");
    }
    RunRecord record = NewRecord(set, column);
    record.guards = TextGuards(set, column, failures, record);
    record.series = TextSeries(column.texts);
    record.series.push_back(RoundSeries(kDrafted, column.texts, &RoundRecord::drafted));
    record.series.push_back(RoundSeries(kAccepted, column.texts, &RoundRecord::accepted));
    for (Series& series : BurstSeries(column.texts)) record.series.push_back(std::move(series));
    if (figures.has_value()) {
      for (GuardResult& guard : TimeGuards(column, *figures, *costs, floor)) record.guards.push_back(std::move(guard));
      record.metrics = MetricsOf(*figures);
      if (const std::optional<BurstFigures> bursts = ComputeBurstFigures(column.texts)) {
        for (Metric& metric : BurstMetrics(*bursts)) record.metrics.push_back(std::move(metric));
      }
      for (Series& series : FigureSeries(*figures)) record.series.push_back(std::move(series));
    }
    record.verdicts = {IdenticalVerdict(record.guards)};
    return record;
  }

  // Of what was generated.
  std::vector<GuardResult> TextGuards(const PromptSet& set, const Column& column, std::span<const std::string> failures,
                                      const RunRecord& record) {
    std::vector<OutputPair> outputs;
    std::vector<NamedText> baselines;
    int64_t drafted = 0;
    int64_t accepted = 0;
    for (const PairedText& text : column.texts) {
      const std::string& id = set.prompts[text.prompt].id;
      outputs.push_back({id, text.baseline.tokens, text.speculative.tokens});
      if (text.repetition == 0) baselines.push_back({id, lab_.Text(text.baseline.tokens)});
      for (const RoundRecord& round : text.speculative.rounds) {
        drafted += round.drafted;
        accepted += round.accepted;
      }
    }
    std::vector<GuardResult> guards = {
        CheckDecoded(failures), CheckLossless(outputs, [&](Token token) { return lab_.TokenText(token); }),
        CheckExercised(drafted, accepted), CheckBackend(EvidenceOf(column), OtherBackends(record)),
        CheckRepetition(baselines)};
    if (result_.subject.remote.has_value()) {
      guards.push_back(CheckRemote(*result_.subject.remote, BurstsOf(column.texts)));
    }
    return guards;
  }

  // Of how long it took.
  std::vector<GuardResult> TimeGuards(const Column& column, const SpeculationFigures& figures, const CostCurve& costs,
                                      const std::optional<NoiseFloor>& floor) const {
    const MachineBias machine{column.name(), PromptEstimate(MachineLogs(column.texts))};
    // Prompts differ in earnest; what the same prompt gives twice does not.
    std::vector<NamedEstimate> spreads = {
        {"the speed-up from a prompt's first repetition to its last", PromptEstimate(RepetitionLogs(column.texts))}};
    if (floor.has_value()) spreads.push_back({"the placebo", floor->ratio});
    std::vector<GuardResult> guards = {CheckBooks({figures.decode_seconds, figures.parts_seconds, costs.baseline_step}),
                                       CheckUnits(figures.speedup.units(), "prompt"), CheckSpread(spreads),
                                       CheckSteady(std::span(&machine, 1)),
                                       CheckMemory(ConditionsOf(column.texts), SecondsOf(column.texts))};
    if (floor.has_value()) guards.push_back(CheckPlacebo(std::span(&*floor, 1)));
    if (result_.subject.draft.has_value() && figures.speed_ratio.has_value()) {
      guards.push_back(CheckDraftCost({.draft_bytes = result_.subject.draft->tensor_bytes,
                                       .target_bytes = result_.subject.target.tensor_bytes,
                                       .speed_ratio = *figures.speed_ratio}));
    }
    return guards;
  }

  // The verdicts on the set's valid cells, and its sentence.
  void JudgeSet(const PromptSet& set, std::span<RunRecord> runs, const std::optional<NoiseFloor>& floor) {
    const std::string subject =
        fmt::format("{} with {} on {}", result_.subject.target.file, result_.subject.draft_name, set.name);
    std::vector<LengthSpeedup> lengths;
    std::string invalid;
    for (size_t i = 0; i < runs.size(); ++i) {
      const Column& column = columns_[i];
      if (runs[i].valid()) {
        lengths.push_back({column.setting->name, SpeedupLogs(column.texts)});
        continue;
      }
      const std::string reason = "no verdict: " + FirstTripped(runs[i]);
      runs[i].verdicts.push_back({"speedup", column.name(), "invalid", reason});
      invalid += fmt::format(" {} is invalid ({}).", column.name(), FirstTripped(runs[i]));
    }
    if (lengths.empty()) {
      result_.sentences.push_back(subject + ": no valid measurement.");
      return;
    }
    // Where the placebo is too short to tell, so are the texts, and they say so themselves.
    const double share = floor.has_value() && floor->ratio.enough() ? floor->floor() : 0.0;
    const SpeedupJudgement judgement = JudgeSpeedups(subject, lengths, share);
    size_t next = 0;
    for (RunRecord& run : runs) {
      if (!run.valid()) continue;
      run.verdicts.push_back(judgement.verdicts[next++]);
      if (!judgement.best.name.empty()) run.verdicts.push_back(judgement.best);
    }
    result_.sentences.push_back(judgement.sentence + invalid);
  }

  RunRecord NewRecord(const PromptSet& set, const Column& column) const {
    const PairSubject& subject = result_.subject;
    RunRecord record;
    record.kind = kKind;
    record.test = column.setting != nullptr
                      ? fmt::format("{} k={} {}", subject.draft_name, column.setting->name, set.name)
                      : fmt::format("{}{} {}", kPlaceboPrefix, subject.draft_name, set.name);
    record.started_unix_ms = started_unix_ms_;
    record.environment = environment_;
    record.model = subject.target;
    record.base = subject.draft;
    record.settings = {{kBackend, subject.backend},
                       {"backend_description", subject.backend_description},
                       {"threads", std::to_string(subject.threads)},
                       {"draft", subject.draft_name},
                       {"k", column.setting != nullptr ? column.setting->name : "none"},
                       {"prompt_set", set.name},
                       {"prompts", PromptHash(set)},
                       {"tokens", std::to_string(settings_.tokens)},
                       {"repetitions", std::to_string(settings_.repetitions)},
                       {"draft_p_min", fmt::format("{}", settings_.draft_p_min)},
                       {"placebo", settings_.placebo ? "measured" : "none"},
                       {kLogitHashes, fmt::format("{}", fmt::join(subject.logit_hashes, " "))},
                       {"draft_logit_hash", DraftHash(column.texts)}};
    if (subject.remote.has_value()) {
      const DrafterRecord& who = subject.remote->drafter;
      record.settings.insert(record.settings.end(), {{"draft_address", who.address},
                                                     {"draft_backend", who.backend},
                                                     {"draft_device", who.device},
                                                     {"draft_machine", who.machine},
                                                     {"home_machine", subject.remote->home_machine}});
    }
    const auto prompts = static_cast<int>(set.prompts.size());
    for (const PairedText& text : column.texts) {
      if (!text.timed()) continue;
      record.samples.push_back({.round = text.repetition * prompts + static_cast<int>(text.prompt),
                                .order = text.order,
                                .tokens = text.speculative.decoded(),
                                .seconds = text.speculative.decode_seconds,
                                .conditions = text.speculative.conditions});
    }
    return record;
  }

  BackendEvidence EvidenceOf(const Column& column) const {
    return {.backend = result_.subject.backend,
            .drafted = RoundSeries(kDrafted, column.texts, &RoundRecord::drafted).values,
            .accepted = RoundSeries(kAccepted, column.texts, &RoundRecord::accepted).values,
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
  std::vector<StoredRun> earlier_;  // on this target
  size_t total_ = 0, done_ = 0;     // turns
  int longest_ = 0;                 // draft
  PairResult result_;
  // Of the prompt set at hand.
  int64_t started_unix_ms_ = 0;
  std::vector<Column> columns_;  // by length; the placebo last
  std::vector<CostSample> cost_samples_;
};

}  // namespace

PairResult MeasurePair(Store& store, SpeculationLab& lab, std::span<const PromptSet> prompt_sets,
                       const SpeculationSettings& settings, const SpeculationWatch& watch) {
  return PairRun(store, lab, prompt_sets, settings, watch).Measure();
}

}  // namespace assay
