#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"

namespace assay {

// The metadata below "<architecture>.": typed, checked, and remembered, so that what a file asks for and nobody reads
// is refused by its name. Keys are given without the architecture. All throw kBadFile for another type or range.
class Hyperparameters {
 public:
  explicit Hyperparameters(const GgufFile& file);

  bool Has(std::string_view key) const;  // which does not count as reading it

  // In [1, 2^24]. Int() needs the key.
  int Int(std::string_view key) const;
  int IntOr(std::string_view key, int otherwise) const;
  // The same for a layer: the key holds one number, or an array of one for each layer.
  int IntAt(std::string_view key, int layer) const;
  int IntAtOr(std::string_view key, int layer, int otherwise) const;
  // In [0, 2^24]; 0 when absent.
  int Count(std::string_view key) const;

  // Finite.
  float Float(std::string_view key) const;
  float FloatOr(std::string_view key, float otherwise) const;
  float PositiveOr(std::string_view key, float otherwise) const;  // above 0
  float NonNegativeOr(std::string_view key, float otherwise) const;
  // Above 0, or `otherwise` when absent or 0.
  float ScaleOr(std::string_view key, float otherwise) const;

  bool BoolOr(std::string_view key, bool otherwise) const;
  std::string StringOr(std::string_view key, std::string_view otherwise) const;
  // An array of bools, one for each of `layers`; empty when the key is absent or holds a number.
  std::vector<bool> BoolsOfLayers(std::string_view key, int layers) const;

  // The key needs no reading: what it says does not reach the result of a text.
  void Ignore(std::string_view key) const;

  // Throws kUnsupported for the first key that was not read, unless it is known to say nothing, or nothing with its
  // value (SaysNothing).
  void RefuseUnread() const;

 private:
  std::string Name(std::string_view key) const { return prefix_ + std::string(key); }
  const std::string& Read(std::string_view key) const;  // gives the full name
  int InRange(std::string_view key, uint64_t value, int least) const;

  const GgufFile& file_;
  std::string prefix_;
  mutable std::set<std::string, std::less<>> read_;
};

// Whether a hyperparameter that no builder reads leaves the result as it is: those that describe, and those that ask
// for a step (scaling, capping, masking, routing) with the value that switches it off. The table behind it is all that
// may be left unread.
bool SaysNothing(std::string_view key, const GgufFile& file, std::string_view full_name);

}  // namespace assay
