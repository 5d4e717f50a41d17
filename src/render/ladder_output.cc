#include "render/ladder_output.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "render/measure_json.h"
#include "render/text_table.h"

namespace assay {
namespace {

using Row = std::vector<std::string>;

std::vector<TextTable::Column> Columns(const LadderSettings& settings) {
  return {{"rung"},
          {"size", true},
          {"bpw", true},
          {fmt::format("TG {} tok/s", settings.generate), true},
          {fmt::format("PP {} tok/s", settings.prompt), true},
          {"perplexity", true},
          {"vs base", true},
          {"KLD", true},
          {"same top", true},
          {"Pareto"},
          {"pick"}};
}

std::string RateText(const std::vector<Sample>& samples) {
  const Summary rate = RateOf(samples);
  return fmt::format("{:.1f} ± {:.1f}", rate.mean, rate.sd);
}

Row RungRow(const LadderRung& rung) {
  Row row = {std::string(TraitsOf(rung.rung).name), HumanBytes(rung.model.file_bytes),
             fmt::format("{:.2f}", rung.bits_per_weight())};
  if (!rung.invalid.empty()) {
    row.insert(row.end(), {"-", "-", "invalid", "-", "-", "-", "", ""});
    return row;
  }
  const LadderQuality& quality = rung.quality;
  row.insert(row.end(),
             {RateText(rung.tg), RateText(rung.pp), fmt::format("{:.3f} ± {:.3f}", quality.ppl, quality.ppl_se),
              fmt::format("{:+.2f} % ± {:.2f}", quality.delta_pct, quality.delta_pct_se),
              fmt::format("{:.5f}", quality.kld_mean), fmt::format("{:.1f} %", 100.0 * quality.top1_agree),
              rung.verdict.pareto ? "yes" : "", rung.verdict.pick ? "take" : ""});
  return row;
}

std::string MethodText(const LadderResult& result) {
  const LadderSettings& settings = result.settings;
  std::string text = fmt::format(
      "Perplexity: {} windows of {} tokens of {}, {} positions, ± standard error; against {} position by position. "
      "Speed: {}, {} rounds over all rungs, mean ± standard deviation; ",
      result.windows, settings.context, OneLine(result.subject.text), result.tokens_scored,
      OneLine(result.subject.source.file), result.subject.backend, settings.repetitions);
  text += result.together
              ? "all rungs in memory together."
              : "the rungs do not fit into half of the free memory together, so each was loaded for its turn.";
  if (result.sessions > 1)
    text += fmt::format(" Measured in {} starts; rounds are paired within one.", result.sessions);
  return text;
}

std::string InvalidText(const LadderResult& result) {
  std::string text;
  for (const LadderRung& rung : result.rungs) {
    if (rung.invalid.empty()) continue;
    text += fmt::format("{} is invalid: {}\n", TraitsOf(rung.rung).name, OneLine(rung.invalid));
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
  for (const TextTable::Column& column : Columns(result.settings)) {
    titles.push_back(column.title);
    rules.emplace_back(column.right ? "---:" : "---");
  }
  std::string table = MarkdownRow(titles) + MarkdownRow(rules);
  for (const LadderRung& rung : result.rungs) table += MarkdownRow(RungRow(rung));
  return table;
}

std::string EnvironmentText(const Environment& environment) {
  return fmt::format("{}, {} cores, {} of memory, {}; Assay {}, {}, {}", OneLine(environment.cpu), environment.cores,
                     HumanBytes(environment.memory_bytes), environment.kernel, environment.assay_version,
                     environment.compiler, environment.build_type);
}

Json RateJson(const std::vector<Sample>& samples) {
  const Summary rate = RateOf(samples);
  Json rates = Json::array();
  for (const Sample& sample : samples) rates.push_back(sample.tok_per_s());
  return {{"mean", rate.mean}, {"sd", rate.sd}, {"median", rate.median}, {"samples", rates}};
}

const char* LossName(Loss loss) {
  switch (loss) {
    case Loss::kWithin:
      return "within";
    case Loss::kUndecided:
      return "undecided";
    case Loss::kBeyond:
      return "beyond";
  }
  return "undecided";
}

// An end of an interval that reaches to infinity is null: JSON has no such number.
Json EndJson(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json RungJson(const LadderRung& rung, const std::filesystem::path& file) {
  Json json = {{"quant", TraitsOf(rung.rung).name},
               {"file", file.string()},
               {"digest", rung.model.digest},
               {"bytes", rung.model.file_bytes},
               {"bits_per_weight", rung.bits_per_weight()}};
  if (!rung.invalid.empty()) {
    for (const char* field : {"tg", "pp", "ppl", "ppl_se", "delta_pct", "delta_pct_se", "delta_pct_ci", "kld_mean",
                              "kld_se", "kld_p99", "top1_agree", "loss"}) {
      json[field] = nullptr;
    }
  } else {
    const LadderQuality& quality = rung.quality;
    const RangedEstimate& loss = rung.verdict.loss_pct;
    json.update({{"tg", RateJson(rung.tg)},
                 {"pp", RateJson(rung.pp)},
                 {"ppl", quality.ppl},
                 {"ppl_se", quality.ppl_se},
                 {"delta_pct", quality.delta_pct},
                 {"delta_pct_se", quality.delta_pct_se},
                 {"delta_pct_ci", {EndJson(loss.low), EndJson(loss.high)}},
                 {"kld_mean", quality.kld_mean},
                 {"kld_se", quality.kld_se},
                 {"kld_p99", quality.kld_p99},
                 {"top1_agree", quality.top1_agree},
                 {"loss", LossName(rung.verdict.loss)}});
  }
  json["pareto"] = rung.verdict.pareto;
  json["pick"] = rung.verdict.pick;
  json["invalid"] = rung.invalid.empty() ? Json() : Json(rung.invalid);
  return json;
}

Json BaseJson(const LadderResult& result) {
  const ModelIdentity& source = result.subject.source;
  return {{"quant", source.quant},
          {"file", source.file},
          {"digest", source.digest},
          {"bytes", source.file_bytes},
          {"ppl", result.base.ppl},
          {"ppl_se", result.base.ppl_se},
          {"architecture", source.architecture},
          {"parameters", source.parameters}};
}

}  // namespace

std::string LadderText(const LadderResult& result, const LadderPlaces& places) {
  TextTable table(Columns(result.settings));
  for (const LadderRung& rung : result.rungs) table.AddRow(RungRow(rung));
  std::string text = fmt::format("{}\n{}\n{}\n\n", table.ToString(), result.verdict.sentence, MethodText(result));
  text += InvalidText(result);
  if (result.measured_before) {
    text += fmt::format("All of it had been measured before and was read from {}; --fresh measures it anew.\n",
                        places.database.string());
  }
  return text + fmt::format("The rungs' files, ladder.md and ladder.json lie in {}; every run is kept in {}.\n",
                            places.folder.string(), places.database.string());
}

std::string LadderMarkdown(const LadderResult& result, const LadderPlaces& places) {
  std::string text = fmt::format("# The quantisation ladder of {}\n\n", OneLine(result.subject.source.file));
  text += MarkdownTable(result);
  text += fmt::format("\n**{}**\n\n{}\n\n", result.verdict.sentence, MethodText(result));
  if (const std::string invalid = InvalidText(result); !invalid.empty()) text += invalid + "\n";
  text += fmt::format("Machine: {}.\n\n", EnvironmentText(result.subject.environment));
  return text + fmt::format("Every run with its samples is kept in `{}`.\n", places.database.string());
}

Json LadderJson(const LadderResult& result, const LadderPlaces& places) {
  Json rungs = Json::array();
  for (size_t i = 0; i < result.rungs.size(); ++i) rungs.push_back(RungJson(result.rungs[i], places.rung_files[i]));
  const LadderSettings& settings = result.settings;
  const std::optional<size_t> pick = result.verdict.pick;
  return {{"base", BaseJson(result)},
          {"rungs", std::move(rungs)},
          {"pick", pick ? Json(TraitsOf(result.rungs[*pick].rung).name) : Json()},
          {"verdict", result.verdict.sentence},
          {"text", result.subject.text},
          {"context", settings.context},
          {"windows", result.windows},
          {"tokens_scored", result.tokens_scored},
          {"prompt", settings.prompt},
          {"generate", settings.generate},
          {"repetitions", settings.repetitions},
          {"seed", settings.seed},
          {"backend", result.subject.backend},
          {"threads", result.subject.threads},
          {"loaded_together", result.together},
          {"sessions", result.sessions},
          {"measured_before", result.measured_before},
          {"folder", places.folder.string()},
          {"db", places.database.string()},
          {"environment", ToJson(result.subject.environment)}};
}

}  // namespace assay
