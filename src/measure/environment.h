#pragma once

#include "gguf/gguf.h"
#include "record/record.h"

namespace assay {

// The machine is known by its processor's name and /etc/machine-id; where there is none, by its board's name: two of a
// kind are then one machine.
Environment CaptureEnvironment();

// Reads the whole file, once.
ModelIdentity Identify(const GgufFile& file);

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
