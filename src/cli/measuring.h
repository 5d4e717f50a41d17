#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "engine/loaded_model.h"
#include "measure/perplexity.h"
#include "measure/throughput.h"
#include "record/record.h"

namespace assay {

// What the measuring commands share: a model loaded with its identity, and measurements with a progress bar and
// warnings on stderr.

struct Subject : LoadedModel {
  Subject(std::string path_given, Backend& backend);

  std::string path;  // as the user gave it
  ModelIdentity identity;
};

// Warns when so many tokens are more than the model was trained for.
void WarnOfContext(std::string_view what, int tokens, const Model& model);

// Warns of what CheckText() finds in a text that is about to be measured or continued.
void WarnOfText(std::string_view text, const std::string& source);

// On the text of a file. Sets the source and the progress of `options`; warns of windows that the text does not have
// and of a context that the model was not trained for.
PerplexityResult MeasureTextPerplexity(Subject& model, Subject* base, const std::string& text_path,
                                       PerplexityOptions options);

// Sets the progress of `options`; warns of a machine that changed during the run and of memory that did not suffice.
ThroughputReport MeasureSpeed(std::span<const std::unique_ptr<Subject>> subjects, std::span<const ThroughputTest> tests,
                              ThroughputOptions options);

// "mean 0.00123 ± 0.00001, median ..., 99% ..., largest ...", in nats.
std::string DivergenceText(const BaseComparison& base);

}  // namespace assay
