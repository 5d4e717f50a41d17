#include "study/ladder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "judge/speeds.h"
#include "measure/environment.h"
#include "measure/records.h"

namespace assay {
namespace {

constexpr const char* kLadder = "ladder";
constexpr const char* kPerplexity = "perplexity";
constexpr const char* kThroughput = "throughput";
constexpr const char* kWindows = "window_nll";

using Json = nlohmann::ordered_json;

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

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json SettingsJson(const LadderSubject& subject, const LadderSettings& settings) {
  Json rungs = Json::array();
  for (const Rung rung : settings.rungs) rungs.push_back(TraitsOf(rung).name);
  return {{"text", subject.text},
          {"text_hash", subject.text_hash},
          {"backend", subject.backend},
          {"threads", subject.threads},
          {"rungs", rungs},
          {"context", settings.context},
          {"windows", settings.windows},
          {"prompt", settings.prompt},
          {"generate", settings.generate},
          {"repetitions", settings.repetitions},
          {"seed", settings.seed},
          {"placebo", settings.placebo},
          {kArithmeticSetting, ArithmeticName(settings.arithmetic)}};
}

// All that the figures depend on.
std::string KeyOf(const LadderSubject& subject, const LadderSettings& settings) {
  const Environment& e = subject.environment;
  Json key = SettingsJson(subject, settings);
  key["model"] = {subject.source.digest, subject.source.file};
  key["environment"] = {e.cpu,      e.cores,         e.isa,        e.memory_bytes,          e.kernel,
                        e.compiler, e.assay_version, e.build_type, e.governor.value_or(""), e.machine};
  return Dump(key);
}

bool HasRound(const StoredRun& run, int round) {
  return std::any_of(run.record.samples.begin(), run.record.samples.end(),
                     [&](const Sample& sample) { return sample.round == round; });
}

// What a stored quality must have to be told.
void RequireWhole(const RunRecord& quality, const RunRecord& base) {
  const auto fail = [&](std::string_view what) {
    Fail(ErrorKind::kBadFile, "the store has a {} run of {} {}; measure anew with --fresh", quality.kind,
         quality.model.file, what);
  };
  std::vector<const char*> names = {"ppl", "windows", "tokens_scored"};
  if (quality.base.has_value()) names.insert(names.end(), {"delta_pct", "kld_mean", "kld_p99", "top1_agree"});
  for (const char* name : names) {
    if (FindMetric(quality, name) == nullptr) fail(fmt::format("without its {}", name));
  }
  if (SeriesOf(quality, kWindows).size() != SeriesOf(base, kWindows).size()) fail("over other windows than its base's");
  if (ArithmeticOf(quality) != ArithmeticOf(base)) fail("of another arithmetic than its base's");
}

// Who is timed in the rounds.
struct Contender {
  std::string name;
  ModelIdentity model;
  std::optional<Rung> rung = std::nullopt;  // nothing: the source
  bool placebo = false;

  std::string TestName(const ThroughputTest& test) const {
    return (placebo ? std::string(kPlaceboPrefix) : "") + test.name();
  }
};

// One start of a ladder.
class LadderRun {
 public:
  LadderRun(Store& store, LadderLab& lab, const LadderSubject& subject, const LadderSettings& settings,
            const LadderWatch& watch, const StudyState& study)
      : store_(store), lab_(lab), subject_(subject), settings_(settings), watch_(watch), study_(study) {
    Reload();
  }

