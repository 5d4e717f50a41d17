#include "render/ladder_output.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "judge/intervals.h"
#include "judge/statistics.h"
#include "render/measure_json.h"
#include "render/text_table.h"

namespace assay {
namespace {

using Row = std::vector<std::string>;

std::vector<TextTable::Column> Columns(const LadderResult& result) {
  const LadderSettings& settings = result.settings;
  return {{"rung"},
          {"size", true},
          {"bpw", true},
          {fmt::format("TG {} tok/s", settings.generate), true},
          {fmt::format("TG vs {}", OneLine(result.runs.base.name)), true},
          {fmt::format("PP {} tok/s", settings.prompt), true},
          {"perplexity", true},
          {fmt::format("vs {}", OneLine(result.runs.base.name)), true},
          {"KLD", true},
          {"this engine's rounding", true},
          {"same top", true},
          {"Pareto"},
          {"pick"}};
}

double BitsPerWeight(const ModelIdentity& model) {
  return static_cast<double>(model.tensor_bytes) * 8.0 / static_cast<double>(model.parameters);
}

// All zero without samples.
Summary RateOf(const RunRecord& run) {
  std::vector<double> rates;
  for (const Sample& sample : run.samples) rates.push_back(sample.tok_per_s());
  return rates.empty() ? Summary{} : Summarize(rates);
}

std::string RateText(const RunRecord& run) {
  const Summary rate = RateOf(run);
  return fmt::format("{:.1f} ± {:.1f}", rate.mean, rate.sd);
}

// What cannot be told from "no difference" is marked.
std::string Mark(const Compared& compared) {
  return compared.standing == Standing::kBetter || compared.standing == Standing::kWorse ? "" : "~";
}

std::string RatioText(const Compared& speed) { return fmt::format("{}{:.2f} ×", Mark(speed), speed.estimate.value()); }

std::string WithError(const RunRecord& run, std::string_view name, int digits) {
  const Metric* metric = FindMetric(run, name);
  if (metric == nullptr) return "-";
  std::string text = fmt::format("{:.{}f}", metric->value, digits);
  if (metric->error.has_value()) text += fmt::format(" ± {:.{}f}", *metric->error, digits);
  return text;
}

double FigureOr(const RunRecord& run, std::string_view name, double otherwise) {
  const Metric* metric = FindMetric(run, name);
  return metric != nullptr ? metric->value : otherwise;
}

// Of everyday arithmetic, where it was measured.
std::string RoundingText(const RunRecord& run) {
  const Metric* metric = FindMetric(run, "engine_kld_mean");
  return metric != nullptr ? fmt::format("{:.5f}", metric->value) : "";
}

Row ModelCells(const std::string& name, const ModelIdentity& model) {
  return {name, HumanBytes(model.file_bytes), fmt::format("{:.2f}", BitsPerWeight(model))};
}

std::string LossText(const Compared& quality) {
  const Estimate& loss = quality.estimate;
  std::string text = fmt::format("{}{:+.2f} %", Mark(quality), loss.value());
  if (std::isfinite(loss.error())) text += fmt::format(" ± {:.2f}", loss.scaled_error());
  return text;
}

Row RungRow(const RungRuns& rung, const RungVerdict& verdict) {
  Row row = ModelCells(rung.name, rung.quality.model);
  if (!rung.valid()) {
    row.insert(row.end(), {"-", "-", "-", "invalid", "-", "-", "-", "-", "", ""});
    return row;
  }
  const RunRecord& quality = rung.quality;
  row.insert(row.end(), {RateText(rung.tg), verdict.base ? "" : RatioText(verdict.tg), RateText(rung.pp),
                         WithError(quality, "ppl", 3), verdict.base ? "" : LossText(verdict.quality),
                         fmt::format("{:.5f}", FigureOr(quality, "kld_mean", 0.0)), RoundingText(quality),
                         fmt::format("{:.1f} %", 100.0 * FigureOr(quality, "top1_agree", 1.0)),
                         verdict.pareto ? "yes" : "", verdict.pick ? "take" : ""});
  return row;
}

bool BaseIsARung(const LadderResult& result) {
  for (const RungRuns& rung : result.runs.rungs) {
    if (result.runs.IsBase(rung)) return true;
  }
  return false;
}

// The rungs, the base where it is none of them, and the placebo.
std::vector<Row> Rows(const LadderResult& result) {
  const LadderRuns& runs = result.runs;
  std::vector<Row> rows;
  if (!BaseIsARung(result)) {
    Row base = ModelCells(fmt::format("{} (base)", OneLine(runs.base.name)), runs.base.quality.model);
    base.insert(base.end(), {RateText(runs.base.tg), "", RateText(runs.base.pp), WithError(runs.base.quality, "ppl", 3),
                             "", "", RoundingText(runs.base.quality), "", "", ""});
    rows.push_back(std::move(base));
  }
  for (size_t i = 0; i < runs.rungs.size(); ++i) {
    rows.push_back(RungRow(runs.rungs[i], result.judgement.decision.rungs[i]));
  }
  if (runs.placebo.has_value()) {
    const Estimate again = SpeedRatio(runs.placebo->tg.samples, runs.base.tg.samples);
    rows.push_back({fmt::format("{} again", OneLine(runs.base.name)), "", "", RateText(runs.placebo->tg),
                    fmt::format("{:.2f} ×", again.value()), RateText(runs.placebo->pp), "", "", "", "", "", "", ""});
  }
  return rows;
}

std::string MethodText(const LadderResult& result) {
  const LadderSettings& settings = result.settings;
  const RunRecord& base = result.runs.base.quality;
  const std::string name = OneLine(result.runs.base.name);
  std::string text = fmt::format(
      "Perplexity: {:.0f} windows of {} tokens of {}, {:.0f} positions, ± standard error; against {} window by window. "
      "Speed: "
      "{}, {} rounds over all rungs, each loaded for its turn, mean ± standard deviation. ~: cannot be told from {}; "
      "all that the table says is judged together. ",
      FigureOr(base, "windows", 0.0), settings.context, OneLine(result.subject.text),
      FigureOr(base, "tokens_scored", 0.0), OneLine(result.subject.source.file), result.subject.backend,
      settings.repetitions, name);
  const bool floats = HoldsFloatsAlone(base.model);
  if (!floats) text += fmt::format("{} is quantised itself: what that cost is in no figure here. ", name);
  if (const Metric* rounding = FindMetric(base, "engine_kld_mean"); rounding != nullptr) {
    text += fmt::format(
        "KLD, perplexity and same top are the file's, in fine arithmetic; this engine's rounding: the KLD that "
        "everyday decoding adds to it{}. ",
        floats ? fmt::format(", the floor being {}'s, {:.7f}", name, rounding->value) : "");
  }
  text += result.judgement.floors.empty()
              ? "There is no placebo: the noise of this machine is not known."
              : fmt::format("Noise floor, from {} measured again: {}.", name, FloorText(result.judgement.floors));
  if (result.sessions > 1)
    text += fmt::format(" Measured in {} starts; rounds are paired within one.", result.sessions);
  return text;
}

std::string InvalidText(const LadderResult& result) {
  std::string text;
  for (const RungRuns& rung : result.runs.rungs) {
    for (const GuardResult& guard : rung.quality.guards) {
      if (guard.tripped) text += fmt::format("{} is invalid: {}\n", rung.name, OneLine(guard.evidence));
    }
  }
  for (const GuardResult& guard : result.judgement.guards) {
    if (guard.tripped) text += fmt::format("The speeds are invalid: {}: {}\n", guard.name, OneLine(guard.evidence));
  }
  return text;
}

std::string MarkdownRow(const Row& cells) {
  std::string line = "|";
  for (const std::string& cell : cells) line += " " + cell + " |";
  return line + "\n";
}

std::string MarkdownTable(const LadderResult& result) {
  Row titles;
  Row rules;
  for (const TextTable::Column& column : Columns(result)) {
    titles.push_back(column.title);
    rules.emplace_back(column.right ? "---:" : "---");
  }
  std::string table = MarkdownRow(titles) + MarkdownRow(rules);
  for (const Row& row : Rows(result)) table += MarkdownRow(row);
  return table;
}

std::string EnvironmentText(const Environment& environment) {
  return fmt::format("{}, {} cores, {} of memory, {}; Assay {}, {}, {}", OneLine(environment.cpu), environment.cores,
                     HumanBytes(environment.memory_bytes), environment.kernel, environment.assay_version,
                     environment.compiler, environment.build_type);
}

Json RateJson(const RunRecord& run) {
  const Summary rate = RateOf(run);
  Json rates = Json::array();
  for (const Sample& sample : run.samples) rates.push_back(sample.tok_per_s());
  return {{"mean", rate.mean}, {"sd", rate.sd}, {"median", rate.median}, {"samples", rates}};
}

// The figures of a rung against the base; the base itself differs from itself by nothing.
void AddQualityJson(const RungRuns& rung, const RungVerdict& verdict, Json& json) {
  const RunRecord& quality = rung.quality;
  const auto figure = [&](const char* name, double of_base) {
    return verdict.base ? Json(of_base) : FigureJson(quality, name);
  };
  const auto error = [&](const char* name) { return verdict.base ? Json(0.0) : ErrorJson(quality, name); };
  const Json against = ToJson(verdict.quality, "delta_pct");
  json.update({{"ppl", FigureJson(quality, "ppl")},
               {"ppl_se", ErrorJson(quality, "ppl")},
               {"delta_pct", figure("delta_pct", 0.0)},
               {"delta_pct_se", error("delta_pct")},
               {"delta_pct_ci", {against["low"], against["high"]}},
               {"kld_mean", figure("kld_mean", 0.0)},
               {"kld_se", error("kld_mean")},
               {"kld_p99", figure("kld_p99", 0.0)},
               {"top1_agree", figure("top1_agree", 1.0)},
               {"engine", EngineJson(quality)},
               {"intervals", IntervalsJson(quality)}});
}

Json SpeedJson(const Compared& speed, bool valid) {
  Json json = ToJson(speed, "ratio");
  if (!valid) json["standing"] = "invalid";
  return json;
}

Json RungJson(const LadderResult& result, size_t i, const std::filesystem::path& file) {
  const RungRuns& rung = result.runs.rungs[i];
  const LadderDecision& decision = result.judgement.decision;
  const RungVerdict& verdict = decision.rungs[i];
  const ModelIdentity& model = rung.quality.model;
  Json json = {{"quant", rung.name},     {"mix", model.mix},          {"file", file.string()},
               {"digest", model.digest}, {"bytes", model.file_bytes}, {"bits_per_weight", BitsPerWeight(model)}};
  if (!rung.valid()) {
    for (const char* field :
         {"tg", "tg_vs_base", "pp", "pp_vs_base", "ppl", "ppl_se", "delta_pct", "delta_pct_se", "delta_pct_ci",
          "kld_mean", "kld_se", "kld_p99", "top1_agree", "engine", "intervals", "loss"}) {
      json[field] = nullptr;
    }
  } else {
    json["tg"] = RateJson(rung.tg);
    json["tg_vs_base"] = SpeedJson(verdict.tg, decision.speeds_valid);
    json["pp"] = RateJson(rung.pp);
    json["pp_vs_base"] = SpeedJson(verdict.pp, decision.speeds_valid);
    AddQualityJson(rung, verdict, json);
    json["loss"] = LossName(verdict.loss);
  }
  json["pareto"] = decision.speeds_valid || !rung.valid() ? Json(verdict.pareto) : Json();
  json["pick"] = verdict.pick;
  json["invalid"] = nullptr;
  for (const GuardResult& guard : rung.quality.guards) {
    if (guard.tripped) json["invalid"] = guard.evidence;
  }
  return json;
}

Json LadderBaseJson(const LadderResult& result) {
  const RungRuns& base = result.runs.base;
  const ModelIdentity& source = result.subject.source;
  return {{"quant", source.quant},
          {"mix", source.mix},
          {"file", source.file},
          {"digest", source.digest},
          {"bytes", source.file_bytes},
          {"tg", RateJson(base.tg)},
          {"pp", RateJson(base.pp)},
          {"ppl", FigureJson(base.quality, "ppl")},
          {"ppl_se", ErrorJson(base.quality, "ppl")},
          {"engine", EngineJson(base.quality)},
          {"intervals", IntervalsJson(base.quality)},
          {"architecture", source.architecture},
          {"parameters", source.parameters}};
}

}  // namespace

std::string LadderText(const LadderResult& result, const LadderPlaces& places) {
  TextTable table(Columns(result));
  for (const Row& row : Rows(result)) table.AddRow(row);
  std::string text =
      fmt::format("{}\n{}\n{}\n\n", table.ToString(), OneLine(result.judgement.sentence()), MethodText(result));
  text += InvalidText(result);
  if (result.measured_before) {
    text += fmt::format("All of it had been measured before and was read from {}; --fresh measures it anew.\n",
                        places.database.string());
  }
  return text + fmt::format("The rungs' files, ladder.md and ladder.json lie in {}; every run is kept in {}.\n",
                            places.folder.string(), places.database.string());
}

std::string LadderMarkdown(const LadderResult& result, const LadderPlaces& places) {
  std::string text = fmt::format("{}{}\n\n", kLadderMarkdownTitle, OneLine(result.subject.source.file));
  text += MarkdownTable(result);
  text += fmt::format("\n**{}**\n\n{}\n\n", OneLine(result.judgement.sentence()), MethodText(result));
  if (const std::string invalid = InvalidText(result); !invalid.empty()) text += invalid + "\n";
  text += fmt::format("Machine: {}.\n\n", EnvironmentText(result.subject.environment));
  return text + fmt::format("Every run with its samples is kept in `{}`.\n", places.database.string());
}

Json LadderJson(const LadderResult& result, const LadderPlaces& places) {
  Json rungs = Json::array();
  for (size_t i = 0; i < result.runs.rungs.size(); ++i) rungs.push_back(RungJson(result, i, places.rung_files[i]));
  const LadderSettings& settings = result.settings;
  const LadderJudgement& judgement = result.judgement;
  const std::optional<size_t> pick = judgement.decision.pick;
  const RunRecord& base = result.runs.base.quality;
  return {{"base", LadderBaseJson(result)},
          {"rungs", std::move(rungs)},
          {"pick", pick ? Json(result.runs.rungs[*pick].name) : Json()},
          {"verdict", judgement.sentence()},
          {"verdicts", VerdictsJson(judgement.verdicts)},
          {"placebo", PlaceboJson(judgement.floors)},
          {"guards", GuardsJson(judgement.guards)},
          {"text", result.subject.text},
          {"context", settings.context},
          {"windows", FigureJson(base, "windows")},
          {"tokens_scored", FigureJson(base, "tokens_scored")},
          {"activations", ArithmeticName(settings.arithmetic)},
          {"prompt", settings.prompt},
          {"generate", settings.generate},
          {"repetitions", settings.repetitions},
          {"seed", settings.seed},
          {"backend", result.subject.backend},
          {"threads", result.subject.threads},
          {"sessions", result.sessions},
          {"measured_before", result.measured_before},
          {"folder", places.folder.string()},
          {"db", places.database.string()},
          {"environment", ToJson(result.subject.environment)}};
}

}  // namespace assay
