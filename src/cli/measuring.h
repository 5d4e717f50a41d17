#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/loaded_model.h"
#include "judge/hardware.h"
#include "measure/perplexity.h"
#include "measure/throughput.h"
#include "record/record.h"
#include "text/prompt.h"

namespace assay {

// What the measuring commands share: a model loaded with its identity, measurements with a progress bar and warnings on
// stderr, and keeping what was measured.

struct Subject : LoadedModel {
  Subject(std::string path_given, Backend& backend);

  std::string path;  // as the user gave it
  ModelIdentity identity;
};

// How something is measured, as records tell it.
using Settings = std::vector<std::pair<std::string, std::string>>;

// Warns when so many tokens are more than the model was trained for.
void WarnOfContext(std::string_view what, int tokens, const Model& model);

// Warns of what CheckText() finds in a text that is about to be measured or continued.
void WarnOfText(std::string_view text, const std::string& source);

// Warns when the prompt begins with BOS itself, so that none was added.
void WarnOfBos(const EncodedPrompt& prompt);

// RequireDraftVocabulary() of a draft model, which tells the user what it found.
void RequireDraft(const Model& target, std::string_view target_name, const Model& draft, std::string_view draft_name);

// The perplexity on the text of a file, with a "perplexity" record. Sets the source and the progress of `options`;
// warns of windows that the text does not have and of a context that a model was not trained for. Throws kInvalid when
// logits are not finite.
RunRecord MeasureTextPerplexity(Subject& model, Subject* base, const std::string& text_path, PerplexityOptions options,
                                const Settings& settings);

// What was measured of speed.
struct SpeedRuns {
  std::vector<RunRecord> runs;      // "throughput": as ThroughputReport::results; placebos as judge/speeds.h wants them
  std::vector<size_t> models;       // of each run, the subject's index
  RunRecord probe;                  // "machine"
  std::vector<GuardResult> guards;  // over all runs; each run has those that concern it
};
// Sets the progress of `options`.
SpeedRuns MeasureSpeed(std::span<const std::unique_ptr<Subject>> subjects, std::span<const ThroughputTest> tests,
                       ThroughputOptions options, const Settings& settings);

// --db FILE: nothing is kept when it is not given.
void AddDatabaseOption(CLI::App& app, std::string& database);
// --no-placebo
void AddPlaceboOption(CLI::App& app, bool& placebo);
void Keep(const std::string& database, std::span<const RunRecord> runs);
// What the speeds in a database say of the machines that they were measured on.
HardwareComparison CompareStored(const std::string& database);

// Says on stderr which guards tripped or warn; the exit code: that of kInvalid when one tripped, else 0.
int ReportGuards(std::span<const GuardResult> guards);

// "23.921 ± 0.624", or without the error where there were too few units for one.
std::string FigureText(const RunRecord& run, std::string_view name, int digits);
// "mean 0.001234 ± 0.000012, median ..., 99% ..., largest ...", in nats. `prefix` is before the figures' names.
std::string DivergenceText(const RunRecord& run, std::string_view prefix = "");
// What everyday arithmetic adds, "0.002019 ± 0.000102 everyday against fine; the base's own, the floor, ..."; empty
// where it was not measured.
std::string RoundingText(const RunRecord& run);

}  // namespace assay
