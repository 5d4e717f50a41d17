#include "render/speculation_output.h"

#include <fmt/format.h>

#include <algorithm>

#include "judge/round_costs.h"
#include "render/measure_json.h"
#include "render/remote_output.h"
#include "render/text_table.h"

namespace assay {
namespace {

constexpr size_t kDraftWidth = 32;

std::string FigureText(const RunRecord& run, std::string_view name, int digits) {
  const Metric* metric = FindMetric(run, name);
  return metric != nullptr ? fmt::format("{:.{}f}", metric->value, digits) : "-";
}

std::string IntervalText(const RunRecord& run, std::string_view name) {
  const Metric* metric = FindMetric(run, name);
  if (metric == nullptr || !metric->certainty.has_value() || !metric->certainty->low.has_value()) return "-";
  return fmt::format("{:.2f} to {:.2f}", *metric->certainty->low, *metric->certainty->high);
}

// What the parts of rounds cost; verify is empty where nothing was timed.
RoundCosts CostsOf(const RunRecord& run) {
  const std::span<const float> verify = SeriesOf(run, "verify_cost");
  const Metric* draft = FindMetric(run, "draft_cost");
  return {.draft = draft != nullptr ? draft->value : 0.0, .verify = {verify.begin(), verify.end()}};
}

std::string OutcomeOf(const RunRecord& run, std::string_view verdict) {
  const Verdict* found = FindVerdict(run, verdict);
  return found != nullptr ? found->outcome : "";
}

std::string GuardsText(const RunRecord& run) {
  std::vector<std::string> names;
  for (const GuardResult& guard : run.guards) {
    if (guard.tripped) names.push_back("INVALID: " + guard.name);
    if (guard.warning) names.push_back("warns: " + guard.name);
  }
  return names.empty() ? "pass" : fmt::format("{}", fmt::join(names, ", "));
}

std::vector<std::string> Row(const std::string& draft, const RunRecord& run) {
  const std::string identical = OutcomeOf(run, "identical");
  return {Abbreviate(OneLine(draft), kDraftWidth),
          SettingOf(run, "k"),
          FigureText(run, "accept_rate", 3),
          FigureText(run, "tokens_per_round", 2),
          FigureText(run, "tok_per_s", 1),
          FigureText(run, "baseline_tok_per_s", 1),
          FigureText(run, "speedup", 2),
          IntervalText(run, "speedup"),
          FigureText(run, "predicted_speedup", 2),
          identical == "no" ? "NO" : identical,
          GuardsText(run)};
}

std::vector<std::string> PromptSets(const SpeculationStudy& study) {
  std::vector<std::string> sets;
  for (const RunRecord& run : study.pairs.front().runs) {
    if (std::ranges::find(sets, SettingOf(run, "prompt_set")) == sets.end()) {
      sets.push_back(SettingOf(run, "prompt_set"));
    }
  }
  return sets;
}

// "Noise floor, from the target alone measured twice: 0.8% beside draft.gguf"
std::string FloorLine(const SpeculationStudy& study, const std::string& set) {
  std::vector<std::string> floors;
  for (const PairResult& pair : study.pairs) {
    for (const NoiseFloor& floor : pair.floors) {
      if (floor.test != set) continue;
      floors.push_back(floor.ratio.enough()
                           ? fmt::format("{:.1f}% beside {}", 100.0 * floor.floor(), OneLine(pair.subject.draft_name))
                           : fmt::format("unknown beside {} (too few prompts)", OneLine(pair.subject.draft_name)));
    }
  }
  if (floors.empty()) return "";
  return fmt::format("  noise floor, from the target alone measured twice: {}\n", fmt::join(floors, ", "));
}

std::string SetTable(const SpeculationStudy& study, const std::string& set) {
  TextTable table({{"draft"},
                   {"k", true},
                   {"accepted", true},
                   {"tokens/round", true},
                   {"tok/s", true},
                   {"alone", true},
                   {"speed-up", true},
                   {"95% interval", true},
                   {"predicted", true},
                   {"identical", true},
                   {"guards"}});
  for (const PairResult& pair : study.pairs) {
    for (const RunRecord& run : pair.runs) {
      if (SettingOf(run, "prompt_set") == set) table.AddRow(Row(pair.subject.draft_name, run));
    }
  }
  return fmt::format("Prompt set {}\n{}{}\n", set, table.ToString(), FloorLine(study, set));
}

// The cell of a pair with the longest draft, whose costs reach furthest.
const RunRecord* WidestRun(const PairResult& pair, const std::string& set) {
  const RunRecord* widest = nullptr;
  for (const RunRecord& run : pair.runs) {
    if (SettingOf(run, "prompt_set") == set && !SeriesOf(run, "verify_cost").empty()) widest = &run;
  }
  return widest;
}

std::string CostLines(const PairResult& pair, const std::string& set) {
  const RunRecord* run = WidestRun(pair, set);
  if (run == nullptr) return "";
  const RoundCosts costs = CostsOf(*run);
  std::string text =
      fmt::format("  {}, {}: one guess costs {:.2f} plain steps", OneLine(pair.subject.draft_name), set, costs.draft);
  if (FindMetric(*run, "speed_ratio") != nullptr) {
    text += fmt::format(" (speed ratio {})", FigureText(*run, "speed_ratio", 2));
  }
  text += "; verifying n tokens";
  for (size_t n = 1; n <= costs.verify.size(); ++n) text += fmt::format(" {}:{:.2f}", n, costs.verify[n - 1]);
  text += "\n    acceptance per guess to break even:";
  for (int k = 1; k < static_cast<int>(costs.verify.size()); ++k) {
    const std::optional<double> needed = BreakEvenAcceptance(k, costs);
    text += needed ? fmt::format(" k={}:{:.2f}", k, *needed) : fmt::format(" k={}:never", k);
  }
  return text + fmt::format("; measured {}\n", FigureText(*run, "accept_per_guess", 2));
}

// "target.gguf: Q4_K_M (Q4_K 71%, Q6_K 29%), digest 0123"
std::string ModelLine(const ModelIdentity& model) {
  const std::string mix = model.mix.empty() ? "" : fmt::format(" ({})", model.mix);
  return OneLine(fmt::format("{}: {}{}, digest {}", model.file, model.quant, mix, model.digest)) + "\n";
}

Json BreakEvenJson(const RoundCosts& costs) {
  Json json = Json::array();
  for (int k = 1; k < static_cast<int>(costs.verify.size()); ++k) {
    const std::optional<double> needed = BreakEvenAcceptance(k, costs);
    json.push_back({{"k", k}, {"acceptance", needed ? Json(*needed) : Json()}});
  }
  return json;
}

Json CertaintyJson(const RunRecord& run, std::string_view name) {
  const Metric* metric = FindMetric(run, name);
  if (metric == nullptr || !metric->certainty.has_value()) return {};
  const Certainty& certainty = *metric->certainty;
  const auto end = [](const std::optional<double>& value) { return value ? Json(*value) : Json(); };
  return {{"low", end(certainty.low)},
          {"high", end(certainty.high)},
          {"unit", certainty.unit},
          {"units", certainty.units},
          {"method", certainty.method}};
}

// True or false where texts show it, null where equal ones show nothing.
Json IdenticalJson(const RunRecord& run) {
  const std::string outcome = OutcomeOf(run, "identical");
  return outcome == "not exercised" ? Json() : Json(outcome == "yes");
}

// Figures that were not measured are null: a script that reads them finds them.
Json CellJson(const SpeculationStudy& study, size_t pair, const RunRecord& run) {
  Json json = {{"target", study.target}, {"draft", study.drafts[pair]}};
  const auto setting = std::ranges::find(study.settings.lengths, SettingOf(run, "k"), &DraftSetting::name);
  const SpeculationOptions& options = setting->options;
  json["k"] = options.adaptive ? Json(setting->name) : Json(options.draft_length);
  json["prompt_set"] = SettingOf(run, "prompt_set");
  for (const char* name : {"rounds", "drafted", "accepted", "accept_rate", "accept_per_guess", "tokens_per_round",
                           "tok_per_s", "baseline_tok_per_s", "time_to_first_token_s", "baseline_time_to_first_token_s",
                           "speedup", "speed_ratio", "draft_cost", "predicted_speedup", "break_even", "books"}) {
    json[name] = FigureJson(run, name);
  }
  const Json certainty = CertaintyJson(run, "speedup");
  json["speedup_ci"] = certainty.is_null() ? Json() : Json::array({certainty["low"], certainty["high"]});
  json["speedup_certainty"] = certainty;
  const RoundCosts costs = CostsOf(run);
  const bool timed = !costs.verify.empty();
  std::vector<double> verify = costs.verify;
  verify.resize(std::min(verify.size(), static_cast<size_t>(options.draft_length) + 1));
  json["accept_by_position"] = timed ? Json(SeriesOf(run, "accept_by_position")) : Json();
  json["verify_cost"] = timed ? Json(verify) : Json();
  json["break_even_curve"] = timed ? BreakEvenJson(costs) : Json();
  json["burst"] = BurstJson(run);
  json["remote"] = RemoteJson(study, study.pairs[pair], run);
  json["identical"] = IdenticalJson(run);
  json["valid"] = run.valid();
  const Verdict* verdict = FindVerdict(run, "speedup");
  json["verdict"] = verdict != nullptr ? Json(verdict->sentence) : Json();
  json["verdicts"] = VerdictsJson(run.verdicts);
  json["guards"] = GuardsJson(run.guards);
  return json;
}

std::vector<std::string> GuardLines(const SpeculationStudy& study, bool (*wanted)(const GuardResult&), bool with_k) {
  std::vector<std::string> lines;
  for (const PairResult& pair : study.pairs) {
    for (const RunRecord& run : pair.runs) {
      for (const GuardResult& guard : run.guards) {
        if (!wanted(guard)) continue;
        const std::string line =
            OneLine(fmt::format("{}, {}{}: {}: {}", pair.subject.draft_name, SettingOf(run, "prompt_set"),
                                with_k ? ", k=" + SettingOf(run, "k") : "", guard.name, guard.evidence));
        if (std::ranges::find(lines, line) == lines.end()) lines.push_back(line);
      }
    }
  }
  return lines;
}

}  // namespace

std::string SpeculationText(const SpeculationStudy& study) {
  const PairSubject& first = study.pairs.front().subject;
  std::string text = fmt::format("{}, {}; repetitions: {}; at most {} tokens a prompt, greedy\n", study.target,
                                 first.backend_description, study.settings.repetitions, study.settings.tokens);
  text += ModelLine(first.target);
  for (const PairResult& pair : study.pairs) {
    if (pair.subject.draft.has_value() && !pair.subject.remote.has_value()) text += ModelLine(*pair.subject.draft);
  }
  text += "\n";
  const std::vector<std::string> sets = PromptSets(study);
  for (const std::string& set : sets) text += SetTable(study, set);
  text += "Costs, in plain steps of the target\n";
  for (const PairResult& pair : study.pairs) {
    for (const std::string& set : sets) text += CostLines(pair, set);
  }
  text += "\n" + RemoteText(study);
  for (const PairResult& pair : study.pairs) {
    for (const std::string& sentence : pair.sentences) text += OneLine(sentence) + "\n";
  }
  return text + fmt::format("Every run is kept in {}.\n", study.database);
}

Json SpeculationJson(const SpeculationStudy& study) {
  Json runs = Json::array();
  Json pairs = Json::array();
  Json placebo = study.settings.placebo ? Json::object() : Json();
  for (size_t i = 0; i < study.pairs.size(); ++i) {
    const PairResult& pair = study.pairs[i];
    for (const RunRecord& run : pair.runs) runs.push_back(CellJson(study, i, run));
    pairs.push_back({{"draft", study.drafts[i]},
                     {"model", pair.subject.draft ? ToJson(*pair.subject.draft) : Json()},
                     {"verdict", fmt::format("{}", fmt::join(pair.sentences, " "))}});
    if (study.settings.placebo) placebo[study.drafts[i]] = PlaceboJson(pair.floors);
  }
  const PairSubject& subject = study.pairs.front().subject;
  return {{"target", ToJson(subject.target)},
          {"runs", std::move(runs)},
          {"pairs", std::move(pairs)},
          {"placebo", std::move(placebo)},
          {"tokens", study.settings.tokens},
          {"repetitions", study.settings.repetitions},
          {"draft_p_min", study.settings.draft_p_min},
          {"backend", subject.backend_description},
          {"threads", subject.threads},
          {"db", study.database},
          {"environment", ToJson(study.environment)}};
}

std::vector<std::string> InvalidLines(const SpeculationStudy& study) {
  return GuardLines(
      study, [](const GuardResult& guard) { return guard.tripped; }, /*with_k=*/true);
}

std::vector<std::string> WarningLines(const SpeculationStudy& study) {
  return GuardLines(
      study, [](const GuardResult& guard) { return guard.warning; }, /*with_k=*/false);
}

}  // namespace assay
