#include "text/merge_list.h"

#include "base/error.h"

namespace assay {

std::pair<std::string_view, std::string_view> SplitMerge(const VocabData& vocab, size_t rank, std::string_view source) {
  const std::string_view merge = vocab.merges[rank];
  const size_t space = merge.find(' ');
  if (space == 0 || space == std::string_view::npos || space + 1 == merge.size() ||
      merge.find(' ', space + 1) != std::string_view::npos) {
    Fail(ErrorKind::kBadFile, "{}: merge {} of {} (\"{}\") is not two tokens with a space between them; {}", source,
         rank, vocab.merges.size(), merge, kGetAgain);
  }
  return {merge.substr(0, space), merge.substr(space + 1)};
}

void CheckMergesUsed(const VocabData& vocab, size_t used, std::string_view source) {
  if (used > 0 || vocab.merges.empty()) return;
  Fail(ErrorKind::kBadFile,
       "{}: none of the {} merges is of the vocabulary's tokens (the first: \"{}\"); convert the "
       "model again",
       source, vocab.merges.size(), vocab.merges[0]);
}

}  // namespace assay
