#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace assay {

// Which two characters stand side by side inside some piece of a vocabulary. Between two that never do, no merge joins
// what is left of them to what is right: a text can be cut there, and its parts be encoded one by one. Characters
// beyond ASCII share classes, so that a text may be cut less often than it could be, never more often.
class PieceJoints {
 public:
  PieceJoints();
  void Add(std::string_view piece);

  // The size of the text's first part, up to the first place where it can be cut.
  size_t FirstPart(std::string_view text) const;

 private:
  static constexpr uint32_t kClasses = 1024;  // a power of two

  // The class of the character at `position`, and its size.
  static uint32_t ClassAt(std::string_view text, size_t position, size_t& size);

  std::vector<uint64_t> joined_;  // a bit for each pair of classes
};

}  // namespace assay