  void MeasureAll() {
    if (!Has(kPerplexity, subject_.text, subject_.source)) lab_.RequireText();
    for (const Rung rung : settings_.rungs) models_.push_back(Prepare(rung));
    MeasureQuality();
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

  bool Has(std::string_view kind, const std::string& test, const ModelIdentity& model) const {
    return Find(kind, test, model) != nullptr;
  }

  const StoredRun& Get(std::string_view kind, const std::string& test, const ModelIdentity& model) const {
    const StoredRun* run = Find(kind, test, model);
    if (run == nullptr) Fail(ErrorKind::kInternal, "no {} run {} of {} was kept", kind, test, model.file);
    return *run;
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

  bool IsSource(size_t i) const { return models_[i] == subject_.source; }

  // The rungs whose quality the store does not have.
  std::vector<size_t> QualityLeft() const {
    std::vector<size_t> left;
    for (size_t i = 0; i < models_.size(); ++i) {
      if (!IsSource(i) && !Has(kPerplexity, subject_.text, models_[i])) left.push_back(i);
    }
    return left;
  }

  // In as few passes through the text as the memory allows, each of which takes the base once.
  void MeasureQuality() {
    while (true) {
      const std::vector<size_t> left = QualityLeft();
      const bool has_base = Has(kPerplexity, subject_.text, subject_.source);
      if (left.empty() && has_base) return;
      std::vector<Rung> rungs;
      rungs.reserve(left.size());
      for (const size_t i : left) rungs.push_back(settings_.rungs[i]);
      if (!rungs.empty()) rungs.resize(std::clamp(lab_.FitTogether(rungs), size_t{1}, rungs.size()));
      const std::string step = QualityStep(rungs);
      watch_(step, 0.0);
      RunRecord about = NewRecord(kPerplexity, subject_.text, subject_.source);
      AddQualitySettings(about);
      const LadderQualities measured = lab_.MeasureQuality(rungs, [&](double share) { watch_(step, share); });
      if (!has_base) store_.AddStudyRun(study_.id, RecordOf(measured.base, about));
      about.base = subject_.source;
      for (size_t i = 0; i < rungs.size(); ++i) {
        about.model = models_[left[i]];
        store_.AddStudyRun(study_.id, RecordOf(measured.rungs[i], about));
      }
      measured_ = true;
      Reload();
    }
  }

  // "F16, Q8_0 and Q4_0: perplexity"
  std::string QualityStep(std::span<const Rung> rungs) const {
    std::string names = subject_.source.quant;
    for (const Rung rung : rungs) names += fmt::format(", {}", TraitsOf(rung).name);
    return names + ": perplexity";
  }

  void AddQualitySettings(RunRecord& record) const {
    record.settings.emplace_back("context", std::to_string(settings_.context));
    record.settings.emplace_back("windows", std::to_string(settings_.windows));
    record.settings.emplace_back("text_hash", subject_.text_hash);
  }

  std::array<ThroughputTest, 2> Tests() const { return {GenerationTest(settings_), PromptTest(settings_)}; }

  // The source, the valid rungs that are not the source, and the placebo.
  std::vector<Contender> Contenders() const {
    std::vector<Contender> contenders = {{.name = subject_.source.quant, .model = subject_.source}};
    for (size_t i = 0; i < models_.size(); ++i) {
      if (IsSource(i) || Get(kPerplexity, subject_.text, models_[i]).status != RunStatus::kDone) continue;
      const Rung rung = settings_.rungs[i];
      contenders.push_back({.name = std::string(TraitsOf(rung).name), .model = models_[i], .rung = rung});
    }
    if (settings_.placebo) {
      contenders.push_back({.name = "placebo " + subject_.source.quant, .model = subject_.source, .placebo = true});
    }
    return contenders;
  }

  const StoredRun* SpeedRun(const Contender& contender, const ThroughputTest& test) const {
    return Find(kThroughput, contender.TestName(test), contender.model);
  }

  bool SpeedIsComplete(const std::vector<Contender>& contenders) const {
    for (const Contender& contender : contenders) {
      for (const ThroughputTest& test : Tests()) {
        const StoredRun* run = SpeedRun(contender, test);
        if (run == nullptr || run->status == RunStatus::kRunning) return false;
      }
    }
    return true;
  }

  // Every contender takes both tests in its turn, the turns of a round in an order of their own, so that drift of the
  // machine hits all alike.
  void MeasureSpeed() {
    const std::vector<Contender> contenders = Contenders();
    if (SpeedIsComplete(contenders)) return;
    BeginSpeedRuns(contenders);
    for (int round = 0; round < settings_.repetitions; ++round) {
      const std::vector<int> order = RoundOrder(static_cast<int>(contenders.size()), round, settings_.seed);
      for (size_t place = 0; place < order.size(); ++place) {
        MeasureTurn(contenders[static_cast<size_t>(order[place])], round, place,
                    static_cast<double>(place) / static_cast<double>(order.size()));
      }
    }
    FinishSpeedRuns(contenders);
  }

  void BeginSpeedRuns(const std::vector<Contender>& contenders) {
    for (const Contender& contender : contenders) {
      for (const ThroughputTest& test : Tests()) {
        if (SpeedRun(contender, test) != nullptr) continue;
        RunRecord record = NewRecord(kThroughput, contender.TestName(test), contender.model);
        record.settings.emplace_back("seed", std::to_string(settings_.seed));
        record.settings.emplace_back("tokens", std::to_string(test.tokens));
        record.settings.emplace_back("depth", std::to_string(test.depth));
        record.settings.emplace_back("repetitions", std::to_string(settings_.repetitions));
        record.settings.emplace_back("placebo", settings_.placebo ? "measured" : "none");
        record.settings.emplace_back("loaded", "for each turn");
        store_.BeginRun(study_.id, record);
      }
    }
    Reload();
  }

  void MeasureTurn(const Contender& contender, int round, size_t place, double share) {
    std::vector<ThroughputTest> tests;
    for (const ThroughputTest& test : Tests()) {
      if (!HasRound(*SpeedRun(contender, test), round)) tests.push_back(test);
    }
    if (tests.empty()) return;
    watch_(fmt::format("speed, round {} of {}: {}", round + 1, settings_.repetitions, contender.name), share);
    const std::vector<Sample> samples = lab_.MeasureSpeed(contender.rung, tests, round);
    for (size_t i = 0; i < tests.size(); ++i) {
      Sample sample = samples[i];
      sample.round = round;
      sample.order = static_cast<int>(place);
      sample.session = study_.session;
      store_.AddSample(SpeedRun(contender, tests[i])->id, sample);
    }
    measured_ = true;
  }

  // The guards are over all speeds, and each run has them.
  void FinishSpeedRuns(const std::vector<Contender>& contenders) {
    Reload();
    const std::vector<GuardResult> guards = CheckSpeeds(SpeedsOf(Runs()));
    for (const Contender& contender : contenders) {
      for (const ThroughputTest& test : Tests()) {
        const StoredRun& run = *SpeedRun(contender, test);
        if (run.status != RunStatus::kRunning) continue;
        ThroughputResult result;
        result.samples = run.record.samples;
        std::vector<double> rates;
        for (const Sample& sample : result.samples) rates.push_back(sample.tok_per_s());
        result.tok_per_s = Summarize(rates);
        RunRecord results = RecordOf(result, {});
        results.guards.insert(results.guards.end(), guards.begin(), guards.end());
        store_.FinishRun(run.id, results);
      }
    }
    Reload();
  }

  LadderRuns Runs();
  RungRuns RunsOf(std::string name, const ModelIdentity& model);
  void KeepJudgement(const LadderJudgement& judgement, const PickRules& rules);

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

RungRuns LadderRun::RunsOf(std::string name, const ModelIdentity& model) {
  const StoredRun& quality = Get(kPerplexity, subject_.text, model);
  RungRuns runs{.name = std::move(name), .quality = quality.record, .tg = {}, .pp = {}};
  if (runs.valid() != (quality.status == RunStatus::kDone)) {
    Fail(ErrorKind::kBadFile, "the store has an invalid {} run of {} without the reason; measure anew with --fresh",
         runs.quality.kind, model.file);
  }
  runs.quality.series = {{kWindows, store_.ReadSeries(quality.id, kWindows)}};
  if (!runs.valid()) return runs;
  runs.tg = Get(kThroughput, GenerationTest(settings_).name(), model).record;
  runs.pp = Get(kThroughput, PromptTest(settings_).name(), model).record;
  return runs;
}

LadderRuns LadderRun::Runs() {
  LadderRuns runs{.base = RunsOf(subject_.source.quant, subject_.source), .placebo = std::nullopt, .rungs = {}};
  if (!runs.base.valid()) {
    Fail(ErrorKind::kBadFile, "the store has an invalid perplexity run of {}, the base; measure anew with --fresh",
         subject_.source.file);
  }
  RequireWhole(runs.base.quality, runs.base.quality);
  for (size_t i = 0; i < models_.size(); ++i) {
    runs.rungs.push_back(RunsOf(std::string(TraitsOf(settings_.rungs[i]).name), models_[i]));
    if (runs.rungs.back().valid()) RequireWhole(runs.rungs.back().quality, runs.base.quality);
  }
  if (!settings_.placebo) return runs;
  const Contender placebo{.name = "placebo", .model = subject_.source, .placebo = true};
  runs.placebo = RungRuns{.name = placebo.name,
                          .quality = {},
                          .tg = Get(kThroughput, placebo.TestName(GenerationTest(settings_)), placebo.model).record,
                          .pp = Get(kThroughput, placebo.TestName(PromptTest(settings_)), placebo.model).record};
  return runs;
}

// One for each tolerated loss that was asked for.
void LadderRun::KeepJudgement(const LadderJudgement& judgement, const PickRules& rules) {
  const std::string test = fmt::format("{:g}% of perplexity may be lost", rules.max_loss_pct);
  if (Has(kLadder, test, subject_.source)) return;
  RunRecord record = NewRecord(kLadder, test, subject_.source);
  record.settings.emplace_back("text", subject_.text);
  AddQualitySettings(record);
  record.settings.emplace_back(kArithmeticSetting, ArithmeticName(settings_.arithmetic));
  record.settings.emplace_back("repetitions", std::to_string(settings_.repetitions));
  record.settings.emplace_back("placebo", settings_.placebo ? "measured" : "none");
  record.settings.emplace_back("max_loss_pct", fmt::format("{:g}", rules.max_loss_pct));
  record.guards = judgement.guards;
  record.verdicts = judgement.verdicts;
  store_.AddStudyRun(study_.id, record);
}

LadderResult LadderRun::Result(const PickRules& rules) {
  LadderResult result;
  result.subject = subject_;
  result.settings = settings_;
  result.runs = Runs();
  result.judgement = JudgeLadder(result.runs, rules);
  KeepJudgement(result.judgement, rules);
  for (const StoredRun& run : runs_) {
    for (const Sample& sample : run.record.samples) result.sessions = std::max(result.sessions, sample.session);
  }
  result.measured_before = !measured_;
  return result;
}

}  // namespace

ThroughputTest PromptTest(const LadderSettings& settings) {
  return {.kind = ThroughputTest::Kind::kPrompt, .tokens = settings.prompt, .depth = 0};
}

ThroughputTest GenerationTest(const LadderSettings& settings) {
  return {.kind = ThroughputTest::Kind::kGenerate, .tokens = settings.generate, .depth = 0};
}

LadderResult RunLadder(Store& store, LadderLab& lab, const LadderSubject& subject, const LadderSettings& settings,
                       const PickRules& rules, bool fresh, const LadderWatch& watch) {
  RequireSensible(settings);
  const StudyState study = store.OpenStudy({.kind = kLadder,
                                            .key = KeyOf(subject, settings),
                                            .settings = Dump(SettingsJson(subject, settings)),
                                            .model = subject.source,
                                            .environment = subject.environment},
                                           fresh);
  LadderRun run(store, lab, subject, settings, watch, study);
  run.MeasureAll();
  LadderResult result = run.Result(rules);
  if (!study.finished) store.FinishStudy(study.id);
  return result;
}

}  // namespace assay
