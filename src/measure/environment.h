#pragma once

#include "model/model_spec.h"
#include "record/record.h"

namespace assay {

Environment CaptureEnvironment();

ModelIdentity Identify(const Model& model);

// The conditions from construction to Finish().
class ConditionsWatch {
 public:
  ConditionsWatch();
  Conditions Finish() const;

 private:
  int64_t involuntary_switches_;
  int64_t major_faults_;
  std::optional<int64_t> swapped_pages_;
};

}  // namespace assay
