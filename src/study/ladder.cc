#include "study/ladder.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "measure/environment.h"
#include "measure/records.h"

namespace assay {
namespace {

constexpr const char* kPerplexity = "perplexity";
constexpr const char* kThroughput = "throughput";
constexpr const char* kPositions = "window_nll";
constexpr const char* kTogether = "together";
constexpr const char* kOneAtATime = "one at a time";

void RequireSensible(const LadderSettings& settings) {
  if (settings.rungs.empty()) Fail(ErrorKind::kUsage, "a ladder without rungs; name at least one");
  for (size_t i = 0; i < settings.rungs.size(); ++i) {
    if (std::count(settings.rungs.begin(), settings.rungs.end(), settings.rungs[i]) > 1) {
      Fail(ErrorKind::kUsage, "rung {} is named twice; name each once", TraitsOf(settings.rungs[i]).name);
    }
  }
  if (settings.prompt < 1 || settings.generate < 1 || settings.repetitions < 1) {
    Fail(ErrorKind::kUsage, "-p {} -n {} -r {}: each must be at least 1", settings.prompt, settings.generate,
         settings.repetitions);
  }
}

// All that the figures depend on besides model and environment, which the store keeps apart.
std::string SettingsJson(const LadderSubject& subject, const LadderSettings& settings) {
  nlohmann::ordered_json rungs = nlohmann::ordered_json::array();
  for (const Rung rung : settings.rungs) rungs.push_back(TraitsOf(rung).name);
  const nlohmann::ordered_json json = {{"text", subject.text},
                                       {"text_hash", subject.text_hash},
                                       {"backend", subject.backend},
                                       {"threads", subject.threads},
                                       {"rungs", rungs},
                                       {"context", settings.context},
                                       {"windows", settings.windows},
                                       {"prompt", settings.prompt},
                                       {"generate", settings.generate},
                                       {"repetitions", settings.repetitions},
                                       {"seed", settings.seed}};
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

const Metric& NeededMetric(const StoredRun& run, std::string_view name) {
  for (const Metric& metric : run.record.metrics) {
    if (metric.name == name) return metric;
  }
  Fail(ErrorKind::kBadFile, "the store has a {} run of {} without its {}; measure anew with --fresh", run.record.kind,
       run.record.model.file, name);
}

LadderQuality QualityOf(const StoredRun& run) {
  LadderQuality quality;
  quality.ppl = NeededMetric(run, "ppl").value;
  quality.ppl_se = NeededMetric(run, "ppl").error.value_or(0.0);
  if (!run.record.base.has_value()) return quality;
  quality.delta_pct = NeededMetric(run, "delta_pct").value;
  quality.delta_pct_se = NeededMetric(run, "delta_pct").error.value_or(0.0);
  quality.kld_mean = NeededMetric(run, "kld_mean").value;
  quality.kld_se = NeededMetric(run, "kld_mean").error.value_or(0.0);
  quality.kld_p99 = NeededMetric(run, "kld_p99").value;
  quality.top1_agree = NeededMetric(run, "top1_agree").value;
  return quality;
}

// The evidence of the guard that tripped.
const std::string& WhyInvalid(const StoredRun& run) {
  for (const GuardResult& guard : run.record.guards) {
    if (guard.tripped) return guard.evidence;
  }
  Fail(ErrorKind::kBadFile, "the store has an invalid {} run of {} without the reason; measure anew with --fresh",
       run.record.kind, run.record.model.file);
}

std::vector<TimedRate> RatesOf(const std::vector<Sample>& samples) {
  std::vector<TimedRate> rates;
  rates.reserve(samples.size());
  for (const Sample& sample : samples) {
    rates.push_back({.round = sample.round, .session = sample.session, .tok_per_s = sample.tok_per_s()});
  }
  return rates;
}

bool HasRound(const StoredRun& run, int round) {
  return std::any_of(run.record.samples.begin(), run.record.samples.end(),
                     [&](const Sample& sample) { return sample.round == round; });
}

// One start of a ladder.
class LadderRun {
 public:
  LadderRun(Store& store, LadderLab& lab, const LadderSubject& subject, const LadderSettings& settings,
            const LadderWatch& watch, const StudyState& study)
      : store_(store), lab_(lab), subject_(subject), settings_(settings), watch_(watch), study_(study) {
    Reload();
  }

  // The base comes first: a text that cannot be scored is known before the rungs are made.
  void MeasureAll() {
    MeasureBase();
    for (const Rung rung : settings_.rungs) models_.push_back(Prepare(rung));
    for (size_t i = 0; i < models_.size(); ++i) MeasureQuality(i);
    MeasureSpeed();
  }

  LadderResult Result(const PickRules& rules);

 private:
  void Reload() { runs_ = store_.StudyRuns(study_.id); }

  const StoredRun* Find(std::string_view kind, const std::string& test, const ModelIdentity& model) const {
    for (const StoredRun& run : runs_) {
      const RunRecord& record = run.record;
      if (record.kind == kind && record.test == test && record.model == model) return &run;
    }
    return nullptr;
  }

  const StoredRun& Get(std::string_view kind, const std::string& test, const ModelIdentity& model) const {
    const StoredRun* run = Find(kind, test, model);
    if (run == nullptr) Fail(ErrorKind::kInternal, "no {} run {} of {} was kept", kind, test, model.file);
    return *run;
  }

  LadderProgress Step(std::string name) const {
    watch_(name, 0.0);
    return [this, name = std::move(name)](double share) { watch_(name, share); };
  }

  RunRecord NewRecord(const char* kind, std::string test, const ModelIdentity& model) const {
    RunRecord record;
    record.kind = kind;
    record.test = std::move(test);
    record.started_unix_ms = UnixMilliseconds();
    record.environment = subject_.environment;
    record.model = model;
    record.settings = {{"backend", subject_.backend}, {"threads", std::to_string(subject_.threads)}};
    return record;
  }

  void MeasureBase() {
    if (Find(kPerplexity, subject_.text, subject_.source) != nullptr) return;
    RunRecord record = NewRecord(kPerplexity, subject_.text, subject_.source);
    const PerplexityResult result = lab_.MeasureBase(Step(fmt::format("{}: perplexity", subject_.source.file)));
    KeepQuality(std::move(record), result);
  }

  ModelIdentity Prepare(Rung rung) {
    const std::string name(TraitsOf(rung).name);
    if (name == subject_.source.quant) return subject_.source;
    const std::string& source = subject_.source.digest;
    const auto known = store_.FindDerived(source, name, subject_.environment);
    if (!known.has_value()) {
      if (!store_.HasDerived(source, name)) lab_.RequireFree(rung);
      // Said before it is made: one that is killed in between may be made anew.
      store_.SetDerived(source, name, subject_.environment, "");
    }
    ModelIdentity model = lab_.Prepare(rung, known, [&](double share) { watch_(name + ": quantize", share); });
    if (known != model.digest) {
      store_.SetDerived(source, name, subject_.environment, model.digest);
    }
    return model;
  }

  void MeasureQuality(size_t i) {
    if (Find(kPerplexity, subject_.text, models_[i]) != nullptr) return;
    const Rung rung = settings_.rungs[i];
    RunRecord record = NewRecord(kPerplexity, subject_.text, models_[i]);
    record.base = subject_.source;
    try {
      const PerplexityResult result =
          lab_.MeasureQuality(rung, Step(fmt::format("{}: perplexity", TraitsOf(rung).name)));
      KeepQuality(std::move(record), result);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kInvalid) throw;
      record.guards.push_back({.name = "finite", .tripped = true, .evidence = error.what()});
      store_.AddStudyRun(study_.id, record);
      measured_ = true;
      Reload();
    }
  }

  void KeepQuality(RunRecord record, const PerplexityResult& result) {
    record.settings.emplace_back("context", std::to_string(settings_.context));
    record.settings.emplace_back("windows", std::to_string(settings_.windows));
    record.settings.emplace_back("text_hash", subject_.text_hash);
    store_.AddStudyRun(study_.id, RecordOf(result, std::move(record)));
    measured_ = true;
    Reload();
  }

  bool Valid(size_t i) const { return Get(kPerplexity, subject_.text, models_[i]).status == RunStatus::kDone; }

  std::vector<ThroughputTest> Tests() const { return {GenerationTest(settings_), PromptTest(settings_)}; }

  // The valid rungs' indices.
  std::vector<size_t> SpeedRungs() const {
    std::vector<size_t> rungs;
    for (size_t i = 0; i < models_.size(); ++i) {
      if (Valid(i)) rungs.push_back(i);
    }
    return rungs;
  }

  bool SpeedIsComplete(const std::vector<size_t>& rungs) const {
    for (const size_t i : rungs) {
      for (const ThroughputTest& test : Tests()) {
        const StoredRun* run = Find(kThroughput, test.name(), models_[i]);
        if (run == nullptr || run->status == RunStatus::kRunning) return false;
      }
    }
    return true;
  }

  // Every rung takes both tests in its turn, the turns of a round in an order of their own, so that drift of the
  // machine hits all alike.
  void MeasureSpeed() {
    const std::vector<size_t> rungs = SpeedRungs();
    if (SpeedIsComplete(rungs)) return;
    watch_("load the rungs", 0.0);
    std::vector<Rung> names;
    names.reserve(rungs.size());
    for (const size_t i : rungs) names.push_back(settings_.rungs[i]);
    BeginSpeedRuns(rungs, lab_.PrepareSpeed(names));
    for (int round = 0; round < settings_.repetitions; ++round) {
      const std::vector<int> order = RoundOrder(static_cast<int>(rungs.size()), round, settings_.seed);
      for (size_t place = 0; place < order.size(); ++place) {
        MeasureTurn(rungs[static_cast<size_t>(order[place])], round, static_cast<int>(place));
      }
    }
    FinishSpeedRuns(rungs);
  }

  void BeginSpeedRuns(const std::vector<size_t>& rungs, bool together) {
    for (const size_t i : rungs) {
      for (const ThroughputTest& test : Tests()) {
        if (Find(kThroughput, test.name(), models_[i]) != nullptr) continue;
        RunRecord record = NewRecord(kThroughput, test.name(), models_[i]);
        record.settings.emplace_back("seed", std::to_string(settings_.seed));
        record.settings.emplace_back("loaded", together ? kTogether : kOneAtATime);
        store_.BeginRun(study_.id, record);
      }
    }
    Reload();
  }

  void MeasureTurn(size_t i, int round, int place) {
    const Rung rung = settings_.rungs[i];
    for (const ThroughputTest& test : Tests()) {
      const StoredRun& run = Get(kThroughput, test.name(), models_[i]);
      if (HasRound(run, round)) continue;
      const size_t rungs = settings_.rungs.size();
      watch_(fmt::format("speed, round {} of {}: {} {}", round + 1, settings_.repetitions, TraitsOf(rung).name,
                         test.name()),
             static_cast<double>(place) / static_cast<double>(rungs));
      Sample sample = lab_.MeasureSpeed(rung, test, round);
      sample.round = round;
      sample.order = place;
      sample.session = study_.session;
      store_.AddSample(run.id, sample);
      measured_ = true;
    }
  }

  void FinishSpeedRuns(const std::vector<size_t>& rungs) {
    Reload();
    for (const size_t i : rungs) {
      for (const ThroughputTest& test : Tests()) {
        const StoredRun& run = Get(kThroughput, test.name(), models_[i]);
        if (run.status != RunStatus::kRunning) continue;
        const Summary summary = RateOf(run.record.samples);
        const std::vector<Metric> metrics = {{"tok_per_s", summary.mean, std::nullopt},
                                             {"tok_per_s_sd", summary.sd, std::nullopt},
                                             {"tok_per_s_median", summary.median, std::nullopt}};
        RunRecord results;
        results.metrics = metrics;
        store_.FinishRun(run.id, results);
      }
    }
    Reload();
  }

  LadderRung RungResult(size_t i) const;
  RungEvidence EvidenceOf(const LadderRung& rung) const;

  Store& store_;
  LadderLab& lab_;
  const LadderSubject& subject_;
  const LadderSettings& settings_;
  const LadderWatch& watch_;
  StudyState study_;
  std::vector<ModelIdentity> models_;  // of the rungs
  std::vector<StoredRun> runs_;        // of the study, as the store has them
  bool measured_ = false;              // something, in this start
};

LadderRung LadderRun::RungResult(size_t i) const {
  LadderRung rung;
  rung.rung = settings_.rungs[i];
  rung.model = models_[i];
  const StoredRun& quality = Get(kPerplexity, subject_.text, rung.model);
  if (quality.status == RunStatus::kInvalid) {
    rung.invalid = WhyInvalid(quality);
    return rung;
  }
  rung.quality = QualityOf(quality);
  rung.tg = Get(kThroughput, GenerationTest(settings_).name(), rung.model).record.samples;
  rung.pp = Get(kThroughput, PromptTest(settings_).name(), rung.model).record.samples;
  return rung;
}

RungEvidence LadderRun::EvidenceOf(const LadderRung& rung) const {
  RungEvidence evidence;
  evidence.name = TraitsOf(rung.rung).name;
  evidence.invalid = rung.invalid;
  evidence.bytes = rung.model.file_bytes;
  evidence.generation = RatesOf(rung.tg);
  return evidence;
}

LadderResult LadderRun::Result(const PickRules& rules) {
  LadderResult result;
  result.subject = subject_;
  result.settings = settings_;
  const StoredRun& base = Get(kPerplexity, subject_.text, subject_.source);
  result.base = QualityOf(base);
  result.windows = static_cast<int64_t>(NeededMetric(base, "windows").value);
  result.tokens_scored = static_cast<int64_t>(NeededMetric(base, "tokens_scored").value);
  std::vector<RungEvidence> evidence;
  for (size_t i = 0; i < models_.size(); ++i) {
    result.rungs.push_back(RungResult(i));
    evidence.push_back(EvidenceOf(result.rungs.back()));
    if (!result.rungs.back().invalid.empty()) continue;
    evidence.back().position_nll = store_.ReadSeries(Get(kPerplexity, subject_.text, models_[i]).id, kPositions);
  }
  result.verdict = Decide(evidence, store_.ReadSeries(base.id, kPositions), rules);
  for (size_t i = 0; i < result.rungs.size(); ++i) result.rungs[i].verdict = result.verdict.rungs[i];
  for (const StoredRun& run : runs_) {
    for (const auto& [name, value] : run.record.settings) {
      if (name == "loaded" && value == kOneAtATime) result.together = false;
    }
    for (const Sample& sample : run.record.samples) result.sessions = std::max(result.sessions, sample.session);
  }
  result.measured_before = !measured_;
  return result;
}

}  // namespace

double LadderRung::bits_per_weight() const {
  return static_cast<double>(model.tensor_bytes) * 8.0 / static_cast<double>(model.parameters);
}

Summary RateOf(const std::vector<Sample>& samples) {
  std::vector<double> rates;
  rates.reserve(samples.size());
  for (const Sample& sample : samples) rates.push_back(sample.tok_per_s());
  return rates.empty() ? Summary{} : Summarize(rates);
}

ThroughputTest PromptTest(const LadderSettings& settings) {
  return {.kind = ThroughputTest::Kind::kPrompt, .tokens = settings.prompt, .depth = 0};
}

ThroughputTest GenerationTest(const LadderSettings& settings) {
  return {.kind = ThroughputTest::Kind::kGenerate, .tokens = settings.generate, .depth = 0};
}

LadderResult RunLadder(Store& store, LadderLab& lab, const LadderSubject& subject, const LadderSettings& settings,
                       const PickRules& rules, bool fresh, const LadderWatch& watch) {
  RequireSensible(settings);
  const std::string key = SettingsJson(subject, settings);
  const StudyState study = store.OpenStudy(
      {.kind = "ladder", .key = key, .settings = key, .model = subject.source, .environment = subject.environment},
      fresh);
  LadderRun run(store, lab, subject, settings, watch, study);
  run.MeasureAll();
  if (!study.finished) store.FinishStudy(study.id);
  return run.Result(rules);
}

}  // namespace assay
