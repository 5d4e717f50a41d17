#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/progress.h"
#include "forge/quantize.h"
#include "render/text_table.h"

namespace assay {
namespace {

struct Options {
  std::string in, out, type, imatrix;
  std::vector<std::string> tensor_types;
  bool dry_run = false;
  CommonOptions common;
};

// "REGEX=TYPE"; the expression may hold equals signs.
TypeOverride ParseOverride(const std::string& text) {
  const size_t equals = text.rfind('=');
  const FormatTraits* format = equals == std::string::npos ? nullptr : FindFormat(text.substr(equals + 1));
  if (format == nullptr || equals == 0) {
    std::vector<std::string_view> names;
    for (const FormatTraits& row : Formats()) names.push_back(row.name);
    Fail(ErrorKind::kUsage, "--tensor-type {}: not REGEX=TYPE; take a TYPE of {}", text, fmt::join(names, ", "));
  }
  return {text.substr(0, equals), format->format};
}

void PrintResult(const Options& options, const QuantizeResult& result) {
  if (options.common.json) {
    Json types = Json::object(), type_tensors = Json::object();
    for (const auto& [name, total] : result.types) {
      types[name] = total.bytes;
      type_tensors[name] = total.tensors;
    }
    PrintJson({{"bytes_in", result.bytes_in},
               {"bytes_out", result.bytes_out},
               {"bits_per_weight", result.bits_per_weight},
               {"types", std::move(types)},
               {"type_tensors", std::move(type_tensors)},
               {"dry_run", options.dry_run},
               {"notes", result.notes}});
    return;
  }
  TextTable types({{"type"}, {"tensors", true}, {"bytes", true}});
  for (const auto& [name, total] : result.types) {
    types.AddRow({name, std::to_string(total.tensors), std::to_string(total.bytes)});
  }
  PrintText(fmt::format("{}{}: {}, {:.3f} bits per weight (from {})\n{}", OneLine(options.out),
                        options.dry_run ? " (not written)" : "", HumanBytes(result.bytes_out), result.bits_per_weight,
                        HumanBytes(result.bytes_in), types.ToString()));
}

int RunQuantize(const Options& options) {
  const RungTraits& rung = ParseRung(options.type);
  QuantizeOptions quantize;
  quantize.imatrix = options.imatrix;
  quantize.dry_run = options.dry_run;
  quantize.threads = options.common.threads;
  for (const std::string& text : options.tensor_types) quantize.overrides.push_back(ParseOverride(text));
  const GgufFile in = GgufFile::Open(options.in);
  QuantizeResult result;
  {
    Progress progress(fmt::format("quantize {}", rung.name));
    quantize.progress = [&](uint64_t done, uint64_t total, const std::string& tensor) {
      progress.Update(done, total, OneLine(tensor));
    };
    result = QuantizeModel(in, options.out, rung.rung, quantize);
  }
  for (const std::string& note : result.notes) spdlog::warn("{}", OneLine(note));
  PrintResult(options, result);
  return 0;
}

}  // namespace

CommandAction AddQuantize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("IN", options->in, "the model to quantise")->required();
  app.add_option("OUT", options->out, "the file to write")->required();
  app.add_option("TYPE", options->type, "a rung: " + RungNames())->required();
  app.add_option("--imatrix", options->imatrix, "an importance matrix, as llama.cpp's imatrix writes it")
      ->type_name("FILE");
  app.add_option("--tensor-type", options->tensor_types,
                 "a type for the tensors that the expression finds itself in; the first that matches wins")
      ->type_name("REGEX=TYPE")
      ->allow_extra_args(false);
  app.add_flag("--dry-run", options->dry_run, "tell the size and the types; write nothing");
  AddCommonOptions(app, options->common, kThreads | kJson);
  return [options] { return RunQuantize(*options); };
}

}  // namespace assay
