#include "render/speculation_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "render/measure_json.h"
#include "render/text_table.h"

namespace assay {
namespace {

constexpr size_t kDraftWidth = 32;

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

// JSON has no infinity, which an interval of too few samples reaches to.
Json FiniteJson(double value) { return std::isfinite(value) ? Json(value) : Json(); }

std::string Fixed(const std::optional<double>& value, int digits) {
  return value ? fmt::format("{:.{}f}", *value, digits) : "-";
}

std::string GuardsText(const SpeculationCell& cell) {
  std::vector<std::string> names;
  for (const GuardResult& guard : cell.guards) {
    if (guard.tripped) names.push_back("INVALID: " + guard.name);
    if (guard.warning) names.push_back("warns: " + guard.name);
  }
  return names.empty() ? "pass" : fmt::format("{}", fmt::join(names, ", "));
}

std::vector<std::string> Row(const std::string& draft, const SpeculationCell& cell) {
  std::vector<std::string> row = {Abbreviate(OneLine(draft), kDraftWidth), cell.k};
  if (cell.figures.has_value()) {
    const SpeculationFigures& f = *cell.figures;
    row.insert(row.end(), {Fixed(f.acceptance(), 3), Fixed(f.tokens_per_round, 2), Fixed(f.tok_per_s, 1),
                           Fixed(f.baseline_tok_per_s, 1), Fixed(f.speedup, 2),
                           std::isfinite(f.speedup_interval.high)
                               ? fmt::format("{:.2f} to {:.2f}", f.speedup_interval.low, f.speedup_interval.high)
                               : "-",
                           Fixed(f.predicted_speedup, 2)});
  } else {
    row.insert(row.end(), 7, "-");
  }
  row.insert(row.end(), {cell.identical ? "yes" : "NO", GuardsText(cell)});
  return row;
}

std::vector<std::string> PromptSets(const SpeculationStudy& study) {
  std::vector<std::string> sets;
  for (const SpeculationCell& cell : study.pairs.front().cells) {
    if (std::find(sets.begin(), sets.end(), cell.prompt_set) == sets.end()) sets.push_back(cell.prompt_set);
  }
  return sets;
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
    for (const SpeculationCell& cell : pair.cells) {
      if (cell.prompt_set == set) table.AddRow(Row(pair.subject.draft_name, cell));
    }
  }
  return fmt::format("Prompt set {}\n{}\n", set, table.ToString());
}

// The cell of a pair with the longest draft, whose costs reach furthest.
const SpeculationFigures* WidestFigures(const PairResult& pair, const std::string& set) {
  const SpeculationFigures* widest = nullptr;
  for (const SpeculationCell& cell : pair.cells) {
    if (cell.prompt_set == set && cell.figures.has_value()) widest = &*cell.figures;
  }
  return widest;
}

std::string CostLines(const PairResult& pair, const std::string& set) {
  const SpeculationFigures* figures = WidestFigures(pair, set);
  if (figures == nullptr) return "";
  const RoundCosts& costs = figures->costs;
  std::string text =
      fmt::format("  {}, {}: one guess costs {:.2f} plain steps", OneLine(pair.subject.draft_name), set, costs.draft);
  if (figures->speed_ratio.has_value()) text += fmt::format(" (speed ratio {:.2f})", *figures->speed_ratio);
  text += "; verifying n tokens";
  for (size_t n = 1; n <= costs.verify.size(); ++n) text += fmt::format(" {}:{:.2f}", n, costs.verify[n - 1]);
  text += "\n    acceptance per guess to break even:";
  for (int k = 1; k < static_cast<int>(costs.verify.size()); ++k) {
    const std::optional<double> needed = BreakEvenAcceptance(k, costs);
    text += needed ? fmt::format(" k={}:{:.2f}", k, *needed) : fmt::format(" k={}:never", k);
  }
  return text + fmt::format("; measured {}\n", Fixed(figures->per_guess(), 2));
}

Json GuardsJson(const std::vector<GuardResult>& guards) {
  Json json = Json::array();
  for (const GuardResult& guard : guards) {
    json.push_back(
        {{"name", guard.name}, {"tripped", guard.tripped}, {"warning", guard.warning}, {"evidence", guard.evidence}});
  }
  return json;
}

Json PositionsJson(const SpeculationFigures& figures) {
  Json json = Json::array();
  for (size_t i = 0; i < figures.judged_at.size(); ++i) {
    json.push_back(static_cast<double>(figures.accepted_at[i]) / static_cast<double>(figures.judged_at[i]));
  }
  return json;
}

Json BreakEvenJson(const RoundCosts& costs) {
  Json json = Json::array();
  for (int k = 1; k < static_cast<int>(costs.verify.size()); ++k) {
    json.push_back({{"k", k}, {"acceptance", OrNull(BreakEvenAcceptance(k, costs))}});
  }
  return json;
}

Json FiguresJson(const SpeculationFigures& f, size_t verified) {
  std::vector<double> verify = f.costs.verify;
  verify.resize(std::min(verified, verify.size()));
  return {{"rounds", f.rounds},
          {"drafted", f.drafted},
          {"accepted", f.accepted},
          {"accept_rate", OrNull(f.acceptance())},
          {"accept_by_position", PositionsJson(f)},
          {"accept_per_guess", OrNull(f.per_guess())},
          {"tokens_per_round", f.tokens_per_round},
          {"tok_per_s", f.tok_per_s},
          {"baseline_tok_per_s", f.baseline_tok_per_s},
          {"time_to_first_token_s", f.prompt_seconds},
          {"baseline_time_to_first_token_s", f.baseline_prompt_seconds},
          {"speedup", f.speedup},
          {"speedup_ci", {FiniteJson(f.speedup_interval.low), FiniteJson(f.speedup_interval.high)}},
          {"speed_ratio", OrNull(f.speed_ratio)},
          {"draft_cost", f.costs.draft},
          {"verify_cost", verify},
          {"predicted_speedup", f.predicted_speedup},
          {"break_even", OrNull(f.break_even)},
          {"break_even_curve", BreakEvenJson(f.costs)}};
}

// Every field that figures have, as null: a script that reads them finds them.
Json NoFiguresJson() {
  Json json;
  for (const char* field : {"rounds", "drafted", "accepted", "accept_rate", "accept_by_position", "accept_per_guess",
                            "tokens_per_round", "tok_per_s", "baseline_tok_per_s", "time_to_first_token_s",
                            "baseline_time_to_first_token_s", "speedup", "speedup_ci", "speed_ratio", "draft_cost",
                            "verify_cost", "predicted_speedup", "break_even", "break_even_curve"}) {
    json[field] = nullptr;
  }
  return json;
}

Json CellJson(const SpeculationStudy& study, size_t pair, const SpeculationCell& cell) {
  Json json = {{"target", study.target}, {"draft", study.drafts[pair]}};
  const auto setting = std::find_if(study.settings.lengths.begin(), study.settings.lengths.end(),
                                    [&](const DraftSetting& length) { return length.name == cell.k; });
  const SpeculationOptions& options = setting->options;
  json["k"] = options.adaptive ? Json(cell.k) : Json(options.draft_length);
  json["prompt_set"] = cell.prompt_set;
  json.update(cell.figures ? FiguresJson(*cell.figures, static_cast<size_t>(options.draft_length) + 1)
                           : NoFiguresJson());
  json["identical"] = cell.identical;
  json["valid"] = cell.valid();
  json["verdict"] = cell.verdict.sentence;
  json["guards"] = GuardsJson(cell.guards);
  return json;
}

std::vector<std::string> GuardLines(const SpeculationStudy& study, bool (*wanted)(const GuardResult&), bool with_k) {
  std::vector<std::string> lines;
  for (const PairResult& pair : study.pairs) {
    for (const SpeculationCell& cell : pair.cells) {
      for (const GuardResult& guard : cell.guards) {
        if (!wanted(guard)) continue;
        std::string line = fmt::format("{}, {}{}: {}: {}", pair.subject.draft_name, cell.prompt_set,
                                       with_k ? fmt::format(", k={}", cell.k) : "", guard.name, guard.evidence);
        line = OneLine(line);
        if (std::find(lines.begin(), lines.end(), line) == lines.end()) lines.push_back(std::move(line));
      }
    }
  }
  return lines;
}

}  // namespace

std::string SpeculationText(const SpeculationStudy& study) {
  std::string text =
      fmt::format("{}, {}; repetitions: {}; at most {} tokens a prompt, greedy\n\n", study.target,
                  study.pairs.front().subject.backend_description, study.settings.repetitions, study.settings.tokens);
  const std::vector<std::string> sets = PromptSets(study);
  for (const std::string& set : sets) text += SetTable(study, set);
  text += "Costs, in plain steps of the target\n";
  for (const PairResult& pair : study.pairs) {
    for (const std::string& set : sets) text += CostLines(pair, set);
  }
  text += "\n";
  for (const PairResult& pair : study.pairs) text += OneLine(pair.verdict) + "\n";
  return text + fmt::format("Every run is kept in {}.\n", study.database);
}

Json SpeculationJson(const SpeculationStudy& study) {
  Json runs = Json::array();
  Json pairs = Json::array();
  for (size_t i = 0; i < study.pairs.size(); ++i) {
    const PairResult& pair = study.pairs[i];
    for (const SpeculationCell& cell : pair.cells) runs.push_back(CellJson(study, i, cell));
    pairs.push_back({{"draft", study.drafts[i]},
                     {"model", pair.subject.draft ? ToJson(*pair.subject.draft) : Json()},
                     {"verdict", pair.verdict}});
  }
  const PairSubject& subject = study.pairs.front().subject;
  return {{"target", ToJson(subject.target)},
          {"runs", std::move(runs)},
          {"pairs", std::move(pairs)},
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
